"""The example of each role's README runs as written: on bare hosts, or on those that the earlier examples made."""

import json

import pytest
import yaml
from tests.support.http_load import Expected, await_served
from tests.support.playbook import play
from tests.support.readme_examples import ORDER, examples
from tests.support.wait import eventually

IMAGE, SERVICE = "web:1.0", "web"  # of the examples of scale and shift
BODY = "this is httpbackendservice, version: v1.0.0\n"  # of the sample image in its place
# Addresses of a real site in the examples, and the names of the lab's own.
LAB = {
    "consul_dns_resolvers": "discovery_resolvers",
    "consul_dns_probe_names": "consul_dns_probe_names",
    "dockerd_registry_mirrors": "dockerd_registry_mirrors",
    "firewall_management_networks": "discovery_management_networks",
}


@pytest.fixture(scope="session")
def lab_variables(site, tmp_path_factory):
    """A file of variables for -e: the examples' addresses are the lab's here."""
    variables = site.nodes["consul-1"].variables
    path = tmp_path_factory.mktemp("lab") / "lab.json"
    path.write_text(json.dumps({name: variables[own] for name, own in LAB.items()}))
    return path


def prepare(site, role: str) -> None:
    """The part of an example that is the user's own: an image, and a second version of the service."""
    if role == "scale":
        for node in site.docker_hosts:
            node.run(f"docker pull -q httpbackend:v1.0.0 && docker tag httpbackend:v1.0.0 {IMAGE}")
    if role == "shift":
        site.nodes["app-1"].run(
            f"docker run -d --name {SERVICE}-v2 -P -e SERVICE_NAME={SERVICE} -e SERVICE_TAGS=http -e SERVICE_VERSION=v2 {IMAGE}"
        )
        eventually(lambda: len(site.passing(SERVICE)) == 7, 30)


@pytest.mark.parametrize(("role", "number"), [(role, n) for role in ORDER for n in range(len(examples(role)))])
def test_example_runs_as_written(site, lab_variables, tmp_path, show, role, number):
    if role == "docker_cluster_store":
        pytest.skip("for Debian 11 only; the scenario scaling has it")
    prepare(site, role)
    (tmp_path / "shop.ctmpl").write_text('{{ keyOrDefault "config/shop" "8080" }}\n')
    playbook = tmp_path / "example.yml"
    playbook.write_text(yaml.safe_dump(examples(role)[number], sort_keys=False))
    # As with the defaults of Ansible: the checkout's ansible.cfg gathers no facts by itself.
    done, seconds = play(site, playbook, "-e", f"@{lab_variables}", environment={"ANSIBLE_GATHERING": "implicit"})
    show(f"{role}: {seconds:.0f} s")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_the_examples_made_a_site(site):
    """The scaled service answers through the load balancer, and nothing of the drained host does."""
    await_served(site, Expected(site.host_of(SERVICE), BODY), 60)
    addresses = {address for address, _ in site.passing(SERVICE)}
    assert addresses == {site.nodes["consul-1"].address}, addresses
