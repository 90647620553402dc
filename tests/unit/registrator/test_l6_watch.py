"""L6: a registrator that hangs gives no sign of life, and the host's watch restarts it; no other one is touched."""

import bisect
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.wait import eventually

from discovery_program import restarts
from discovery_program.replaced import STAY, Program
from dockerd_server import dockerd_at
from registrator import alive as sign_of_life
from registrator import watch
from registrator.agent import AgentError
from registrator.alive import EVERY, STUCK, Alive
from registrator.dockerd import Dockerd, DockerdError
from registrator.loop import Loop
from registrator.options import Options
from registrator_cases import HOST

PACKAGE = Path(__file__).parents[3] / "roles/registrator/files"
ROLE = Path(__file__).parents[3] / "roles/registrator"
BOUND = 20  # seconds from the freeze to the restart
BOOT = 1_790_000_000.0
STARTED = "2026-09-21T14:13:20.250000000Z"  # BOOT and a quarter second


class Machine:
    """A clock, a registrator in a container, and dockerd. Signs are given at whole EVERYs of its life."""

    def __init__(self, folder):
        self.now = 100.0
        self.file, self.count_file = folder / "alive", folder / "state.json"
        self.born, self.number = self.now, 1
        self.frozen_at, self.silent = None, False
        self.state = {"Running": True, "Paused": False, "Restarting": False}
        self.environment = ["PATH=/bin", f"REGISTRATOR_ALIVE_FILE={watch.SIGN}"]
        self.away = self.gone = False
        self.restarts = []  # times
        self.asked = 0

    # --- clock ---

    def monotonic(self):
        return self.now

    def time(self):
        return BOOT + self.now

    # --- dockerd ---

    def container(self, name):
        assert name == "registrator"
        self.asked += 1
        if self.away:
            raise DockerdError("GET /containers: 500")
        whole = BOOT + self.born
        text = watch.time.strftime("%Y-%m-%dT%H:%M:%S", watch.time.gmtime(whole)) + f".{int(whole % 1 * 1e9):09}Z"
        return None if self.gone else {
            "Id": "c1", "State": self.state | {"StartedAt": text}, "Config": {"Env": self.environment},
        }  # fmt: skip

    def restart(self, name, seconds):
        assert (name, seconds) == ("registrator", 1)
        self.restarts.append(self.now)
        self.born, self.frozen_at, self.number = self.now, None, self.number + 1

    # --- registrator ---

    def live(self, seconds, watcher, every=watch.LOOK):
        """So many seconds pass; it signs and the watch looks."""
        end = self.now + seconds
        while self.now < end:
            self.now += every
            last = self.now if self.frozen_at is None else min(self.frozen_at, self.now)
            if not self.silent and last >= self.born:
                signed = BOOT + self.born + (last - self.born) // EVERY * EVERY + 0.1
                self.file.touch()
                os.utime(self.file, (signed, signed))
            watcher.turn()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def watcher(machine):
    return watch.Watch(lambda: machine, str(machine.file), str(machine.count_file), machine)


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.9, 7.3, 600.1])
def test_l6_a_frozen_registrator_is_restarted_within_the_bound(machine, after, capsys):
    watching = watcher(machine)
    machine.live(20, watching)
    machine.frozen_at = machine.now + after
    machine.live(after + 60, watching)
    (restarted,) = machine.restarts
    assert 0 < restarted - (120.0 + after) <= BOUND
    assert watch.read(str(machine.count_file))["restarts"] == 1
    assert "restarted container=registrator reason=" in capsys.readouterr().out


def test_one_that_works_is_never_restarted_and_dockerd_is_not_asked(machine):
    machine.live(24 * 3600, watcher(machine), every=5)
    assert (machine.restarts, machine.asked) == ([], 0)


@given(gaps=st.lists(st.floats(0.1, 11.9), min_size=1, max_size=60), every=st.floats(1.5, 6))
def test_late_signs_are_signs(gaps, every):
    """On a machine that is loaded, whenever the watch gets to look."""
    silence, signs, now = watch.Silence(), list(itertools.accumulate(gaps, initial=0.0)), 0.0
    while now < signs[-1]:
        assert not silence.found(bisect.bisect(signs, now), now)
        now += every


