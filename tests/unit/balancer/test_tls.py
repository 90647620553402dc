"""TLS on one port, with the distribution's servers: passed through by name, or ended with a certificate of the site."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from discovery_balancer import plan
from instances import ADDRESS, Instance, Wire, apply, certificate, entry, running
from real_nginx import DOMAIN

CLIENT = "127.0.71.8"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates: of the site for its names, of a service that ends TLS itself, and of a host beside the domain."""
    folder = tmp_path_factory.mktemp("certificates")
    named = {"site": f"*.{DOMAIN}", "own": f"own.{DOMAIN}"}
    made = {use: certificate(folder, name) for use, name in named.items()}
    return made | {"beside": certificate(folder, "portal.example.org", key=("rsa:2048",))}


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def server(request):
    """The module of one."""
    return request.param


@pytest.fixture(scope="module")
def through(server, files, tmp_path_factory):
    """A balancer without any certificate."""
    log = tmp_path_factory.mktemp("log") / "access"
    with running(server, balancer_access_log=str(log)) as balancer:
        balancer.log = log
        yield balancer


@pytest.fixture(scope="module")
def ending(server, files, tmp_path_factory):
    """A balancer that has certificates."""
    chosen = [
        {"names": [f"*.{DOMAIN}"], "certificate": files["site"][0], "key": files["site"][1]},
        {"names": ["portal.example.org"], "certificate": files["beside"][0], "key": files["beside"][1]},
    ]
    log = tmp_path_factory.mktemp("log") / "access"
    with running(server, balancer_certificates=chosen, balancer_access_log=str(log)) as balancer:
        balancer.log = log
        yield balancer


@pytest.fixture
def as_if_443(ending, monkeypatch):
    """The port of the balancer, for any other of which a label of HSTS is ignored."""
    monkeypatch.setattr(plan, "HTTPS_PORT", ending.tls_port)


@pytest.fixture
def instance(files):
    started = []

    def start(tls="own", **named):
        started.append(Instance(tls=files[tls] if tls else None, **named))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def wire():
    """An instance whose connections the test drives."""
    made = Wire()
    yield made
    made.close()


def get(balancer, name, ca, host="", path="/"):
    """An answer over TLS: (status, body, client's certificate of the server verified by this file); the name is asked for."""
    context = ssl.create_default_context(cafile=ca)
    place = real_nginx.ADDRESS, balancer.tls_port
    with socket.create_connection(place, 10, (CLIENT, 0)) as plain, context.wrap_socket(plain, server_hostname=name) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status, answer.read().decode()


def closed(balancer, sent: bytes = b"", name=None) -> bool:
    """Whether the connection ends without a byte; sends a hello for this name, or these bytes."""
    with socket.create_connection((real_nginx.ADDRESS, balancer.tls_port), 10) as client:
        if not sent:
            into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context()
            context.check_hostname = False
            with contextlib.suppress(ssl.SSLWantReadError):
                context.wrap_bio(into, out, server_hostname=name).do_handshake()
            sent = out.read()
        client.sendall(sent)
        try:
            return client.recv(10) == b""
        except ConnectionResetError:
            return True


@pytest.mark.parametrize("which", ["through", "ending"])
def test_tls_goes_through_to_the_service_that_has_the_name(server, request, which, files, instance):
    balancer = request.getfixturevalue(which)
    one, other = instance(name="one"), instance("beside", name="other")
    apply(
        balancer,
        own=[entry(one.port, tags=["tls"])],
        other=[entry(other.port, tags=["tls"], hosts="portal.example.org, second.example.org")],
    )
    for name, ca, who in ((f"own.{DOMAIN}", "own", "one"), ("portal.example.org", "beside", "other")):
        status, body = get(balancer, name, files[ca][0])
        assert (status, json.loads(body)[0]) == (200, who)
    with pytest.raises(ssl.SSLCertVerificationError):  # it is the service's own certificate
        get(balancer, f"own.{DOMAIN}", files["site"][0])
    place = f"{one.server.server_address[0]}:{one.port}"
    line = rf'^{CLIENT} .* TCP (200|--) .* service=tls_own instance="{re.escape(place)}" .*name="own.{DOMAIN}"$'
    eventually(lambda: re.search(line, balancer.log.read_text(), re.M), 60, every=0.05)


