"""(b) Requests a second and their times, from another machine of the lab's network, by wrk.

Two instances of the static backend behind each balancer; every balancer writes the same access log. In rounds, so that
a machine that gets slower does so for all of them; the middle one of the rounds counts.
"""

import time
from collections.abc import Iterator

from tests.support.http_load import request_once

from benchmarks import figures
from benchmarks.balancers import ALL, HAND_HAPROXY, KEEPALIVE, only, used
from benchmarks.site import TIMEOUT, Bench, eventually

SERVICE = "bench-load"
INSTANCES = 2
SETTLE = 2  # seconds from the first answer to the measurement: the units have just been started
DIRECT = "backend"  # the name of what is asked without a balancer


def measure(bench: Bench, external_host, seconds: int, rounds: int, connections: int, who=ALL, log=print) -> Iterator[dict]:
    """At the end one entry for the backend alone and each balancer: {"balancer", "rounds": [the result of figures.wrk, and of a
    balancer "cpu": CPU time of its processes for one request, in s]}.

    :param external_host: a node that is no host of the site; the load comes from there
    """
    external_host.run(
        "command -v wrk >/dev/null || { apt-get update -q && apt-get install -yq --no-install-recommends wrk; } >&2"
    )
    host = bench.site.host_of(SERVICE)
    try:
        instances = [bench.run(SERVICE, f"{SERVICE}-{number}") for number in range(INSTANCES)]
        places = [(bench.app.address, instance.port) for instance in instances]
        for file, text in {"keepalive-hosts.conf": nginx_by_hand, "haproxy-hand-hosts.cfg": haproxy_by_hand}.items():
            bench.balancer.run(f"cat >/etc/bench/{file} <<'END'\n{text(host, places)}END\n")
        targets = {DIRECT: (bench.app.address, instances[0].port)}
        found = {name: [] for name in (DIRECT, *(balancer.name for balancer in who))}
        for number in range(rounds):
            found[DIRECT].append(_wrk(external_host, *targets[DIRECT], host, seconds, connections))
            turn = number % len(who)  # each is first once: the machine is not the same in the course of a round
            for balancer in who[turn:] + who[:turn]:
                with only(bench.balancer, balancer):
                    place = (bench.balancer.address, balancer.port)
                    eventually(lambda place=place: request_once(*place, bench.expected(SERVICE), TIMEOUT).ok, 60, every=0.2)
                    time.sleep(SETTLE)
                    _, before = used(bench.balancer, balancer)
                    one = _wrk(external_host, *place, host, seconds, connections)
                    _, after = used(bench.balancer, balancer)
                    found[balancer.name].append(one | {"cpu": (after - before) / one["requests"]})
                log(f"throughput, round {number + 1}, {balancer.title}: {found[balancer.name][-1]}")
    finally:
        bench.remove_all()
    yield from ({"balancer": name, "rounds": observed} for name, observed in found.items())


def _wrk(external_host, address, port, host, seconds, connections) -> dict:
    command = f"wrk --latency -t1 -c{connections} -d{seconds}s -H 'Host: {host}' http://{address}:{port}/"
    return figures.wrk(external_host.run(command))


def haproxy_by_hand(host: str, places: list[tuple[str, int]]) -> str:
    """HAProxy's part for these instances as somebody writes it who knows HAProxy: any client uses idle connections."""
    servers = "".join(f"    server hand-{n} {address}:{port}\n" for n, (address, port) in enumerate(places))
    return f"""frontend hand
    bind *:{HAND_HAPROXY.port}
    capture request header Host len 64
    use_backend hand if {{ hdr(host) -i {host} }}
backend hand
    balance roundrobin
    http-reuse aggressive
    http-request set-header X-Forwarded-For %[src]
{servers}"""


def nginx_by_hand(host: str, places: list[tuple[str, int]]) -> str:
    """nginx's configuration for these instances as written by hand."""
    servers = "".join(f"    server {address}:{port};\n" for address, port in places)
    return f"""upstream hand {{
{servers}    keepalive 64;
}}
server {{
    listen {KEEPALIVE.port};
    server_name {host};
    location / {{
        proxy_pass http://hand;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
}}
"""
