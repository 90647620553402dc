"""T1: what is ordered by ACME and when, the thumbprint of the account, what preflight refuses, what the status says."""

import base64
import re
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.site_answer import fitted
from ansible_collections.fewnodes.discovery.plugins.modules import site_facts
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.balancer import balancer_problems
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.balancer_certificates import (
    ORDERED,
    acme_slot,
    certificates,
    thumbprint,
    thumbprint_of,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.certificates import CertificateError
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.status_needs import certificate_problem
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.certificates import new_key, private
from tests.unit.plugins.test_balancer_problems import CERTIFICATE, GOOD
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
DAY = 86400
NAMES = {"names": ["portal.hospital.example", "www.hospital.example"]}
PLACED = NAMES | {"certificate": f"{ORDERED}/portal.hospital.example.pem", "key": f"{ORDERED}/portal.hospital.example.key"}
ACME = {**GOOD, "balancer_certificates": [{**NAMES, "from": "acme"}]}


def test_t1_entries_from_acme_have_a_directory_of_their_own():
    assert certificates([{**NAMES, "from": "acme"}], "files", "hospital.example") == [PLACED]
    assert certificates([NAMES], "acme", "hospital.example") == [PLACED]
    assert certificates([], "acme", "hospital.example") == [], "a name that nobody has named is ordered"
    assert certificates([NAMES, CERTIFICATE], "acme", "hospital.example", "acme") == [PLACED]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 60])
def test_t1_no_two_load_balancers_look_at_the_same_time(count):
    hosts = [f"lb-{number}" for number in range(count)]
    slots = [acme_slot(host, reversed(hosts)) for host in sorted(hosts)]
    for one, after in zip(slots, slots[1:], strict=False):
        assert one["minute"] * 60 + one["delay"] < after["minute"] * 60
    assert slots[0]["minute"] == 0 and slots[-1]["minute"] * 60 + slots[-1]["delay"] < 3600
    assert acme_slot("lb-0", []) == {"minute": 0, "delay": 1800}


def test_t1_the_thumbprint_is_that_of_rfc_7638():
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ"
        "_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOp"
        "bISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    number = int.from_bytes(base64.urlsafe_b64decode(n + "=" * (-len(n) % 4)), "big")
    assert thumbprint_of(number, 65537) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_t1_the_thumbprint_of_a_key():
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    assert thumbprint(private(key).decode()) == thumbprint_of(numbers.n, numbers.e)
    assert re.fullmatch("[A-Za-z0-9_-]{43}", thumbprint(private(key).decode())) and thumbprint("") == ""


@pytest.mark.parametrize("key", ["none of it", private(new_key()).decode()], ids=["text", "no RSA"])
def test_t1_another_key_is_refused_without_a_word_of_it(key):
    with pytest.raises(CertificateError, match="no RSA key") as raised:
        thumbprint(key)
    assert key.splitlines()[-1] not in str(raised.value)


def problems(**changes):
    return balancer_problems("lb-1", {**ACME, **changes}, ["nginx", "haproxy"])


def test_t1_nothing_is_wrong_with_certificates_from_acme(tmp_path):
    (tmp_path / "ca.pem").touch()
    good = {"balancer_acme_directory": "https://ca.hospital.example:8443/acme/acme/directory"}
    good |= {"balancer_acme_ca": str(tmp_path / "ca.pem"), "balancer_acme_email": "certificates@hospital.example"}
    assert problems() == problems(**good) == []
    assert problems(balancer_certificates=[NAMES], balancer_certificates_from="acme") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balancer_certificates": [], "balancer_certificates_from": "acme"}, "no certificate has names"),
        ({"balancer_certificates": [{"names": ["*.a.example"], "from": "acme"}]}, "a CA verifies no such name by HTTP"),
        ({"balancer_certificates": [{**NAMES, "from": "acme", "key": "/k"}]}, "from is acme: leave it out"),
        ({"balancer_acme_directory": "http://ca.example/dir"}, "begins with https://"),
        ({"balancer_acme_directory": 'https://ca.example/"; id #'}, "begins with https://"),
        ({"balancer_acme_directory": "https://ca.example/$(id)"}, "begins with https://"),
        ({"balancer_acme_ca": "/nowhere/ca.pem"}, "the controller has no such file"),
        ({"balancer_acme_email": 'a@b.example"'}, "set it to an address"),
        ({"balancer_acme_thumbprint": "a" * 43}, "whose account is the site's own"),
        ({"balancer_http_port": "8080"}, "a CA asks at port 80"),
        ({"balancer_tls_port": 0}, "need a port, such as 443"),
    ],
)
def test_t1_a_mistake_has_one_message(changes, message):
    (problem,) = problems(**changes)
    assert message in problem and " on lb-1: " in problem


