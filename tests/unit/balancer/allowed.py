"""What may stand in a rendered configuration, and nothing else: one table, compared with what a parser finds.

The parser is crossplane's, which reads a file as nginx does; every argument has to fit the table's pattern as well, and the
file holds nothing but printable ASCII, so that a text which two parsers would read differently has no place in it.
"""

import re
import tempfile
from pathlib import Path

import crossplane

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"{LABEL}(\.{LABEL})*"
NAME = r"[a-z0-9_-]{1,160}"
PORT = r"[1-9][0-9]{0,4}"
PLACE = rf"((\d{{1,3}}\.){{3}}\d{{1,3}}|\[[0-9a-f:.]+\]):{PORT}"
TIME = r"[0-9]{1,9}(ms|s|m|h)"

UPSTREAM = {
    "zone": rf"{NAME} \d+k",
    "server": rf"{PLACE}( weight=\d{{1,5}})? max_fails=\d+ fail_timeout={TIME}",
}
# file: {the blocks around it, from outside: {directive: its arguments, as a pattern of the whole}}
ALLOWED = {
    "http.conf": {
        "": {"upstream": f"http_{NAME}", "server": ""},
        "upstream": UPSTREAM | {"keepalive": r"\d+", "keepalive_timeout": TIME},
        "server": {
            "listen": rf"({PLACE}( default_server)?|unix:{{socket}})",
            "server_name": rf"(_|\*\.{HOST}|{HOST})",
            "default_type": "text/plain",
            "add_header": "Retry-After 5 always",
            "access_log": "off",
            "return": r"(200 [0-9a-f]{16}|(?P<status>404|503) (?P=status): [a-zA-Z .]+\\n)",
            "location": "/",
        },
        "server location": {"proxy_pass": f"http://http_{NAME}"},
    },
    "stream.conf": {
        "": {"upstream": f"tcp_{NAME}", "server": ""},
        "upstream": UPSTREAM | {"least_conn": ""},
        "server": {"listen": PLACE, "proxy_pass": f"tcp_{NAME}"},
    },
}


def parsed(file: Path) -> tuple[list, list[str]]:
    """The blocks and directives of http.conf or stream.conf, as the parser reads it inside of that block; and its complaints."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as main:
        main.write(f"{file.stem} {{ include {file}; }}\n")
        main.flush()
        told = crossplane.parse(main.name)
    return told["config"][1]["parsed"], [f"{file.name}: {one['error']}" for one in told["errors"]]


def walk(blocks, around=()):
    """(the blocks around it, directive, arguments) of everything in a parsed file."""
    for one in blocks:
        yield " ".join(around), one["directive"], " ".join(one["args"])
        yield from walk(one.get("block") or [], (*around, one["directive"]))


def foreign(file: Path, socket: str) -> list[str]:
    """What is in a rendered file that the table does not allow.

    :param socket: path of the socket over which the guard asks
    """
    text = file.read_bytes().decode(errors="replace")
    found = [f"the character {c!r}" for c in sorted(set(text)) if not (c == "\n" or " " <= c <= "~")]
    blocks, complaints = parsed(file)
    table = ALLOWED[file.name]
    for around, directive, arguments in walk(blocks):
        pattern = table.get(around, {}).get(directive)
        if pattern is None or not re.fullmatch(pattern.replace("{socket}", re.escape(socket)), arguments):
            found.append(f"{file.name}: {around}: {directive} {arguments[:200]!r}")
    return found + complaints
