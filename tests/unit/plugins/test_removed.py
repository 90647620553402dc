"""Removing what a role has put on a host."""

from ansible_collections.fewnodes.discovery.plugins.modules.removed import remove, shred


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
