"""Settings that an overlay network cannot work with are rejected before any change, with a message that names them."""

import ipaddress

import pytest
import yaml
from tests.support.overlay_reach import network_name
from tests.support.playbook import refused


def mistake(tmp_path, variables: dict) -> tuple:
    """Variables for all hosts, as arguments of ansible-playbook."""
    (tmp_path / "mistake.yml").write_text(yaml.safe_dump(variables))
    return "-e", f"@{tmp_path}/mistake.yml"


@pytest.mark.more
def test_s9_a_subnet_that_hosts_have_a_route_to(site, tmp_path):
    node = site.docker_hosts[0]
    subnet = str(ipaddress.ip_network(f"{node.address}/24", strict=False))
    words = [f"discovery_overlay_subnet is {subnet}", f"overlaps {subnet} on host {node.name}", "a route", "no host knows"]
    refused(site, words, *mistake(tmp_path, {"discovery_overlay_subnet": subnet}))


@pytest.mark.more
def test_s9_a_network_that_exists_with_another_subnet(site, tmp_path):
    words = [f"network {network_name(site)} exists on host", "not 10.99.0.0/16", "never removed by itself", "docker network rm"]
    refused(site, words, *mistake(tmp_path, {"discovery_overlay_subnet": "10.99.0.0/16"}))


@pytest.mark.more
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"discovery_overlay_network": "ingress"}, ["discovery_overlay_network is 'ingress'", "none of bridge"]),
        ({"discovery_overlay_subnet": "10.99.0.1/16"}, ["discovery_overlay_subnet is '10.99.0.1/16'", "such as 10.90.0.0/16"]),
        ({"dockerd_extra_config": {"live-restore": True}}, ["live-restore"]),
    ],
    ids=["name", "subnet", "live-restore"],
)
def test_s9_settings_that_cannot_work(site, variables, words, tmp_path):
    refused(site, words, *mistake(tmp_path, variables))


@pytest.fixture(params=["trixie", pytest.param("bookworm", marks=pytest.mark.more)])
def newcomer(request, site):
    """A machine that the site does not know, of Debian 13 or 12, with a dockerd in a swarm of its own."""
    node = site.external_host(request.param)
    packages = "docker.io docker-cli" if request.param == "trixie" else "docker.io"
    node.run(f"apt-get -qq install -y --no-install-recommends {packages} >/dev/null")
    node.run(f"docker swarm init --advertise-addr {node.address}")
    yield node
    node.run("docker swarm leave --force")


@pytest.mark.more
def test_s9_a_host_that_cannot_be_of_the_network(site, newcomer, tmp_path):
    """One more docker host: in another swarm where the site is one; without support for the cluster store where that is used."""
    hosts = {"hosts": {newcomer.name: {}}}
    known = {"hosts": {newcomer.name: {"ansible_host": newcomer.address, "discovery_secrets_dir": str(site.secrets)}}}
    inventory = {"all": known | {"children": {"consul_clients": hosts, "docker_hosts": hosts}}}
    (tmp_path / "newcomer.yml").write_text(yaml.safe_dump(inventory))
    swarm = site.docker_hosts[0].variables["discovery_overlay"] == "swarm"
    words = ["belongs to another swarm", "docker swarm leave --force"] if swarm else ["discovery_overlay", "swarm"]
    refused(site, [newcomer.name, *words], "-i", tmp_path / "newcomer.yml")
    assert newcomer.run("docker info --format '{{.Swarm.LocalNodeState}}'") == "active"
    assert not newcomer.host.file("/etc/consul.d").exists, "something was changed on the host"
