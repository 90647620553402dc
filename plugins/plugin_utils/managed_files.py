"""Whether files of a host are as they should be already, told by one command that needs no Python there."""

from __future__ import annotations

import hashlib
import shlex
from os.path import dirname

OPTIONS = {"path", "content", "target", "mode", "owner", "group", "state", "purge", "validate"}
KINDS = {"file": ("regular file", "regular empty file"), "directory": ("directory",), "link": ("symbolic link",)}
NEEDED = {"file": "content", "link": "target"}
OCTAL = set("01234567")
MODES = {"file": "0644", "directory": "0755", "link": "0777"}
# What a shell takes as one argument; longer looks are not worth it.
LONGEST = 100_000


def look(files) -> str:
    """The command that looks at all of them: kind, mode and owner of each, targets of links, checksums of files, and what is in
    directories that are to hold nothing else. It fails where one is missing or another kind of thing.

    :param files: option `files` of the module managed_files, not validated
    :returns: `''` where the module itself has to look
    """
    if not isinstance(files, list) or not files or not all(_is_plain(wanted) for wanted in files):
        return ""
    steps = [f"stat -c '%F|%a|%U|%G' -- {_quoted(files)}"]
    links, contents, purged = (_with_state(files, "link"), _with_state(files, "file"), _purged(files))
    if links:
        steps.append(f"readlink -- {_quoted(links)}")
    if contents:
        # Of a pipe or a device nothing is read.
        steps += [*(f"[ -f {shlex.quote(wanted['path'])} ]" for wanted in contents), f"sha256sum -- {_quoted(contents)}"]
    if purged:
        steps.append(f"find {_quoted(purged)} -mindepth 1 -maxdepth 2")
    command = "export LC_ALL=C; " + " && ".join(steps)
    return command if len(command) < LONGEST else ""


def are_so(files: list[dict], code: int, answer: str) -> bool:
    """Whether each is what it should be; False also where the answer leaves a doubt.

    :param files: what `look` was given
    :param code: exit code of its command
    :param answer: its standard output; that of a terminal, where sudo has asked for a password, begins with an empty line
    """
    lines = iter(answer.lstrip("\r\n").splitlines())
    return (
        code == 0
        and all(_has_kind(wanted, next(lines, "")) for wanted in files)
        and all(next(lines, None) == wanted["target"] for wanted in _with_state(files, "link"))
        and all(next(lines, "").startswith(f"{_checksum(wanted)}  ") for wanted in _with_state(files, "file"))
        and all(_is_listed(path, files) for path in lines)
    )


def _is_plain(wanted) -> bool:
    """Whether an entry is one that the module would take as it stands."""
    if not isinstance(wanted, dict) or not set(wanted) <= OPTIONS or _state(wanted) not in [*KINDS]:
        return False
    needed = [wanted.get(NEEDED[_state(wanted)])] if _state(wanted) in NEEDED else []
    texts = [*needed, wanted.get("path"), *(wanted.get(name, "") for name in ("owner", "group", "mode"))]
    # A path with a variable or a home in it is the module's to expand.
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(wanted.get("purge", False), bool)
        and wanted["path"].startswith("/")
        and not {"$", "\n"} & set(wanted["path"])
        and set(_mode(wanted)) <= OCTAL
    )


def _state(wanted: dict) -> str:
    return wanted.get("state", "file")


def _mode(wanted: dict) -> str:
    return wanted.get("mode") or MODES[_state(wanted)]


def _with_state(files: list[dict], state: str) -> list[dict]:
    return [wanted for wanted in files if _state(wanted) == state]


def _purged(files: list[dict]) -> list[dict]:
    return [wanted for wanted in files if wanted.get("purge", False)]


def _quoted(files: list[dict]) -> str:
    return " ".join(shlex.quote(wanted["path"]) for wanted in files)


def _has_kind(wanted: dict, line: str) -> bool:
    """Whether a line of `stat` is that of the wanted kind; who owns a link means nothing."""
    kind, mode, owner, group = [*line.split("|"), "", "", ""][:4]
    if kind not in KINDS[_state(wanted)]:
        return False
    return _state(wanted) == "link" or (
        set(mode) <= OCTAL
        and int(mode or "0", 8) == int(_mode(wanted), 8)
        and (owner, group) == (wanted.get("owner", "root"), wanted.get("group", "root"))
    )


def _checksum(wanted: dict) -> str:
    return hashlib.sha256(wanted["content"].encode(errors="surrogateescape")).hexdigest()


def _is_listed(path: str, files: list[dict]) -> bool:
    """Whether something in a purged directory may be there: it is listed, is in a listed directory that keeps its content, or is
    Python's bytecode of a listed source."""
    listed = {wanted["path"].rstrip("/") for wanted in files}
    purged = {wanted["path"].rstrip("/") for wanted in _purged(files)}
    above = dirname(path)
    if path in listed or above in listed - purged:
        return True
    if path.endswith("/__pycache__"):
        return above in purged
    return above.endswith("/__pycache__") and dirname(above) in purged and f"{dirname(above)}/{_source(path)}" in listed


def _source(bytecode: str) -> str:
    return bytecode.rpartition("/")[2].split(".")[0] + ".py"
