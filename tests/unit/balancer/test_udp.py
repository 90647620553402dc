"""UDP services (U1): what asks for a port and gets one (pure), and datagrams through the distribution's nginx."""

import collections
import dataclasses
import os
import re
import select
import signal
import socket
import threading
import time

import pytest
from jinja2.nativetypes import NativeEnvironment
from tests.yaml_text import parse_yaml

import real_haproxy
import real_nginx
from discovery_balancer.backends import ports
from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service, plan
from discovery_balancer.settings import Settings
from instances import ADDRESS, apply, catalog, entry
from printed import printed

OPTIONS = Options(domain="hospital.example", udp_ports=(5140, 5149))
OURS = {"registrator": "n1"}
UDP = OURS | {"registrator-protocol": "udp"}


def at(address="10.0.0.1", port=32768, tags=("udp",), meta=UDP, **more):
    return {"id": "i", "node": "n", "address": address, "port": port, "tags": list(tags), "weight": 1, "meta": meta, **more}


def planned(options=OPTIONS, owners=None, **services):
    entries = [{"name": name.replace("_", "-"), "instances": found} for name, found in services.items()]
    return plan({"services": entries, "owners": owners or {}}, options)


def test_u1_a_service_listens_on_the_port_that_ends_its_name():
    result = planned(syslog_5140=[at(), at("10.0.0.2", 514)])
    instances = (Instance("10.0.0.1", 32768), Instance("10.0.0.2", 514))
    assert result == Plan(udp=(Service("syslog-5140", instances, 5140),))
    assert (result.ports, result.owners) == ({"5140/udp"}, {"name udp syslog-5140": "syslog-5140", "udp 5140": "syslog-5140"})


@pytest.mark.parametrize("name", ["syslog", "syslog-5150", "syslog-514", "statsd-8125"])
def test_u1_other_udp_ports_ask_for_nothing(name):
    """Registrators give the tag to all of them."""
    result = plan({"services": [{"name": name, "instances": [at()]}]}, OPTIONS)
    assert (result, result.asking) == (Plan(), frozenset())


def test_u1_without_ports_of_the_site_nothing_is_balanced():
    assert planned(dataclasses.replace(OPTIONS, udp_ports=()), syslog_5140=[at()]) == Plan()


@pytest.mark.parametrize(
    ("found", "udp"),
    [
        (at(meta={}, id="n:syslog:514:udp"), True),  # of another registrator
        (at(meta={}), True),  # of another program
        (at(meta=OURS), False),  # a TCP port of a container whose tags name udp
    ],
)
def test_u1_only_udp_ports_are_instances(found, udp):
    assert bool(planned(syslog_5140=[found]).udp) == udp


def test_u1_both_protocols_of_one_name_have_their_listeners():
    both = [at(port=1, tags=["tcp"], meta=OURS), at(port=2, tags=["tcp", "udp"])]
    result = planned(dns_5140=both)
    assert [s.instances[0].port for s in (*result.tcp, *result.udp)] == [1, 2]
    assert (result.ports, result.skipped) == ({5140, "5140/udp"}, ())


@pytest.mark.parametrize("port", [53, 123, 4789, 8301, 8600, 2376])
def test_u1_ports_of_hosts_are_reserved(port):
    result = planned(dataclasses.replace(OPTIONS, udp_ports=(1, 65535)), **{f"x_{port}": [at()]})
    assert dict(result.skipped) == {f"x-{port}": f"port {port} is reserved"}


def test_u1_a_balancer_that_cannot_says_so():
    result = planned(dataclasses.replace(OPTIONS, udp=False, balancer="haproxy"), syslog_5140=[at()])
    assert dict(result.skipped) == {"syslog-5140": "haproxy does not balance UDP; discovery_balancer: nginx does"}


def test_u1_a_port_has_one_owner():
    result = planned(a_5140=[at()], b_5140=[at()], owners={"balancers": '{"udp 5140": ["b-5140", 0]}'})
    assert ([s.name for s in result.udp], [name for name, _ in result.skipped]) == (["b-5140"], ["a-5140"])


