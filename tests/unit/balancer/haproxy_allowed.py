"""What a catalog may add to HAProxy's configuration, and nothing else: one table of whole lines.

HAProxy reads a file line by line, and a line ends at a line feed unless a backslash stands before it. So each line has to fit a
pattern as a whole, none of which ends in a backslash, and the file holds nothing but printable ASCII. What is the same with an
empty catalog comes from the site's options alone.
"""

import re
from pathlib import Path

from allowed import HEADER, HEADER_VALUE, HOST, NAME, PATH, PLACE, PORT, SERVICE, USERS, VALUE
from discovery_balancer.backends.compression import TYPES
from discovery_balancer.backends.haproxy.render import files, layout
from discovery_balancer.plan import Plan

ADDRESS = r"((\d{1,3}\.){3}\d{1,3}|[0-9a-f:.]+)"
MS = r"[1-9]\d{0,9}ms"
CHECK = rf"( check inter 1h fastinter {MS} downinter {MS} rise 1 fall 1 observe layer4 error-limit \d+ on-error mark-down)?"
POOL = rf"( pool-max-conn \d+ pool-purge-delay {MS})?"
SERVER = rf"server {ADDRESS}:{PORT} {PLACE} weight [1-9]\d{{0,2}}{CHECK}"
SPARE = rf"server spare-\d+ 0\.0\.0\.0:1 disabled{CHECK}"
LOG = r"log-format %ci\\ \[%T\]\\ TCP\\ %ts\\ %B\\ %U\\ %Tt\\ service=<name>\\ instance=\\\"%si:%sp\\\"\\ port=%fp"
VALUES = rf"str\({SERVICE}/\),concat\(,txn\.(cookie|server)\),map\(discovery/sticky\.map\)"
CLEAR = r"!\{ ssl_fc \} \{ var\(txn\.encrypted\) -m found \} \{ req\.hdr\(X-Forwarded-Proto\) http \}"
NETWORK = r"((\d{1,3}\.){3}\d{1,3}/\d{1,2}|[0-9a-f:]+/\d{1,3})"
ALLOW = rf"acl discovery_(allowed CLIENT -m ip {NETWORK}( {NETWORK}){{0,15}}|6to4 CLIENT -m ip 2002::/16)"
LET_IN = "reject unless discovery_allowed !discovery_6to4"
NEW = "if discovery_new !discovery_same"
# section: the lines in it, as patterns of the whole; <name>: what follows the kind in the section's name
ALLOWED = {
    rf"backend http_({NAME})": [
        "balance roundrobin", "option http-no-delay", "http-request set-log-level silent",
        rf"timeout (connect|server|tunnel) {MS}",
        rf"http-request redirect location https://%\[var\(txn\.host\)\](:{PORT})?%\[pathq\] code 30[18] if"
        rf" {CLEAR} !\{{ var\(txn\.path\) -m beg /\.well-known/acme-challenge/ \}}"
        rf" or {CLEAR} \{{ var\(txn\.path\) -m sub \.\. \}}",
        rf'http-response set-header {HEADER} "{HEADER_VALUE}"',
        ALLOW.replace("CLIENT", r"var\(txn\.client\)"),
        r"http-request return status 403 content-type text/html file discovery/403\.html"
        r" unless discovery_allowed !discovery_6to4",
        r"http-request return status 403 content-type text/html file discovery/403\.html"
        rf" unless \{{ var\(txn\.verified\) -m str {USERS} \}}",
        r"http-request return status 401 content-type text/html file discovery/401\.html"
        rf" hdr WWW-Authenticate 'Basic realm=\"(?P<users>{USERS})\"' unless \{{ http_auth\(discovery_(?P=users)\) \}}",
        "compression algo gzip", f"compression type {re.escape(' '.join(TYPES))}",
        r"stick-table type ipv6 size 10k expire [1-9]\d{0,5}s store gpc0_rate\([1-9]\d{0,5}s\)",
        r"http-request track-sc1 var\(txn\.client\)", r"http-request sc-inc-gpc0\(1\)",
        r"http-request return status 429 content-type text/html file discovery/429\.html hdr Retry-After 5"
        r" if \{ sc_gpc0_rate\(1\) ge [1-9]\d{0,5} \}",
        r"http-request deny deny_status 413 if \{ req\.body_size gt [1-9]\d{0,14} \}",
        r"http-request disable-l7-retry if \{ method POST PATCH LOCK \} or \{ nbsrv lt 2 \}",
        rf"http-request replace-path \^(/([A-Za-z0-9_~-]|\[\.\])+)*\(/\(\.\*\)\)\?\$ ({PATH})?/\\2",
        rf"http-request set-header X-Forwarded-Prefix {PATH}",
        rf"http-request set-var\(txn\.cookie\) req\.cook\(sticky_{SERVICE}\)",
        rf"use-server %\[({VALUES})\] if \{{ \1 -m found \}}",
        r"http-response set-var\(txn\.server\) srv_name", rf"http-response set-var\(txn\.value\) {VALUES}",
        r"acl discovery_new var\(txn\.value\) -m found", r"acl discovery_same var\(txn\.value\),strcmp\(txn\.cookie\) eq 0",
        rf"http-response add-header Set-Cookie sticky_{SERVICE}=%\[var\(txn\.value\)\];\\ Path=/;\\ HttpOnly {NEW}",
        rf"http-response add-header Cache-Control private {NEW}",
        rf"({SERVER}|{SPARE}){POOL}( ssl verify none sni var\(txn\.host\)| proto h2)?",
    ],
    rf"backend tls_({NAME})": [
        "mode tcp", "balance (roundrobin|leastconn)", rf"timeout server {MS}",
        ALLOW.replace("CLIENT", "src"), f"tcp-request content {LET_IN}",
        rf"({SERVER}|{SPARE})( send-proxy)?",
    ],
    rf"listen tcp_({NAME})": [
        "mode tcp", "balance (roundrobin|leastconn)", rf"timeout (connect|client|server) {MS}", "log global", LOG,
        ALLOW.replace("CLIENT", "src"), f"tcp-request connection {LET_IN}",
        rf"bind {PLACE}", rf"({SERVER}|{SPARE})( send-proxy)?",
        r"tcp-request connection track-sc2 src table discovery_connections( unless discovery_front)?",
        r"acl discovery_front src [0-9a-f.:/]+( [0-9a-f.:/]+){0,15}",
        r"tcp-request connection reject if \{ sc_conn_cur\(2\) gt [1-9]\d{0,5} \}",
    ],
    "global()": [rf"hard-stop-after {MS}", r"tune\.bufsize [1-9]\d{4}", r"tune\.ssl\.cachesize 0"],
}  # fmt: skip
MAPS = {
    "hosts.map": rf"({HOST}({PATH})?/ {NAME}|\*{HOST}/ -)",
    "names.map": rf"(\*\.)?{HOST} (tls_{NAME}|discovery_https(_{USERS})?)",
    "sticky.map": rf"{SERVICE}/({VALUE} {ADDRESS}:{PORT}|{ADDRESS}:{PORT} {VALUE})",
    "encrypted.map": f"{HOST} yes",
    "client-cas.map": f"{HOST} {USERS}",
    "hsts.map": rf"{HOST} \d{{1,8}}",
    "structure.map": rf"((stop|buffer) \d+|(common|backend:(http|tls)_{NAME}) [0-9a-f]{{16}})",
    "marker.map": "marker [0-9a-f]{16}",
}


