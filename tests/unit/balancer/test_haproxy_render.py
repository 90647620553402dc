"""The files for HAProxy: what is in them, and that nothing else can get into them."""

import dataclasses
import re

import pytest

from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import CHANGED, files, layout, weights
from discovery_balancer.limits import LIMITS
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service
from discovery_balancer.settings import Settings

OPTIONS = Options(domain="hospital.example")
OWN = HaproxyOptions()
CERTIFICATE = {"names": ["*.hospital.example", "a.example"], "certificate": "/etc/c.pem", "key": "/etc/k.pem"}
ENDING_TLS = Options(domain="hospital.example", certificates=(CERTIFICATE,))
CHECK = " check inter 1h fastinter 1000ms downinter 1000ms rise 1 fall 1 observe layer4 error-limit 3 on-error mark-down"
KEPT = " pool-max-conn 64 pool-purge-delay 500ms"


def rendered(*, options=OPTIONS, own=OWN, **plan) -> dict:
    return files(layout(Plan(**plan), options, own))


def web(*instances, name="web", hosts=("web.hospital.example",), **chosen):
    return Service(name, instances or (Instance("10.0.0.1", 8080),), hosts=hosts, settings=Settings(**chosen))


def section(text, name) -> str:
    """A section of a file, with its first line."""
    lines = text.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if line.split()[-1:] == [name] and not line.startswith(" "))
    last = next((n for n in range(first + 1, len(lines)) if not lines[n].startswith(" ")), len(lines))
    return "".join(lines[first:last])


def test_empty_plan_has_a_listener_for_http_only():
    text = rendered()["services.cfg"]
    assert [line for line in text.splitlines() if line.startswith("    bind ")] == ["    bind 0.0.0.0:80"]
    assert [line for line in text.splitlines() if line.startswith("    server ")] == []
    assert rendered()["hosts.map"] == rendered()["names.map"] == ""


def test_virtual_host():
    made = rendered(http=(web(Instance("10.0.0.1", 8080), Instance("[2001:db8::1]", 81, 3)),))
    assert section(made["services.cfg"], "http_web") == (
        "backend http_web\n    balance roundrobin\n    timeout tunnel 60000ms\n"
        "    http-request deny deny_status 413 if { req.body_size gt 104857600 }\n"
        "    http-request disable-l7-retry if { method POST PATCH LOCK } or { nbsrv lt 2 }\n"
        f"    server 10.0.0.1:8080 10.0.0.1:8080 weight 1{CHECK}{KEPT}\n"
        f"    server 2001:db8::1:81 [2001:db8::1]:81 weight 3{CHECK}{KEPT}\n"
    )
    assert made["hosts.map"] == "web.hospital.example/ web\n"


def test_w60_haproxy_closes_an_idle_connection_before_a_usual_server_closes_it():
    """It looks twice within the time."""
    options = dataclasses.replace(OPTIONS, keepalive_timeout="3s")
    assert " pool-purge-delay 1500ms" in rendered(http=(web(),), options=options)["services.cfg"]
    assert " pool-purge-delay 500ms" in rendered(http=(web(),))["services.cfg"]


def test_path_that_is_stripped():
    service = web(path="/a.pi", strip=True, protocol="https", read_timeout="5m", connect_timeout="2s")
    made = rendered(http=(service,))
    text = section(made["services.cfg"], "http_web")
    assert "    timeout connect 2000ms\n    timeout server 300000ms\n    timeout tunnel 300000ms\n" in text
    assert "    http-request replace-path ^/a[.]pi(/(.*))?$ /\\2\n    http-request set-header X-Forwarded-Prefix /a.pi\n" in text
    assert text.endswith(f"{KEPT} ssl verify none sni var(txn.host)\n")
    assert made["hosts.map"] == "web.hospital.example/a.pi/ web\n"


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("", "    http-request replace-path ^(/(.*))?$ /v2/\\2\n    server "),
        ("/a.b", "    http-request replace-path ^/a[.]b(/(.*))?$ /v2/\\2\n    http-request set-header X-Forwarded-Prefix /a.b\n"),
    ],
)
def test_p1_path_that_is_rewritten(path, lines):
    assert lines in section(rendered(http=(web(rewrite="/v2", path=path),))["services.cfg"], "http_web")


