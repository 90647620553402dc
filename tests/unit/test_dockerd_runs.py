"""Whether dockerd runs is asked of systemd, in one way by the modules and in one by the programs: docker.socket stays active
beside a dockerd that was stopped, and any request to it starts it with all its containers."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import docker_api

from discovery_program import systemd

ROOT = Path(__file__).parents[2]
ASKS = {"modules": docker_api.dockerd_runs, "programs": systemd.dockerd_runs}
ONLY = ["plugins/module_utils/docker_api.py", "roles/common/files/discovery_program/systemd.py"]


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """One that does what it is given, and a socket of docker.socket where nobody may connect."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(docker_api, "SOCKET", str(tmp_path / "docker.sock"))
    for module in (docker_api, systemd):
        monkeypatch.setattr(module, "SECONDS", 60)

    def does(script):
        (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n{script}\n')
        (tmp_path / "systemctl").chmod(0o755)

    with socket.socket(socket.AF_UNIX) as of_systemd:
        of_systemd.bind(str(tmp_path / "docker.sock"))
        of_systemd.listen()
        of_systemd.setblocking(False)
        (tmp_path / "asked").touch()  # one that hangs may be ended before it has written
        yield does
        with pytest.raises(BlockingIOError):
            of_systemd.accept()
    assert set((tmp_path / "asked").read_text().splitlines()) <= {"is-active --quiet docker.service"}


@pytest.mark.parametrize("who", ASKS)
@pytest.mark.parametrize(("code", "runs"), [(0, True), (3, False), (4, False)])
def test_systemd_is_asked_and_docker_socket_is_not(systemctl, who, code, runs):
    systemctl(f"exit {code}")
    assert ASKS[who]() is runs


@pytest.mark.parametrize("who", ASKS)
def test_a_systemd_that_hangs_is_an_error_in_time(systemctl, monkeypatch, who):
    for module in (docker_api, systemd):
        monkeypatch.setattr(module, "SECONDS", 0.2)
    systemctl("exec sleep 60")
    with pytest.raises((subprocess.TimeoutExpired, OSError), match="systemctl"):
        ASKS[who]()


def test_a_host_without_dockerd_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(docker_api, "SOCKET", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker_api.dockerd_runs() is False


def test_nobody_asks_in_another_way():
    found = []
    for folder in ("plugins", "roles"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and file.suffix in (".py", ".yml") and "is-active" in (text := file.read_text()):
                found += [str(file.relative_to(ROOT))] * ("docker.service" in text)
    assert sorted(found) == ONLY
