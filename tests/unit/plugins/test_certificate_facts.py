"""certificate_facts: what a host has in its directory of key and certificate, and which of these files are not as wanted."""

import grp
import os
import pwd

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import certificate_facts
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.certificates import authority, issued, new_key, pem, private, public

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


class Host:
    """A directory as the role makes it, but for its owner: whoever runs this."""

    def __init__(self, folder):
        self.folder, self.key = folder, new_key()
        ca = authority()
        folder.chmod(0o755)
        self.wanted = {"directory": str(folder), "name": "agent", "owner": USER, "group": GROUP, "trusted": pem(ca[1])}
        self.write("agent.key", private(self.key).decode(), 0o400)
        self.write("ca.pem", pem(ca[1]), 0o444)
        self.write("agent.pem", pem(issued(ca, self.key)), 0o444)

    def write(self, file: str, text: str, mode: int) -> None:
        path = self.folder / file
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def differs(self, **other) -> list[str]:
        return list(certificate_facts.differences(self.wanted | other))

    def public_key(self) -> str:
        return certificate_facts.public_key(f"{self.folder}/agent.key")


@pytest.fixture
def host(tmp_path, monkeypatch):
    look = certificate_facts._file
    monkeypatch.setattr(certificate_facts, "_file", lambda path, mode, _owner, _group: look(path, mode, USER, GROUP))
    return Host(tmp_path)


def test_what_the_role_makes_is_good(host):
    assert host.differs() == []
    assert certificate_facts.present(str(host.folder / "agent.pem")) == (host.folder / "agent.pem").read_text()
    assert host.public_key() == public(host.key)


def test_a_key_that_cannot_be_read_has_no_public_part(host, monkeypatch):
    key = rsa.generate_private_key(65537, 2048)
    host.write("agent.key", private(key).decode(), 0o400)
    assert host.public_key() == public(key), "the controller decides about its kind"
    host.write("agent.key", "no PEM", 0o400)
    assert host.public_key() == ""
    (host.folder / "agent.key").unlink()
    assert host.public_key() == ""
    monkeypatch.setattr(certificate_facts, "serialization", None)
    assert host.public_key() == ""


@pytest.mark.parametrize("file", ["agent.key", "agent.pem", "ca.pem"])
def test_files_that_are_missing_damaged_or_open(host, file):
    path = host.folder / file
    path.chmod(0o644)
    assert any(f"{file} is -rw-r--r--" in difference for difference in host.differs())
    path.write_text("no PEM")
    assert file == "agent.key" or len(host.differs()) > 1
    path.unlink()
    assert any(file in difference and "No such file" in difference for difference in host.differs())


def test_a_text_around_the_certificate(host):
    whole = (host.folder / "agent.pem").read_text()
    host.write("agent.pem", whole + "\n", 0o444)
    assert host.differs() == [f"{host.folder}/agent.pem is no certificate, or more than one"]
    assert certificate_facts.present(str(host.folder / "agent.pem")) == whole
    host.write("agent.pem", whole + whole, 0o444)
    assert len(host.differs()) == 1


def test_an_open_directory_and_another_bundle(host):
    host.folder.chmod(0o1755)
    assert ["is drwxr-xr-t" in difference for difference in host.differs()] == [True]
    host.folder.chmod(0o755)
    assert host.differs(trusted="") == [f"{host.folder}/ca.pem is another"]


def test_owners(tmp_path):
    host = Host(tmp_path)
    differences = host.differs(owner="nobody", group="nogroup")
    assert any("agent.key is -r--------" in difference and "nobody:nogroup" in difference for difference in differences)
