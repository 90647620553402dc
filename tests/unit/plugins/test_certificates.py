"""Certificates of hosts: the controller signs what was asked for, whatever a host returns, and finds any other certificate."""

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fewnodes.discovery.plugins.action.signed_certificate import ActionModule
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import certificates
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.certificates import Wanted, differences, name_problems
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.certificates import (
    CLIENT,
    NOW,
    SAN,
    SERVER,
    authority,
    issued,
    name,
    new_key,
    pem,
    private,
    public,
    renewal,
)  # fmt: skip
from tests.support.tasks import walk
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
WANTED = Wanted("h1", tuple(SAN), ("serverAuth",))
HOSTVARS = {"h1": {"discovery_address": "192.0.2.1"}, "h2": {"ansible_host": "192.0.2.2"}, "h3": {}}
# What a hostile host would like to have in a certificate of the true CA, and what names it.
LIES = {
    "clientAuth added": ({"usage": [SERVER, CLIENT]}, "extended key usages"),
    "clientAuth instead": ({"usage": [CLIENT]}, "extended key usages"),
    "any usage": ({"usage": [SERVER, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}, "extended key usages"),
    "CA": ({"is_ca": True}, "basic constraints"),
    "name of another": ({"san": [*SAN, "DNS:server.dc1.consul"]}, "subject alternative names"),
    "address of another": ({"san": [*SAN, "IP:192.0.2.2"]}, "subject alternative names"),
    "name missing": ({"san": SAN[:-1]}, "subject alternative names"),
    "no names": ({"san": []}, "subject alternative names"),
    "subject": ({"subject": "docker-admin"}, "subject is CN=docker-admin"),
    "signs certificates": ({"signing": True}, "key usages"),
    "an extension more": ({"more": [(x509.InhibitAnyPolicy(0), False)]}, "extensions: 2.5.29.54"),
}


@pytest.fixture(scope="module")
def ca():
    return authority()


@pytest.fixture
def site(tmp_path, ca):
    secrets = Secrets(str(tmp_path))
    secrets.create({"ca.key": private(ca[0]).decode()})
    secrets.path("ca.pem").write_text(pem(ca[1]))
    return tmp_path


def act(site, public_key, **other):
    variables = {"inventory_hostname": "h1", "hostvars": HOSTVARS, "discovery_secrets_dir": str(site)}
    loader = DataLoader()
    given = {"common_name": "h1", "san": SAN, "usage": ["serverAuth"], "ca": "ca", "days": 730}
    action = ActionModule(
        task=Mock(args={"public_key": public_key} | given | other, check_mode=False, async_val=0, diff=False),
        connection=Mock(), play_context=SimpleNamespace(check_mode=False, diff=False), loader=loader,
        templar=Templar(loader=loader, variables=variables), shared_loader_obj=Mock(),
    )  # fmt: skip
    action._load_name = "signed_certificate"
    return action.run(task_vars=variables)


def found(key, certificate, ca, wanted=WANTED, **other):
    return differences(pem(certificate), public(key), wanted, pem(ca[1]), **other)


def test_x1_a_certificate_says_what_was_asked_and_nothing_else(site, ca):
    key = new_key()
    result = act(site, public(key))
    certificate = x509.load_pem_x509_certificate(result["certificate"].encode())
    assert result["changed"] and differences(result["certificate"], public(key), WANTED, pem(ca[1])) == []
    assert certificate.subject == name("h1") and certificate.public_key() == key.public_key()
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (constraints.ca, list(usage), len(certificate.extensions)) == (False, [SERVER], 6)
    assert timedelta(729) < certificate.not_valid_after_utc - NOW < timedelta(731)
    assert act(site, public(key), present=result["certificate"]) == {"changed": False, "certificate": result["certificate"]}


@pytest.mark.parametrize("lie, expected", LIES.values(), ids=list(LIES))
def test_x1_an_installed_certificate_that_lies_is_found_and_replaced(site, ca, lie, expected):
    key = new_key()
    lying = issued(ca, key, **{"usage": [SERVER]} | lie)
    (difference,) = found(key, lying, ca)
    assert expected in difference
    result = act(site, public(key), present=pem(lying))
    assert result["changed"] and differences(result["certificate"], public(key), WANTED, pem(ca[1])) == []


def test_w20_a_certificate_with_spare_addresses_stays_and_none_is_signed(site, ca):
    """One of an earlier version, with an address of the host that nobody declared; any other name is still a lie."""
    key, spare = new_key(), ("IP:192.0.2.7", "IP:192.0.2.8", SAN[0])
    wanted = Wanted("h1", tuple(SAN), ("serverAuth",), spare)
    earlier = issued(ca, key, usage=[SERVER], san=[*SAN, "IP:192.0.2.7"])
    assert found(key, earlier, ca, wanted) == []
    assert act(site, public(key), present=pem(earlier), spare_san=list(spare))["certificate"] == pem(earlier)
    for lie in (SAN[1:], [*SAN, "IP:192.0.2.2"], [*SAN, "DNS:server.dc1.consul"]):
        assert found(key, issued(ca, key, usage=[SERVER], san=lie), ca, wanted) == ["other subject alternative names"]
    fresh = act(site, public(key), spare_san=list(spare))["certificate"]
    assert differences(fresh, public(key), WANTED, pem(ca[1])) == []


def request(key) -> str:
    names = x509.SubjectAlternativeName([x509.DNSName("server.dc1.consul")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("docker-admin"))
    builder = builder.add_extension(names, False).add_extension(x509.ExtendedKeyUsage([CLIENT]), False)
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("text", [
    lambda: request(new_key()), lambda: private(new_key()).decode(), lambda: public(rsa.generate_private_key(65537, 2048)),
    lambda: public(ec.generate_private_key(ec.SECP384R1())), lambda: "", lambda: "x",
], ids=["request", "private key", "rsa", "another curve", "nothing", "text"])  # fmt: skip
def test_x1_only_a_public_key_of_the_kind_that_the_role_makes_is_taken(site, text):
    with pytest.raises(AnsibleActionFail, match="certificate of h1 cannot be signed"):
        act(site, text())


@pytest.mark.parametrize("other, owner", [
    ({"san": [*SAN, "DNS:h2"]}, "h2"), ({"san": [*SAN, "IP:192.0.2.2"]}, "h2"), ({"common_name": "h3"}, "h3"),
])  # fmt: skip
def test_x1_names_and_addresses_of_another_host_are_refused(site, other, owner):
    """A host returns its facts, and adds addresses to its interfaces as it likes."""
    with pytest.raises(AnsibleActionFail, match=rf"would be valid for .*which is {owner}: remove"):
        act(site, public(new_key()), **other)


DOMAIN = {"discovery_domain": "hospital.example"}
NAMED = {
    "h1": HOSTVARS["h1"] | DOMAIN,
    "h2": HOSTVARS["h2"] | DOMAIN | {"discovery_datacenter": "dc2", "dockerd_certificate_san": ["DNS:docker2.hospital.example"]},
}


@pytest.mark.parametrize("lie", [
    "DNS:H2", "DNS:h2.", "DNS:h2.node.dc2.consul", "DNS:H2.Node.DC2.Consul.", "DNS:h2.node.consul", "DNS:h2.node",
    "DNS:h2.node.dc2", "DNS:h2.hospital.example", "DNS:192.0.2.2", "IP:::ffff:192.0.2.2", "IP:::FFFF:C000:202",
    "DNS:::ffff:192.0.2.2", "IP:::ffff:192.0.2.2%1", "DNS:Docker2.hospital.example",
])  # fmt: skip
def test_x1_another_spelling_of_a_name_of_another_host_is_refused(lie):
    (problem,) = name_problems([lie], "h1", NAMED)
    assert f"would be valid for {lie}, which is h2: remove" in problem
    assert name_problems([lie], "h2", NAMED) == []


def test_x1_an_address_in_another_spelling_is_not_signed(site):
    with pytest.raises(AnsibleActionFail, match="would be valid for IP:::ffff:192.0.2.2, which is h2"):
        act(site, public(new_key()), san=[*SAN, "IP:::ffff:192.0.2.2"])


@pytest.mark.parametrize("lie", ["DNS:*", "DNS:*.node.dc1.consul", "DNS:*.hospital.example", "DNS:*.consul."])
def test_x1_a_wildcard_is_signed_when_the_inventory_asks_for_it(lie):
    (problem,) = name_problems([lie], "h1", NAMED)
    assert f"would be valid for {lie}, which is no name of one host: remove it from h1" in problem
    asking = NAMED | {"h1": NAMED["h1"] | {"dockerd_certificate_san": [lie]}}
    assert name_problems([lie], "h1", asking) == []


@pytest.mark.parametrize("lie", [
    "DNS:h*", "DNS:a.*.consul", "DNS:h2 ", "DNS:h2\x00.example", "DNS:", "DNS:h2..", "IP:192.0.2.2.",
])  # fmt: skip
def test_x1_what_readers_may_take_for_another_name_is_refused(lie):
    assert name_problems([lie], "h1", NAMED)


def test_a_name_that_several_hosts_ask_for_is_allowed():
    both = {name: NAMED[name] | {"dockerd_certificate_san": ["DNS:docker.hospital.example"]} for name in NAMED}
    assert name_problems(["DNS:docker.hospital.example"], "h1", both) == []


def test_own_names_and_those_of_nobody_are_allowed():
    assert name_problems(["DNS:H1", "DNS:h1.node.dc1.consul", "DNS:server.dc1.consul", "IP:::ffff:192.0.2.1"], "h1", NAMED) == []
    assert name_problems(["DNS:host_1", "DNS:localhost", "IP:127.0.0.1", "IP:2001:db8::1"], "h1", NAMED) == []
    names = ["DNS:h1", "IP:192.0.2.1", "IP:127.0.0.1", "DNS:shop.example"]
    assert name_problems(names, "h1", HOSTVARS) == []


def test_a_controller_in_the_inventory_owns_no_loopback_name():
    """An explicit localhost, as people write it for its variables."""
    site = {**NAMED, "localhost": {"ansible_connection": "local", "discovery_address": "127.0.0.1"}}
    assert name_problems(["DNS:localhost", "IP:127.0.0.1", "IP:::1"], "h1", site) == []


def test_what_is_no_name_is_refused_with_what_to_write():
    (problem,) = name_problems(["email:root@example"], "h1", HOSTVARS)
    assert "email:root@example: write DNS:<name> or IP:<address>" in problem
    assert "IP:x" in name_problems(["IP:x"], "h1", HOSTVARS)[0]


@pytest.mark.parametrize("other, expected", [
    ({"days": 59}, "it ends "), ({"key": new_key()}, "not the certificate of this key"),
    ({"ca": authority()}, "another CA has signed it"),
])  # fmt: skip
def test_another_key_another_ca_and_an_end_that_is_near(ca, other, expected):
    key = new_key()
    signer, used = other.pop("ca", ca), other.pop("key", key)
    problems = found(key, issued(signer, used, usage=[SERVER], **other), ca, renew_before=renewal(60))
    assert any(expected in problem for problem in problems)


def test_a_ca_that_only_has_the_name_of_the_right_one(ca):
    key = new_key()
    own_identifier = ca[1].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    forged = authority(identifier=own_identifier)
    problems = found(key, issued(forged, key, usage=[SERVER], identifier=own_identifier), ca)
    assert problems == ["another CA has signed it"]


def test_near_the_end_of_its_ca_there_is_nothing_to_gain_by_another(tmp_path):
    ca, key = authority(days=30), new_key()
    assert found(key, issued(ca, key, usage=[SERVER], days=30), ca, renew_before=renewal(60)) == []
    assert "it ends" in found(key, issued(ca, key, usage=[SERVER], days=29), ca, renew_before=renewal(60))[0]
    secrets = Secrets(str(tmp_path))
    secrets.create({"ca.key": private(ca[0]).decode()})
    secrets.path("ca.pem").write_text(pem(ca[1]))
    signed = x509.load_pem_x509_certificate(act(tmp_path, public(key))["certificate"].encode())
    assert signed.not_valid_after_utc == ca[1].not_valid_after_utc


@pytest.mark.parametrize("damaged", ["certificate", "key", "issuer"])
def test_what_cannot_be_read_differs(ca, damaged):
    key = new_key()
    parts = {"certificate": pem(issued(ca, key, usage=[SERVER])), "key": public(key), "issuer": pem(ca[1])} | {damaged: ""}
    (problem,) = differences(parts["certificate"], parts["key"], WANTED, parts["issuer"])
    assert "cannot be read" in problem


def test_a_ca_with_the_key_of_another_signs_nothing(site):
    (site / "ca.key").write_bytes(private(new_key()))
    with pytest.raises(AnsibleActionFail, match="key of the CA does not belong"):
        act(site, public(new_key()))


def test_x1_no_task_has_a_request_signed():
    """community.crypto makes the CAs, out of requests of the controller, and no other certificate."""
    signing = [
        (path.name, step["name"])
        for path in sorted([*ROOT.glob("roles/*/tasks/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
        for step, _around in walk(parse_yaml(path.read_text()))
        for module in step
        if isinstance(module, str) and re.search(r"\.(x509_certificate|openssl_csr)(_pipe)?$", module)
    ]
    assert {file for file, _name in signing} == {"ca_create.yml"}


def test_a_controller_without_the_library_is_named(monkeypatch):
    monkeypatch.setattr(certificates, "x509", None)
    with pytest.raises(certificates.CertificateError, match="cryptography"):
        certificates.sign(Wanted("consul-1", (), ()), "", "", "", 1, NOW)
    with pytest.raises(AnsibleFilterError, match="cryptography"):
        FilterModule().filters()["certificate_problems"]("", "", "consul-1", [], [], "")
