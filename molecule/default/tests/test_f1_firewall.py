"""F1: only declared ports answer, probed from an external host, hosts of the site and containers; nobody is locked out."""

import functools
import json
import statistics
import subprocess
import time

import pytest
from tests.support.clients import http_get, tcp_open
from tests.support.firewall_reach import TABLE, UNDECLARED, answers, await_check, check, start_undeclared
from tests.support.overlay_reach import python
from tests.support.playbook import adhoc, play, state_of
from tests.support.reboot import reboot
from tests.support.wait import eventually, side_by_side

PLAYBOOK = "playbooks/firewall.yml"
TRIAL = 10  # seconds


def test_f1_only_declared_ports_answer(site, external_host, probes, show):
    show("\n".join(check(site, external_host, probes)))


@pytest.mark.on("docker_hosts")
def test_f1_addresses_of_containers_are_unreachable(site, external_host, node, show):
    """dockerd accepts packets to a published port's container from any host that routes them there."""
    name = site.container_of("httpbackend", node)
    address = node.run(f"docker inspect -f '{{{{.NetworkSettings.IPAddress}}}}' {name}").strip()
    port = int(node.run(f"docker port {name}").split("/")[0])
    assert answers(node, address, [port])["open"] == {port}, f"{name} does not listen on {address}:{port}"
    external_host.run(f"ip route replace {address}/32 via {node.address}")
    try:
        assert answers(external_host, address, [port])["silence"] == {port}
    finally:
        external_host.run(f"ip route del {address}/32")
    show(f"{node.name}: {address}:{port} is silent for an external host with a route")


def shaken(node, event: str) -> None:
    """Let something happen to a host, after which its rules are to be what they were; its undeclared program runs again."""
    if event == "reboot":
        reboot([node])
        start_undeclared(node)
    else:
        node.run(event)


def test_f1_survives_restarts_and_a_reboot(site, external_host, probes, show):
    """On each host something else, all at the same time: what was there before is there again."""
    events, start = ("systemctl restart docker", "systemctl restart nftables", "reboot"), time.monotonic()
    shaking = list(zip(site.docker_hosts, events, strict=True))
    side_by_side(functools.partial(shaken, node, event) for node, event in shaking)
    await_check(site, external_host, probes, *site.docker_hosts)
    site.settle()
    done = ", ".join(f"{event} on {node.name}" for node, event in shaking)
    show(f"after {done}: as before after {time.monotonic() - start:.1f} s")


@pytest.mark.more
@pytest.mark.parametrize(
    "event",
    [
        "systemctl restart docker",
        "systemctl start nftables && systemctl reload nftables",
        "systemctl restart nftables",
        "nft delete table inet discovery",
        "reboot",
    ],
)
def test_f1_survives(site, external_host, probes, event, show):
    """The same one after the other on one host; a table that somebody deletes comes back with the next run of the play."""
    node = site.servers[0]
    start = time.monotonic()
    shaken(node, event)
    if "delete" in event:
        done, _ = play(site, PLAYBOOK, "--limit", node.name)
        assert done.returncode == 0 and "changed=0" not in done.stdout, done.stdout[-3000:]

    await_check(site, external_host, probes, node)
    site.settle()
    show(f"after {event}: as before after {time.monotonic() - start:.1f} s")


def test_f1_containers_come_and_go(site, external_host, probes):
    """A published port is closed to external hosts from its first moment on."""
    node = site.docker_hosts[-1]
    for _ in range(5):
        node.run("docker run -d --name f1 -P -e SERVICE_IGNORE=1 httpbackend:v1.0.0")
        try:
            (port,) = {int(line.rsplit(":", 1)[1]) for line in node.run("docker port f1").splitlines() if "0.0.0.0" in line}
            assert answers(external_host, node.address, [port])["silence"] == {port}
            member = next(one for one in site.docker_hosts if one is not node)
            eventually(lambda port=port, member=member: answers(member, node.address, [port])["open"] == {port}, 10)
        finally:
            node.run("docker rm -f f1")


