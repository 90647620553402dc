"""What is left to a registrator of another make."""

import pytest
from tests.support.clock import Clock

from registrator import handover
from registrator.agent import AgentError
from registrator.marker import Owner
from registrator_cases import HOST

OWNERS = [Owner(HOST), Owner(HOST, "engine-1")]
MARK = {"registrator": HOST, "registrator-engine": "engine-1"}


def services(**marks):
    return {key: {"ID": key, "Service": key, "Address": "", "Port": 1, "Meta": meta} for key, meta in marks.items()}


def checks(*ids):
    return {key: {"ServiceID": key.split(":")[1]} for key in ids}


def test_our_checks_go_where_our_mark_is_gone():
    found = handover.left(
        services(ours=MARK, theirs=None, others={"registrator": "node-2"}),
        checks("service:ours:health", "service:theirs:health", "service:theirs:http", "service:theirs", "service:theirs:2",
               "service:theirs:mine", "_service_maintenance:theirs"),
        OWNERS,
    )  # fmt: skip
    assert found == (["ours"], [("theirs", "service:theirs:health"), ("theirs", "service:theirs:http")])


class Switched:
    """An agent at which another registrator takes over the given services, one with each look."""

    def __init__(self, taken, failures=0):
        self.entries, self.checks_ = services(a=MARK, b=MARK), checks("service:a:health", "service:b:health")
        self.taken, self.failures = list(taken), failures

    def services(self):
        self.failures -= 1
        if self.failures >= 0:
            raise AgentError("no leader")
        found = dict(self.entries)
        if self.taken:
            self.entries |= services(**{self.taken.pop(0): None})
        return found

    def checks(self):
        return dict(self.checks_)

    def drop_check(self, check):
        del self.checks_[check]

    def deregister(self, service):
        del self.entries[service]
        self.checks_ = {key: check for key, check in self.checks_.items() if check["ServiceID"] != service}


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(handover, "time", Clock())


@pytest.mark.parametrize("taken, failures, left", [("ab", 0, {"a", "b"}), ("ab", 3, {"a", "b"}), ("a", 0, {"a"})])
def test_what_is_taken_over_stays_and_the_rest_goes(taken, failures, left, capsys):
    agent = Switched(taken, failures)
    assert handover.hand_over(agent, OWNERS) == 0
    assert set(agent.entries) == left and agent.checks_ == {}
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"handed-over services=2 checks={len(left)}"
    assert handover.hand_over(agent, OWNERS) == 0 and capsys.readouterr().out == ""


def test_nothing_goes_when_nothing_is_taken_over(capsys):
    agent = Switched("")
    assert handover.hand_over(agent, OWNERS) == 1
    assert len(agent.entries) == len(agent.checks_) == 2
    assert "docker logs registrator" in capsys.readouterr().out


def test_an_agent_that_never_answers_ends_it(capsys):
    assert handover.hand_over(Switched("", failures=10**9), OWNERS) == 1
    assert "no leader" in capsys.readouterr().out
