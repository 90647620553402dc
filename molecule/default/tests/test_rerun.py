"""A second run changes nothing, and proves it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, UNITS

RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


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


def play(site, playbook: str) -> tuple[str, float]:
    """Run a playbook of the checkout on the site; what it printed, and the seconds."""
    tools = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PATH": f"{tools}:{environment['PATH']}"}
    start = time.monotonic()
    done = subprocess.run(
        [tools / "ansible-playbook", "-i", site.inventory, playbook],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return done.stdout, seconds


def assert_unchanged(output: str) -> None:
    recap = RECAP.findall(output)
    told = "\n".join(line for line in output.splitlines() if line.startswith(("TASK", "RUNNING", "changed:")))
    assert recap, "ansible-playbook printed no recap"
    assert all(counts == ["0", "0", "0"] for _, *counts in recap), told


def test_h13_rerun_changes_nothing(site, settled, show):
    before = state_of(site)
    output, seconds = play(site, "site.yml")
    show(f"no-op run of site.yml: {seconds:.0f} s")
    assert_unchanged(output)
    assert state_of(site) == before
    assert seconds <= 90


def test_h13_rerun_of_the_sample_services_changes_nothing(site, settled):
    before = state_of(site)
    output, _ = play(site, "playbooks/sample_services.yml")
    assert_unchanged(output)
    assert state_of(site) == before
