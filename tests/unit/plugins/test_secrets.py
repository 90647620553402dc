import base64
import os
import uuid
from concurrent.futures import ProcessPoolExecutor

import pytest
from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.filter.encryption import do_vault
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import secrets as module
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import (
    SecretError,
    Secrets,
    check_host,
    check_name,
    location,
    new_texts,
    site_secrets,
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "site" / ".secrets"


@pytest.fixture
def plain(directory):
    return Secrets(str(directory))


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "vault-password"
    file.write_text("correct horse\n")
    return file


def vaulted(directory, password):
    return Secrets(str(directory), str(password), DataLoader())


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def mode(path):
    return path.stat().st_mode & 0o7777


def test_the_directory_is_the_one_that_is_set_else_beside_the_inventory():
    assert location("/srv/secrets", "/srv/site") == "/srv/secrets"
    assert location("~/secrets", None) == os.path.expanduser("~/secrets")
    assert location(None, "/srv/site") == "/srv/site/.secrets"
    with pytest.raises(SecretError, match="discovery_secrets_dir is not set"):
        location("", None)


@pytest.mark.parametrize("name", ["discovery_secrets_dir", "discovery_vault_password_file"])
def test_x1_a_host_does_not_choose_where_secrets_are_nor_what_prints_the_password(name):
    variables = {"inventory_dir": "/srv/site", "inventory_hostname": "h1", name: "/tmp/x", "ansible_facts": {name: "/tmp/x"}}
    with pytest.raises(SecretError, match=f"h1 has the fact {name}"):
        site_secrets(variables, str, None)
    assert site_secrets(variables | {"ansible_facts": {}}, str, None).directory


def test_x1_with_facts_as_variables_there_are_no_secrets(monkeypatch):
    """Ansible's default. A host would choose by its facts which secret it gets."""
    variables = {"inventory_dir": "/srv/site", "inventory_hostname": "h1"}
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", True)
    with pytest.raises(SecretError, match="inject_facts_as_vars = false.*ANSIBLE_INJECT_FACT_VARS=False"):
        site_secrets(variables, str, None)
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", False)
    assert site_secrets(variables, str, None).directory


@pytest.mark.parametrize("name", [
    "management_token", "docker-ca.key", "tokens/operations", "tokens/registrator-h2", "tokens/registrator-h11",
    "tokens/x/../agent-h1", "tokens/registrator-h1.next", "tokens/agent-h2-h1", "tokens/agent-h1\n",
])  # fmt: skip
def test_x1_a_host_is_given_tokens_of_its_own_only(name):
    check_host(["tokens/registrator-h1", "tokens/registrator_clear-h1"], "h1")
    with pytest.raises(SecretError, match="h1 is not given the secret"):
        check_host([name], "h1")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../ca.key", "tokens/../../x", "tokens/"])
def test_a_name_outside_of_the_directory_is_refused(name):
    with pytest.raises(SecretError, match="name of a secret"):
        check_name(name)


def test_each_missing_secret_gets_its_own_text_then_the_common_then_a_generated_one():
    texts = new_texts(["a", "b"], values={"a": "one"}, generate="uuid")
    assert texts["a"] == "one" and str(uuid.UUID(texts["b"])) == texts["b"]
    assert new_texts(["a", "b"], value="two", values={"a": "one"}, generate="uuid") == {"a": "one", "b": "two"}
    generated = new_texts(["a", "b"], generate="key")
    assert len(set(generated.values())) == 2 and {len(base64.b64decode(text)) for text in generated.values()} == {32}


@pytest.mark.parametrize("given", [{}, {"value": ""}, {"values": {"b": "x"}}])
def test_a_missing_secret_without_a_text_is_named(given):
    with pytest.raises(SecretError, match="secret a "):
        new_texts(["a"], **given)


def test_secrets_are_private_files_in_private_directories_that_git_ignores(plain, directory):
    assert plain.create({"gossip_key": "k", "tokens/a": "t"}) == ["gossip_key", "tokens/a"]
    assert files(directory) == {".gitignore", "gossip_key", "tokens/a"}
    assert {mode(directory), mode(directory / "tokens")} == {0o700}
    assert {mode(directory / name) for name in files(directory)} == {0o600}
    assert (directory / ".gitignore").read_text() == "*\n"
    assert (plain.read("gossip_key"), plain.read("tokens/a")) == ("k", "t")


def test_a_directory_that_others_may_enter_is_closed_when_a_secret_is_written(plain, directory):
    directory.mkdir(parents=True, mode=0o755)
    directory.chmod(0o755)
    plain.create({"gossip_key": "k"})
    assert mode(directory) == 0o700


def test_nothing_is_written_when_nothing_is_missing(plain, directory):
    assert plain.create({}) == []
    assert not directory.exists()


def test_a_secret_is_written_once(plain):
    plain.create({"gossip_key": "first"})
    assert plain.create({"gossip_key": "second"}) == []
    assert plain.read("gossip_key") == "first"
    assert plain.missing(["gossip_key", "ca.key", "ca.key"]) == ["ca.key"]


def create(directory, text):
    secrets = Secrets(directory)
    return secrets.create({"tokens/a": text}), secrets.read("tokens/a")


def test_of_hosts_that_create_a_secret_at_once_one_does_and_all_read_it(directory):
    with ProcessPoolExecutor(8) as pool:
        done = list(pool.map(create, [str(directory)] * 24, [f"text {number}" for number in range(24)]))
    assert sum(len(created) for created, _ in done) == 1
    assert len({text for _, text in done}) == 1
    assert files(directory) == {".gitignore", "tokens/a"}, "a temporary file was left"


def test_a_file_that_appears_before_the_link_wins(plain, directory, monkeypatch):
    link = os.link

    def late(source, target):
        if target.name == "gossip_key":
            target.write_text("winner")
        return link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert plain.create({"gossip_key": "loser"}) == []
    assert plain.read("gossip_key") == "winner"


def test_a_file_system_without_hard_links(plain, directory, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert plain.create({"gossip_key": "k"}) == ["gossip_key"]
    assert module._write_exclusively(directory / "gossip_key", b"other") is False
    assert (plain.read("gossip_key"), mode(directory / "gossip_key")) == ("k", 0o600)


def test_white_space_at_the_end_is_not_part_of_a_secret(plain, directory):
    plain.create({"ca.key": "-----BEGIN\n  x\n-----END\n"})
    assert plain.read("ca.key") == "-----BEGIN\n  x\n-----END"
    assert (directory / "ca.key").read_text().endswith("END\n")


def test_a_secret_that_changed_is_read_anew(plain, directory):
    plain.create({"gossip_key": "k", "gossip_key.next": "new"})
    assert plain.read("gossip_key") == "k"
    assert plain.replace("gossip_key") is True
    assert plain.read("gossip_key") == "new"
    assert plain.replace("gossip_key") is False, "it is done already"


def test_a_secret_is_removed_once(plain):
    plain.create({"ca.old.pem": "x"})
    assert (plain.remove("ca.old.pem"), plain.remove("ca.old.pem")) == (True, False)


def test_an_empty_secret_is_refused_by_name(plain, directory):
    directory.mkdir(parents=True)
    (directory / "gossip_key").write_text("\n")
    with pytest.raises(SecretError, match=f"{directory}/gossip_key is empty"):
        plain.read("gossip_key")


def test_with_a_vault_password_secrets_are_encrypted(directory, password):
    secrets = vaulted(directory, password)
    secrets.create({"gossip_key": "k"})
    assert (directory / "gossip_key").read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert secrets.read("gossip_key") == "k"
    assert (directory / ".gitignore").read_text() == "*\n"


def test_a_plain_secret_is_read_beside_encrypted_ones(directory, password, plain):
    plain.create({"gossip_key": "k"})
    assert vaulted(directory, password).read("gossip_key") == "k"


def test_w5_a_password_program_is_run(directory, tmp_path, password):
    program = tmp_path / "vault-password.sh"
    program.write_text("#!/bin/sh\necho correct horse\n")
    program.chmod(0o755)
    vaulted(directory, program).create({"gossip_key": "k"})
    assert vaulted(directory, password).read("gossip_key") == "k"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_w5_a_password_file_without_a_password_is_refused_before_anything_is_written(directory, tmp_path, content):
    file = tmp_path / "no-password"
    if content is not None:
        file.write_text(content)
    secrets = vaulted(directory, file)
    for refused in (secrets.check_password, lambda: secrets.create({"gossip_key": "k"})):
        with pytest.raises(SecretError, match=f"discovery_vault_password_file is {file}"):
            refused()
    assert not directory.exists()


def test_w5_a_program_that_fails_is_refused_by_name(directory, tmp_path):
    program = tmp_path / "vault-password.sh"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SecretError, match=f"discovery_vault_password_file is {program}"):
        vaulted(directory, program).check_password()


def test_an_encrypted_secret_without_or_with_another_password_is_named(directory, password, tmp_path):
    vaulted(directory, password).create({"gossip_key": "k"})
    with pytest.raises(SecretError, match=f"{directory}/gossip_key is encrypted: set discovery_vault_password_file"):
        Secrets(str(directory)).read("gossip_key")
    other = tmp_path / "other"
    other.write_text("battery staple")
    with pytest.raises(SecretError, match=f"{directory}/gossip_key cannot be decrypted .*{other}"):
        vaulted(directory, other).read("gossip_key")


def test_a_secret_of_the_filter_vault_is_read_with_vault_id_match(directory, password, monkeypatch):
    monkeypatch.setattr("ansible.constants.DEFAULT_VAULT_ID_MATCH", True)
    directory.mkdir(parents=True)
    (directory / "gossip_key").write_text(do_vault("k", password.read_text().strip()))
    secrets = vaulted(directory, password)
    secrets.create({"other": "o"})
    assert (secrets.read("gossip_key"), vaulted(directory, password).read("other")) == ("k", "o")