def test_u1_a_balancer_does_not_call_itself():
    """An instance at an address of a load balancer, on a port that it listens on, would be that listener."""
    options = dataclasses.replace(OPTIONS, balancers=("10.0.0.9",))
    loop = planned(options, a_5140=[at("10.0.0.9", 5140), at()], owners={"balancers": '{"udp 5140": ["a-5140", 0]}'})
    assert [i.address for i in loop.udp[0].instances] == ["10.0.0.1"] and "is a load balancer" in loop.skipped[0][1]
    new = planned(options, a_5140=[at("10.0.0.9", 5140), at()])
    assert new.udp == () and "belongs to its instance on a load balancer" in new.skipped[0][1]
    tcp = planned(options, a_5140=[at("10.0.0.9", 5140, ["tcp"], OURS)], b_5140=[at()])
    assert [s.name for s in tcp.udp] == ["b-5140"], "a TCP port is another one"


def test_u1_without_ports_moves_services_to_the_skipped():
    full = planned(a_5140=[at()], b_5141=[at()])
    less = full.without_ports({"5140/udp": "taken", 5141: "TCP is taken"})
    assert ([s.name for s in less.udp], less.skipped) == (["b-5141"], (("a-5140", "taken"),))


@pytest.mark.parametrize(
    ("variables", "opened"),
    [
        ({}, []),
        ({"balancer_udp_ports": ""}, []),
        ({"balancer_udp_ports": "5140-5149"}, ["5140-5149"]),
        ({"balancer_udp_ports": "5140-5149", "discovery_balancer": "haproxy"}, []),
    ],
)
def test_u1_the_firewall_opens_the_ports_where_they_are_balanced(variables, opened):
    text = parse_yaml((real_nginx.ROOT / "roles/firewall/defaults/main.yml").read_text())["firewall_balancer_udp_ports"]
    assert NativeEnvironment().from_string(text).render(**variables) == opened


def test_u1_the_container_publishes_the_ports_before(tmp_path):
    unit = f"lookup('ansible.builtin.template', '{real_nginx.ROOT}/roles/nginx/templates/nginx.service.j2')"
    chosen = {"balancer_deployment": "overlay", "balancer_address": "192.0.2.1", "balancer_udp_ports": "5140-5149"}
    (found,) = printed(tmp_path, {"unit": "{{ " + unit + " }}", "options": "{{ __balancer_options.udp_ports }}"}, chosen)
    lines = re.findall(r"--publish=(\S+)", found["unit"])
    assert lines == [f"0.0.0.0:{one}" for one in ("80:80", "443:443", "9990-9999:9990-9999", "5140-5149:5140-5149/udp")]
    assert found["options"] == [5140, 5149]


def test_u1_consul_is_asked_for_udp_services_where_they_are_balanced(tmp_path):
    """Each service that is asked for is a query that waits, and a sync when it changes."""
    role = real_nginx.ROOT / "roles/balancer"
    for folder in ("files", "templates"):
        (tmp_path / folder).symlink_to(role / folder)
    files = parse_yaml((role / "tasks/configure.yml").read_text())[0]["fewnodes.discovery.managed_files"]["files"]
    (content,) = [file["content"] for file in files if file["path"].endswith("/catalog.json.ctmpl")]
    sites = [("nginx", ""), ("nginx", "5140-5149"), ("haproxy", "5140-5149")]
    variables = {"balancer_backend": "{{ item[0] }}", "balancer_udp_ports": "{{ item[1] }}"}
    default, opened, haproxy = printed(tmp_path, content, {}, loop=sites, vars=variables)
    assert "udp" not in default and default.startswith("{{- /*") and default.endswith("\n}\n")
    assert haproxy == default
    wanted = '(or (.Tags | contains "http") (.Tags | contains "tls") (.Tags | contains "tcp") (.Tags | contains "udp"))'
    assert wanted in opened and wanted.replace(' (.Tags | contains "udp")', "") in default


