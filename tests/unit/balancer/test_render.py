"""The files for nginx: what is in them, and that nothing else can get into them."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service, plan
from discovery_balancer.settings import PARSERS, Settings

OPTIONS = Options(domain="hospital.example", udp_ports=(9000, 9999))
CERTIFICATE = {"names": ["*.hospital.example", "a.example"], "certificate": "/etc/c.pem", "key": "/etc/k.pem"}
ENDING_TLS = Options(domain="hospital.example", certificates=(CERTIFICATE,))
ALLOWED = {
    "add_header", "default", "default_type", "error_page", "keepalive", "keepalive_timeout", "least_conn", "listen", "location",
    "map", "proxy_pass", "return", "server", "server_name", "set", "upstream", "worker_shutdown_timeout", "zone",
}  # fmt: skip
TLS = {
    "access_log", "grpc_pass", "grpc_read_timeout", "grpc_send_timeout", "hostnames", "proxy_connect_timeout", "proxy_protocol",
    "proxy_read_timeout", "proxy_send_timeout", "proxy_ssl_name", "proxy_ssl_server_name", "proxy_timeout", "real_ip_header",
    "set_real_ip_from", "ssl_certificate", "ssl_certificate_key", "ssl_preread", "grpc_connect_timeout",
    "client_max_body_size", "proxy_buffering", "proxy_request_buffering", "grpc_buffer_size", "proxy_buffer_size",
    "proxy_buffers", "proxy_busy_buffers_size", "rewrite", "proxy_responses", "grpc_hide_header", "if", "proxy_hide_header",
    "allow", "deny", "geo", "limit_req", "limit_req_zone", "gzip", "gzip_min_length", "gzip_proxied", "gzip_types", "gzip_vary",
}  # fmt: skip
# What stands in the blocks of maps: ports, statuses, names of hosts and of what they lead to; cookies and addresses.
HOST = re.compile(
    r"[0-9]{3}|(TCP|UDP)[0-9]{0,5}|discovery_https|(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+|[0-9a-f]{16} ([0-9a-f]{4}|[0-9a-f.:\[\]]+)"
    r"|[0-9a-f.:]+/[0-9]{1,3}|1|tls_[a-z0-9_-]+"  # who is let in
    r"|~\^ |~\^\(\.\+\) \\1\$|~ \(\?<discovery_answerer>\[\^ \]\+\)\$"
)


def directives(text):
    """First words of nginx's directives and blocks, found the way nginx reads a file: quotes, escapes, comments."""
    found, words, word = [], [], ""
    tokens = re.compile(r"""(?P<comment>\#[^\n]*)|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|[^\s;{}]+""", re.S)
    for match in tokens.finditer(text):
        word = match.group()
        if match["comment"] and not words:
            continue
        if word in ";{":
            assert words, f"an empty directive before {word!r}"
            found.append(words[0].strip('"') or "default")
            words = []
        elif word == "}":
            assert not words, f"{words} without an end"
        else:
            words.append(word)
    assert not words
    assert text.count("{") == text.count("}")
    return found


def http_conf(*services, options=OPTIONS):
    return render_nginx(Plan(http=services), options)["http.conf"]


def web(*instances, hosts=("web.hospital.example",), **chosen):
    return Service("web", instances or (Instance("10.0.0.1", 8080),), hosts=hosts, settings=Settings(**chosen))


def test_empty_plan_answers_404_and_503_and_has_no_listener():
    files = render_nginx(Plan(), OPTIONS)
    text = files["http.conf"]
    assert directives(files["stream.conf"]) == ["map", "default"]
    assert re.search(r"default_server;\n    server_name _;\n.*\n    return 404 ", text)
    assert re.search(r"server_name \*\.hospital\.example;\n.*\n    add_header Retry-After 5 always;\n    return 503 ", text)


def test_virtual_host():
    text = http_conf(web(Instance("10.0.0.1", 8080), Instance("[2001:db8::1]", 81, 3)))
    assert text.endswith(
        """\
upstream http_web {
    zone http_web 70k;
    server 10.0.0.1:8080 max_fails=3 fail_timeout=5s;
    server [2001:db8::1]:81 weight=3 max_fails=3 fail_timeout=5s;
    server 10.0.0.1:8080 max_fails=0 backup;
    server [2001:db8::1]:81 weight=3 max_fails=0 backup;
    server 10.0.0.1:8080 max_fails=0 backup;
    server [2001:db8::1]:81 weight=3 max_fails=0 backup;
    keepalive 64;
    keepalive_timeout 1s;
}
server {
    listen 0.0.0.0:80;
    server_name web.hospital.example;
    error_page 429 502 504 @discovery_error;
    error_page 494 =431 @discovery_error;
    location @discovery_error {
        add_header Retry-After $discovery_retry_after always;
        default_type text/html;
        return 200 $discovery_error;
    }
    location / {
        set $discovery_service web;
        proxy_pass http://http_web;
    }
}
"""
    )


