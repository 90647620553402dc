#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: consul_template
short_description: A user's own templates on a host, each followed by a unit of its own
description:
  - A template has its source and its configuration below C(/etc/discovery-templates), and a unit of its own. The unit starts with
    copies in its directory below C(/run), so what it runs with can be compared with the files.
  - A new source is rendered once and dry, by the template's user and with its token, before it replaces the one that runs. One
    that cannot be parsed or executed is refused, and what runs goes on. One that waits, for example for a key that is not there
    yet, is accepted with a warning.
options:
  state:
    description:
      - V(present). The template is followed as the options describe it.
      - V(absent). All templates but those of O(keep) are removed. The files that they have written stay.
      - V(restarted). The units that run with other files than there are now, such as a token, are restarted.
    type: str
    choices: [present, absent, restarted]
    default: present
  name: {description: Name of the template., type: str}
  source: {description: The template itself., type: str}
  config: {description: Configuration of consul-template., type: str}
  unit: {description: Content of the unit., type: str}
  destination: {description: "File that it writes; a directory that is missing is created for O(user).", type: path}
  user: {description: "Its user.", type: str, default: root}
  keep: {description: "Names of the templates that stay, for V(state=absent).", type: list, elements: str, default: []}
  program: {description: consul-template., type: path, default: /usr/local/bin/consul-template}
  wait: {description: "How long a first rendering may take, in seconds.", type: float, default: 10}
attributes:
  check_mode:
    description: Predicts the change and does nothing; nothing is rendered.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Remove the templates that are not listed
  fewnodes.discovery.consul_template:
    state: absent
    keep: [motd]
"""

RETURN = r"""
templates:
  description: Names of the templates that were changed, removed or restarted.
  returned: always
  type: list
  elements: str
shared:
  description: Whether the load balancer of the host uses the program consul-template as well.
  returned: always
  type: bool
