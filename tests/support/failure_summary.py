"""What failed, from the output of a scenario that tests/scenarios ran: `python -m tests.support.failure_summary LOG`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LIMIT = 40  # lines of a task, and of all tests together
VALUE = 20  # lines of one value of a task's result
WIDTH = 400  # characters of a line
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The end of a playbook: each host with its numbers.
RECAP = re.compile(r"^PLAY RECAP \**\n((?:\S+ +: ok=.*(?:\n|$))*)", re.MULTILINE)
UNWELL = re.compile(r"(unreachable|failed)=[1-9]")
HEAD = re.compile(r"(TASK|RUNNING HANDLER|PLAY) \[")
# What ends the output of a task: the next one, the end of the play, a line of molecule, of pytest.
NEXT = re.compile(r"(TASK|RUNNING HANDLER|PLAY) \[|PLAY RECAP |(INFO|WARNING|ERROR|CRITICAL) +\S|===")
FAILED = re.compile(r"(fatal|failed): \[")
IGNORED = "...ignoring"
ANSIBLE_ERROR = "[ERROR]: "
KEY = re.compile(r" {4}(\w+):")
# Parts of a result that do not say why it failed.
NOISE = {"ansible_loop_var", "changed", "delta", "end", "invocation", "start", "stderr_lines", "stdout_lines"}
RETRY = re.compile(r"FAILED - RETRYING: ")
SUMMARY = re.compile(r"=+ short test summary info =+$")
TEST = re.compile(r"(FAILED|ERROR) \S+::|(FAILED|ERROR) \S+\.py\b")
PASSED_OVER = re.compile(r"(SKIPPED|XFAIL|XPASS|PASSED) ")
MOLECULE_ERROR = re.compile(r"(ERROR|CRITICAL) +\S")


def failed_task(text: str) -> list[str]:
    """The last task on which a playbook ended: its name, Ansible's error, and why it failed on each host.

    Failures that a playbook ignored or rescued are none.

    :param text: output of playbooks, without colours
    :returns: at most 40 lines, none when no playbook failed
    """
    for run in reversed(_runs(text)):
        for block in reversed(_blocks(run)):
            if lines := _failure(block):
                return _head(lines, LIMIT)
    return []


def failed_tests(text: str) -> list[str]:
    """Each test that failed, as in pytest's short summary; of a playbook's output in its message only the task that failed.

    :param text: output of pytest, without colours
    :returns: at most 40 lines, none when no test failed
    """
    entries: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if SUMMARY.match(line):
            inside = True
        elif line.startswith("==="):
            inside = False
        elif inside and TEST.match(line):
            entries.append([line])
        elif inside and PASSED_OVER.match(line):
            entries.append([])
        elif inside and entries and entries[-1]:
            entries[-1].append(line)
    entries = [entry for entry in entries if entry]
    share = max(3, LIMIT // max(1, len(entries)) - 1)
    shown = [line for entry in entries for line in (entry[0], *_both_ends(_message(entry[1:]), share))]
    return _head(shown, LIMIT)


def summary(text: str) -> list[str]:
    """What failed in the output of a scenario: a task and tests, or else the errors of molecule itself.

    :param text: the output, with or without colours
    """
    text = COLOUR.sub("", text)
    failed = failed_task(text) + failed_tests(text)
    lines = failed or [line for line in text.splitlines() if MOLECULE_ERROR.match(line)][-5:]
    return [line if len(line) <= WIDTH else f"{line[:WIDTH]} …" for line in lines]


def _runs(text: str) -> list[list[str]]:
    """The lines of each playbook that did not end well: its recap has failures, or it has none."""
    *pairs, last = RECAP.split(text)
    ended = zip(pairs[::2], pairs[1::2], strict=True)
    return [*(run.splitlines() for run, recap in ended if UNWELL.search(recap)), last.splitlines()]


def _blocks(run: list[str]) -> list[list[str]]:
    """The lines from each heading to the next one."""
    blocks: list[list[str]] = [[]]
    for line in run:
        if NEXT.match(line):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _failure(block: list[str]) -> list[str]:
    """Why a task failed, from its output; nothing when it did not."""
    heading = [block[0].rstrip(" *")] if block and HEAD.match(block[0]) else []
    parts: list[list[str]] = []
    for line in block[len(heading) :]:
        if FAILED.match(line) or line.startswith(ANSIBLE_ERROR):
            parts.append([line])
        elif line.startswith(IGNORED):
            parts = []
        elif parts and re.match(r"(ok|changed|skipping|included|rescued): |NO MORE HOSTS", line):
            parts.append([])
        elif parts and parts[-1] and not RETRY.match(line):
            parts[-1].append(line)
    parts = [part for part in parts if part]
    results = [line for part in parts if FAILED.match(part[0]) for line in _result(part)]
    errors = [line for part in parts if not FAILED.match(part[0]) for line in part if line.strip()]
    # Without a result an error that no task of a playbook explains, as of its syntax.
    return [*heading, *_head(errors, LIMIT // 3), *results] if results or (errors and not heading) else []


def _result(lines: list[str]) -> list[str]:
    """The result of a task on one host without what does not say why it failed; long values keep their beginning and end."""
    shown, value, noise = [lines[0]], [], False
    for line in [*lines[1:], "    _end:"]:
        if match := KEY.match(line):
            shown += [] if noise else _both_ends(value, VALUE)
            value, noise = [line], match[1] in NOISE
        elif line.strip():
            value.append(line)
    return shown


def _message(lines: list[str]) -> list[str]:
    """The message of a test that failed, or of the playbook that failed in it."""
    lines = [line.removeprefix("  ") for line in lines]
    return [f"  {line}" for line in failed_task("\n".join(lines)) or [line for line in lines if line.strip()]]


def _both_ends(lines: list[str], most: int) -> list[str]:
    """The beginning and, mostly, the end of what is too long."""
    return lines if len(lines) <= most else [*lines[: most // 4], "        …", *lines[most // 4 + 1 - most :]]


def _head(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[: most - 1], f"… and {len(lines) - most + 1} more lines"]


if __name__ == "__main__":
    print("\n".join(summary(Path(sys.argv[1]).read_text(errors="replace"))))
