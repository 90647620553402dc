"""Invalid input is rejected before any change, with a message that names the setting."""

import functools
import ipaddress

import pytest
import yaml
from tests.support.balancer import BACKENDS
from tests.support.playbook import assert_refused, play, refused, state_of
from tests.support.wait import side_by_side

KNOWN = f"a known backend: {', '.join(sorted(BACKENDS))}"
SWARM, LIVE_RESTORE = {"discovery_overlay": "swarm"}, {"dockerd_extra_config": {"live-restore": True}}
# What is wrong, as variables of one host or of all, and what the message must name.
MISTAKES = {
    "domain": ("all", {"discovery_domain": ""}, ["discovery_domain"]),
    "servers": ("all", {"consul_bootstrap_expect": 5}, ["consul_bootstrap_expect is 5", "set it to 3"]),
    "address": ("host", {"discovery_address": "203.0.113.9"}, ["discovery_address", "203.0.113.9", "not on the host"]),
    "no address": ("host", {"discovery_address": "somewhere"}, ["discovery_address", "somewhere"]),
    "gossip key": ("all", {"consul_gossip_key": "c2hvcnQ="}, ["gossip key", "5 bytes long", "32"]),
    "node name": ("host", {"consul_extra_config": {"node_name": "twin"}}, ["consul_extra_config", "node_name to 'twin'"]),
    "no version": ("all", {"consul_version": "latest"}, ["consul_version", "'latest'", "such as 1.22.7"]),
    "downgrade": ("all", {"consul_version": "1.16.0"}, ["consul_version", "1.16.0", "this host runs", "backup"]),
    "disk": ("host", {"consul_min_free_disk_mb": 10**9}, ["consul_min_free_disk_mb is 1000000000", "MB free under"]),
    "overlay": ("all", {"discovery_overlay": "consul"}, ["dockerd_overlay is 'consul'", "discovery_overlay: none"]),
    "deployment": ("all", {"discovery_balancer_deployment": "overlay"}, ["balancer_deployment is", "with discovery_overlay"]),
    "backend": ("all", {"discovery_balancer": "other"}, ["balancer_backend is 'other'", KNOWN]),
    "dns method": ("all", {"discovery_dns_method": "bind9"}, ["discovery_dns_method is 'bind9'", "auto, resolvconf"]),
    "rotate": ("all", {"consul_dns_options": ["rotate"]}, ["consul_dns_options", "rotate"]),
}
# The same for an overlay network that a site wants.
OF_THE_OVERLAY = {
    "network": ("all", SWARM | {"discovery_overlay_network": "ingress"}, ["overlay_network is 'ingress'", "none of bridge"]),
    "subnet": ("all", SWARM | {"discovery_overlay_subnet": "10.99.0.1/16"}, ["subnet is '10.99.0.1/16'", "such as 10.90.0.0/16"]),
    "live-restore": ("all", SWARM | LIVE_RESTORE, ["live-restore on", "discovery_overlay: none"]),
    "taken": ("all", SWARM | {"discovery_overlay_subnet": "{own_network}"}, ["overlaps {own_network} on host", "a route"]),
}
# Mistakes that the preflight of one role reports all at once, so that one run shows them.
OF_A_BALANCER = ("deployment", "backend")
TOGETHER = [("servers", "gossip key", "node name"), OF_A_BALANCER, ("network", "subnet")]


def host_of(site, mistake: str) -> str:
    """The host that is checked. The last server has the newest Debian where releases differ: no cluster store of dockerd's."""
    return (site.balancers[0] if mistake in OF_A_BALANCER else site.servers[-1]).name


def filled(given, values: dict[str, str]):
    """Variables or words with the places of the site's own values filled in."""
    if isinstance(given, dict):
        return {name: filled(value, values) for name, value in given.items()}
    if isinstance(given, list):
        return [filled(one, values) for one in given]
    return given.format(**values) if isinstance(given, str) else given


