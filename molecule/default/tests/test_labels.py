"""Labels of a service that change what a request or an answer may be: each by a real request through every balancer."""

import contextlib
import http.client
import json
import socket
import ssl
import time

import pytest
from tests.support.balancer import skipped, synced
from tests.support.certificates import CLIENT, authority, issued, new_key, pem, private
from tests.support.clients import http_get
from tests.support.playbook import play
from tests.support.wait import eventually, everywhere

LONGEST = 65_000  # of a header; Python's client reads lines of 65,536 bytes
SECONDS = 30  # for a service to be served


def ask(balancer, host: str, path: str = "/", method: str = "GET", body: bytes | None = None, **headers: str):
    """Status, headers and body of one answer; underscores in names of headers are hyphens."""
    connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": host, **named})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def packed(balancer, host: str) -> str | None:
    """The encoding of a long text for a client that takes gzip."""
    connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
    try:
        connection.request("GET", "/text/10000", headers={"Host": host, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        answer.read()
        return answer.headers["Content-Encoding"]
    finally:
        connection.close()


def served(site, serve, name: str, **settings: str) -> str:
    """Serve an instance with these settings by every balancer; its host."""
    serve(site.docker_hosts[0], name, "http", **settings)
    host = site.host_of(name)
    everywhere(site.balancers, lambda b: http_get(b.address, host).status == 200 and synced(b, name), SECONDS)
    return host


def test_w8_p1_long_headers_of_answers(site, serve, show):
    plain, long = served(site, serve, "test-plain"), served(site, serve, "test-long", header_size="64k")
    for balancer in site.balancers:
        for host, length in ((plain, 4_500), (plain, 32 * 1024), (long, LONGEST)):
            status, headers, _ = ask(balancer, host, f"/header/{length}")
            assert (status, len(headers.get("X-Long", ""))) == (200, length), (balancer.name, host)
        show(f"{balancer.name}: headers of 32 KiB from any service, of 64 KiB from one with the label")


def test_p1_largest_body(site, serve, show):
    host = served(site, serve, "test-small", max_body_size="20k")
    for balancer in site.balancers:
        found = [ask(balancer, host, "/", "PUT", b"x" * length)[0] for length in (20 * 1024, 20 * 1024 + 1)]
        show(f"{balancer.name}: of 20 KiB and of one byte more: {found}")
        assert found == [200, 413]


@pytest.mark.more
def test_p2_an_upload_of_1_gb(site, serve, show):
    """It passes as it comes: no load balancer has room for it."""
    host, size, piece = served(site, serve, "test-upload", max_body_size="2g", unbuffered="true"), 10**9, b"x" * 10**6
    for balancer in site.balancers:
        path, began = f"/upload-to-{balancer.name}", time.monotonic()
        connection = http.client.HTTPConnection(balancer.address, 80, timeout=60)
        connection.putrequest("POST", path, skip_host=True)
        connection.putheader("Host", host)
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        for _ in range(size // len(piece)):
            connection.send(piece)
        status = connection.getresponse().status
        connection.close()
        show(f"{balancer.name}: {size} bytes in {time.monotonic() - began:.1f} s: {status}")
        assert status == 200


def test_p1_a_client_keeps_its_instance(site, serve, show):
    """Each balancer takes the cookie of any other one."""
    for node in (site.docker_hosts[0], site.docker_hosts[-1]):
        serve(node, "test-sticky", "http", sticky="cookie")
    host = site.host_of("test-sticky")
    everywhere(site.balancers, lambda b: len({ask(b, host)[2].partition(",")[0] for _ in range(4)}) == 2, SECONDS)
    for balancer in site.balancers:
        _status, headers, body = ask(balancer, host)
        cookie, name = headers["Set-Cookie"].partition(";")[0], json.loads(body)[0]
        answers = [json.loads(ask(other, host, Cookie=cookie)[2])[0] for other in site.balancers for _ in range(4)]
        show(f"{balancer.name}: {name}; with its cookie at every balancer: {sorted(set(answers))}")
        assert set(answers) == {name}


def test_p1_path_is_rewritten(site, serve, show):
    host = served(site, serve, "test-rewritten", rewrite="/v2")
    for balancer in site.balancers:
        found = json.loads(ask(balancer, host, "/a?b=c")[2])[1]
        show(f"{balancer.name}: of /a?b=c the instance sees {found}")
        assert found == "/v2/a?b=c"


def test_p1_gzip(site, serve, show):
    plain, host = served(site, serve, "test-plain"), served(site, serve, "test-gzip", gzip="true")
    for balancer in site.balancers:
        found = [packed(balancer, name) for name in (plain, host)]
        show(f"{balancer.name}: encoding of 10,000 bytes of text without and with the label: {found}")
        assert found == [None, "gzip"]


def test_p1_headers_of_answers(site, serve, show):
    host = served(site, serve, "test-headers", response_headers="X-Frame-Options: DENY | X-Instance: nobody")
    for balancer in site.balancers:
        headers = ask(balancer, host)[1]
        found = headers.get_all("X-Frame-Options"), headers.get_all("X-Instance")
        show(f"{balancer.name}: one header more, and another instead of the instance's own: {found}")
        assert found == (["DENY"], ["nobody"])


def test_p1_requests_a_second(site, serve, show):
    host = served(site, serve, "test-limited", rate_limit="5,10")
    for balancer in site.balancers:
        found = [ask(balancer, host)[0] for _ in range(40)]
        show(f"{balancer.name}: of 40 requests at once {found.count(200)} were answered, {found.count(429)} were too many")
        assert set(found) == {200, 429}


def test_p1_allow_list(site, serve, show):
    """Of two services that this machine asks, one lets nobody in that it is."""
    host = served(site, serve, "test-allowed", allow="0.0.0.0/0")
    serve(site.docker_hosts[0], "test-barred", "http", allow="192.0.2.0/24")
    barred = site.host_of("test-barred")
    everywhere(site.balancers, lambda b: http_get(b.address, barred).status == 403, SECONDS)
    for balancer in site.balancers:
        found = [ask(balancer, name)[0] for name in (host, barred)]
        show(f"{balancer.name}: with everybody on the list, and with others: {found}")
        assert found == [200, 403]


def test_p1_a_ca_of_clients_that_the_site_has_not_opens_nothing(site, serve, show):
    """And no header of a client says whose certificate it has."""
    host = served(site, serve, "test-plain")
    serve(site.docker_hosts[0], "test-mutual", "http", client_ca="test-nobody")
    everywhere(site.balancers, lambda b: "test-nobody" in skipped(b).get("test-mutual", ""), SECONDS)
    for balancer in site.balancers:
        found = ask(balancer, site.host_of("test-mutual"))[0]
        show(f"{balancer.name}: {found}; skipped: {skipped(balancer)['test-mutual']}")
        assert found == 503
        seen = json.loads(ask(balancer, host, X_Client_Subject="CN=lie", X_Client_Fingerprint="00")[2])[2]
        assert [name for name in seen if name.lower().startswith("x-client")] == []


def by_tls(balancer, name: str, host: str, certificate="") -> tuple[int, dict[str, str]]:
    """Status, and headers that the instance saw, of a request for a host by a name of TLS."""
    context = ssl._create_unverified_context()
    if certificate:
        context.load_cert_chain(certificate)
    place = balancer.address, int(balancer.variables.get("balancer_tls_port", 443))
    with socket.create_connection(place, 10) as plain, context.wrap_socket(plain, server_hostname=name) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Client-Subject: CN=lie\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(client)
        answer.begin()
        body = answer.read()
        return answer.status, {key.lower(): value for key, value in json.loads(body)[2].items()} if answer.status == 200 else {}


@pytest.fixture
def clients(site, tmp_path):
    """Files of a client whose CA the site has for the test, with certificates of its own CA for hosts, and of another client."""
    files = {}
    for name in ("staff", "other"):
        ca, key = authority(), new_key()
        (tmp_path / f"{name}-ca.pem").write_text(pem(ca[1]))
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(private(key) + pem(issued(ca, key, "anna", (), (CLIENT,))).encode())
    wanted = {"balancer_certificates_from": "site_ca", "balancer_client_cas": {"test-staff": str(tmp_path / "staff-ca.pem")}}
    done, _ = play(site, "playbooks/load_balancer.yml", "-e", json.dumps(wanted))
    assert done.returncode == 0, done.stdout[-3000:]
    yield files
    done, _ = play(site, "playbooks/load_balancer.yml")
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.more
def test_p1_certificates_of_clients(site, settled, serve, clients, show):
    serve(site.docker_hosts[0], "test-mutual", "http", client_ca="test-staff")
    serve(site.docker_hosts[0], "test-open", "http")
    mutual, public = site.host_of("test-mutual"), site.host_of("test-open")

    def there(balancer) -> bool:
        with contextlib.suppress(OSError):
            return (by_tls(balancer, mutual, mutual)[0], by_tls(balancer, public, public)[0]) == (403, 200)
        return False

    everywhere(site.balancers, there, SECONDS)
    for balancer in site.balancers:
        status, seen = by_tls(balancer, mutual, mutual, clients["staff"])
        assert (status, seen.get("x-client-subject"), len(seen.get("x-client-fingerprint", ""))) == (200, "CN=anna", 40)
        found = {
            "without": by_tls(balancer, mutual, mutual)[0], "another CA": by_tls(balancer, mutual, mutual, clients["other"])[0],
            "another name of TLS": by_tls(balancer, public, mutual, clients["staff"])[0], "in clear": ask(balancer, mutual)[0],
        }  # fmt: skip
        show(f"{balancer.name}: with a certificate 200, {found}")
        assert list(found.values()) == [403, 403, 421, 403]
        assert "x-client-subject" not in by_tls(balancer, public, public, clients["staff"])[1]


def test_w15_headers_with_underscores(site, serve, show):
    """They arrive where the site wants them, and none looks like ours."""
    host = served(site, serve, "test-plain")
    wanted = str(site.balancers[0].variables.get("balancer_underscores_in_headers", False))
    for balancer in site.balancers:
        connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": host, "X_Api_Key": "1", "X_Forwarded_For": "192.0.2.1"})
            found = {name.lower() for name in json.loads(connection.getresponse().read())[2]}
        finally:
            connection.close()
        show(f"{balancer.name}: balancer_underscores_in_headers is {wanted}, X_Api_Key arrives: {'x_api_key' in found}")
        assert ("x_api_key" in found, "x_forwarded_for" in found) == (wanted.lower() == "true", False)


def test_w17_p1_events_and_uploads_pass_as_they_come(site, serve, show):
    """The first of two events arrives before the second is sent; the application sees an upload before it has all of it."""
    host, apart, size = served(site, serve, "test-stream", unbuffered="true"), 3, 1_000_000
    for balancer in site.balancers:
        connection = http.client.HTTPConnection(balancer.address, 80, timeout=10)
        began = time.monotonic()
        connection.request("GET", f"/events/{apart}", headers={"Host": host})
        answer = connection.getresponse()
        first = (answer.readline(), time.monotonic() - began)
        rest = answer.read()
        connection.close()
        show(f"{balancer.name}: the first event after {first[1]:.2f} s, the second is sent after {apart} s")
        assert (first[0], rest) == (b"data: 1\n", b"\ndata: 2\n\n") and first[1] < apart

        path = f"/upload-to-{balancer.name}"
        connection.putrequest("POST", path, skip_host=True)
        connection.putheader("Host", host)
        connection.putheader("Content-Length", str(size))
        connection.endheaders(b"x" * (size // 2))
        eventually(lambda b=balancer, p=path: p in json.loads(ask(b, host, "/posts")[2]), 10, every=0.1)
        connection.send(b"x" * (size - size // 2))
        assert connection.getresponse().status == 200
        connection.close()
        show(f"{balancer.name}: the application sees an upload of which half is sent")
