"""consul-catch-up: when a freshly started server may answer DNS by itself."""

import json

import pytest
from programs import load

program = load("consul/files/consul-catch-up")


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


def test_no_answer_is_no_index(monkeypatch):
    monkeypatch.setattr(program, "AGENT", ("127.0.0.1", 1))
    assert program.index("/v1/catalog/nodes?stale") == 0


def test_before_a_start_names_are_asked_of_the_leader(monkeypatch, tmp_path):
    monkeypatch.setattr(program, "FILE", tmp_path / "starting/names.json")
    for _ in range(2):
        program.main(["begin"])
        assert json.loads(program.FILE.read_text()) == {"dns_config": {"allow_stale": False}}
