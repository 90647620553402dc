"""T2: where the certificates of virtual hosts come from, and which names the site's CA signs for no balancer."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fewnodes.discovery.plugins.action.signed_certificate import ActionModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.balancer_certificates import (
    DIRECTORY,
    certificates,
    signed_name_problems,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.status_needs import certificate_problem
from cryptography import x509
from tests.support.certificates import SERVER, authority, new_key, pem, private, public
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
DOMAIN = "hospital.example"
FILES = {"names": ["a.example"], "certificate": "/c.pem", "key": "/k.pem"}
SIGNED = {"names": ["portal.example.org", "www.example.org"], "from": "site_ca"}
WILD = {"names": [f"*.{DOMAIN}"]}
HOSTVARS = {
    "lb-1": {"discovery_address": "192.0.2.1", "discovery_domain": DOMAIN},
    "lb-2": {"discovery_address": "192.0.2.2", "discovery_domain": DOMAIN},
}


def placed(one, stem):
    return {"names": one["names"], "certificate": f"{DIRECTORY}/{stem}.pem", "key": f"{DIRECTORY}/{stem}.key"}


@pytest.mark.parametrize(
    ("given", "default", "expected"),
    [
        ([], "files", []), ([FILES], "files", [FILES]), ([], "site_ca", [placed(WILD, f"_.{DOMAIN}")]),
        ([FILES, SIGNED], "files", [FILES, placed(SIGNED, "portal.example.org")]),
        ([FILES], "site_ca", [FILES, placed(WILD, f"_.{DOMAIN}")]),
        ([{"names": SIGNED["names"]}, WILD], "site_ca", [placed(SIGNED, "portal.example.org"), placed(WILD, f"_.{DOMAIN}")]),
        ([WILD | FILES | WILD], "site_ca", [FILES | WILD]),
    ],
)  # fmt: skip
def test_t2_each_certificate_has_its_source(given, default, expected):
    assert certificates(given, default, DOMAIN) == expected


def test_t2_those_of_one_source():
    assert certificates([FILES, SIGNED], "site_ca", DOMAIN, "files") == [FILES]
    assert [one["names"] for one in certificates([FILES, SIGNED], "site_ca", DOMAIN, "site_ca")] == [
        SIGNED["names"],
        WILD["names"],
    ]


def test_t2_names_of_virtual_hosts_are_signed():
    assert signed_name_problems("lb-1", [f"*.{DOMAIN}", "portal.example.org", f"shop.{DOMAIN}", f"lb-1.{DOMAIN}"], HOSTVARS) == []


@pytest.mark.parametrize("name", ["server.dc1.consul", "*.dc1.consul", "web.service.dc1.consul", "*.node.consul"])
def test_t2_no_balancer_becomes_an_agent_of_consul(name):
    """The CA is that of Consul's agents: a server proves itself by server.<datacenter>.<domain>."""
    (problem,) = signed_name_problems("lb-1", [name], HOSTVARS)
    assert f"balancer_certificates has the name {name} on lb-1" in problem and "leave it out" in problem


def test_t2_the_datacenter_and_the_domain_are_the_sites():
    own = {"lb-1": HOSTVARS["lb-1"] | {"discovery_datacenter": "north", "consul_domain": DOMAIN}}
    assert "below those of Consul" in signed_name_problems("lb-1", [f"*.north.{DOMAIN}"], own)[0]
    assert signed_name_problems("lb-1", [f"*.{DOMAIN}"], own) == []


def test_t2_the_name_of_another_host_is_refused():
    (problem,) = signed_name_problems("lb-1", [f"lb-2.{DOMAIN}"], HOSTVARS)
    assert f"would be valid for DNS:lb-2.{DOMAIN}, which is lb-2" in problem and "balancer_certificates" in problem


def signed(tmp_path, ca, **given):
    """What the action signs for lb-1."""
    secrets = Secrets(str(tmp_path))
    secrets.create({"ca.key": private(ca[0]).decode()})
    secrets.path("ca.pem").write_text(pem(ca[1]))
    variables = {"inventory_hostname": "lb-1", "hostvars": HOSTVARS, "discovery_secrets_dir": str(tmp_path)}
    loader = DataLoader()
    arguments = {"public_key": public(new_key()), "common_name": "lb-1", "usage": ["serverAuth"], "ca": "ca", "days": 730}
    action = ActionModule(
        task=Mock(args=arguments | given, check_mode=False, async_val=0, diff=False),
        connection=Mock(), play_context=SimpleNamespace(check_mode=False, diff=False), loader=loader,
        templar=Templar(loader=loader, variables=variables), shared_loader_obj=Mock(),
    )  # fmt: skip
    action._load_name = "signed_certificate"
    return action.run(task_vars=variables)


def test_t2_a_wildcard_is_signed_for_servers_only_and_as_long_as_browsers_take_it(tmp_path):
    """Apple's limit for certificates of a CA that a user has added: 825 days."""
    names = [f"DNS:*.{DOMAIN}", "DNS:portal.example.org"]
    found = signed(tmp_path, authority(), san=names, wildcards=names)
    certificate = x509.load_pem_x509_certificate(found["certificate"].encode())
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [SERVER]
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days <= 825


@pytest.mark.parametrize("wildcards", [[], ["DNS:*.example.org"], ["*", "DNS:"]])
def test_t2_a_wildcard_that_no_setting_asks_for_is_refused(tmp_path, wildcards):
    with pytest.raises(AnsibleActionFail, match="which is no name of one host"):
        signed(tmp_path, authority(), san=[f"DNS:*.{DOMAIN}"], wildcards=wildcards)


def test_t2_the_status_says_what_renews_it():
    dates = {"begin": 0, "end": 730 * 86400}
    assert "run site.yml" in certificate_problem(f"{DIRECTORY}/portal.example.org.pem", dates, 725 * 86400)
    assert "put it into its place" in certificate_problem("/etc/ssl/chain.pem", dates, 725 * 86400)


def test_t2_they_are_rotated_with_those_of_consul():
    """By the play after that of the agents, which has promoted the CA; forced, so that keys are new as well."""
    plays = parse_yaml((ROOT / "playbooks/rotate_certificates.yml").read_text())
    hosts = [play["hosts"] for play in plays]
    assert hosts[-2:] == ["consul_servers:consul_clients", "load_balancers"]
    (task,) = plays[-1]["tasks"]
    assert task["ansible.builtin.include_role"] == {"name": "balancer", "tasks_from": "rotate_certificates"}
    (block,) = parse_yaml((ROOT / "roles/balancer/tasks/rotate_certificates.yml").read_text())
    assert block["block"][0]["vars"] == {"common_certificate_force": True}