@pytest.mark.parametrize(
    ("labels", "site", "line"),
    [
        ((), 45056, None), (("40k",), 45056, None), (("41k",), 45056, "tune.bufsize 46080"),
        (("4k", "64k", "48k"), 45056, "tune.bufsize 69632"), (("64k",), 81920, None),
    ],
)  # fmt: skip
def test_w8_p1_buffers_are_as_large_as_the_longest_header_of_a_label(labels, site, line):
    """All have one size, and each costs each request."""
    services = tuple(web(name=f"web-{n}", hosts=(f"{n}.a.example",), header_size=size) for n, size in enumerate(labels))
    made = rendered(http=(web(), *services), own=HaproxyOptions(buffer_size=site))
    lines = [one.strip() for one in section(made["services.cfg"], "global").splitlines()]
    assert lines == ["global", "hard-stop-after 600000ms", *[line] * bool(line)]
    assert f"buffer {line.split()[1] if line else 0}\n" in made["structure.map"]


def test_w8_no_empty_section():
    assert "global" not in rendered(http=(web(),), own=HaproxyOptions(shutdown_timeout="0"))["services.cfg"]


@pytest.mark.parametrize(("label", "site", "bytes_"), [("2g", "1m", 2 * 2**30), ("2g", "0", 2 * 2**30), ("", "1m", 2**20)])
def test_p1_largest_body(label, site, bytes_):
    own = HaproxyOptions(limits={"client_max_body_size": site})
    text = section(rendered(http=(web(max_body_size=label),), own=own)["services.cfg"], "http_web")
    assert f"    http-request deny deny_status 413 if {{ req.body_size gt {bytes_} }}\n" in text


@pytest.mark.parametrize(
    ("limit", "seconds", "count"), [((20, 100), 5, 100), ((20, 20), 1, 20), ((20, 1), 1, 20), ((3, 10), 4, 12)]
)
def test_p1_rate_limit(limit, seconds, count):
    assert (
        "    timeout tunnel 60000ms\n"
        f"    stick-table type ipv6 size 10k expire {2 * seconds}s store gpc0_rate({seconds}s)\n"
        "    http-request track-sc1 var(txn.client)\n"
        "    http-request return status 429 content-type text/html file discovery/429.html hdr Retry-After 5"
        f" if {{ sc_gpc0_rate(1) ge {count} }}\n"
        "    http-request sc-inc-gpc0(1)\n    http-request deny "
    ) in section(rendered(http=(web(rate_limit=limit),))["services.cfg"], "http_web")


@pytest.mark.parametrize(
    ("label", "site", "compressed"),
    [("", False, False), ("true", False, True), ("false", False, False), ("", True, True), ("false", True, False)],
)
def test_p1_gzip(label, site, compressed):
    text = rendered(http=(web(gzip=label),), options=dataclasses.replace(OPTIONS, gzip=site))["services.cfg"]
    lines = "    timeout tunnel 60000ms\n    compression algo gzip\n    compression type text/html text/plain text/css "
    assert (lines in section(text, "http_web")) == compressed == ("compression" in text)
    assert "event-stream" not in text


def test_p1_pages_of_the_site():
    made = rendered(options=dataclasses.replace(OPTIONS, pages={"404": "<p>é", "502": "<p>é"}))
    assert (made["404.html"], made["503.html"]) == ("<p>é\n", rendered()["503.html"])
    for status in ("502", "504"):
        assert made[f"{status}.http"].endswith("\r\nContent-Length: 6\r\n\r\n<p>é\n")


