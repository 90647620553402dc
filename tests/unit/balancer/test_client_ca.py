"""Mutual TLS: who has a certificate of a CA of the site gets in, by real requests to both servers.

The two CAs have one name, so that nothing but their keys tells them apart.
"""

import http.client
import json
import socket
import ssl
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.support.certificates import CLIENT, SERVER, authority, built, issued, new_key, pem, private

import real_haproxy
import real_nginx
from instances import apply, certificate, entry, running
from real_nginx import DOMAIN

SUBJECT = 'änna, "staff"'
SHOWN = 'CN=\\C3\\A4nna\\, \\"staff\\"'
FORGED = {
    name: "lie"
    for kind in ("Subject", "Fingerprint")
    for name in (f"X-Client-{kind}", f"X_Client_{kind}", f"x_client-{kind}", f"X-CLIENT_{kind}")
}
NO_CHAIN = (403, 0)  # HAProxy does not ignore each of OpenSSL's newer errors, and ends the connection
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Client:
    """A key and a certificate, in one file.

    :param ca: (key, certificate) that signs it; by default it signs itself
    :param chain: further certificates that it sends
    """

    def __init__(self, folder, name, ca=None, subject=SUBJECT, chain=(), **made):
        key = new_key()
        signer = ca or (key, issued((key, authority()[1]), key, "site CA", ()))
        self.certificate = issued(signer, key, subject, (), **{"usage": (CLIENT,), **made})
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(private(key) + "".join(map(pem, (self.certificate, *chain))).encode())

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA1()).hex()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def cas(folder):
    """Names of the site's CAs to (key, certificate)."""
    made = {name: authority() for name in ("staff", "guests")}
    for name, (_key, ca) in made.items():
        (folder / f"ca-{name}.pem").write_text(pem(ca))
    return made


@pytest.fixture(scope="module")
def clients(folder, cas):
    staff, keys = cas["staff"], (new_key(), new_key())
    leaf = issued(staff, keys[0], "leaf", (), (CLIENT,))
    below = issued(staff, keys[1], "below", (), (CLIENT,), is_ca=True, signing=True)  # their CA may have none below it
    return {
        "staff": Client(folder, "staff", staff),
        "guests": Client(folder, "guests", cas["guests"]),
        "expired": Client(folder, "expired", staff, days=-0.5),
        "server": Client(folder, "server", staff, usage=(SERVER,)),
        "itself": Client(folder, "itself"),
        "of a client": Client(folder, "of-a-client", (keys[0], leaf), chain=(leaf,)),
        "too deep": Client(folder, "too-deep", (keys[1], below), chain=(below,)),
    }


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def server(request):
    """The module of one."""
    return request.param


@pytest.fixture(scope="module")
def site(folder):
    """Certificate and key for all names below the domain."""
    return certificate(folder, f"*.{DOMAIN}")


@pytest.fixture(scope="module")
def variables(folder, cas, site):
    """Those of the roles."""
    return {
        "balancer_certificates": [{"names": [f"*.{DOMAIN}"], "certificate": site[0], "key": site[1]}],
        "balancer_client_cas": {name: str(folder / f"ca-{name}.pem") for name in cas},
    }


@pytest.fixture(scope="module")
def balancer(server, variables):
    with running(server, **variables, balancer_underscores_in_headers=True) as one:
        yield one


def context_of(client=None, version=None) -> ssl.SSLContext:
    context = ssl._create_unverified_context()
    if client:
        context.load_cert_chain(client.file)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def ask(balancer, name, client=None, host="", path="/", context=None, session=None, tls=True, headers=None):
    """Status of an answer, headers that the instance saw, and the connection; the name is the one of TLS.

    :param host: the one of the request, by default the name of TLS
    """
    place = real_nginx.ADDRESS, balancer.tls_port if tls else balancer.http_port
    with socket.create_connection(place, 20) as plain:
        context = context or context_of(client)
        connection = context.wrap_socket(plain, server_hostname=f"{name}.{DOMAIN}", session=session) if tls else plain
        more = "".join(f"{key}: {value}\r\n" for key, value in (headers or {}).items())
        head = f"GET {path} HTTP/1.1\r\nHost: {host or name}.{DOMAIN}\r\n{more}Connection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read().decode()
        seen = json.loads(body)[2] if answer.status == 200 else {}
        return answer.status, {key.lower(): value for key, value in seen.items()}, connection


def status(*arguments, **named) -> int:
    """0 where TLS ends without an answer."""
    try:
        return ask(*arguments, **named)[0]
    except ssl.SSLError:
        return 0


