"""dockerd: mutual TLS on the node's address, and the packaged containerd."""

import http.client
import json
import re
import ssl
import time

import pytest
from tests.support.http_load import await_served
from tests.support.playbook import play, recap, state_of
from tests.support.wait import eventually


def docker_info(site, node, with_certificate: bool) -> dict:
    """What `docker --tlsverify -H tcp://ADDRESS:2376 info` asks for."""
    bundle = site.secrets / "docker-client"
    context = ssl.create_default_context(cafile=str(bundle / "ca.pem"))
    if with_certificate:
        context.load_cert_chain(bundle / "cert.pem", bundle / "key.pem")
    connection = http.client.HTTPSConnection(node.address, 2376, timeout=10, context=context)
    try:
        connection.request("GET", "/info")
        response = connection.getresponse()
        assert response.status == 200
        return json.load(response)
    finally:
        connection.close()


@pytest.mark.on("docker_hosts")
def test_s1_answers_the_client_certificate(site, node, show):
    info = docker_info(site, node, with_certificate=True)
    show(f"Docker {info['ServerVersion']} on {info['Name']}")
    assert info["Name"] == node.run("hostname")


@pytest.mark.on("docker_hosts")
def test_s1_refuses_a_client_without_certificate(site, node):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        docker_info(site, node, with_certificate=False)


@pytest.mark.on("docker_hosts")
def test_s1_refuses_plain_http(node):
    connection = http.client.HTTPConnection(node.address, 2376, timeout=10)
    connection.request("GET", "/info")
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.on("docker_hosts")
def test_s1_keys_are_private(node):
    for key, mode in {"server.key": 0o400, "server.pem": 0o444, "ca.pem": 0o444}.items():
        assert node.host.file(f"/etc/docker/tls/{key}").mode == mode, key


@pytest.mark.on("docker_hosts")
def test_uses_the_packaged_containerd(node):
    assert "--containerd=/run/containerd/containerd.sock" in node.run("cat /proc/$(pidof dockerd)/cmdline | tr '\\0' ' '")


@pytest.mark.on("docker_hosts")
def test_container_logs_rotate(node):
    created = node.run("docker inspect -f '{{json .HostConfig.LogConfig.Config}}' httpfront")
    assert "max-size" in json.loads(created)


PASSWORD = "pass-w0rd-of-the-proxy"
CHOSEN = {
    "dockerd_no_new_privileges": True,
    "dockerd_userland_proxy": False,
    "dockerd_default_ulimits": {"nofile": "1024:8192"},
    "dockerd_proxies": {"https-proxy": f"http://user:{PASSWORD}@192.0.2.1:3128", "no-proxy": "*"},
}
# What another user finds of it: in files, in what systemd says of the unit, and in processes. The bracket keeps the search from
# finding itself.
SEARCH = f"""setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c '
    word="[{PASSWORD[0]}]{PASSWORD[1:]}"
    grep -rls $word /etc/docker /etc/systemd /run/dockerd-discovery /run/systemd /var/lib/dockerd-discovery
    systemctl show docker | grep $word; systemctl cat docker | grep $word
    grep -als $word /proc/[0-9]*/environ /proc/[0-9]*/cmdline'
"""
LIMITS = "grep -E 'NoNewPrivs|Max open files' /proc/1/status /proc/1/limits"


def limits(node, container: str) -> tuple[int, int, int]:
    """Of a container's first process: whether it can gain no privileges, and the soft and hard limit of open files."""
    words = node.run(f"docker exec {container} {LIMITS}").split()
    return int(words[1]), int(words[5]), int(words[6])


@pytest.mark.more
def test_w36_a_site_with_every_limit_of_containers_serves(site, settled, start_container, show):
    """And a password of its proxy is nowhere where another user reads it. Two restarts of every dockerd: there and back."""
    since = time.time()
    try:
        done, seconds = play(site, "playbooks/docker.yml", "-vv", "--diff", "-e", json.dumps(CHOSEN))
        assert done.returncode == 0, done.stdout[-4000:]
        assert PASSWORD not in done.stdout + done.stderr
        show(f"{len(site.docker_hosts)} dockerds restarted one by one in {seconds:.0f} s")
        site.settle()
        for node in site.docker_hosts:
            start_container(node, f"test-w36-{node.name}", "httpbackend:v1.0.0", "-e SERVICE_IGNORE=1")
            assert limits(node, f"test-w36-{node.name}") == (1, 1024, 8192), "a new container"
            assert limits(node, "httpfront") == (0, 1024, 8192), "a container that was made before"
            assert node.tries("pgrep docker-proxy").rc != 0
            kept = node.run("cat /etc/docker/daemon.json /etc/docker/proxies.env 2>/dev/null || true")
            assert PASSWORD in kept, "dockerd before 23.0 has it in its environment"
            assert node.tries(SEARCH).stdout == ""
            assert PASSWORD not in node.run(f"journalctl --no-pager --since @{since:.0f}")
        await_served(site, site.front)
    finally:
        back, _ = play(site, "playbooks/docker.yml")
    assert back.returncode == 0, back.stdout[-4000:]
    assert {counts["changed"] for counts in recap(back).values()} != {0}
    site.settle()
    show(f"docker-proxy: {len(proxies := memory_of_proxies(site))} processes, {sum(proxies) / len(proxies):.1f} MiB each")


def memory_of_proxies(site) -> list[float]:
    """The own memory of each docker-proxy, in MiB."""
    command = "for pid in $(pidof docker-proxy); do grep ^Pss: /proc/$pid/smaps_rollup; done"
    return [int(line.split()[1]) / 1024 for node in site.docker_hosts for line in node.run(command).splitlines()]


@pytest.mark.more
def test_w33_containers_that_containerd_has_lost_run_again(site, settled, show):
    """dockerd dies, and containerd is restarted beside its next start, as needrestart does."""
    node = next(node for node in site.docker_hosts if node not in site.balancers[:1])
    node.run("systemctl restart docker")
    node.kill("docker")
    node.run("systemctl restart containerd; systemctl restart docker")
    lost = node.run("docker ps --all --quiet --filter exited=128 | wc -l").strip()
    _, seconds = eventually(lambda: node.run("docker ps --all --quiet --filter status=exited") == "", 30)
    show(f"{lost} containers were lost, all run after {seconds:.1f} s")


FLOATING = "203.0.113.200"  # RFC 5737: nobody has it


@pytest.mark.parametrize("playbook", ["playbooks/docker.yml", pytest.param("site.yml", marks=pytest.mark.more)])
def test_w20_a_floating_address_changes_nothing(site, settled, playbook, show):
    """Neither its coming nor its leaving."""
    node = site.docker_hosts[-1]
    before = state_of(site)
    device = re.search(r" dev (\S+)", node.run(f"ip -oneline route get {site.docker_hosts[0].address}"))[1]
    node.run(f"ip address add {FLOATING}/32 dev {device}")
    try:
        done, seconds = play(site, playbook, "--limit", node.name)
    finally:
        node.run(f"ip address del {FLOATING}/32 dev {device}")
    assert done.returncode == 0 and recap(done)[node.name]["changed"] == 0, done.stdout[-3000:]
    assert state_of(site) == before
    show(f"{playbook} on a host with one address more: 0 changed, {seconds:.0f} s")