def test_path_that_is_stripped():
    text = http_conf(web(path="/api", strip=True, protocol="https", read_timeout="5m", connect_timeout="2s"))
    body = """\
        set $discovery_service web;
        set $discovery_prefix /api;
        proxy_pass https://http_web/;
        proxy_ssl_server_name on;
        proxy_ssl_name $host;
        proxy_connect_timeout 2s;
        proxy_read_timeout 5m;
        proxy_send_timeout 5m;
    }
"""
    assert f"    location = /api {{\n{body}    location /api/ {{\n{body}    location / {{\n" in text


@pytest.mark.parametrize(
    ("chosen", "lines"),
    [
        ({"rewrite": "/v2"}, "proxy_pass http://http_web/v2/;"),
        ({"rewrite": "/v2", "path": "/a"}, "set $discovery_prefix /a;\n        proxy_pass http://http_web/v2/;"),
        ({"rewrite": "/v2", "path": "/a.b", "sticky": "cookie"}, 'rewrite "(?s)^/a[.]b/?(.*)$" /v2/$1 break;'),
        ({"rewrite": "/v2", "sticky": "cookie"}, 'rewrite "(?s)^/?(.*)$" /v2/$1 break;'),
    ],
)
def test_p1_path_that_is_rewritten(chosen, lines):
    assert f"        {lines}\n" in http_conf(web(**chosen))


@pytest.mark.parametrize(
    ("chosen", "lines"),
    [
        (
            {"header_size": "64k"},
            "        proxy_buffer_size 68k;\n        proxy_buffers 8 17k;\n        proxy_busy_buffers_size 68k;\n",
        ),
        ({"header_size": "64k", "protocol": "grpc"}, "        grpc_buffer_size 68k;\n"),
        ({"unbuffered": True}, "        proxy_buffering off;\n        proxy_request_buffering off;\n"),
        ({"unbuffered": True, "protocol": "grpc"}, ""),
        ({"max_body_size": "2g"}, "        client_max_body_size 2g;\n"),
    ],
)
def test_w8_p1_w17_lines_of_a_label(chosen, lines):
    assert http_conf(web(**chosen)).endswith(f"http_web;\n{lines}    }}\n}}\n")


def test_p1_pages_of_the_site():
    """As they are: nothing in them is nginx's, and none is too long for it."""
    html = '<p class="x">$host \\\\n \\\\ {}; é</p>\n' * 100
    text = http_conf(options=dataclasses.replace(OPTIONS, pages={"503": html, "404": "x"}))
    pieces = re.findall(r'geo \$discovery_part_503_\d+ \{ default "((?:[^"\\]|\\["\\])*)"; \}\n', text)
    assert "".join(pieces).replace('\\"', '"').replace("\\\\", "\\") == html
    assert max(len(piece.encode()) for piece in pieces) < 4000
    names = "".join(f"$discovery_part_503_{number}" for number in range(len(pieces)))
    assert f'map "" $discovery_page_503 {{ default "{names}"; }}\n' in text and "unavailable" not in text
    assert 'geo $discovery_part_404_0 { default "x\n"; }\n' in text and "did not answer" in text
    assert "geo" not in http_conf()


def test_p1_allow_list():
    """Of a label, else of the site; a host without one has nothing of it."""
    chosen = {"allow": ("10.0.0.0/8", "2001:db8::/32")}
    text = http_conf(web(**chosen), Service("open", (Instance("10.0.0.1", 80),), hosts=("open.hospital.example",)))
    lines = "        allow 10.0.0.0/8;\n        allow 2001:db8::/32;\n        deny all;\n"
    assert f"http_web;\n{lines}    }}\n}}\n" in text and text.count("deny") == text.count("error_page 403 429") == 1
    site = dataclasses.replace(OPTIONS, allow=("10.9.0.0/16",))
    assert "        allow 10.9.0.0/16;\n        deny all;\n" in http_conf(web(), options=site)
    assert "10.9" not in http_conf(web(**chosen), options=site)