@pytest.mark.parametrize(
    ("chosen", "lines"),
    [
        ({}, "    proxy_timeout 30s;\n"),
        ({"read_timeout": "2s", "responses": "0"}, "    proxy_timeout 2s;\n    proxy_responses 0;\n"),
    ],
)
def test_u1_p1_listener(chosen, lines):
    service = Service("syslog-5140", (Instance("10.0.0.1", 7),), 5140, settings=Settings(**chosen))
    text = render_nginx(Plan(udp=(service,)), OPTIONS, udp_sessions=64)["stream.conf"]
    zone = re.search("datagrams_[0-9a-f]{16}", text)[0]
    assert text.endswith(
        f"""\
map $protocol$server_port $discovery_service {{
    default "-";
    UDP5140 syslog-5140;
}}
limit_conn_zone $protocol zone={zone}:64k;
upstream udp_syslog-5140 {{
    zone udp_syslog-5140 65k;
    server 10.0.0.1:7 max_fails=3 fail_timeout=5s;
    least_conn;
}}
server {{
    listen 0.0.0.0:5140 udp reuseport;
    proxy_pass udp_syslog-5140;
{lines}    limit_conn {zone} 64;
    limit_conn_log_level info;
}}
"""
    )


def test_u1_sessions_are_counted_anew_by_each_generation():
    """Those of a worker that was killed stay counted in the memory of its zone."""
    one, other = (Service("a-5140", (Instance("10.0.0.1", port),), 5140) for port in (7, 8))
    web = Service("web", (Instance("10.0.0.1", 80),), hosts=("web.hospital.example",))
    plans = [Plan(udp=(one,)), Plan(udp=(other,)), Plan(udp=(one,), http=(web,)), Plan(udp=(one,)), Plan(http=(web,))]
    zones = [re.findall("zone=(datagrams_.*):", render_nginx(each, OPTIONS)["stream.conf"]) for each in plans]
    assert (zones[3], zones[4]) == (zones[0], []) and len({zone for (zone,) in zones[:3]}) == 3


def test_u1_one_of_several_services_has_half_of_the_sessions():
    services = tuple(Service(f"a-{port}", (Instance("10.0.0.1", port),), port) for port in (5140, 5141))
    text = render_nginx(Plan(udp=services), OPTIONS, udp_sessions=65)["stream.conf"]
    limits = re.findall(r"^    limit_conn datagrams_[0-9a-f]{16}(\S* \d+);$", text, re.MULTILINE)
    assert limits == [" 65", "_port 32"] * 2
    zones = re.findall(r"limit_conn_zone (\S+) zone=datagrams_[0-9a-f]{16}(_port)?:", text)
    assert zones == [("$protocol", ""), ("$server_port", "_port")]


def test_u1_a_label_that_datagrams_cannot_have_is_reported():
    result = planned(syslog_5140=[at(meta=UDP | {"balancer_proxy_protocol": "true", "balancer_read_timeout": "11m"})])
    assert [text.partition(" ")[0] for _name, text in result.warnings] == ["balancer_proxy_protocol", "balancer_read_timeout"]


@pytest.mark.parametrize(("asked", "applies"), [("10m", "10m"), ("600s", "600s"), ("601s", "10m"), ("24h", "10m")])
def test_u1_a_session_is_silent_for_ten_minutes_at_most(asked, applies):
    """The sessions of all services share a bound, and whoever sends may name any sender."""
    result = planned(syslog_5140=[at(meta=UDP | {"balancer_read_timeout": asked})])
    assert result.udp[0].settings.read_timeout == applies
    warnings = (("syslog-5140", f"balancer_read_timeout '{asked}' is too long for UDP: 10m applies"),)
    assert result.warnings == (warnings if asked != applies else ())


def test_u1_the_role_has_no_limit_of_datagrams_without_udp_services():
    written = real_nginx.written_by_the_roles(80, nginx_worker_connections=256)
    assert ("limit_conn" in written.main.partition("stream {")[2], written.own["udp_sessions"]) == (False, 64)


def test_u1_a_port_of_udp_that_somebody_has_is_taken():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((ADDRESS, 0))
        port = other.getsockname()[1]
        assert ports.taken(f"{port}/udp", [ADDRESS]) == f"UDP port {port} is taken by another process on this host"
        assert ports.taken(port, [ADDRESS]) == ""
    assert ports.taken(f"{port}/udp", [ADDRESS]) == ""


# --- through a real nginx


