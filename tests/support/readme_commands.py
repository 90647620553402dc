"""The commands of the project's README, and the test that runs each of them (W32)."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
COMMENT = re.compile(r"(?:^|\s{2,})# .*$")
# What begins a command among the text in backticks.
INLINE = re.compile(r"`((?:make|(?:docker|ansible(?:-[a-z]+)?|\.venv/bin/[a-z-]+) )[^`]*)`")
ENDS = {";", "&&", "||", "|", "{", "}"}

DEMO, REAL_HOSTS = "Five minutes on the demo", "Real hosts"
FIVE_MINUTES = "molecule/default/tests/test_w32_readme.py::test_w32_the_five_minutes_on_the_demo"
RERUN = "molecule/default/tests/test_rerun.py::test_h13_r3_rerun_in_reversed_order_changes_nothing"
COPY = "tests/unit/test_w32_readme.py::test_w32_a_copied_inventory_is_a_site_without_the_demos_secrets"
CONTAINERS = "tests/unit/registrator/test_w32_containers.py::test_w32_a_container_of_the_readme_is_what_its_comment_says"
MAKE = "tests/unit/test_w32_readme.py::test_w32_make_runs_what_the_readme_says"
PACKAGE = "tests/package"  # a program of `make test`, in which the command stands
# Command: what runs it. A command that the README gains belongs here, with a test that runs it.
RUN_BY = {
    "make": MAKE,
    "make demo": "tests/unit/test_w32_readme.py::test_w32_the_demo_is_a_site_with_samples_and_what_to_try",
    "make test": ".ci/run",
    "make lab-down INVENTORY=…": "tests/unit/lab/test_lab.py::test_the_last_lab_gives_the_machine_its_settings_back",
    "make clean-all": "tests/unit/lab/test_lab.py::test_all_removes_labs_images_and_caches_and_names_the_packages",
    "make .venv/ready": MAKE,
    "I=inventories/hospital; B=192.168.0.129": FIVE_MINUTES,
    r"get() { exec 3<>/dev/tcp/$B/80 && printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' " '"$1" >&3 && cat <&3; }': FIVE_MINUTES,
    "get httpfront.hospital.example": FIVE_MINUTES,
    "exec 4<>/dev/tcp/$B/9999; echo hello >&4; head -n 1 <&4": FIVE_MINUTES,
    ".venv/bin/ansible -i $I consul-3 -b -m shell -a 'docker rm -f httpfront'": FIVE_MINUTES,
    ".venv/bin/ansible -i $I consul-1 -b -m shell -a 'discovery-balancer status'": FIVE_MINUTES,
    ".venv/bin/ansible-playbook playbooks/sample_services.yml -i $I": FIVE_MINUTES,
    ".venv/bin/ansible-playbook site.yml -i $I": RERUN,
    "mkdir -p inventories/mysite/group_vars/all": COPY,
    "cp inventories/hospital/hosts.yml inventories/mysite/": COPY,
    "cp inventories/hospital/group_vars/all/discovery.yml inventories/mysite/group_vars/all/": COPY,
    ".venv/bin/ansible-playbook site.yml -i inventories/mysite": RERUN,
    "ansible-galaxy collection build": PACKAGE,
    "ansible-galaxy collection install fewnodes-discovery-*.tar.gz": PACKAGE,
    "ansible-playbook fewnodes.discovery.site -i …": PACKAGE,
    "docker run -d -P -e SERVICE_NAME=shop -e SERVICE_TAGS=http shop:1.4": CONTAINERS,
    "docker run -d -P -e SERVICE_NAME=modem-9998 -e SERVICE_TAGS=tcp modem": CONTAINERS,
    "docker run -d -P -e SERVICE_NAME=safe -e SERVICE_TAGS=tls safe": CONTAINERS,
    "docker run -d -p 8081:8081 -e SERVICE_NAME=stock stock:2": CONTAINERS,
}


def blocks(text: str) -> dict[str, list[str]]:
    """The lines of each heading's code blocks, without drawings, indentation and comments.

    :param text: of a document in Markdown whose code blocks are indented
    """
    found: dict[str, list[str]] = {}
    heading = ""
    for part in re.split(r"\n\s*\n(?=\S|    )", text):
        if match := re.match(r"#+ (.+)", part):
            heading = match[1]
        lines = part.splitlines()
        if all(not line or line.startswith("    ") for line in lines) and "─" not in part:
            found.setdefault(heading, []).extend(line for line in (COMMENT.sub("", line).strip() for line in lines) if line)
    return found


def commented(text: str) -> dict[str, str]:
    """The commands that have a comment at their end, with it."""
    lines = (re.fullmatch(r" {4}(\S.*?)\s{2,}# (.+)", line) for line in text.splitlines())
    return {line[1]: line[2] for line in lines if line}


def inline(text: str) -> list[str]:
    """The commands in the text, between backticks."""
    return INLINE.findall(text)


def programs(command: str) -> tuple[list[str], set[str]]:
    """The programs that a line of shell calls, and the functions that it defines."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    called, defined, first = [], set(), True
    for token in lexer:
        if token == "()":
            defined.add(called.pop())
            first = True
        elif token in ENDS:
            first = True
        elif first and not re.match(r"\w+=", token):
            called.append(token)
            first = False
    return called, defined
