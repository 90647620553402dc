"""Removing what a role has put on a host."""

from ansible_collections.fewnodes.discovery.plugins.modules.removed import remove


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