class Echo:
    """An instance: answers each datagram with its name, as often as set."""

    def __init__(self, name, answers=1):
        self.name, self.answers, self.got = name, answers, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            while True:
                data, sender = self.socket.recvfrom(65536)
                if data == b"end":
                    return
                self.got.append(data)
                for _ in range(self.answers):
                    self.socket.sendto(self.name.encode() + b" " + data, sender)
        finally:
            self.socket.close()

    def close(self):
        """Its port is closed when this returns."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
            while self.socket.fileno() >= 0:
                ender.sendto(b"end", (ADDRESS, self.port))
                time.sleep(0.01)


@pytest.fixture(scope="module")
def balancer(tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access"
    chosen = {"balancer_udp_ports": "20000-32000", "nginx_worker_connections": 256}
    with real_nginx.Balancer(balancer_access_log=str(log), **chosen) as made:
        made.log = log
        made.sync(catalog())
        made.start()
        yield made


@pytest.fixture
def port(balancer):
    """Another one for each test: a former worker may hold the last one for a moment."""
    return balancer.ports.pop()


@pytest.fixture
def echo():
    """Start instances: echo(name, answers)."""
    made = []

    def start(*arguments, **named):
        made.append(Echo(*arguments, **named))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def client():
    """Sockets of clients."""
    made = []

    def one():
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made[-1].settimeout(5)
        return made[-1]

    yield one
    for each in made:
        each.close()


def say(sock, port, text=b"x", seconds=5) -> str:
    """The answer to a datagram; "" when there is none in time."""
    sock.sendto(text, (real_nginx.ADDRESS, port))
    if not select.select([sock], [], [], seconds)[0]:
        return ""
    return sock.recv(65536).decode()


def datagrams(one, **settings) -> dict:
    return entry(one.port, ["udp"], **settings)


def test_u1_datagrams_reach_instances_and_come_back(balancer, port, echo, client):
    """All of one client's port go to one instance, those of others to others."""
    made = [echo(name) for name in "ab"]
    status = apply(balancer, **{f"x_{port}": [datagrams(one) for one in made]})
    assert status["udp"] == {f"x-{port}": 2}
    clients = [client() for _ in range(4)]
    names = [say(one, port).split()[0] for one in clients]
    assert collections.Counter(names) == {"a": 2, "b": 2}
    for one, name in zip(clients, names, strict=True):
        assert {say(one, port, b"y" * 1200).split()[0] for _ in range(5)} == {name}


def test_u1_with_responses_each_request_is_balanced_and_ends_its_session(balancer, port, echo, client):
    made = [echo(name) for name in "ab"]
    apply(balancer, **{f"x_{port}": [datagrams(one, responses="1") for one in made]})
    one = client()
    assert collections.Counter(say(one, port).split()[0] for _ in range(10)) == {"a": 5, "b": 5}
    _logged(balancer, f" UDP 200 .* service=x-{port} instance=\"{ADDRESS}:({made[0].port}|{made[1].port})\" port={port}", 10)


def test_u1_datagrams_without_an_answer_arrive(balancer, port, echo, client):
    """Such as syslog: no session waits."""
    made = [echo(name, answers=0) for name in "ab"]
    apply(balancer, **{f"x_{port}": [datagrams(one, responses="0") for one in made]})
    one = client()
    for number in range(300):  # more than the sessions that there may be
        one.sendto(str(number).encode(), (real_nginx.ADDRESS, port))
        if number % 20 == 0:
            time.sleep(0.01)
    deadline = time.monotonic() + 10
    while len(made[0].got) + len(made[1].got) < 300:
        assert time.monotonic() < deadline, (len(made[0].got), len(made[1].got))
        time.sleep(0.02)
    assert abs(len(made[0].got) - len(made[1].got)) <= 2


def test_u1_an_instance_that_does_not_answer_is_skipped(balancer, port, echo, client):
    mute, good = echo("mute", answers=0), echo("good")
    chosen = {"responses": "1", "read_timeout": "100ms"}
    apply(balancer, **{f"x_{port}": [datagrams(one, **chosen) for one in (mute, good)]})
    one = client()
    answers = [say(one, port, seconds=1) for _ in range(12)]
    assert answers.count("") <= 3 and len(mute.got) == answers.count("")


def test_u1_an_instance_whose_port_is_closed_is_skipped(balancer, port, echo, client):
    good, gone = echo("good"), echo("gone")
    gone.close()
    apply(balancer, **{f"x_{port}": [datagrams(one, responses="1") for one in (good, gone)]})
    one = client()
    answers = [say(one, port, seconds=1) for _ in range(12)]
    assert answers.count("") <= 3 and answers.count("good x") >= 9


