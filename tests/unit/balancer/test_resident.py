"""The resident program: what it does first, and what it finds (L6, W31). Source and balancer are stand-ins."""

import dataclasses
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from discovery_balancer import __main__ as command
from discovery_balancer import duties, owners, resident, source, store
from discovery_balancer.resident import Resident
from discovery_program import restarts
from standins import WAITS, Site

FILES = Path(__file__).parents[3] / "roles/balancer/files"
PATHS = [str(FILES), str(FILES.parents[1] / "common/files")]


class Source:
    """consul-template and Consul: `follows` brings the echo back, `consul` answers."""

    def __init__(self, store):
        self.store = store
        self.found, self.follows, self.consul, self.active, self.refusal = "", True, True, True, ""
        self.written, self.restarts, self.refreshed, self.changes, self.closed = [], 0, [], [], 0

    def problem(self):
        return self.found

    def refresh(self, unusable):
        self.refreshed.append(unusable)

    def report(self, status, echo):
        if self.refusal:
            raise source.Refused(self.refusal)
        if self.consul:
            self.written.append((status, echo))
            self.bring()
        return self.consul

    def bring(self):
        if self.follows:
            (self.store.root / "echo").write_text(json.dumps({"echo": self.written[-1][1]}))

    def stored(self):
        return self.written[-1][1] if self.consul else None

    def hangs(self):
        return "consul-template hangs" if self.active else ""

    def restart(self):
        self.restarts += 1

    def settled(self):
        return False

    def change(self, key, wanted):
        self.changes.append(key)
        return ""

    def close(self):
        self.closed += 1


class Home(Site):
    """A site with a resident program; `live` lets time pass, and the program does what it does in it."""

    def __init__(self, path):
        super().__init__(path)
        self.options = dataclasses.replace(self.options, node="n1")
        self.source, self.restarted = Source(self.store), []
        self.start()

    def start(self):
        self.program = Resident(
            self.store, lambda: self.options, lambda options: self.balancer, lambda options: self.source,
            self.restarted.append, self.clock,
        )  # fmt: skip

    def live(self, seconds):
        end = self.clock.now + seconds
        while True:
            self.program.turn()
            idle = self.program.idle_seconds()
            if self.clock.now + idle > end:
                self.clock.now = end
                return
            self.clock.now += max(idle, 0.001)

    @property
    def status(self):
        return self.store.status()


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def replace_catalog(home, *names):
    """As consul-template does it."""
    home.catalog(*names)
    file = home.store.root / "catalog.json"
    os.utime(file, ns=(int(home.clock.now * 1e9),) * 2)


def test_the_first_turn_syncs(home):
    home.catalog("web")
    home.program.turn()
    assert (home.status["http"], home.balancer.reloads) == ({"web": 1}, 1)


def test_a_change_of_the_catalog_is_loaded_at_once(home):
    home.live(5)
    begin = home.clock.now
    replace_catalog(home, "web")
    assert home.program.idle_seconds() == 0
    home.program.turn()
    assert (home.status["http"], home.clock.now) == ({"web": 1}, begin)


def test_h17_a_catalog_of_the_past_is_not_served_and_the_leaders_is_at_once(home, monkeypatch):
    """The server of this host was killed: until a leader answers, what consul-template reads from it is of the past."""
    home.catalog("web", "new")
    home.live(20)
    answers = []
    monkeypatch.setattr(resident, "refresh", lambda store, source: "" if answers and not home.catalog(*answers) else "past")
    replace_catalog(home, "web")
    home.live(3)
    assert (home.status["http"], home.status["reason"]) == ({"web": 1, "new": 1}, "past")
    answers += ["web", "new", "newer"]
    home.live(1)
    assert (home.status["http"], home.status["state"]) == ({"web": 1, "new": 1, "newer": 1}, "ok")