@pytest.mark.parametrize("which", ["through", "ending"])
@pytest.mark.parametrize("name", ["external.example.org", None])
def test_any_other_name_is_closed(server, request, which, instance, name):
    balancer = request.getfixturevalue(which)
    apply(balancer, own=[entry(instance().port, tags=["tls"])])
    assert closed(balancer, name=name)
    assert closed(balancer, b"GET / HTTP/1.0\r\n\r\n")


def test_nobody_listens_without_a_need(through):
    apply(through)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((real_nginx.ADDRESS, through.tls_port), 10)


def test_a_port_that_is_taken_costs_tls_only(through, instance):
    web = instance(None)
    apply(through)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((real_nginx.ADDRESS, through.tls_port))
        other.listen()
        status = apply(through, web=[entry(web.port)], own=[entry(instance().port, tags=["tls"])])
        assert (list(status["http"]), status["tls"]) == (["web"], {})
        assert "taken by another process" in status["skipped"][0]["reason"]
    assert list(apply(through, own=[entry(instance().port, tags=["tls"])])["tls"]) == ["own"]


def test_tls_ends_with_the_certificate_for_the_name(ending, files, instance):
    web, portal = instance(None, name="web"), instance(None, name="portal")
    apply(ending, web=[entry(web.port)], portal=[entry(portal.port, hosts="portal.example.org")])
    for name, ca, who in ((f"web.{DOMAIN}", "site", "web"), ("portal.example.org", "beside", "portal")):
        status, body = get(ending, name, files[ca][0])
        received = json.loads(body)
        assert (status, received[0]) == (200, who)
        assert {key: received[2].get(key) for key in ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "Host")} == {
            "X-Forwarded-For": CLIENT, "X-Real-IP": CLIENT, "X-Forwarded-Proto": "https", "Host": name
        }  # fmt: skip
    eventually(lambda: f"{CLIENT} web.{DOMAIN} " in ending.log.read_text(), 60, every=0.05)  # it is written after the answer
    assert ending.ask("web")[0] == 200  # and in plain


def test_a_name_without_a_healthy_instance(ending, files):
    apply(ending)
    for name, ca, status in ((f"x.{DOMAIN}", "site", 503), ("portal.example.org", "beside", 404)):
        assert get(ending, name, files[ca][0])[0] == status


def answer(balancer, host, path="/", ca="", source=CLIENT, method="GET", **headers):
    """Status and headers of an answer, by TLS with a file of its CA, else in clear."""
    place = real_nginx.ADDRESS, balancer.tls_port if ca else balancer.http_port
    with socket.create_connection(place, 10, (source, 0)) as client, contextlib.ExitStack() as stack:
        if ca:
            client = stack.enter_context(ssl.create_default_context(cafile=ca).wrap_socket(client, server_hostname=host))
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n".encode())
        got = http.client.HTTPResponse(client)
        got.begin()
        return got.status, got.headers


CHALLENGE = "/.well-known/acme-challenge/token"


@pytest.mark.parametrize("status", [301, 308])
def test_p1_requests_in_clear_are_redirected(ending, files, instance, status):
    web = instance(None, name="web")
    apply(ending, web=[entry(web.port, https_redirect=str(status))], plain=[entry(web.port)])
    there = f"https://web.{DOMAIN}:{ending.tls_port}"
    leaving = [f"{CHALLENGE}x/../../../etc?x", f"{CHALLENGE}/%2e%2E/../x"]
    for path in ("/", "/a%2Fb//c?d=%20&e", "/.well-known/acme-challenge", *leaving):
        got = answer(ending, f"web.{DOMAIN}", path)
        assert (got[0], got[1]["Location"]) == (status, there + path)
    assert answer(ending, f"WEB.{DOMAIN}:81", "/a")[1]["Location"] == f"{there}/a"
    assert answer(ending, f"web.{DOMAIN}", f"http://web.{DOMAIN}/b?c")[1]["Location"] == f"{there}/b?c"
    web.asked.clear()
    assert answer(ending, f"web.{DOMAIN}", CHALLENGE)[0] == 200  # a CA verifies the name in clear
    assert answer(ending, f"web.{DOMAIN}", ca=files["site"][0])[0] == 200
    assert [path for _, path, _ in web.asked] == [CHALLENGE, "/"]
    assert answer(ending, f"plain.{DOMAIN}")[0] == 200


