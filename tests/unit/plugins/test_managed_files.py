"""Files, directories and links brought to what they should be, on a real file system."""

import grp
import os
import pwd

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import managed_files as module

ME, MINE = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def wanted(path, **said):
    """An entry of `files` as the module sees it."""
    entry = {"state": "file", "content": None, "target": None, "owner": ME, "group": MINE, "validate": None, "path": str(path)}
    entry["mode"] = "0755" if said.get("state") == "directory" else "0644"
    return entry | said


def refuse(command):
    return (1, "", f"{command[0]} does not like it") if "bad" in open(command[-1]).read() else (0, "", "")


def made(entry) -> None:
    """Make it; then it is so, and making it again is no work."""
    assert not module.is_so(entry)
    module.make(entry, refuse)
    assert module.is_so(entry)


@pytest.mark.parametrize("content", ["", "one line\n", "no end", "ünï\n\ttab\r\n"])
def test_a_file_holds_what_it_should(tmp_path, content):
    made(wanted(tmp_path / "a", content=content, mode="0600"))
    assert (tmp_path / "a").read_bytes() == content.encode()
    assert os.stat(tmp_path / "a").st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    "edit",
    [
        lambda path: path.write_text("b\n"), lambda path: path.chmod(0o1644), lambda path: path.unlink(),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
    ],
    ids=["content", "mode", "gone", "link"],
)  # fmt: skip
def test_an_edited_file_comes_back(tmp_path, edit):
    entry = wanted(tmp_path / "a", content="a\n")
    made(entry)
    edit(tmp_path / "a")
    made(entry)
    assert not (tmp_path / "a").is_symlink()


def test_a_file_behind_a_link_is_left_alone(tmp_path):
    (tmp_path / "other").write_text("other\n")
    (tmp_path / "a").symlink_to(tmp_path / "other")
    made(wanted(tmp_path / "a", content="a\n"))
    assert (tmp_path / "other").read_text() == "other\n"


def test_a_directory_is_made_with_those_above(tmp_path):
    made(wanted(tmp_path / "a/b", state="directory", mode="0700"))
    (tmp_path / "a/b").chmod(0o777)
    made(wanted(tmp_path / "a/b", state="directory", mode="0700"))


def test_a_link_leads_where_it_should(tmp_path):
    made(wanted(tmp_path / "a", state="link", target="/nowhere/yet"))
    made(wanted(tmp_path / "a", state="link", target="/elsewhere"))
    assert os.readlink(tmp_path / "a") == "/elsewhere"


@pytest.mark.parametrize("said", [{"content": "a"}, {"state": "link", "target": "/"}])
def test_a_directory_is_never_replaced(tmp_path, said):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/data").write_text("data")
    with pytest.raises(module.Refused, match="is a directory"):
        module.make(wanted(tmp_path / "a", **said), refuse)
    assert (tmp_path / "a/data").read_text() == "data"


def test_content_that_is_refused_leaves_the_file(tmp_path):
    made(wanted(tmp_path / "a.conf", content="good\n", validate="check -c %s"))
    bad = wanted(tmp_path / "a.conf", content="bad\n", validate="check -c %s")
    with pytest.raises(module.Refused, match="a.conf is left as it is.*check does not like it"):
        module.make(bad, refuse)
    assert (tmp_path / "a.conf").read_text() == "good\n"


def test_an_unknown_owner_differs_and_is_told(tmp_path):
    entry = wanted(tmp_path / "a", content="a", owner="nobody-by-this-name")
    assert not module.is_so(entry)
    with pytest.raises(module.Refused, match="nobody-by-this-name"):
        module.make(entry, refuse)
    assert not (tmp_path / "a").exists()


def test_what_is_shown(tmp_path):
    (tmp_path / "a").write_text("old\n")
    told = module.shown(wanted(tmp_path / "a", content="new\n"))
    assert (told["before_header"], told["before"], told["after"]) == (str(tmp_path / "a"), "old\n", "new\n")
    assert module.shown(wanted(tmp_path / "b", state="link", target="/x"))["after"] == "-> /x\n"
    assert module.shown(wanted(tmp_path / "c", state="directory"))["after"] == "directory 0755\n"


def test_purge_finds_files_of_an_earlier_version(tmp_path):
    """Those that the list has stay, and bytecode of present sources."""
    bytecode = ["__pycache__/kept.cpython-39.pyc", "__pycache__/old.cpython-39.pyc"]
    for name in ["kept.py", "old.py", "sub/kept.py", "gone/old.py", *bytecode]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.py").symlink_to("kept.py")
    listed = {str(tmp_path / name) for name in ("kept.py", "sub", "sub/kept.py")}
    found = module.obsolete(str(tmp_path), listed) + module.obsolete(str(tmp_path / "sub"), listed)
    assert found == [str(tmp_path / name) for name in ("__pycache__/old.cpython-39.pyc", "gone", "link.py", "old.py")]


def test_purge_of_a_directory_that_is_not_there_yet(tmp_path):
    assert module.obsolete(str(tmp_path / "none"), set()) == []