@pytest.fixture
def lagging(home, monkeypatch):
    """consul-template asks a server on another host that has just started: echo and catalog are of the past. Called with the
    leader's services; the number of times that its catalog was asked for."""
    home.catalog("web", "new")
    home.live(20)
    asked, leaders = [], []
    past = home.source.written[-1][1] - 20
    monkeypatch.setattr(home.source, "settled", lambda: bool(leaders))

    def rendered(*_given):
        asked.append(home.clock.now)
        file = home.store.root / "catalog.json"
        before, times = file.read_text(), (file.stat().st_atime_ns, file.stat().st_mtime_ns)
        home.catalog(*leaders)
        text = file.read_text()
        file.write_text(before)
        os.utime(file, ns=times)
        return "" if text == before else text

    def starts(*names, restart=False):
        leaders[:] = names
        home.source.follows = False
        (home.store.root / "echo").write_text(json.dumps({"echo": past}))
        replace_catalog(home, "web")
        if restart:
            home.start()
        return asked

    monkeypatch.setattr(resident.preview, "rendered", rendered)
    return starts


@pytest.mark.parametrize("restart", [False, True], ids=["it runs on", "it starts anew, as at a boot"])
def test_h17_the_past_of_a_server_on_another_host_is_not_served_and_the_leaders_catalog_is(home, lagging, restart):
    asked = lagging("web", "new", "newer", restart=restart)
    home.live(1)
    assert (home.status["http"], home.status["state"]) == ({"web": 1, "new": 1, "newer": 1}, "ok")
    home.source.follows = True
    home.live(20)
    count = len(asked)
    home.live(120)
    assert (home.status["state"], len(asked)) == ("ok", count), "nobody is asked without a reason"


def test_h17_without_a_leader_what_served_before_serves_on(home, lagging):
    lagging()
    home.source.consul = False  # which writes and shows no echo then
    home.live(30)
    assert (home.status["http"], home.status["reason"]) == ({"web": 1, "new": 1}, source.PAST)


@pytest.mark.parametrize("echo", ["", "{}"])
def test_l6_an_echo_that_is_gone_proves_nothing(home, lagging, echo):
    """Another name of the node, or a key that was deleted."""
    asked = lagging("web")
    (home.store.root / "echo").write_text(echo)
    home.live(1)
    assert (home.status["state"], asked) == ("ok", [])


def test_l6_numbers_go_up_over_a_start_with_a_clock_of_the_past_and_without_the_file(home):
    home.catalog("web")
    home.live(20)
    last = home.status["echo"]
    (home.store.root / "echo").unlink()
    home.clock.now -= 500
    home.start()
    home.source.written.clear()
    home.live(20)
    assert min(number for _status, number in home.source.written) > last > 500 and home.status["state"] == "ok"


def test_while_a_leader_is_waited_for_the_status_is_written_when_it_changes(home, monkeypatch):
    """It is waited for twice a second; who reads the status sees that the program lives all the same."""
    home.catalog("web")
    home.live(20)
    why, written, write = ["past"], [], home.store.write_status
    monkeypatch.setattr(resident, "refresh", lambda store, source: why[0])
    monkeypatch.setattr(home.store, "write_status", lambda status: written.append(home.clock.now) or write(status))
    replace_catalog(home, "web", "new")
    home.live(1)
    assert len(written) == 1
    why[0] = "past, and Consul hangs"
    home.live(60)
    assert home.status["reason"] == why[0] and len(written) <= 7
    assert max(later - one for one, later in zip(written, written[1:], strict=False)) <= home.options.sync_interval + 1


def test_a_sync_that_hangs_with_the_lock_is_reported_in_time_and_holds_nothing_else_up(home, monkeypatch):
    """Such as one that somebody has stopped. The kernel's lock, by another descriptor."""
    home.catalog("web")
    home.live(20)
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.2)
    with open(home.store.root / "lock", "w", encoding="ascii") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        replace_catalog(home, "web", "new")
        home.program.turn()
        assert (home.status["state"], home.status["http"]) == ("failed", {"web": 1})
        assert "another sync holds" in home.status["reason"] and "lslocks" in home.status["reason"]
        assert command.main(["--state", str(home.store.root), "sync"]) == 0
    home.live(20)
    assert (home.status["state"], home.status["http"]) == ("ok", {"web": 1, "new": 1})


def test_changes_are_loaded_once_an_interval_and_the_last_one_is(home):
    home.live(5)
    before, begin = home.balancer.reloads, home.clock.now
    for number in range(50):
        replace_catalog(home, f"web{number}")
        home.live(0.1)
    home.live(1)
    assert home.balancer.reloads - before <= home.clock.now - begin + 1
    assert home.status["http"] == {"web49": 1}


