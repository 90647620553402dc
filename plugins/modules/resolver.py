#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: resolver
short_description: Change a host's resolver, with automatic rollback
description:
  - Applies files, package, units and resolv.conf of one method to resolve names, removes those of the other methods, and
    verifies that names resolve. When one does not, everything is rolled back (files, link, packages, units), and the module fails
    with the problems. During the change resolv.conf names servers that answer, so the host always resolves names.
  - A host without a difference is not touched; names are not verified then.
options:
  files:
    description: Path to content. Written before the package is installed; owned by root, mode 0644.
    type: dict
    default: {}
  absent:
    description: Files to remove; those of other methods.
    type: list
    elements: path
    default: []
  package:
    description: Package of the method; empty means none.
    type: str
    default: ""
  replaces:
    description: Packages that conflict with it, and are removed with its installation.
    type: list
    elements: str
    default: []
  units:
    description: Units to enable and run; restarted when one of O(files) has changed.
    type: list
    elements: str
    default: []
  units_off:
    description: Units to disable and stop, as far as they exist.
    type: list
    elements: str
    default: []
  resolv_conf:
    description: Content of C(/etc/resolv.conf); empty when O(link) is set.
    type: str
    default: ""
  link:
    description: Target of the link C(/etc/resolv.conf).
    type: str
    default: ""
  bridge:
    description: Content of C(/etc/resolv.conf) during the change.
    type: str
    required: true
  first:
    description: Servers that resolv.conf must begin with. The first one is also queried directly.
    type: list
    elements: str
    default: []
  lock_timeout:
    description: Seconds to wait while another program holds a lock of the package manager.
    type: int
    default: 0
  resolvers:
    description: The site's name servers; resolv.conf must have one of them, too.
    type: list
    elements: str
    required: true
  asked:
    description: Name servers that systemd-resolved must ask after the change; names may resolve by others.
    type: list
    elements: str
    default: []
  domain:
    description: >-
      Domain whose names systemd-resolved must send to O(asked) alone. It shows that its setting is read, where the servers do
      not: without one systemd-resolved reads C(/etc/resolv.conf), which has some of them.
    type: str
    default: ""
  names:
    description: Names that must resolve after the change.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
  diff_mode:
    description: Shows the content before and after.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Resolve names by the site's name servers alone
  fewnodes.discovery.resolver:
    bridge: "nameserver 192.0.2.53\n"
    resolv_conf: "nameserver 192.0.2.53\n"
    resolvers: [192.0.2.53]
    names: [intranet.site.example]
"""

RETURN = r"""
done:
  description: Steps of the change, in order.
  returned: always
  type: list
  elements: str
problems:
  description: Problems found after the change.
  returned: after a rollback
  type: list
  elements: str