@pytest.mark.parametrize("options", [OPTIONS, ENDING_TLS], ids=["", "with certificates"])
def test_p1_proxy_protocol_of_a_balancer_in_front(options):
    """Every listener for HTTP and the one for TLS; none of a tcp service, and none without the option."""
    at = (Instance("10.0.0.1", 443),)
    tls, tcp = Service("t", at, hosts=("t.example",)), Service("db-9999", at, 9999)
    plan = Plan(http=(web(),), tls=(tls,), tls_port=443, tcp=(tcp,))
    front = dataclasses.replace(options, proxy_protocol_from=("10.0.0.9", "10.1.0.0/16"))
    made = render_nginx(plan, front)
    real = "    set_real_ip_from 10.0.0.9;\n    set_real_ip_from 10.1.0.0/16;\n"
    listener = r"    listen (0[^;]*):80([^;]*);\n    server_name [^;]+;\n((?:    (?:set_)?real_ip[^;]+;\n)*)"
    listeners = re.findall(listener, made["http.conf"])
    assert len(listeners) == 3
    for _address, flags, lines in listeners:
        assert flags.startswith(" proxy_protocol") and lines == f"{real}    real_ip_header proxy_protocol;\n"
    assert f"    listen 0.0.0.0:443 proxy_protocol;\n{real}    ssl_preread on;\n" in made["stream.conf"]
    assert "    listen 0.0.0.0:9999;\n" in made["stream.conf"]
    if options is OPTIONS:
        assert "real_ip" not in "".join(render_nginx(plan, options).values())


def test_p1_proxy_protocol_to_an_instance():
    at = (Instance("10.0.0.1", 443),)
    services = Service("a-9999", at, 9999, settings=Settings(proxy_protocol=True)), Service("b-9998", at, 9998)
    text = render_nginx(Plan(tcp=services), OPTIONS)["stream.conf"]
    assert text.count("proxy_protocol") == 1 and "    proxy_pass tcp_a-9999;\n    proxy_protocol on;\n}" in text


def test_p1_default_host():
    """Of the site, while somebody has it."""
    site = dataclasses.replace(OPTIONS, default_host="web.hospital.example")
    listening = r"default_server;\n    server_name {};"
    assert re.findall(listening.format("(.*)"), http_conf(web(), options=site)) == ["web.hospital.example"]
    assert re.findall(listening.format("(.*)"), http_conf(web(hosts=("b.example",)), options=site)) == ["_"]


def test_p1_no_access_log():
    at = (Instance("10.0.0.1", 443),)
    tcp = Service("a-9999", at, 9999, settings=Settings(access_log=False)), Service("b-9998", at, 9998)
    made = render_nginx(Plan(http=(web(access_log=False), Service("b", at, hosts=("b.example",))), tcp=tcp), OPTIONS)
    assert "http_web;\n        access_log off;\n    }" in made["http.conf"] and made["http.conf"].count("access_log") == 1
    assert "tcp_a-9999;\n    access_log off;\n}" in made["stream.conf"] and made["stream.conf"].count("access_log") == 1


@pytest.mark.parametrize("options", [OPTIONS, ENDING_TLS], ids=["", "with certificates"])
def test_p1_maintenance(options):
    """Of a host that somebody has, and of one that nobody has; no request goes to an instance."""
    names = ("web.hospital.example", "b.example")
    text = http_conf(web(), options=dataclasses.replace(options, maintenance=names))
    for name in names:
        found = re.findall(rf"    server_name {name};\n[^}}]*\n    return 503 \$discovery_page_maintenance;\n", text)
        assert len(found) == 1
    assert "proxy_pass" not in text and "return 503 $discovery_page_maintenance" not in http_conf(web(), options=options)


def test_p1_basic_auth():
    """Of a label, else of the site; the hashes are in a file that the workers read."""
    site = dataclasses.replace(OPTIONS, htpasswd={"staff": "/etc/nginx/u/staff", "all": "/etc/nginx/u/all"}, basic_auth="all")
    for label, users in (("staff", "staff"), ("", "all")):
        text = http_conf(web(basic_auth=label), options=site)
        lines = f"        auth_basic {users};\n        auth_basic_user_file /etc/nginx/u/{users};\n"
        assert f"http_web;\n{lines}    }}\n}}\n" in text and "error_page 401 429" in text
    assert "auth_basic" not in http_conf(web(basic_auth="false"), options=site) + http_conf(web())


def asking(name="web", **chosen):
    """An http service on a host for which TLS ends here."""
    hosts = (f"{name}.hospital.example",)
    return Service(name, (Instance("10.0.0.1", 8080),), hosts=hosts, encrypted=hosts, settings=Settings(**chosen))


