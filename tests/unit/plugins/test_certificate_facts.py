"""certificate_facts: what of a host's key and certificate is not as the site wants it."""

import datetime
import grp
import ipaddress
import os
import pwd

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import certificate_facts
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
SAN = ["DNS:h1", "DNS:localhost", "IP:192.0.2.1", "IP:::1"]
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def private(key) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def built(subject: str, issuer: str, key, signer, days: int, extensions) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(1))
    builder = builder.not_valid_after(NOW + datetime.timedelta(days))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hashes.SHA256())


def authority(days: int = 3650):
    key = new_key()
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return key, built("site CA", "site CA", key, key, days, [(own, False), (x509.BasicConstraints(True, 0), True)])


def issued(ca, key, subject="h1", san=SAN, usage=(SERVER, CLIENT), days=730, is_ca=False, signing=False):
    signer, certificate = ca
    names = [
        x509.DNSName(one[4:]) if one.startswith("DNS:") else x509.IPAddress(ipaddress.ip_address(one[3:])) for one in san
    ]  # fmt: skip
    extensions = [
        (x509.SubjectAlternativeName(names), False),
        (x509.ExtendedKeyUsage(usage), False),
        (x509.KeyUsage(True, False, False, False, False, signing, False, False, False), True),
        (x509.BasicConstraints(is_ca, None), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
    return built(subject, certificate.subject.rfc4514_string()[3:], key, signer, days, extensions)


def renewal(days: int) -> str:
    return (NOW + datetime.timedelta(days)).strftime("%Y%m%d%H%M%SZ")


class Host:
    """A directory as the role makes it, but for its owner: whoever runs this."""

    def __init__(self, folder, ca):
        self.folder, self.ca, self.key = folder, ca, new_key()
        folder.chmod(0o755)
        self.wanted = {
            "directory": str(folder), "name": "agent", "owner": USER, "group": GROUP, "common_name": "h1", "san": SAN[::-1],
            "usage": ["clientAuth", "serverAuth"], "issuer": pem(ca[1]), "trusted": pem(ca[1]), "renew_before": renewal(60),
        }  # fmt: skip
        self.write("agent.key", private(self.key).decode(), 0o400)
        self.write("ca.pem", pem(ca[1]), 0o444)
        self.certify()

    def write(self, file: str, text: str, mode: int) -> None:
        path = self.folder / file
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def certify(self, **other) -> None:
        self.write("agent.pem", pem(issued(other.pop("ca", self.ca), other.pop("key", self.key), **other)), 0o444)

    def differs(self, **other) -> list[str]:
        return list(certificate_facts.differences(self.wanted | other))


@pytest.fixture
def host(tmp_path, monkeypatch):
    look = certificate_facts._file
    monkeypatch.setattr(certificate_facts, "_file", lambda path, mode, _owner, _group: look(path, mode, USER, GROUP))
    return Host(tmp_path, authority())


def test_what_the_role_makes_is_good(host):
    assert host.differs() == []
    assert certificate_facts.present(str(host.folder / "agent.pem")) == (host.folder / "agent.pem").read_text()


@pytest.mark.parametrize(
    "other, expected",
    [
        ({"subject": "h2"}, "subject is CN=h2"), ({"san": SAN[:-1]}, "alternative names"),
        ({"san": [*SAN, "DNS:x"]}, "alternative names"),
        ({"usage": [SERVER]}, "extended key usages"), ({"days": 59}, "it ends "), ({"is_ca": True}, "it is a CA"),
        ({"signing": True}, "other key usages"), ({"key": new_key()}, "not the certificate of this key"),
        ({"ca": authority()}, "another CA has signed it"),
    ],
)  # fmt: skip
def test_another_certificate(host, other, expected):
    host.certify(**other)
    (difference,) = host.differs()
    assert expected in difference and "agent.pem" in difference


def test_near_the_end_of_its_ca_there_is_nothing_to_gain_by_another(tmp_path, host):
    ca = authority(days=30)
    near = Host(tmp_path, ca)
    near.certify(days=30)
    assert near.differs() == []
    near.certify(days=29)
    assert "it ends" in near.differs()[0]


def test_a_key_of_another_kind(host):
    key = rsa.generate_private_key(65537, 2048)
    host.write("agent.key", private(key).decode(), 0o400)
    host.certify(key=key)
    assert "cannot be read" in host.differs()[0]


@pytest.mark.parametrize("file", ["agent.key", "agent.pem", "ca.pem"])
def test_files_that_are_missing_damaged_or_open(host, file):
    path = host.folder / file
    path.chmod(0o644)
    assert any(f"{file} is -rw-r--r--" in difference for difference in host.differs())
    path.write_text("no PEM")
    assert len(host.differs()) > 1
    path.unlink()
    assert any(file in difference and "No such file" in difference for difference in host.differs())


def test_a_text_around_the_certificate(host):
    whole = (host.folder / "agent.pem").read_text()
    host.write("agent.pem", whole + "\n", 0o444)
    assert host.differs() == [f"{host.folder}/agent.pem is no certificate, or more than one"]
    assert certificate_facts.present(str(host.folder / "agent.pem")) == whole
    host.write("agent.pem", whole + whole, 0o444)
    assert len(host.differs()) == 1


def test_an_open_directory_another_bundle_and_no_library(host, monkeypatch):
    host.folder.chmod(0o1755)
    assert ["is drwxr-xr-t" in difference for difference in host.differs()] == [True]
    host.folder.chmod(0o755)
    assert host.differs(trusted="") == [f"{host.folder}/ca.pem is another"]
    assert host.differs(issuer="") != []
    monkeypatch.setattr(certificate_facts, "x509", None)
    assert "python3-cryptography" in host.differs()[0]


def test_owners(tmp_path):
    host = Host(tmp_path, authority())
    differences = host.differs(owner="nobody", group="nogroup")
    assert any("agent.key is -r--------" in difference and "nobody:nogroup" in difference for difference in differences)