"""

import contextlib
import os
import re
import stat
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.dns_question import ask
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import File, link, read, remove, write
from ansible_collections.fewnodes.discovery.plugins.module_utils.resolv_conf import global_domains, resolv_conf_problems
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import shown

RESOLV_CONF = "/etc/resolv.conf"
NOT_OF_ROOT = ("/etc/systemd/resolved.conf.d/", "/etc/systemd/network/")  # their readers are not root
# systemd-resolved lists there which servers it asks, by its settings or, without any, by /etc/resolv.conf.
UPLINK = "/run/systemd/resolve/resolv.conf"
POLICY = "/usr/sbin/policy-rc.d"
SETTINGS = "/etc/resolvconf/resolv.conf.d"
RECORDS = "/run/resolvconf/interface"
NS = 2
AAAA = 28
SECONDS = 10  # for units and names after a change


class Broken(Exception):
    """The change has failed; the argument is a list of problems."""


class Host:
    """Packages and units of this host."""

    def __init__(self, module: AnsibleModule):
        self.module, self.lock_timeout = module, module.params["lock_timeout"]

    def run(self, *command: str, check: bool = True, data: str | None = None) -> str:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        code, out, err = self.module.run_command(list(command), environ_update=quiet, data=data)
        if check and code != 0:
            raise Broken([f"'{' '.join(command)}' ended with {code}: {' '.join((err or out).split())[-500:]}"])
        return out

    def installed(self, states: tuple[str, ...] = ("ii", "hi")) -> set[str]:
        """Installed packages; ("rc",): removed ones whose settings are left."""
        out = self.run("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}${Package}\n")
        return {line[3:].strip() for line in out.splitlines() if line.startswith(states)}

    def apt(self, *arguments: str) -> None:
        options = ["--yes", "--quiet", "--no-install-recommends", "--option=Dpkg::Options::=--force-confold"]
        self.run("apt-get", *options, f"--option=DPkg::Lock::Timeout={self.lock_timeout}", *arguments)

    def unit(self, name: str) -> dict[str, str]:
        return shown(self.module, name, "LoadState", "ActiveState", "UnitFileState", "Type")

    def wanted_state(self, name: str) -> bool:
        """Whether it is enabled and runs (or, of a unit that only runs once, has not failed)."""
        unit = self.unit(name)
        states = ("active", "inactive") if unit["Type"] == "oneshot" else ("active",)
        return unit["ActiveState"] in states and unit["UnitFileState"] == "enabled"


class Change:
    """The differences on the host, the steps that apply them, and the rollback."""

    def __init__(self, module: AnsibleModule):
        self.wanted = module.params
        self.host = Host(module)
        wanted = self.wanted
        self.written = [path for path, content in wanted["files"].items() if self._differs(path, content)]
        self.gone = [path for path in wanted["absent"] if os.path.lexists(path)]
        self.packages = self.host.installed()
        self.package_missing = bool(wanted["package"]) and wanted["package"] not in self.packages
        self.replaced = sorted(self.packages & set(wanted["replaces"]))
        self.not_running = [unit for unit in wanted["units"] if not self.host.wanted_state(unit)]
        self.running = [unit for unit in wanted["units_off"] if self._in_the_way(unit)]
        self.pointed = self._pointed()
        self.stale = not self._steps() and bool(self.not_in_force())

    @staticmethod
    def _differs(path: str, content: str) -> bool:
        return read(path) != content or os.path.islink(path) or (path.startswith(NOT_OF_ROOT) and hidden(path))

    def _in_the_way(self, unit: str) -> bool:
        state = self.host.unit(unit)
        return state["LoadState"] == "loaded" and (state["ActiveState"] == "active" or state["UnitFileState"] == "enabled")

    def _pointed(self) -> bool:
        """Whether resolv.conf is what it should be."""
        if self.wanted["link"]:
            linked = os.path.islink(RESOLV_CONF) and os.readlink(RESOLV_CONF) == self.wanted["link"]
            return linked and not self._wrong()
        return not os.path.islink(RESOLV_CONF) and read(RESOLV_CONF) == self.wanted["resolv_conf"]

    def _wrong(self) -> list[str]:
        text = read(RESOLV_CONF) or ""
        return resolv_conf_problems(text, self.wanted["first"], self.wanted["resolvers"])

    def differences(self) -> list[str]:
        """The steps of the change, in words."""
        return self._steps() + (["restart systemd-resolved, which does not ask the wanted servers"] if self.stale else [])

    def _steps(self) -> list[str]:
        todo = [f"write {path}" for path in self.written]
        todo += [f"install {self.wanted['package']}"] if self.package_missing else []
        todo += [f"remove the package {package}" for package in self.replaced]
        todo += [f"start {unit}" for unit in self.not_running]
        todo += [] if self.pointed else [f"write {RESOLV_CONF}"]
        todo += [f"stop {unit}" for unit in self.running]
        return todo + [f"remove {path}" for path in self.gone]

    def snapshot(self) -> None:
        """Keep the present state for the rollback."""
        wanted = self.wanted
        paths = {RESOLV_CONF, *wanted["files"], *wanted["absent"]}
        self.files = [File(path) for path in sorted(paths)]
        self.settings = self.host.installed(("rc",))
        self.units = {unit: self.host.unit(unit) for unit in [*wanted["units"], *wanted["units_off"]]}

    def apply(self) -> None:
        wanted = self.wanted
        moves = (
            self.package_missing or self.replaced or self.not_running or self.running or self.written or self.gone or self.stale
        )
        if moves and not wanted["link"] or self.package_missing or self.replaced:
            write(RESOLV_CONF, wanted["bridge"].encode())
        for path in self.written:
            write(path, wanted["files"][path].encode())
            if path.startswith(NOT_OF_ROOT):
                reveal(path)
        if self.package_missing and wanted["package"] == "resolvconf":
            # Its script would link resolv.conf; here that is the last step, once the link has a target.
            self.host.run("debconf-set-selections", data="resolvconf resolvconf/linkify-resolvconf boolean false\n")
        if self.package_missing or self.replaced:
            package = [wanted["package"]] if wanted["package"] else []
            beside = [f"{path}.dpkg-dist" for path in wanted["files"] if not os.path.exists(f"{path}.dpkg-dist")]
            with not_started(wanted["package"] == "systemd-resolved"):
                self.host.apt("install", *package, *(f"{package}-" for package in self.replaced))
            for package in self.replaced:  # policy-rc.d keeps units from stopping, too
                self.host.run("systemctl", "stop", package, check=False)
            for path in beside:
                remove(path)  # the package's version of a file of ours
            if not wanted["link"]:
                write(RESOLV_CONF, wanted["bridge"].encode())  # the package's script may have replaced it
        self._start()
        if wanted["link"]:
            self._stop()
            self._link()
        else:
            write(RESOLV_CONF, wanted["resolv_conf"].encode())
            self._stop()
        for path in self.gone:
            remove(path)
        if any("/systemd/" in path for path in self.gone):
            self._reload()
        self.verify()

    def _stop(self) -> None:
        for unit in self.running:
            if self._in_the_way(unit):  # its package may have removed it
                self.host.run("systemctl", "disable", "--now", unit)

    def _reload(self) -> None:
        self.host.run("systemctl", "daemon-reload")
        if os.path.exists("/run/systemd/netif/links") and any(
            path.startswith("/etc/systemd/network/") for path in [*self.written, *self.gone]
        ):
            self.host.run("networkctl", "reload")

    def _start(self) -> None:
        if any("/systemd/" in path for path in self.written):
            self._reload()
        units = self.wanted["units"]
        if not units:
            return
        self.host.run("systemctl", "enable", *units)
        if self.written or self.not_running or self.package_missing or self.stale:
            self.host.run("systemctl", "restart", *units)
        if self.wanted["first"]:
            self._answers(self.wanted["first"][0], (self.wanted["names"] or [""])[0])

    def _answers(self, server: str, name: str) -> None:
        """Wait until a server answers."""
        end = time.monotonic() + SECONDS
        while not ask(server, name):
            if time.monotonic() > end:
                raise Broken([f"{server} gives no answer within {SECONDS} s"])
            time.sleep(0.1)

    def _link(self) -> None:
        for path in self.gone:
            if path.startswith("/etc/resolvconf/"):
                remove(path)
        self._refresh()
        if not os.path.islink(RESOLV_CONF) or os.readlink(RESOLV_CONF) != self.wanted["link"]:
            link(RESOLV_CONF, self.wanted["link"])

    def _refresh(self) -> None:
        # Until the next boot resolvconf keeps records of the old resolv.conf and of a systemd-resolved that is removed: their
        # servers and options would be used.
        remove(f"{RECORDS}/original.resolvconf")
        if self.host.unit("systemd-resolved.service")["ActiveState"] != "active":
            remove(f"{RECORDS}/systemd-resolved")
        self.host.run("resolvconf", "-u")

    def verify(self) -> None:
        """Check resolv.conf and resolve the names."""
        problems = [f"{RESOLV_CONF} is unusable: {problem}{origin(problem)}" for problem in self._wrong()]
        if problems:
            raise Broken(problems)
        end = time.monotonic() + SECONDS
        while problems := self._unresolved():
            if time.monotonic() > end:
                raise Broken(problems)
            time.sleep(0.5)

    def _unresolved(self) -> list[str]:
        names, first = self.wanted["names"], self.wanted["first"][:1]
        missing = [f"no address of {name} by getent" for name in names if not self._getent(name)]
        for server in first:
            for name in names:
                answer = ask(server, name)
                if answer == ("NOERROR", 0):
                    answer = ask(server, name, AAAA)
                if not answer or answer[0] != "NOERROR" or not answer[1]:
                    missing.append(f"{server} answers {answer[0] if answer else 'nothing'} to {name}")
        return missing + self.not_in_force() + self.unanswered()

    def not_in_force(self) -> list[str]:
        """A problem when systemd-resolved does not ask the servers that it should: its setting is not read, or another one is."""
        missing, domain = [server for server in self.wanted["asked"] if server not in self._servers()], self.wanted["domain"]
        hint = "another file in /etc/systemd/resolved.conf.d sets {} after zz-discovery.conf, or it cannot be read"
        if missing:
            return [f"systemd-resolved does not ask {', '.join(missing)}: {hint.format('DNS')}"]
        if domain and f"~{domain.lower()}" not in global_domains(self.host.run("resolvectl", "domain", check=False)):
            return [f"systemd-resolved does not send names of {domain} to these servers alone: {hint.format('Domains')}"]
        return []

    def _servers(self) -> list[str]:
        return re.findall(r"^nameserver (\S+)", read(UPLINK) or "", re.MULTILINE)

    def unanswered(self) -> list[str]:
        """A problem when none of the site's name servers answers."""
        servers = self.wanted["resolvers"]
        return [] if any(ask(server, "", NS) for server in servers * 2) else [f"no answer from {', '.join(servers)}"]

    def _getent(self, name: str) -> str:
        return self.host.run("timeout", "10", "getent", "hosts", name, check=False)

    def rollback(self) -> list[str]:
        """Restore the state of the snapshot; returns what failed."""
        wanted, failed = self.wanted, []

        def attempt(step, *arguments):
            try:
                step(*arguments)
            except (Broken, OSError) as error:
                failed.append(str(error))

        now = self.host.installed()
        new, lost = sorted(now - self.packages), sorted(self.packages - now)
        own = next(file for file in self.files if file.path == RESOLV_CONF)
        # Packages' scripts edit a resolv.conf that is a link; a plain one names servers while they run.
        attempt(write, RESOLV_CONF, wanted["bridge"].encode())
        if lost:
            attempt(self.host.apt, "install", *lost, *(f"{package}-" for package in new))
        for verb, packages in (("purge", set(new) - self.settings), ("remove", set(new) & self.settings)):
            if packages:
                attempt(self.host.apt, verb, *sorted(packages))
        for unit in wanted["units"]:
            if self.units[unit]["LoadState"] != "loaded" or self.units[unit]["ActiveState"] != "active":
                self.host.run("systemctl", "stop", unit, check=False)
            if self.units[unit]["UnitFileState"] not in ("enabled", "static"):
                self.host.run("systemctl", "disable", unit, check=False)
        for file in self.files:
            if file is not own:
                attempt(file.restore)
        attempt(self._reload)
        for unit, before in self.units.items():
            if before["UnitFileState"] == "enabled":
                self.host.run("systemctl", "enable", unit, check=False)
            if before["ActiveState"] == "active":
                attempt(self.host.run, "systemctl", "restart", unit)
        if own.target and "resolvconf" in own.target:
            attempt(self._refresh)
        attempt(own.restore)
        return failed