def test_nothing_sleeps_while_the_lock_is_held(home):
    home.catalog("web")
    home.program.turn()
    assert home.clock.now == 1000


def test_an_unchanged_site_is_verified_every_interval_and_loaded_once(home):
    home.catalog("web")
    home.live(100)
    assert (home.balancer.reloads, len(home.source.refreshed)) == (1, 7)
    assert home.clock.now - home.status["time"] <= home.options.sync_interval


def test_options_that_change_hold_from_the_next_sync_on(home):
    home.live(1)
    home.options = dataclasses.replace(home.options, sync_interval=5, agent="127.0.0.1:1")
    home.live(60)
    before = len(home.source.refreshed)
    home.live(50)
    assert (len(home.source.refreshed) - before, home.source.closed) == (10, 1)


def test_all_is_done_at_once_after_a_signal(home):
    home.live(1)
    before = len(home.source.refreshed), len(home.source.written)
    home.program.everything_is_due()
    home.live(0.1)
    assert (len(home.source.refreshed), len(home.source.written)) == (before[0] + 1, before[1] + 1)


def test_the_register_of_owners_is_written_by_the_program(home):
    home.catalog("web")
    home.program.turn()
    assert home.source.changes == [owners.KEY]


def test_l2_a_source_that_is_gone_is_reported_after_some_looks(home):
    home.catalog("web")
    home.live(20)
    home.source.found = "consul-template does not run (inactive)"
    home.live(home.options.sync_interval + duties.AGAIN * duties.TRIES)
    assert (home.status["state"], home.status["reason"]) == ("failed", "consul-template does not run (inactive)")
    home.live(duties.ECHO_SECONDS + 1)
    assert home.source.written[-1][0]["state"] == "failed"
    home.source.found = ""
    home.live(home.options.sync_interval + 1)
    assert home.status["state"] == "ok"


def test_l2_a_restart_of_the_agent_is_no_reason(home):
    home.catalog("web")
    home.live(20)
    home.source.found = "Consul does not answer"
    home.live(3)
    home.source.found = ""
    home.live(30)
    assert home.status["state"] == "ok"


def test_l2_a_reason_of_before_the_start_goes_with_the_first_look(home):
    home.catalog("web")
    home.run(source="gone")
    home.start()
    home.live(2)
    assert home.status["state"] == "ok"


def test_l6_w31_a_frozen_consul_template_is_noticed_in_20_s_and_restarted(home, capsys):
    home.catalog("web")
    home.live(60)
    begin = home.clock.now
    home.source.follows = False
    while home.status["state"] == "ok":
        home.live(0.5)
    assert home.clock.now - begin <= 20
    assert (home.source.restarts, home.status["reason"]) == (1, "consul-template hangs")
    assert "failed: consul-template hangs\n" in capsys.readouterr().out
    assert home.status["restarts"] == {"consul-template.service": [1, [pytest.approx(home.clock.now, abs=1)]]}
    home.source.follows = True
    home.live(duties.ECHO_SECONDS + 2)
    assert home.status["state"] == "ok"


@pytest.mark.parametrize("phase", range(0, 12, 2))
def test_l6_whenever_it_freezes_it_is_noticed_in_20_s(home, phase):
    home.catalog("web")
    home.live(60 + phase)
    home.source.follows = False
    home.live(20)
    assert home.source.restarts == 1


def test_l6_one_that_stays_frozen_is_restarted_some_times_only_and_reported(home):
    home.catalog("web")
    home.live(60)
    home.source.follows = False
    home.live(600)
    assert (home.source.restarts, home.status["state"]) == (restarts.MOST, "failed")


def test_l6_without_consul_nothing_is_restarted(home):
    home.catalog("web")
    home.live(60)
    home.source.follows = home.source.consul = False
    home.live(300)
    home.source.consul = True
    home.live(5)
    home.source.follows = True
    home.source.bring()
    home.live(60)
    assert home.source.restarts == 0


def test_l6_consul_that_goes_away_after_the_echo_was_written_is_not_held_against_it(home):
    home.catalog("web")
    home.live(60)
    home.source.follows = False
    written = len(home.source.written)
    while len(home.source.written) == written:
        home.live(0.5)
    home.source.consul = False
    home.live(100)
    assert home.source.restarts == 0


