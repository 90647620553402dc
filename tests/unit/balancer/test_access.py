"""Who gets in: labels that keep clients away, by real requests to both servers."""

import base64
import contextlib
import functools
import http.client
import json
import socket
import ssl
import subprocess

import pytest

import real_haproxy
import real_nginx
from instances import Wire, apply, certificate, entry, running
from real_nginx import DOMAIN

TRUSTED = "127.0.71.9"
INSIDE, OUTSIDE = "127.0.72.1", "127.0.73.1"
ALLOW = "127.0.72.0/24, 2001:db8::/32"
SOURCES = (INSIDE, OUTSIDE)


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def server(request):
    """The module of one."""
    return request.param


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Certificate and key of a service that ends TLS itself."""
    return certificate(tmp_path_factory.mktemp("certificates"), f"own.{DOMAIN}")


@pytest.fixture(scope="module")
def balancer(server, own, tmp_path_factory):
    site = certificate(tmp_path_factory.mktemp("site"), f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": site[0], "key": site[1]}]
    with running(server, balancer_trusted_proxies=[TRUSTED], balancer_certificates=chosen) as one:
        yield one


@pytest.fixture
def serve(balancer):
    """Serve these services, and nothing else; the status."""
    return functools.partial(apply, balancer)


def ask(balancer, name, source=INSIDE, path="/", tls=False, **headers):
    """Status, headers and body of one answer; 0 where the connection ends without one."""
    connection = http.client.HTTPConnection(real_nginx.ADDRESS, balancer.http_port, timeout=20)
    place = real_nginx.ADDRESS, balancer.tls_port if tls else balancer.http_port
    try:
        connection.sock = socket.create_connection(place, 20, (source, 0))
        if tls:
            connection.sock = ssl._create_unverified_context().wrap_socket(connection.sock, server_hostname=f"{name}.{DOMAIN}")
        named = {header.replace("_", "-"): value for header, value in headers.items()}
        connection.request("GET", path, headers={"Host": f"{name}.{DOMAIN}", **named})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    except (ConnectionError, ssl.SSLError, http.client.HTTPException):
        return 0, {}, ""
    finally:
        connection.close()


def test_p1_allow_list_of_a_service(balancer, serve, instance):
    one = instance()
    serve(web=[entry(one.port, allow=ALLOW)], other=[entry(one.port)], app=[entry(instance(403).port, allow=ALLOW)])
    for tls in (False, True):
        assert ask(balancer, "web", INSIDE, tls=tls)[0] == ask(balancer, "other", OUTSIDE, tls=tls)[0] == 200
        status, headers, body = ask(balancer, "web", OUTSIDE, tls=tls)
        assert (status, headers["Retry-After"], "no access" in body) == (403, None, True)
    assert ask(balancer, "app")[1]["X-Own"] == "yes"  # that answer of an application is its own
    assert len(one.asked) == 4


def test_p1_allow_list_is_of_one_path(balancer, serve, instance):
    one, host = instance(), f"portal.{DOMAIN}"
    serve(portal=[entry(one.port)], admin=[entry(one.port, hosts=host, path="/admin", allow=ALLOW)])
    asked = [(path, source) for path in ("/", "/admin", "/admin/x") for source in SOURCES]
    found = {(path, source): ask(balancer, "portal", source, path)[0] for path, source in asked}
    assert found == {(path, source): 403 if path != "/" and source == OUTSIDE else 200 for path, source in found}


@pytest.mark.parametrize(
    ("source", "said", "status"),
    [
        (OUTSIDE, INSIDE, 403), (INSIDE, OUTSIDE, 200), (TRUSTED, INSIDE, 200), (TRUSTED, OUTSIDE, 403),
        (TRUSTED, "2001:db8::7", 200), (TRUSTED, "2001:db9::7", 403), (TRUSTED, f"{INSIDE}, {OUTSIDE}", 403),
        (TRUSTED, "2002:7f00:4801::1", 403),
    ],
)  # fmt: skip
def test_p1_allow_list_counts_the_client_that_a_trusted_proxy_names(balancer, serve, instance, source, said, status):
    """An address of 6to4 with an allowed one in it is another one."""
    serve(web=[entry(instance().port, allow=ALLOW)])
    assert ask(balancer, "web", source, X_Forwarded_For=said)[0] == status


def test_p1_allow_list_of_connections(balancer, serve, own, instance_of_tls):
    tls, port = instance_of_tls(own), balancer.ports[0]
    serve(
        own=[entry(tls.port, tags=["tls"], allow=ALLOW)],
        **{f"echo_{port}": [entry(tls.port, tags=["tcp"], allow=ALLOW)]},
    )
    assert [ask(balancer, "own", source, tls=True)[0] for source in SOURCES] == [200, 0]
    assert [len(answer(port, source)) > 0 for source in SOURCES] == [True, False]


@pytest.fixture
def instance_of_tls(instance):
    return lambda files: instance(tls=files)


def answer(port, source) -> bytes:
    """What comes back from a tcp service that speaks TLS, for a client that does not."""
    with contextlib.suppress(ConnectionError), socket.create_connection((real_nginx.ADDRESS, port), 20, (source, 0)) as client:
        context, into, out = ssl._create_unverified_context(), ssl.MemoryBIO(), ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(into, out).do_handshake()
        client.sendall(out.read())
        return client.recv(10)
    return b""


def test_p1_allow_list_of_the_site(server, instance):
    with running(server, balancer_allow=ALLOW.split(", ")) as site:
        one = instance()
        apply(site, web=[entry(one.port)], public=[entry(one.port, allow="0.0.0.0/0 ::/0")])
        found = [ask(site, name, source)[0] for name in ("web", "public") for source in SOURCES]
        assert found == [200, 403, 200, 200]


def test_p1_a_list_that_is_none_opens_nothing(balancer, serve, instance):
    """Nobody else's service is hurt."""
    one = instance()
    status = serve(web=[entry(one.port, allow="127.0.72.0/24; allow all")], other=[entry(one.port)])
    assert "balancer_allow" in str(status["skipped"])
    assert [ask(balancer, name, OUTSIDE)[0] for name in ("web", "other")] == [503, 200]