def test_p1_allow_list():
    """Of a label, else of the site, in lines that are not too long."""
    networks = tuple(f"10.0.{n}.0/24" for n in range(18))
    chosen, at = Settings(allow=networks), (Instance("10.0.0.1", 443),)
    own = {"http": (web(allow=networks), web(name="open")), "tls": (Service("t", at, hosts=("t.example",), settings=chosen),)}
    text = rendered(**own, tcp=(Service("db-9999", at, 9999, settings=chosen),), tls_port=443)["services.cfg"]
    for name, client, rule in (
        ("http_web", "var(txn.client)", "http-request return status 403 content-type text/html file discovery/403.html"),
        ("tls_t", "src", "tcp-request content reject"),
        ("tcp_db-9999", "src", "tcp-request connection reject"),
    ):
        assert (
            f"    acl discovery_allowed {client} -m ip {' '.join(networks[:16])}\n"
            f"    acl discovery_allowed {client} -m ip 10.0.16.0/24 10.0.17.0/24\n"
            f"    acl discovery_6to4 {client} -m ip 2002::/16\n"
            f"    {rule} unless discovery_allowed !discovery_6to4\n"
        ) in section(text, name)
    assert "allowed" not in section(text, "http_open")
    text = rendered(http=(web(),), options=dataclasses.replace(OPTIONS, allow=("10.9.0.0/16",)))["services.cfg"]
    assert "acl discovery_allowed var(txn.client) -m ip 10.9.0.0/16\n" in section(text, "http_web")


def test_p1_proxy_protocol_of_balancers_in_front():
    networks = tuple(f"10.0.0.{n}" for n in range(18))
    text = rendered(options=dataclasses.replace(ENDING_TLS, proxy_protocol_from=networks), tls_port=443)["services.cfg"]
    rule = "    tcp-request connection expect-proxy layer4 if { src <some> }\n"
    lines = [rule.replace("<some>", " ".join(some)) for some in (networks[:16], networks[16:])]
    for name in ("discovery_http", "discovery_tls"):
        assert "".join(lines) in section(text, name)
    assert "expect-proxy" not in rendered(options=ENDING_TLS, tls_port=443)["services.cfg"]


def test_p1_proxy_protocol_to_an_instance():
    chosen, at = Settings(proxy_protocol=True), (Instance("10.0.0.1", 443),)
    tls = Service("t", at, hosts=("t.example",), settings=chosen)
    text = rendered(tls=(tls,), tcp=(Service("a-9999", at, 9999, settings=chosen), Service("b-9998", at, 9998)), tls_port=443)
    for name, sent in (("tls_t", True), ("tcp_a-9999", True), ("tcp_b-9998", False)):
        assert section(text["services.cfg"], name).endswith(f" mark-down{' send-proxy' * sent}\n")


def test_p1_default_host():
    made = rendered(http=(web(path="/a"),), options=dataclasses.replace(OPTIONS, default_host="web.hospital.example"))
    assert made["hosts.map"] == "*web.hospital.example/ -\nweb.hospital.example/a/ web\n"
    assert (
        "    http-request set-var(txn.host) str(web.hospital.example) if discovery_there !discovery_asked"
        " !{ var(txn.host) -m end .hospital.example }"
    ) in section(made["services.cfg"], "discovery_http")
    assert "discovery_asked" not in rendered()["services.cfg"] and "*" not in rendered(http=(web(),))["hosts.map"]


def test_p1_no_access_log():
    at, own = (Instance("10.0.0.1", 443),), dataclasses.replace(OWN, log=True)
    tcp = Service("a-9999", at, 9999, settings=Settings(access_log=False)), Service("b-9998", at, 9998)
    text = rendered(http=(web(access_log=False), web(name="b")), tcp=tcp, own=own)["services.cfg"]
    assert ("silent" in section(text, "http_web"), "silent" in section(text, "http_b")) == (True, False)
    assert ("log" in section(text, "tcp_a-9999"), "log" in section(text, "tcp_b-9998")) == (False, True)


def test_p1_maintenance():
    hosts = tuple(f"{n}.example" for n in range(5))
    text = rendered(http=(web(),), options=dataclasses.replace(OPTIONS, maintenance=hosts))["services.cfg"]
    page = "    http-request return status 503 content-type text/html file discovery/maintenance.html hdr Retry-After 5"
    lines = [f"{page} if {{ var(txn.host) -m str {' '.join(some)} }}\n" for some in (hosts[:4], hosts[4:])]
    assert "".join(lines) in section(text, "discovery_http") and "maintenance" not in rendered()["services.cfg"]