def test_l6_consul_template_that_was_stopped_is_not_started(home):
    home.live(60)
    home.source.follows = home.source.active = False
    home.live(100)
    assert home.source.restarts == 0


def test_l6_a_longer_pause_of_consul_template_is_waited_for(home):
    home.options = dataclasses.replace(home.options, max_backoff="1m")
    home.live(60)
    home.source.follows = False
    home.live(50)
    assert home.source.restarts == 0
    home.live(30)
    assert home.source.restarts == 1


def test_l6_a_host_without_a_name_writes_no_echo(home):
    home.options = dataclasses.replace(home.options, node="")
    home.live(100)
    assert (home.source.written, home.source.restarts) == ([], 0)


def test_l6_a_frozen_balancer_is_noticed_in_20_s_and_restarted(home):
    home.catalog("web")
    home.live(60)
    home.balancer.silence = "nginx does not answer"
    home.live(20)
    assert home.restarted == ["standin.service"]
    assert home.status["reason"] == "nginx does not answer"
    home.balancer.silence = ""
    home.live(40)
    assert (home.status["state"], home.restarted) == ("ok", ["standin.service"])


@pytest.mark.parametrize("backend", WAITS)
@pytest.mark.parametrize("frozen", range(4))
@pytest.mark.parametrize("changed", range(-1, 20))
def test_l6_a_frozen_balancer_is_noticed_in_20_s_whenever_the_catalog_changes(home, frozen, changed, backend):
    """A sync that waits for it does not keep the program from noticing.

    :param frozen: seconds after a look at it
    :param changed: seconds after that when the catalog changes; -1: never
    """
    home.catalog("web")
    home.live(60 + frozen)
    home.balancer.waits = WAITS[backend]
    home.balancer.frozen_by, begin = home.clock, home.clock.now
    while not home.restarted:
        if home.clock.now - begin >= changed >= 0:
            replace_catalog(home, "new")
            changed = -1
        home.program.turn()
        home.clock.now += min(max(home.program.idle_seconds(), 0.001), 0.25)
        assert home.clock.now - begin <= 20
    home.balancer.frozen_by = None
    home.live(40)
    assert (home.status["state"], home.restarted) == ("ok", ["standin.service"])


@pytest.mark.parametrize("backend", WAITS)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("moment", ["check", "reload"])
def test_l6_a_balancer_that_freezes_in_a_sync_is_noticed_in_20_s(home, moment, again, backend):
    """
    :param again: whether the catalog changes once more, after that sync
    """
    home.catalog("web")
    home.live(60)
    home.balancer.waits = WAITS[backend]
    of_before, begin = getattr(home.balancer, moment), home.clock.now

    def freezes(*arguments):
        home.balancer.frozen_by = home.clock
        return of_before(*arguments)

    setattr(home.balancer, moment, freezes)
    replace_catalog(home, "new")
    while not home.restarted:
        home.program.turn()
        if again and home.status["state"] == "failed":
            replace_catalog(home, "newer")
            again = False
        home.clock.now += min(max(home.program.idle_seconds(), 0.001), 0.25)
        assert home.clock.now - begin <= 20


def test_l6_a_balancer_that_is_busy_for_some_seconds_is_left_alone(home):
    home.live(60)
    home.balancer.frozen_by = home.clock
    home.live(6)
    home.balancer.frozen_by = None
    home.live(60)
    assert home.restarted == []


def test_l6_a_balancer_that_does_not_load_and_hangs_is_restarted_at_once(home):
    home.catalog("web")
    home.live(60)
    home.balancer.silence, home.balancer.obeys = "nginx's master takes no signal", False
    begin = home.clock.now
    replace_catalog(home, "new")
    while not home.restarted:
        home.program.turn()
        home.clock.now += max(home.program.idle_seconds(), 0.001)
    assert home.clock.now - begin <= 20
    home.balancer.silence, home.balancer.obeys = "", True
    home.live(40)
    assert (home.status["state"], home.status["http"]) == ("ok", {"new": 1})


def test_l6_a_balancer_that_refuses_a_configuration_is_not_restarted(home):
    home.catalog("web")
    home.live(60)
    home.balancer.obeys = False
    replace_catalog(home, "new")
    home.live(120)
    assert (home.restarted, "did not load" in home.status["reason"]) == ([], True)


