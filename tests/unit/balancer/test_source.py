"""Whether the catalog is followed, and the status in Consul's KV store (L2)."""

import base64
import dataclasses
import functools
import http.server
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from tests.support.authority import Authority, tls

from discovery_balancer import source
from discovery_balancer.source import Source
from discovery_balancer.store import Store

KEY = "/v1/kv/discovery/balancer/n1"
STATUS = {"state": "ok", "reason": "", "generation": 3, "skipped": [], "warnings": [], "time": 5, "http": {"web": 1}}


class Agent:
    """An agent that gives set answers, by path; it records its requests."""

    def __init__(self, context):
        self.answers, self.asked = {source.ALWAYS_THERE: (200, '[{"Node": {}}]')}, []
        self.written = [(200, "true")] * 20  # answers to what is written
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                length = int(self.headers.get("Content-Length") or 0)
                agent.asked.append((self.command, self.path, self.headers["X-Consul-Token"], self.rfile.read(length).decode()))
                code, text = agent.answers.get(self.path, (404, "")) if self.command == "GET" else agent.written.pop(0)
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            do_PUT = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that refuses us
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def puts(self):
        return [one for one in self.asked if one[0] == "PUT"]


class Unit:
    """systemctl and journalctl, as far as the program calls them."""

    def __init__(self):
        self.state, self.pid, self.journal, self.called, self.silent = "active", str(os.getpid()), "", [], False

    def __call__(self, *asked):
        self.called.append(asked)
        if self.silent:
            raise OSError(f"{asked[0]} gives no answer within 3 s")
        properties = {"ActiveState": self.state, "MainPID": self.pid}
        text = self.journal if asked[0] == "journalctl" else properties.get(asked[4] if asked[1] == "show" else "", "") + "\n"
        return subprocess.CompletedProcess(asked, 0, text, "")

    @property
    def orders(self):
        return [asked[2] for asked in self.called if asked[1] == "--no-block"]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.fixture
def agent(authority):
    agent = Agent(tls(authority, "127.0.0.1"))
    yield agent
    agent.server.shutdown()
    agent.server.server_close()


@pytest.fixture
def unit(monkeypatch):
    unit = Unit()
    monkeypatch.setattr(source.systemd, "ask", unit)
    return unit


@pytest.fixture
def watched(tmp_path, agent, unit, authority, monkeypatch):
    """It waits longer for an answer than on a host: this machine may be busy."""
    monkeypatch.setattr(source, "Agent", functools.partial(source.Agent, timeout=60))
    token, ca = tmp_path / "token", tmp_path / "ca" / "ca.pem"
    token.write_text("secret\n")
    for file in (token, ca):
        os.utime(file, (1, 1))
    return Source(f"127.0.0.1:{agent.server.server_port}", token, "n1", ca)


def test_l2_healthy_source_is_verified_once(watched, agent):
    assert watched.problem() == ""
    assert agent.asked == [("GET", source.ALWAYS_THERE, "secret", "")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, "ACL not found"), "Consul refuses consul-template's token, so the catalog is not followed: ACL not found"),
        ((500, "No known Consul servers"), "has no answer, so the catalog is not followed: 500 No known Consul servers"),
        ((200, "[]"), source.UNREADABLE),
    ],
)
def test_l2_answers_of_consul_to_the_token(watched, agent, answer, words):
    agent.answers[source.ALWAYS_THERE] = answer
    assert words in watched.problem()


def test_l2_agent_that_is_away(watched):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = dataclasses.replace(watched, agent=f"127.0.0.1:{probe.getsockname()[1]}")
        assert "does not answer" in away.problem()
        assert (away.report(STATUS, 1), away.stored(), away.settled()) == (False, None, False)


def test_l2_token_that_cannot_be_read(watched):
    watched.token_file.unlink()
    assert "token" in watched.problem()
    assert not watched.report(STATUS, 1)