def test_p1_only_hosts_with_a_certificate_are_redirected(ending, instance):
    one = instance(None)
    status = apply(ending, web=[entry(one.port, https_redirect="308", hosts=f"web.{DOMAIN}, beside.example")])
    assert "balancer_https_redirect has no effect for beside.example" in str(status["warnings"])
    assert (answer(ending, f"web.{DOMAIN}")[0], answer(ending, "beside.example")[0]) == (308, 200)


@pytest.mark.parametrize("path", ["/", "/api"])
def test_p1_each_service_of_a_host_decides_its_redirect(ending, instance, path):
    one, host = instance(None), f"web.{DOMAIN}"
    given = {wanted: {"https_redirect": "301"} if wanted == path else {} for wanted in ("/", "/api")}
    apply(ending, web=[entry(one.port, **given["/"])], api=[entry(one.port, hosts=host, path="/api", **given["/api"])])
    found = {asked: answer(ending, host, asked)[0] for asked in ("/", "/api", "/api/x", "/apix")}
    api, root = (301, 200) if path == "/api" else (200, 301)
    assert found == {"/": root, "/api": api, "/api/x": api, "/apix": root}


@pytest.mark.usefixtures("as_if_443")
def test_p1_hsts_is_on_all_answers_by_tls_and_no_others(ending, files, instance):
    host, ca = f"web.{DOMAIN}", files["site"][0]
    good, refuses, slow = instance(None), free_port(), instance(None, answer=2.0)
    apply(
        ending,
        web=[entry(good.port, hsts="600", max_body_size="1k")],
        api=[entry(good.port, hosts=host, path="/api")],
        failing=[entry(refuses, hosts=host, path="/failing")],
        slow=[entry(slow.port, hosts=host, path="/slow", read_timeout="500ms")],
        other=[entry(good.port)],
    )
    asked = {"/": 200, "/api": 200, "/failing": 502, "/slow": 504}
    for path, status in asked.items():
        got = answer(ending, host, path, ca)
        assert (got[0], got[1].get_all("Strict-Transport-Security")) == (status, ["max-age=600"]), path
    for path, headers, status in (("/", {"Content_Length": 2000}, 413), ("/", {"Cookie": "c" * 40_000}, 431)):
        got = answer(ending, host, path, ca, **headers)
        assert (got[0], got[1].get_all("Strict-Transport-Security")) == (status, ["max-age=600"])
    sent = not isinstance(ending, real_haproxy.Balancer)  # which knows no host yet
    for more, status in (({"Host": "a"}, 400), ({"method": "TRACE"}, 405)):
        got = answer(ending, host, ca=ca, **more)
        assert (got[0], "Strict-Transport-Security" in got[1]) == (status, sent)
    assert "Strict-Transport-Security" not in answer(ending, host)[1]
    assert "Strict-Transport-Security" not in answer(ending, f"other.{DOMAIN}", ca=ca)[1]
    apply(ending, api=[entry(good.port, hosts=host, path="/api", hsts="600")])
    assert "Strict-Transport-Security" not in answer(ending, host, "/api", ca)[1]


