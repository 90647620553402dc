"""People limit a run to the host that it is about: an operation that waits for load balancers refuses a run without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INVENTORY = """
all: {vars: {ansible_host: 127.0.0.1, ansible_port: 1, discovery_domain: site.example}}
consul_servers: {hosts: {a: {discovery_address: 192.0.2.1}, b: {discovery_address: 192.0.2.2}, c: {discovery_address: 192.0.2.3}}}
docker_hosts: {hosts: {a: {}, b: {}}}
load_balancers: {hosts: {b: {}, c: {}}}
"""
OPERATIONS = {
    "drain": ["-e", "drain_host=a"],
    "remove_node": ["-e", "remove_host=a"],
    "scale_service": ["-e", "scale_service=web"],
}
WORDS = "--limit excludes the load balancers"


def run(tmp_path, playbook: str, *arguments: str) -> str:
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", tmp_path / "hosts.yml", ROOT / f"playbooks/{playbook}.yml"]
    done = subprocess.run(
        [*command, *OPERATIONS[playbook], *arguments],
        cwd=ROOT, env=os.environ | {"COLUMNS": "1000"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("playbook", OPERATIONS)
def test_w26_a_run_without_load_balancers_is_refused_before_any_host(tmp_path, playbook):
    text = run(tmp_path, playbook, "--limit", "a,b")
    assert f"{WORDS} c, which" in text and "unreachable=1" not in text and "UNREACHABLE" not in text, text


@pytest.mark.parametrize("playbook", OPERATIONS)
@pytest.mark.parametrize("limit", [[], ["--limit", "all"], ["--limit", "b:c:&docker_hosts:c"], ["--limit", "all:!a"]])
def test_w26_a_run_with_all_of_them_is_not(tmp_path, playbook, limit):
    if limit == ["--limit", "b:c:&docker_hosts:c"]:
        assert f"{WORDS} c, which" in run(tmp_path, playbook, *limit), "a pattern is read as Ansible does"
    else:
        assert WORDS not in run(tmp_path, playbook, *limit)


def test_w26_the_balancer_that_is_removed_may_be_left_out(tmp_path):
    assert WORDS not in run(tmp_path, "remove_node", "-e", "remove_host=c", "--limit", "a,b")
