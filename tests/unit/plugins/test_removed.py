"""Removing what a role has put on a host."""

import os
import re
from itertools import product
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import removed
from ansible_collections.fewnodes.discovery.plugins.modules.removed import remove, shred
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
# Secrets that a removed host keeps, and why; docs/operations.md, "Remove a host".
KEPT = {
    "/etc/docker/daemon.json": "dockerd does not start without it, and users' containers run on",
    "/etc/docker/tls/": "dockerd does not start without its key",
    "/etc/docker/proxies.env": "dockerd pulls through these proxies",
    "/run/discovery-balancer-tls/": "in memory; the site's own keys",
    "/run/discovery-haproxy-tls/": "as nginx's",
}


def test_files_directories_and_links_go(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "directory/inner").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("directory", "file", "link", "dangling"):
        remove(str(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    assert (tmp_path / "kept/file").exists()


@pytest.mark.parametrize(("others", "goes"), [([], True), (["site.conf"], False)])
def test_an_empty_directory_goes_and_a_foreign_file_keeps_it(tmp_path, others, goes):
    ours = str(tmp_path / "10-discovery.conf")
    for name in ["10-discovery.conf", *others]:
        (tmp_path / name).touch()
    assert removed.emptied(str(tmp_path), [ours]) is goes, "as check mode predicts it"
    remove(ours)
    assert removed.emptied(str(tmp_path), [ours]) is goes
    assert removed.emptied(str(tmp_path / "missing"), []) is False


def test_x6_shredded_files_hold_nothing_and_links_lead_to_what_they_led_to(tmp_path):
    """A second name of the file shows what its blocks hold after its own name is gone."""
    (tmp_path / "data/raft").mkdir(parents=True)
    (tmp_path / "kept").write_text("kept")
    for name, content in (("raft/raft.db", b"token" * 500_000), ("keyring", b"key"), ("empty", b"")):
        (tmp_path / "data" / name).write_bytes(content)
        (tmp_path / name.replace("/", "-")).hardlink_to(tmp_path / "data" / name)
    (tmp_path / "data/link").symlink_to(tmp_path / "kept")
    shred(str(tmp_path / "data"))
    shred(str(tmp_path / "data/keyring"))
    remove(str(tmp_path / "data"))
    assert {name: set((tmp_path / name).read_bytes()) for name in ("raft-raft.db", "keyring", "empty")} == {
        "raft-raft.db": {0}, "keyring": {0}, "empty": set(),
    }  # fmt: skip
    assert (tmp_path / "raft-raft.db").stat().st_size == 2_500_000 and (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("exchange", ["symlink_to", "hardlink_to"])
def test_x6_a_file_that_is_exchanged_meanwhile_leads_nowhere(tmp_path, monkeypatch, exchange):
    (tmp_path / "data").mkdir()
    secret, kept = tmp_path / "data/secret", tmp_path / "kept"
    secret.write_text("secret")
    kept.write_text("kept")

    def lstat(path):
        status = os.stat(path, follow_symlinks=False)
        secret.rename(tmp_path / "data/away")
        getattr(secret, exchange)(kept)
        return status

    monkeypatch.setattr(removed.os, "lstat", lstat)
    shred(str(secret))
    assert kept.read_text() == "kept"


def expanded(path: str) -> list[str]:
    """A path with braces as a shell expands it."""
    parts = [part.split(",") for part in re.split(r"[{}]", path)]
    return ["".join(chosen) for chosen in product(*parts)]


def secret_files() -> set[str]:
    """Paths of secrets in the table of files on the hosts: not for everybody by their mode, or by their name."""
    table = (ROOT / "docs/architecture.md").read_text().partition("## Files on the hosts")[2].partition("\n## ")[0]
    found = re.findall(r"`(/[^`]+)`(?: (0[0-7]{3}))?", table)
    return {
        path for text, mode in found for path in expanded(text) if mode[-1:] == "0" or re.search(r"token|tls/$", path)
    }  # fmt: skip


def test_x6_what_a_removed_host_shreds_covers_the_secrets_in_the_table_of_files():
    tasks = parse_yaml((ROOT / "roles/consul/tasks/member/leave.yml").read_text())
    defaults = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())
    [task] = [task for task in tasks if "fewnodes.discovery.removed" in task]
    paths = [
        path.replace("{{ consul_backup_dir }}", defaults["consul_backup_dir"])
        for path in task["fewnodes.discovery.removed"]["paths"]
    ]
    secrets = secret_files()
    assert {"/etc/consul.d/tokens.json", "/etc/registrator/token", "/etc/consul-template/token", "/var/backups/consul"} < secrets
    left = {secret for secret in secrets if not any(f"{secret}/".startswith(f"{path}/") for path in paths)}
    assert left == set(KEPT)