@pytest.mark.usefixtures("as_if_443")
def test_p1_a_sticky_cookie_comes_with_all_headers_and_not_with_a_redirect(ending, files, instance):
    """Also for a client that has one already. A page of the balancer has HSTS alone."""
    host, ca = f"web.{DOMAIN}", files["site"][0]
    settings = {"sticky": "cookie", "hsts": "600", "https_redirect": "308", "response_headers": "X-A: a|Cache-Control: no-store"}
    apply(
        ending,
        web=[entry(instance(None).port, **settings) for _ in range(2)],
        failing=[entry(free_port(), **settings)],
    )
    first = answer(ending, host, ca=ca)
    assert (first[0], first[1].get_all("Strict-Transport-Security"), first[1].get_all("X-A")) == (200, ["max-age=600"], ["a"])
    assert sorted(first[1].get_all("Cache-Control")) == ["no-store", "private"]
    cookie = first[1]["Set-Cookie"].partition(";")[0]
    for known in ({}, {"Cookie": cookie}):
        got = answer(ending, host, **known)
        found = [got[1].get_all(name) for name in ("Set-Cookie", "Cache-Control", "X-A", "Retry-After")]
        assert (got[0], found) == (308, [None] * 4)
    got = answer(ending, host, ca=ca, Cookie=cookie)
    assert (got[0], got[1].get_all("Set-Cookie"), got[1].get_all("Strict-Transport-Security")) == (200, None, ["max-age=600"])
    assert (got[1].get_all("X-A"), got[1].get_all("Cache-Control")) == (["a"], ["no-store"])
    got = answer(ending, f"failing.{DOMAIN}", ca=ca)
    found = [got[1].get_all(name) for name in ("Set-Cookie", "X-A", "Strict-Transport-Security", "Retry-After")]
    assert (got[0], found) == (502, [None, None, ["max-age=600"], ["5"]])


@pytest.mark.usefixtures("as_if_443")
def test_p1_hsts_and_redirected_hosts_change_while_a_service_is_served(ending, files, instance):
    """With HAProxy without a reload: both are entries of maps."""
    one, ca = instance(None), files["site"][0]
    for age, more in (("600", ""), ("0", f", second.{DOMAIN}"), ("", "")):
        settings = {"https_redirect": "308", "hosts": f"web.{DOMAIN}{more}"} | ({"hsts": age} if age else {})
        apply(ending, web=[entry(one.port, **settings)])
        assert answer(ending, f"web.{DOMAIN}", ca=ca)[1]["Strict-Transport-Security"] == (f"max-age={age}" if age else None)
        assert [answer(ending, f"{name}.{DOMAIN}")[0] for name in ("web", "second")] == [308, 308 if more else 503]


@pytest.mark.usefixtures("as_if_443")
def test_p1_an_instance_does_not_change_hsts_of_its_host(ending, files, wire):
    apply(ending, web=[entry(wire.port, hsts="600")])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(answer, ending, f"web.{DOMAIN}", ca=files["site"][0])
        connection, _ = wire.request()
        connection.sendall(b"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nContent-Length: 0\r\n\r\n")
        assert asked.result()[1].get_all("Strict-Transport-Security") == ["max-age=600"]
        connection.close()


def test_p1_hsts_and_redirect_of_the_site(server, files, instance):
    """On its own pages, too; not where a proxy that it trusts has ended TLS."""
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": files["site"][0], "key": files["site"][1]}]
    site = {"balancer_https_redirect": 308, "balancer_hsts": 900, "balancer_trusted_proxies": ["127.0.71.9"]}
    with running(server, balancer_certificates=chosen, **site) as balancer:
        one, ca = instance(None), files["site"][0]
        apply(
            balancer,
            web=[entry(one.port)],
            own=[entry(one.port, https_redirect="false", hsts="0")],
            api=[entry(one.port, path="/api")],
        )
        for name, path, status, age in (
            ("web", "/", 200, 900),
            ("own", "/", 200, 0),
            ("none", "/", 503, 900),
            ("api", "/", 503, 900),
        ):
            got = answer(balancer, f"{name}.{DOMAIN}", path, ca)
            assert (got[0], got[1].get_all("Strict-Transport-Security")) == (status, [f"max-age={age}"])
        found = {name: answer(balancer, f"{name}.{DOMAIN}")[0] for name in ("web", "own", "none")}
        assert found == {"web": 308, "own": 200, "none": 503}
        proto = {"X_Forwarded_Proto": "https"}
        assert answer(balancer, f"web.{DOMAIN}", source="127.0.71.9", **proto)[0] == 200
        assert answer(balancer, f"web.{DOMAIN}", **proto)[0] == 308
        assert answer(balancer, f"web.{DOMAIN}", source="127.0.71.9", X_Forwarded_Proto="http")[0] == 308