def test_a_machine_that_stood_still_proves_nothing(machine):
    watching = watcher(machine)
    machine.live(20, watching)
    for _unused in range(3):
        machine.now += 600  # neither it nor the watch ran
        watching.turn()
        machine.live(4, watching)
    assert machine.restarts == []


@pytest.mark.parametrize("change", [
    {"state": {"Running": False}}, {"state": {"Running": True, "Paused": True}}, {"state": {"Running": True, "Restarting": True}},
    {"gone": True}, {"away": True}, {"environment": ["PATH=/bin"]},
])  # fmt: skip
def test_l6_what_somebody_has_stopped_and_what_cannot_sign_is_left_alone(machine, change, capsys):
    watching = watcher(machine)
    machine.live(20, watching)
    for name, value in change.items():
        setattr(machine, name, value)
    machine.silent = True
    machine.live(600, watching)
    assert machine.restarts == [] and machine.asked > 0
    assert capsys.readouterr().out.count("\n") == ("away" in change), "what dockerd does not answer is said once"


def test_a_dockerd_that_was_stopped_is_not_asked_because_its_socket_would_start_it(machine, tmp_path, monkeypatch, capsys):
    """A real socket of docker.socket, and a systemctl that says what docker.service does."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/systemctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 3\n')
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with socket.socket(socket.AF_UNIX) as of_systemd:
        of_systemd.bind(str(tmp_path / "docker.sock"))
        of_systemd.listen()
        of_systemd.setblocking(False)
        monkeypatch.setattr(watch, "DOCKERD", f"unix://{tmp_path}/docker.sock")
        monkeypatch.setattr("registrator.dockerd.TIMEOUT", 0.1)
        watching = watch.Watch(watch.dockerd, str(machine.file), str(machine.count_file), machine)
        machine.live(20, watching)
        machine.silent = True
        machine.live(20, watching)
        with pytest.raises(BlockingIOError):
            of_systemd.accept()
    assert set((tmp_path / "asked").read_text().splitlines()) == {"is-active --quiet docker.service"}
    assert machine.restarts == [] and capsys.readouterr().out == ""


def test_it_is_restarted_when_dockerd_answers_again(machine):
    watching = watcher(machine)
    machine.live(20, watching)
    machine.silent = machine.away = True
    machine.live(120, watching)
    machine.away = False
    machine.live(6, watching)
    assert len(machine.restarts) == 1


def test_a_container_that_starts_has_a_minute_for_its_first_sign(machine):
    machine.silent = True
    machine.live(60, watcher(machine))
    assert machine.restarts == []
    machine.live(30, watcher(machine))
    assert machine.restarts == [], "a watch that has just started knows nothing"
    machine.live(60, watching := watcher(machine))
    machine.live(20, watching)
    assert len(machine.restarts) == 1


def test_a_sign_of_an_earlier_container_is_none_of_this_one(machine):
    watching = watcher(machine)
    machine.live(20, watching)
    machine.silent, machine.born = True, machine.now + 1  # it was replaced, and the new one is slow
    machine.live(50, watching)
    assert machine.restarts == []


def test_l6_restarts_have_a_limit_that_is_reported_and_ends(machine, capsys):
    watching = watcher(machine)
    machine.live(20, watching)
    machine.silent = True  # also after a restart
    machine.live(800, watching)
    assert len(machine.restarts) == restarts.MOST
    counted = watch.read(str(machine.count_file))
    assert counted["restarts"] == 3 and "it hangs, and is not restarted" in counted["problem"]
    machine.live(20, again := watcher(machine))  # the watch itself starts anew
    assert len(machine.restarts) == 3 and watch.read(str(machine.count_file)) == counted
    machine.silent = False
    machine.live(10, again)
    assert watch.read(str(machine.count_file)) == counted | {"problem": ""}
    out = capsys.readouterr().out
    assert out.count("restarted ") == 3 and out.count("failed ") == 1 and out.count("recovered") == 1


def test_where_nothing_can_be_counted_nothing_is_restarted(machine, capsys):
    """There a missing sign proves little."""
    watching = watcher(machine)
    machine.live(20, watching)
    watching.state = str(machine.count_file.parent / "gone" / "state.json")
    machine.silent = True
    machine.live(120, watching)
    assert machine.restarts == [] and capsys.readouterr().out.count("failed ") == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"restarts": "x", "times": [], "problem": ""}', '{"restarts": 1, "times": ["x"], "problem": ""}']
)
def test_what_was_counted_and_cannot_be_read_is_nothing(tmp_path, text):
    (tmp_path / "state").write_text(text)
    assert watch.read(str(tmp_path / "state")) == {"restarts": 0, "times": [], "problem": ""}


@pytest.mark.parametrize(("text", "expected"), [(STARTED, BOOT + 0.25), ("2026-09-21T14:13:20Z", BOOT)])
def test_times_of_dockerd(text, expected):
    assert watch.seconds(text) == expected


@pytest.mark.parametrize("text", ["", None, "yesterday", 7])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(ValueError):
        watch.seconds(text)


def test_the_watch_ends_for_new_files_that_stay_and_systemd_starts_them(machine, tmp_path, monkeypatch):
    """A run of the role that is interrupted has written them, and restarts nothing."""
    file, told = tmp_path / "registrator/watch.py", []
    file.parent.mkdir()
    file.write_text("old")
    monkeypatch.setattr(watch, "Program", lambda: Program(str(tmp_path)))
    monkeypatch.setattr(watch, "notify", told.append)
    monkeypatch.setattr(watch, "STATE", str(machine.count_file))
    monkeypatch.setattr(watch, "dockerd", lambda: None)
    monkeypatch.setattr(machine, "sleep", lambda seconds: sleep(seconds), raising=False)

    def sleep(seconds):
        machine.now += seconds
        if machine.now == 3700:
            file.write_text("new file")

    assert watch.main(machine) == 0
    assert STAY <= machine.now - 3700 <= STAY + 12
    assert told[0] == "READY=1" and set(told[1:-1]) == {"WATCHDOG=1"} and told[-1] == "STOPPING=1"


# --- the sign ---


@pytest.fixture
def alive(tmp_path):
    """A sign on a clock, and what tells whether it was given."""
    now = [0.0]
    one = Alive(str(tmp_path / "alive"), clock=lambda: now[0])

    def given_():
        Path(one.path).unlink(missing_ok=True)
        one.sign()
        return Path(one.path).exists()

    return one, now, given_


def test_signs_stop_when_the_loop_is_stuck(alive):
    one, now, given_ = alive
    one.step()
    now[0] += STUCK
    assert given_()
    now[0] += 0.1
    assert not given_()
    one.step()
    assert given_()
    one.idle()
    now[0] += 1e6
    assert given_(), "nothing happens"


def test_the_sign_is_private_follows_no_link_and_its_failure_is_logged_once(alive, capsys):
    one, _, given_ = alive
    assert given_() and Path(one.path).stat().st_mode & 0o777 == 0o600
    Path(one.path).unlink()
    Path(one.path).symlink_to("elsewhere")
    one.sign()
    one.sign()
    assert capsys.readouterr().out.count("failed reason=") == 1 and not Path(one.path).with_name("elsewhere").exists()


def test_nobody_who_asks_for_no_sign_gets_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Alive("").run()
    assert list(tmp_path.iterdir()) == []


def test_a_loop_whose_dockerd_never_answers_gives_no_sign_after_a_while(alive):
    one, now, given_ = alive

    class Slow:
        def id(self):
            return "engine-1"

        def containers(self, stopped):
            now[0] += 30
            assert given_()
            now[0] += STUCK
            assert not given_()
            raise DockerdError("hung")

    class Agent:
        def services(self):
            raise AgentError("down")

    loop = Loop(Options(), Slow(), Agent(), HOST, one)
    loop.events.put({"Type": "network"})
    loop.wait(0)
    with pytest.raises(DockerdError):
        loop.reconcile()
    loop.wait(0)
    assert given_()


def test_many_slow_containers_are_no_hang(alive, monkeypatch):
    """Each container is a step of its own, however many there are."""
    one, now, given_ = alive
    monkeypatch.delenv("CONSUL_HTTP_TOKEN_FILE", raising=False)

    class Slow:
        def id(self):
            return "engine-1"

        def containers(self, stopped):
            for number in range(20):
                now[0] += 100
                assert given_()
                yield {"Id": str(number), "Name": f"/{number}"}

    class Agent:
        def services(self):
            assert given_()
            return {}

        checks = services

    loop = Loop(Options(), Slow(), Agent(), HOST, one)
    loop.wait(0)
    assert loop.reconcile() is None


def test_a_dockerd_that_takes_its_time_for_each_answer_is_no_hang(alive, monkeypatch):
    """It answers five questions before the first container is known, each within its timeout."""
    one, now, given_ = alive
    monkeypatch.delenv("CONSUL_HTTP_TOKEN_FILE", raising=False)

    def answer(value, questions=1):
        now[0] += 29 * questions
        assert given_()
        return value

    class Slow:
        def id(self):
            return answer("engine-1")

        def containers(self, stopped):
            listed = answer([{"Id": "1", "Name": "/1"}])
            return (answer(each, questions=2) for each in listed)  # its inspection and its image

        def overlays(self):
            return answer(frozenset())

    class Agent:
        def services(self):
            return answer({})

        checks = services

    loop = Loop(Options(internal=True), Slow(), Agent(), HOST, one)
    loop.wait(0)
    assert loop.reconcile() is None


SIGNS = """
import sys
sys.path.insert(0, sys.argv[1])
from registrator import alive
alive.EVERY = 0.01
alive.Alive(sys.argv[2]).run()
"""


def stopped(process):
    """Whether the kernel has stopped a process."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_l6_a_process_that_is_stopped_gives_no_sign(tmp_path):
    """A real one, by SIGSTOP, on the clock of the watch alone."""
    file = tmp_path / "alive"
    process = subprocess.Popen([sys.executable, "-c", SIGNS, str(PACKAGE), str(file)])
    try:
        eventually(file.exists, 30, every=0.01)
        first = watch.mtime(str(file))
        eventually(lambda: watch.mtime(str(file)) != first, 30, every=0.01)
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: stopped(process), 30, every=0.01)
        silence = watch.Silence()
        looks = [silence.found(watch.mtime(str(file)), float(second)) for second in range(0, 14, 2)]
        assert looks == [0, 0, 0, 0, 0, 0, 12]
        process.send_signal(signal.SIGCONT)
        eventually(lambda: not silence.found(watch.mtime(str(file)), 16.0), 30, every=0.01)
    finally:
        process.kill()
        process.wait()


