"""S2: dockerd with Consul as cluster store, with a token that is good for nothing else."""

import urllib.error

import pytest
from tests.support.consul import Consul
from tests.support.wait import eventually

pytestmark = pytest.mark.overlay("consul")


def token_of(site, node) -> str:
    return (site.secrets / f"tokens/docker-{node.name}").read_text().strip()


def test_s2_the_store_has_exactly_the_advertised_addresses(site, show):
    wanted = {f"docker/nodes/{node.address}:2376" for node in site.docker_hosts}

    def found() -> set:
        return {key for key in site.consul().get("/v1/kv/docker/nodes?keys") if key != "docker/nodes"}

    _, seconds = eventually(lambda: found() == wanted, 60)
    show(f"{len(wanted)} docker hosts in the cluster store, after {seconds:.1f} s")


@pytest.mark.on("docker_hosts")
def test_s2_the_token_does_its_work(site, node):
    consul = Consul(node.address, site.ca, token_of(site, node))
    consul.put("/v1/kv/docker/test", "one")
    assert consul.get("/v1/kv/docker/test")
    consul.send("DELETE", "/v1/kv/docker/test")
    session = consul.put("/v1/session/create", {"Node": node.name, "TTL": "10s"})["ID"]
    consul.put(f"/v1/session/destroy/{session}")


@pytest.mark.on("docker_hosts")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/kv/discovery/test", "one"),
        ("GET", "/v1/kv/discovery/test", None),
        ("DELETE", "/v1/kv/discovery/?recurse", None),
        ("PUT", "/v1/kv/docke", "one"),
        ("PUT", "/v1/agent/service/register", {"Name": "intruder"}),
        ("GET", "/v1/agent/self", None),
        ("GET", "/v1/operator/raft/configuration", None),
        ("GET", "/v1/acl/tokens", None),
        ("PUT", "/v1/event/fire/test", None),
    ],
)
def test_s2_the_token_may_do_nothing_else(site, node, method, path, body):
    with pytest.raises(urllib.error.HTTPError) as error:
        Consul(node.address, site.ca, token_of(site, node)).send(method, path, body)
    assert error.value.code == 403, path


@pytest.mark.on("docker_hosts")
def test_s2_the_token_may_take_no_snapshot(site, node):
    """Asked of the leader itself: any other agent forwards the request, and may lose the leader's refusal on the way (500)."""
    leader = next(server for server in site.servers if site.leader().startswith(f"{server.address}:"))
    with pytest.raises(urllib.error.HTTPError) as error:
        Consul(leader.address, site.ca, token_of(site, node)).get("/v1/snapshot")
    assert error.value.code == 403


@pytest.mark.on("docker_hosts")
def test_s2_the_token_sees_no_service_and_no_node(site, node):
    consul = Consul(node.address, site.ca, token_of(site, node))
    assert consul.get("/v1/catalog/services") == {}
    assert consul.get("/v1/catalog/nodes") == []


@pytest.mark.on("docker_hosts")
def test_s2_only_root_reads_the_token(site, node):
    file = node.host.file("/etc/docker/consul.env")
    assert (file.mode, file.user) == (0o600, "root")
    assert token_of(site, node) in file.content_string
    public = "/proc/[0-9]*/cmdline /etc/docker/daemon.json /etc/systemd/system/docker.service.d/*.conf"
    shown = node.tries(f"cat {public}").stdout
    assert token_of(site, node) not in shown


@pytest.mark.on("docker_hosts")
def test_s2_a_newer_docker_package_is_held_back(node):
    assert "docker.io" in node.run("apt-mark showhold").split()