def hashed(password, kind="-5") -> str:
    return subprocess.run(["openssl", "passwd", kind, password], check=True, capture_output=True, text=True).stdout.strip()


def basic(user, password) -> dict:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_p1_basic_auth(server, instance, tmp_path):
    """The users of one list; the instance sees who it is, and no hash leaves."""
    lists = {"staff": f"# comment\nanna:{hashed('one')}\nbert:{hashed('two', '-6')}\n", "guests": f"carl:{hashed('three')}\n"}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    with running(server, balancer_htpasswd={name: str(tmp_path / name) for name in lists}) as site:
        one = instance()
        names = {"web": "staff", "other": "guests"}
        status = apply(
            site, open=[entry(one.port)], bad=[entry(one.port, basic_auth="nobody")],
            guessed=[entry(one.port, basic_auth="staff", rate_limit="1,5")],
            **{name: [entry(one.port, basic_auth=users)] for name, users in names.items()},
        )  # fmt: skip
        assert "no list nobody" in str(status["skipped"]) and ask(site, "bad")[0] == 503
        status, headers, body = ask(site, "web")
        assert (status, headers.get_all("WWW-Authenticate"), headers["Retry-After"]) == (401, ['Basic realm="staff"'], None)
        assert "asks who you are" in body
        found = {
            (name, user, password): ask(site, name, **basic(user, password))[0]
            for name in names
            for user, password in (("anna", "one"), ("bert", "two"), ("bert", "one"), ("carl", "three"), ("anna", ""))
        }
        let_in = {key for key, answered in found.items() if answered == 200}
        assert let_in == {("web", "anna", "one"), ("web", "bert", "two"), ("other", "carl", "three")}
        assert set(found.values()) == {200, 401}
        assert ask(site, "open")[0] == 200
        guesses = [ask(site, "guessed", **basic("anna", str(number)))[0] for number in range(40)]
        assert set(guesses) == {401, 429}


FRONT = "127.0.71.7"  # a balancer in front