def test_p1_certificates_of_clients():
    """Their hosts are on a socket of their own, and on the other one are nothing but another server's."""
    options = dataclasses.replace(ENDING_TLS, client_cas={"staff": "/etc/staff.pem", "guests": "/etc/guests.pem"})
    services = asking(client_ca="staff"), asking(name="open"), asking(name="soft", client_ca="staff,optional")
    files = render_nginx(Plan(http=services, tls_port=443), options)
    text, run = files["http.conf"], "/run/discovery-balancer-tls"
    keys = "    ssl_certificate /etc/c.pem;\n    ssl_certificate_key /etc/k.pem;\n"
    asks = (
        "    ssl_client_certificate /etc/staff.pem;\n    ssl_verify_client optional;\n    ssl_verify_depth 9;\n"
        "    ssl_session_cache off;\n    set_real_ip_from unix:;\n    real_ip_header proxy_protocol;\n"
    )
    default = f"    listen unix:{run}/https-staff.sock ssl http2 proxy_protocol default_server;\n    server_name _;\n"
    assert f"server {{\n{default}{keys}{asks}    return 421;\n}}\n" in text and "guests" not in text
    for host in ("web", "soft"):
        named = f"    server_name {host}.hospital.example;\n{keys}"
        front = "    set_real_ip_from unix:;\n    real_ip_header proxy_protocol;\n"
        assert f"server {{\n    listen unix:{run}/https.sock;\n{named}{front}    return 421;\n}}\n" in text
        assert f"server {{\n    listen unix:{run}/https-staff.sock;\n{named}{asks}    error_page " in text
    needs = "        if ($ssl_client_verify != SUCCESS) {\n            return 403;\n        }\n"
    assert text.count(f"        set $discovery_service web;\n{needs}") == text.count("$ssl_client_verify") == 2  # also in clear
    assert text.count("    error_page 495 =403 @discovery_error;\n") == 2 and "error_page 403 429" in text
    stream = files["stream.conf"]
    assert "    web.hospital.example discovery_https_staff;\n" in stream and "    open." not in stream
    assert "    discovery_https_staff discovery_https_staff;\n" in stream
    assert f"upstream discovery_https_staff {{\n    server unix:{run}/https-staff.sock;\n}}\n" in stream
    for plain in (render_nginx(Plan(http=services), options), render_nginx(Plan(http=services[1:2], tls_port=443), options)):
        assert "https-" not in "".join(plain.values())
    kept = render_nginx(Plan(http=services, tls_port=443), dataclasses.replace(options, maintenance=("web.hospital.example",)))
    assert "web.hospital.example discovery" not in kept["stream.conf"]


@pytest.mark.parametrize("options", [OPTIONS, ENDING_TLS], ids=["", "with certificates"])
def test_p1_allow_list_of_connections(options):
    """One listener has all names: the name that is not for a client leads nowhere."""
    chosen = Settings(allow=("10.0.0.0/8",))
    at = (Instance("10.0.0.1", 443),)
    tls = Service("web", at, hosts=("web.example",), settings=chosen), Service("open", at, hosts=("open.example",))
    plan = Plan(tls=tls, tls_port=443, tcp=(Service("db-9999", at, 9999, settings=chosen), Service("x-9998", at, 9998)))
    text = render_nginx(plan, options)["stream.conf"]
    assert text.count("allow 10.0.0.0/8;\n    deny all;\n") == 1
    assert "proxy_pass tcp_db-9999;\n    allow 10.0.0.0/8;\n    deny all;\n}" in text
    maps = """\
geo $discovery_in_4b5e57f6eb2f42b9 {
    default 0;
    10.0.0.0/8 1;
}
map $discovery_tls $discovery_in {
    default 1;
    tls_web $discovery_in_4b5e57f6eb2f42b9;
}
map $discovery_in $discovery_let_in {
    default "";
    1 $discovery_tls;
}
"""
    assert maps in text
    assert ("map $discovery_let_in $discovery_step" if options.certificates else "pass $discovery_let_in;") in text
    udp = Plan(udp=(Service("log-5140", at, 5140, settings=chosen),))
    assert text.count("let_in") == 2 and "    allow 10.0.0.0/8;\n    deny all;\n" in render_nginx(udp, options)["stream.conf"]


