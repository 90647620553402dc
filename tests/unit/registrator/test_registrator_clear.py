"""What is taken out of the agent when the engine has ended."""

import json
import signal

import pytest

from registrator import clear
from registrator.agent import AgentError
from registrator.mark import Owner
from registrator_cases import HOST

OURS = {"registrator": HOST, "registrator-engine": "engine-1"}


def entry(service_id, meta=None):
    return {"ID": service_id, "Service": "web", "Meta": meta or {}}


SERVICES = {
    e["ID"]: e
    for e in (
        entry("web", OURS),
        entry("renamed", {"registrator": "old", "registrator-engine": "engine-1"}),
        entry("other-host", {"registrator": "node-2", "registrator-engine": "engine-2"}),
        entry("node-1:old:80"),
        entry("by-hand"),
    )
}


@pytest.mark.parametrize("owners, cleanup, ids", [
    ([Owner(HOST)], False, ["web"]),
    ([Owner(HOST), Owner(HOST, "engine-1")], False, ["renamed", "web"]),
    ([Owner(HOST)], True, ["node-1:old:80", "web"]),
    ([Owner("node-9")], False, []),
])  # fmt: skip
def test_only_what_carries_our_mark_goes(owners, cleanup, ids):
    assert clear.leftover(SERVICES, owners, cleanup) == ids


@pytest.mark.parametrize("files, daemon, engines", [
    ({}, {}, [""]),
    ({"/var/lib/docker/engine-id": "id-1\n"}, {}, ["", "id-1"]),
    ({"/srv/docker/engine-id": "id-1"}, {"data-root": "/srv/docker"}, ["", "id-1"]),
    ({"/etc/docker/key.json": json.dumps({"kid": "AB:CD"})}, {}, ["", "AB:CD"]),
    ({"/etc/docker/key.json": "broken"}, {}, [""]),
    ({"/etc/docker/key.json": "[]"}, {}, [""]),
])  # fmt: skip
def test_the_engine_is_known_by_its_files(files, daemon, engines):
    found = clear.owners(HOST, daemon, lambda path: files.get(path, ""))
    assert found == [Owner(HOST, engine) for engine in engines]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_daemon_json_that_is_none_says_nothing(text):
    assert clear.settings(text) == {}


class FakeAgent:
    """Fails a number of times, then does what it is told."""

    def __init__(self, *_, failures=0, leaders=(), timeout=None):
        self.entries, self.failures, self.leaders = dict(SERVICES), failures, list(leaders)

    def reaches_leader(self):
        return self.leaders.pop(0) if self.leaders else True

    def services(self):
        self.failures -= 1
        if self.failures >= 0:
            raise AgentError("no leader")
        return dict(self.entries)

    def deregister(self, service_id):
        del self.entries[service_id]


def test_it_tries_until_the_agent_answers(monkeypatch, capsys):
    monkeypatch.setattr(clear, "PAUSE", 0)
    agent = FakeAgent(failures=3)
    clear.insist(agent, [Owner(HOST)], False)
    assert "web" not in agent.entries and len(agent.entries) == 4
    out = capsys.readouterr().out
    assert out.count("failed") == 1 and "cleared services=1" in out


@pytest.fixture
def host(monkeypatch):
    """A host whose daemon.json and agent the test chooses."""
    chosen = {"daemon": {}, "agent": FakeAgent()}
    monkeypatch.setattr(clear, "read", lambda path: json.dumps(chosen["daemon"]) if path == clear.DAEMON_JSON else "")
    monkeypatch.setattr(clear, "Agent", lambda *_, **__: chosen["agent"])
    monkeypatch.setattr("os.uname", lambda: type("Name", (), {"nodename": HOST}))
    before = signal.getsignal(signal.SIGALRM)
    yield chosen
    signal.signal(signal.SIGALRM, before)


def test_an_agent_that_never_answers_fails_nobody(host, monkeypatch, capsys):
    monkeypatch.setattr(clear, "DEADLINE", 1)
    host["agent"] = FakeAgent(failures=10**9)
    assert clear.main(["-stopped", "consul://127.0.0.1:8500"]) == 0
    assert "not done within 1 s" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, live, left", [
    (["-stopped"], True, True), (["-stopped"], False, False), ([], True, False), ([], False, False),
])  # fmt: skip
def test_with_live_restore_containers_outlive_the_engine_but_not_a_boot(host, arguments, live, left):
    host["daemon"] = {"live-restore": live}
    assert clear.main([*arguments, "consul://127.0.0.1:8500"]) == 0
    assert ("web" in host["agent"].entries) is left


def test_it_waits_for_a_leader_because_without_one_the_catalog_keeps_everything(monkeypatch, capsys):
    monkeypatch.setattr(clear, "PAUSE", 0)
    agent = FakeAgent(leaders=[False, False, True])
    clear.await_leader(agent, seconds=5)
    assert agent.leaders == [] and len(agent.entries) == len(SERVICES)
    assert capsys.readouterr().out == ""


def test_it_does_not_wait_for_a_leader_for_ever(monkeypatch, capsys):
    monkeypatch.setattr(clear, "PAUSE", 0)
    clear.await_leader(FakeAgent(leaders=[False] * 10**6), seconds=0.05)
    assert "no leader" in capsys.readouterr().out


def test_without_a_leader_the_agent_is_cleared_all_the_same(host, monkeypatch):
    monkeypatch.setattr(clear, "LEADER", 0.01)
    host["agent"] = FakeAgent(leaders=[False] * 10**6)
    assert clear.main(["consul://127.0.0.1:8500"]) == 0
    assert "web" not in host["agent"].entries