LOOKUP = """
import socket, sys, time
start = time.monotonic()
socket.getaddrinfo(sys.argv[1], 80)
print(time.monotonic() - start)
"""


@pytest.fixture
def named_bridge(site):
    """A container that publishes 8077 from a network whose bridge has a name of its own; the host, and the container's name."""
    node = site.docker_hosts[-1]
    node.run("docker network create -o com.docker.network.bridge.name=shop0 shop")
    try:
        node.run("docker run -d --name shop --network shop -p 8077:8080 -e SERVICE_IGNORE=1 -e PORT=8080 httpbackend:v1.0.0")
        yield node, "shop"
    finally:
        node.tries("docker rm -f shop; docker network rm shop")


def test_w1_a_bridge_with_a_name_of_its_own_is_one_of_containers(site, external_host, named_bridge, show):
    """Before and after a further run of the play, which finds nothing to change; in both directions."""
    node, name = named_bridge
    member = next(one for one in site.docker_hosts if one is not node)
    for run in ("before", "after"):
        assert answers(external_host, node.address, [8077])["silence"] == {8077}
        eventually(lambda: answers(member, node.address, [8077])["open"] == {8077}, 10)
        for host in (node, member):
            got = answers(node, host.address, [53, 2376, 8300, 8301, 8501], name)
            assert got == {"open": {53, 8501}, "refused": set(), "silence": {2376, 8300, 8301}}, host.name
        seconds = float(node.run(f"docker exec {name} {python(LOOKUP, site.name_of('consul'))}"))
        assert seconds < 1
        show(f"{run} a further run: closed to an external host, a name resolved in {seconds:.2f} s, platform closed")
        if run == "before":
            done, _ = play(site, PLAYBOOK, "--limit", node.name)
            assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout[-3000:]


def test_f1_a_service_can_be_allowed(site, external_host, tmp_path):
    """By one variable, and closed again without it."""
    node = site.docker_hosts[-1]
    node.run("docker run -d --name f1 -p 8090:8080 -e SERVICE_IGNORE=1 -e PORT=8080 httpbackend:v1.0.0")
    try:
        allowed = json.dumps({"firewall_allow_rules": {"f1": {"tcp": [8090], "from": [external_host.address]}}})
        assert answers(external_host, node.address, [8090])["silence"]
        assert play(site, PLAYBOOK, "--limit", node.name, "-e", allowed)[0].returncode == 0
        assert answers(external_host, node.address, [8090])["silence"] == set()
        assert play(site, PLAYBOOK, "--limit", node.name)[0].returncode == 0
        assert answers(external_host, node.address, [8090])["silence"] == {8090}
    finally:
        node.run("docker rm -f f1")


def test_f1_a_rule_set_that_cuts_off_the_controller_is_rolled_back(site, show):
    """Nobody confirms it, because nobody can."""
    node = site.servers[-1]
    before = node.run(f"nft --stateless list table {TABLE}")
    chain = "chain input {\ntype filter hook input priority 0; policy drop;\nct state established accept\n}"
    rules = f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{chain}\n}}\n"
    options = ["-m", "fewnodes.discovery.firewall", "-a", json.dumps({"rules": rules, "seconds": TRIAL})]
    start = time.monotonic()
    done = adhoc(site, node.name, *options)
    assert 'unconfirmed: true' in done.stdout, done.stdout
    assert not tcp_open(node.address, 22), "the rule set did not cut anybody off"
    eventually(lambda: tcp_open(node.address, 22), TRIAL + 20, every=0.5)
    seconds = time.monotonic() - start
    assert node.run(f"nft --stateless list table {TABLE}") == before
    show(f"unconfirmed rules gone after {seconds:.1f} s, of a trial of {TRIAL} s")
    assert seconds >= TRIAL - 1
    site.settle()  # the others have missed the host


WAITING = "import socket, time; one = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112); time.sleep(600)"


