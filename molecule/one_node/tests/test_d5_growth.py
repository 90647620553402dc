"""D5: the one host gets two more, and the site has three servers, under load. Runs after D4: the site is another one then."""

import pytest
from tests.support.clients import FRONT_BODY, http_get
from tests.support.operation_load import LoadBounds, operation_load
from tests.support.playbook import altered_inventory, assert_unchanged, play
from tests.support.site import Site
from tests.support.wait import eventually

SUITES = ("bookworm", "trixie")  # of the hosts that come
KEYS = {f"growth/{number}": f"value {number}" for number in range(200)}
GAP = 10.0  # seconds: with one server nobody else takes a write while its agent restarts


@pytest.fixture
def grown_inventory(site, tmp_path):
    """The site's inventory with two hosts more: servers and docker hosts, one of them a load balancer."""
    added = {}
    for number, suite in enumerate(SUITES, start=2):
        node = site.external_host(suite)
        added[f"server-{number}"] = {"ansible_host": node.address}

    def more(hosts: dict) -> dict:
        groups = hosts["all"]["children"]
        groups["consul_servers"]["hosts"] |= added
        groups["docker_hosts"]["hosts"] |= dict.fromkeys(added, None)
        groups["load_balancers"]["hosts"] |= {"server-2": None}
        return hosts

    return altered_inventory(site.inventory, tmp_path / "grown", more)


def test_d5_one_host_becomes_three_under_load(site, settled, grown_inventory, tmp_path, show):
    """No request fails, every key is there, and the three vote."""
    for key, value in KEYS.items():
        site.consul().put(f"/v1/kv/{key}", value)
    with operation_load(site, tmp_path) as load, LoadBounds(load, show).within("from one host to three", GAP, 1):
        done, seconds = play(site, "site.yml", inventory=grown_inventory)
        show(f"from one host to three: {seconds:.0f} s")
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    grown = Site(grown_inventory)
    assert len(grown.servers) == 3
    done, _ = play(grown, "playbooks/sample_services.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    grown.settle(180)
    health = grown.consul().health()
    assert [server["Voter"] for server in health["Servers"]] == [True] * 3, health
    for server in grown.servers:
        kept = {one["Key"] for one in grown.consul(server).get("/v1/kv/growth?recurse&stale")}
        assert kept == set(KEYS), server.name
    for balancer in grown.balancers:
        eventually(lambda b=balancer: http_get(b.address, grown.host_of("httpfront")).body == FRONT_BODY, 30)
    done, _ = play(grown, "site.yml")
    assert_unchanged(done)