@pytest.mark.parametrize("reason", ["another CA", "another address"])
def test_x5_another_listener_gets_no_token(watched, agent, tmp_path, reason):
    """Whoever listens on the agent's port while that is down."""
    if reason == "another CA":
        watched = dataclasses.replace(watched, ca=Authority(tmp_path / "site").ca)
    else:
        watched = dataclasses.replace(watched, agent=f"localhost:{agent.server.server_port}")
    assert "does not answer" in watched.problem()
    assert not watched.report(STATUS, 1)
    assert agent.asked == []


def test_l2_consul_template_that_was_stopped_has_no_complaint(watched, unit):
    unit.state, unit.journal = "inactive", "[ERR] long ago"
    assert watched.problem().endswith("(inactive), so the catalog is not followed; it was stopped")


@pytest.mark.parametrize("state", ["activating", "failed", ""])
def test_l2_dead_consul_template_is_reported_with_its_last_error(watched, unit, state):
    unit.state = state
    words = "(cli) template: no space left on device"
    unit.journal = f"start\n2026-11-21T23:45:26.123Z [ERR] {words}\n2026 [ERR] sent back to caller\nx [WARN] y\n"
    found = watched.problem()
    assert f"does not run ({state or 'unknown'})" in found and found.endswith(f"; {words}")


def test_l2_a_systemd_that_hangs_is_not_a_consul_template_that_does_not_run(watched, unit):
    unit.silent = True
    assert watched.problem() == "whether consul-template runs is not known: systemctl gives no answer within 3 s"
    assert watched.hangs() == ""
    watched.restart()
    watched.refresh(unusable=True)


def test_l2_reload_of_consul_template_is_no_reason(watched, unit):
    unit.state = "reloading"
    assert watched.problem() == ""


def test_l2_unusable_catalog_is_queried_again(watched, unit):
    watched.refresh(unusable=False)
    assert unit.orders == []
    watched.refresh(unusable=True)
    assert unit.orders == ["reload"]


@pytest.mark.parametrize("file", ["token_file", "ca"])
def test_l2_another_token_or_ca_is_taken_by_a_restart(watched, unit, file):
    os.utime(getattr(watched, file))  # just now: after the start of this process
    watched.refresh(unusable=False)
    assert unit.orders == ["try-restart"]


@pytest.mark.parametrize("age", [-3600, 10**9])
def test_l2_times_that_prove_nothing_restart_nothing(watched, unit, age):
    """A token from the future: the clock has been wrong. It would restart consul-template at every run."""
    os.utime(watched.token_file, (time.time() - age,) * 2)
    watched.refresh(unusable=False)
    assert unit.orders == []


def test_l2_token_of_no_process_restarts_nothing(watched, unit):
    unit.pid = "0"
    os.utime(watched.token_file)
    watched.refresh(unusable=False)
    assert unit.orders == []


def test_l2_state_is_written_with_a_number_that_comes_back(watched, agent):
    assert watched.report(STATUS, 17)
    assert [(path, token) for _, path, token, _ in agent.puts] == [(KEY, "secret")]
    reported = json.loads(agent.puts[0][3])
    assert reported == {"state": "ok", "reason": "", "generation": 3, "skipped": [], "warnings": [], "echo": 17}
    agent.answers[f"{KEY}?raw"] = (200, agent.puts[0][3])
    assert (watched.stored(), source.echo_of(agent.puts[0][3])) == (17, 17)


@pytest.mark.parametrize("answer", [(500, "No cluster leader"), (429, "rate limit"), (200, "false")])
def test_l6_state_that_is_not_written_is_no_echo(watched, agent, answer):
    agent.written = [answer]
    assert not watched.report(STATUS, 17)


@pytest.mark.parametrize("answer", [(403, "Permission denied"), (413, "exceeds 524288 byte limit")])
def test_l6_state_that_may_not_be_written_is_a_problem(watched, agent, answer):
    agent.written = [answer]
    with pytest.raises(source.Refused, match=f"Consul does not take the state of this balancer: {answer[0]} {answer[1]}"):
        watched.report(STATUS, 17)


