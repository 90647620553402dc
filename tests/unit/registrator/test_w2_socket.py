"""W2: a registrator whose dockerd has another socket since its start is restarted: it has mounted the one of before."""

import os
import socket
import subprocess
import sys

import pytest
from tests.support.wait import eventually

from registrator import watch
from registrator.alive import VARIABLE, Alive, inode
from registrator.dockerd import DockerdError
from test_l6_watch import PACKAGE, Machine

BOUND = 5  # seconds until the registrator runs again, less what dockerd and its first comparison take


class Host(Machine):
    """With dockerd's socket, which the registrator's container has as it was at its start."""

    def __init__(self, folder):
        super().__init__(folder)
        self.socket, self.directory, self.kept = folder / "docker.sock", folder / "tls", []
        self.directory.mkdir()
        self.mounts = (str(self.socket), str(folder / "not-there"), str(self.directory))
        self.helps = True
        self.make_socket()
        self.start()

    def make_socket(self):
        """As docker.socket does. The container holds the old one, so that no new one gets its number."""
        if self.socket.exists():
            self.kept.append(os.open(self.socket, os.O_PATH))
            self.socket.unlink()
        self.socket.touch()

    def start(self):
        self.file.write_text(",".join(map(inode, self.mounts)))

    def restart(self, name, seconds):
        super().restart(name, seconds)
        if self.helps:
            self.start()


@pytest.fixture
def host(tmp_path):
    one = Host(tmp_path)
    yield one
    for held in one.kept:
        os.close(held)


def watcher(host, connect=None):
    return watch.Watch(connect or (lambda: host), str(host.file), str(host.count_file), host, host.mounts)


def test_w2_a_socket_that_was_made_anew_is_noticed_at_the_next_look(host, capsys):
    watching = watcher(host)
    host.live(20, watching)
    assert (host.restarts, host.asked) == ([], 0), "dockerd is not asked while nothing has changed"
    host.make_socket()
    begin = host.now
    host.live(60, watching)
    (restarted,) = host.restarts
    assert restarted - begin <= watch.LOOK
    assert capsys.readouterr().out.strip() == (
        'restarted container=registrator reason="what is mounted into it was made anew after its start"'
    )
    assert watch.read(str(host.count_file))["restarts"] == 0, "it did not hang"


def test_w2_a_directory_that_was_made_anew_is_noticed(host):
    """That of the CA, when a host is replaced whose dockerd lives on; while it is away nothing is done."""
    watching = watcher(host)
    host.live(20, watching)
    host.kept.append(os.open(host.directory, os.O_PATH))
    host.directory.rmdir()
    host.live(20, watching)
    assert host.restarts == []
    host.directory.mkdir()
    host.live(20, watching)
    assert len(host.restarts) == 1


def test_w2_each_new_socket_is_one_restart(host):
    watching = watcher(host)
    for _unused in range(5):
        host.make_socket()
        host.live(30, watching)
    assert len(host.restarts) == 5


def test_w2_a_restart_that_does_not_help_is_not_repeated(host):
    watching = watcher(host)
    host.live(20, watching)
    host.make_socket()
    host.helps = False
    host.live(600, watching)
    assert len(host.restarts) == 1


def test_w2_while_dockerd_does_not_run_nothing_is_asked_and_then_it_is_mended_at_once(host):
    """docker.socket comes first; a question would start a dockerd that somebody has stopped."""
    runs = []
    watching = watcher(host, lambda: host if runs else None)
    host.live(20, watching)
    host.make_socket()
    host.live(20, watching)
    assert host.asked == 0
    runs.append(True)
    begin = host.now
    host.live(BOUND, watching)
    assert [when - begin <= watch.LOOK for when in host.restarts] == [True]


