"""consul-hand-over: a leader asks for another one before it stops, a follower never, and nothing keeps it from stopping."""

import contextlib
import http.server
import json

import jinja2
import pytest
from programs import ROLES, load
from tests.support.authority import Authority, serving
from tests.yaml_text import parse_yaml

program = load("consul/files/consul-hand-over")
OWN, OTHER = "192.0.2.1", "192.0.2.2:8300"
TRANSFER = ("POST", "/v1/operator/raft/transfer-leader")


class Cluster:
    """Names its leaders in turn, the last one for ever.

    :ivar asked: the requests
    """

    def __init__(self, *leaders: str):
        self.leaders, self.asked = list(leaders), []

    def ask(self, method: str, path: str):
        self.asked.append((method, path))
        if method == "POST":
            return {"Success": True}
        return self.leaders.pop(0) if len(self.leaders) > 1 else self.leaders[0]


def test_w39_a_leader_asks_for_another_one_and_waits_until_it_leads():
    """Between two leaders there is none for a moment."""
    pauses, cluster = [], Cluster(f"{OWN}:8300", f"{OWN}:8300", "", OTHER)
    assert program.hand_over(cluster.ask, OWN, pauses.append) == f"{OTHER} leads"
    assert [asked for asked in cluster.asked if asked[0] == "POST"] == [TRANSFER] and cluster.asked[1] == TRANSFER
    assert pauses == [program.PAUSE] * 2


@pytest.mark.parametrize("leader", [OTHER, "", "192.0.2.11:8300"])
def test_w39_a_follower_asks_for_nothing(leader):
    """Its request would reach the leader, which does not stop. An address may begin with that of another server."""
    cluster = Cluster(leader)
    assert program.hand_over(cluster.ask, OWN) == ""
    assert cluster.asked == [("GET", "/v1/status/leader")]


def test_w39_the_wait_for_another_leader_is_bounded():
    pauses = []
    assert program.hand_over(Cluster(f"{OWN}:8300").ask, OWN, pauses.append) == "no other server leads yet"
    assert pauses == [program.PAUSE] * program.LOOKS


@contextlib.contextmanager
def served(authority, leaders, status=200):
    """An agent that names these leaders in turn, and answers each POST with a status; yields port, requests and their tokens."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(200, json.dumps(leaders.pop(0)))

        def do_POST(self):
            self.answer(status, '{"Success": true}' if status == 200 else "cannot find peer")

        def answer(self, code, text):
            asked.append((self.command, self.path, self.headers["X-Consul-Token"]))
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with serving(authority, Handler) as port:
        yield port, asked


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A function that puts the program on a host, whose agent listens on a port; gives the CA of the site."""
    site = Authority(tmp_path / "site")
    monkeypatch.setattr(program, "PATIENCE", 60)  # this machine may be busy
    monkeypatch.setattr(program, "CA", site.ca)
    monkeypatch.setattr(program, "TOKEN", tmp_path / "token")
    monkeypatch.setenv("MAINPID", "4711")
    program.TOKEN.write_text("token-of-the-host\n")
    return site, lambda port: monkeypatch.setattr(program, "AGENT", ("127.0.0.1", port))


def test_w39_the_lead_is_handed_over_with_the_token_of_the_host(host, capsys):
    site, listen = host
    with served(site, [f"{OWN}:8300", OTHER]) as (port, asked):
        listen(port)
        program.main([OWN])
    assert asked[1] == (*TRANSFER, "token-of-the-host")
    assert capsys.readouterr().out == f"{OTHER} leads\n"


def test_w39_a_refusal_is_logged_and_the_server_stops(host, capsys):
    """Such as of a single server, or of a cluster that does not know the token yet."""
    site, listen = host
    with served(site, [f"{OWN}:8300"], status=500) as (port, _):
        listen(port)
        program.main([OWN])
    assert capsys.readouterr().out == "the lead was not handed over: 500 cannot find peer\n"


def test_w39_x5_somebody_else_on_the_port_gets_no_token(host, tmp_path, capsys):
    _, listen = host
    with served(Authority(tmp_path / "other"), []) as (port, asked):
        listen(port)
        program.main([OWN])
    assert asked == [] and "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().out


def test_w39_a_damaged_token_is_not_logged(host, capsys):
    host[1](1)
    program.TOKEN.write_text("token\nof-the-host\n")
    program.main([OWN])
    assert capsys.readouterr().out == f"the lead was not handed over: {program.TOKEN} holds no token\n"


@pytest.mark.parametrize("lacks", ["agent", "token"])
def test_w39_without_agent_or_token_the_server_stops(host, capsys, lacks):
    host[1](1)
    if lacks == "token":
        program.TOKEN.unlink()
    program.main([OWN])
    assert capsys.readouterr().out.startswith("the lead was not handed over: ")


def test_w39_one_that_has_ended_by_itself_asks_nobody(host, monkeypatch, capsys):
    host[1](1)
    monkeypatch.delenv("MAINPID")
    program.main([OWN])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("server", "tokens", "hands_over"), [
    (True, {"hand_over": ["a"]}, True), (True, {"hand_over": ["b"]}, False), (True, {}, False),
    (False, {"hand_over": ["a"]}, False),
])  # fmt: skip
def test_w39_the_unit_hands_over_where_the_host_has_a_token(server, tokens, hands_over):
    values = parse_yaml((ROLES / "consul/vars/main.yml").read_text())
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.ChainableUndefined)
    environment.filters |= {"comment": str, "fewnodes.discovery.unit_sandbox": str, "combine": dict.__or__}
    given = {"__consul_is_server": server, "inventory_hostname": "a", "consul_tokens": tokens, "consul_address": OWN}
    found = environment.compile_expression(values["__consul_hands_over"].strip("{} "))(given)
    assert bool(found) is hands_over
    given |= {"__consul_hands_over": found, "consul_start_timeout": 60, "__consul_command": []}
    unit = environment.from_string((ROLES / "consul/templates/consul.service.j2").read_text()).render(given)
    assert (f"ExecStop=-/usr/local/sbin/consul-hand-over {OWN}" in unit.splitlines()) is hands_over