def test_w19_a_protocol_that_no_rule_allows_is_named(site, settled, show):
    """As keepalived, whose packets the firewall drops: on the page of the site, and on that of the firewall."""
    node = site.servers[-1]
    node.run(f"systemd-run --quiet --collect --unit test-vrrp {python(WAITING)}")
    try:
        eventually(lambda: ":0070 " in node.run("cat /proc/net/raw"), 10)
        page = " ".join(play(site, "playbooks/status.yml")[0].stdout.split())
        done, _ = play(site, "playbooks/firewall_status.yml", "--limit", node.name)
    finally:
        node.run("systemctl stop test-vrrp")
    assert f"{node.name}: python3 waits for the IP protocol vrrp, which no rule of the firewall allows" in page, page[-3000:]
    assert "protocol vrrp (python3)" in " ".join(done.stdout.split()), done.stdout[-3000:]
    show("a raw socket of VRRP is named by status.yml and firewall_status.yml")


TUNNEL = 2222  # a port of the host that no rule allows


@pytest.fixture
def tunnel(site, tmp_path, settled):
    """A host without rules, and options of ssh that lead to it through one connection to a second sshd there, open already."""
    node, socket = site.servers[-1], tmp_path / "tunnel"
    *options, target = node.ssh
    options[options.index("-p") + 1] = str(TUNNEL)
    node.run(f"systemd-run --quiet --collect --unit tunnel $(command -v sshd) -D -p {TUNNEL} -o PidFile=none")
    try:
        node.run(f"nft delete table {TABLE}")
        eventually(lambda: tcp_open(node.address, TUNNEL), 10)
        options += ["-o", f"HostKeyAlias={node.address}", "-o", "ControlMaster=yes", "-S", str(socket), "-f", "-N"]
        silent = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        subprocess.run([*options, target], check=True, **silent)
        try:
            yield node, f"-o 'ProxyCommand=ssh -S {socket} -W 127.0.0.1:22 tunnel'"
        finally:
            subprocess.run(["ssh", "-S", socket, "-O", "exit", "tunnel"], check=False, capture_output=True)
    finally:
        node.tries("systemctl stop tunnel")
        node.run("systemctl reload-or-restart discovery-firewall")


def test_w21_rules_that_close_the_controller_s_tunnel_are_rolled_back(site, tunnel, tmp_path, show):
    """They would close it as soon as conntrack forgets the connection, long after they were confirmed. Rules without a table are
    loaded by any run of the play."""
    node, through = tunnel
    common = node.variables["ansible_ssh_common_args"]
    given = {"ansible_ssh_common_args": f"{common} {through}", "ansible_control_path_dir": str(tmp_path),
             "firewall_confirm_seconds": TRIAL}  # fmt: skip
    done, seconds = play(site, PLAYBOOK, "--limit", node.name, "-e", json.dumps(given))
    output = " ".join(done.stdout.split())
    assert done.returncode != 0 and f"the rules of {node.name} were not confirmed" in output, output[-3000:]
    assert f"tcp {TUNNEL} (sshd)" in output
    eventually(lambda: "strict_input" not in node.run(f"nft list table {TABLE}"), TRIAL + 10, every=0.5)
    assert node.tries("test -e /run/discovery-firewall/trial.nft").rc != 0
    show(f"through a tunnel on a port without a rule: refused after {seconds:.0f} s, of a trial of {TRIAL} s")


@pytest.mark.more
def test_f1_rules_that_do_not_load_close_the_host(site, external_host, show):
    """As at boot; SSH stays, and the next run of the play repairs it."""
    node = site.docker_hosts[-1]
    ports = [22, 2376, 8300, 8501]
    asked = next(one for one in site.docker_hosts if one is not node)
    node.run("echo nonsense >>/etc/discovery-firewall.nft")
    try:
        assert node.tries("systemctl restart discovery-firewall").rc != 0
        assert answers(asked, node.address, ports) == {"open": {22}, "refused": set(), "silence": set(ports) - {22}}
        assert tcp_open(node.address, 22)
    finally:
        start = time.monotonic()
        done, _ = play(site, PLAYBOOK, "--limit", node.name)
    assert done.returncode == 0, done.stdout[-3000:]
    assert answers(asked, node.address, ports)["open"] == set(ports)
    assert node.run("systemctl is-active discovery-firewall").strip() == "active"
    show(f"closed but for SSH; repaired by a run of {time.monotonic() - start:.1f} s")
    site.settle()


