"""The distribution's servers with the roles' main files and the program's files: routes, retries, headers, pages, log."""

import concurrent.futures
import contextlib
import functools
import gzip
import http.client
import json
import re
import socket
import time

import pytest
from tests.support.ports import free_port
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from instances import ADDRESS, WEBSOCKET, Wire, apply, catalog, entry, running, until
from real_nginx import DOMAIN

TRUSTED = "127.0.71.9"
MAIN = {real_nginx: "nginx.conf", real_haproxy: "haproxy.cfg"}
LONGEST = 65_000  # of a header of an answer; Python's client reads lines of 65,536 bytes


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def server(request):
    """The module of one."""
    return request.param


@pytest.fixture(scope="module")
def balancer(server, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "access"
    with server.Balancer(balancer_access_log=str(log), balancer_trusted_proxies=[TRUSTED]) as balancer:
        balancer.log = log
        balancer.sync(catalog())
        balancer.start()
        yield balancer


@pytest.fixture(scope="module")
def busy(server):
    """One whose clients may do little, and whose instances must answer in a second unless they say otherwise."""
    limits = {"balancer_client_connections": 2, "balancer_client_requests": 5, "balancer_client_header_timeout": "1s"}
    with running(server, **limits, balancer_connect_timeout="3s", balancer_read_timeout="1s") as balancer:
        yield balancer


@pytest.fixture(scope="module")
def underscores(server):
    """One that passes headers with underscores on."""
    with running(server, balancer_underscores_in_headers=True) as balancer:
        yield balancer


@pytest.fixture
def serve(balancer):
    """Serve these services, and nothing else; the status."""

    return functools.partial(apply, balancer)


@pytest.fixture
def wires():
    """Two instances whose connections the test drives."""
    made = [Wire(), Wire()]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def send(balancer):
    """Send a text to the balancer on a connection of its own, which is the result: an older one may be a former worker's."""
    with contextlib.ExitStack() as made:

        def one(text: bytes):
            client = made.enter_context(socket.create_connection((real_nginx.ADDRESS, balancer.http_port), timeout=10))
            client.sendall(text)
            return client

        yield one


@pytest.fixture
def ask(balancer):
    """Status, headers and body of one answer."""

    def request(host, path="/", method="GET", source="", body=None, port=0, **headers):
        connection = http.client.HTTPConnection(
            real_nginx.ADDRESS, port or balancer.http_port, timeout=20, source_address=(source, 0) if source else None
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body=body, headers={"Host": host, **named})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    return request


def names(ask, host, count, path="/"):
    return [json.loads(ask(host, path)[2])[0] for _ in range(count)]


def test_services_share_a_host_by_the_longest_path(serve, ask, instance):
    root, api, deep = instance(name="root"), instance(name="api"), instance(name="deep")
    host = "portal.example.org"
    serve(
        root=[entry(root.port, hosts=host)],
        api=[entry(api.port, hosts=host, path="/api")],
        deep=[entry(deep.port, hosts=host, path="/api/deep")],
    )
    expected = {
        "/": ["root", "/"], "/apix": ["root", "/apix"], "/api": ["api", "/api"], "/api/x?y=1": ["api", "/api/x?y=1"],
        "/api/deep": ["deep", "/api/deep"], "/api/deep/z": ["deep", "/api/deep/z"],
    }  # fmt: skip
    assert {path: json.loads(ask(host, path)[2])[:2] for path in expected} == expected


def test_path_is_stripped_where_asked_for(serve, ask, instance):
    api = instance()
    serve(api=[entry(api.port, path="/api", strip="true")])
    for path, seen in (("/api", "/"), ("/api/", "/"), ("/api/a%20b/c?d=%2F", "/a%20b/c?d=%2F")):
        received = json.loads(ask(f"api.{DOMAIN}", path, X_Forwarded_Prefix="/lie")[2])
        assert (received[1], received[2]["X-Forwarded-Prefix"]) == (seen, "/api")


@pytest.mark.parametrize("more", [{}, {"sticky": "cookie"}], ids=["", "sticky"])
def test_p1_path_is_rewritten(serve, ask, instance, more):
    one, host = instance(), f"web.{DOMAIN}"
    api = entry(one.port, hosts=host, path="/api", rewrite="/v3", **more)
    serve(web=[entry(one.port, rewrite="/v2.0/app", **more)], api=[api])
    asked = {
        "/": "/v2.0/app/", "/x%20y?z=%2F": "/v2.0/app/x%20y?z=%2F", "/apix": "/v2.0/app/apix", "/api": "/v3/",
        "/api/a/": "/v3/a/", "/api/v3/b?c": "/v3/v3/b?c",
    }  # fmt: skip
    found = {path: json.loads(ask(host, path)[2]) for path in asked}
    assert {path: seen[1] for path, seen in found.items()} == asked
    prefixes = {path: seen[2].get("X-Forwarded-Prefix") for path, seen in found.items()}
    assert prefixes == {path: "/api" if seen.startswith("/v3") else None for path, seen in asked.items()}


def test_p1_default_host(server, ask, instance):
    """For names that nobody has; those of others, of the domain, and paths of a known host stay as they are."""
    with running(server, balancer_default_host="portal.example.org") as site:
        assert ask("192.0.2.7", port=site.http_port)[0] == 404
        portal, other, one = instance(name="portal"), instance(name="other"), "other.example.org"
        apply(site, portal=[entry(portal.port, hosts="portal.example.org")], other=[entry(other.port, hosts=one, path="/a")])
        for host, path, name in (("192.0.2.7", "/x", "portal"), ("portal.example.org", "/", "portal"), (one, "/a", "other")):
            status, _headers, body = ask(host, path, port=site.http_port)
            assert (status, json.loads(body)[:2], json.loads(body)[2]["Host"]) == (200, [name, path], host)
        assert [ask(host, port=site.http_port)[0] for host in (one, f"x.{DOMAIN}")] == [404, 503]


def test_p1_maintenance(server, ask, instance):
    """Of one host, with the site's own page; others go on."""
    with running(server, balancer_maintenance=["web.hospital.example"], balancer_pages={"maintenance": "<p>soon"}) as site:
        one = instance()
        apply(site, web=[entry(one.port)], other=[entry(one.port)])
        for path in ("/", "/api"):
            status, headers, body = ask(f"web.{DOMAIN}", path, port=site.http_port)
            assert (status, headers["Retry-After"], body) == (503, "5", "<p>soon\n")
        assert (ask(f"other.{DOMAIN}", port=site.http_port)[0], len(one.asked)) == (200, 1)


def test_p1_maintenance_where_a_host_is_the_default_one(server, ask, instance):
    """Of a host that nobody has any more, which the default one does not answer for; and of the default one, named twice."""
    names = ["shop.example.org", "portal.example.org", "portal.example.org"]
    for in_maintenance in (names[:1], names):
        with running(server, balancer_default_host="portal.example.org", balancer_maintenance=in_maintenance) as site:
            if in_maintenance == names:
                assert ask("192.0.2.7", port=site.http_port)[0] == 503
            apply(site, portal=[entry(instance().port, hosts="portal.example.org")])
            expected = (503, 503 if in_maintenance == names else 200)
            assert tuple(ask(host, port=site.http_port)[0] for host in ("shop.example.org", "192.0.2.7")) == expected


def test_path_goes_on_as_the_client_wrote_it(serve, ask, instance):
    web = instance()
    serve(web=[entry(web.port)])
    received = json.loads(ask(f"web.{DOMAIN}", "/a%2Fb//c%20?d=%2F", X_Forwarded_Prefix="/lie")[2])
    assert (received[1], "X-Forwarded-Prefix" in received[2]) == ("/a%2Fb//c%20?d=%2F", False)


@pytest.mark.parametrize(("host", "status"), [(f"api.{DOMAIN}", 503), ("portal.example.org", 404)])
def test_a_path_that_nobody_has(serve, ask, instance, host, status):
    serve(api=[entry(instance().port, hosts=host, path="/api")])
    assert ask(host, "/other")[0] == status


def test_pages_of_the_balancer_itself(serve, ask):
    serve()
    for host, status, retry in (("x.example.org", 404, None), (f"x.{DOMAIN}", 503, "5"), (f"a.b.{DOMAIN}", 503, "5")):
        for method in ("GET", "POST"):
            answer = ask(host, "/any", method)
            assert (answer[0], answer[1]["Content-Type"], answer[1]["Retry-After"]) == (status, "text/html", retry)
            assert answer[2].startswith("<!doctype html>") and answer[2].endswith("</html>\n") and "//" not in answer[2]


SITES_OWN = '<!doctype html>\n<p title="a\'b">$host ${x} %[src] \\n \\\\ {}; # é\u20ac</p>\n'


def test_p1_pages_of_the_site(server, ask):
    """Every character arrives; the longest one, too."""
    pages = {"404": SITES_OWN, "502": SITES_OWN, "503": SITES_OWN + "x" * (2**15 - len(SITES_OWN.encode()) - 1) + "\n"}
    with running(server, balancer_pages=pages) as site:
        apply(site, web=[entry(free_port())])
        for host, status, retry in (("x.example.org", 404, None), (f"x.{DOMAIN}", 503, "5"), (f"web.{DOMAIN}", 502, "5")):
            found = ask(host, port=site.http_port)
            page = (found[0], found[2].encode("utf-8"), found[1]["Retry-After"])
            assert page == (status, pages[str(status)].encode(), retry), host


@pytest.mark.parametrize("count", [1, 2])
def test_every_instance_refuses(serve, ask, count):
    serve(web=[entry(free_port()) for _ in range(count)])
    for method in ("GET", "POST") * 4:
        status, headers, body = ask(f"web.{DOMAIN}", "/", method)
        assert (status, headers["Retry-After"], headers["Content-Type"]) == (502, "5", "text/html")
        assert "did not answer" in body


def test_an_instance_that_takes_too_long(busy, ask, wires):
    apply(busy, web=[entry(wires[0].port)])
    status, headers, body = ask(f"web.{DOMAIN}", port=busy.http_port, source="127.0.71.24")
    assert (status, headers["Retry-After"], "did not answer" in body) == (504, "5", True)


def test_read_timeout_of_a_service(busy, ask, instance):
    apply(busy, web=[entry(instance(2.0).port, read_timeout="1m")])
    assert ask(f"web.{DOMAIN}", port=busy.http_port, source="127.0.71.25")[0] == 200


@pytest.mark.parametrize("status", [404, 500, 502, 503, 504])
@pytest.mark.parametrize("count", [1, 2])
def test_answers_of_an_application_are_not_touched(serve, ask, instance, status, count):
    serve(web=[entry(instance(status).port) for _ in range(count)])
    for _ in range(20):
        answer = ask(f"web.{DOMAIN}")
        assert (answer[0], answer[1]["X-Own"], answer[1]["Retry-After"], answer[2][:1]) == (status, "yes", None, "[")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_idempotent_requests_are_sent_again(serve, ask, instance, method):
    bad, good = instance("close"), instance()
    serve(web=[entry(bad.port), entry(good.port)])
    assert {ask(f"web.{DOMAIN}", "/", method)[0] for _ in range(6)} == {200}
    assert bad.asked


def test_a_post_is_never_sent_twice(serve, ask, instance):
    bad, good = instance("close"), instance()
    serve(web=[entry(bad.port), entry(good.port)])
    seen = [ask(f"web.{DOMAIN}", f"/{number}", "POST", body="x")[0] for number in range(8)]
    assert sorted(path for _, path, _ in bad.asked + good.asked) == [f"/{number}" for number in range(8)]
    assert [status for status in seen if status != 200] == [502] * len(bad.asked) != []


def test_a_post_that_was_not_sent_goes_to_another_instance(serve, ask, instance):
    good = instance()
    serve(web=[entry(free_port()), entry(good.port)])
    assert {ask(f"web.{DOMAIN}", "/", "POST", body="x")[0] for _ in range(6)} == {200}
    assert len(good.asked) == 6


LIES = {
    "X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "lie.example", "X_Forwarded_Port": "444",
    "X_Real_IP": "192.0.2.1", "Forwarded": "for=192.0.2.1", "Proxy": "http://lie.example",
    "X_Client_Subject": "CN=lie", "X_Client_Fingerprint": "00",
}  # fmt: skip


def forwarded(headers):
    return {name: value for name, value in headers.items() if name.replace("-", "_") in LIES}


def test_forwarding_headers_of_clients_are_not_trusted(serve, ask, instance):
    serve(web=[entry(instance().port)])
    host, client = f"web.{DOMAIN}", "127.0.71.8"
    received = json.loads(ask(host, source=client, **LIES)[2])[2]
    assert forwarded(received) == {
        "X-Forwarded-For": client, "X-Real-IP": client, "X-Forwarded-Proto": "http", "X-Forwarded-Host": host
    }  # fmt: skip
    assert received["Host"] == host


def test_forwarding_headers_of_a_trusted_proxy_are_trusted(serve, ask, instance):
    serve(web=[entry(instance().port)])
    received = json.loads(ask(f"web.{DOMAIN}", source=TRUSTED, **LIES)[2])[2]
    assert forwarded(received) == {
        "X-Forwarded-For": f"192.0.2.1, {TRUSTED}", "X-Real-IP": "192.0.2.1", "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "lie.example", "X-Forwarded-Port": "444", "Forwarded": "for=192.0.2.1",
    }  # fmt: skip


def test_a_trusted_proxy_without_forwarding_headers_is_the_client(serve, ask, instance):
    serve(web=[entry(instance().port)])
    received = json.loads(ask(f"web.{DOMAIN}", source=TRUSTED)[2])[2]
    assert (received["X-Forwarded-For"], received["X-Forwarded-Proto"], received["X-Real-IP"]) == (TRUSTED, "http", TRUSTED)


def test_websocket(serve, balancer, instance):
    serve(web=[entry(instance().port)])
    with socket.create_connection((real_nginx.ADDRESS, balancer.http_port), timeout=10) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n{WEBSOCKET}".encode())
        lines = client.makefile("rb")
        assert lines.readline().startswith(b"HTTP/1.1 101 ")
        while lines.readline().strip():
            pass
        client.sendall(b"echo\n")
        assert lines.readline() == b"echo\n"


def test_no_other_upgrade_is_passed_on(serve, ask, instance):
    serve(web=[entry(instance().port)])
    upgrade = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2_Settings": "AAMAAABkAARAAAAA"}
    received = json.loads(ask(f"web.{DOMAIN}", **upgrade)[2])
    assert ("Upgrade" in received[2], received[2].get("Connection")) == (False, None)


def test_weights(serve, ask, instance):
    heavy, light = instance(name="heavy"), instance(name="light")
    serve(web=[entry(heavy.port, weight="3"), entry(light.port)])
    assert 29 <= names(ask, f"web.{DOMAIN}", 40).count("heavy") <= 31


LINES = {
    real_nginx: [
        r'"GET /wanted HTTP/1.1" 200 .* service=web instance="{place}" answered="200"',
        r'"GET /unwanted HTTP/1.1" 503 .* service=- instance="-"',
        r" TCP 200 .* service=echo-{port} instance=\"{place}\" port={port}",
    ],
    real_haproxy: [
        r'"GET /wanted HTTP/1.1" 200 .* service=web instance="{place}"',
        r'"GET /unwanted HTTP/1.1" 503 .* service=- instance="-:-"',
        r" TCP -- .* service=echo-{port} instance=\"{place}\" port={port}",
    ],
}


def test_log_names_service_and_instance(serve, server, balancer, ask, instance):
    web = instance()
    port = balancer.ports[0]
    echo = entry(web.port, tags=["tcp"], read_timeout="5s", connect_timeout="1s")
    serve(web=[entry(web.port)], **{f"echo_{port}": [echo]})
    ask(f"web.{DOMAIN}", "/wanted")
    ask(f"none.{DOMAIN}", "/unwanted")
    with socket.create_connection((real_nginx.ADDRESS, port), timeout=5) as client:
        client.sendall(b"GET /tcp HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read()
    place = re.escape(f"{ADDRESS}:{web.port}")
    lines = [line.format(place=place, port=port) for line in LINES[server]]
    deadline = time.monotonic() + 60
    while missing := [line for line in lines if not re.search(line, balancer.log.read_text())]:
        assert time.monotonic() < deadline, (missing, balancer.log.read_text()[-600:])
        time.sleep(0.05)


def test_p1_a_service_without_a_log(serve, balancer, ask, instance):
    one = instance()
    serve(silent=[entry(one.port, access_log="false")], web=[entry(one.port)])
    ask(f"silent.{DOMAIN}", "/in-silence")
    ask(f"web.{DOMAIN}", "/told-after-it")
    eventually(lambda: "/told-after-it" in balancer.log.read_text(), 60, every=0.05)
    assert "/in-silence" not in balancer.log.read_text()


def raw(balancer, text: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request as it is."""
    with socket.create_connection((real_nginx.ADDRESS, balancer.http_port), timeout=20) as client:
        client.sendall(text)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    ("line", "host", "seen"),
    [
        ("/", "web.{d}", "web.{d}"),
        ("/", "web.{d}:8080", "web.{d}:8080"),
        ("/", "WEB.{D}", "web.{d}"),
        ("/", "web.{d}.", "web.{d}"),
        ("http://web.{d}/", "evil.example", "web.{d}"),
        ("http://web.{d}/", "evil.example:8080", "web.{d}"),
        ("http://web.{d}:8080/", "web.{d}:8080", "web.{d}:8080"),
        ("http://web.{d}/", "web.{d}:1;x", "web.{d}"),
        ("http://web.{d}/", "x web.{d}", "web.{d}"),
        ("http://web.{d}/", "web.{d}.evil.example", "web.{d}"),
        ("http://WEB.{D}/", "xweb.{d}", "web.{d}"),
        ("http://web.{d}/", "webx{d}", "web.{d}"),
    ],
)
def test_w16_the_host_that_routes_is_the_one_that_is_passed_on(serve, balancer, instance, line, host, seen):
    """An application makes links, and decides, by its name."""
    serve(web=[entry(instance().port)])
    line, host, seen = (text.format(d=DOMAIN, D=DOMAIN.upper()) for text in (line, host, seen))
    status, body = raw(balancer, f"GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    if status == 400:  # nginx refuses what is no host
        return
    received = json.loads(body)[2]
    assert (status, received["Host"], received["X-Forwarded-Host"]) == (200, seen, seen)


def test_w16_two_hosts_are_refused(serve, balancer, instance):
    serve(web=[entry(instance().port)])
    head = f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert raw(balancer, head.encode())[0] == 400


ODD = {"X_Api_Key": "1", "auth_token": "2", "a.b": "3"}
OURS = (
    "X-Forwarded-For", "x-FORWARDED-host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Real-IP",
    "X-Client-Subject", "x-CLIENT-fingerprint",
)  # fmt: skip
FORGED = [form.format(*name.split("-")) for name in OURS for form in ("{}_{}_{}", "{}_{}-{}", "{}-{}_{}")]


def received(balancer, headers) -> dict:
    """{name in lower case: value} of the headers that an instance got of a request with these."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status, body = raw(balancer, f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\nConnection: close\r\n{head}\r\n".encode())
    assert status == 200
    return {name.lower(): value for name, value in json.loads(body)[2].items()}


def test_w15_headers_with_underscores_do_not_arrive_by_default(serve, balancer, instance):
    serve(web=[entry(instance().port)])
    found = received(balancer, ODD | {"X-Api-Key": "4"} | dict.fromkeys(FORGED, "lie"))
    assert (found["x-api-key"], [name for name in found if "_" in name or "." in name]) == ("4", [])
    assert "lie" not in found.values()


def test_w15_headers_with_underscores_arrive_where_the_site_wants_them(underscores, instance):
    apply(underscores, web=[entry(instance().port)])
    assert {name: value for name, value in received(underscores, ODD).items() if name in ODD or "_" in name} == {
        "x_api_key": "1", "auth_token": "2"
    }  # fmt: skip


def test_w15_none_of_them_looks_like_ours(underscores, instance):
    """An application that reads names as CGI does takes X_Forwarded_For for the client's address."""
    apply(underscores, web=[entry(instance().port)])
    found = received(underscores, dict.fromkeys(FORGED, "lie"))
    assert ("lie" not in found.values(), found["x-real-ip"], found["x-forwarded-for"]) == (True, "127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("length", [9_000, 32_000, 32 * 1024])
def test_w9_long_headers_pass_both_ways(serve, ask, instance, length):
    """Tickets of Kerberos, cookies of an application."""
    serve(web=[entry(instance().port)])
    status, _, body = ask(f"web.{DOMAIN}", Cookie="c" * length)
    assert (status, len(json.loads(body)[2]["Cookie"])) == (200, length)
    status, headers, _ = ask(f"web.{DOMAIN}", "/?" + "q" * 100, X_Answer=str(length))
    assert (status, len(headers["X-Long"])) == (200, length)


def test_w8_a_service_may_have_longer_headers_in_its_answers(serve, ask, instance):
    one = instance()
    serve(web=[entry(one.port, header_size="64k")])
    for length in (4_500, 32 * 1024, LONGEST):
        status, headers, _ = ask(f"web.{DOMAIN}", X_Answer=str(length))
        assert (status, len(headers["X-Long"])) == (200, length)


def test_w8_a_label_stays_within_the_sites_disk(server, ask, instance):
    """The least that a site may keep of an answer on disk is enough for every label."""
    with running(server, balancer_response_disk_size="1m", balancer_header_size="4k") as small:
        status = apply(small, web=[entry(instance().port, header_size="64k")])
        if server is real_haproxy:  # its buffers are for all services
            assert "more than haproxy can hold here, 8k" in str(status["warnings"])
            return
        answer = ask(f"web.{DOMAIN}", port=small.http_port, X_Answer=str(LONGEST))
        assert (answer[0], len(answer[1]["X-Long"])) == (200, LONGEST)


@pytest.mark.parametrize("host", [f"web.{DOMAIN}", f"none.{DOMAIN}", "x.example.org"])
def test_w9_a_header_that_is_too_long_gets_a_page(serve, ask, instance, host):
    serve(web=[entry(instance().port)])
    status, headers, body = ask(host, Cookie="c" * 40_000)
    assert (status, headers["Content-Type"], "431 Request Header" in body) == (431, "text/html", True)


def test_w17_an_answer_passes_as_it_comes(serve, wires, send):
    """Events without chunks, as many frameworks send them."""
    serve(web=[entry(wires[0].port, unbuffered="true")])
    client = send(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n\r\n".encode())
    instance, _ = wires[0].request()
    instance.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    for event in (b"data: 1", b"data: 2"):
        instance.sendall(event)
        assert event in until(client, event)
    instance.close()


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_w17_an_upload_passes_as_it_comes(serve, wires, send, method, framing):
    """The application sees the first piece before the last one is sent."""
    first, second = (b"first", b"2nd..") if "Length" in framing else (b"5\r\nfirst\r\n", b"5\r\n2nd..\r\n0\r\n\r\n")
    serve(web=[entry(wires[0].port, unbuffered="true")])
    client = send(f"{method} / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n{framing}\r\n\r\n".encode() + first)
    instance, received = wires[0].request()
    received = until(instance, b"first", received)
    client.sendall(second)
    assert b"2nd.." in until(instance, b"2nd..", received)
    instance.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert until(client, b"\r\n\r\nok").startswith(b"HTTP/1.1 200 ")
    instance.close()


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_w17_no_instance_gets_the_rest_of_an_upload(serve, wires, send, method):
    """One that hangs up in the middle of it is the end of the request."""
    serve(web=[entry(wire.port, unbuffered="true") for wire in wires])
    client = send(f"{method} / HTTP/1.1\r\nHost: web.{DOMAIN}\r\nContent-Length: 10\r\n\r\nfirst".encode())
    instance, received = wires[0].request(wires[1])
    until(instance, b"first", received)
    instance.close()
    client.sendall(b"2nd..")
    assert until(client, b"</html>").startswith(b"HTTP/1.1 502 ")
    with pytest.raises(TimeoutError):
        wires[0].request(wires[1], seconds=0.2)


def test_w17_an_upload_that_was_not_sent_goes_to_another_instance(serve, ask, instance):
    good = instance()
    serve(web=[entry(free_port(), unbuffered="true"), entry(good.port, unbuffered="true")])
    assert {ask(f"web.{DOMAIN}", "/", "POST", body="x" * 100_000)[0] for _ in range(6)} == {200}
    assert len(good.asked) == 6


def test_w17_a_request_without_a_body_is_sent_again(serve, ask, instance):
    bad, good = instance("close"), instance()
    serve(web=[entry(bad.port, unbuffered="true"), entry(good.port, unbuffered="true")])
    assert {ask(f"web.{DOMAIN}")[0] for _ in range(6)} == {200}
    assert bad.asked


def test_p1_largest_body_of_a_service(serve, send, instance):
    """Less and more than the site's, which is 100m; a longer one is refused before an instance has it."""
    one = instance()
    serve(low=[entry(one.port, max_body_size="1k")], high=[entry(one.port, max_body_size="2g")])
    for host, length, status in (("low", 1024, 200), ("low", 1025, 413), ("high", 2 * 2**30 + 1, 413)):
        body = b"x" * min(length, 2000)
        client = send(f"PUT /{length} HTTP/1.1\r\nHost: {host}.{DOMAIN}\r\nContent-Length: {length}\r\n\r\n".encode() + body)
        assert int(until(client, b"\r\n\r\n").split(b" ")[1]) == status
    assert [path for _, path, _ in one.asked] == ["/1024"]


def test_p1_largest_body_in_chunks(server, serve, send, instance):
    if server is real_haproxy:
        pytest.skip("HAProxy compares the length that the client names")
    serve(low=[entry(instance().port, max_body_size="1k")])
    for length, status in ((1024, 200), (1025, 413)):
        head = f"PUT / HTTP/1.1\r\nHost: low.{DOMAIN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = send(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (length, b"x" * length))
        assert int(until(client, b"\r\n\r\n").split(b" ")[1]) == status


def test_p1_a_service_may_take_more_than_the_site(server, ask, instance):
    with running(server, balancer_client_max_body_size="1k") as small:
        one = instance()
        apply(small, usual=[entry(one.port)], more=[entry(one.port, max_body_size="20k")])
        for host, length, status in (("usual", 1025, 413), ("more", 20 * 1024, 200), ("more", 20 * 1024 + 1, 413)):
            assert ask(f"{host}.{DOMAIN}", method="PUT", body="x" * length, port=small.http_port)[0] == status


def test_a_client_has_its_share_of_requests_and_others_theirs(ask, wires, busy):
    """Its third one is refused while two wait for their answer, and one of somebody else is not."""
    one, another = "127.0.71.21", "127.0.71.22"
    apply(busy, web=[entry(wires[0].port, read_timeout="1m")])
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting, connections = [], []
        for source in (one, one, another):
            waiting.append(pool.submit(ask, f"web.{DOMAIN}", source=source, port=busy.http_port))
            connections.append(wires[0].request()[0])
            if len(waiting) == 2:
                refused = [ask(f"web.{DOMAIN}", source=one, port=busy.http_port) for _ in range(2)]
        for connection in connections:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert [answer.result()[0] for answer in waiting] == [200] * 3
    for connection in connections:
        connection.close()
    for status, headers, body in refused:
        assert (status, headers["Retry-After"], "Too many requests" in body) == (429, "5", True)


def test_requests_a_second(ask, instance, busy):
    """Five, and no more after a burst of as many."""
    apply(busy, web=[entry(instance().port, read_timeout="1m")])
    answers, seconds = statuses(busy, "web", 30, "127.0.71.23")
    assert set(answers) == {200, 429} and 5 <= answers.count(200) <= 10 + 5 * seconds
    eventually(lambda: ask(f"web.{DOMAIN}", source="127.0.71.23", port=busy.http_port)[0] == 200, 30, every=1.2)


def statuses(balancer, name, count, source, path="/"):
    """Those of so many requests of a client, and how many seconds they took together.

    They are sent at once: it does not matter how fast this machine asks.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\n"
    began = time.monotonic()
    with socket.create_connection((real_nginx.ADDRESS, balancer.http_port), 60, (source, 0)) as connection:
        connection.sendall((f"{request}\r\n" * (count - 1) + f"{request}Connection: close\r\n\r\n").encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    found = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", received)]
    assert len(found) == count
    return found, time.monotonic() - began


@pytest.fixture
def exchange(serve, wires, send):
    """exchange(path, header of the answer, its body, header of the request, settings) → header and body that a client gets."""

    def one(head: str, body: bytes, more="Accept-Encoding: gzip\r\n", **settings):
        serve(web=[entry(wires[0].port, **settings)])
        client = send(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\n{more}Connection: close\r\n\r\n".encode())
        instance, _ = wires[0].request()
        instance.sendall(f"HTTP/1.1 200 OK\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        found = answer.headers, answer.read()
        instance.close()
        return found

    return one


TEXT = b"many words " * 1000


@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", "application/json", "image/svg+xml"])
def test_p1_text_is_compressed_where_a_service_wants_it(exchange, kind):
    headers, body = exchange(f"Content-Type: {kind}\r\n", TEXT, gzip="true")
    assert (headers["Content-Encoding"], headers["Vary"], gzip.decompress(body)) == ("gzip", "Accept-Encoding", TEXT)
    assert len(body) < len(TEXT) / 10


@pytest.mark.parametrize(
    ("head", "more", "label"),
    [
        ("Content-Type: text/html\r\n", "Accept-Encoding: gzip\r\n", ""),
        ("Content-Type: text/html\r\n", "", "true"),
        ("Content-Type: image/png\r\n", "Accept-Encoding: gzip\r\n", "true"),
        ("Content-Type: text/event-stream\r\n", "Accept-Encoding: gzip\r\n", "true"),
    ],
    ids=["no label", "a client that takes none", "a picture", "events"],
)
def test_p1_what_is_not_compressed(exchange, head, more, label):
    headers, body = exchange(head, TEXT, more, **({"gzip": label} if label else {}))
    assert (headers["Content-Encoding"], body) == (None, TEXT)


def test_p1_what_an_instance_has_compressed_stays(exchange):
    own = gzip.compress(TEXT)
    headers, body = exchange("Content-Type: text/html\r\nContent-Encoding: gzip\r\n", own, gzip="true")
    assert (headers.get_all("Content-Encoding"), body) == (["gzip"], own)


def test_p1_gzip_of_the_site(server):
    with server.Balancer(balancer_gzip="yes") as one:
        assert one.options.gzip is True


EXTRA = {
    "Content-Security-Policy": "default-src 'self' https://*.example.org:8443; img-src data:; style-src 'sha256-a+/='",
    "Permissions-Policy": "geolocation=(), camera=(self)", "X-All": "!&'()*+,./:;<=>?@_~- x",
}  # fmt: skip
LABEL = " | ".join(f"{name}: {value}" for name, value in EXTRA.items())


@pytest.mark.parametrize("status", [200, 404, 500])
def test_p1_headers_of_a_label(serve, ask, instance, status):
    """On answers of instances, whatever their status; neither on pages of the balancer nor on another service's."""
    one = instance(status)
    serve(
        web=[entry(one.port, response_headers=LABEL)],
        other=[entry(one.port)],
        failing=[entry(free_port(), response_headers=LABEL)],
    )
    found = ask(f"web.{DOMAIN}")
    assert (found[0], {name: found[1].get_all(name) for name in EXTRA}) == (status, {name: [EXTRA[name]] for name in EXTRA})
    for host, expected in (("other", status), ("failing", 502)):
        found = ask(f"{host}.{DOMAIN}")
        assert (found[0], [name for name in EXTRA if name in found[1]]) == (expected, [])


def test_p1_headers_of_a_label_are_on_the_page_413_of_nginx_alone(server, serve, ask, instance):
    """It answers that within the location of the service. docs/balancer.md says so."""
    serve(web=[entry(instance().port, response_headers=LABEL, max_body_size="1k")])
    found = ask(f"web.{DOMAIN}", Content_Length=2000)
    assert (found[0], [name for name in EXTRA if name in found[1]]) == (413, list(EXTRA) if server is real_nginx else [])


def test_p1_a_header_of_a_label_replaces_that_of_an_instance(exchange):
    headers, _ = exchange(
        "X-Frame-Options: ALLOW\r\nx-frame-options: TOO\r\nX-Other: 1\r\n", b"", response_headers="X-Frame-Options: DENY"
    )
    assert (headers.get_all("X-Frame-Options"), headers["X-Other"]) == (["DENY"], "1")


def test_p1_the_most_headers_fit_beside_a_long_answer(exchange):
    label = "|".join(f"X-{n}{'a' * 37}: {'b' * 9}" for n in range(8))
    headers, body = exchange(f"X-Long: {'x' * 30_000}\r\n", TEXT * 20, response_headers=label)
    assert (len([name for name in headers if name.upper().startswith("X-")]), body) == (9, TEXT * 20)


HOSTILE = [
    'X-A: 1" always; return 200 "evil',
    "X-A: 1\r\nX-Evil: 1",
    "X-A: $host",
    "X-A: %[src]",
    "X-A: 1\\",
    "X-A: '1",
    "Connection: close",
]


def test_p1_hostile_headers_hurt_nobody(serve, ask, instance):
    one = instance()
    status = serve(web=[entry(one.port, response_headers=text) for text in HOSTILE], other=[entry(one.port)])
    assert status["skipped"] == [] and len(status["warnings"]) >= len(HOSTILE) - 1
    assert (ask(f"web.{DOMAIN}")[0], ask(f"other.{DOMAIN}")[0]) == (200, 200)


def test_p1_headers_of_the_site(server, ask, instance):
    with running(server, balancer_response_headers={"X-Content-Type-Options": "nosniff", "X-Site": 1}) as site:
        one = instance()
        apply(site, web=[entry(one.port)], own=[entry(one.port, response_headers="x-site: 2")])
        for host, expected in (("web", ["1"]), ("own", ["2"])):
            headers = ask(f"{host}.{DOMAIN}", port=site.http_port)[1]
            assert (headers["X-Content-Type-Options"], headers.get_all("X-Site")) == ("nosniff", expected)


def test_p1_requests_a_second_of_a_service(balancer, serve, ask, instance):
    """Of each client, and of each service, by itself; a page tells it."""
    one, host, client = instance(), f"web.{DOMAIN}", "127.0.71.31"
    serve(web=[entry(one.port, rate_limit="5,20")], api=[entry(one.port, hosts=host, path="/api")], other=[entry(one.port)])
    found, seconds = statuses(balancer, "web", 200, client)
    assert set(found) == {200, 429} and 20 <= found.count(200) <= 40 + 5 * seconds and len(one.asked) == found.count(200)
    status, headers, body = next(answer for answer in (ask(host, source=client) for _ in range(60)) if answer[0] != 200)
    assert (status, headers.get_all("Retry-After"), "Too many requests" in body) == (429, ["5"], True)
    for name, path, source in (("other", "/", client), ("web", "/api", client), ("web", "/", "127.0.71.32")):
        assert set(statuses(balancer, name, 10, source, path)[0]) == {200}
    eventually(lambda: ask(host, source=client)[0] == 200, 30, every=0.2)


def test_p1_too_many_requests_set_no_sticky_cookie(balancer, serve, ask, instance):
    serve(web=[entry(instance().port, rate_limit="1", sticky="cookie") for _ in range(2)])
    answers = [ask(f"web.{DOMAIN}", source="127.0.71.35")]
    while answers[-1][0] == 200 and len(answers) < 60:
        answers.append(ask(f"web.{DOMAIN}", source="127.0.71.35"))
    assert len(answers) > 1 and answers[-1][0] == 429
    for status, headers, _body in answers:
        found = len(headers.get_all("Set-Cookie", [])), headers.get_all("Retry-After")
        assert found == ((1, None) if status == 200 else (0, ["5"]))


def test_p1_the_sites_limit_stays_beside_that_of_a_service(instance, busy):
    """5 requests a second of a client, to all services together."""
    one = instance()
    apply(busy, web=[entry(one.port, rate_limit="1000")], less=[entry(one.port, rate_limit="1")])
    found, seconds = statuses(busy, "web", 30, "127.0.71.33")
    assert set(found) == {200, 429} and 5 <= found.count(200) <= 10 + 5 * seconds
    found, seconds = statuses(busy, "less", 5, "127.0.71.34")
    assert 1 <= found.count(200) <= 3 + seconds


def test_p1_a_site_may_end_its_limit_beside_that_of_a_service(server, instance):
    """Its main file is tested with the generation of before."""
    with server.Balancer(balancer_client_requests=5) as before, server.Balancer() as after:
        before.sync(catalog(web=[entry(instance().port, rate_limit="1000")]))
        before.config.joinpath(MAIN[server]).write_text(after.config.joinpath(MAIN[server]).read_text())
        assert before.backend.check(before.store.current().path, before.folder / "candidate") == ""


def test_a_slow_header_ends(busy):
    with socket.create_connection((real_nginx.ADDRESS, busy.http_port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert client.recv(1) == b"" and time.monotonic() - began < 10  # it has 15 s by default
