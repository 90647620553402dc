"""W32: the commands of the README run on a fresh machine: each has a test that runs it, and what it names is there."""

import ast
import json
import os
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.playbook import PlaybookCLI
from tests.support.readme_commands import DEMO, REAL_HOSTS, RUN_BY, blocks, inline, programs
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = blocks(TEXT)
COMMANDS = sorted({command for lines in BLOCKS.values() for command in lines} | set(inline(TEXT)))
TOOLS = Path(sys.executable).parent
BUILTINS = {"echo", "exec", "printf"}  # of bash
ESSENTIAL = {"cat", "cp", "head", "mkdir"}  # coreutils, in every Debian
ASKED_FOR = {"make"}  # the README asks for it
CLI = {"ansible": AdHocCLI, "ansible-galaxy": GalaxyCLI, "ansible-playbook": PlaybookCLI}
HOSTS = parse_yaml((ROOT / "inventories/hospital/hosts.yml").read_text())["all"]["children"]


def test_w32_each_command_has_a_test_that_runs_it():
    """A command that is new in the README goes into RUN_BY, with a test that runs it; one that has left it goes from there."""
    assert set(COMMANDS) == set(RUN_BY), "README.md and RUN_BY of tests/support/readme_commands.py differ"


def defined_in(file: Path) -> set[str]:
    """The tests of a file that `make test` runs."""
    tests = [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    return {node.name for node in tests if "pytest.mark.more" not in map(ast.unparse, node.decorator_list)}


@pytest.mark.parametrize("command", RUN_BY)
def test_w32_what_runs_a_command_is_there(command):
    file, _, test = RUN_BY[command].partition("::")
    assert (ROOT / file).is_file(), file
    if test:
        assert test in defined_in(ROOT / file), f"{file} has no {test}"
    else:
        words = [word for word in command.split() if word != "…"]
        assert any(all(word in line for word in words) for line in (ROOT / file).read_text().splitlines()), f"{file}: {words}"


def test_w32_a_fresh_machine_has_each_program():
    """Of bash, of coreutils, asked for in the README, or of the environment that `make` builds; docker is on docker hosts."""
    defined, called = set(), set()
    for lines in BLOCKS.values():
        for command in lines:
            found, functions = programs(command)
            called |= set(found)
            defined |= functions
    environment = {name for name in called if name.startswith(".venv/bin/")}
    assert [name for name in sorted(environment) if not (TOOLS / Path(name).name).exists()] == []
    assert called - environment - defined <= BUILTINS | ESSENTIAL | ASKED_FOR | {"docker"}
    assert all(f"`{name}`" in TEXT.partition("make demo")[0] for name in ASKED_FOR)


@pytest.mark.parametrize("command", [one for one in COMMANDS if re.match(r"(\.venv/bin/)?ansible", one)])
def test_w32_ansible_takes_the_options(command):
    name, *arguments = shlex.split(command)
    cli = CLI[Path(name).name]([Path(name).name, *arguments])
    cli.init_parser()
    cli.parser.parse_args(arguments)


def test_w32_paths_and_hosts_of_the_commands_are_there():
    words = {word for command in COMMANDS for word in command.split()}
    paths = {word for word in words if re.fullmatch(r"(inventories|playbooks)/\S+|[\w-]+\.yml", word)}
    made = "inventories/mysite"
    assert [path for path in sorted(paths) if not path.startswith(made) and not (ROOT / path).exists()] == []
    assert f"mkdir -p {made}/group_vars/all" in COMMANDS
    hosts = {host for group in HOSTS.values() for host in group["hosts"]}
    assert {word for word in words if word.startswith("consul-")} <= hosts
    first = next(iter(HOSTS["load_balancers"]["hosts"]))
    assert f"I=inventories/hospital; B={HOSTS['consul_servers']['hosts'][first]['ansible_host']}" in COMMANDS


def test_w32_playbooks_groups_and_variables_that_are_named_are_there():
    playbooks = set(re.findall(r"`(\w+\.yml)`", TEXT))
    known = {path.name for path in [*(ROOT / "playbooks").glob("*.yml"), ROOT / "site.yml"]}
    assert playbooks - known == set() and len(playbooks) > 20
    groups = set(re.findall(r"^\| `(\w+)` \| .* \| \|", TEXT, re.MULTILINE))
    assert groups == set(HOSTS)
    sections = parse_yaml((ROOT / "meta/site_variables.yml").read_text()).values()
    variables = {name for section in sections for name in section["options"]}
    assert set(re.findall(r"`(discovery_\w+)`", TEXT)) - variables == set()


def free_environment() -> dict[str, str]:
    """This one, without what the make around has left."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("make demo", "lab/demo"),
        ("make lab-down INVENTORY=x", ".venv/bin/python -m lab down x"),
        ("make clean-all", ".venv/bin/python -m lab down --all"),
        ("make -B .venv/ready", "python3 -m venv .venv"),
    ],
)
def test_w32_make_runs_what_the_readme_says(command, runs):
    make, *arguments = command.split()
    done = subprocess.run([make, "-n", *arguments], cwd=ROOT, env=free_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0 and runs in done.stdout.splitlines(), done.stdout + done.stderr


def test_w32_make_alone_lists_every_command_of_the_readme():
    done = subprocess.run(["make"], cwd=ROOT, env=free_environment(), capture_output=True, text=True, check=False)
    listed = set(re.findall(r"^  make (\S+)", done.stdout, re.MULTILINE))
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")} - {".venv/ready"}
    assert done.returncode == 0 and named <= listed, done.stdout + done.stderr


def test_w32_the_demo_is_a_site_with_samples_and_what_to_try(tmp_path):
    """What the scenarios do by create.yml, converge.yml and sample_services.yml: lab, site, samples."""
    for program in (".venv/bin/python", "bin/ansible-playbook"):
        path = tmp_path / program
        path.parent.mkdir(parents=True)
        path.write_text(f'#!/bin/bash\necho "{path.name} $*" >>{tmp_path}/calls\n[ "$3" != place ] || echo .lab/hospital\n')
        path.chmod(0o755)
    (tmp_path / "lab").mkdir()
    shutil.copy(ROOT / "lab/demo", tmp_path / "lab")
    environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / "lab/demo"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "calls").read_text().splitlines() == [
        "python -m lab place inventories/hospital .lab/hospital",
        "python -m lab up .lab/hospital",
        "ansible-playbook site.yml -i .lab/hospital",
        "ansible-playbook playbooks/sample_services.yml -i .lab/hospital",
        "python -m lab tour .lab/hospital",
    ]


def test_w32_a_copied_inventory_is_a_site_without_the_demos_secrets(tmp_path):
    own = tmp_path / "inventories/hospital"
    shutil.copytree(ROOT / "inventories/hospital", own, ignore=shutil.ignore_patterns(".*", "zz_lab.yml"))
    (own / ".secrets").mkdir()
    (own / ".secrets/ca.key").write_text("of the demo\n")
    (own / "group_vars/all/zz_lab.yml").write_text("ansible_user: admin\n")
    *lines, last = BLOCKS[REAL_HOSTS]
    subprocess.run(["bash", "-e"], input="\n".join(lines), cwd=tmp_path, text=True, check=True)
    made = tmp_path / "inventories/mysite"
    assert {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()} == {
        "hosts.yml", "group_vars/all/discovery.yml",
    }  # fmt: skip
    assert last.split()[-2:] == ["-i", "inventories/mysite"]
    listed = json.loads(subprocess.check_output([TOOLS / "ansible-inventory", "-i", made, "--list"], cwd=tmp_path))
    assert listed["load_balancers"]["hosts"] == list(HOSTS["load_balancers"]["hosts"])
    variables = listed["_meta"]["hostvars"]["consul-1"]
    assert "discovery_domain" in variables and "ansible_user" not in variables


class Page(socketserver.StreamRequestHandler):
    """A web server for one request, and an echo: what it was asked comes back."""

    def handle(self):
        lines = [self.rfile.readline().decode().strip()]
        while lines[0].startswith("GET") and (line := self.rfile.readline().decode().strip()):
            lines.append(line)
        self.wfile.write(("\n".join(["answer", *lines]) + "\n").encode())


@pytest.fixture
def port():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_w32_requests_need_nothing_but_bash_and_coreutils(port, tmp_path):
    """No curl, no nc: the function of the README, and its connection to a tcp service, at other ports."""
    for name in ESSENTIAL:
        (tmp_path / name).symlink_to(shutil.which(name))
    lines = [line for line in BLOCKS[DEMO] if re.match(r"get|exec", line)]
    text = re.sub(r"/(80|9999)\b", f"/{port}", "\n".join(lines))
    script = f"B=127.0.0.1\n{text}\n"
    bare = {"PATH": str(tmp_path)}
    done = subprocess.run(["/bin/bash", "-e"], input=script, env=bare, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    page = ["answer", "GET / HTTP/1.0", "Host: httpfront.hospital.example"]
    assert done.stdout.splitlines() == [*page, "answer", *page] and len(lines) == 4


def test_w32_a_new_command_is_noticed():
    """In a block and in the text, with and without a comment; a drawing and a comment are none."""
    drawing, code = "    a ─▶ b\n\n", "    curl x  # as nc\n    # words\n    dig y\n\n"
    text = f"## One\n\nText `make all` and `ansible`.\n\n{drawing}{code}## Two\n\n    nc z\n"
    assert blocks(text) == {"One": ["curl x", "dig y"], "Two": ["nc z"]}
    assert inline(text) == ["make all"]
    assert programs("a() { b=1 c && d; } | e 'f; g'") == (["c", "d", "e"], {"a"})
