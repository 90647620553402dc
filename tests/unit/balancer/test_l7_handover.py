"""Old workers of real servers: they live as long as the labels of their generation say, within a bound (L7, W10), and stop when
the new generation answers."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import statistics
import threading
import time

import pytest
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from discovery_balancer.backends.nginx import workers
from discovery_balancer.backends.nginx.backend import Nginx
from instances import WEBSOCKET, Instance, catalog, entry
from real_nginx import DOMAIN

SHORT = "1s"  # the site's time for old workers
SECONDS = 60  # for a condition
RELOADS, IDLE = int(os.environ.get("L7_RELOADS", "40")), int(os.environ.get("L7_WEBSOCKETS", "50"))


@pytest.fixture(params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def balancer(request):
    with request.param.Balancer(balancer_read_timeout="1h") as balancer:
        own = balancer.options.backend | {"shutdown_timeout": SHORT}
        balancer.options = dataclasses.replace(balancer.options, backend=own)
        balancer.sync(catalog())
        balancer.start()
        yield balancer


@pytest.fixture
def instance():
    started = Instance()
    yield started
    started.close()


class Websocket:
    """A websocket to the service web, through the balancer."""

    def __init__(self, balancer):
        self.socket = socket.create_connection((real_nginx.ADDRESS, balancer.http_port), timeout=SECONDS)
        self.socket.sendall(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n{WEBSOCKET}".encode())
        self.lines = self.socket.makefile("rb")
        assert self.lines.readline().startswith(b"HTTP/1.1 101 ")
        while self.lines.readline().strip():
            pass

    def echoes(self) -> bool:
        try:
            self.socket.sendall(b"echo\n")
            return self.lines.readline() == b"echo\n"
        except OSError:
            return False

    def cut(self) -> bool:
        """Wait until the balancer ends it."""
        with contextlib.suppress(ConnectionError):
            return self.lines.readline() == b""
        return True

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def websocket(balancer):
    made = []

    def opened():
        made.append(Websocket(balancer))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def changed(balancer, instance, number, **settings):
    """One reload: the same service beside a new one. The status; old workers may live on, but take no connection."""
    before = balancer.taking()
    status = balancer.sync(services(instance, number, **settings))
    assert status["state"] == "ok", status["reason"]
    balancer.taken_over(before)
    return status


def services(instance, number, **settings):
    return catalog(web=[entry(instance.port, **settings)], **{f"other_{number}": [entry(1000 + number)]})


def idle_ones_have_ended(balancer, most):
    """Wait until at most so many old workers are left: those without a connection need a moment, and count meanwhile."""
    eventually(lambda: len(balancer.workers() - balancer.taking()) <= most, SECONDS, every=0.01)


def test_l7_w10_a_connection_lives_as_long_as_the_label_of_its_generation_says(balancer, instance, websocket):
    changed(balancer, instance, 1, read_timeout="1h")
    labelled = websocket()
    changed(balancer, instance, 2)  # no label: the connections of this one have a second
    unlabelled = websocket()
    assert labelled.echoes() and unlabelled.echoes()
    changed(balancer, instance, 3)
    assert unlabelled.cut()
    assert labelled.echoes()  # whose worker was to stop before


def test_w10_the_bound_ends_the_oldest_and_the_status_reports_it(balancer, instance, websocket):
    own = balancer.options.backend | {"shutdown_timeout": "1h", "old_workers": 1}
    balancer.options = dataclasses.replace(balancer.options, backend=own)
    most = os.cpu_count() if balancer.options.balancer == "nginx" else 1  # as many as it has for one generation
    eventually(lambda: len(balancer.taking()) == most, SECONDS)
    sockets = []
    for number in range(most + 2):
        changed(balancer, instance, number)
        idle_ones_have_ended(balancer, min(number, most + 1))
        sockets.append(websocket())
    changed(balancer, instance, most + 2)
    idle_ones_have_ended(balancer, most + 1)
    deadline = time.monotonic() + SECONDS
    while (status := balancer.sync(services(instance, most + 2)))["old_workers"] > most:
        assert time.monotonic() < deadline
    assert sockets[0].cut() and sockets[1].cut() and all(one.echoes() for one in sockets[2:])
    assert status["ended_workers"] == 2
    assert "2 workers of earlier configurations were ended" in status["warnings"][-1]["reason"]


@pytest.mark.parametrize("reloads", [50])
def test_l7_long_connections_over_50_reloads(balancer, instance, websocket, reloads):
    """Websockets of before, and one of each generation; new requests meanwhile. Old workers that end count until they have."""
    own = balancer.options.backend | {"old_workers": 1000}
    balancer.options = dataclasses.replace(balancer.options, backend=own)
    changed(balancer, instance, 0, read_timeout="1h")
    sockets, failed, stop = [websocket() for _ in range(5)], [], threading.Event()

    def ask():
        while not stop.is_set():
            answer = balancer.ask("web")
            if answer[0] != 200:
                failed.append(answer)

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    took = []
    for number in range(reloads):
        begin = time.monotonic()
        status = balancer.sync(services(instance, 1000 + number, read_timeout="1h"))
        took.append(time.monotonic() - begin)
        assert status["state"] == "ok", status["reason"]
        sockets.append(websocket())
    stop.set()
    for client in clients:
        client.join()
    print(f"{reloads} reloads, p50 {statistics.median(took) * 1000:.0f} ms; {status['old_workers']} old workers")
    assert failed == []
    assert [one for one in sockets if not one.echoes()] == []
    assert status["ended_workers"] == 0


def memory(balancer) -> int:
    """What its processes hold, in bytes: shared pages in parts (proc(5), smaps_rollup)."""
    held = 0
    for pid in (balancer.backend.master(), *balancer.workers()):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            held += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return held


def test_l7_w10_idle_websockets_over_many_reloads(balancer, instance, websocket):
    """All of one generation, and none is cut. However many reloads there are, without a pause, the rest is bounded."""
    changed(balancer, instance, 0, read_timeout="1h")
    sockets, most = [websocket() for _ in range(IDLE)], 0
    held = os.cpu_count() if balancer.options.balancer == "nginx" else 1  # the workers of one generation
    begin = time.monotonic()
    for number in range(1, RELOADS + 1):
        status = balancer.sync(services(instance, number, read_timeout="1h"))
        assert status["state"] == "ok", f"reload {number}: {status['reason']}"
        most = max(most, len(balancer.workers()))
        if number == min(20, RELOADS):
            idle_ones_have_ended(balancer, held)
            early = memory(balancer)
    seconds = time.monotonic() - begin
    idle_ones_have_ended(balancer, held)
    late = memory(balancer)
    print(
        f"{RELOADS} reloads in {seconds:.0f} s beside {IDLE} websockets: at most {most} workers, {status['ended_workers']} ended;"
        f" memory after 20 reloads {early / 1e6:.1f} MB, at the end {late / 1e6:.1f} MB"
    )
    assert [one for one in sockets if not one.echoes()] == []
    assert status["ended_workers"] == 0 and status["reloads"] >= RELOADS
    assert most <= balancer.options.backend["old_workers"] + 2 * held
    assert late <= 1.5 * early


@pytest.mark.parametrize("balancer", [real_nginx], ids=["nginx"], indirect=True)
def test_l7_old_workers_stop_at_the_answer_of_the_new_generation_and_never_before(balancer, instance, monkeypatch):
    """Each SIGQUIT comes after an answer with the new marker; nobody else sends one within the master's own 100 ms."""
    events, send, answers = [], workers.send, Nginx.answers

    def sent(worker, master, number, *given):
        events.append(number)
        return send(worker, master, number, *given)

    def answered(backend, marker):
        found = answers(backend, marker)
        events.append(found)
        return found

    monkeypatch.setattr(workers, "send", sent)
    monkeypatch.setattr(Nginx, "answers", answered)
    for number in range(3):
        events.clear()
        changed(balancer, instance, number)
        quits = [place for place, event in enumerate(events) if event is signal.SIGQUIT]
        assert quits and events.index(True) < quits[0]
    assert workers.serving(workers.workers(balancer.backend.master()))
