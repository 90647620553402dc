"""Files put into place in one step."""

import os
import stat

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import files

MINE = (os.getuid(), os.getgid())


@pytest.fixture
def modes(monkeypatch):
    """Modes that a new file has before it gets its owner and its mode, under the usual umask."""
    found = []
    for name in ("fchmod", "fchown"):
        change = getattr(os, name)

        def recorded(handle, *values, change=change):
            found.append(stat.S_IMODE(os.fstat(handle).st_mode))
            change(handle, *values)

        monkeypatch.setattr(files.os, name, recorded)
    before = os.umask(0o022)
    yield found
    os.umask(before)


def test_a_private_file_is_private_from_the_beginning(tmp_path, modes):
    path = tmp_path / "token"
    files.write(str(path), b"secret", 0o640, MINE)
    assert modes == [0o600, 0o600]
    status = path.stat()
    assert (path.read_bytes(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (b"secret", 0o640, *MINE)
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_private_from_the_beginning_when_it_is_restored(tmp_path, modes):
    path = tmp_path / "token"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    before = files.File(str(path))
    path.write_bytes(b"other")
    before.restore()
    assert modes == [0o600, 0o600] and path.read_bytes() == b"secret" and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_who_has_the_file_of_an_interrupted_run_open_reads_nothing(tmp_path):
    (tmp_path / "token.discovery").write_bytes(b"")
    with open(tmp_path / "token.discovery", "rb") as opened:
        files.write(str(tmp_path / "token"), b"secret", 0o600, MINE)
        assert opened.read() == b""


def test_a_link_in_the_way_leads_nowhere(tmp_path):
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "token.discovery").symlink_to(tmp_path / "other")
    files.write(str(tmp_path / "token"), b"secret", 0o600, MINE)
    assert (tmp_path / "other").read_bytes() == b"other" and (tmp_path / "token").read_bytes() == b"secret"
    assert not (tmp_path / "token").is_symlink()
