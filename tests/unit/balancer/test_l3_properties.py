"""L3: what holds for every catalog, and that the table of what is allowed finds what an injection would leave."""

import dataclasses
import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haproxy_allowed
from allowed import foreign
from discovery_balancer.backends.haproxy.backend import Haproxy
from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import files, layout
from discovery_balancer.backends.nginx.backend import Nginx
from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import plan
from discovery_balancer.settings import PARSERS, PREFIX, cut
from hostile import ADDRESSES, BREAKING, FINE, KEYS, NAMES, NUMBERS, ODD, TCP_NAMES, VALUES, Maker

RUN = "/run/discovery-balancer"
OPTIONS = Options(
    domain="hospital.example", udp_ports=(7000, 9999), htpasswd={"staff": "/etc/nginx/users/staff"},
    client_cas={"staff": "/etc/nginx/cas/staff.pem"},
)  # fmt: skip
TLS = Path(f"{RUN}-tls")
CERTIFICATE = {"names": ["*.hospital.example", "b.example.org"], "certificate": "/etc/ssl/site.pem", "key": "/etc/ssl/site.key"}
ENDING = dataclasses.replace(OPTIONS, certificates=(CERTIFICATE,))
PLACES = [("10.0.0.1", 8080), ("10.0.0.2", 8080), ("2001:db8::1", 81)]
PORTS = range(20000, 21000)
TAGS = ["http", "tcp", "tls", "udp"]


SHARP = ";{}\"'\\ \n\r\0#$*/.%,٩"  # what a pattern that is a little too wide lets through


def texts(*known):
    """One of these, with something put into it, or anything at all."""
    pieces = st.one_of(st.sampled_from(SHARP), st.sampled_from(SHARP), st.sampled_from(BREAKING + ODD), st.text(max_size=5))
    put = st.builds(lambda text, piece, at: text[:at] + piece + text[at:], st.sampled_from(known), pieces, st.integers(0, 12))
    return st.one_of(put, put, st.sampled_from(known), st.text(max_size=80))


def mostly(good, bad):
    """What gets one of these further than where it is looked at first. `one_of` counts a strategy that it is given twice once."""
    return st.sampled_from([good, good, good, bad]).flatmap(lambda chosen: chosen)


instances = st.fixed_dictionaries(
    {
        "id": st.text(max_size=9), "node": st.text(max_size=9),
        "address": mostly(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]), texts("10.0.0.1", "fe80::1%eth0")),
        "port": mostly(st.integers(1, 65535), st.one_of(st.integers(), st.sampled_from(NUMBERS), st.text(max_size=5))),
        "tags": mostly(st.lists(st.sampled_from(TAGS), min_size=1), st.one_of(st.none(), st.lists(texts("tls")))),
        "meta": mostly(
            st.dictionaries(st.sampled_from(KEYS), texts(*VALUES), max_size=4),
            st.one_of(st.none(), st.dictionaries(texts(*KEYS), st.text(max_size=80), max_size=4)),
        ),
        "weight": mostly(st.integers(1, 65535), st.one_of(st.integers(), st.sampled_from(NUMBERS))),
    }
)  # fmt: skip
services = st.fixed_dictionaries(
    {
        "name": mostly(st.sampled_from(["web", "shop", "api", "echo-7777", "db-5432", "x-9000"]), texts(*NAMES, *TCP_NAMES)),
        "instances": mostly(st.lists(instances, min_size=1, max_size=4), st.one_of(st.none(), st.lists(instances, max_size=4))),
    }
)
catalogs = st.lists(services, max_size=6, unique_by=lambda entry: entry["name"])


def written(folder, files):
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")


def rendered(folder, files):
    written(folder, files)
    return [one for name in files for one in foreign(folder / name, RUN)]


OWN = HaproxyOptions(log=True, trusted_proxies=("10.9.0.0/16",), spare=1)


def nginx(folder, plan, options):
    """What its files have that the table does not allow."""
    return rendered(folder, render_nginx(plan, options, TLS))


def haproxy(folder, plan, options):
    """What its files have that the table does not allow."""
    written(folder, files(layout(plan, options, OWN)))
    return haproxy_allowed.foreign(folder, options, OWN)


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def outside(request, tmp_path_factory):
    """(plan, options) -> what is outside of the table of a backend."""
    folder = tmp_path_factory.mktemp("rendered")
    return lambda plan, options: request.param(folder, plan, options)


