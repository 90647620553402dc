"""Files and directories have their mode whatever the umask is: sudo may set 0077 for every task of a run."""

import ast
import grp
import os
import pwd
import re
import stat
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import files
from ansible_collections.fewnodes.discovery.plugins.modules import dockerd_config, managed_files, resolver
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
MINE = (os.getuid(), os.getgid())
TASKS = sorted(
    path
    for folder in ("playbooks", "roles")
    for path in (ROOT / folder).rglob("*.yml")
    if path.parent.name not in ("vars", "defaults", "meta")
)
# Modules that write to a disk, by the states of theirs that make nothing new.
WRITERS = {
    "ansible.builtin.assemble": (), "ansible.builtin.blockinfile": ("absent",), "ansible.builtin.copy": (),
    "ansible.builtin.file": ("absent", "link", "hard"), "ansible.builtin.get_url": (), "ansible.builtin.lineinfile": ("absent",),
    "ansible.builtin.template": (), "ansible.builtin.unarchive": (), "ansible.builtin.uri": (),
    "community.crypto.openssl_privatekey": ("absent",), "community.crypto.openssl_csr": ("absent",),
    "community.crypto.x509_certificate": ("absent",), "community.general.archive": (), "fewnodes.discovery.vaulted_copy": (),
}  # fmt: skip
ONLY_WITH = {"ansible.builtin.uri": "dest", "fewnodes.discovery.vaulted_copy": "mode"}  # the latter always writes 0600
PROGRAMS = sorted(
    path
    for path in (ROOT / "roles").glob("*/files/**/*")
    if path.is_file() and (path.suffix == ".py" or path.read_bytes().startswith(b"#!/usr/bin/python3"))
)
UNITS = sorted([*ROOT.glob("roles/*/templates/*.service.j2"), *ROOT.glob("roles/*/templates/10-*.conf.j2")])
SCRIPTS = sorted(path for path in ROOT.glob("roles/*/templates/*.j2") if path.read_text().startswith("#!/bin/sh"))


@pytest.fixture(params=[0o077, 0o000], ids=["umask 077", "umask 000"])
def strange_umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode))[2:] for path in sorted(folder.rglob("*"))}


@pytest.mark.usefixtures("strange_umask")
def test_w4_a_file_and_the_directories_made_for_it_have_their_modes(tmp_path):
    files.write(str(tmp_path / "a/b/drop-in.conf"), b"x", owner=MINE)
    assert modes(tmp_path) == {"a": "755", "a/b": "755", "a/b/drop-in.conf": "644"}