def test_l6_state_in_the_kv_store_is_bounded(watched, agent):
    """Whoever registers thousands of services does not make it unwritable, nor each echo expensive."""
    many = [{"name": "\N{FAMILY}" * 100, "reason": "\x00" * 20000} for _ in range(5000)]
    for status in ({"skipped": many}, {"warnings": many}, {"skipped": many, "warnings": many}, {"reason": "x" * 10**6}):
        assert watched.report(STATUS | status, 17)
        text = agent.puts[-1][3]
        assert (len(text.encode()) <= source.MOST_BYTES, json.loads(text)["echo"]) == (True, 17)
        for key in status.keys() - {"reason"}:
            *kept, last = json.loads(text)[key]
            assert last == {"name": "...", "reason": f"{5000 - len(kept)} more: see `discovery-balancer status` on the host"}


def test_l6_a_short_state_is_written_as_it_is(watched, agent):
    listed = [{"name": f"web{number}", "reason": "no usable instance"} for number in range(100)]
    watched.report(STATUS | {"skipped": listed}, 17)
    assert json.loads(agent.puts[0][3])["skipped"] == listed


def test_l6_a_server_that_has_just_started_shows_no_number(watched, agent, tmp_path):
    """The leader has it, and the server that consul-template reads from not yet."""
    agent.answers[f"{KEY}?raw"] = (200, '{"echo": 17}')
    starts = dataclasses.replace(watched, starting=tmp_path / "starting")
    (tmp_path / "starting").touch()
    assert starts.stored() is None
    (tmp_path / "starting").unlink()
    assert starts.stored() == 17


@pytest.mark.parametrize("answer", [(500, "No cluster leader"), (403, ""), (404, "")])
def test_l6_consul_that_does_not_show_the_key_shows_no_number(watched, agent, answer):
    agent.answers[f"{KEY}?raw"] = answer
    assert watched.stored() is None


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"echo": "1"}', '{"echo": true}', "{", "[" * 100000, '{"echo": -1}', f'{{"echo": {"9" * 4300}}}'],
)
def test_l6_a_text_without_a_number_has_none(text):
    assert source.echo_of(text) == 0


def test_l6_a_unit_that_does_not_run_does_not_hang(watched, unit):
    assert "hangs" in watched.hangs()
    unit.state = "inactive"
    assert watched.hangs() == ""


def test_l6_consul_template_that_hangs_is_restarted_where_it_runs(watched, unit):
    watched.restart()
    assert unit.orders == ["try-restart"]


REGISTER = "/v1/kv/discovery/owners/balancers"


def stored(text, index=7):
    return 200, json.dumps([{"ModifyIndex": index, "Value": base64.b64encode(text.encode()).decode()}])


def test_x7_a_key_is_changed_by_compare_and_set(watched, agent):
    agent.answers[REGISTER] = stored("old")
    assert watched.change("discovery/owners/balancers", lambda text: f"{text} and new") == ""
    assert agent.puts == [("PUT", f"{REGISTER}?cas=7", "secret", "old and new")]


def test_x7_a_key_that_is_not_there_is_made_once(watched, agent):
    assert watched.change("discovery/owners/balancers", lambda text: f"{text}") == ""
    assert agent.puts == [("PUT", f"{REGISTER}?cas=0", "secret", "None")]


def test_x7_a_key_that_is_right_is_not_written(watched, agent):
    agent.answers[REGISTER] = stored("right")
    assert (watched.change("discovery/owners/balancers", lambda text: text), agent.puts) == ("", [])


def test_x7_who_is_second_reads_again(watched, agent):
    agent.answers[REGISTER] = stored("old")
    agent.written = [(200, "false"), (200, "true")]
    assert watched.change("discovery/owners/balancers", lambda text: "new") == ""
    assert [path for command_, path, *_ in agent.asked] == [REGISTER, f"{REGISTER}?cas=7"] * 2


@pytest.mark.parametrize(
    ("answer", "written", "words"),
    [
        ((403, "Permission denied"), (200, "true"), "403 Permission denied"),
        ((500, "No leader"), (200, "true"), "500 No leader"),
        ((404, ""), (403, "no write"), "403 no write"), ((200, "nonsense"), (200, "true"), "Expecting value"),
        ((200, "[]"), (200, "true"), "index out of range"),
    ],
)  # fmt: skip
def test_x7_a_key_that_cannot_be_changed_is_reported(watched, agent, answer, written, words):
    agent.answers[REGISTER], agent.written = answer, [written]
    assert words in watched.change("discovery/owners/balancers", lambda text: "new")