@settings(max_examples=200)
@given(catalogs, st.sampled_from([OPTIONS, ENDING]))
def test_l3_nothing_outside_the_table_is_rendered(outside, services, options):
    assert outside(plan({"services": services}, options), options) == []


def spoiled(put) -> list:
    """A service for each text that a configuration could get, with that text spoiled; all else about it is good."""
    good = {"id": "i", "node": "n", "address": "10.0.0.1", "port": 80, "tags": TAGS, "meta": {}, "weight": 1}
    found = [{"name": put(name), "instances": [good]} for name in ("web", "echo-9999")]
    found.append({"name": put("app"), "instances": [{**good, "meta": {PREFIX + "hosts": "app.example.org"}}]})
    for address in ("10.0.0.1", "2001:db8::1", "fe80::1%eth0"):
        found.append({"name": f"address-{len(found) + 7000}", "instances": [{**good, "address": put(address)}]})
    for key in PARSERS:
        name = f"{key.replace('_', '-')}-{len(found) + 7000}"
        meta = {PREFIX + other: value.replace("{name}", name) for other, value in (FINE | {"path": "/a/b"}).items()}
        meta[PREFIX + key] = put(meta[PREFIX + key])
        found.append({"name": name, "instances": [{**good, "meta": meta}]})
    return found


@pytest.mark.parametrize("options", [OPTIONS, ENDING], ids=["", "with certificates"])
@pytest.mark.parametrize("where", [0, 0.5, 1], ids=["before", "within", "after"])
def test_l3_no_character_passes_in_any_place(outside, options, where):
    for character in string.punctuation + string.whitespace + "\0\x1b\x85\u2028٩ｗ":
        services = spoiled(lambda text, one=character: text[: int(len(text) * where)] + one + text[int(len(text) * where) :])
        assert outside(plan({"services": services}, options), options) == [], repr(character)


@pytest.mark.parametrize("options", [OPTIONS, ENDING], ids=["", "with certificates"])
def test_l3_no_odd_value_passes_in_any_place(outside, options):
    for value in VALUES + ODD + BREAKING + NAMES + TCP_NAMES + ADDRESSES:
        services = spoiled(lambda text, one=value: one)
        assert outside(plan({"services": services}, options), options) == [], repr(value)


@given(catalogs)
def test_l3_every_tagged_service_is_served_or_skipped(services):
    result = plan({"services": services}, OPTIONS)
    there = {s.name for s in result.http + result.tls + result.tcp + result.udp} | {name for name, _ in result.skipped}
    for entry in services:
        if any({"http", "tcp", "tls"} & set(instance["tags"] or []) for instance in entry["instances"] or []):
            assert cut(entry["name"]) in there or entry["name"].lower() in there
    json.dumps([result.skipped, result.warnings, result.traffic])  # the status has these


@given(catalogs, st.randoms())
def test_l3_order_does_not_matter(services, chance):
    shuffled = [{**e, "instances": chance.sample(e["instances"] or [], len(e["instances"] or []))} for e in services]
    chance.shuffle(shuffled)
    one, other = plan({"services": services}, OPTIONS), plan({"services": shuffled}, OPTIONS)
    assert render_nginx(one, OPTIONS) == render_nginx(other, OPTIONS)
    assert files(layout(one, OPTIONS, OWN)) == files(layout(other, OPTIONS, OWN))


@settings(max_examples=200)
@given(st.integers(0, 10**9))
def test_l3_a_good_service_is_the_same_without_its_neighbours(seed):
    """All of it: names, instances, weights, port."""
    hostile = Maker(seed, PLACES, PORTS).catalog()
    names = {service.name for service in hostile.good}
    among, alone = plan(hostile.catalog, OPTIONS), plan(hostile.alone, OPTIONS)
    for kind in ("http", "tls", "tcp"):
        assert [s for s in getattr(among, kind) if s.name in names] == list(getattr(alone, kind))
    served = {service.name: frozenset(map(place, service.instances)) for service in alone.http + alone.tls + alone.tcp}
    assert served == {service.name: service.places for service in hostile.good}


def place(instance) -> str:
    return f"{instance.address.strip('[]')}:{instance.port}"


