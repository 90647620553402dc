"""What the programs that stay on a host share: when they end for new files, the bound on restarts, and systemd."""

import json
import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_program import systemd
from discovery_program.replaced import STAY, Program
from discovery_program.restarts import MOST, NONE, WINDOW, known, once_more
from discovery_program.systemd import notify, order


def test_a_program_ends_for_new_files_that_stay(tmp_path):
    """The role writes file after file, then restarts it; a run that was interrupted does not."""
    files = [tmp_path / "a/one.py", tmp_path / "b/nginx/two.py"]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("old")
    program = Program(str(tmp_path))
    (tmp_path / "a/one.pyc").write_text("of the interpreter")
    assert not any(program.replaced(now) for now in range(10, 200, 10))
    files[0].write_text("new file")
    assert not program.replaced(200)
    files[1].write_text("new file")
    assert [now for now in range(210, 300, 10) if program.replaced(now)][0] == 210 + STAY


def test_a_program_of_before_that_is_back_is_not_new(tmp_path):
    (tmp_path / "a.py").write_text("old")
    program = Program(str(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "away")
    assert not program.replaced(10)
    (tmp_path / "away").rename(tmp_path / "a.py")
    assert not any(program.replaced(now) for now in range(20, 300, 10))


@given(gaps=st.lists(st.floats(0.001, WINDOW), max_size=40))
def test_l6_restarts_are_bounded_and_counted(gaps):
    """However often something hangs, and however often who counts starts anew."""
    now, done, entry = 1_790_000_000.0, [], NONE
    for gap in gaps:
        now += gap
        if more := once_more(entry, now):
            entry = known(json.loads(json.dumps({"a": more})))["a"]
            done.append(now)
    assert entry[0] == len(done)
    assert all(later - first >= WINDOW - 0.001 for first, later in zip(done, done[MOST:], strict=False))
    assert bool(once_more(entry, now + WINDOW + 0.001))


@pytest.mark.parametrize("entries", [None, [], "x", {"a": 1}, {"a": [1]}, {"a": ["x", "y"]}, {"a": [1, ["x"]]}, {"a": [1, []]}])
def test_l6_an_odd_count_of_before_is_none(entries):
    assert known(entries) == {}


@pytest.mark.parametrize("address", ["{}/socket", "@{}"])
def test_systemd_is_told(tmp_path, monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address.format(tmp_path))
    notify("WATCHDOG=1")  # nobody listens
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address.format(tmp_path).replace("@", "\0"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("exit 0", ""), ("echo 'Unit not found.' >&2; exit 5", "systemctl reload x.service: Unit not found.\n"),
        ("exec sleep 60", "systemctl reload x.service: systemctl gives no answer within 0.3 s\n"),
    ],
)  # fmt: skip
def test_an_order_is_waited_for_no_longer_than_an_answer(tmp_path, monkeypatch, capsys, script, printed):
    """A program that stays does nothing else meanwhile."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "SECONDS", 0.3 if "sleep" in script else 30)
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n{script}\n')
    (tmp_path / "systemctl").chmod(0o755)
    order("reload", "x.service")
    assert capsys.readouterr().err == printed
    assert "sleep" in script or (tmp_path / "asked").read_text() == "--no-block reload x.service\n"
