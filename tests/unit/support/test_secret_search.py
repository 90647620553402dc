"""The search for secrets at the end of each scenario: what it looks for, and what it lets pass."""

import base64
import json
import subprocess
import sys
import urllib.parse
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.support.secret_search import PROGRAM, belongs, exposed, forms, in_text, misplaced, patterns, values

SECRET = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMDE="


def test_a_key_has_secret_lines_and_a_certificate_none():
    """What is looked for of a key is in no certificate, at whatever place the public key stands there."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = values(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    assert [len(line) for line in found] == [64, 64]
    shown = [base64.b64encode(b"x" * before + public).decode() for before in range(3)]
    assert [line for line in found for text in shown if line in text] == []
    assert values("-----BEGIN CERTIFICATE-----\n" + SECRET) == []
    assert values(SECRET) == [SECRET] and values("*\n") == []


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        f"X-Consul-Token: {SECRET}",
        urllib.parse.quote_plus(SECRET),
        *(
            base64.b64encode(f"{'x' * before}{SECRET}{'y' * after}".encode()).decode()
            for before in range(4)
            for after in range(3)
        ),
    ],
)
def test_every_form_is_found(shown):
    assert in_text(f"some {shown}!", patterns({"gossip_key": [SECRET]})) == ["gossip_key"]


def test_no_form_is_short_or_empty():
    assert min(map(len, forms(str(uuid.uuid4())))) > 30


@pytest.mark.parametrize(
    ("name", "place", "right"),
    [
        ("gossip_key", "/etc/consul.d/consul.json", True),
        ("gossip_key.next", "/var/lib/consul/serf/local.keyring", True),
        ("tokens/agent-a", "/etc/consul.d/tokens.json", True),
        ("tokens/agent-a", "/etc/consul.d/consul.json", False),
        ("management_token", "/var/lib/consul/raft/raft.db", True),
        ("management_token", "/var/backups/consul/dc1-20261129T000000Z.snap", True),
        ("management_token", "the journal", False),
        ("tokens/docker-a", "environment of dockerd", True),
        ("tokens/registrator-a", "environment of python3", False),
        ("docker-ca.key", "/etc/docker/tls/ca.key", False),
        ("ca.key", "/var/lib/consul/ca.key", False),
    ],
)
def test_a_secret_has_its_places(name, place, right):
    assert belongs(name, place) == right


def test_a_place_of_its_own_that_everybody_reads_is_wrong():
    found = {"a": [("gossip_key", "/etc/consul.d/consul.json", True), ("gossip_key", "/etc/consul.d/consul.json", False)]}
    assert misplaced(found) == ["a: gossip_key is in /etc/consul.d/consul.json, which everybody may read"]


def test_files_that_others_may_read_are_exposed(tmp_path):
    tmp_path.chmod(0o700)
    for name, mode in {"ca.pem": 0o644, "key.pem": 0o644, "a.snap": 0o640, "ca.key": 0o600}.items():
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    assert sorted(path.rpartition("/")[2] for path in exposed(tmp_path)) == ["a.snap", "key.pem"]
    tmp_path.chmod(0o755)
    assert str(tmp_path) in exposed(tmp_path)


def test_the_program_of_the_hosts_needs_no_more_than_the_plan():
    """It runs by the Python of Debian 11, from its standard input."""
    program = f"PLAN = {json.dumps({'x' * 40: 'a'})!r}\n{PROGRAM.read_text()}"
    compile(program, "search", "exec")
    checked = subprocess.run([sys.executable, "-c", "import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 9))"],
                             input=program, text=True, capture_output=True, check=False)  # fmt: skip
    assert checked.returncode == 0, checked.stderr
