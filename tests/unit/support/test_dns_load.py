"""Lookups beside a test: on all hosts at the same time, each host's own counted."""

import threading

import pytest
from tests.support import dns_load
from tests.support.dns_load import Lookups, lost_of_each, settle


class Host:
    """A host whose lookups are in a file; its first command of each step waits for the other hosts."""

    def __init__(self, name: str, lost: int, together: threading.Barrier):
        self.name, self.lines, self.together, self.commands = name, ["ok"] * 20 + ["lost 03:00:00"] * lost, together, []

    def run(self, command: str) -> str:
        if command.startswith(("cat >/etc", "wc -l")):
            self.together.wait()
        self.commands.append(command)
        if command.startswith("wc -l"):
            return f"{len(self.lines)}\n"
        return "\n".join(self.lines) if command.startswith("cat /var/log") else ""


@pytest.fixture
def hosts() -> list[Host]:
    together = threading.Barrier(2, timeout=10)
    return [Host("a-1", 0, together), Host("a-2", 3, together)]


def test_all_hosts_are_asked_at_the_same_time(hosts):
    lookups = Lookups(hosts, ["one.example"])
    lookups.start()
    lookups.stop()
    assert lookups.made == {("a-1", "one.example"): 20, ("a-2", "one.example"): 23}
    assert {key: len(lost) for key, lost in lookups.lost.items()} == {("a-1", "one.example"): 0, ("a-2", "one.example"): 3}
    assert str(lookups).startswith("3 of 43 lookups lost on 2 hosts")
    with pytest.raises(AssertionError, match="3 of 43"):
        lookups.check()
    for host in hosts:
        assert "enable --now --quiet 'discovery-lookups@one.example'" in host.commands[0]
        assert "disable --now" in " ".join(host.commands) and "rm -f" in host.commands[-1]


def test_lost_lookups_of_each_host_and_name(hosts, monkeypatch):
    """The hosts wait for each other, the names of a host come one after the other."""

    def lost(host, name: str) -> int:
        host.together.wait()
        return len(name) * (host.name == "a-2")

    monkeypatch.setattr(dns_load, "lost_lookups", lost)
    assert lost_of_each(hosts, ["x", "yy"]) == {("a-1", "x"): 0, ("a-1", "yy"): 0, ("a-2", "x"): 1, ("a-2", "yy"): 2}


def test_a_site_is_settled_when_each_host_resolves(hosts, monkeypatch):
    asked = []

    class Site:
        servers, nodes = ["server"], {host.name: host for host in hosts}

        def leader(self) -> str:
            return "x:8300"

    def resolves(host, names) -> bool:
        host.together.wait()
        asked.append(host.name)
        return True

    monkeypatch.setattr(dns_load, "answers_itself", lambda site, server: True)
    monkeypatch.setattr(dns_load, "resolves", resolves)
    settle(Site(), ["one.example"])
    assert sorted(asked) == ["a-1", "a-2"]
