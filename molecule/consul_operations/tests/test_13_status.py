"""The page of the night: what it shows of a site that is well, and of one that is not."""

import json
from contextlib import ExitStack

import pytest
from tests.support.playbook import play, status_page
from tests.support.token_rights import send
from tests.support.wait import eventually, everywhere


def test_status_of_a_healthy_site(site, settled, load, show):
    # A balancer's last sync may be of before the site was healthy.
    everywhere(site.balancers, lambda balancer: balancer.run("discovery-balancer status"), 60)
    with load.planned("status"):
        text, code = status_page(site, "-e", "status_strict=true")
    assert code == 0, text
    leader = next(node for node in site.servers if site.leader() == f"{node.address}:8300")
    assert "nothing wrong" in text
    assert f"{leader.name} ({leader.address}:8300)" in text
    secrets = [path.read_text().strip() for path in site.secrets.rglob("*") if path.is_file()]
    assert not [secret for secret in secrets if 20 < len(secret) < 60 and secret in text]
    lines = text[text.index(site.datacenter + " at") :].split("\n\n\n")[0].rstrip().splitlines()
    show(f"{len(lines)} lines")
    assert len(lines) <= 40, text


def test_x4_status_names_a_false_instance_one_that_was_taken_out_and_one_that_was_changed(site, settled, show):
    """With the registrator's token of another host, which Consul lets do all of it: also to give an instance other tags, which
    are another place at the load balancers."""
    node, thief = site.docker_hosts[:2]
    token = (site.secrets / "tokens" / f"registrator-{thief.name}").read_text().strip()
    good = f"{node.name}:{site.container_of('httpfront', node)}:8080"
    (changed,) = (
        service
        for service in site.consul().get(f"/v1/catalog/node-services/{node.name}")["Services"]
        if service["ID"] == f"{node.name}:{site.container_of('httpbackend', node)}:8081"
    )
    fields = ("ID", "Service", "Address", "Port", "Meta")
    other_tags = {field: changed[field] for field in fields} | {"Tags": ["x4"], "Weights": {"Passing": 7, "Warning": 1}}
    false = {"ID": "x4-false", "Service": "httpfront", "Address": thief.address, "Port": 18199}
    requests = {
        "false": ("own", "PUT", "/v1/catalog/register", {
            "Node": "{other}", "Address": "{other_address}", "SkipNodeUpdate": True, "Service": false}),
        "changed": ("own", "PUT", "/v1/catalog/register", {
            "Node": "{other}", "Address": "{other_address}", "SkipNodeUpdate": True, "Service": other_tags}),
        "good": ("own", "PUT", "/v1/catalog/deregister", {"Node": "{other}", "ServiceID": good}),
    }  # fmt: skip
    unknown = "no container and no declared service stands for this entry of the catalog"
    differing = "the catalog has another entry than its container or declaration"

    def named() -> bool:
        """An agent compares itself with the catalog every minute or two, and soon after its start, and repairs both: then once
        more."""
        assert send(site, thief, node, token, "", requests) == dict.fromkeys(requests, True)
        text, code = status_page(site)
        assert code == 0, "it is no failure unless it shall be strict"
        show("\n".join(line.strip() for line in text.splitlines() if "  ! " in line))
        assert f"{node.name}: {unknown}: httpfront (x4-false) at {thief.address}:18199" in text
        assert f"{node.name}: {differing}: httpbackend ({changed['ID']}) at {node.address}:8081, with tags x4, not" in text
        assert ", not no tags, with weight 7, not 1" in text
        assert f"{node.name}: not in the catalog: httpfront ({good}) at {node.address}:" in text
        return True

    try:
        eventually(named, 120)
    finally:
        site.consul().send("PUT", "/v1/catalog/deregister", {"Node": node.name, "ServiceID": "x4-false"})
        for service in ("httpfront", "httpbackend"):  # registers them anew, so the agent syncs them at once
            node.run(f"docker restart {site.container_of(service, node)}")