@pytest.mark.parametrize("version", VERSIONS)
def test_p1_who_has_a_certificate_of_the_ca_gets_in(balancer, instance, clients, version):
    one = instance()
    apply(balancer, web=[entry(one.port, client_ca="staff")], open=[entry(one.port)])
    contexts = {name: context_of(client, version) for name, client in clients.items()} | {"none": context_of(None, version)}
    found = {name: status(balancer, "web", context=context) for name, context in contexts.items()}
    assert found.pop("of a client") in NO_CHAIN
    assert found == dict.fromkeys(found, 403) | {"staff": 200}
    seen = ask(balancer, "web", context=contexts["staff"], headers=FORGED)[1]
    names = {name: value for name, value in seen.items() if "client" in name}
    assert names == {"x-client-subject": SHOWN, "x-client-fingerprint": clients["staff"].fingerprint}
    assert {status(balancer, "open", context=context) for context in contexts.values()} == {200}
    for client in (None, clients["guests"]):
        assert "You have no access" in body_of(balancer, "web", client)


def test_p1_nobody_forges_who_a_certificate_is_for(balancer, instance, clients):
    one = instance()
    apply(balancer, web=[entry(one.port, client_ca="staff,optional")], open=[entry(one.port)])
    asked = [("web", None, True), ("web", None, False), ("open", clients["staff"], True), ("open", None, False)]
    for name, client, tls in asked:
        answered, seen, _ = ask(balancer, name, client, tls=tls, headers=FORGED)
        assert (answered, [key for key in seen if "client" in key]) == (200, [])


def test_p1_a_certificate_may_be_optional(balancer, instance, clients):
    apply(balancer, web=[entry(instance().port, client_ca="staff, optional")])
    found = {name: status(balancer, "web", client) for name, client in {**clients, "none": None}.items()}
    assert found.pop("of a client") in NO_CHAIN
    assert found == dict.fromkeys(found, 403) | {"staff": 200, "none": 200}
    assert ask(balancer, "web", clients["staff"])[1]["x-client-subject"] == SHOWN


def test_p1_in_clear_nobody_gets_in(balancer, instance, clients):
    one = instance()
    apply(
        balancer, web=[entry(one.port, client_ca="staff")],
        moved=[entry(one.port, client_ca="staff", https_redirect="308")],
    )  # fmt: skip
    lie = {"X-Forwarded-Proto": "https", **FORGED}
    assert [status(balancer, name, tls=False, headers=lie) for name in ("web", "moved")] == [403, 308]
    assert status(balancer, "moved", tls=False, path="/.well-known/acme-challenge/x") == 403
    assert one.asked == []


def test_p1_a_name_of_tls_does_not_open_another_host(balancer, instance, clients):
    """421: a browser that has one connection for several names makes another one then."""
    one, staff, guest = instance(), clients["staff"], clients["guests"]
    apply(
        balancer, web=[entry(one.port, client_ca="staff")], lobby=[entry(one.port, client_ca="guests")],
        soft=[entry(one.port, client_ca="guests,optional")], open=[entry(one.port)],
    )  # fmt: skip
    wrong = [
        ("open", "web", None), ("open", "web", staff), ("open", "lobby", guest), ("lobby", "web", guest), ("lobby", "web", staff),
        ("soft", "web", None), ("soft", "web", guest), ("web", "lobby", staff), ("web", "open", staff), ("nobody", "web", staff),
    ]  # fmt: skip
    assert {(name, host): status(balancer, name, client, host) for name, host, client in wrong} == {
        (name, host): 421 for name, host, _ in wrong
    }
    assert one.asked == []
    assert status(balancer, "open", staff, "nobody") == 503