def hidden(path: str) -> bool:
    """Whether a program that is not root cannot read a file: systemd-resolved and systemd-networkd are not."""
    try:
        file, folder = os.stat(path).st_mode, os.stat(os.path.dirname(path)).st_mode
    except OSError:
        return True
    return not file & stat.S_IROTH or folder & 0o005 != 0o005


def reveal(path: str) -> None:
    """Let everybody enter the directory of a file, which an earlier run may have made under another umask."""
    folder = os.path.dirname(path)
    os.chmod(folder, stat.S_IMODE(os.stat(folder).st_mode) | 0o055)


@contextlib.contextmanager
def not_started(wanted: bool):
    """Keep the scripts of packages from starting units: systemd-resolved's puts itself into resolv.conf before it answers."""
    wanted = wanted and not os.path.exists(POLICY)
    if wanted:
        write(POLICY, b"#!/bin/sh\nexit 101\n", 0o755)
    try:
        yield
    finally:
        if wanted:
            remove(POLICY)


def origin(problem: str) -> str:
    """The files that resolvconf takes a setting from."""
    pattern = r"^options\b.*\brotate\b" if "rotate" in problem else r"^nameserver\b"
    files = [os.path.join(place, name) for place in (SETTINGS, RECORDS) if os.path.isdir(place) for name in os.listdir(place)]
    found = [path for path in files if re.search(pattern, read(path) or "", re.MULTILINE)]
    return f" (it is made from {', '.join(sorted(found))})" if found else ""


