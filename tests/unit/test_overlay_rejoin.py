"""discovery-overlay-rejoin: which containers are started again."""

import pytest
from programs import load

rejoin = load("overlay_network/files/discovery-overlay-rejoin")

ERROR = "attaching to network failed, make sure your network options are correct: context deadline exceeded"


def container(name="a", policy="always", network="discovery", status="exited", error=ERROR) -> dict:
    return {
        "Name": f"/{name}",
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "NetworkSettings": {"Networks": {network: {}}},
        "State": {"Status": status, "Error": error},
    }


def test_those_that_could_not_join_are_started():
    found = [container("b"), container("a", "unless-stopped"), container("c", status="created"), container("d", status="running")]
    assert rejoin.left_behind(found, "discovery") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other", [{"policy": "no"}, {"policy": "on-failure"}, {"network": "bridge"}, {"error": ""}, {"status": "running"}]
)
def test_what_was_stopped_or_ended_or_is_elsewhere_stays(other):
    assert rejoin.left_behind([container(**other)], "discovery") == []


def test_it_tries_until_all_run(monkeypatch, capsys):
    states = iter([["a", "b"], ["b"], []])
    monkeypatch.setattr(rejoin, "current", lambda network: next(states))
    monkeypatch.setattr(rejoin.time, "sleep", lambda _: None)
    done = iter([(0, ""), (1, "no network"), (0, "")])
    tried = []

    def docker(*arguments):
        tried.append(arguments)
        code, error = next(done)
        return rejoin.subprocess.CompletedProcess(arguments, code, "", error)

    monkeypatch.setattr(rejoin, "docker", docker)
    rejoin.main("discovery")
    assert tried == [("start", "a"), ("start", "b"), ("start", "b")]
    assert capsys.readouterr().out.splitlines() == ["a: started again", "b: no network", "b: started again"]


def test_it_gives_up_and_says_so(monkeypatch):
    monkeypatch.setattr(rejoin, "current", lambda network: ["a"])
    monkeypatch.setattr(rejoin, "PATIENCE", -1)
    monkeypatch.setattr(rejoin, "docker", lambda *_: rejoin.subprocess.CompletedProcess([], 1, "", "no network"))
    with pytest.raises(SystemExit, match="still down: a"):
        rejoin.main("discovery")