def test_p1_sticky():
    """Each instance has an upstream in which the next ones are its backups, those on other hosts first."""
    places = [Instance("10.0.0.1", 80), Instance("10.0.0.1", 81), Instance("10.0.0.2", 82), Instance("[2001:db8::1]", 83)]
    options = Options(domain="hospital.example", tries=2)
    text = http_conf(web(*places, sticky="cookie"), options=options)
    key, limits = "4b5e57f6eb2f42b9", "max_fails=3 fail_timeout=5s"
    assert text[text.index("map $upstream_addr") :].startswith(
        f"""\
map $upstream_addr $discovery_answered {{
    default $upstream_addr;
    "~ (?<discovery_answerer>[^ ]+)$" $discovery_answerer;
}}
map "$discovery_sticky $discovery_answered" $discovery_by {{
    default "";
    "{key} 10.0.0.1:80" e15b;
    "{key} 10.0.0.1:81" 0767;
    "{key} 10.0.0.2:82" f8d9;
    "{key} [2001:db8::1]:83" 2611;
}}
map "$discovery_by $discovery_cookie" $discovery_set_cookie {{
    default "sticky_$discovery_sticky=$discovery_by; Path=/; HttpOnly";
    "~^ " "";
    "~^([0-9a-f]+) \\1$" "";
}}
map $discovery_set_cookie $discovery_cache {{
    default private;
    "" "";
}}
map "$discovery_sticky $discovery_cookie" $discovery_to {{
    volatile;
    default http_$discovery_service;
    "{key} e15b" sticky_web_e15b;
    "{key} 0767" sticky_web_0767;
    "{key} f8d9" sticky_web_f8d9;
    "{key} 2611" sticky_web_2611;
}}
upstream sticky_web_e15b {{
    server 10.0.0.1:80 {limits};
    server 10.0.0.2:82 max_fails=0 backup;
    server [2001:db8::1]:83 max_fails=0 backup;
    keepalive 8;
    keepalive_timeout 1s;
}}
"""
    )
    assert text.endswith(
        f"""\
    location / {{
        set $discovery_service web;
        set $discovery_sticky {key};
        set $discovery_cookie $cookie_sticky_{key};
        add_header Set-Cookie $discovery_set_cookie always;
        add_header Cache-Control $discovery_cache always;
        proxy_pass http://$discovery_to;
    }}
}}
"""
    )


def test_p1_sticky_paths_are_stripped_before():
    text = http_conf(web(sticky="cookie", path="/a.b", strip=True, protocol="https"))
    lines = '        rewrite "(?s)^/a[.]b/?(.*)$" /$1 break;\n        proxy_pass https://$discovery_to;\n'
    assert text.count(lines) == 2


@pytest.mark.parametrize(("site", "kept"), [(64, ["64", "8", "8"]), (4, ["4"] * 3), (0, [])])
def test_p1_an_instance_of_a_sticky_service_keeps_few_connections(site, kept):
    options = dataclasses.replace(OPTIONS, keepalive=site)
    text = http_conf(web(Instance("10.0.0.1", 80), Instance("10.0.0.2", 80), sticky="cookie"), options=options)
    assert re.findall("^    keepalive ([0-9]+);", text, re.M) == kept


def test_p1_a_single_instance_needs_no_upstream_of_its_own():
    assert "upstream sticky" not in http_conf(web(sticky="cookie"))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(
    ("site", "more"),
    [(0, ""), (50, "        limit_req zone=discovery_rate burst=50 nodelay;\n")],
    ids=["", "with one of the site"],
)
def test_p1_rate_limit(protocol, site, more):
    """Within a location nginx does not inherit the site's limit when there is one of the service."""
    limited = web(rate_limit=(20, 100), protocol=protocol, path="/api")
    text = render_nginx(Plan(http=(limited, dataclasses.replace(web(), name="other"))), OPTIONS, client_requests=site)[
        "http.conf"
    ]
    assert text.count("limit_req_zone $binary_remote_addr zone=rate_web:1m rate=20r/s;\n") == text.count("limit_req_zone") == 1
    limits = f"        limit_req zone=rate_web burst=100 nodelay;\n{more}    }}\n"
    assert text.count(limits) == text.count("zone=rate_web burst") == 2  # of the path, and of what is below it


@pytest.mark.parametrize(
    ("label", "site", "compressed"),
    [("", False, False), ("true", False, True), ("false", False, False), ("", True, True), ("false", True, False)],
)
def test_p1_gzip(label, site, compressed):
    text = http_conf(web(gzip=label), options=dataclasses.replace(OPTIONS, gzip=site))
    assert ("        proxy_pass http://http_web;\n        gzip on;\n    }\n" in text) == compressed
    assert text.count("gzip on;") == text.count("gzip_types text/plain text/css ") == compressed
    assert "event-stream" not in text


ADDED = (("X-Frame-Options", "DENY"), ("X-Site", "service"))
LINES = (
    '        add_header X-Frame-Options "DENY" always;\n        add_header X-Site "service" always;\n'
    "        {by}_hide_header X-Frame-Options;\n        {by}_hide_header X-Site;\n"
)


