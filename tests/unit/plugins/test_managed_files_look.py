"""Files that are as they should be need no module: what the look says is what the module would find, on a real file system."""

import grp
import os
import pwd
import subprocess
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible_collections.fewnodes.discovery.plugins.action.managed_files import ActionModule
from ansible_collections.fewnodes.discovery.plugins.modules import managed_files as module
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.managed_files import LONGEST, are_so, look

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def tree(top) -> list[dict]:
    """One of each kind, also with what a shell would understand."""
    return [
        {"path": f"{top}/program", "state": "directory", "purge": True, **ME},
        {"path": f"{top}/program/kept", "state": "directory", "mode": "0700", **ME},
        {"path": f"{top}/program/main.py", "content": "print('ünï')\n", **ME},
        {"path": f"{top}/it's $HOME; a file".replace("$", ""), "content": "", "mode": "0640", **ME},
        {"path": f"{top}/link", "state": "link", "target": f"{top}/program/main.py"},
    ]


def complete(files) -> list[dict]:
    """The entries as the module has them after validation."""
    defaults = {"owner": "root", "group": "root", "state": "file", "purge": False}
    entries = [dict.fromkeys(("content", "target", "mode", "validate")) | defaults | wanted for wanted in files]
    return [wanted | {"mode": wanted["mode"] or ("0755" if wanted["state"] == "directory" else "0644")} for wanted in entries]


def work(files) -> bool:
    """Whether the module would change something."""
    entries = complete(files)
    listed = {wanted["path"] for wanted in entries}
    obsolete = [path for wanted in entries if wanted["purge"] for path in module.obsolete(wanted["path"], listed)]
    return bool(obsolete) or not all(module.is_so(wanted) for wanted in entries)


def make(files) -> None:
    for wanted in complete(files):
        module.make(wanted, None)


def seen(files) -> bool:
    done = subprocess.run(["sh", "-c", look(files)], capture_output=True, text=True, check=False)
    return are_so(files, done.returncode, done.stdout)


def test_files_as_they_should_be_are_seen_without_the_module(tmp_path):
    files = tree(tmp_path)
    assert not seen(files) and work(files)
    make(files)
    assert seen(files) and not work(files)


def test_a_terminal_with_a_password_of_sudo_changes_nothing(tmp_path):
    files = tree(tmp_path)
    make(files)
    done = subprocess.run(["sh", "-c", look(files)], capture_output=True, text=True, check=False)
    assert are_so(files, done.returncode, "\r\n" + done.stdout.replace("\n", "\r\n"))


def compiled(top, name):
    (top / "program/__pycache__").mkdir()
    (top / f"program/__pycache__/{name}.cpython-313.pyc").write_text("x")


ALLOWED = {
    "nothing": lambda top: None,
    "bytecode of a source": lambda top: compiled(top, "main"),
    "content of a directory that keeps it": lambda top: (top / "program/kept/data").write_text("x"),
    "file outside": lambda top: (top / "other").write_text("x"),
}
EDITS = {
    "content": lambda top: (top / "program/main.py").write_text("print('other')\n"),
    "same length": lambda top: (top / "program/main.py").write_text("print('unï')\n"),
    "mode": lambda top: (top / "program/main.py").chmod(0o600),
    "sticky": lambda top: (top / "program").chmod(0o1755),
    "mode of a directory": lambda top: (top / "program/kept").chmod(0o755),
    "gone": lambda top: (top / "program/main.py").unlink(),
    "empty file is none": lambda top: (top / "it's HOME; a file").write_text("x"),
    "link in place of a file": lambda top: (
        (top / "program/main.py").rename(top / "moved"), (top / "program/main.py").symlink_to(top / "moved"),
    ),
    "pipe in place of a file": lambda top: ((top / "program/main.py").unlink(), os.mkfifo(top / "program/main.py")),
    "file in place of a directory": lambda top: ((top / "program/kept").rmdir(), (top / "program/kept").write_text("")),
    "link elsewhere": lambda top: ((top / "link").unlink(), (top / "link").symlink_to("/elsewhere")),
    "link of two lines": lambda top: ((top / "link").unlink(), (top / "link").symlink_to(f"{top}/program/main.py\nmore")),
    "file in place of a link": lambda top: ((top / "link").unlink(), (top / "link").write_text("x")),
    "file of an earlier version": lambda top: (top / "program/old.py").write_text("x"),
    "its name has two lines": lambda top: (top / "program/main.py\nx").write_text("x"),
    "directory of an earlier version": lambda top: (top / "program/old").mkdir(),
    "bytecode of an earlier version": lambda top: compiled(top, "old"),
}  # fmt: skip


@pytest.mark.parametrize("edit", ALLOWED.values(), ids=ALLOWED)
def test_what_the_module_leaves_alone_is_no_difference(tmp_path, edit):
    make(tree(tmp_path))
    edit(tmp_path)
    assert seen(tree(tmp_path)) and not work(tree(tmp_path))


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_the_module_would_change_is_a_difference(tmp_path, edit):
    make(tree(tmp_path))
    edit(tmp_path)
    assert not seen(tree(tmp_path)) and work(tree(tmp_path))


@pytest.mark.parametrize("name", ["owner", "group"])
def test_another_owner_is_a_difference(tmp_path, name):
    files = tree(tmp_path)
    make(files)
    files[2][name] = "nobody-has-this"
    assert not seen(files)


@pytest.mark.parametrize(
    "files",
    [
        None, [], "text", ["text"], [{}], [{"path": "/a"}], [{"path": "/a", "content": 1}], [{"path": "/a", "state": "link"}],
        [{"path": "/a", "content": "", "mode": 420}], [{"path": "/a", "content": "", "mode": "u=rw"}],
        [{"path": "/a", "content": "", "other": 1}], [{"path": "a", "content": ""}], [{"path": "~/a", "content": ""}],
        [{"path": "/$HOME", "content": ""}], [{"path": "/a\nb", "content": ""}], [{"path": "/a", "state": "absent"}],
        [{"path": "/a", "state": ["file"]}], [{"path": "/a", "state": "directory", "purge": "yes"}],
        [{"path": f"/{'a' * LONGEST}", "content": ""}],
    ],
)  # fmt: skip
def test_what_the_module_has_to_judge_is_left_to_it(files):
    assert look(files) == ""


def test_the_command_holds_no_content():
    assert "secret" not in look([{"path": "/a", "content": "secret", "mode": "0600"}])


def action(arguments, code, answer):
    made = ActionModule(
        task=Mock(args=arguments, async_val=0, check_mode=False, diff=False), connection=Mock(),
        play_context=SimpleNamespace(check_mode=False, diff=False), loader=Mock(), templar=Mock(), shared_loader_obj=Mock(),
    )  # fmt: skip
    made._low_level_execute_command = Mock(return_value={"rc": code, "stdout": answer, "stderr": ""})
    made._execute_module = Mock(return_value={"changed": True, "paths": ["/a"]})
    return made


@pytest.mark.parametrize(("code", "changed"), [(0, False), (1, True)])
def test_the_module_runs_where_there_is_work(code, changed):
    made = action({"files": [{"path": "/a", "state": "directory"}]}, code, "directory|755|root|root\n")
    assert made.run(task_vars={})["changed"] is changed
    assert made._execute_module.called is changed


def test_arguments_that_the_module_refuses_reach_it():
    made = action({"files": [{"path": "/a", "state": "directory"}], "path": "/b"}, 0, "directory|755|root|root\n")
    made.run(task_vars={})
    made._low_level_execute_command.assert_not_called()
    made._execute_module.assert_called_once()