def test_p1_basic_auth():
    """Of a label, else of the site."""
    site = dataclasses.replace(OPTIONS, htpasswd={"staff": "/x", "all": "/y"}, basic_auth="all")
    lists = {"staff": ["anna:$5$a$b", "bert:$5$c$d"], "all": []}
    for label, users in (("staff", "staff"), ("", "all")):
        made = files(layout(Plan(http=(web(basic_auth=label),)), site, OWN, users=lists))
        assert (
            "    http-request return status 401 content-type text/html file discovery/401.html"
            f" hdr WWW-Authenticate 'Basic realm=\"{users}\"' unless {{ http_auth(discovery_{users}) }}\n"
        ) in section(made["services.cfg"], "http_web")
        expected = "userlist discovery_staff\n    user anna password $5$a$b\n    user bert password $5$c$d\n"
        assert section(made["services.cfg"], "discovery_staff") == expected
    for made in (rendered(http=(web(basic_auth="false"),), options=site), rendered(http=(web(),))):
        assert "http_auth" not in made["services.cfg"]


def test_p1_certificates_of_clients():
    options = dataclasses.replace(ENDING_TLS, client_cas={"staff": "/etc/staff.pem", "guests": "/etc/guests.pem"})
    hosts = ("web.hospital.example",)
    service = dataclasses.replace(web(client_ca="staff"), encrypted=hosts)
    soft = dataclasses.replace(web(name="soft", hosts=("a.example",), client_ca="staff,optional"), encrypted=("a.example",))
    made = rendered(http=(service, soft, web(name="open", hosts=("open.example",))), tls_port=443, options=options)
    text = made["services.cfg"]
    page = "content-type text/html file discovery/403.html"
    needs = f"http-request return status 403 {page} unless {{ var(txn.verified) -m str staff }}"
    assert needs in section(text, "http_web") and "verified" not in section(text, "http_soft") + section(text, "http_open")
    first = section(text, "discovery_http")
    for number, name in ((1001, "guests"), (1002, "staff")):
        assert (
            f"    bind unix@/run/discovery-haproxy-tls/https-{name}.sock mode 600 user haproxy accept-proxy id {number} ssl"
            f" crt-list /etc/haproxy/discovery-certificates/list alpn h2,http/1.1 ca-file /etc/{name}.pem verify optional"
            " crt-ignore-err all ca-ignore-err all\n"
        ) in first
        assert f"    http-request set-var(txn.asked) str({name}) if {{ so_id {number} }}\n" in first
        assert f"/https-{name}.sock send-proxy-v2\n" in section(text, f"discovery_https_{name}")
    rules = [line for line in first.splitlines() if "http-request" in line]
    order = [next(n for n, line in enumerate(rules) if words in line) for words in (
        "set-var(txn.verified)", "return status 421", "set-var(txn.service)", "x-client-(subject|fingerprint)",
        "set-header X-Client-Subject", "set-header X-Client-Fingerprint",
    )]  # fmt: skip
    assert order == sorted(order)
    assert made["client-cas.map"] == "a.example staff\nweb.hospital.example staff\n"
    assert made["names.map"] == (
        "*.hospital.example discovery_https\na.example discovery_https_staff\nweb.hospital.example discovery_https_staff\n"
    )
    assert "    tune.ssl.cachesize 0\n" in section(text, "global")
    without = rendered(http=(service,), tls_port=443, options=ENDING_TLS)["services.cfg"]
    assert "cachesize" not in without and "txn.asked" not in without and needs in without


def test_p1_response_headers():
    options = dataclasses.replace(OPTIONS, response_headers={"x-site": "site", "X-Other": 1})
    text = rendered(http=(web(response_headers=(("X-Frame-Options", "DENY"), ("X-Site", "service"))),), options=options)
    lines = [line.strip() for line in section(text["services.cfg"], "http_web").splitlines() if "http-response" in line]
    values = {"X-Frame-Options": "DENY", "X-Other": "1", "X-Site": "service"}
    assert lines == [f'http-response set-header {name} "{value}"' for name, value in values.items()]


