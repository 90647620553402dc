"""A balancer that has no connection left does not answer which generation serves, and works all the same."""

import dataclasses
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.wait import eventually

import real_nginx
from discovery_balancer import sync
from discovery_balancer.status import page
from instances import catalog, entry
from standins import Balancer, Site


class Flooded(Balancer):
    """While it is flooded nobody gets a connection, new workers `quick` ones excepted; those of before keep theirs."""

    flooded, quick, old, marker = False, True, 0, ""

    def running(self):
        return "" if self.flooded else self.loaded

    def answers(self, marker):
        return self.loaded == marker and (self.quick or not self.flooded)

    def reload(self):
        self.old += 1
        return super().reload()

    def trim(self):
        return self.old, 0


class Place(Site):
    def __init__(self, path):
        super().__init__(path)
        self.balancer, self.number, self.reasons = Flooded(self.store), 0, 0
        self.change()

    def change(self):
        self.number += 1
        self.reasons += 1
        self.catalog(f"web{self.number}")

    def old_workers_finish(self):
        self.balancer.old = 0
        self.reasons += 1

    def balancer_restarts(self):
        """It loads what the link points to."""
        current = self.store.current()
        self.balancer.old, self.balancer.loaded = 0, current.marker if current else ""
        self.reasons += 1


EVENTS = {
    "sync": Place.run,
    "change": Place.change,
    "flood": lambda place: setattr(place.balancer, "flooded", True),
    "calm": lambda place: setattr(place.balancer, "flooded", False),
    "quick": lambda place: setattr(place.balancer, "quick", True),
    "slow": lambda place: setattr(place.balancer, "quick", False),
    "finish": Place.old_workers_finish,
    "restart": Place.balancer_restarts,
}


@given(events=st.lists(st.sampled_from(sorted(EVENTS) + ["sync"] * 8), max_size=60))
def test_w10_a_flood_adds_no_old_workers_and_after_it_everything_is_served(tmp_path_factory, events):
    """Each reload has its reason: a change, or that no old worker was left."""
    place = Place(tmp_path_factory.mktemp("flood"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync, "LOAD_SECONDS", 0.01)
        place.run()
        for event in events:
            EVENTS[event](place)
            place.run()
            assert place.balancer.reloads <= place.reasons
        place.balancer.flooded = False
        for _again in range(2):
            status = place.run()
    assert (status["state"], status["http"]) == ("ok", {f"web{place.number}": 1})
    assert place.balancer.loaded == place.store.current().marker


def test_w10_a_flood_is_reported_and_a_change_is_loaded_all_the_same(tmp_path):
    place = Place(tmp_path)
    place.run()
    place.balancer.flooded = True
    statuses = [place.run() for _sync in range(20)]
    assert place.balancer.reloads == 1
    assert "no connection left" in statuses[-1]["reason"] and "its 1 old workers" in page(statuses[-1], place.clock.now)[0]
    assert (statuses[-1]["state"], statuses[-1]["http"]) == ("failed", {"web1": 1})
    place.change()
    assert (place.run()["http"], place.balancer.reloads) == ({"web2": 1}, 2)
    place.old_workers_finish()
    assert (place.run()["state"], place.balancer.reloads) == ("ok", 3)


@pytest.fixture
def flood():
    """Called with a balancer: takes its connections until ten questions in a row get no answer. One is not enough: while nginx
    takes those that wait, it closes for them what has not sent its request yet, a question too."""
    held = []

    def flooded(balancer, most=500):
        for _connection in range(most):
            held.append(socket.create_connection((real_nginx.ADDRESS, balancer.http_port), 10))
            held[-1].sendall(b"GET / HTTP/1.1\r\n")
            if len(held) % 20 == 0 and not any(balancer.backend.running() for _question in range(10)):
                return
        raise AssertionError("it has more connections than it may")

    flooded.end = lambda: [one.close() for one in held]
    yield flooded
    flooded.end()


def test_w10_a_flooded_nginx_is_reloaded_once(flood):
    """A real one: it closes what it has no connection for. It has one worker: of several, each is full at another time."""
    with real_nginx.Balancer(nginx_worker_connections=32, balancer_client_header_timeout="1h") as balancer:
        main = balancer.config / "nginx.conf"
        several = main.read_text()
        main.write_text(several.replace("worker_processes auto;", "worker_processes 1;"))
        assert main.read_text() != several
        own = balancer.options.backend | {"shutdown_timeout": "1h"}
        balancer.options = dataclasses.replace(balancer.options, backend=own)
        wanted = catalog(web=[entry(1)])
        balancer.sync(wanted)
        balancer.start()
        before = balancer.sync(wanted)["reloads"]
        statuses = []
        for _sync in range(3):
            flood(balancer)
            assert balancer.backend.hangs() == ""
            statuses.append(balancer.sync(wanted))
        assert [status["reloads"] - before for status in statuses] == [1, 1, 1]
        assert [status["state"] for status in statuses] == ["ok", "failed", "failed"] and statuses[-1]["old_workers"] > 0
        flood.end()
        eventually(lambda: balancer.sync(wanted)["state"] == "ok", 30, every=0.01)
        assert balancer.ask("web")[0] == 502  # nobody listens there
