"""Running playbooks in a test, and what must not have changed afterwards."""

import os
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, UNITS


def state_of(site) -> dict:
    """What a restart, a new container or a registration would change."""
    state = {"catalog": site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"]}
    for group, units in UNITS.items():
        for node in site.group(group):
            for unit in units:
                state[node.name, unit] = node.unit(unit, "ActiveEnterTimestampMonotonic", "MainPID")
    for node in site.docker_hosts:
        state[node.name, "containers"] = node.run(
            "docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}' $(docker ps -aq) | sort"
        )
    return state


def play(site, playbook: str, *options, inventory: Path | None = None) -> tuple[subprocess.CompletedProcess, float]:
    """Run a playbook of the checkout; how it ended and what it printed, and the seconds.

    :param options: further arguments of ansible-playbook
    :param inventory: another one than the site's
    """
    start = time.monotonic()
    done = _run("ansible-playbook", "-i", inventory or site.inventory, *options, playbook)
    return done, time.monotonic() - start


def adhoc(site, host: str, *options) -> subprocess.CompletedProcess:
    """Run one module on one host, as root."""
    return _run("ansible", "-i", site.inventory, host, "-b", *options)


def _run(program: str, *arguments) -> subprocess.CompletedProcess:
    tools = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": f"{tools}:{environment['PATH']}"}
    command = [tools / program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def refused(site, words, *options):
    """The preflight stops, says these words and changes nothing.

    :param words: texts that it must say
    :param options: further arguments of ansible-playbook, such as those that bring the mistake
    """
    before = state_of(site)
    done, _ = play(site, "playbooks/preflight.yml", *options)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert [word for word in words if word not in said] == [], said[-3000:]
    assert "changed=0" in said and "changed=1" not in said
    assert state_of(site) == before