REDIRECT = (
    "    http-request redirect location https://%[var(txn.host)]{port}%[pathq] code {status} if"
    " !{{ ssl_fc }} {{ var(txn.encrypted) -m found }} {{ req.hdr(X-Forwarded-Proto) http }}"
    " !{{ var(txn.path) -m beg /.well-known/acme-challenge/ }}"
    " or !{{ ssl_fc }} {{ var(txn.encrypted) -m found }} {{ req.hdr(X-Forwarded-Proto) http }} {{ var(txn.path) -m sub .. }}\n"
)


def encrypted(**chosen):
    return dataclasses.replace(web(**chosen), encrypted=("web.hospital.example",))


@pytest.mark.parametrize("status", ["301", "308"])
@pytest.mark.parametrize(("port", "shown"), [(443, ""), (8443, ":8443")])
def test_p1_redirect_to_https(status, port, shown):
    options = dataclasses.replace(ENDING_TLS, tls_port=port)
    made = rendered(http=(encrypted(https_redirect=status),), tls_port=port, options=options)
    redirect = REDIRECT.format(status=status, port=shown)
    assert f"    timeout tunnel 60000ms\n{redirect}    http-request deny " in section(made["services.cfg"], "http_web")
    assert made["encrypted.map"] == "web.hospital.example yes\n"


def test_p1_redirect_of_the_site_and_a_service_that_wants_none():
    options = dataclasses.replace(ENDING_TLS, https_redirect="301")
    assert REDIRECT.format(status=301, port="") in rendered(http=(encrypted(),), options=options)["services.cfg"]
    assert "redirect location" not in rendered(http=(encrypted(https_redirect="false"),), options=options)["services.cfg"]


def test_p1_no_redirect_where_tls_does_not_end_here():
    """It goes through to another service, or nobody listens for it: its port is another program's."""
    assert rendered(http=(web(https_redirect="308"),), tls_port=443, options=ENDING_TLS)["encrypted.map"] == ""
    assert rendered(http=(encrypted(https_redirect="308"),), options=ENDING_TLS)["encrypted.map"] == ""
    assert "redirect location" not in rendered(http=(web(https_redirect="308"),))["services.cfg"]


@pytest.mark.parametrize(("site", "default"), [("", ""), ("600", ",600")])
def test_p1_hsts(site, default):
    """A map of hosts, which changes while it runs; all answers of HAProxy itself have the header."""
    options = dataclasses.replace(ENDING_TLS, hsts=site)
    services = (encrypted(hsts="0"), dataclasses.replace(encrypted(path="/api"), name="api"))
    made = rendered(http=services, tls_port=443, options=options)
    front = section(made["services.cfg"], "discovery_http")
    assert f"    http-request set-var(txn.hsts) var(txn.host),map(discovery/hsts.map{default}) if {{ ssl_fc }}\n" in front
    header = "    http-after-response set-header Strict-Transport-Security max-age=%[var(txn.hsts)]"
    assert f"{header} if {{ var(txn.hsts) -m found }}\n" in front
    assert made["hsts.map"] == "web.hospital.example 0\n"


@pytest.mark.parametrize("addresses", [False, True])
def test_v3_the_check_of_the_floating_addresses_is_not_logged_where_there_are_some(addresses):
    """Elsewhere a client would hide its requests by that host."""
    front = section(rendered(own=HaproxyOptions(floating_addresses=addresses))["services.cfg"], "discovery_http")
    silent = "    http-request set-log-level silent if { var(txn.host) -m str _floating-address }\n"
    assert (silent in front) == addresses == ("silent" in front)


def test_w17_p1_chunks_are_sent_at_once():
    text = section(rendered(http=(web(unbuffered=True),))["services.cfg"], "http_web")
    assert "    timeout tunnel 60000ms\n    option http-no-delay\n    http-request deny " in text