def test_l3_the_same_seed_makes_the_same_catalog():
    one, other = (Maker(11, PLACES, PORTS).catalog() for _ in range(2))
    assert (json.dumps(one.catalog), one.good) == (json.dumps(other.catalog), other.good)


def test_l3_catalogs_hold_what_they_should():
    """Each kind of hostility is met often enough, in names, tags, ids, meta, addresses, ports and weights."""
    entries = [e for seed in range(200) for e in Maker(seed, PLACES, PORTS).catalog().catalog["services"]]
    found = [i for e in entries for i in e["instances"]]
    meta = {key for i in found for key in i["meta"] or {}}
    values = [value for i in found for value in (i["meta"] or {}).values()]
    assert set(KEYS) <= meta
    for where in ([e["name"] for e in entries], [t for i in found for t in i["tags"]], [i["id"] for i in found], values):
        for piece in (";", "{", "}", '"', "'", "\n", "\0", "$", "\U0001f4a5"):
            assert any(piece in text for text in where), piece
        assert max(map(len, where)) > 5000
    assert {0, -1, 65536} <= {i["port"] for i in found if isinstance(i["port"], int)}
    assert {i["weight"] for i in found if isinstance(i["weight"], int)} >= {0, -1, 65536}


HTTP = "server {{\n    listen 0.0.0.0:80;\n    server_name web.hospital.example;\n    {}\n}}\n"
UPSTREAM = "upstream http_web {{\n    zone http_web 65k;\n    server 10.0.0.1:80 max_fails=3 fail_timeout=5s;\n    {}\n}}\n"
INJECTED = {
    "a directive": HTTP.format("return 200 evil;"),
    "an allowed directive with another argument": HTTP.format("add_header X-Evil 1 always;"),
    "a name with a variable": "server { server_name $host; }",
    "a name as a pattern": HTTP.format("server_name ~^.*$;"),
    "another upstream": HTTP.format("location / { proxy_pass http://10.0.0.9; }"),
    "a location with a pattern": HTTP.format("location ~ .* { proxy_pass http://http_web; }"),
    "a file of the host": HTTP.format("location / { root /; }"),
    "a directive of another block": HTTP.format("zone http_web 64k;"),
    "a listener": HTTP.format("listen 0.0.0.0:80 ssl;"),
    "a socket": HTTP.format("listen unix:/run/evil.sock;"),
    "a variable as a name": "server { location / { set $discovery_service $host; } }",
    "a header with a variable": 'server { location / { add_header X-Evil "$host" always; } }',
    "a header with more arguments": "server { location / { add_header X-Evil 1 always evil; } }",
    "a path that leaves": "server { location /../ { proxy_pass http://http_web; } }",
    "another page": "server { return 404 $discovery_page_503; }",
    "a map of its own": 'map $host $x { default "1"; }',
    "a map that includes": 'map "" $discovery_service { include /etc/shadow; }',
    "an include": "include /etc/shadow;\n",
    "a server that is a name": UPSTREAM.format("server evil.example:80;"),
    "a server's option": UPSTREAM.format("server 10.0.0.1:80 max_fails=3 fail_timeout=5s backup;"),
    "another character": HTTP.format("# ｗ"),
    "a carriage return": HTTP.format("# \r"),
    "no end of a block": "server {\n",
    "one end too many": HTTP.format("}"),
    "no end of a directive": "server { listen 0.0.0.0:80 }\n",
    "nothing before the end of a directive": "server { ; }\n",
    "an open quote": HTTP.format('default_type "text/plain;'),
}


@pytest.mark.parametrize("text", INJECTED.values(), ids=INJECTED)
def test_l3_the_table_finds(tmp_path, text):
    (tmp_path / "http.conf").write_text(HTTP.format("") + text)
    assert len(foreign(tmp_path / "http.conf", RUN)) >= 1


def test_l3_the_table_allows_what_is_rendered(tmp_path):
    """With the marker's server, which is no part of the pure function."""
    (tmp_path / "nginx.conf").write_text("")
    own = {"socket": f"{RUN}/nginx.sock", "config": str(tmp_path / "nginx.conf")}
    options = Options(domain="hospital.example", backend=own)
    catalog = Maker(random.randrange(10**9), PLACES, PORTS).catalog().catalog
    assert rendered(tmp_path, Nginx(options).files(plan(catalog, options))[0]) == []


