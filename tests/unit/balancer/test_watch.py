"""Waiting for a rename or a signal."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from discovery_balancer.watch import Watch

PROGRAM = str(Path(__file__).parents[3] / "roles/balancer/files")


@pytest.fixture
def watch(tmp_path):
    before = signal.getsignal(signal.SIGIO), signal.getsignal(signal.SIGHUP)
    (tmp_path / "state").mkdir()
    made = Watch(tmp_path / "state")
    made.wait(0)
    if made.blind:
        pytest.skip("this kernel reports no changes of directories")
    yield made
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGIO, before[0])
    signal.signal(signal.SIGHUP, before[1])


def waited(watch) -> bool:
    """Whether there was a reason; without one the wait would be a minute."""
    import select

    return bool(select.select([watch._signals], [], [], 0)[0])


def rename_into(folder, name="catalog.json"):
    (folder / ".new").write_text("x")
    (folder / ".new").rename(folder / name)


def test_a_rename_ends_the_wait(watch, tmp_path):
    rename_into(tmp_path / "state")
    assert waited(watch)
    watch.wait(60)  # returns
    assert not waited(watch)


def test_a_rename_before_the_wait_is_not_lost(watch, tmp_path):
    watch.wait(0)
    rename_into(tmp_path / "state")
    watch.wait(60)


def test_a_signal_ends_the_wait(watch):
    signal.signal(signal.SIGHUP, lambda *_: None)
    os.kill(os.getpid(), signal.SIGHUP)
    watch.wait(60)


def test_another_directory_at_the_path_is_watched(watch, tmp_path):
    (tmp_path / "state").rename(tmp_path / "gone")
    (tmp_path / "state").mkdir()
    watch.wait(0)
    while waited(watch):
        watch.wait(0)
    rename_into(tmp_path / "state")
    assert waited(watch)


def test_a_directory_that_is_away_is_looked_for_often(watch, tmp_path):
    (tmp_path / "state").rmdir()
    watch.wait(60)  # returns after the pause between two looks
    assert watch.blind
    (tmp_path / "state").mkdir()
    watch.wait(0)
    assert not watch.blind


def test_no_other_file_is_closed_after_a_directory_could_not_be_opened(watch, tmp_path, monkeypatch):
    (tmp_path / "state").rename(tmp_path / "gone")
    (tmp_path / "state").mkdir()
    with monkeypatch.context() as context:
        context.setattr("os.open", full)
        watch.wait(0)
    assert watch.blind
    others = [os.open(tmp_path, os.O_RDONLY) for _ in range(3)]  # one of them has the number of what was closed
    watch.wait(0)
    assert not watch.blind
    assert all(os.path.samestat(os.fstat(other), os.stat(tmp_path)) for other in others)
    for other in others:
        os.close(other)


def full(*_):
    raise OSError(errno.ENFILE, "Too many open files in system")


def test_a_child_is_not_ended_by_a_rename(tmp_path):
    """SIGIO ends a process by itself; a test of the configuration must not get it."""
    code = (
        f"import sys; sys.path.insert(0, {PROGRAM!r})\n"
        "import os, pathlib, subprocess\n"
        "from discovery_balancer.watch import Watch\n"
        f"folder = pathlib.Path({str(tmp_path)!r}); watch = Watch(folder); watch.wait(0)\n"
        "child = subprocess.Popen(['cat'], stdin=subprocess.PIPE)\n"
        "(folder / 'a').write_text(''); (folder / 'a').rename(folder / 'b'); watch.wait(5)\n"
        "child.stdin.close(); sys.exit(child.wait())\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
