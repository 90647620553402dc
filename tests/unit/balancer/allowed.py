"""What may stand in a rendered configuration, and nothing else: one table, compared with what a parser finds.

The parser is crossplane's, which reads a file as nginx does; every argument has to fit the table's pattern as well, and the
file holds nothing but printable ASCII, so that a text which two parsers would read differently has no place in it.
"""

import functools
import re
import tempfile
from pathlib import Path

import crossplane

from discovery_balancer.backends.compression import TYPES

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST = rf"{LABEL}(\.{LABEL})*"
NAME = r"[a-z0-9_-]{1,160}"
PORT = r"[1-9][0-9]{0,4}"
PLACE = rf"((\d{{1,3}}\.){{3}}\d{{1,3}}|\[[0-9a-f:.]+\]):{PORT}"
TIME = r"[0-9]{1,9}(ms|s|m|h)"

PATH = r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+"
FILE = r"/[A-Za-z0-9._/@+-]+"
SERVICE, VALUE = "[0-9a-f]{16}", "[0-9a-f]{4}"  # in the name of a sticky cookie, and of one
TAKEN = r"~^([0-9a-f]+) \1$"  # the cookie is of the instance that answered
NETWORK = r"(\d{1,3}\.){3}\d{1,3}/\d{1,2}|[0-9a-f:]+/\d{1,3}"
ACCESS = {"allow": NETWORK, "deny": "all"}
USERS = "[a-z0-9][a-z0-9_-]{0,31}"
MARKER = r"unix:{run}/nginx\.sock"  # {run}: the directory of nginx's sockets
SECOND = "unix:{run}-tls"  # where the second step of TLS has its own
HSTS = r"Strict-Transport-Security max-age=\d{1,8}"
HEADER, HEADER_VALUE = r"[A-Za-z][A-Za-z0-9-]{0,39}", r"[A-Za-z0-9 !&'()*+,./:;<=>?@_~-]{1,400}"
CHALLENGE = "~ " + re.escape("^/[.]well-known/acme-challenge/([A-Za-z0-9_-]{16,128})$")
UPSTREAM = {
    "zone": rf"{NAME} \d+k",
    "server": rf"{PLACE}( weight=\d{{1,5}})? max_fails=(\d+ fail_timeout={TIME}|0 backup)",
}
ADDED = rf"(Retry-After (5|\$discovery_retry_after)|{HSTS}) always"
ANSWER = {
    "default_type": "text/(plain|html)",
    "add_header": ADDED,
    "return": r"(200 ([0-9a-f]{16}|\$discovery_error|\$1\.[A-Za-z0-9_-]{43})|(?P<status>404|503) \$discovery_page_(?P=status))",
}
# file: {the blocks around it, from outside, maps with what they map: {directive: its arguments}}, all as patterns of the whole
ALLOWED = {
    "main.conf": {"": {"worker_shutdown_timeout": TIME}},
    "http.conf": {
        "": {
            "upstream": f"(http_{NAME}|sticky_{NAME}_{VALUE})",
            "server": "",
            "gzip_vary": "on", "gzip_proxied": "any", "gzip_min_length": "1000", "gzip_types": re.escape(" ".join(TYPES[1:])),
            "limit_req_zone": rf"\$binary_remote_addr zone=rate_{NAME}:1m rate=[1-9]\d{{0,4}}r/s",
            "map": r" \$discovery_(service|prefix|page_(\d+|maintenance))|\$status \$discovery_(error|retry_after)"
            r"|\$upstream_addr \$discovery_answered"
            r"|\$discovery_sticky \$discovery_(answered \$discovery_by|cookie \$discovery_to)"
            r"|\$discovery_by \$discovery_cookie \$discovery_set_cookie|\$discovery_set_cookie \$discovery_cache",
        },
        r"map  \$discovery_(service|prefix)": {"default": "-?"},
        r"map  \$discovery_page_(\d+|maintenance)": {"default": r"<!doctype html>[^$]*</html>\\n"},
        r"map \$status \$discovery_error": {"default|401|403|429|431": r"\$discovery_page_(401|403|429|431|502)"},
        r"map \$status \$discovery_retry_after": {"default|401|403|431": "5?"},
        r"map \$upstream_addr \$discovery_answered": {
            "default": r"\$upstream_addr",
            re.escape("~ (?<discovery_answerer>[^ ]+)$"): r"\$discovery_answerer",
        },
        r"map \$discovery_sticky \$discovery_answered \$discovery_by": {"default": "", f"{SERVICE} {PLACE}": VALUE},
        r"map \$discovery_by \$discovery_cookie \$discovery_set_cookie": {
            "default": r"sticky_\$discovery_sticky=\$discovery_by; Path=/; HttpOnly",
            f"{re.escape('~^ ')}|{re.escape(TAKEN)}": "",
        },
        r"map \$discovery_set_cookie \$discovery_cache": {"default": "private", "": ""},
        r"map \$discovery_sticky \$discovery_cookie \$discovery_to": {
            "volatile": "", "default": r"http_\$discovery_service", f"{SERVICE} {VALUE}": f"sticky_{NAME}_{VALUE}",
        },
        "upstream": UPSTREAM | {"keepalive": r"\d+", "keepalive_timeout": TIME},
        "server": ANSWER
        | {
            "listen": rf"({PLACE}( default_server)?|{MARKER}|{SECOND}/https(-{USERS})?\.sock"
            "( ssl http2 proxy_protocol default_server)?)",
            "ssl_client_certificate": FILE, "ssl_verify_client": "optional", "ssl_verify_depth": "9", "ssl_session_cache": "off",
            "return": ANSWER["return"] + "|421",
            "server_name": rf"(_|\*\.{HOST}|{HOST})",
            "access_log": "off",
            "error_page": r"((401 )?(403 )?429 502 504|494 =431|495 =403) @discovery_error",
            "ssl_certificate(_key)?": FILE,
            "set_real_ip_from": "unix:",
            "real_ip_header": "proxy_protocol",
            "(proxy|grpc)_hide_header": "Strict-Transport-Security",
            "location": rf"(/|= {PATH}|{PATH}/|@discovery_error|{CHALLENGE})",
        },
        "server location": ANSWER
        | ACCESS
        | {
            "(proxy|grpc)_hide_header": HEADER,
            "access_log": "off", "auth_basic": USERS, "auth_basic_user_file": FILE,
            "if": r"\$discovery_clear|\$ssl_client_verify != SUCCESS",
            "set": rf"\$discovery_(service {NAME}|prefix {PATH}|sticky {SERVICE}|cookie \$cookie_sticky_{SERVICE})",
            "add_header": rf"{ADDED}|(Set-Cookie \$discovery_set_cookie|Cache-Control \$discovery_cache) always"
            f"|{HEADER} {HEADER_VALUE} always",
            "rewrite": rf"\(\?s\)\^(/([A-Za-z0-9_~-]|\[\.\])+)*/\?\(\.\*\)\$ ({PATH})?/\$1 break",
            "proxy_pass": rf"https?://(http_{NAME}(({PATH})?/)?|\$discovery_to)",
            "grpc_pass": f"grpc://http_{NAME}",
            "(proxy|grpc)_(connect|read|send)_timeout": TIME,
            "(proxy|grpc)_buffer_size|proxy_busy_buffers_size": r"[1-9]\d?k",
            "gzip": "on",
            "limit_req": rf"zone=(rate_{NAME}|discovery_rate) burst=[1-9]\d{{0,5}} nodelay",
            "client_max_body_size": "[1-9][0-9]{0,5}[kmg]",
            "proxy_(request_)?buffering": "off",
            "proxy_buffers": r"8 [1-9]\d?k",
            "proxy_ssl_server_name": "on",
            "proxy_ssl_name": r"\$host",
        },
        "server location if": {"add_header": "Retry-After ", "return": rf"30[18] https://{HOST}(:{PORT})?\$request_uri|403"},
    },
    "stream.conf": {
        "": {
            "upstream": f"((tcp|tls|udp)_{NAME}|discovery_(https(_{USERS})?|through))",
            "server": "",
            "limit_conn": r"connections_[0-9a-f]{16} [1-9]\d{0,5}",
            "limit_conn_log_level": "warn",
            "limit_conn_zone": r"\$(discovery_connecting zone=connections_[0-9a-f]{16}:4m"
            r"|protocol zone=datagrams_[0-9a-f]{16}:64k|server_port zone=datagrams_[0-9a-f]{16}_port:\d+k)",
            "map": r"\$(protocol\$server_port \$discovery_service|ssl_preread_server_name \$discovery_tls"
            r"|discovery_(tls|let_in) \$discovery_step|discovery_tls \$discovery_in|discovery_in \$discovery_let_in)",
            "geo": rf"\$discovery_in_{SERVICE}",
        },
        rf"geo \$discovery_in_{SERVICE}": {"default": "0", NETWORK: "1"},
        r"map \$discovery_tls \$discovery_in": {"default": "1", f"tls_{NAME}": rf"\$discovery_in_{SERVICE}"},
        r"map \$discovery_in \$discovery_let_in": {"default": "", "1": r"\$discovery_tls"},
        r"map \$protocol\$server_port \$discovery_service": {
            "default": "-", f"TCP({PORT})?": rf"({NAME}|\$discovery_tls)", f"UDP{PORT}": NAME,
        },
        r"map \$ssl_preread_server_name \$discovery_tls": {
            "default": "", "hostnames": "", rf"(\*\.)?{HOST}": f"(tls_{NAME}|discovery_https(_{USERS})?)",
        },
        r"map \$discovery_(tls|let_in) \$discovery_step": {
            "default": "discovery_through", "": "", f"discovery_https(_{USERS})?": f"discovery_https(_{USERS})?",
        },
        "upstream": UPSTREAM | {"server": rf"({UPSTREAM['server']}|{SECOND}/(https(-{USERS})?|through)\.sock)", "least_conn": ""},
        "server": ACCESS
        | {
            "listen": rf"({PLACE}( udp reuseport)?|{SECOND}/through\.sock proxy_protocol)",
            "proxy_pass": rf"((tcp|udp)_{NAME}|\$discovery_(tls|let_in|step))",
            "(proxy_connect|proxy)_timeout": TIME,
            "proxy_responses": r"\d{1,3}",
            "limit_conn": r"datagrams_[0-9a-f]{16}(_port)? [1-9]\d{0,9}",
            "limit_conn_log_level": "info",
            "(ssl_preread|proxy_protocol)": "on",
            "access_log": "off",
        },
    },
}  # fmt: skip


