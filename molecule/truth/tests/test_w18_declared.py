"""W18: services that a file of an agent declares: registered where the inventory lets the host, and else named by the status."""

import json

import pytest
from tests.support.playbook import play
from tests.support.wait import eventually

NAME, OTHER = "test-w18-9993", "test-w18-other"
FILE = "/etc/consul.d/test-w18.json"


@pytest.fixture
def declaring(site, settled):
    """A host whose agent's files declare two services."""
    one = site.servers[-1]
    services = [{"name": name, "port": 4001, "tags": ["tcp"]} for name in (NAME, OTHER)]
    one.feed(f"install -m 0640 -g consul /dev/stdin {FILE}", json.dumps({"services": services}))
    one.run("systemctl reload consul")
    yield one
    one.run(f"rm -f {FILE}; systemctl reload consul")


def page(site) -> str:
    return play(site, "playbooks/status.yml")[0].stdout


def test_w18_a_declared_service_that_may_not_be_registered_is_named(site, declaring):
    eventually(lambda: NAME in site.consul(declaring).get("/v1/agent/services"), 20)
    text = page(site)
    assert f"{declaring.name}: not in the catalog: {NAME} ({NAME}) at port 4001 of the agent's configuration" in text
    assert "consul_declared_services" in text
    assert NAME not in site.consul().get("/v1/catalog/services")


@pytest.mark.more
def test_w18_a_declared_service_is_registered_where_the_inventory_lets_the_host(site, declaring, show):
    """By name; the other one stays out. Files go first, then the right, and with it token, policy and secret."""
    secret = site.secrets / "tokens" / f"declared-{declaring.name}"
    try:
        right = json.dumps({"consul_declared_services": {declaring.name: [NAME]}})
        done, seconds = play(site, "playbooks/consul.yml", "-e", right)
        assert done.returncode == 0, done.stdout
        _, took = eventually(lambda: site.passing(NAME) == {(declaring.address, 4001)}, 120)
        show(f"in the catalog {took:.0f} s after the run, which took {seconds:.0f} s")
        assert OTHER not in site.consul().get("/v1/catalog/services") and secret.exists()
        text = page(site)
        assert f"not in the catalog: {OTHER}" in text and f"not in the catalog: {NAME}" not in text
        declaring.run(f"rm -f {FILE}; systemctl reload consul")
        eventually(lambda: NAME not in site.consul().get("/v1/catalog/services"), 60)
    finally:
        done, _ = play(site, "playbooks/consul.yml")
    assert done.returncode == 0, done.stdout
    assert not secret.exists()
    assert f"declared-{declaring.name}" not in [policy["Name"] for policy in site.consul().get("/v1/acl/policies")]
    assert "config_file_service_registration" not in declaring.run("cat /etc/consul.d/tokens.json")