def test_u1_tcp_and_udp_of_one_number(balancer, port, echo, client, instance):
    web, one = instance(name="web"), echo("udp")
    both = [entry(web.port, ["tcp"]) | {"id": "n:a:1"}, datagrams(one)]
    apply(balancer, **{f"x_{port}": both})
    assert balancer.ask("x", port)[0] == 200
    assert say(client(), port) == "udp x"


def test_u1_a_port_of_another_process_is_not_taken_from_it(balancer, port, echo):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((real_nginx.ADDRESS, port))
        status = apply(balancer, **{f"x_{port}": [datagrams(echo("a"))]})
        assert (status["udp"], status["skipped"][0]["reason"]) == (
            {}, f"UDP port {port} is taken by another process on this host",
        )  # fmt: skip


def test_u1_sessions_leave_connections_for_others(balancer, port, echo, client, instance):
    """Whoever sends from many addresses, or says so: a quarter of a worker's 256 connections is the most of all of them."""
    one = echo("a")
    apply(balancer, web=[entry(instance().port)], **{f"x_{port}": [datagrams(one)]})
    clients = [client() for _ in range(300)]
    for each in clients:
        each.sendto(b"x", (real_nginx.ADDRESS, port))
    assert {balancer.ask("web")[0] for _ in range(20)} == {200}
    deadline = time.monotonic() + 5
    while len(one.got) < 64 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 32 <= len(one.got) <= 64


def test_u1_a_flood_of_one_service_leaves_sessions_for_another(balancer, port, echo, client):
    """What is refused has a line in the access log alone."""
    flooded, other = port, balancer.ports.pop()
    one, two = echo("a"), echo("b")
    apply(balancer, **{f"x_{flooded}": [datagrams(one)], f"x_{other}": [datagrams(two)]})
    while any(say(client(), flooded, seconds=0.3) for _ in range(3)):
        pass  # until the service has as many sessions as it may have
    assert [say(client(), other) for _ in range(10)] == ["b x"] * 10
    _logged(balancer, f" UDP 503 .* service=x-{flooded} ", 3)
    assert "limiting connections" not in (balancer.folder / "nginx.log").read_text()


def test_u1_sessions_of_a_worker_that_was_killed_end_with_the_next_change(balancer, port, echo, client, instance):
    services = {f"x_{port}": [datagrams(echo("a"))]}
    apply(balancer, **services)
    while any(say(client(), port, seconds=0.3) for _ in range(3)):
        pass  # until there are as many sessions as there may be
    for worker in balancer.workers():
        os.kill(worker, signal.SIGKILL)
    apply(balancer, web=[entry(instance().port)], **services)
    assert all(say(client(), port) for _ in range(10))


def test_u1_reloads_lose_no_request(balancer, port, echo, client):
    """Each is answered at once; an answer that is under way at a reload is asked for again, as clients of UDP do."""
    one = echo("a")
    services = {f"x_{port}": [datagrams(one, responses="1")]}
    apply(balancer, **services)
    stop, lost = threading.Event(), []

    def ask():
        sock = client()
        while not stop.is_set():
            if not say(sock, port, seconds=0.5):
                lost.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(5):
        apply(balancer, **services, **{f"other_{port - 1 - number}": [datagrams(one)]})
    stop.set()
    thread.join()
    print(f"lost: {len(lost)} of {len(one.got)}")
    assert len(lost) <= 5 < len(one.got)


def test_u1_haproxy_refuses_it(echo):
    with real_haproxy.Balancer(balancer_udp_ports="20000-32000") as made:
        status = made.sync(catalog(**{"x_20000": [datagrams(echo("a"))]}))
        assert {one["name"]: one["reason"] for one in status["skipped"]} == {
            "x-20000": "haproxy does not balance UDP; discovery_balancer: nginx does"
        }


def _logged(balancer, line, times):
    deadline = time.monotonic() + 10
    while len(re.findall(line, balancer.log.read_text())) < times:
        assert time.monotonic() < deadline, balancer.log.read_text()[-600:]
        time.sleep(0.05)