def sections(text: str) -> dict:
    """{first line: lines} of a file; a line that stands in none is one of its own."""
    found, name = {}, ""
    for line in text.split("\n"):
        if line.startswith("    "):
            found.setdefault(name, []).append(line[4:])
        elif line:
            name = line
            found.setdefault(name, [])
    return found


def foreign(folder: Path, options, own) -> list[str]:
    """What is in the rendered files that the table does not allow.

    :param folder: of one generation
    :param options: those that it was rendered with
    """
    read = {path.name: path.read_bytes().decode(errors="replace") for path in folder.iterdir() if path.name != "about.json"}
    with_tls, without = (files(layout(Plan(tls_port=port), options, own)) for port in (options.tls_port, 0))
    site = [sections(one["services.cfg"]) for one in (with_tls, without)]
    found = []
    for name, text in read.items():
        odd = sorted({c for c in set(text) if not (c == "\n" or " " <= c <= "~" or (c == "\r" and name.endswith(".http")))})
        found += [f"{name}: the character {c!r}" for c in odd]
        if name in MAPS:
            found += _not_in_map(name, text)
        elif name != "services.cfg" and text != with_tls.get(name):
            found.append(f"{name}: {text[:100]!r}")
    for title, lines in sections(read["services.cfg"]).items():
        if any(lines == one.get(title) for one in site):
            continue
        match, patterns = next(((m, p) for where, p in ALLOWED.items() if (m := re.fullmatch(where, title))), (None, []))
        if not match:
            found.append(f"section {title[:200]!r}")
            continue
        filled = [pattern.replace("<name>", re.escape(match[1])) for pattern in patterns]
        found += [f"{title}: {line[:200]!r}" for line in lines if not any(re.fullmatch(one, line) for one in filled)]
    titles = [line for line in read["services.cfg"].split("\n") if line and not line.startswith((" ", "#"))]
    found += [f"twice: {title}" for title in set(titles) if titles.count(title) > 1]
    return found


def _not_in_map(name, text):
    lines = text.removesuffix("\n").split("\n") if text else []
    keys = [line.split(" ")[0] for line in lines]
    found = [f"{name}: {line[:200]!r}" for line in lines if not re.fullmatch(MAPS[name], line)]
    return found + [f"{name}: {key} twice" for key in set(keys) if keys.count(key) > 1]