def leader(answer):
    """The leader's answer; an error: it gives none."""

    def asked():
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asked


@pytest.mark.parametrize(
    ("starting", "settled", "answer", "kept", "past"),
    [
        (True, True, "new", "new", False), (True, True, "", "old", False), (True, True, ValueError("no answer"), "old", True),
        (False, True, AssertionError(), "old", False), (True, False, AssertionError(), "old", True),
    ],
)  # fmt: skip
def test_r1_catalog_of_a_starting_server_comes_from_a_leader_that_has_applied_its_log(
    tmp_path, starting, settled, answer, kept, past
):
    """One that has just been elected answers from before that. Without one the catalog may be of the past."""
    store, file = Store(tmp_path), tmp_path / "run/names.json"
    store.write_catalog("old")
    if starting:
        file.parent.mkdir()
        file.touch()
    assert source.refresh_from_leader(store, lambda: settled, leader(answer), file).startswith(source.PAST) == past
    assert (tmp_path / "catalog.json").read_text() == kept


def test_r1_a_catalog_that_was_refused_is_not_trusted_when_the_server_has_caught_up(tmp_path):
    """consul-template read it from the past, was refused, and asks again only after a pause; then all servers are stopped."""
    store, file = Store(tmp_path), tmp_path / "run/names.json"
    store.write_catalog("of the past")
    file.parent.mkdir()
    file.touch()
    assert source.refresh_from_leader(store, lambda: False, leader("new"), file) == source.PAST
    file.unlink()
    os.utime(file.parent, (1, 1))  # long ago
    assert source.refresh_from_leader(store, lambda: False, leader("new"), file) == source.PAST
    assert source.refresh_from_leader(Store(tmp_path), lambda: True, leader("new"), file) == ""  # also after its own restart
    assert (tmp_path / "catalog.json").read_text() == "new"
    assert source.refresh_from_leader(store, lambda: False, leader("newer"), file) == ""


def test_r1_a_catalog_that_the_leader_confirms_is_trusted(tmp_path):
    store, file = Store(tmp_path), tmp_path / "run/names.json"
    store.write_catalog("right")
    store.distrust_catalog()
    assert source.refresh_from_leader(store, lambda: True, leader(""), file) == ""
    assert not store.distrusts_catalog()


def test_r1_that_a_catalog_is_of_the_past_is_written_once(tmp_path):
    store = Store(tmp_path)
    store.write_catalog("of the past")
    store.distrust_catalog()
    before = (tmp_path / "past").stat().st_ino
    store.distrust_catalog()
    assert (tmp_path / "past").stat().st_ino == before
    store.write_catalog("another one")
    assert not store.distrusts_catalog()
    store.distrust_catalog()
    assert store.distrusts_catalog()


def test_r1_consul_template_may_write_the_past_for_some_seconds_after_the_server_has_caught_up(tmp_path):
    store, file = Store(tmp_path), tmp_path / "run/names.json"
    file.parent.mkdir()
    file.touch()
    file.unlink()
    store.write_catalog("of the past")
    assert source.refresh_from_leader(store, lambda: True, leader("new"), file) == ""
    assert (tmp_path / "catalog.json").read_text() == "new"
    now = time.time() - source.SETTLING - 1
    os.utime(file.parent, (now, now))
    store.write_catalog("of consul-template")
    assert source.refresh_from_leader(store, lambda: False, leader("new"), file) == ""


@pytest.mark.parametrize(("answer", "settled"), [((200, "[]"), True), ((500, "No cluster leader"), False), ((403, ""), False)])
def test_r1_a_leader_answers_a_consistent_read_when_it_has_applied_its_log(watched, agent, answer, settled):
    agent.answers["/v1/catalog/service/consul?consistent"] = answer
    assert watched.settled() == settled
