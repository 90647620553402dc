"""The loop with an dockerd and an agent in memory."""

import dataclasses
import signal

import pytest

from registrator import actions as do
from registrator.agent import AgentError, Refused
from registrator.loop import Loop, ends
from registrator.options import Options
from registrator_cases import HOST, apply, container


class FakeDockerd:
    def __init__(self, *containers):
        self.all = {one["Id"]: one for one in containers}

    def id(self):
        return "engine-1"

    def containers(self, stopped):
        return list(self.all.values())

    def container(self, identity):
        return self.all.get(identity)


class FakeAgent:
    def __init__(self):
        self.state = {}, {}
        self.writes = 0
        self.down = False
        self.refuses = {}

    def services(self):
        if self.down:
            raise AgentError("down")
        return self.state[0]

    def checks(self):
        return self.state[1]

    def _write(self, action):
        if action.service in self.refuses:
            raise Refused(self.refuses[action.service], "no")
        self.writes += 1
        self.state = apply([action], *self.state)

    def register(self, payload):
        self._write(do.Register(payload["ID"], payload, None, ""))

    def deregister(self, service_id):
        self._write(do.Deregister(service_id, {}, ""))

    def drop_check(self, check_id):
        self._write(do.DropCheck("", check_id, {}, ""))

    def set_health(self, check_id, status, output):
        self._write(do.SetHealth("", check_id, status, output, {}))


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.delenv("CONSUL_HTTP_TOKEN_FILE", raising=False)
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    return now


@pytest.fixture
def site(clock):
    web = container("web", ports={"80/tcp": 1}, number=1)
    api = container("api", ports={"80/tcp": 2}, number=2)
    dockerd, agent = FakeDockerd(web, api), FakeAgent()
    return Loop(Options(ip="192.0.2.1", resync=30), dockerd, agent, HOST), dockerd, agent, web


def event(action, one, **attributes):
    return {"Type": "container", "Action": action, "Actor": {"ID": one["Id"], "Attributes": attributes}}


def names(agent):
    return sorted(entry["ID"] for entry in agent.state[0].values())


def test_second_time_nothing_is_written(site):
    loop, _, agent, _ = site
    assert loop.reconcile() == 30
    before = agent.writes
    loop.reconcile()
    assert names(agent) == ["node-1:api:80", "node-1:web:80"] and agent.writes == before


def test_each_change_is_one_line_and_no_change_is_none(site, capsys):
    loop, dockerd, agent, web = site
    loop.reconcile()
    assert [text.split()[:2] for text in capsys.readouterr().out.splitlines()] == [
        ["registered", "id=node-1:api:80"], ["registered", "id=node-1:web:80"],
    ]  # fmt: skip
    loop.reconcile()
    assert capsys.readouterr().out == ""
    web["State"]["Health"] = {"Status": "unhealthy"}
    dockerd.all["02api"]["NetworkSettings"]["Ports"]["80/tcp"] = [{"HostIp": "0.0.0.0", "HostPort": "3"}]
    loop.reconcile()
    assert capsys.readouterr().out.splitlines() == [
        'registered id=node-1:api:80 name=httpfront address=192.0.2.1 port=3 status=passing reason="port changed"',
        "health id=node-1:web:80 name=httpfront address=192.0.2.1 port=1 status=critical reason=unhealthy",
    ]
    del dockerd.all["02api"]
    web["Config"]["Labels"]["SERVICE_CHECK_TCP"] = "1"
    loop.reconcile()
    assert capsys.readouterr().out.splitlines() == [
        'deregistered id=node-1:api:80 name=httpfront address=192.0.2.1 port=3 reason="no container offers it"',
        'registered id=node-1:web:80 name=httpfront address=192.0.2.1 port=1 reason="check or token changed"',
        "check-dropped id=node-1:web:80 name=httpfront address=192.0.2.1 port=1 check=service:node-1:web:80:health "
        'reason="not of this service any more"',
    ]
    assert agent.writes == 10  # a health is written after its registration


