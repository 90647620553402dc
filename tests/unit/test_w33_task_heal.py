"""W33: dockerd-task-heal finds the containers that containerd has lost, and nothing else."""

import os
import subprocess
import sys

import pytest
from programs import load
from tests.support.clock import Clock
from tests.support.wait import eventually

heal = load("dockerd/files/dockerd-task-heal")

ID, OTHER = "a1" * 32, "b2" * 32
ERROR = f"failed to create task for container: failed to start shim: mkdir {heal.TASKS}/{ID}: file exists: unknown"


def container(error: str = ERROR, running: bool = False, policy: str = "always", identity: str = ID) -> dict:
    return {
        "Id": identity, "Name": "/web", "State": {"Error": error, "Running": running},
        "HostConfig": {"RestartPolicy": {"Name": policy}},
    }  # fmt: skip


def test_w33_a_container_that_runc_still_knows():
    """As after a shim that was killed: seen on nodes."""
    error = f"failed to create task for container: failed to create shim task: {heal.KNOWN_TO_RUNC}: unknown"
    assert heal.lost([container(error)]) == [("web", ID)]


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_w33_a_container_whose_own_directory_is_in_the_way(policy):
    assert heal.lost([container(policy=policy)]) == [("web", ID)]


@pytest.mark.parametrize(
    "other",
    [
        container(running=True),
        container(policy="no"),
        container(policy="on-failure"),
        container(error=""),
        container(error="OCI runtime create failed"),
        container(identity=OTHER),  # the directory is another one's
        container(error=f"failed to start shim: mkdir /srv/{ID}: file exists"),
        container(error=f"failed to start shim: mkdir {heal.TASKS}/../{ID}: file exists"),
    ],
)
def test_w33_everything_else_is_left_alone(other):
    assert heal.lost([other]) == []


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(heal, "time", Clock())


def started(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *arguments])


def test_w33_the_shim_is_found_by_its_arguments():
    with started("-namespace", "moby", "-id", ID, "-address", "x") as mine, started("-namespace", "k8s.io", "-id", ID) as other:
        try:
            eventually(lambda: mine.pid in list(heal.shims(ID)), 20)
            assert other.pid not in list(heal.shims(ID)) and list(heal.shims(OTHER)) == []
        finally:
            mine.kill()
            other.kill()


def test_w33_a_process_that_is_another_one_by_now_is_left_alone(tmp_path):
    bundle, proc = tmp_path / ID, tmp_path / "proc"
    (proc / "77").mkdir(parents=True)
    bundle.mkdir()
    assert list(heal.of_container(bundle, ID, proc)) == []
    (bundle / "init.pid").write_text("77")
    (proc / "77/cgroup").write_text("0::/system.slice/ssh.service")
    assert list(heal.of_container(bundle, ID, proc)) == []
    (proc / "77/cgroup").write_text(f"0::/system.slice/docker-{ID}.scope")
    assert list(heal.of_container(bundle, ID, proc)) == [77]


def test_w33_what_containerd_knows_is_left_alone(monkeypatch, clock):
    """It is asked for each container, right before anything is done."""
    answers = {"docker ps": ID, "docker inspect": heal.json.dumps([container()]), "ctr --namespace": f"{OTHER}\n{ID}\n"}
    monkeypatch.setattr(heal, "output", lambda *command, check=True: answers[" ".join(command[:2])])
    monkeypatch.setattr(heal, "dockerd_runs", lambda: True)
    monkeypatch.setattr(heal, "remove", lambda identity: pytest.fail("it was removed"))
    heal.main()


def test_w33_what_it_does_not_know_is_removed_and_started(monkeypatch, tmp_path, clock):
    ran, there = [], [container()]
    monkeypatch.setattr(heal, "TASKS", str(tmp_path))
    monkeypatch.setattr(heal, "STATES", str(tmp_path / "docker"))
    runc = tmp_path / "docker/runtime-runc/moby"
    (runc / ID).mkdir(parents=True)
    (runc / OTHER).mkdir()
    monkeypatch.setattr(heal, "inspected", lambda: there)
    monkeypatch.setattr(heal, "known", set)
    monkeypatch.setattr(heal, "dockerd_runs", lambda: True)

    def start(command, **_):
        there.clear()
        ran.append((command, os.path.exists(tmp_path / ID), sorted(os.listdir(runc))))

    monkeypatch.setattr(heal.subprocess, "run", start)
    (tmp_path / ID / "rootfs").mkdir(parents=True)
    heal.main()
    assert ran == [(["docker", "start", ID], False, [OTHER])]


def test_w33_a_dockerd_that_was_stopped_is_not_asked(monkeypatch):
    """docker.socket would start it."""
    monkeypatch.setattr(heal, "dockerd_runs", lambda: False)
    monkeypatch.setattr(heal, "inspected", lambda: pytest.fail("it was asked"))
    heal.main()


def test_w33_one_that_cannot_be_mended_does_not_end_the_program(monkeypatch, capsys, clock):
    monkeypatch.setattr(heal, "dockerd_runs", lambda: True)
    monkeypatch.setattr(heal, "inspected", lambda: [container(), container(identity=ID)])
    monkeypatch.setattr(heal, "known", set)
    monkeypatch.setattr(heal, "remove", lambda identity: (_ for _ in ()).throw(FileNotFoundError("gone")))
    heal.main()
    assert capsys.readouterr().out.count("web: gone") == 2 * heal.SECONDS / heal.EVERY
