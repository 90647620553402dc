"""The files for nginx: what is in them, and that nothing else can get into them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.nginx import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service, plan

OPTIONS = Options(domain="hospital.example")
ALLOWED = {
    "add_header", "default_type", "keepalive", "keepalive_timeout", "least_conn", "listen", "location",
    "proxy_pass", "return", "server", "server_name", "upstream", "zone",
}  # fmt: skip


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
            found.append(words[0])
            words = []
        elif word == "}":
            assert not words, f"{words} without an end"
        else:
            words.append(word)
    assert not words
    assert text.count("{") == text.count("}")
    return found


def http_conf(*services):
    return render_nginx(Plan(http=services), OPTIONS)["http.conf"]


def test_empty_plan_answers_404_and_503_and_has_no_listener():
    files = render_nginx(Plan(), OPTIONS)
    text = files["http.conf"]
    assert directives(files["stream.conf"]) == []
    assert re.search(r"default_server;\n    server_name _;\n.*\n    return 404 ", text)
    assert re.search(r"server_name \*\.hospital\.example;\n    add_header Retry-After 5 always;\n.*\n    return 503 ", text)


def test_virtual_host():
    text = http_conf(Service("web", (Instance("10.0.0.1", 8080), Instance("[2001:db8::1]", 81, 3))))
    assert text.endswith(
        """\
upstream http_web {
    zone http_web 66k;
    server 10.0.0.1:8080 max_fails=3 fail_timeout=5s;
    server [2001:db8::1]:81 weight=3 max_fails=3 fail_timeout=5s;
    keepalive 16;
    keepalive_timeout 4s;
}
server {
    listen 0.0.0.0:80;
    server_name web.hospital.example;
    location / { proxy_pass http://http_web; }
}
"""
    )


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


def test_keepalive_can_be_off():
    options = Options(domain="x.example", keepalive=0)
    assert "keepalive" not in render_nginx(Plan(http=(Service("w", (Instance("10.0.0.1", 7),)),)), options)["http.conf"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": ""}, {"domain": "Hospital.example"}, {"domain": "a;b"}, {"domain": "a..b"}, {"domain": "a\n"},
        {"domain": None}, {"fail_timeout": "5s;"}, {"keepalive_timeout": 4}, {"http_port": "80;"}, {"max_fails": -1},
        {"listen": ("eth0",)}, {"listen": ("127.0.0.1; x",)}, {"nonsense": 1},
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
scalars = st.one_of(nasty, st.integers(-5, 70000), st.booleans(), st.none(), st.floats(allow_nan=False))
instances = st.fixed_dictionaries(
    {
        "id": nasty, "node": nasty, "address": st.one_of(nasty, st.ip_addresses().map(str)), "port": scalars,
        "tags": st.lists(st.one_of(nasty, st.sampled_from(["http", "tcp"]))), "weight": scalars,
        "meta": st.dictionaries(nasty, nasty, max_size=2),
    }
)  # fmt: skip
catalogs = st.lists(st.fixed_dictionaries({"name": nasty, "instances": st.lists(instances, max_size=4)}), max_size=6)


@given(catalogs)
def test_no_value_injects_a_directive(services):
    files = render_nginx(plan({"services": services}, OPTIONS), OPTIONS)
    for text in files.values():
        assert set(directives(text)) <= ALLOWED


@given(catalogs)
def test_each_name_is_declared_once(services):
    """Two upstreams, zones, hosts or ports of one name would make nginx refuse the whole configuration."""
    for text in render_nginx(plan({"services": services}, OPTIONS), OPTIONS).values():
        for pattern in (r"^upstream (\S+)", r"zone (\S+)", r"server_name (\S+)", r"listen (\S+:(?!80;)\d+);"):
            names = re.findall(pattern, text, re.M)
            assert len(names) == len(set(names))


@given(catalogs)
def test_no_upstream_is_empty(services):
    for text in render_nginx(plan({"services": services}, OPTIONS), OPTIONS).values():
        for block in re.findall(r"^upstream [^{]*\{(.*?)^\}", text, re.M | re.S):
            assert "\n    server " in block
