"""Which of nginx's workers serve and which finish what they have (W10, L7), from a /proc that is made up."""

import os
import signal
import subprocess

import pytest
from tests.support.wait import eventually

from discovery_balancer.backends import processes
from discovery_balancer.backends.nginx import workers
from discovery_balancer.backends.nginx.workers import Worker

SERVING, FINISHING, CACHE = "nginx: worker process", "nginx: worker process is shutting down", "nginx: cache manager process"


@pytest.fixture
def proc(tmp_path):
    """() -> /proc; called with a process id it has that process as well."""

    def add(pid, title, started, parent=100):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "cmdline").write_text(title + "\0")
        fields = ["S", str(parent), *["0"] * 17, str(started), "0"]
        (folder / "stat").write_text(f"{pid} (nginx) x) {' '.join(fields)}\n")
        children = tmp_path / str(parent) / "task" / str(parent)
        children.mkdir(parents=True, exist_ok=True)
        with open(children / "children", "a", encoding="ascii") as file:
            file.write(f"{pid} ")

    add.path = tmp_path
    return add


def test_l7_workers_of_a_master_oldest_first(proc):
    proc(5, SERVING, 90)
    proc(4, FINISHING, 70)
    proc(3, FINISHING, 80)
    proc(6, CACHE, 10)
    proc(7, SERVING, 1, parent=200)
    found = workers.workers(100, proc.path)
    assert found == [Worker(70, 4, True), Worker(80, 3, True), Worker(90, 5, False)]
    assert workers.serving(found) == [Worker(90, 5, False)]


@pytest.mark.parametrize("master", [0, 300])
def test_l7_no_master_has_no_workers(proc, master):
    assert workers.workers(master, proc.path) == []


def test_l7_a_worker_that_ends_while_it_is_read_is_none(proc):
    proc(5, SERVING, 90)
    (proc.path / "5" / "stat").unlink()
    assert workers.workers(100, proc.path) == []


@pytest.mark.parametrize(("most", "ended"), [(3, []), (2, [1]), (1, [1, 2]), (0, [1, 2, 3])])
def test_w10_the_bound_ends_the_oldest_that_finish_and_none_that_serves(most, ended):
    found = [Worker(9, 4, False), Worker(3, 3, True), Worker(1, 1, True), Worker(2, 2, True), Worker(0, 5, False)]
    assert [worker.pid for worker in processes.excess(found, most)] == ended


@pytest.mark.parametrize(("most", "serving", "expected"), [(64, 2, 64), (64, 96, 96), (1, 2, 2), (5, 0, 5)])
def test_w10_the_bound_is_of_processes_and_leaves_those_of_one_generation(most, serving, expected):
    """On a host with 96 processors a reload would end connections of the generation before at once."""
    found = [Worker(9, pid, False) for pid in range(serving)] + [Worker(1, pid, True) for pid in range(100, 400)]
    assert workers.bound(found, most) == expected


def test_w10_a_worker_that_takes_long_to_end_is_counted_once():
    """A real one that is stopped, as one that waits for a disk."""
    with subprocess.Popen(["bash", "-c", f"exec -a '{FINISHING}' sleep 3600"]) as process:
        try:
            eventually(lambda: [worker.pid for worker in workers.workers(os.getpid())] == [process.pid], 30, every=0.01)
            process.send_signal(signal.SIGSTOP)
            trims = [workers.end_oldest(workers.workers(os.getpid()), most, os.getpid()) for most in (1, 0, 0)]
            assert trims == [(1, 0), (0, 1), (0, 0)]
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("worker", "master", "sent"),
    [
        (Worker(90, 5, False), 100, True), (Worker(91, 5, False), 100, False), (Worker(90, 5, False), 200, False),
        (Worker(90, 6, False), 100, False),
    ],
)  # fmt: skip
def test_l7_a_signal_goes_to_that_very_process_only(proc, monkeypatch, worker, master, sent):
    """Its id may belong to another one by now."""
    proc(5, SERVING, 90)
    killed = []
    monkeypatch.setattr(os, "kill", lambda *given: killed.append(given))
    assert workers.send(worker, master, signal.SIGQUIT, proc.path) == sent
    assert killed == ([(5, signal.SIGQUIT)] if sent else [])


def test_l6_processor_time_of_workers(proc):
    proc(5, SERVING, 90)
    (proc.path / "5" / "stat").write_text(f"5 (nginx) S 100 {' '.join(['0'] * 9)} 30 12 {' '.join(['0'] * 6)} 90\n")
    assert workers.spent([Worker(90, 5, False), Worker(90, 6, False)], proc.path) == 42


@pytest.mark.parametrize(
    ("state", "pending", "deaf"),
    [
        ("S (sleeping)", "0000000000000000", False), ("T (stopped)", "0000000000000000", True),
        ("D (disk sleep)", "0000000000000001", True), ("R (running)", "0000000000000100", False),
    ],
)  # fmt: skip
def test_l6_a_master_that_is_stopped_or_takes_no_signal(proc, state, pending, deaf):
    (proc.path / "100").mkdir()
    (proc.path / "100" / "status").write_text(f"Name:\tnginx\nState:\t{state}\nSigPnd:\t{'0' * 16}\nShdPnd:\t{pending}\n")
    assert workers.deaf(100, signal.SIGHUP, proc.path) == deaf


def test_l6_a_master_that_has_ended_is_not_deaf(proc):
    assert not workers.deaf(100, signal.SIGHUP, proc.path)


@pytest.mark.parametrize(("caught", "blocked", "expected"), [
    ("0000000100716a03", "0000000000000000", True), ("0000000100006a03", "0000000000000000", False),
    ("0000000100716a03", "0000000000010000", False),
])  # fmt: skip
def test_whether_a_process_catches_a_signal(tmp_path, caught, blocked, expected):
    """The masks of a master that waits for its workers, of one that has just loaded its files, and of one that blocks it."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_text(f"Name:\thaproxy\nSigBlk:\t{blocked}\nSigCgt:\t{caught}\n")
    assert processes.catches(7, signal.SIGCHLD, tmp_path) is expected
    assert processes.catches(8, signal.SIGCHLD, tmp_path), "one that cannot be asked is not waited for"