@pytest.mark.usefixtures("strange_umask")
def test_w4_a_directory_that_is_there_keeps_its_mode(tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private").chmod(0o700)
    files.write(str(tmp_path / "private/below/file"), b"x", owner=MINE)
    assert modes(tmp_path)["private"] == "700"


@pytest.mark.usefixtures("strange_umask")
def test_w4_managed_files_and_the_directories_above_have_their_modes(tmp_path):
    owners = {"owner": pwd.getpwuid(MINE[0]).pw_name, "group": grp.getgrgid(MINE[1]).gr_name, "validate": None}
    managed_files.make({"path": str(tmp_path / "a/b"), "state": "directory", "mode": "0700", **owners}, None)
    managed_files.make({"path": str(tmp_path / "c/d"), "state": "link", "target": "/", **owners}, None)
    managed_files.make({"path": str(tmp_path / "e/f"), "state": "file", "mode": "0640", "content": "x", **owners}, None)
    found = {path: mode for path, mode in modes(tmp_path).items() if path != "c/d"}
    assert found == {"a": "755", "a/b": "700", "c": "755", "e": "755", "e/f": "640"}


@pytest.mark.usefixtures("strange_umask")
def test_w4_the_record_of_daemon_json_is_roots_alone(tmp_path):
    class Module:
        tmpdir = str(tmp_path)

    dockerd_config.put(Module, str(tmp_path / "record/settings.json"), "{}\n")
    assert modes(tmp_path) == {"record": "700", "record/settings.json": "600"}


def made_by(path: Path) -> list[str]:
    """Calls of a Python file that make a directory."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("mkdir", "makedirs"):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: path.stem)
def test_w4_plugins_make_directories_by_one_function(path):
    """On the controller by `secrets.py`, which sets the mode of what it made."""
    if path.name not in ("files.py", "secrets.py"):
        assert made_by(path) == []


def sets_umask(path: Path) -> bool:
    return "os.umask(0o077)" in path.read_text()


def test_w4_programs_that_write_set_their_umask():
    """They are called by units, by tasks and by people, each with another umask. Directories that others enter get a mode."""
    writers = set()
    for path in PROGRAMS:
        if made_by(path) or re.search(r"open\([^)]*\"[wa]b?\"|write_text\(|write_bytes\(", path.read_text()):
            package = path.parent if path.suffix == ".py" else None
            while package and (package.parent / "__init__.py").exists():
                package = package.parent
            writers.add(package or path)
    assert {path.name for path in writers} >= {"discovery_balancer", "consul-catch-up", "registrator"}
    for writer in writers:
        sources = list(writer.rglob("*.py")) if writer.is_dir() else [writer]
        assert any(sets_umask(source) for source in sources), f"{writer.name} writes files; call os.umask(0o077) when it starts"


def writing_tasks():
    for path in TASKS:
        todo = list(parse_yaml(path.read_text()) or [])
        while todo:
            task = todo.pop()
            if isinstance(task, dict):
                parts = [value for value in task.values() if isinstance(value, list)]
                todo += [inner for part in parts for inner in part]
                for module in set(task) & set(WRITERS):
                    yield path, task, module


def without_mode(task: dict, module: str) -> bool:
    arguments = task[module]
    if arguments.get("state") in WRITERS[module] or ONLY_WITH.get(module, "mode") not in arguments and module in ONLY_WITH:
        return False
    return "mode" not in arguments


def test_w4_every_task_that_makes_a_file_gives_its_mode():
    found = list(writing_tasks())
    assert len(found) > 20
    assert [f"{path.relative_to(ROOT)}: {task['name']}" for path, task, module in found if without_mode(task, module)] == []


@pytest.mark.parametrize("task", [{"ansible.builtin.file": {"state": "directory"}}, {"ansible.builtin.copy": {"dest": "/a"}}])
def test_w4_a_task_without_a_mode_is_found(task):
    assert all(without_mode(task, module) for module in task)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: f"{path.parents[1].name}/{path.name}")
def test_w4_every_directory_that_a_unit_makes_has_a_mode(path):
    """Their own umask is that of the sandbox; a command that makes a directory is called with a mode."""
    text = path.read_text()
    for kind in ("Runtime", "State", "Cache", "Logs", "Configuration"):
        directories, given = (len(re.findall(rf"^{kind}Directory{end}=", text, re.MULTILINE)) for end in ("", "Mode"))
        assert directories == given
    for command in re.findall(r"(?:mkdir|install -d|install --directory)\b.*", text):
        assert re.search(r"\s(-m|--mode[= ])\s?\d{3,4}", command), command


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_w4_scripts_that_write_set_their_umask(path):
    text = path.read_text()
    if re.search(r"\bmkdir\b|[^2&]>\s*[./$]", text):
        assert re.search(r"^umask 0?77$", text, re.MULTILINE)


class Asked(resolver.Change):
    """A change whose host is a directory."""

    def __init__(self, text: str, wanted: dict):
        self.text, self.wanted = text, wanted

    def _servers(self) -> list[str]:
        return [line.split()[1] for line in self.text.splitlines() if line.startswith("nameserver ")]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("nameserver 127.0.0.1\nnameserver 192.0.2.2\nnameserver 192.0.2.53\n", []),
        ("nameserver 192.0.2.53\n", ["systemd-resolved does not ask 127.0.0.1, 192.0.2.2"]),
        ("nameserver 127.0.0.1\n", ["systemd-resolved does not ask 192.0.2.2"]),
    ],
)
def test_w4_a_setting_that_is_not_in_force_is_a_problem_though_names_resolve(text, problems):
    """The drop-in was in a directory that systemd-resolved could not enter, and another server answered."""
    found = Asked(text, {"asked": ["127.0.0.1", "192.0.2.2"], "domain": ""}).not_in_force()
    assert [problem.partition(":")[0] for problem in found] == problems


def test_w4_a_file_that_its_reader_cannot_reach_is_found_and_repaired(tmp_path):
    path = tmp_path / "resolved.conf.d/ours.conf"
    files.write(str(path), b"x", owner=MINE)
    assert not resolver.hidden(str(path))
    path.parent.chmod(0o700)
    assert resolver.hidden(str(path))
    resolver.reveal(str(path))
    assert not resolver.hidden(str(path)) and modes(tmp_path)["resolved.conf.d"] == "755"
    path.chmod(0o600)
    assert resolver.hidden(str(path))
