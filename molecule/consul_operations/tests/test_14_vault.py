"""X9: with a vault password the site's secrets are encrypted, and every operation goes on with them."""

import re
import shutil
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets
from tests.support.playbook import changes, play, tasks_of_changes

HEADER = b"$ANSIBLE_VAULT;"
UI = "tokens/ui"


@pytest.fixture
def vault(site, tmp_path):
    """A copy of the site's secrets, and the variables of a site that has just got a vault password, by a program."""
    folder = Path(shutil.copytree(site.secrets, tmp_path / "secrets"))
    password = tmp_path / "password"
    password.write_text("#!/bin/sh\necho correct horse\n")
    password.chmod(0o755)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups/old.snap").write_bytes(b"a snapshot of before")
    secrets = Secrets(str(folder), str(password), DataLoader())
    yield secrets, ["-e", f"discovery_secrets_dir={folder}", "-e", f"discovery_backup_dir={tmp_path}/backups"]
    (site.secrets / UI).write_text(secrets.read(UI))  # what was rotated


def played(site, playbook, *options):
    done, _ = play(site, playbook, *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-500:]
    return done


def plain(secrets: Secrets) -> list[str]:
    files = [*secrets.directory.rglob("*"), *(secrets.directory.parent / "backups").iterdir()]
    found = [path for path in files if path.is_file() and not path.read_bytes().startswith(HEADER)]
    return sorted(str(path.relative_to(secrets.directory.parent)) for path in found if path.name != ".gitignore")


def test_x9_everything_goes_on_with_encrypted_secrets(site, vault, show):
    secrets, places = vault
    options = [*places, "-e", f"discovery_vault_password_file={secrets.password_file}"]
    public = [path for path in plain(secrets) if path.endswith(".pem") and not path.endswith("key.pem")]

    # Of one host: secrets are encrypted once for the site.
    done = played(site, "playbooks/consul.yml", *options, "--limit", site.servers[0].name)
    assert plain(secrets) == public, "older secrets are encrypted"
    assert len(changes(done)) == 1, f"only that is reported: {tasks_of_changes(done)}"
    done, _ = play(site, "playbooks/status.yml", *places)
    assert done.returncode != 0 and "set discovery_vault_password_file" in " ".join(done.stdout.split())

    before = secrets.read(UI)
    played(site, "playbooks/rotate_tokens.yml", *options, "-e", "rotate_component=ui")
    assert secrets.read(UI) != before
    rotated = secrets.read(UI)
    secrets.path(UI).unlink()
    played(site, "playbooks/recover_secrets.yml", *options)
    assert secrets.read(UI) == rotated, "it came from the cluster"

    output = played(site, "playbooks/backup.yml", *options).stdout
    (saved,) = re.findall(r"snapshot of \S+: (\S+[.]snap)", output)
    assert plain(secrets) == public
    output = played(site, "playbooks/restore.yml", *options, "-e", f"restore_file={saved}", "--check").stdout
    assert "Replace the state" in output, "the server has read the decrypted snapshot"
    show(f"{len(list(secrets.directory.rglob('*')))} files, snapshot of {Path(saved).stat().st_size} bytes encrypted")