# What others do to a host, how it is undone, and what the page says of it. On a host with containers and a load balancer.
FOREIGN = {"log-driver": "json-file", "log-opts": {"max-size": "100m"}}
SHARED = "cat /run/w-resolv.conf >/etc/resolv.conf; rm -f /run/w-resolv.conf"  # it may be a link, or mounted
FAULTS = [
    (
        "cat /etc/resolv.conf >/run/w-resolv.conf && echo options rotate >>/etc/resolv.conf",
        SHARED,
        "/etc/resolv.conf is no longer as playbooks/dns.yml left it: it has the option rotate",
    ),
    ("nft delete table inet discovery", "systemctl reload-or-restart discovery-firewall", "firewall's rules are not in force"),
    ("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1", "net.ipv4.ip_forward is 0"),
    (
        f"cp -p /etc/docker/daemon.json /run/w-daemon.json && echo '{json.dumps(FOREIGN)}' >/etc/docker/daemon.json",
        "cp -p /run/w-daemon.json /etc/docker/daemon.json; rm -f /run/w-daemon.json",
        "/etc/docker/daemon.json was written by somebody else, settings of the site are gone: dns, ",
    ),
    (
        """echo '{"service": {"name": "modem",' >/etc/consul.d/w-modem.json && chmod 0644 /etc/consul.d/w-modem.json""",
        "rm -f /etc/consul.d/w-modem.json",
        "its agent would not start with /etc/consul.d: failed to parse /etc/consul.d/w-modem.json: unexpected end of JSON input",
    ),
    (
        # The agent has this port.
        "! docker run -d --restart always --name w-port -p 8501:8081 httpbackend:v1.0.0 2>/dev/null",
        "docker rm -f w-port",
        "dockerd could not start the container w-port",
    ),
]
# nginx has file systems of its own, so this one is mounted where it sees it.
BODY = "nsenter -t $(cat /run/nginx.pid) -m"
FULL = (
    f"{BODY} mount -t tmpfs -o size=1m,nr_inodes=100,mode=0777 w-full /var/lib/nginx/body",
    f"{BODY} umount -l /var/lib/nginx/body",
    "MB are free under /var/lib/nginx/body",
)


def test_w45_w46_w47_w49_w51_w52_w54_status_names_what_a_host_lacks(site, settled, show):
    """All at once on one host, and none of it is left or named afterwards."""
    node = next(balancer for balancer in site.balancers if balancer in site.docker_hosts)
    faults = FAULTS + ([FULL] if site.balancer == "nginx" else [])
    with ExitStack() as undone:
        for fault, undo, _ in faults:
            undone.callback(node.tries, undo)
            node.run(fault)
        text, code = status_page(site)
    assert code == 0, text
    found = [line.strip() for line in text.splitlines() if "  ! " in line]
    show("\n".join(found))
    for _, _, expected in faults:
        assert any(expected in line and f"! {node.name}: " in line for line in found), f"{expected}\n{text}"
    if site.balancer == "nginx":
        assert any("inodes are free under /var/lib/nginx/body" in line for line in found), text
    text, _ = status_page(site)
    assert [expected for _, _, expected in faults if expected in text] == [], text


@pytest.mark.more
def test_w47_a_run_lets_a_host_forward_again(site, settled):
    node = site.docker_hosts[0]
    node.run("sysctl -qw net.ipv4.ip_forward=0")
    try:
        done, _ = play(site, "playbooks/docker.yml", "--limit", node.name)
        assert done.returncode == 0 and "changed=1 " in done.stdout, done.stdout[-3000:]
        assert node.run("cat /proc/sys/net/ipv4/ip_forward").strip() == "1"
    finally:
        node.run("sysctl -qw net.ipv4.ip_forward=1")


UDP_BLOCKED = "; ".join((
    "add table inet w53", "add chain inet w53 out { type filter hook output priority -10; }",
    "add rule inet w53 out udp dport 8301 drop",
))  # fmt: skip


@pytest.mark.more
def test_w53_status_names_members_that_udp_does_not_reach(site, settled):
    """TCP takes its place, so nobody fails. What the log has is forgotten after 70 s."""
    node, by_udp = site.servers[0], "by TCP 8301, but not by UDP 8301"
    node.run(f"nft '{UDP_BLOCKED}'")
    try:
        eventually(lambda: f"{node.name}: its agent reaches" in status_page(site)[0], 90)
        assert all(member["Status"] == 1 for member in site.consul().get("/v1/agent/members"))
    finally:
        node.run("nft delete table inet w53")
    eventually(lambda: by_udp not in status_page(site)[0], 150)


@pytest.mark.more
def test_status_without_any_consul(site, settled):
    for node in site.servers:
        node.run("systemctl stop consul")
    try:
        text, code = status_page(site)
        assert code == 0 and "Consul has no leader" in text, text
    finally:
        for node in site.servers:
            node.run("systemctl start --no-block consul")


@pytest.mark.more
def test_w38_status_names_an_agent_whose_token_the_cluster_does_not_know(site, settled):
    """It answers as ever, and nothing that changes on its host comes into the catalog."""
    ill = site.servers[0]
    site.consul(ill).send("PUT", "/v1/agent/token/agent", {"Token": "00000000-1111-2222-3333-444444444444"})
    try:
        eventually(lambda: "the cluster refuses what its agent reports" in status_page(site)[0], 90)
        assert f"{ill.name}: the cluster refuses what its agent reports" in status_page(site)[0]
    finally:
        ill.run("systemctl restart consul")
        site.settle()
