"""Running playbooks in a test: their output, and what must not change: secrets, other hosts, a site that refuses a run."""

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.support.secret_search import in_text, note, patterns
from tests.support.site import ROOT

RECAP = re.compile(r"^(\S+) +: +(ok=\d.*)$", re.MULTILINE)


def state_of(site) -> dict:
    """What a restart, a new container or a registration would change."""
    state = {"catalog": site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"]}
    with ThreadPoolExecutor(len(site.nodes)) as pool:
        for found in pool.map(lambda node: _state_of(site, node), site.nodes.values()):
            state |= found
    return state


def _state_of(site, node) -> dict:
    units = [unit for group, units in site.units.items() if node in site.group(group) for unit in units]
    state = {(node.name, unit): node.unit(unit, "ActiveEnterTimestampMonotonic", "MainPID") for unit in units}
    if node in site.docker_hosts:
        containers = "docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}' $(docker ps -aq) | sort"
        state[node.name, "containers"] = node.run(containers)
    return state


def play(
    site, playbook: str | Path, *options, inventory: Path | None = None, environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess, float]:
    """Run a playbook of the checkout; how it ended and what it printed, which holds no secret, and the seconds.

    :param playbook: its path, or its name in an installed collection (see `install`)
    :param options: further arguments of ansible-playbook
    :param inventory: another one than the site's
    :param environment: further variables of its environment
    """
    start = time.monotonic()
    done = _run("ansible-playbook", "-i", inventory or site.inventory, *options, playbook, environment=environment)
    seconds = time.monotonic() - start
    shown = in_text(done.stdout + done.stderr, patterns(note(site)))
    assert shown == [], f"{playbook} printed secrets: {shown}"
    return done, seconds


def status_page(site, *options: str) -> tuple[str, int]:
    """The page of playbooks/status.yml, and what ansible-playbook ended with."""
    done, _ = play(site, "playbooks/status.yml", *options)
    return done.stdout.split("TASK [Show the page]")[-1].split("PLAY RECAP")[0], done.returncode


def install(folder: Path) -> dict[str, str]:
    """Build the collection and install it below a folder; the environment in which plays find that copy, not the checkout."""
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(folder / "installed"), "ANSIBLE_ROLES_PATH": str(folder / "no-roles")}

    def galaxy(*arguments) -> None:
        done = _run("ansible-galaxy", "collection", *arguments, environment=paths)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    galaxy("build", "--output-path", folder, ROOT)
    galaxy("install", "--no-deps", "--offline", "-p", folder / "installed", *folder.glob("fewnodes-discovery-*.tar.gz"))
    return paths


def adhoc(site, host: str, *options, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run one module on one host, as root."""
    return _run("ansible", "-i", site.inventory, host, "-b", *options, environment=environment)


def _run(program: str, *arguments, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    tools = Path(sys.executable).parent
    own = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    own |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": f"{tools}:{own['PATH']}"} | (environment or {})
    command = [tools / program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)


def refused(site, words, *options):
    """The preflight stops with these words and changes nothing.

    :param words: of its message
    :param options: further arguments of ansible-playbook, such as those that bring the mistake
    """
    before = state_of(site)
    done, _ = play(site, "playbooks/preflight.yml", *options)
    assert_refused(done, words)
    assert state_of(site) == before


def assert_refused(done, words) -> None:
    """The preflight has stopped with these words, and reports no change."""
    assert done.returncode != 0
    output = " ".join(done.stdout.split())
    assert [word for word in words if word not in output] == [], output[-3000:]
    assert "changed=0" in output and "changed=1" not in output


def recap(done) -> dict[str, dict[str, int]]:
    """The counts at the end of a run, by host: ok, changed, unreachable, failed, skipped, rescued, ignored."""
    lines = RECAP.findall(done.stdout.rpartition("PLAY RECAP")[2])
    found = {host: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in lines}
    assert found, f"ansible-playbook printed no recap: {done.stdout[-2000:]}{done.stderr[-1000:]}"
    return found


def changes(done) -> list[str]:
    """The changes that a run reports: one text for each host and item, with its result where `-v` was given."""
    blocks = re.split(r"\n(?=\S|\n)", done.stdout)
    return [block for block in blocks if block.lstrip("\n").startswith("changed: [")]


def tasks_of_changes(done) -> str:
    """The names of the tasks and the hosts that a run reports as changed, for a message."""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("TASK", "RUNNING", "changed:"))]
    pairs = zip(lines, [*lines[1:], ""], strict=True)
    return "\n".join(line for line, following in pairs if line.startswith("changed:") or following.startswith("changed:"))


def assert_unchanged(done) -> None:
    """The run went through, without a change on any host."""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    reported = tasks_of_changes(done)
    for host, counts in recap(done).items():
        assert [counts[bad] for bad in ("changed", "unreachable", "failed", "ignored")] == [0, 0, 0, 0], f"{host}: {reported}"


def secrets_of(site) -> dict[str, str]:
    """A hash of each secret of the site on the controller, by its path."""
    files = (path for path in sorted(site.secrets.rglob("*")) if path.is_file())
    return {str(path.relative_to(site.secrets)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def altered_inventory(inventory: Path, folder: Path, alter: Callable[[dict], dict]) -> Path:
    """A copy of an inventory with other hosts; variables and secrets are shared.

    :param folder: of the copy; one of an earlier call is written anew
    :param alter: from the content of hosts.yml to that of the copy
    """
    folder.mkdir(parents=True, exist_ok=True)
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())
    (folder / "hosts.yml").write_text(yaml.safe_dump(alter(hosts), sort_keys=False))
    for shared in ("group_vars", ".secrets"):
        (folder / shared).unlink(missing_ok=True)
        (folder / shared).symlink_to((inventory / shared).resolve())
    return folder


def reversed_inventory(site, folder: Path) -> Path:
    """A copy of the site's inventory with the hosts of each group in the reversed order; variables and secrets are shared."""

    def turned(part, key=None):
        if not isinstance(part, dict):
            return part
        items = reversed(part.items()) if key == "hosts" else part.items()
        return {name: turned(value, name) for name, value in items}

    return altered_inventory(site.inventory, folder, turned)
