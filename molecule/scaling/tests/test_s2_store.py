"""S2: dockerd with Consul as cluster store, with a token that is good for nothing else."""

import pytest
from tests.support.consul import Consul
from tests.support.token_rights import objects, observed, table
from tests.support.wait import eventually

pytestmark = pytest.mark.overlay("consul")


def token_of(site, node) -> str:
    return (site.secrets / f"tokens/docker-{node.name}").read_text().strip()


@pytest.mark.more
def test_s2_the_store_has_exactly_the_advertised_addresses(site, show):
    wanted = {f"docker/nodes/{node.address}:2376" for node in site.docker_hosts}

    def found() -> set:
        return {key for key in site.consul().get("/v1/kv/docker/nodes?keys") if key != "docker/nodes"}

    _, seconds = eventually(lambda: found() == wanted, 60)
    show(f"{len(wanted)} docker hosts in the cluster store, after {seconds:.1f} s")


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s2_the_token_does_its_work(site, node):
    consul = Consul(node.address, site.ca, token_of(site, node))
    consul.put("/v1/kv/docker/test", "one")
    assert consul.get("/v1/kv/docker/test")
    consul.send("DELETE", "/v1/kv/docker/test")
    session = consul.put("/v1/session/create", {"Node": node.name, "TTL": "10s"})["ID"]
    consul.put(f"/v1/session/destroy/{session}")


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s2_the_token_may_do_nothing_else(site, node):
    """Own node and others, as docs/tokens.md has it: a session of another node ends somebody else's lock."""
    other = next(one for one in site.servers if one.name != node.name)
    with objects(site, [node, other]) as session:
        found = observed(site, node, other, token_of(site, node), session)
        assert session in {one["ID"] for one in site.consul().get("/v1/session/list")}
    assert {name for name in found if found[name]} == {name for name, allowed in table()["docker"].items() if allowed}


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s2_only_root_reads_the_token(site, node):
    file = node.host.file("/etc/docker/consul.env")
    assert (file.mode, file.user) == (0o600, "root")
    assert token_of(site, node) in file.content_string
    public = "/proc/[0-9]*/cmdline /etc/docker/daemon.json /etc/systemd/system/docker.service.d/*.conf"
    shown = node.tries(f"cat {public}").stdout
    assert token_of(site, node) not in shown


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s2_a_newer_docker_package_is_held_back(node):
    assert "docker.io" in node.run("apt-mark showhold").split()
