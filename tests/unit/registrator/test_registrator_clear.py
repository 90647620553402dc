"""What is taken out of the agent when the engine has ended."""

import json
import signal

import pytest

from registrator import clear
from registrator.agent import AgentError
from registrator.marker import Owner
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
def test_dockerd_is_known_by_its_files(files, daemon, engines):
    found = clear.owners(HOST, daemon, lambda path: files.get(path, ""))
    assert found == [Owner(HOST, engine) for engine in engines]


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_daemon_json_that_is_none_says_nothing(text):
    assert clear.settings(text) == {}


class FakeAgent:
    """Fails a number of times, then does what it is told; so do the servers behind it."""

    def __init__(self, *_, failures=0, leaderless=0, name="node-1.site", timeout=None):
        self.entries, self.failures, self.leaderless, self.name = dict(SERVICES), failures, leaderless, name
        self.forgotten = []

    def node(self):
        return self.name

    def services(self):
        self.failures -= 1
        if self.failures >= 0:
            raise AgentError("it starts")
        return dict(self.entries)

    def deregister(self, service_id):
        del self.entries[service_id]

    def deregister_in_catalog(self, node, service_id):
        assert service_id not in self.entries, "the agent would bring it back"
        self.leaderless -= 1
        if self.leaderless >= 0:
            raise AgentError("No cluster leader")
        self.forgotten.append((node, service_id))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pauses, and what was slept otherwise."""
    slept = []
    monkeypatch.setattr(clear, "PAUSE", 0)
    monkeypatch.setattr("time.sleep", lambda seconds: slept.append(seconds) if seconds else None)
    return slept


def test_it_tries_until_the_agent_answers(capsys):
    agent = FakeAgent(failures=3)
    clear.clear_all(agent, [Owner(HOST)], False)
    assert "web" not in agent.entries and len(agent.entries) == 4
    out = capsys.readouterr().out
    assert out.count("failed") == 1 and "cleared services=1" in out


def test_the_catalog_is_told_until_the_servers_have_agreed(capsys):
    """Without a leader the catalog keeps everything, and still answers."""
    agent = FakeAgent(leaderless=3)
    assert clear.clear_all(agent, [Owner(HOST), Owner(HOST, "engine-1")], False) == 2
    assert agent.forgotten == [("node-1.site", "renamed"), ("node-1.site", "web")]
    assert capsys.readouterr().out.count("No cluster leader") == 1


def test_an_agent_without_checks_is_called_as_its_host():
    agent = FakeAgent(name="")
    clear.clear_all(agent, [Owner(HOST)], False)
    assert agent.forgotten == [(HOST, "web")]


@pytest.mark.parametrize("is_out", [False, True], ids=["not done", "done, without an answer"])
def test_what_went_before_a_failure_is_deregistered_in_the_catalog_as_well(is_out):
    class Failing(FakeAgent):
        failed = False

        def deregister(self, service_id):
            fails = service_id == "web" and not self.failed
            if is_out or not fails:
                super().deregister(service_id)
            if fails:
                self.failed = True
                raise AgentError("it restarts")

    agent = Failing()
    clear.clear_all(agent, [Owner(HOST), Owner(HOST, "engine-1")], False)
    assert [service_id for _, service_id in agent.forgotten] == ["renamed", "web"]


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
def test_with_live_restore_containers_outlive_dockerd_but_not_a_boot(host, arguments, live, left):
    host["daemon"] = {"live-restore": live}
    assert clear.main([*arguments, "consul://127.0.0.1:8500"]) == 0
    assert ("web" in host["agent"].entries) is left


def test_without_a_leader_the_agent_is_cleared_all_the_same(host, monkeypatch, capsys):
    class Leaderless(FakeAgent):
        def deregister_in_catalog(self, node, service_id):
            if self.leaderless < 10**9 - 5:
                signal.raise_signal(signal.SIGALRM)  # time is up
            super().deregister_in_catalog(node, service_id)

    host["agent"] = Leaderless(leaderless=10**9)
    assert clear.main(["consul://127.0.0.1:8500"]) == 0
    assert "web" not in host["agent"].entries and host["agent"].forgotten == []
    assert f"not done within {clear.DEADLINE} s: catalog and load balancers sync later" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, entries, waits", [
    (["-stopped"], SERVICES, True), ([], SERVICES, True), (["-stopped"], {}, True), ([], {}, False),
])  # fmt: skip
def test_balancers_get_the_time_to_follow(host, quick, arguments, entries, waits):
    """After a stop always, because what the registrator took out itself may be as new; at boot where something was left."""
    host["agent"].entries = dict(entries)
    assert clear.main([*arguments, "consul://127.0.0.1:8500"]) == 0
    assert quick == [clear.FOLLOW] * waits