"""

import contextlib
import glob
import os
import pwd
import re
import stat
import subprocess
import tempfile
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import make_directories, read, remove, text, write
from ansible_collections.fewnodes.discovery.plugins.module_utils.unit import shown

FILES = "/etc/discovery-templates"
UNITS = "/etc/systemd/system"
RUN = "/run"
TOKEN = f"{FILES}/token"
CA = "/etc/consul.d/tls/ca.pem"
PREFIX = "discovery-template-"
BALANCER = f"{UNITS}/consul-template.service"
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
AGAIN = 3.0  # seconds: longer than the pause between two starts of a unit that fails
STATE = ("ActiveState", "NRestarts", "MainPID", "UnitFileState")


class Refused(Exception):
    """What stands in the way; the argument says what to do."""


def files_of(name: str) -> dict[str, str]:
    """Kind to path of what a template has on the host."""
    return {"source": f"{FILES}/{name}.ctmpl", "config": f"{FILES}/{name}.json", "unit": f"{UNITS}/{PREFIX}{name}.service"}


def present_names() -> list[str]:
    """Names of the templates of this host, also of those that an interruption left a part of."""
    units = [os.path.basename(path)[len(PREFIX) : -len(".service")] for path in glob.glob(f"{UNITS}/{PREFIX}*.service")]
    files = [os.path.splitext(os.path.basename(path))[0] for path in glob.glob(f"{FILES}/*.ctmpl") + glob.glob(f"{FILES}/*.json")]
    return sorted({*units, *files})


def copies_of(name: str) -> dict[str, str]:
    """What a unit was started with: its copy to the file that it is of."""
    run, files = f"{RUN}/{PREFIX}{name}", files_of(name)
    return {f"{run}/template.ctmpl": files["source"], f"{run}/config.json": files["config"], f"{run}/token": TOKEN}


def runs_with_other(name: str, pid: str, program: str) -> bool:
    """Whether a running unit was started with other files or another program than there are. A CA that has gone is no reason."""
    if any(read(copy) != read(file) for copy, file in copies_of(name).items()):
        return True
    trusted = set(CERTIFICATE.findall(text(f"{RUN}/{PREFIX}{name}/ca.pem")))
    if set(CERTIFICATE.findall(text(CA))) - trusted:
        return True
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") != os.path.realpath(program)
    return True


def may_write(status: os.stat_result, uid: int, groups: set[int]) -> bool:
    """Whether a user without capabilities may make files in a directory."""
    if status.st_uid == uid:
        needed = stat.S_IWUSR | stat.S_IXUSR
    elif status.st_gid in groups:
        needed = stat.S_IWGRP | stat.S_IXGRP
    else:
        needed = stat.S_IWOTH | stat.S_IXOTH
    return status.st_mode & needed == needed


def check_directory(directory: str, user: pwd.struct_passwd) -> None:
    """:raises Refused: a template of the user could not write there"""
    existing = directory
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if os.path.realpath(existing) != existing or not os.path.isdir(existing):
        raise Refused(f"{existing} is a link or no directory: set a destination in a directory")
    groups = set(os.getgrouplist(user.pw_name, user.pw_gid))
    status = os.stat(existing)
    if existing == directory and not may_write(status, user.pw_uid, groups):
        owner = owner_of(status)
        raise Refused(
            f"{user.pw_name} may not write into {directory}, which belongs to {owner}: set user to {owner},"
            " or a destination in a directory that does not exist yet"
        )


def owner_of(status: os.stat_result) -> str:
    try:
        return pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return str(status.st_uid)


def make_directory(directory: str, user: pwd.struct_passwd) -> None:
    if not os.path.isdir(directory):
        make_directories(directory)
        os.chown(directory, user.pw_uid, user.pw_gid)


def tried(program: str, name: str, source: str, config: str, user: pwd.struct_passwd, seconds: float) -> str:
    """Render a template once and dry; nothing that is rendered is shown.

    :returns: what it waits for, '' when it was rendered
    :raises Refused: it cannot be parsed or executed
    """
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        given = {"template.ctmpl": source, "token": text(TOKEN), "ca.pem": text(CA)}
        given["config.json"] = config.replace(f"{RUN}/{PREFIX}{name}/", f"{folder}/")
        for file, content in given.items():
            write(f"{folder}/{file}", content.encode(), 0o400, (user.pw_uid, user.pw_gid))
        groups = os.getgrouplist(user.pw_name, user.pw_gid)
        command = [program, f"-config={folder}/config.json", "-once", "-dry"]
        try:
            done = subprocess.run(
                command, cwd=folder, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, text=True, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=seconds,
                user=user.pw_uid, group=user.pw_gid, extra_groups=groups,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            said = late.stderr or b""
            said = said if isinstance(said, str) else said.decode(errors="replace")  # bytes, also where text is asked for
            return reason(said, folder) or "a key or a service is not there yet"
    if done.returncode != 0:
        told = reason(done.stderr, folder) or f"consul-template ends with {done.returncode}"
        raise Refused(f"its new version is refused, and nothing of it was changed: {told}")
    return ""


def reason(errors: str, folder: str) -> str:
    """The last error of consul-template, without the paths of a trial."""
    lines = [line.strip() for line in errors.replace(f"{folder}/", "").splitlines()]
    told = [match[1] for line in lines if (match := re.search(r"\[(?:ERR|WARN)\] \((?!runner)\w+\) (.*)", line))]
    return told[-1][:400] if told else ""


def settled(module, name: str, seconds: float) -> bool:
    """Wait until a unit that has started has written its file and ended its command; False when that takes longer.

    :raises Refused: it has failed meanwhile
    """
    end, before = time.monotonic() + seconds, ""
    while not is_done(name):
        found = shown(module, f"{PREFIX}{name}.service", *STATE)
        before = before or found["NRestarts"]
        if found["ActiveState"] != "active" or found["NRestarts"] != before:
            raise Refused(f"it fails, alone, and is tried again every 2 s; the reason: journalctl -u {PREFIX}{name}")
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def is_done(name: str) -> bool:
    """Whether the file is written since the start of the unit, and the command has ended well."""
    return os.path.exists(f"{RUN}/{PREFIX}{name}/done")


def warn(module, name: str, waits: str = "") -> None:
    module.warn(f"the file or the command of the template {name} waits: {waits or f'see journalctl -u {PREFIX}{name}'}")


def present(module, options: dict) -> list[str]:
    """Bring one template to what it should be."""
    name, unit, program = options["name"], f"{PREFIX}{options['name']}.service", options["program"]
    contents = {kind: options[kind] for kind in files_of(name)}
    changed = {kind: path for kind, path in files_of(name).items() if read(path) != contents[kind]}
    found = shown(module, unit, *STATE, "NeedDaemonReload")
    restart = bool(changed) or found["ActiveState"] != "active" or runs_with_other(name, found["MainPID"], program)
    if not restart and found["UnitFileState"] == "enabled" and found["NeedDaemonReload"] == "no":
        if not settled(module, name, AGAIN):
            warn(module, name)
        return []
    if module.check_mode:
        return [name]
    user, directory = pwd.getpwnam(options["user"]), os.path.dirname(options["destination"])
    check_directory(directory, user)
    waits = ""
    if changed:
        waits = tried(program, name, options["source"], options["config"], user, options["wait"])
    make_directory(directory, user)
    for kind, path in changed.items():
        write(path, contents[kind].encode(), 0o644 if kind == "unit" else 0o600)
    module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    module.run_command(["systemctl", "enable", unit], check_rc=True)
    module.run_command(["systemctl", "reset-failed", unit])
    module.run_command(["systemctl", "restart", unit], check_rc=True)
    if waits or not settled(module, name, options["wait"]):
        warn(module, name, waits)
    return [name]


def absent(module, keep: list[str]) -> list[str]:
    """Remove the templates that do not stay. The unit's file last: with it the next run stops what this one could not."""
    gone = [name for name in present_names() if name not in keep]
    for name in [] if module.check_mode else gone:
        files, unit = files_of(name), f"{PREFIX}{name}.service"
        if os.path.lexists(files["unit"]):
            module.run_command(["systemctl", "disable", "--now", unit], check_rc=True)
            module.run_command(["systemctl", "reset-failed", unit])
        for path in files.values():
            remove(path)
    if gone and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    return gone


