"""With a vault password every secret of the controller is encrypted, also what is older than the password."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import secrets as module
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import SecretError, Secrets, decrypted_file

ROOT = Path(__file__).parents[3]
HEADER = b"$ANSIBLE_VAULT;1.1;AES256\n"
SNAPSHOT = bytes(range(256)) * 40
PUBLIC = {"ca.pem", "docker-ca.pem", "docker-client/ca.pem", "docker-client/cert.pem", ".gitignore"}
SECRET = {"ca.key", "gossip_key", "gossip_key.next", "management_token", "tokens/agent-a", "docker-client/key.pem"}
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {variables}
  tasks:
    - fewnodes.discovery.vaulted: {{secrets: true, files: ["{folder}/a.snap"]}}
      register: first
    - fewnodes.discovery.vaulted: {{secrets: true, files: ["{folder}/a.snap"]}}
      register: second
    - ansible.builtin.assert: {{that: [first is changed, first.encrypted | length == 7, second is not changed]}}
    - fewnodes.discovery.vaulted_copy: {{src: "{folder}/a.snap", dest: "{folder}/copy.snap", mode: "0600"}}
    - ansible.builtin.copy: {{src: "{{{{ key }}}}", dest: "{folder}/key.pem", mode: "0600"}}
      vars: {{key: "{{{{ lookup('fewnodes.discovery.decrypted_file', '{folder}/.secrets/docker-client/key.pem') }}}}"}}
"""


@pytest.fixture
def directory(tmp_path):
    folder = tmp_path / ".secrets"
    for name in SECRET | PUBLIC:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"text of {name}\n")
        (folder / name).chmod(0o600)
    return folder


@pytest.fixture
def script(tmp_path):
    """A password program, as Ansible runs one; its text is not the password."""
    program = tmp_path / "vault-password"
    program.write_text("#!/bin/sh\necho correct horse\n")
    program.chmod(0o755)
    return program


def encrypted(directory: Path) -> set[str]:
    files = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    return {name for name, path in files.items() if path.read_bytes().startswith(HEADER)}


def vaulted(directory, password):
    return Secrets(str(directory), str(password), DataLoader())


def test_x9_existing_secrets_are_encrypted_and_nothing_else(directory, script):
    secrets = vaulted(directory, script)
    (directory / "ca.key").rename(directory / "kept")
    (directory / "ca.key").hardlink_to(directory / "kept")
    for path in secrets.plain():
        secrets.encrypt(path)
    assert encrypted(directory) == SECRET | {"kept"} - {"ca.key"} | {"ca.key"}
    assert secrets.plain() == []
    assert {path.stat().st_mode & 0o777 for path in directory.rglob("*") if path.is_file()} == {0o600}
    assert secrets.read("management_token") == "text of management_token"
    assert sorted(path.name for path in directory.iterdir() if path.name.startswith(".")) == [".gitignore"], "nothing is left"


def test_x9_what_a_file_held_before_is_overwritten(directory, script):
    (directory.parent / "old blocks").hardlink_to(directory / "ca.key")
    vaulted(directory, script).encrypt(directory / "ca.key")
    assert set((directory.parent / "old blocks").read_bytes()) == {0}


def test_x9_a_write_that_fails_leaves_the_file_as_it_was(directory, script, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        vaulted(directory, script).encrypt(directory / "ca.key")
    assert (directory / "ca.key").read_text() == "text of ca.key\n"
    assert [path.name for path in directory.iterdir() if path.name.startswith(".")] == [".gitignore"]


def test_x9_without_a_password_nothing_is_encrypted(directory):
    assert Secrets(str(directory)).plain() == [] and encrypted(directory) == set()


def test_x9_a_file_for_programs_is_decrypted_for_this_run_only(directory, script, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setattr(module, "DEFAULT_LOCAL_TMP", str(tmp_path / "run"))
    key = directory / "docker-client/key.pem"
    secrets = vaulted(directory, script)
    assert decrypted_file(secrets, key) == key, "it is not encrypted"
    secrets.encrypt(key)
    copy = decrypted_file(secrets, key)
    assert copy.parent == tmp_path / "run" and copy.read_text() == "text of docker-client/key.pem\n"
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SecretError, match="is encrypted: set discovery_vault_password_file"):
        decrypted_file(Secrets(str(directory)), key)


def run(tmp_path, **variables):
    play = tmp_path / "play.yml"
    play.write_text(PLAY.format(folder=tmp_path, variables=yaml.safe_dump(variables, default_flow_style=True).strip()))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(play)]
    settings = {"ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote")}
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)


def test_x9_a_run_encrypts_once_and_reads_what_it_has_encrypted(directory, script, tmp_path):
    (tmp_path / "a.snap").write_bytes(SNAPSHOT)
    done = run(tmp_path, discovery_secrets_dir=str(directory), discovery_vault_password_file=str(script))
    assert done.returncode == 0, done.stdout + done.stderr
    assert encrypted(directory) == SECRET and (tmp_path / "a.snap").read_bytes().startswith(HEADER)
    assert (tmp_path / "copy.snap").read_bytes() == SNAPSHOT
    assert (tmp_path / "key.pem").read_text() == "text of docker-client/key.pem\n"
    left = [path for folder in ("local", "remote") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert left == [], "a decrypted copy outlived the run"
    assert "text of" not in done.stdout + done.stderr


@pytest.mark.parametrize("content", [None, ""])
def test_x9_a_run_with_a_missing_or_empty_password_file_writes_nothing(directory, tmp_path, content):
    if content is not None:
        (tmp_path / "none").write_text(content)
    (tmp_path / "a.snap").write_bytes(SNAPSHOT)
    done = run(tmp_path, discovery_secrets_dir=str(directory), discovery_vault_password_file=str(tmp_path / "none"))
    assert done.returncode != 0 and f"discovery_vault_password_file is {tmp_path}/none" in " ".join(done.stdout.split())
    assert encrypted(directory) == set() and (tmp_path / "a.snap").read_bytes() == SNAPSHOT
