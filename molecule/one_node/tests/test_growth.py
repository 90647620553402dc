"""D5: the one host gets another one, and a third, under load. The last tests: the site is another one then."""

import base64
import json

import pytest
from tests.support.operation_load import LoadBounds, operation_load
from tests.support.playbook import altered_inventory, assert_unchanged, play
from tests.support.site import Site

SUITES = ("bookworm", "trixie")  # of the hosts that come
KEYS = {f"growth/{number}": f"value {number}" for number in range(200)}
GAP = 10.0  # seconds: with one server nobody else takes a write while its agent restarts


@pytest.fixture
def grown(site, tmp_path):
    """The inventory with the first 2 or 3 hosts: grown(2). Each is a server and a docker host, the first two balance."""
    added = {f"server-{n}": {"ansible_host": site.external_host(suite).address} for n, suite in enumerate(SUITES, start=2)}

    def grown(count: int):
        names = list(added)[: count - 1]

        def more(hosts: dict) -> dict:
            groups = hosts["all"]["children"]
            groups["consul_servers"]["hosts"] |= {name: added[name] for name in names}
            groups["docker_hosts"]["hosts"] |= dict.fromkeys(names)
            groups["load_balancers"]["hosts"] |= {"server-2": None}
            return hosts

        return altered_inventory(site.inventory, tmp_path / f"of-{count}", more)

    return grown


def all_there(site: Site) -> None:
    """Every host votes, has every key, and serves."""
    done, _ = play(site, "playbooks/sample_services.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    site.settle(180)
    assert [server["Voter"] for server in site.consul().health()["Servers"]] == [True] * len(site.servers)
    for server in site.servers:
        kept = {one["Key"]: base64.b64decode(one["Value"]) for one in site.consul(server).get("/v1/kv/growth/?recurse&stale")}
        assert {key: json.loads(value) for key, value in kept.items()} == KEYS, server.name


@pytest.mark.parametrize(("count", "options"), [(2, {"consul_allow_even_servers": True}), (3, {})])
def test_d5_the_site_grows_under_load(site, grown, count, options, tmp_path, show):
    """From one host to two, and from two to three: no request fails, and every key is there."""
    before, after = Site(grown(count - 1)) if count > 2 else site, grown(count)
    for key, value in KEYS.items():
        before.consul().put(f"/v1/kv/{key}", value)
    with operation_load(before, tmp_path) as load, LoadBounds(load, show).within(f"from {count - 1} to {count} hosts", GAP, 1):
        done, _ = play(before, "site.yml", "-e", json.dumps(options), inventory=after)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    all_there(Site(after))
    done, _ = play(before, "site.yml", "-e", json.dumps(options), inventory=after)
    assert_unchanged(done)