def restarted(module, program: str) -> list[str]:
    """Restart what runs with other files than there are."""
    done = []
    for name in present_names():
        found = shown(module, f"{PREFIX}{name}.service", *STATE)
        if found["ActiveState"] == "active" and runs_with_other(name, found["MainPID"], program):
            done.append(name)
            if not module.check_mode:
                module.run_command(["systemctl", "restart", f"{PREFIX}{name}.service"], check_rc=True)
    return done


def main():
    needed = ["name", "source", "config", "unit", "destination"]
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent", "restarted"], "default": "present"},
            **{name: {"type": "path" if name == "destination" else "str"} for name in needed},
            "user": {"type": "str", "default": "root"},
            "keep": {"type": "list", "elements": "str", "default": []},
            "program": {"type": "path", "default": "/usr/local/bin/consul-template"},
            "wait": {"type": "float", "default": 10},
        },
        required_if=[("state", "present", needed)],
        supports_check_mode=True,
    )
    options, state = module.params, module.params["state"]
    try:
        if state == "present":
            done = present(module, options)
        else:
            done = absent(module, options["keep"]) if state == "absent" else restarted(module, options["program"])
    except (KeyError, OSError, Refused) as error:
        module.fail_json(msg=f"the template {options['name']}: {error}")
    module.exit_json(changed=bool(done), templates=done, shared=os.path.exists(BALANCER))


if __name__ == "__main__":
    main()