@pytest.mark.more  # H13's further run of the whole site shows it, too
def test_f1_a_second_run_changes_nothing(site):
    before = state_of(site)
    done, _ = play(site, PLAYBOOK)
    assert done.returncode == 0 and "changed=1" not in done.stdout, done.stdout[-3000:]
    assert state_of(site) == before


def test_f1_the_status_page_lists_what_is_allowed(site):
    done, _ = play(site, "playbooks/firewall_status.yml")
    assert done.returncode == 0, done.stdout
    for node in site.nodes.values():
        assert f"{node.name}: the rules are in force" in done.stdout
    assert "ssh" in done.stdout and "any" in done.stdout and "httpfront" in done.stdout


@pytest.mark.more
def test_f1_off_and_on(site, external_host, probes):
    node = site.servers[-1]
    assert play(site, PLAYBOOK, "--limit", node.name, "-e", "discovery_firewall=false")[0].returncode == 0
    assert answers(external_host, node.address, [8300, UNDECLARED])["open"] == {8300, UNDECLARED}
    assert node.tries(f"nft list table {TABLE}").rc != 0
    assert play(site, PLAYBOOK, "--limit", node.name)[0].returncode == 0
    check(site, external_host, probes)


@pytest.mark.more
def test_f1_costs_nothing(site, external_host, start_container, show):
    """wrk through a balancer to a static page, the table loaded and away by turns."""
    start_container(site.docker_hosts[-1], "test-static", "nginx:1.26", "-e SERVICE_NAME=test-static -e SERVICE_TAGS=http")
    external_host.run(
        "command -v wrk >/dev/null || { apt-get update -q && apt-get install -yq --no-install-recommends wrk; } >&2"
    )
    node = site.balancers[0]
    host = site.host_of("test-static")
    eventually(lambda: http_get(node.address, host).status == 200, 60)
    command = f"wrk --latency -t1 -c16 -d5s -H 'Host: {host}' http://{node.address}/"
    rates = {"with": [], "without": []}
    try:
        for turn in range(6):
            way = "with" if turn % 2 else "without"
            node.run("nft --file /etc/discovery-firewall.nft" if turn % 2 else f"nft delete table {TABLE}")
            printed = external_host.run(command)
            rates[way].append(float(printed.split("Requests/sec:")[1].split()[0]))
    finally:
        node.run("nft --file /etc/discovery-firewall.nft")
    with_, without = (statistics.median(rates[way]) for way in ("with", "without"))
    show(f"wrk: {with_:.0f}/s with the firewall, {without:.0f}/s without (medians of 3 times 5 s)")
    assert with_ >= 0.85 * without


# Rules of one run each, and words of its message: who is locked out is looked at when nothing else is wrong.
MISTAKES = [
    ({"ssh": {"from": ["site"]}}, ["lock the controller out", "firewall_ssh_port"]),
    (
        {"sender": {"from": ["office"]}, "port": {"tcp": [70000]}},
        ["firewall_allow_rules has 'sender'", "from has 'office'", "firewall_allow_rules has 'port'", "tcp has 70000"],
    ),
]


def test_f1_invalid_input_is_rejected_before_any_change(site):
    def rules() -> list[str]:
        return [node.run(f"nft --stateless list table {TABLE}") for node in site.nodes.values()]

    def run(added: dict):
        return play(site, PLAYBOOK, "-e", json.dumps({"firewall_allow_rules": added}))[0]

    before = rules()
    ended = side_by_side(functools.partial(run, added) for added, _ in MISTAKES)
    for done, (_, words) in zip(ended, MISTAKES, strict=True):
        output = " ".join(done.stdout.split())
        assert done.returncode != 0 and [word for word in words if word not in output] == [], output[-3000:]
        assert "changed=1" not in output
    assert rules() == before