def test_p1_sticky():
    made = rendered(http=(web(Instance("10.0.0.1", 80), Instance("[2001:db8::1]", 81), sticky="cookie"),))
    key = "4b5e57f6eb2f42b9"
    to, by = (f"str({key}/),concat(,txn.{name}),map(discovery/sticky.map)" for name in ("cookie", "server"))
    assert (
        f"    http-request set-var(txn.cookie) req.cook(sticky_{key})\n"
        f"    use-server %[{to}] if {{ {to} -m found }}\n"
        "    http-response set-var(txn.server) srv_name\n"
        f"    http-response set-var(txn.value) {by}\n"
        "    acl discovery_new var(txn.value) -m found\n"
        "    acl discovery_same var(txn.value),strcmp(txn.cookie) eq 0\n"
        f"    http-response add-header Set-Cookie sticky_{key}=%[var(txn.value)];\\ Path=/;\\ HttpOnly"
        " if discovery_new !discovery_same\n"
        "    http-response add-header Cache-Control private if discovery_new !discovery_same\n"
        "    server 10.0.0.1:80 "
    ) in section(made["services.cfg"], "http_web")
    assert made["sticky.map"] == (
        f"{key}/10.0.0.1:80 e15b\n{key}/2001:db8::1:81 c1c7\n{key}/c1c7 2001:db8::1:81\n{key}/e15b 10.0.0.1:80\n"
    )


def test_grpc_is_not_stripped_and_speaks_http_2():
    text = section(rendered(http=(web(path="/p.S", strip=True, protocol="grpc"),))["services.cfg"], "http_web")
    assert "replace-path" not in text and text.endswith(" proto h2\n")


def test_listener():
    plan = {"tcp": (Service("echo-9999", (Instance("10.0.0.1", 7),), 9999),)}
    options = Options(domain="x.example", listen=("10.0.0.1", "::"))
    assert section(rendered(options=options, **plan)["services.cfg"], "tcp_echo-9999") == (
        "listen tcp_echo-9999\n    mode tcp\n    balance leastconn\n    bind 10.0.0.1:9999\n    bind [::]:9999\n"
        "    tcp-request connection track-sc2 src table discovery_connections\n"
        "    tcp-request connection reject if { sc_conn_cur(2) gt 1000 }\n"
        "    timeout client 600000ms\n    timeout server 600000ms\n"
        f"    server 10.0.0.1:7 10.0.0.1:7 weight 1{CHECK}\n"
    )


def test_only_virtual_hosts_have_a_timeout_of_tunnels():
    """On a connection of a tcp or tls service it would go before that of the service."""
    plan = {
        "tcp": (Service("echo-9999", (Instance("10.0.0.1", 7),), 9999),),
        "tls": (Service("own", (Instance("10.0.0.1", 443),), hosts=("own.hospital.example",)),), "tls_port": 443,
    }  # fmt: skip
    assert "timeout tunnel" not in rendered(options=ENDING_TLS, **plan)["services.cfg"]


def test_the_first_step_of_tls_waits_for_the_longest_label():
    text = rendered(tls_port=443, options=ENDING_TLS)["services.cfg"]
    assert "    timeout client 86400000ms\n" in section(text, "discovery_tls")
    assert "    timeout server 86400000ms\n" in section(text, "discovery_https")


def test_shares_of_versions_are_turns():
    service = Service("echo-9999", (Instance("10.0.0.1", 7),), 9999, shifted=True)
    assert "    balance roundrobin\n" in section(rendered(tcp=(service,))["services.cfg"], "tcp_echo-9999")


def test_tls_goes_through_by_name_beside_the_names_of_the_site():
    service = Service("own", (Instance("10.0.0.1", 443),), hosts=("own.hospital.example",))
    made = rendered(tls=(service,), tls_port=443, options=ENDING_TLS)
    assert made["names.map"] == "*.hospital.example discovery_https\na.example discovery_https\nown.hospital.example tls_own\n"
    assert "    bind 0.0.0.0:443\n" in section(made["services.cfg"], "discovery_tls")
    https = "    bind unix@/run/discovery-haproxy-tls/https.sock mode 600 user haproxy accept-proxy ssl"
    assert f"{https} crt-list /etc/haproxy/discovery-certificates/list alpn h2,http/1.1\n" in made["services.cfg"]


def test_without_certificates_nothing_ends_tls():
    assert "https.sock" not in rendered(tls_port=443)["services.cfg"]


