"""Where a lab may be: asked of a real kernel, in a network namespace of its own, with podman's own networks."""

import ipaddress
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASK = """
import ipaddress, json
from lab import machine
shadowed = machine.overlapping_route(ipaddress.IPv4Network("10.129.0.128/25"))
found = {"routes": machine.routes(), "shadowed": shadowed, "free": machine.free_subnet(), "podman": machine.podman_subnets()}
print(json.dumps(found, default=str))
"""


@pytest.fixture
def run():
    """Run Python in a namespace with one interface, which has 10.129.0.1/24: run(*arguments)."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    name = f"lab-{uuid.uuid4().hex[:8]}"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        inside = ["ip", "netns", "exec", name, sys.executable, *arguments]
        return subprocess.run(inside, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", "uplink", "type", "veth", "peer", "name", "other")
        ip("-n", name, "addr", "add", "10.129.0.1/24", "dev", "uplink")
        ip("-n", name, "link", "set", "other", "up")
        ip("-n", name, "link", "set", "uplink", "up")
        yield run
    finally:
        ip("netns", "delete", name)


def test_a_subnet_of_this_machine_is_known_and_not_taken(run):
    done = run("-c", ASK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["routes"] == [["10.129.0.0/24", "uplink"]]
    assert found["shadowed"] == "10.129.0.0/24 on uplink"
    free = ipaddress.IPv4Network(found["free"])
    assert free.subnet_of(ipaddress.IPv4Network("10.129.0.0/16"))
    assert not any(free.overlaps(ipaddress.IPv4Network(one)) for one in ["10.129.0.0/24", *found["podman"]])


def test_a_lab_that_would_shadow_a_route_is_not_made(run, tmp_path):
    (tmp_path / "ward-shadow").mkdir()
    (tmp_path / "ward-shadow/hosts.yml").write_text("all: {hosts: {a: {ansible_host: 10.129.0.11}}}\n")
    done = run("-m", "lab", "up", str(tmp_path / "ward-shadow"))
    assert done.returncode != 0
    assert "10.129.0.0/24 overlaps 10.129.0.0/24 on uplink" in done.stderr + done.stdout
    assert list((tmp_path / "ward-shadow").iterdir()) == [tmp_path / "ward-shadow/hosts.yml"]
    listed = subprocess.run(["podman", "network", "ls", "--quiet"], capture_output=True, text=True, check=True).stdout
    assert "fewnodes-ward-shadow" not in listed.split()