@pytest.fixture(scope="module")
def behind(server, tmp_path_factory):
    """One that is behind another balancer, and has a certificate."""
    site = certificate(tmp_path_factory.mktemp("site"), f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": site[0], "key": site[1]}]
    with running(server, balancer_proxy_protocol_from=[FRONT], balancer_certificates=chosen) as one:
        yield one


def told(balancer, source, client, tls=False) -> tuple:
    """Status of a request to `web`, and the client that the instance sees, on a connection that begins with this client."""
    place = real_nginx.ADDRESS, balancer.tls_port if tls else balancer.http_port
    with contextlib.suppress(ConnectionError, ssl.SSLError), socket.create_connection(place, 20, (source, 0)) as made:
        if client:
            made.sendall(f"PROXY TCP4 {client} 192.0.2.1 40000 80\r\n".encode())
        context = ssl._create_unverified_context()
        connection = context.wrap_socket(made, server_hostname=f"web.{DOMAIN}") if tls else made
        connection.sendall(f"GET / HTTP/1.1\r\nHost: web.{DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        with contextlib.suppress(http.client.HTTPException):
            answer.begin()
            body = answer.read().decode()
            return answer.status, json.loads(body)[2]["X-Real-IP"] if answer.status == 200 else ""
    return 0, ""


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_p1_a_balancer_in_front_tells_the_client(server, behind, instance, tls):
    """Of it, and of nobody else."""
    apply(behind, web=[entry(instance().port, allow=f"{ALLOW}, 127.0.74.0/24")])
    assert told(behind, FRONT, INSIDE, tls) == (200, INSIDE)
    assert told(behind, FRONT, OUTSIDE, tls) == (403, "")
    # nginx takes the address of the connection, HAProxy no such word.
    assert told(behind, OUTSIDE, INSIDE, tls)[0] in (0, 400, 403)
    # Who comes past it, without a word.
    assert told(behind, "127.0.74.1", "", tls) == ((0, "") if server is real_nginx else (200, "127.0.74.1"))


@pytest.mark.parametrize("variable", ["balancer_trusted_proxies", "balancer_proxy_protocol_from"])
def test_p1_as_many_proxies_as_a_content_network_has(server, instance, variable):
    """HAProxy takes 64 words in a line."""
    with running(server, **{variable: [*(f"10.{n}.0.0/16" for n in range(100)), FRONT]}) as one:
        apply(one, web=[entry(instance().port, allow=INSIDE)])
        if variable == "balancer_proxy_protocol_from":
            assert told(one, FRONT, INSIDE) == (200, INSIDE)
        else:
            assert ask(one, "web", FRONT, X_Forwarded_For=INSIDE)[0] == 200


def test_p1_a_client_behind_a_balancer_in_front_has_its_share_of_connections(server, instance, tmp_path):
    """Each one its own; the second step of TLS counts none again."""
    site = certificate(tmp_path, f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": site[0], "key": site[1]}]
    context, held = ssl._create_unverified_context(), []
    limited = {"balancer_proxy_protocol_from": [FRONT], "balancer_client_open_connections": 3}
    with running(server, balancer_certificates=chosen, **limited) as one, contextlib.ExitStack() as connections:
        apply(one, web=[entry(instance().port)])
        for _number in range(6):
            made = socket.create_connection((real_nginx.ADDRESS, one.tls_port), 20, (FRONT, 0))
            connections.enter_context(made)
            made.sendall(f"PROXY TCP4 {INSIDE} 192.0.2.1 40000 443\r\n".encode())
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                held.append(connections.enter_context(context.wrap_socket(made, server_hostname=f"web.{DOMAIN}")))
        assert len(held) == 3
        assert [told(one, FRONT, client, tls=True)[0] for client in (OUTSIDE, INSIDE)] == [200, 0]


def test_p1_an_instance_gets_the_clients_address(server, balancer, serve):
    """Before anything else, also one that comes while the balancer runs."""
    wire, later, port = Wire(), Wire(), balancer.ports[-1]  # the first ones may be those of `behind`
    name = f"echo_{port}"
    serve(**{name: [entry(wire.port, tags=["tcp"], proxy_protocol="true")]})
    serve(**{name: [entry(one.port, tags=["tcp"], proxy_protocol="true") for one in (wire, later)]})
    seen = set()
    for _ in range(4):
        with socket.create_connection((real_nginx.ADDRESS, port), 20, (INSIDE, 0)) as client:
            client.sendall(b"hello\r\n\r\n")
            connection, received = wire.request(later)
            while b"hello" not in received:  # a check, which has no client
                connection.close()
                connection, received = wire.request(later)
            seen.add(connection.getsockname()[1])
            expected = f"PROXY TCP4 {INSIDE} {real_nginx.ADDRESS} {client.getsockname()[1]} {port}\r\nhello\r\n\r\n"
            assert received == expected.encode()
            connection.close()
    assert seen == {wire.port, later.port}
    for one in (wire, later):
        one.close()