@pytest.mark.parametrize("change", [{"balancer_acme_directory": "x"}, {"balancer_acme_ca": "/x"}, {"balancer_http_port": 8080}])
def test_t1_without_names_from_acme_its_settings_do_not_matter(change):
    assert balancer_problems("lb-1", {**GOOD, **change}, ["nginx"]) == []


def test_t1_the_status_says_why_there_is_none():
    path, dates = PLACED["certificate"], {"begin": 0, "end": 90 * DAY}
    assert certificate_problem(path, dates, 60 * DAY) == ""
    problem = certificate_problem(path, dates | {"problem": "ERROR: curl returned with 7"}, 62 * DAY)
    assert "ends in 28 d" in problem and "the last order failed (ERROR: curl returned with 7)" in problem
    problem = certificate_problem(path, dates | {"problem": "ERROR: x"}, 92 * DAY)
    assert "has ended 2 d ago" in problem and "ERROR: x" in problem and "journalctl -u discovery-acme" in problem
    assert "no order has ended of late" in certificate_problem(path, dates, 80 * DAY)


def test_t1_a_host_reports_the_last_failure(tmp_path, monkeypatch):
    options, status = tmp_path / "options.json", tmp_path / "status.json"
    options.write_text('{"certificates": [{"certificate": "/a.pem"}, {"certificate": "/b.pem"}, {"certificate": "/c.pem"}]}')
    monkeypatch.setattr(site_facts, "BALANCER_OPTIONS", str(options))
    monkeypatch.setattr(site_facts, "ACME_STATUS", str(status))
    monkeypatch.setattr(site_facts, "first_validity", lambda path: None if path == "/c.pem" else {"begin": 1, "end": 2})
    plain = {"/a.pem": {"begin": 1, "end": 2}, "/b.pem": {"begin": 1, "end": 2}, "/c.pem": None}
    assert site_facts.client_certificates() == plain
    status.write_text('{"failed": {"/b.pem": {"reason": "away", "since": 1}, "/c.pem": {"reason": "away"}, "/a.pem": 5}}')
    expected = plain | {"/b.pem": {"begin": 1, "end": 2, "problem": "away"}}
    assert site_facts.client_certificates() == expected == fitted("client_certificates", expected)


def test_t1_leaving_removes_all_that_the_role_writes():
    """By the run in which no name is from acme any more, and with the load balancer."""
    variables = parse_yaml((ROOT / "roles/balancer/vars/main.yml").read_text())
    removed = [*variables["__balancer_acme_paths"], "/var/lib/discovery-acme"]
    removed += [f"/etc/systemd/system/{unit}" for unit in variables["__balancer_acme_units"]]
    text = (ROOT / "roles/balancer/tasks/acme.yml").read_text()
    written = re.findall(r"(?:path|common_program_dest): (/[^\s,}]+)", text)
    assert len(written) > 8
    assert [path for path in written if not any(f"{path}/".startswith(f"{gone}/") for gone in removed)] == []
    for file in ("leave", "remove"):
        assert "tasks: acme_leave.yml" in (ROOT / f"roles/balancer/tasks/{file}.yml").read_text()
    assert "balancer_part acme" in REPORT


def test_t1_a_removed_host_orders_nothing():
    """Its account is shredded, so each order would fail, every hour."""
    removed = parse_yaml((ROOT / "roles/balancer/tasks/stop.yml").read_text())[0]["fewnodes.discovery.removed"]
    units = parse_yaml((ROOT / "roles/balancer/vars/main.yml").read_text())["__balancer_acme_units"]
    assert set(units) < set(removed["units"])