def test_no_key_is_in_a_generation(tmp_path):
    (tmp_path / "k.pem").write_text("SECRET")
    options = Options(domain="x.example", certificates=({**CERTIFICATE, "key": str(tmp_path / "k.pem")},))
    assert not [name for name, text in rendered(options=options, tls_port=443).items() if "SECRET" in text or "k.pem" in text]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), []), ((1, 1), [1, 1]), ((3, 1), [3, 1]), ((10, 20), [1, 2]), ((5000, 5000), [1, 1]), ((256, 1), [256, 1]),
        ((1000, 1), [256, 1]), ((990, 10), [99, 1]), ((65535, 65534), [256, 256]), ((1000, 500, 1), [256, 128, 1]),
    ],
)  # fmt: skip
def test_weights_keep_their_proportions_within_what_haproxy_has(given, expected):
    made = weights([Instance("10.0.0.1", port, weight) for port, weight in enumerate(given, 1)])
    assert [server.weight for server in made] == expected


UNUSED = {"body_buffer_size", "response_disk_size"}  # HAProxy passes bodies on as they come and writes none to a disk


@pytest.mark.parametrize("limit", [limit for limit in LIMITS if limit.name not in UNUSED], ids=lambda limit: limit.name)
def test_each_limit_is_rendered(limit):
    value = {"time": "7h", "size": "7m", "count": "7", "header": "17k"}[limit.kind]
    plan = {"http": (web(),), "tcp": (Service("echo-9999", (Instance("10.0.0.1", 7),), 9999),)}
    assert rendered(own=HaproxyOptions(limits={limit.name: value}), **plan) != rendered(**plan)


def test_no_limit_at_all():
    own = HaproxyOptions(limits={"client_connections": 0, "client_requests": "0", "client_max_body_size": "0"})
    text = rendered(own=own, http=(web(),))["services.cfg"]
    assert "429" not in text and "413" not in text and "track-sc0" not in text


def test_a_silent_instance_is_given_up_for_another_only_within_the_time_for_all_tries():
    short = HaproxyOptions(limits={"read_timeout": "2s"})
    assert "response-timeout" in rendered(own=short)["services.cfg"]
    assert "response-timeout" not in rendered()["services.cfg"]


@pytest.mark.parametrize(
    ("times", "default", "line"),
    [
        ([], "10m", "hard-stop-after 600000ms"), (["11m", "24h"], "10m", "hard-stop-after 86400000ms"),
        (["24h"], "0", ""), ([], "9w", "hard-stop-after 2147483647ms"), (["500ms"], "1", "hard-stop-after 1000ms"),
    ],
)  # fmt: skip
def test_w10_old_workers_live_as_long_as_the_longest_label_or_the_sites_time(times, default, line):
    services = tuple(web(name=f"web-{n}", hosts=(f"{n}.a.example",), read_timeout=time) for n, time in enumerate(times))
    text = rendered(http=services, own=HaproxyOptions(shutdown_timeout=default))["services.cfg"]
    assert [one.strip() for one in text.splitlines() if "hard-stop-after" in one] == [line] * bool(line)


def front(**own) -> list:
    """The rules for requests of a site with these options of HAProxy."""
    lines = section(rendered(own=HaproxyOptions(**own))["services.cfg"], "discovery_http").splitlines()
    return [line.strip().removeprefix("http-request ") for line in lines]


@pytest.mark.parametrize(("underscores", "first"), [(False, "[^a-z0-9-]"), (True, "[^a-z0-9_-]")])
@pytest.mark.parametrize("proxies", [(), ("192.0.2.1",)])
def test_w15_names_of_headers(underscores, first, proxies):
    patterns = [
        line.split()[1]
        for line in front(underscores_in_headers=underscores, trusted_proxies=proxies)
        if line.startswith("del-header ") and line.endswith(" -m reg")
    ]
    assert patterns[0].startswith(f"{first}|^(") and len(patterns) == (3 if underscores else 1)
    for name in ("X_Api", "A.b", "Proxy", "HTTP2-Settings", "X-Forwarded-Prefix"):
        assert (re.search(patterns[0], name.lower()) is None) == (underscores and name == "X_Api")
    for name in ("Host", "Proxy-Connection", "X-Forwarded-Portal", "Not-Forwarded", "Authorization"):
        assert not re.search(patterns[0], name.lower())


