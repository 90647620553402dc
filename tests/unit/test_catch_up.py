"""consul-catch-up: when a freshly started server may answer DNS by itself."""

import contextlib
import http.server
import json

import pytest
from programs import load
from tests.support.authority import Authority, serving

program = load("consul/files/consul-catch-up")


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """This machine may be busy."""
    monkeypatch.setattr(program, "PATIENCE", 60)


class Cluster:
    """A leader that stands still, and a server that reads on each time somebody waits.

    :ivar waited: the pauses, in seconds
    """

    def __init__(self, leader: int, server: int, led_after: int = 0):
        self.leader, self.server, self.led_after = leader, server, led_after
        self.waited: list[float] = []

    def index(self, path: str) -> int:
        led = len(self.waited) >= self.led_after
        if path.endswith("?consistent"):
            return self.leader if led else 0
        return self.server if led else 0  # without a leader since its start a server has no stale answer either

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.server += 1


@pytest.mark.parametrize(("server", "pauses"), [(40, 0), (45, 0), (37, 3)])
def test_a_server_catches_up(server, pauses):
    cluster = Cluster(leader=40, server=server)
    program.refresh_from_leader(cluster.index, cluster.sleep)
    assert cluster.waited == [program.QUICK] * pauses


def test_without_a_leader_it_waits_as_long_as_it_takes():
    cluster = Cluster(leader=140, server=0, led_after=100)
    program.refresh_from_leader(cluster.index, cluster.sleep)
    assert cluster.waited == [program.SLOW] * 100 + [program.QUICK] * 40


def test_each_table_is_asked_for():
    asked = []
    program.refresh_from_leader(lambda path: asked.append(path) or 1, None)
    assert asked == [f"{table}?{mode}" for table in program.TABLES for mode in ("consistent", "stale")]


@contextlib.contextmanager
def served(authority, close=False):
    """An agent whose tables have the index 7; yields its port and the number of its connections, a list."""
    opened = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            opened.append(1)

        def do_GET(self):
            self.send_response(200)
            self.send_header("X-Consul-Index", "7")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")
            self.close_connection = close

        def log_message(self, *_):
            pass

    with serving(authority, Handler) as port:
        yield port, opened


def test_x5_the_agent_is_verified_and_asked_on_one_connection(tmp_path):
    site, other = Authority(tmp_path / "site"), Authority(tmp_path / "other")
    with served(site) as (port, opened):
        agent = program.Agent(("127.0.0.1", port), site.ca)
        assert [agent.index("/v1/catalog/nodes?stale") for _ in range(3)] == [7, 7, 7] and len(opened) == 1
        assert program.Agent(("127.0.0.1", port), other.ca).index("/v1/catalog/nodes?stale") == 0


def test_k5_a_new_ca_applies_to_the_next_connection(tmp_path):
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    with served(new) as (port, _):
        agent = program.Agent(("127.0.0.1", port), old.ca)
        assert agent.index("/v1/catalog/nodes?stale") == 0
        (tmp_path / "old/ca.pem").write_bytes((tmp_path / "new/ca.pem").read_bytes())
        assert agent.index("/v1/catalog/nodes?stale") == 7


def test_a_closed_connection_is_opened_again(tmp_path):
    site = Authority(tmp_path / "site")
    with served(site, close=True) as (port, opened):
        agent = program.Agent(("127.0.0.1", port), site.ca)
        assert [agent.index("/v1/catalog/nodes?stale") for _ in range(4)].count(7) >= 2 and len(opened) >= 2


@pytest.mark.parametrize("ca", ["site", "missing"])
def test_no_answer_is_no_index(tmp_path, ca):
    Authority(tmp_path / "site")
    assert program.Agent(("127.0.0.1", 1), str(tmp_path / ca / "ca.pem")).index("/v1/catalog/nodes?stale") == 0


def test_before_a_start_names_are_asked_of_the_leader(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "FILE", tmp_path / "starting/names.json")
    for _ in range(2):
        program.main(["begin"])
        assert json.loads(program.FILE.read_text()) == {"dns_config": {"allow_stale": False}}
