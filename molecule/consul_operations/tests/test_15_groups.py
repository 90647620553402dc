"""W14: a host leaves a group of the inventory, and comes back."""

import copy

import pytest
from tests.support.http_load import http_load
from tests.support.playbook import altered_inventory, assert_unchanged, play

OF_BALANCER = (
    "/etc/consul-template /etc/discovery-balancer*.json /var/lib/discovery-balancer /usr/local/lib/discovery-balancer"
    " /usr/local/sbin/discovery-balancer /usr/local/bin/consul-template /etc/systemd/system/consul-template.service"
    " /etc/systemd/system/discovery-balancer.*"
)
OF_REGISTRATOR = (
    "/etc/registrator /etc/registrator-clear /opt/registrator /usr/local/sbin/registrator-*"
    " /etc/systemd/system/registrator-*.service /etc/systemd/system/docker.service.d/20-registrator.conf"
)


def left_on(node, paths: str) -> str:
    return node.run(f"ls -d {paths} 2>/dev/null || true")


def containers(node) -> set[str]:
    return set(node.run("docker ps --format '{{.Names}} {{.ID}}'").splitlines())


def status(site, inventory) -> str:
    done, _ = play(site, "playbooks/status.yml", inventory=inventory)
    return done.stdout.split("TASK [Show the page]")[-1]


@pytest.fixture
def back_in_the_groups(site):
    """After the test the site is as its inventory has it."""
    yield
    done, _ = play(site, "site.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    site.settle()
    assert_unchanged(play(site, "site.yml")[0])


@pytest.mark.more
def test_w14_hosts_that_leave_their_groups_lose_what_these_gave_them(site, settled, tmp_path, show, back_in_the_groups):
    """One balancer and one docker host, in one run: nothing fails at the other balancer, nothing of theirs is left."""
    stays, leaves = site.balancers
    engine = next(node for node in reversed(site.docker_hosts) if node not in site.balancers)

    def without(hosts: dict) -> dict:
        hosts = copy.deepcopy(hosts)
        groups = hosts["all"]["children"]
        del groups["load_balancers"]["hosts"][leaves.name], groups["docker_hosts"]["hosts"][engine.name]
        return hosts

    inventory = altered_inventory(site.inventory, tmp_path / "left", without)
    page = status(site, inventory)
    assert f"{leaves.name} still runs a load balancer" in page and f"{engine.name} still runs a registrator" in page
    running = containers(engine)
    with http_load(site, site.front, tmp_path, every=0.05) as load:
        done, seconds = play(site, "site.yml", inventory=inventory)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    at_other = [one for one in load.samples if one.address == stays.address]
    show(f"left in {seconds:.0f} s; {len(at_other)} requests at the other balancer")
    assert len(at_other) > 100 and [str(one) for one in at_other if not one.ok] == []

    assert left_on(leaves, OF_BALANCER) == "" and left_on(engine, OF_REGISTRATOR) == ""
    assert leaves.unit(site.balancer, "ActiveState", "UnitFileState") == ["inactive", "disabled"]
    assert containers(engine) == {one for one in running if not one.startswith("registrator ")}, "users' containers run on"
    api = site.consul()
    entries = api.get(f"/v1/catalog/node-services/{engine.name}")["Services"]
    assert [one["Service"] for one in entries] == ["consul"]
    gone = {f"consul_template on {leaves.name}"} | {f"{name} on {engine.name}" for name in ("registrator", "registrator_clear")}
    assert gone & {token["Description"] for token in api.get("/v1/acl/tokens")} == set()
    assert [name for name in gone if (site.secrets / "tokens" / name.replace(" on ", "-")).exists()] == []
    assert f"discovery/balancer/{leaves.name}" not in api.get("/v1/kv/discovery/balancer/?keys")
    page = status(site, inventory)
    assert "nothing wrong" in page, page
    assert "reset_scope=docker" in page, "dockerd has the site's settings still"
    assert_unchanged(play(site, "site.yml", inventory=inventory)[0])


def test_w14_nothing_is_removed_when_a_group_is_empty(site, settled, tmp_path):
    """The name of the group is misspelt."""

    def misspelt(hosts: dict) -> dict:
        hosts = copy.deepcopy(hosts)
        groups = hosts["all"]["children"]
        groups["loadbalancers"] = groups.pop("load_balancers")
        return hosts

    inventory = altered_inventory(site.inventory, tmp_path / "misspelt", misspelt)
    done, _ = play(site, "playbooks/leave_groups.yml", inventory=inventory)
    output = " ".join(done.stdout.split())
    assert done.returncode != 0 and "no host is in the group load_balancers" in output and "leave_last=true" in output
    assert "changed=1" not in output
    for balancer in site.balancers:
        assert balancer.unit(site.balancer, "ActiveState") == ["active"]
