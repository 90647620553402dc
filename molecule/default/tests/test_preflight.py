"""Bad input stops the play before anything changes, and says what to set."""

import pytest
import yaml

from plays import play, state_of

# What is wrong, as variables of one host or of all, and what the message must name.
MISTAKES = {
    "domain": ("all", {"discovery_domain": ""}, ["discovery_domain"]),
    "servers": ("all", {"consul_bootstrap_expect": 5}, ["consul_bootstrap_expect is 5", "set it to 3"]),
    "address": ("host", {"discovery_address": "203.0.113.9"}, ["discovery_address", "203.0.113.9", "not on the host"]),
    "no address": ("host", {"discovery_address": "somewhere"}, ["discovery_address", "somewhere"]),
    "gossip key": ("all", {"consul_gossip_key": "c2hvcnQ="}, ["gossip key", "5 bytes long", "32"]),
    "overlay": ("all", {"discovery_overlay": "consul"}, ["dockerd_overlay is 'consul'", "discovery_overlay: none"]),
    "dns method": ("all", {"discovery_dns_method": "dnsmasq"}, ["consul_dns_method is 'dnsmasq'"]),
    "rotate": ("all", {"consul_dns_options": ["rotate"]}, ["consul_dns_options", "rotate"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_input_stops_before_anything_changes(site, mistake, tmp_path):
    where, variables, words = MISTAKES[mistake]
    host = site.servers[0].name
    extra = variables if where == "all" else {"all": {"hosts": {host: variables}}}
    (tmp_path / "mistake.yml").write_text(yaml.safe_dump(extra))
    option = ("-e", f"@{tmp_path}/mistake.yml") if where == "all" else ("-i", tmp_path / "mistake.yml")
    before = state_of(site)
    done, _ = play(site, "site.yml", *option)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert [word for word in [*words, host] if word not in said] == [], said[-3000:]
    assert "changed=0" in said and "changed=1" not in said
    assert state_of(site) == before


def test_a_missing_group_is_named(site, tmp_path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts.yml").write_text(yaml.safe_dump({"docker_hosts": {"hosts": {"lonely": {"ansible_host": "192.0.2.1"}}}}))
    done, _ = play(site, "site.yml", inventory=folder)
    assert done.returncode != 0
    assert "group consul_servers is missing or empty" in " ".join(done.stdout.split())