def test_w2_a_dockerd_that_stays_stopped_is_looked_at_seldom(host):
    looks = []
    watching = watcher(host, lambda: looks.append(host.now))
    host.live(20, watching)
    host.make_socket()
    host.live(3600, watching)
    assert len(looks) < 3600 / watch.SILENT + watch.START / watch.LOOK + 2


@pytest.mark.parametrize("change", [
    {"state": {"Running": False}}, {"state": {"Running": True, "Paused": True}}, {"gone": True}, {"away": True},
    {"environment": ["PATH=/bin"]},
])  # fmt: skip
def test_w2_what_somebody_has_stopped_and_what_cannot_sign_is_left_alone(host, change, capsys):
    watching = watcher(host)
    host.live(20, watching)
    for name, value in change.items():
        setattr(host, name, value)
    host.make_socket()
    host.live(120, watching)
    assert host.restarts == [] and host.asked > 0
    assert capsys.readouterr().out.count("\n") == ("away" in change), "once"


def test_w2_a_container_that_starts_with_dockerd_is_not_restarted(host):
    """Without live-restore it ends with dockerd; until its first sign the file names the socket of before."""
    watching = watcher(host)
    host.live(20, watching)
    host.make_socket()
    host.born, host.silent = host.now + 1, True
    host.live(6, watching)
    host.start()
    host.silent = False
    host.live(60, watching)
    assert host.restarts == []


@pytest.mark.parametrize("text", ["", "no number", "\xff", "²"])
def test_w2_a_sign_that_names_no_socket_says_nothing(host, text):
    """Also one of an earlier version."""
    host.file.write_text(text, encoding="latin-1")
    host.live(60, watcher(host))
    host.file.unlink()
    host.socket.unlink()
    host.live(4, watcher(host))
    assert (host.restarts, host.asked) == ([], 0)


def test_w2_a_dockerd_that_refuses_the_restart_is_asked_again(host, capsys):
    watching = watcher(host)
    host.live(20, watching)
    host.make_socket()
    restart, failures = host.restart, [1, 2]

    def refuse(name, seconds):
        if failures:
            failures.pop()
            raise DockerdError("500")
        restart(name, seconds)

    host.restart = refuse
    host.live(20, watching)
    assert len(host.restarts) == 1 and capsys.readouterr().out.count("failed ") == 1


def test_w2_the_sign_names_the_socket_as_the_registrator_has_it(tmp_path):
    path, docker = tmp_path / "alive", tmp_path / "docker.sock"
    docker.touch()
    path.write_text("4711 of an earlier container, and longer")
    one = Alive(str(path), mounts=(str(docker), str(tmp_path)))
    one.sign()
    numbers = [str(docker.stat().st_ino), str(tmp_path.stat().st_ino)]
    assert path.read_text().split(",") == numbers == watch.content(str(path))
    docker.unlink()
    one.sign()
    assert watch.content(str(path)) == ["", numbers[1]]


def test_w2_without_space_the_sign_names_no_socket_and_is_one(tmp_path, monkeypatch):
    path, docker = tmp_path / "alive", tmp_path / "docker.sock"
    docker.touch()
    path.write_text("4711")
    os.utime(path, (1, 1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    Alive(str(path), mounts=(str(docker),)).sign()
    assert path.read_text() == "" and path.stat().st_mtime > 1


def test_w2_the_program_names_its_socket(tmp_path):
    """The whole program; the socket is a real one."""
    sign, path = tmp_path / "alive", tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as of_systemd:
        of_systemd.bind(str(path))
        more = {"PYTHONPATH": str(PACKAGE), "DOCKER_HOST": f"unix://{path}", VARIABLE: str(sign)}
        process = subprocess.Popen(
            [sys.executable, "-m", "registrator", "-retry-attempts", "-1"], env={**os.environ, **more}, stdout=subprocess.DEVNULL
        )
        try:
            eventually(lambda: sign.exists() and watch.content(str(sign))[:1] == [inode(str(path))], 30, every=0.01)
        finally:
            process.kill()
            process.wait()