def curl(balancer, ca, path, *options):
    """The body, and version and status, of an answer over HTTP/2."""
    place = f"web.{DOMAIN}:{balancer.tls_port}:{real_nginx.ADDRESS}"
    received = ["--cacert", ca, "--resolve", place, "-w", "\n%{http_version} %{http_code}", *options]
    command = ["curl", "-sS", "--http2", *received, f"https://web.{DOMAIN}:{balancer.tls_port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit("\n", 1)


def test_http_2(ending, files, instance):
    apply(ending, web=[entry(instance(None, name="web").port)])
    body, version = curl(ending, files["site"][0], "/a")
    received = json.loads(body)
    assert (version, received[:2], received[2]["Host"]) == ("2 200", ["web", "/a"], f"web.{DOMAIN}:{ending.tls_port}")


@pytest.fixture
def speaks_http_2_only(ending, tmp_path):
    """The port of a server, another nginx, that speaks HTTP/2 without TLS, as gRPC's do."""
    port = free_port()
    answer = '"$server_protocol $request_method $uri $content_type $http_x_forwarded_for $http_x_real_ip $http_te"'
    server = f"listen {ADDRESS}:{port} http2; location / {{ return 200 {answer}; }}"
    folders = "".join(f"{name}_temp_path {tmp_path}/{name}; " for name in real_nginx.TEMPORARY)
    text = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {folders} server {{ {server} }} }}"
    tmp_path.joinpath("nginx.conf").write_text(text)
    program = real_nginx.UNPACKED / "usr/sbin/nginx"
    with subprocess.Popen([program, "-c", tmp_path / "nginx.conf", "-g", "daemon off;"]) as process:
        try:
            eventually(lambda: socket.create_connection((ADDRESS, port), 1).close() or True, 60, every=0.05)
            yield port
        finally:
            process.terminate()


def test_grpc(ending, files, speaks_http_2_only):
    apply(ending, web=[entry(speaks_http_2_only, protocol="grpc", path="/pkg.Service", strip="true")])
    # Without a body: the instance here would answer before it has read one, and reset what is left of it.
    called = ["-H", "Content-Type: application/grpc", "-H", "TE: trailers", "--request", "POST", "--interface", CLIENT]
    answer = curl(ending, files["site"][0], "/pkg.Service/Method", *called)
    assert answer == [f"HTTP/2.0 POST /pkg.Service/Method application/grpc {CLIENT} {CLIENT} trailers", "2 200"]


def test_a_replaced_certificate_is_loaded(ending, files, instance, tmp_path):
    web = instance(None)
    apply(ending, web=[entry(web.port)])
    before = {file: Path(file).read_bytes() for file in files["beside"]}
    new = certificate(tmp_path, "portal.example.org")
    try:
        for old, file in zip(files["beside"], new, strict=True):
            shutil.copyfile(file, old)
        apply(ending, web=[entry(web.port)])
        assert get(ending, "portal.example.org", new[0])[0] == 404
    finally:
        for file, content in before.items():
            Path(file).write_bytes(content)
        apply(ending)


def test_instances_that_speak_tls(through, instance):
    apply(through, web=[entry(instance(name="web").port, protocol="https")])
    status, body = through.ask("web")
    assert (status, json.loads(body)[0]) == (200, "web")


def accepted(balancer, name) -> set[str]:
    """The suites of TLS 1.2 that a balancer takes, each offered alone."""
    every = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    found = set()
    for suite in {one["name"] for one in every.get_ciphers() if one["protocol"] != "TLSv1.3"}:
        context = ssl._create_unverified_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        with (
            contextlib.suppress(OSError),
            socket.create_connection((real_nginx.ADDRESS, balancer.tls_port), 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as client,
        ):
            found.add(client.cipher()[0])
    return found


@pytest.mark.parametrize(("name", "kind"), [(f"any.{DOMAIN}", "ECDSA"), ("portal.example.org", "RSA")])
def test_every_suite_has_forward_secrecy_and_aead(ending, name, kind):
    """None with a static RSA key, none with CBC."""
    assert accepted(ending, name) == {
        f"ECDHE-{kind}-{end}" for end in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    }  # fmt: skip
