"""The way back of the module resolver: files, links and directories as they were."""

import os

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import resolver


def listed(folder) -> dict:
    """Path to what is there: the target of a link, or mode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = "directory" if path.is_dir() else (oct(path.stat().st_mode & 0o777), path.read_text())
    return found


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain").write_text("nameserver 192.0.2.53\n")
    (tmp_path / "plain").chmod(0o640)
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "dangling").symlink_to("../nowhere")
    return tmp_path


@pytest.mark.parametrize("name", ["plain", "link", "dangling", "absent", "new/deeper/absent"])
@pytest.mark.parametrize("change", ["written", "linked", "removed"])
def test_a_file_goes_back(folder, name, change):
    before, path = listed(folder), str(folder / name)
    file = resolver.File(path)
    owner = (os.getuid(), os.getgid())
    if change == "written":
        resolver.write(path, b"nameserver 127.0.0.1\n", owner=owner)
    elif change == "linked":
        os.makedirs(os.path.dirname(path), exist_ok=True)
        resolver.link(path, "elsewhere")
    else:
        resolver.remove(path)
    file.restore()
    assert listed(folder) == before


def test_a_write_replaces_a_link_and_leaves_its_target(folder):
    resolver.write(str(folder / "link"), b"new\n", owner=(os.getuid(), os.getgid()))
    assert (folder / "link").read_text() == "new\n" and not (folder / "link").is_symlink()
    assert (folder / "plain").read_text() == "nameserver 192.0.2.53\n"


def test_the_origin_of_rotate_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resolver, "SETTINGS", str(tmp_path))
    monkeypatch.setattr(resolver, "RECORDS", str(tmp_path / "none"))
    (tmp_path / "tail").write_text("options timeout:1 rotate\n")
    (tmp_path / "base").write_text("nameserver 192.0.2.53\n")
    assert resolver.origin("it has the option rotate") == f" (it is made from {tmp_path}/tail)"
    assert resolver.origin("none of the site's name servers") == f" (it is made from {tmp_path}/base)"
