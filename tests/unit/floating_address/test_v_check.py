"""The check: what answers of the load balancers, and the state of the sync program, mean for keepalived."""

import contextlib
import http.server
import socket
import socketserver
import threading
from pathlib import Path

import pytest

from discovery_balancer import status
from discovery_balancer.backends.haproxy.render import CHECKED_HOST
from discovery_balancer.patterns import DOMAIN
from floating_address import __main__ as check
from floating_address.judge import GIVE_UP, HEALTHY, HOST, SICK, SILENT, Doubt, is_answer, is_sick, value

NOW = 1000.0


@pytest.mark.parametrize(("begin", "found"), [
    (b"HTTP/1.1 404 Not Found", True), (b"HTTP/1.0 503 x", True), (b"HTTP/1.1 429", True),
    (b"", None), (b"HTTP", None), (b"SSH-2.0", False), (b"HTTP/2", False),
])  # fmt: skip
def test_any_answer_of_a_web_server_is_one(begin, found):
    assert is_answer(begin) is found


@pytest.mark.parametrize(
    ("dead", "drained", "sick", "others", "number"),
    [
        (False, False, False, False, HEALTHY),
        (False, False, True, False, SICK),
        (True, False, False, True, GIVE_UP),
        (True, False, True, True, GIVE_UP),
        (False, True, False, True, GIVE_UP),
        # Where no other balancer answers the address stays: it would help nobody elsewhere.
        (True, False, False, False, SICK),
        (False, True, False, False, HEALTHY),
    ],
)
def test_v2_v3_v7_what_follows_for_the_priority(dead, drained, sick, others, number):
    assert value(dead, drained, sick, others) == number


def test_v3_a_balancer_is_dead_when_it_did_not_answer_twice_in_a_row():
    doubt = Doubt()
    doubt.heard(False)
    assert doubt.once and not doubt.dead
    doubt.heard(True)
    doubt.heard(False)
    doubt.heard(False)
    assert doubt.dead and not doubt.once


def shown(state="active", text="ok", sign=NOW - 1):
    return f"ActiveState={state}\nStatusText={text}\nWatchdogTimestampMonotonic={int(sign * 1e6)}\n"


@pytest.mark.parametrize(
    ("text", "sick"),
    [
        (shown(), False),
        (shown(text="failed: Consul has no leader"), True),
        (shown(text="degraded: x"), True),
        (shown(state="activating"), True),
        (shown(state="failed"), True),
        (shown(sign=NOW - SILENT - 1), True),
        (shown(text=""), False),  # of an earlier version
        (shown(sign=0), False),
        ("", False),  # systemd gives no answer, which says nothing
    ],
)
def test_v4_a_sync_program_that_is_sick(text, sick):
    assert is_sick(text, NOW) is sick


@pytest.mark.parametrize(
    ("state", "sick"),
    [
        ({"state": "ok", "reason": ""}, False),
        ({"state": "ok", "reason": "the catalog is not followed"}, True),
        ({"state": "failed", "reason": "two\nlines"}, True),
    ],
)
def test_v4_the_sync_program_says_in_one_line_what_the_check_reads(state, sick):
    line = status.line(state)
    assert "\n" not in line and is_sick(shown(text=line), NOW) is sick


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.headers["Host"] == HOST
        self.send_error(404)

    def log_message(self, *_unused):
        pass


@contextlib.contextmanager
def balancer():
    """A load balancer that answers; its place."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address
        server.shutdown()


@contextlib.contextmanager
def hung():
    """The kernel takes connections, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@contextlib.contextmanager
def stopped():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
    yield place


@pytest.mark.parametrize(("own", "peers", "found"), [
    (balancer, [], (True, False)),
    (hung, [], (False, False)),
    (stopped, [], (False, False)),
    (hung, [stopped, balancer], (False, True)),
    (stopped, [hung, balancer], (False, True)),
    (balancer, [balancer], (True, True)),
    (stopped, [hung], (False, False)),
])  # fmt: skip
def test_v2_v3_who_answers(own, peers, found):
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(one()) for one in (own, *peers)]
        assert check.answers(places[0], places[1:], patience=0.5) == found


class Site:
    """What the check asks, as the test wants it."""

    def __init__(self, tmp_path, file="priority"):
        self.file = tmp_path / file
        self.own, self.others, self.text, self.is_drained, self.now, self.asked = True, True, shown(), False, NOW, []
        options = {"ask": ["10.0.0.1", 80], "peers": [["10.0.0.2", 80]], "file": str(self.file)}
        self.check = check.Check(options, self.ask, lambda: self.text, lambda: self.is_drained, self)

    def ask(self, _own, peers):
        self.asked.append(bool(peers))
        return self.own, self.others and bool(peers)

    def monotonic(self):
        return self.now

    def turn(self) -> int:
        """The number in keepalived's file after one turn."""
        self.check.turn()
        return int(self.file.read_text())


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_healthy_balancer_asks_nobody_else(site):
    assert site.turn() == HEALTHY
    assert site.asked == [False]


def test_v3_a_balancer_that_does_not_answer_gives_up_within_one_turn_and_comes_back(site):
    site.turn()
    site.own = False
    assert site.turn() == GIVE_UP
    assert site.turn() == GIVE_UP
    site.own = True
    assert site.turn() == HEALTHY


def test_v3_one_question_without_an_answer_changes_nothing(site):
    site.turn()
    own = iter([False, True])
    site.check.ask = lambda _own, peers: (next(own), bool(peers))
    assert site.turn() == HEALTHY


def test_v3_without_another_balancer_the_address_stays(site):
    site.own = site.others = False
    assert site.turn() == SICK


def test_a_drained_host_gives_up_as_long_as_another_balancer_answers(site):
    site.is_drained = True
    assert site.turn() == GIVE_UP
    site.others = False
    assert site.turn() == HEALTHY
    site.is_drained = False
    assert site.turn() == HEALTHY


def test_v4_v7_a_sick_sync_program_lowers_the_priority_only(site):
    site.turn()
    site.text = shown(text="failed: Consul has no leader")
    site.now += check.SYNC_PAUSE
    assert site.turn() == SICK


def test_the_file_is_written_when_its_number_changes(site):
    site.turn()
    before = site.file.stat().st_mtime_ns, site.file.stat().st_ino
    site.turn()
    assert (site.file.stat().st_mtime_ns, site.file.stat().st_ino) == before
    assert site.file.stat().st_mode & 0o777 == 0o644


def test_a_number_of_an_earlier_process_is_known(tmp_path):
    (tmp_path / "priority").write_text(f"{GIVE_UP}\n")
    assert Site(tmp_path).turn() == HEALTHY


def test_the_balancers_log_no_question_of_the_check():
    """The name that the servers leave out of their logs, and that no service can have."""
    template = (Path(__file__).parents[3] / "roles/nginx/templates/nginx.conf.j2").read_text()
    assert f"{HOST} 0;" in template and CHECKED_HOST == HOST
    assert DOMAIN.fullmatch(HOST) is None