def test_w67_one_container_with_hundreds_of_ports_keeps_nobody_waiting(site, capsys):
    """What happens while they are registered goes first, and nothing of them is lost."""
    loop, dockerd, agent, web = site
    many = container("many", ports={f"{port}/tcp": port for port in range(20000, 20300)}, number=3)
    late = container("zz", ports={"80/tcp": 4}, number=4)
    dockerd.all[many["Id"]] = many
    register, happened = agent.register, {}

    def registered(payload):
        register(payload)
        if payload["Port"] in happened:
            happened.pop(payload["Port"])()
            loop.events.put(event("start", late))

    def starts():
        dockerd.all[late["Id"]] = late

    def ends():
        del dockerd.all[web["Id"]]

    happened |= {20030: starts, 20130: ends}
    agent.register = registered
    begun = []
    while loop.reconcile() == 0.0:
        begun.append([text.split()[:2] for text in capsys.readouterr().out.splitlines()])
        loop.wait(0.0)
    lines = [text.split()[:2] for text in capsys.readouterr().out.splitlines()]
    assert begun[0][:2] == [["registered", "id=node-1:api:80"], ["registered", "id=node-1:web:80"]], "few before many"
    assert begun[1][0] == ["registered", "id=node-1:zz:80"] and lines[0] == ["deregistered", "id=node-1:web:80"]
    assert [len(part) < 120 for part in begun] == [True, True]
    ports = [f"node-1:many:{port}" for port in range(20000, 20300)]
    assert names(agent) == ["node-1:api:80", *ports, "node-1:zz:80"]
    before = agent.writes
    assert loop.reconcile() == 30 and agent.writes == before


def test_w67_many_refused_services_keep_nobody_waiting_while_something_happens_all_the_time(site):
    loop, dockerd, agent, _ = site
    refused = [container(f"a{number:02}", ports={"80/tcp": 100 + number}, number=100 + number) for number in range(30)]
    dockerd.all |= {one["Id"]: one for one in refused}
    agent.refuses = {f"node-1:a{number:02}:80": 403 for number in range(30)}
    loop.events.put(event("start", refused[0]))
    loop.reconcile()
    assert names(agent) == ["node-1:api:80", "node-1:web:80"]


@pytest.mark.parametrize(("own", "stays_out"), [(None, 600), (0, 600), (-1, 600), (20, 600), (3600, 3602)])
def test_w62_a_stopping_container_is_out_until_it_ends_and_back_where_it_runs_on(site, clock, own, stays_out):
    """`docker stop -t` may give it more than its own stop timeout, and no event says so."""
    loop, _, agent, web = site
    loop.options = dataclasses.replace(loop.options, resync=0)
    web["Config"]["StopTimeout"] = own
    loop.reconcile()
    loop.track(event("kill", web, signal="15"))
    assert loop.reconcile() == pytest.approx(stays_out)
    clock[0] += stays_out - 0.1
    loop.reconcile()
    assert names(agent) == ["node-1:api:80"]
    clock[0] += 0.2
    assert loop.reconcile() is None
    assert names(agent) == ["node-1:api:80", "node-1:web:80"]


def test_w62_the_second_signal_of_a_long_stop_keeps_it_out(site, clock):
    """SIGKILL after `-t`."""
    loop, dockerd, agent, web = site
    loop.reconcile()
    loop.track(event("kill", web, signal="15"))
    for second in (12, 22):
        clock[0] = 1000 + second
        loop.reconcile()
        assert names(agent) == ["node-1:api:80"]
    loop.track(event("kill", web, signal="9"))
    loop.track(event("die", dockerd.all.pop("01web")))
    loop.reconcile()
    assert names(agent) == ["node-1:api:80"] and loop.leaving == {}


def test_w62_an_event_that_was_lost_with_another_one_is_made_up_for(site):
    """dockerd does not answer for one container, and the start of another comes in the same moment."""
    loop, _, agent, web = site
    web["State"]["StartedAt"] = "2026-11-30T17:00:00Z"
    loop.reconcile()
    loop.track(event("kill", web, signal="15"))
    web["State"]["StartedAt"] = "2026-11-30T18:00:00Z"
    loop.failed(TimeoutError("dockerd does not answer"))
    loop.reconcile()
    assert "node-1:web:80" in names(agent)


def test_a_container_that_starts_again_is_back_at_once(site):
    loop, _, agent, web = site
    loop.track(event("kill", web, signal="9"))
    loop.track(event("die", web))
    loop.track(event("start", web))
    loop.reconcile()
    assert "node-1:web:80" in names(agent)