def test_p1_a_connection_of_http_2_does_not_open_another_host(balancer, instance, clients):
    """One connection: a host that it was made for, then others, as a browser with one certificate for all would ask."""
    one = instance()
    apply(balancer, web=[entry(one.port, client_ca="staff")], open=[entry(one.port)])
    given = ["-sSk", "--http2", "--cert", str(clients["staff"].file)]

    def answers(name, *hosts):
        url = f"https://{name}.{DOMAIN}:{balancer.tls_port}/"
        command = ["curl"]
        for host in hosts:
            where = ["--resolve", f"{name}.{DOMAIN}:{balancer.tls_port}:{real_nginx.ADDRESS}", "-H", f"Host: {host}.{DOMAIN}"]
            command += ["--next"] * (len(command) > 1) + [*given, *where, "-o", "/dev/null"]
            command += ["-w", "%{http_version} %{http_code} %{num_connects}\n", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert answers("open", "open", "web", "open") == ["2 200 1", "2 421 0", "2 200 0"]
    assert answers("web", "web", "open", "web") == ["2 200 1", "2 421 0", "2 200 0"]


@pytest.mark.parametrize("version", VERSIONS)
def test_p1_a_session_of_one_name_does_not_open_another(balancer, instance, clients, version):
    """Of an open name, of one with another CA, and of one whose client had a bad certificate (CVE-2025-23419)."""
    one = instance()
    apply(
        balancer, web=[entry(one.port, client_ca="staff")], lobby=[entry(one.port, client_ca="guests")],
        open=[entry(one.port)],
    )  # fmt: skip
    for name, client, first in (("open", "guests", 200), ("lobby", "guests", 200), ("lobby", "staff", 403)):
        context = context_of(clients[client], version)
        answered, _, connection = ask(balancer, name, context=context)
        assert answered == first
        one.asked.clear()
        for _number in range(3):
            answered, _, again = ask(balancer, "web", context=context, session=connection.session)
            assert (again.session_reused, answered) == (False, 200 if client == "staff" else 403)
        assert len(one.asked) == (3 if client == "staff" else 0)


def test_p1_a_path_may_ask_for_a_certificate_alone(balancer, instance, clients):
    """The longest path decides; a second CA for a host is refused, and its service served nowhere."""
    one, host = instance(), f"portal.{DOMAIN}"
    told = apply(
        balancer, portal=[entry(one.port)], admin=[entry(one.port, hosts=host, path="/admin", client_ca="staff")],
        other=[entry(one.port, hosts=host, path="/other", client_ca="guests")],
    )  # fmt: skip
    asked = [(path, client) for path in ("/", "/admin", "/admin/x") for client in (None, "staff")]
    found = {(path, client): status(balancer, "portal", clients.get(client), path=path) for path, client in asked}
    assert found == {(path, client): 403 if path != "/" and not client else 200 for path, client in asked}
    assert [one["name"] for one in told["skipped"]] == ["other"] and "of the CA staff already" in str(told["skipped"])
    assert json.loads(body_of(balancer, "portal", clients["staff"], "/other"))[1] == "/other"  # of the rest of the host
    assert status(balancer, "portal", clients["guests"], path="/other") == 403


def body_of(balancer, name, client, path="/") -> str:
    with socket.create_connection((real_nginx.ADDRESS, balancer.tls_port), 20) as plain:
        connection = context_of(client).wrap_socket(plain, server_hostname=f"{name}.{DOMAIN}")
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}.{DOMAIN}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.read().decode()


@pytest.mark.parametrize("value", ["nobody", "nobody,optional", "staff;", "staff,maybe"])
def test_p1_a_ca_that_there_is_not_opens_nothing(balancer, instance, clients, value):
    one = instance()
    told = apply(balancer, web=[entry(one.port, client_ca=value)], other=[entry(one.port)])
    assert "everybody would get in" in str(told["skipped"])
    assert [status(balancer, "web", clients["staff"], tls=tls) for tls in (True, False)] == [503, 503]
    assert status(balancer, "other") == 200


def test_p1_a_service_that_begins_to_ask_is_closed_for_connections_that_there_are(balancer, instance, clients):
    one = instance()
    apply(balancer, web=[entry(one.port)])
    context = context_of(clients["guests"])
    _, _, connection = ask(balancer, "web", context=context)
    apply(balancer, web=[entry(one.port, client_ca="staff")])
    assert status(balancer, "web", context=context, session=connection.session) == 403


def test_p1_a_replaced_ca_counts_at_once(server, variables, folder, instance, clients, cas):
    """Also for clients of before, with their sessions."""
    one, context = instance(), context_of(clients["staff"])
    with running(server, **variables) as made:
        apply(made, web=[entry(one.port, client_ca="staff")])
        _, _, connection = ask(made, "web", context=context)
        file = made.options.client_cas["staff"]
        with open(file, "w") as written:
            written.write(pem(cas["guests"][1]))
        apply(made, web=[entry(one.port, client_ca="staff")])
        assert status(made, "web", context=context, session=connection.session) == 403
        assert status(made, "web", clients["guests"]) == 200


def test_p1_a_ca_below_the_root_lets_its_clients_in(server, variables, folder, instance):
    """Without a word of the client about the CA between: it is in the file of the site."""
    root, middle = new_key(), new_key()

    def of_a_ca(key):
        found = x509.SubjectKeyIdentifier.from_public_key(key.public_key()), x509.BasicConstraints(True, None)
        return [(found[0], False), (found[1], True)]

    top = built("top", "top", root, root, 9, of_a_ca(root))
    between = built("between", "top", middle, root, 9, of_a_ca(middle))
    (folder / "chain.pem").write_text(pem(top) + pem(between))
    one, good = instance(), Client(folder, "below", (middle, between))
    with running(server, **{**variables, "balancer_client_cas": {"staff": str(folder / "chain.pem")}}) as made:
        apply(made, web=[entry(one.port, client_ca="staff")])
        assert [status(made, "web", client) for client in (good, None)] == [200, 403]