@pytest.mark.parametrize(("protocol", "by"), [("http", "proxy"), ("grpc", "grpc")])
def test_p1_response_headers(protocol, by):
    options = dataclasses.replace(OPTIONS, response_headers={"x-site": "site"})
    text = http_conf(web(response_headers=ADDED, protocol=protocol), options=options)
    assert f"        {by}_pass {protocol}://http_web;\n{LINES.format(by=by)}    }}\n" in text
    assert 'add_header x-site "site" always;' in http_conf(web(), options=options)


def test_p1_response_headers_stand_beside_hsts():
    """A block with headers of its own inherits none, and hides no others of an instance."""
    clear, behind = blocks(web(response_headers=ADDED, hsts="600"))
    own = f"        {HSTS}        proxy_hide_header Strict-Transport-Security;\n    }}\n"
    assert f"{LINES.format(by='proxy')}{own}" in behind and f"{LINES.format(by='proxy')}    }}\n" in clear
    assert "Strict" not in clear


REDIRECT = """\
        if ($discovery_clear) {{
            add_header Retry-After "";
            return {status} https://web.hospital.example{port}$request_uri;
        }}
"""


def blocks(*services, options=ENDING_TLS, port=443, host="web.hospital.example"):
    """The server of a host in clear, and that behind TLS."""
    text = render_nginx(Plan(http=services, tls_port=port), options)["http.conf"]
    found = [block for block in re.findall(r"^server \{\n.*?^\}\n", text, re.M | re.S) if f"server_name {host};" in block]
    assert len(found) == 2 and "listen unix:" in found[1]
    return found


def encrypted(service):
    return dataclasses.replace(service, encrypted=service.hosts)


@pytest.mark.parametrize("status", ["301", "308"])
@pytest.mark.parametrize(("port", "shown"), [(443, ""), (8443, ":8443")])
def test_p1_redirect_to_https(status, port, shown):
    options = dataclasses.replace(ENDING_TLS, tls_port=port)
    clear, behind = blocks(encrypted(web(https_redirect=status)), options=options, port=port)
    redirect = REDIRECT.format(status=status, port=shown)
    assert f"        set $discovery_service web;\n{redirect}        proxy_pass http://http_web;\n" in clear
    assert "return 30" not in behind


def test_p1_redirect_of_the_site_and_a_service_that_wants_none():
    options = dataclasses.replace(ENDING_TLS, https_redirect="301")
    assert REDIRECT.format(status=301, port="") in blocks(encrypted(web()), options=options)[0]
    assert "return 30" not in "".join(blocks(encrypted(web(https_redirect="false")), options=options))


def test_p1_no_redirect_where_tls_does_not_end_here():
    """It goes through to another service, or nobody listens for it: its port is another program's."""
    assert "return 30" not in "".join(blocks(web(https_redirect="308")))
    assert "return 30" not in http_conf(encrypted(web(https_redirect="308")), options=ENDING_TLS)


HSTS = "add_header Strict-Transport-Security max-age=600 always;\n"


def test_p1_hsts_is_in_each_block_behind_tls_that_has_headers_of_its_own():
    """Such a block inherits none."""
    api = dataclasses.replace(web(path="/api"), name="api")
    clear, behind = blocks(web(hsts="600"), api)
    assert "Strict" not in clear
    hidden = "    proxy_hide_header Strict-Transport-Security;\n    grpc_hide_header Strict-Transport-Security;\n"
    assert f"    real_ip_header proxy_protocol;\n    {HSTS}{hidden}" in behind
    retry = "add_header Retry-After $discovery_retry_after always;\n        "
    assert behind.count(retry + HSTS) == behind.count("Retry-After") == 1
    assert (behind.count("add_header"), behind.count(HSTS)) == (3, 2)


def test_p1_hsts_and_a_sticky_cookie_are_in_one_location():
    clear, behind = blocks(web(sticky="cookie", hsts="600"))
    cookie = "add_header Cache-Control $discovery_cache always;\n        proxy_pass http://$discovery_to;\n"
    hidden = "        proxy_hide_header Strict-Transport-Security;\n    }\n"
    assert f"{cookie}        {HSTS}{hidden}" in behind and f"{cookie}    }}\n" in clear
    assert ("Strict" in clear, behind.count("add_header"), behind.count(HSTS)) == (False, 6, 3)


def test_p1_a_redirect_of_a_sticky_service():
    clear, _behind = blocks(encrypted(web(sticky="cookie", https_redirect="308", path="/a", strip=True)))
    cookie = "        set $discovery_cookie $cookie_sticky_4b5e57f6eb2f42b9;\n"
    assert clear.count(cookie + REDIRECT.format(status=308, port="")) == 2
    assert clear.index("return 308") < clear.index("rewrite ")