def test_l6_the_program_signs_while_dockerd_and_agent_are_away(tmp_path):
    """The whole program, from its environment."""
    file = tmp_path / "alive"
    more = {"PYTHONPATH": str(PACKAGE), "DOCKER_HOST": f"unix://{tmp_path}/none", sign_of_life.VARIABLE: str(file)}
    process = subprocess.Popen(
        [sys.executable, "-m", "registrator", "-retry-attempts", "-1"], env={**os.environ, **more}, stdout=subprocess.DEVNULL
    )
    try:
        eventually(file.exists, 30, every=0.01)
        first = watch.mtime(str(file))
        eventually(lambda: watch.mtime(str(file)) != first, 30, every=0.1)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_container_is_restarted_by_dockerds_api(tmp_path):
    with dockerd_at(tmp_path / "socket", lambda path: (204 if "good" in path else 404, b"")) as (address, asked):
        dockerd = Dockerd(address)
        dockerd.restart("good", 1)
        with pytest.raises(DockerdError, match="POST /containers/other/restart: 404"):
            dockerd.restart("other", 1)
    assert asked == [("POST", "/containers/good/restart?t=1"), ("POST", "/containers/other/restart?t=1")]


def test_unit_container_and_program_name_one_file():
    texts = [(ROLE / name).read_text() for name in ("vars/main.yml", "templates/tmpfiles.conf.j2")]
    assert f"'{sign_of_life.VARIABLE}': '{watch.SIGN}'" in texts[0] and "/run/registrator:/run/registrator" in texts[0]
    assert os.path.dirname(watch.SIGN) in texts[1]
    assert f"RuntimeDirectory={Path(watch.STATE).parent.name}" in (ROLE / "templates/registrator-watch.service.j2").read_text()
