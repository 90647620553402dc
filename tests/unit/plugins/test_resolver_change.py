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


@pytest.mark.parametrize(("servers", "domains", "problem"), [
    (["127.0.0.1", "192.0.2.2"], "Global: ~consul", ""),
    (["127.0.0.1"], "Global: ~consul", "does not ask 192.0.2.2: another file in /etc/systemd/resolved.conf.d sets DNS"),
    # /etc/resolv.conf is read in place of our file: it may have every server that is wanted.
    (["127.0.0.1", "192.0.2.2", "192.0.2.53"], "Global:\nLink 2 (eth0): ~consul", "does not send names of consul to these"),
    (["127.0.0.1", "192.0.2.2"], "", "does not send names of consul to these servers alone"),
])  # fmt: skip
def test_w4_whether_systemd_resolved_has_read_our_file(tmp_path, monkeypatch, servers, domains, problem):
    monkeypatch.setattr(resolver, "UPLINK", str(tmp_path / "resolv.conf"))
    (tmp_path / "resolv.conf").write_text("".join(f"nameserver {server}\n" for server in servers))
    change = resolver.Change.__new__(resolver.Change)
    change.wanted = {"asked": ["127.0.0.1", "192.0.2.2"], "domain": "consul"}
    change.host = type("Host", (), {"run": lambda *command, **_: {"resolvectl domain": domains}[" ".join(command[1:])]})()
    assert [found for found in change.not_in_force() if problem not in found] == []
    assert bool(change.not_in_force()) is bool(problem)


@pytest.mark.parametrize("asked", [[], ["127.0.0.1"]])
def test_no_other_method_asks_systemd_resolved(tmp_path, monkeypatch, asked):
    monkeypatch.setattr(resolver, "UPLINK", str(tmp_path / "resolv.conf"))
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    change = resolver.Change.__new__(resolver.Change)
    change.wanted = {"asked": asked, "domain": ""}
    assert change.not_in_force() == []


def test_the_origin_of_rotate_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(resolver, "SETTINGS", str(tmp_path))
    monkeypatch.setattr(resolver, "RECORDS", str(tmp_path / "none"))
    (tmp_path / "tail").write_text("options timeout:1 rotate\n")
    (tmp_path / "base").write_text("nameserver 192.0.2.53\n")
    assert resolver.origin("it has the option rotate") == f" (it is made from {tmp_path}/tail)"
    assert resolver.origin("none of the site's name servers") == f" (it is made from {tmp_path}/base)"