def test_p1_hsts_of_the_site_is_on_every_answer_behind_tls():
    options = dataclasses.replace(ENDING_TLS, hsts="600")
    text = render_nginx(Plan(http=(web(path="/api"),), tls_port=443), options)["http.conf"]
    found = [block for block in re.findall(r"^server \{\n.*?^\}\n", text, re.M | re.S)]
    behind = [block for block in found if "listen unix:" in block]
    assert len(behind) == 4  # any name, *.hospital.example, a.example, web.hospital.example
    assert all(block.count(f"    {HSTS}") == 1 + block.count("        add_header Retry-After") for block in behind)
    assert not [block for block in found if block not in behind and "Strict" in block]
    assert "max-age=0 always" in blocks(web(hsts="0"), options=options)[1]


@pytest.mark.parametrize("size", range(4, 65))
def test_w8_nginx_takes_the_buffers_of_each_size(size):
    """Those that are busy have to be as large as the first one, and leave one of the others free."""
    found = dict(re.findall(r"proxy_(buffer_size|buffers 8|busy_buffers_size) (\d+)k", http_conf(web(header_size=f"{size}k"))))
    first, one, busy = (int(found[name]) for name in ("buffer_size", "buffers 8", "busy_buffers_size"))
    assert first > size and max(first, one) <= busy < 8 * one - one


@pytest.mark.parametrize(
    ("count", "limits", "again"),
    [(1, {}, 0), (2, {}, 4), (3, {}, 3), (4, {}, 4), (2, {"tries": 2}, 2), (2, {"tries": 0}, 2), (2, {"max_fails": 0}, 0)],
)
def test_instances_are_there_again_for_all_tries(count, limits, again):
    instances = [Instance("10.0.0.1", port) for port in range(1, count + 1)]
    text = http_conf(web(*instances), options=Options(domain="hospital.example", **limits))
    assert (text.count("backup;"), text.count("    server 10.")) == (again, count + again)


def test_pages_cannot_end_the_text_they_stand_in():
    for page in re.findall(r'default "(<.*?)"; \}', http_conf()):
        assert page.endswith("</html>\\n") and not set('"$') & set(page) and page.count("\\") == 1


def test_listener():
    text = render_nginx(Plan(tcp=(Service("echo-9999", (Instance("10.0.0.1", 7),), 9999),)), OPTIONS)["stream.conf"]
    assert text.endswith(
        """\
upstream tcp_echo-9999 {
    zone tcp_echo-9999 65k;
    server 10.0.0.1:7 max_fails=3 fail_timeout=5s;
    least_conn;
}
server {
    listen 0.0.0.0:9999;
    proxy_pass tcp_echo-9999;
}
"""
    )


def test_every_address_is_listened_on():
    options = Options(domain="x.example", listen=("10.0.0.1", "::"))
    text = render_nginx(Plan(tcp=(Service("e-99", (Instance("10.0.0.1", 7),), 99),)), options)["stream.conf"]
    assert "    listen 10.0.0.1:99;\n    listen [::]:99;\n" in text


def test_w60_an_idle_connection_is_closed_before_a_usual_server_closes_it():
    """gunicorn does after 2 s. A second is left for a program that does not get the processor."""
    assert "    keepalive_timeout 1s;\n" in http_conf(web())


def test_keepalive_can_be_off():
    options = Options(domain="x.example", keepalive=0)
    assert "keepalive" not in render_nginx(Plan(http=(web(),)), options)["http.conf"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": ""}, {"domain": "Hospital.example"}, {"domain": "a;b"}, {"domain": "a..b"}, {"domain": "a\n"},
        {"domain": None}, {"fail_timeout": "5s;"}, {"keepalive_timeout": 4}, {"http_port": "80;"}, {"max_fails": -1},
        {"listen": ("eth0",)}, {"listen": ("127.0.0.1; x",)}, {"nonsense": 1},
        {"tls_port": -1}, {"certificates": ({},)}, {"certificates": (CERTIFICATE,), "tls_port": 0},
        {"certificates": ({**CERTIFICATE, "names": ["a;b"]},)}, {"certificates": ({**CERTIFICATE, "names": []},)},
        {"certificates": ({**CERTIFICATE, "key": "k.pem"},)}, {"certificates": ({**CERTIFICATE, "key": "/k.pem; x"},)},
        {"https_redirect": "302"}, {"https_redirect": False}, {"hsts": "1y"}, {"gzip": "on"},
        {"response_headers": {"X-A": "a\nb"}}, {"response_headers": {"X A": "1"}},
        {"response_headers": {f"X-{n}": 1 for n in range(9)}}, {"hsts": "600; x"}, {"hsts": True},
        {"allow": ("x",)}, {"proxy_protocol_from": ("10.0.0.1/8",)}, {"pages": {"200": "x"}}, {"pages": {"503": "a\0"}},
        {"htpasswd": {"a b": "/x"}}, {"htpasswd": {"a": "x"}}, {"htpasswd": {"a": "/x;"}}, {"basic_auth": "A b"},
        {"default_host": "a;b"}, {"maintenance": ("a b",)}, {"maintenance": ("*.a",)},
        {"tcp_ports": (9990,)}, {"tcp_ports": (9999, 9990)}, {"tcp_ports": (0, 5)}, {"tcp_ports": (1, 65536)},
    ],
)  # fmt: skip
def test_options_that_cannot_be_rendered_are_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        Options(**{"domain": "hospital.example", **wrong})