def test_l6_restarts_of_a_balancer_are_bounded(home):
    home.catalog("web")
    home.live(60)
    home.balancer.silence = "nginx does not answer"
    home.live(600)
    assert len(home.restarted) == restarts.MOST


def test_l8_nothing_that_fails_ends_the_program(home, capsys):
    home.catalog("web")
    home.live(20)

    def broken(*_):
        raise RuntimeError("odd")

    fine = home.source.problem
    home.source.problem = broken
    home.live(40)
    assert "odd" in home.status["reason"]
    assert "RuntimeError" in capsys.readouterr().err
    home.source.problem = fine
    home.live(60)
    assert home.status["state"] == "ok"


def test_l8_options_that_cannot_be_read_are_a_reason(home):
    home.catalog("web")
    home.live(20)

    def broken():
        raise ValueError("domain: 7 is not a DNS name")

    home.program.load_options = broken
    home.live(60)
    assert home.status["reason"] == "domain: 7 is not a DNS name"
    home.program.load_options = lambda: home.options
    home.live(20)
    assert home.status["state"] == "ok"


def test_the_program_is_told_by_systemd_and_ends_with_0(tmp_path):
    """The process itself: ready after the first sync, alive, woken by a rename, ended by SIGTERM."""
    (tmp_path / "state").mkdir()
    (tmp_path / "options.json").write_text("{}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        code = (
            f"import sys; sys.path[:0] = {PATHS!r}\nimport pathlib\n"
            "from discovery_balancer import resident\n"
            f"here = pathlib.Path({str(tmp_path)!r})\n"
            "sys.exit(resident.main(here / 'options.json', here / 'state', here / 'spare.json'))\n"
        )
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
        try:
            assert systemd.recv(1000).startswith(b"STATUS=failed: ")
            assert systemd.recv(100) == b"READY=1"
            assert json.loads((tmp_path / "state/status.json").read_text())["state"] == "failed"
            (tmp_path / "state/new").write_text("{}")
            (tmp_path / "state/new").rename(tmp_path / "state/catalog.json")
            while (told := systemd.recv(1000)).startswith(b"STATUS="):
                pass
            assert told == b"WATCHDOG=1"
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            while systemd.recv(1000) != b"STOPPING=1":
                pass
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_letters_that_the_locale_of_the_host_does_not_have_are_printed_all_the_same(tmp_path):
    """Else the printing would fail after each sync."""
    (tmp_path / "state").mkdir()
    (tmp_path / "options.json").write_text('{"domain": "\u65e5.example"}')
    code = (
        f"import os, sys; sys.path[:0] = {PATHS!r}\nimport pathlib, signal\n"
        "from discovery_balancer import resident\n"
        "resident.notify = lambda text: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"here = pathlib.Path({str(tmp_path)!r})\n"
        "resident.main(here / 'options.json', here / 'state', here / 'spare.json')\n"
    )
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=True)
    assert b"failed: domain: '\\u65e5.example' is not a DNS name" in done.stdout
    assert json.loads((tmp_path / "state/status.json").read_text())["reason"].startswith("domain: ")


def test_it_stays_small(tmp_path):
    """Its own bound is 30 MB; measured in a process of its own with 300 services, over several generations."""
    code = (FILES / "../../../tests/unit/balancer/resident_memory.py").resolve()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", code, str(tmp_path), "300"], capture_output=True, text=True, check=True
    )
    kibibytes = int(done.stdout.splitlines()[-1])
    print(f"{kibibytes} KiB resident with 300 services")
    assert kibibytes <= 30 * 1024


def test_l6_a_state_that_consul_does_not_take_is_reported_and_heals(home):
    home.catalog("web")
    home.live(20)
    home.source.refusal = "Consul does not take the state of this balancer: 403"
    home.live(2 * duties.ECHO_SECONDS)
    assert home.status["state"] == "ok"  # a token that is being replaced
    home.live(2 * duties.ECHO_SECONDS)
    assert (home.status["state"], home.status["reason"]) == ("failed", home.source.refusal)
    home.source.refusal = ""
    home.live(2 * duties.ECHO_SECONDS)
    assert (home.status["state"], home.restarted, home.source.restarts) == ("ok", [], 0)