@pytest.mark.parametrize(("start", "registered"), [("2026-11-30T17:00:00Z", False), ("2026-11-30T18:00:00Z", True)])
def test_w62_a_container_that_was_started_while_dockerd_was_away_is_back_at_once(site, start, registered):
    """No event says so."""
    loop, _, agent, web = site
    web["State"]["StartedAt"] = "2026-11-30T17:00:00Z"
    loop.reconcile()
    loop.track(event("kill", web, signal="15"))
    loop.reconcile()
    web["State"]["StartedAt"] = start
    loop.track("connected")
    loop.reconcile()
    assert ("node-1:web:80" in names(agent)) == registered


@pytest.mark.parametrize(("then", "status"), [(None, "passing"), ("start", "critical")])
def test_w61_a_renamed_container_is_in_the_catalog_all_the_time(site, then, status):
    """With the status that Consul has found; a new process in it has none."""
    loop, dockerd, agent, web = site
    web["Config"]["Labels"]["SERVICE_CHECK_HTTP"] = "/"
    loop.reconcile()
    agent.state[1]["service:node-1:web:80:http"]["Status"] = "passing"
    web["Name"] = "/live"
    loop.track(event("rename", web, name="live", oldName="/web"))
    if then:
        loop.track(event(then, web))
    states, write = [], agent._write
    agent._write = lambda action: (write(action), states.append(names(agent)))
    loop.reconcile()
    assert states == [["node-1:api:80", "node-1:live:80", "node-1:web:80"], ["node-1:api:80", "node-1:live:80"]]
    assert agent.state[1]["service:node-1:live:80:http"]["Status"] == status
    assert loop.renamed == {}


def test_another_signal_changes_nothing(site):
    loop, _, agent, web = site
    loop.track(event("kill", web, signal="10"))
    loop.reconcile()
    assert "node-1:web:80" in names(agent)


def test_an_event_of_a_network_only_makes_it_look(site):
    loop, _, agent, web = site
    loop.track({"Type": "network", "Action": "disconnect", "Actor": {"ID": "n", "Attributes": {"container": web["Id"]}}})
    assert loop.leaving == {} and loop.dockerd_id is None
    loop.reconcile()
    assert len(names(agent)) == 2


def test_a_kill_of_what_is_gone_is_nothing(site):
    loop, dockerd, _, web = site
    del dockerd.all[web["Id"]]
    loop.track(event("kill", web, signal="9"))
    assert loop.leaving == {}


def test_one_refused_service_does_not_hurt_the_others(site, capsys):
    loop, _, agent, _ = site
    agent.refuses["node-1:api:80"] = 400
    assert loop.reconcile() == 30
    loop.reconcile()
    assert names(agent) == ["node-1:web:80"]
    assert capsys.readouterr().out.count("refused") == 1


def test_what_is_forbidden_is_tried_again_soon(site):
    loop, _, agent, _ = site
    agent.refuses["node-1:api:80"] = 403
    assert loop.reconcile() == 2


def test_what_is_skipped_is_said_once(site, capsys):
    loop, dockerd, _, _ = site
    dockerd.all["x"] = container("x", labels={"SERVICE_NAME": "a b"}, ports={"80/tcp": 3})
    loop.reconcile()
    loop.reconcile()
    assert capsys.readouterr().out.count("skipped") == 1


def test_it_goes_on_while_the_agent_is_down_and_stops_on_a_signal(site, capsys):
    loop, _, agent, _ = site
    agent.down = True
    loop.options = Options(retry_attempts=2, retry_interval=1)
    loop.watch = lambda: None
    assert loop.run() == 1
    assert loop.failures == 3
    assert capsys.readouterr().out.count("failed reason") == 1


@pytest.mark.parametrize("sent, stop, result", [
    ("15", None, True), ("9", None, True), ("10", None, False), ("9", "SIGUSR1", True), ("15", "SIGUSR1", False),
    ("10", "SIGUSR1", True), ("10", "USR1", True), ("3", "3", True), ("37", "SIGRTMIN+3", True), ("", None, False),
    ("nonsense", "nonsense", False),
])  # fmt: skip
def test_signals_that_end_a_container(sent, stop, result):
    assert ends(sent, {"StopSignal": stop}) is result


def test_after_a_signal_the_services_stay_registered(site):
    loop, dockerd, agent, _ = site
    loop.reconcile()
    loop.watch = lambda: None

    def hang(stopped):
        signal.raise_signal(signal.SIGTERM)

    dockerd.containers = hang
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert loop.run() == 0
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert len(names(agent)) == 2