nasty = st.one_of(
    st.text(max_size=80),
    st.sampled_from([
        "web", "echo-9999", "web;", "a}b", "x-9999; }", "web\nreturn 200", '"', "'", "\\", "#", "$host", "${x}", "*",
        "_", "~^", "unix:/run/x", "10.0.0.1:80; server evil", "fe80::1%;}", "::1", "127.0.0.1", "9999", "-9999",
    ]),
)  # fmt: skip
MEANT = [f"balancer_{key}" for key in PARSERS]
SAID = ["a.example", "b.a.example", "x.hospital.example", "a.example,b.example", "/a", "/a/b", "true", "https", "grpc", "5", "5s"]
SAID += ["cookie"]
scalars = st.one_of(nasty, st.integers(-5, 70000), st.booleans(), st.none(), st.floats(allow_nan=False))
instances = st.fixed_dictionaries(
    {
        "id": nasty, "node": nasty, "address": st.one_of(nasty, st.ip_addresses().map(str)), "port": scalars,
        "tags": st.lists(st.one_of(nasty, st.sampled_from(["http", "tcp", "tls", "udp"]))), "weight": scalars,
        "meta": st.dictionaries(st.one_of(nasty, st.sampled_from(MEANT)), st.one_of(nasty, st.sampled_from(SAID)), max_size=4),
    }
)  # fmt: skip
catalogs = st.lists(st.fixed_dictionaries({"name": nasty, "instances": st.lists(instances, max_size=4)}), max_size=6)


@given(catalogs, st.sampled_from([OPTIONS, ENDING_TLS]))
def test_no_value_injects_a_directive(services, options):
    files = render_nginx(plan({"services": services}, options), options)
    for text in files.values():
        assert set(directives(text)) <= ALLOWED | TLS | {name for name in directives(text) if HOST.fullmatch(name)}


@given(catalogs, st.sampled_from([OPTIONS, ENDING_TLS]))
def test_each_name_is_declared_once(services, options):
    """Two upstreams, zones, hosts, paths or ports of one name would make nginx refuse the whole configuration."""
    files = render_nginx(plan({"services": services}, options), options)
    for text in files.values():
        for pattern in (r"^upstream (\S+)", r"zone (\S+)", r"(listen \S+:(?!80;)\d+);"):
            names = re.findall(pattern, text, re.M)
            assert len(names) == len(set(names))
    blocks = re.findall(r"^server \{\n(.*?)^\}", files["http.conf"], re.M | re.S)
    named = [(re.search(r"listen ([^ ;]+)", block)[1], re.search(r"server_name (\S+);", block)[1]) for block in blocks]
    assert len(named) == len(set(named))
    for block in blocks:
        places = re.findall(r"^    location (.*) \{$", block, re.M)
        assert len(places) == len(set(places))


@given(catalogs, st.sampled_from([OPTIONS, ENDING_TLS]))
def test_no_upstream_is_empty(services, options):
    for text in render_nginx(plan({"services": services}, options), options).values():
        for block in re.findall(r"^upstream [^{]*\{(.*?)^\}", text, re.M | re.S):
            assert "\n    server " in block


@pytest.mark.parametrize(
    ("times", "default", "limit"),
    [
        ([], "10m", "10m"), (["", "5s"], "10m", "10m"), (["11m", "24h", "2h"], "10m", "24h"), (["500ms"], "1", "1"),
        (["1h"], "1h30m", "1h30m"), (["24h"], "0", "0"),
    ],
)  # fmt: skip
def test_w10_old_workers_live_as_long_as_the_longest_label_or_the_sites_time(times, default, limit):
    services = tuple(web(read_timeout=time) for time in times)
    files = render_nginx(Plan(http=services[:1], tcp=services[1:]), OPTIONS, shutdown=default)
    assert files["main.conf"].splitlines()[1:] == [f"worker_shutdown_timeout {limit};"]