BACKEND = "backend http_web\n    balance roundrobin\n{}\n"
INJECTED_HAPROXY = {
    "a directive": BACKEND.format("    http-request deny"),
    "an allowed directive with another argument": BACKEND.format("    http-request set-header X-Forwarded-Prefix %[src]"),
    "a header with a variable": BACKEND.format('    http-response set-header X-Evil "%[src]"'),
    "a header with a condition": BACKEND.format('    http-response set-header X-Evil "1" if TRUE'),
    "a header of the environment": BACKEND.format('    http-response set-header X-Evil "${PATH}"'),
    "a directive of another section": BACKEND.format("    bind 0.0.0.0:80"),
    "a section": "frontend evil\n    bind 0.0.0.0:81",
    "a listener": "listen tcp_x-9\n    bind 0.0.0.0:9 ssl crt /etc/shadow",
    "a second section of a name": BACKEND.format("") * 2,
    "a line that begins with a tab": "\tserver x 10.0.0.9:80",
    "a line outside of a section": "stats socket /run/x level admin",
    "a file of the host": BACKEND.format("    errorfile 503 /etc/shadow"),
    "a server that is a name": BACKEND.format("    server evil evil.example:80 weight 1"),
    "a server's option": BACKEND.format("    server 10.0.0.1:80 10.0.0.1:80 weight 1 send-proxy"),
    "a server at a socket": BACKEND.format("    server x unix@/run/x weight 1"),
    "a program": "program evil\n    command /bin/sh",
    "a global setting": "global\n    insecure-fork-wanted",
    "another log": "listen tcp_x-9\n    log-format %[src]",
    "a path that is a pattern": BACKEND.format("    http-request replace-path ^/.*(/(.*))?$ /\\2"),
    "an end with a backslash": BACKEND.format("    balance roundrobin\\"),
    "another character": BACKEND.format("    # ｗ"),
    "a carriage return": BACKEND.format("    balance roundrobin\r"),
}
MAP_LINES = {
    "hosts.map": [
        "web.example web",
        "web.example/ web ",
        "web.example/../ web",
        "/ web",
        "a b/ web",
        "web.example/ http-x;",
        "# x",
    ],
    "names.map": ["web.example http_web", "*.*.example tls_web", "web.example discovery_clients"],
    "structure.map": ["common x", "backend:tcp_x 0123456789abcdef"],
}


@pytest.fixture
def generation(tmp_path):
    written(tmp_path, files(layout(plan(Maker(5, PLACES, PORTS).catalog().catalog, OPTIONS), OPTIONS, OWN)))
    assert haproxy_allowed.foreign(tmp_path, OPTIONS, OWN) == []
    return tmp_path


@pytest.mark.parametrize("text", INJECTED_HAPROXY.values(), ids=INJECTED_HAPROXY)
def test_l3_the_table_for_haproxy_finds(generation, text):
    file = generation / "services.cfg"
    file.write_text(file.read_text() + text)
    assert haproxy_allowed.foreign(generation, OPTIONS, OWN)


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in MAP_LINES.items() for line in lines])
def test_l3_the_table_for_haproxys_maps_finds(generation, name, line):
    file = generation / name
    file.write_text(file.read_text() + line + "\n")
    assert haproxy_allowed.foreign(generation, OPTIONS, OWN)


def test_l3_the_table_for_haproxy_finds_another_page(generation):
    (generation / "502.http").write_text("HTTP/1.1 200 OK\r\n\r\n")
    assert haproxy_allowed.foreign(generation, OPTIONS, OWN)


def test_l3_the_table_for_haproxy_allows_what_is_rendered(tmp_path):
    """With the marker, which is no part of the pure function."""
    (tmp_path / "haproxy.cfg").write_text("")
    options = Options(domain="hospital.example", backend={"config": str(tmp_path / "haproxy.cfg")})
    catalog = Maker(random.randrange(10**9), PLACES, PORTS).catalog().catalog
    (tmp_path / "new").mkdir()
    written(tmp_path / "new", Haproxy(options).files(plan(catalog, options))[0])
    assert haproxy_allowed.foreign(tmp_path / "new", options, HaproxyOptions()) == []