def test_a_header_that_is_set_is_not_dropped_before():
    """Each rule is evaluated for each request; one that sets a header drops those of this name by itself."""
    lines = [line for line in front() if "X-Forwarded" in line or "Forwarded " in line]
    assert lines == [
        "set-header X-Forwarded-For %[src]",
        "set-header X-Forwarded-Proto https if { ssl_fc }", "set-header X-Forwarded-Proto http if !{ ssl_fc }",
        "set-header X-Forwarded-Host %[var(txn.authority)]",
    ]  # fmt: skip
    assert next(line for line in front() if "forwarded" in line).endswith("|forwarded|x-forwarded-port)$ -m reg")


def test_headers_that_only_a_trusted_proxy_may_send():
    lines = front(trusted_proxies=("192.0.2.1",))
    for name in ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"):
        assert f"del-header {name} unless discovery_proxy" in lines
    assert "set-header X-Forwarded-Host %[var(txn.authority)] unless { req.hdr(X-Forwarded-Host) -m found }" in lines


def test_requests_a_second_are_counted_only_where_they_are_limited():
    assert "sc-inc-gpc0(0)" not in front()
    assert "sc-inc-gpc0(0)" in front(limits={"client_requests": "5"})


def test_spare_servers_wait_for_an_address():
    text = section(rendered(http=(web(),), own=HaproxyOptions(spare=2))["services.cfg"], "http_web")
    assert text.endswith("".join(f"    server spare-{n} 0.0.0.0:1 disabled{CHECK}{KEPT}\n" for n in (0, 1)))


def test_the_structure_has_no_servers_and_no_names():
    one = layout(Plan(http=(web(),)), OPTIONS, OWN).structure
    two = layout(Plan(http=(web(Instance("10.0.0.2", 1, 7), hosts=("b.example", "c.example")),)), OPTIONS, OWN).structure
    assert one == two


@pytest.mark.parametrize(
    "chosen",
    [{"read_timeout": "5s"}, {"protocol": "https"}, {"path": "/a", "strip": True}, {"unbuffered": True}, {"sticky": "cookie"}],
)
def test_the_structure_has_the_settings_of_a_service(chosen):
    one, two = (layout(Plan(http=(web(**given),)), OPTIONS, OWN).structure for given in ({}, chosen))
    assert {key for key in one if one[key] != two[key]} == {"backend:http_web"}


def test_the_structure_has_listeners_and_what_the_role_has_written():
    plan = Plan(tcp=(Service("echo-9999", (Instance("10.0.0.1", 7),), 9999),))
    one = layout(plan, OPTIONS, OWN, "a").structure
    assert one["common"] not in (
        layout(Plan(), OPTIONS, OWN, "a").structure["common"],
        layout(plan, OPTIONS, OWN).structure["common"],
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"shutdown_timeout": "soon"}, {"tries_timeout": "5s\n"}, {"old_workers": 0}, {"old_workers": True}, {"spare": -1},
        {"buffer_size": 0}, {"buffer_size": "44k"},
        {"limits": {"read_timeout": "5s; x"}}, {"limits": {"other": "1"}}, {"trusted_proxies": ("10.0.0.0/8 }",)},
        {"socket": "/run/x y"}, {"certificates": "relative"}, {"nonsense": 1}, {"user": "a b"}, {"underscores_in_headers": "yes"},
        {"floating_addresses": 1},
    ],
)  # fmt: skip
def test_options_that_cannot_be_rendered_are_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        HaproxyOptions(**wrong)


def test_a_layout_is_a_value():
    plan = Plan(http=(web(),))
    assert layout(plan, OPTIONS, OWN) == dataclasses.replace(layout(plan, OPTIONS, OWN))


def test_all_maps_change_while_it_runs():
    assert tuple(layout(Plan(), OPTIONS, OWN).maps) == CHANGED