def parsed(file: Path) -> tuple[list, list[str]]:
    """The blocks and directives of http.conf or stream.conf, as the parser reads it inside of that block, or of main.conf, which
    is in none; and its complaints."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as main:
        main.write(f"include {file};\n" if file.stem == "main" else f"{file.stem} {{ include {file}; }}\n")
        main.flush()
        parsed = crossplane.parse(main.name)
    return parsed["config"][1]["parsed"], [f"{file.name}: {one['error']}" for one in parsed["errors"]]


def walk(blocks, around=()):
    """(the blocks around it, directive, arguments) of everything in a parsed file."""
    for one in blocks:
        arguments = " ".join(one["args"])
        yield " ".join(around), one["directive"], arguments
        inner = f"{one['directive']} {arguments}" if one["directive"] in ("map", "geo") else one["directive"]
        yield from walk(one.get("block") or [], (*around, inner))


@functools.lru_cache(maxsize=20_000)  # most directives are those of the last file
def allowed(name: str, around: str, directive: str, arguments: str, run: str) -> bool:
    """Whether the table of a file has a place for it."""
    places = [directives for where, directives in ALLOWED[name].items() if re.fullmatch(where, around)]
    patterns = [found for directives in places for name, found in directives.items() if re.fullmatch(name, directive)]
    return any(re.fullmatch(pattern.replace("{run}", re.escape(run)), arguments) for pattern in patterns)


def foreign(file: Path, run: str) -> list[str]:
    """What is in a rendered file that the table does not allow.

    :param run: directory of the sockets of nginx
    """
    return list(_foreign(file.name, file.read_bytes(), run))


@functools.lru_cache(maxsize=2_000)  # what is skipped leaves the file of the catalog before
def _foreign(name: str, content: bytes, run: str) -> tuple[str, ...]:
    found = [f"the character {c!r}" for c in sorted(set(content.decode(errors="replace"))) if not (c == "\n" or " " <= c <= "~")]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        blocks, complaints = parsed(file)
    for around, directive, arguments in walk(blocks):
        if not allowed(name, around, directive, arguments, run):
            found.append(f"{name}: {around}: {directive} {arguments[:200]!r}")
    return (*found, *complaints)