def resolv_conf() -> str:
    """Target and content of resolv.conf."""
    target = f"-> {os.readlink(RESOLV_CONF)}\n" if os.path.islink(RESOLV_CONF) else ""
    return target + (read(RESOLV_CONF) or "")


def differs(path: str, after: str, before: str | None = None) -> dict:
    """A difference to show; `before` is what the file holds now, unless it is given."""
    return {"before_header": path, "after_header": path, "before": before or read(path) or "", "after": after}


def main():
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "default": {}},
            "absent": {"type": "list", "elements": "path", "default": []},
            "package": {"type": "str", "default": ""},
            "replaces": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "units_off": {"type": "list", "elements": "str", "default": []},
            "resolv_conf": {"type": "str", "default": ""},
            "link": {"type": "str", "default": ""},
            "bridge": {"type": "str", "required": True},
            "first": {"type": "list", "elements": "str", "default": []},
            "resolvers": {"type": "list", "elements": "str", "required": True},
            "asked": {"type": "list", "elements": "str", "default": []},
            "domain": {"type": "str", "default": ""},
            "names": {"type": "list", "elements": "str", "default": []},
            "lock_timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)  # resolvconf and scripts of packages write files for everybody
    change = Change(module)
    todo = change.differences()
    diff = [differs(path, module.params["files"][path]) for path in change.written]
    if not change.pointed and module.params["resolv_conf"]:
        diff.append(differs(RESOLV_CONF, module.params["resolv_conf"]))
    if not todo or module.check_mode:
        module.exit_json(changed=bool(todo), done=todo, diff=diff)
    change.snapshot()
    before = resolv_conf()
    if unanswered := change.unanswered():
        module.fail_json(msg=f"the resolver is left as it was before this run, because: {unanswered[0]}", problems=unanswered)
    try:
        change.apply()
    except (Broken, OSError) as error:
        problems = error.args[0] if isinstance(error, Broken) else [str(error)]
        failed = change.rollback()
        module.fail_json(
            msg=f"the resolver is left as it was before this run, because: {'; '.join(problems)}"
            + (f". The rollback failed in part: {'; '.join(failed)}" if failed else ""),
            problems=problems,
        )
    if module.params["link"] and resolv_conf() != before:  # resolvconf has made its content just now
        diff.append(differs(RESOLV_CONF, resolv_conf(), before))
    module.exit_json(changed=True, done=todo, diff=diff)


if __name__ == "__main__":
    main()