@pytest.fixture(scope="module")
def values(site) -> dict[str, str]:
    """What the mistakes need to know of the site."""
    return {"own_network": str(ipaddress.ip_network(f"{site.servers[-1].address}/24", strict=False))}


@pytest.fixture(scope="module")
def runs(site, values, tmp_path_factory):
    """The run with each mistake, by its name, and whether all of them left the site as it was.

    Of the one host that the message is about. Three at a time: none of them may change anything, so none can disturb another one,
    and each waits for its host half of its time.
    """
    folder, every = tmp_path_factory.mktemp("mistakes"), MISTAKES | OF_THE_OVERLAY
    alone = [(name,) for name in every if not any(name in group for group in TOGETHER)]

    def run(names: tuple[str, ...]):
        options, host = [], host_of(site, names[0])
        for name in names:
            where, variables, _ = every[name]
            path, variables = folder / f"{name.replace(' ', '_')}.yml", filled(variables, values)
            path.write_text(yaml.safe_dump(variables if where == "all" else {"all": {"hosts": {host: variables}}}))
            options += ("-e", f"@{path}") if where == "all" else ("-i", path)
        return play(site, "playbooks/preflight.yml", "--limit", host, *options)[0]

    before, groups = state_of(site), [*TOGETHER, *alone]
    done = side_by_side((functools.partial(run, names) for names in groups), at_once=3)
    return {name: one for names, one in zip(groups, done, strict=True) for name in names}, state_of(site) == before


def assert_rejected(site, runs, mistake: str, words: list[str]) -> None:
    done, unchanged = runs
    assert_refused(done[mistake], [*words, host_of(site, mistake)])
    assert unchanged


@pytest.mark.parametrize("mistake", MISTAKES)
def test_invalid_input_is_rejected_before_any_change(site, runs, mistake):
    assert_rejected(site, runs, mistake, MISTAKES[mistake][2])


@pytest.mark.parametrize("mistake", OF_THE_OVERLAY)
def test_s9_an_overlay_that_cannot_work_is_rejected_before_any_change(site, runs, values, mistake):
    assert_rejected(site, runs, mistake, filled(OF_THE_OVERLAY[mistake][2], values))


def test_a_name_of_another_machine_in_the_cluster_is_rejected(site, tmp_path):
    """The addresses of two hosts are swapped, so each would take the other's name. In runs of the site and of one host."""
    one, other = site.servers[:2]
    swapped = {one.name: {"ansible_host": other.address}, other.name: {"ansible_host": one.address}}
    (tmp_path / "swapped.yml").write_text(yaml.safe_dump({"all": {"hosts": swapped}}))
    words = [f"the name of host {one.name} is taken", f"address {one.address} is alive", "set ansible_host"]
    swapped_hosts = ("-i", tmp_path / "swapped.yml")
    limits = [], ["--limit", one.name]
    side_by_side(functools.partial(refused, site, words, *swapped_hosts, *limit) for limit in limits)


@pytest.fixture
def fast_clock(site):
    """A server whose clock is 9 s ahead. All nodes have the clock of one kernel, so it is only its `date` that is."""
    node = site.servers[1]
    node.run("printf '%s\\n' '#!/bin/sh' 'exec /usr/bin/date -d +9seconds \"$@\"' >/usr/local/bin/date")
    node.run("chmod 755 /usr/local/bin/date")
    yield node
    node.run("rm /usr/local/bin/date")


def test_clocks_that_differ_are_rejected(site, fast_clock):
    """Measured on nodes that share a kernel's clock: the program `date` of one is a shim."""
    words = [f"the clock of host {fast_clock.name} is ", " s (±", "ahead of", "consul_max_clock_skew is 5 s"]
    refused(site, [*words, "time synchronisation"])


def test_a_missing_group_is_named(site, tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(yaml.safe_dump({"docker_hosts": {"hosts": {"lonely": {"ansible_host": "192.0.2.1"}}}}))
    done, _ = play(site, "site.yml", inventory=folder)
    assert done.returncode != 0
    assert "group consul_servers is missing or empty" in " ".join(done.stdout.split())
