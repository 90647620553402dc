"""Consul's UI behind the load balancer: for management networks, over HTTPS, with the user's own token, reads alone."""

import inspect
import json
from pathlib import Path

import pytest
from tests.support import browser
from tests.support.authority import Authority
from tests.support.clients import http_get, tcp_open
from tests.support.overlay_reach import python
from tests.support.playbook import play
from tests.support.wait import eventually

OPTIONS = "/etc/discovery-balancer.json"
FILES = {"certificate": "/etc/ssl/test-consul-ui.pem", "key": "/etc/ssl/test-consul-ui.key"}


def request(address: str, name: str, port: str, method: str, path: str, token: str) -> str:
    """Status, Location and body of an answer as JSON; over TLS, whose certificate is not verified, unless the port is 80. It runs
    on other machines as well, so it imports what it needs."""
    import http.client
    import json
    import socket
    import ssl

    client = socket.create_connection((address, int(port)), 10)
    if port != "80":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client = context.wrap_socket(client, server_hostname=name)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {name}", "Connection: close", "Content-Length: 0"]
    lines += [f"X-Consul-Token: {token}"] * bool(token)
    with client:
        client.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        answer = http.client.HTTPResponse(client, method=method)
        answer.begin()
        return json.dumps([answer.status, answer.headers.get("Location", ""), answer.read().decode()])


@pytest.fixture
def name(site) -> str:
    return site.host_of("test-consul-ui")


@pytest.fixture
def authority(tmp_path) -> Authority:
    """That of the certificate."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def balancer(site, name, authority):
    """A load balancer that has a certificate for the name."""
    balancer = site.balancers[0]
    for made, file in zip(authority.issue("ui", name), FILES.values(), strict=True):
        balancer.run(f"install -m 0600 /dev/null {file}")
        balancer.feed(f"tee {file}", Path(made).read_text())
    yield balancer
    balancer.run(f"rm -f {' '.join(FILES.values())}")


def ask(address: str, name: str, path: str, method: str = "GET", token: str = "", clear: bool = False, asker=None) -> tuple:
    """Status, Location and body of an answer.

    :param asker: the machine that asks, where it is not this one
    """
    arguments = address, name, "80" if clear else "443", method, path
    if asker is None:
        return tuple(json.loads(request(*arguments, token)))
    program = f"{inspect.getsource(request)}\nimport sys\nprint(request(*sys.argv[1:], ''))"  # no token in arguments
    return tuple(json.loads(asker.run(python(program, *arguments))))


def assert_serves(site, balancer, name: str, stranger) -> str:
    """The UI is for this machine, whose address is one of management, and for nobody else. The leader, as it was answered."""
    status, _, body = ask(balancer.address, name, "/ui/")
    assert (status, "<title>Consul" in body) == (200, True), body[:300]
    status, _, leader = ask(balancer.address, name, "/v1/status/leader")
    assert status == 200 and json.loads(leader).rpartition(":")[0] in {server.address for server in site.servers}
    assert ask(balancer.address, name, "/")[:2] == (302, f"https://{name}/ui/")
    # The user's token decides, and there is no other one.
    assert ask(balancer.address, name, "/v1/operator/raft/configuration")[0] == 403
    status, _, nodes = ask(balancer.address, name, "/v1/catalog/nodes", token=site.secret("tokens/ui"))
    assert (status, len(json.loads(nodes))) == (200, len(site.nodes))
    assert ask(balancer.address, name, "/v1/kv/test-consul-ui", "PUT", site.secret("management_token"))[0] == 403
    assert ask(balancer.address, name, "/debug/pprof/")[0] == 404
    assert ask(balancer.address, name, "/ui/dc1/kv", clear=True)[:2] == (302, f"https://{name}/ui/dc1/kv")
    assert ask(balancer.address, name, "/v1/status/leader", clear=True)[0] == 404
    for path in ("/", "/ui/", "/v1/status/leader"):
        for asker in (stranger, site.balancers[-1]):
            assert ask(balancer.address, name, path, asker=asker)[:2] == (404, ""), (asker.name, path)
    return leader


def assert_shown(person, site, name: str) -> None:
    """The UI shows services to a person who has logged in, and its nodes, but not before."""
    page = person.open(f"http://{name}/")
    assert (page.url, page.status, page.problem) == (f"https://{name}/ui/", 200, "")
    person.wait("document.body.innerText.includes('Services')")
    assert "httpfront" not in person.text
    browser.log_in(person, site.secret("tokens/ui"))
    person.open(f"https://{name}/ui/{site.datacenter}/services")
    person.wait("document.body.innerText.includes('httpfront')")
    person.open(f"https://{name}/ui/{site.datacenter}/nodes")
    person.wait(f"document.body.innerText.includes({json.dumps(site.servers[0].address)})")


def test_u2_the_ui_is_for_management_networks_over_https(site, balancer, name, external_host, show):
    """By the program's options, which the role's next run writes anew: a run takes longer than all the rest of this."""
    options = json.loads(balancer.run(f"cat {OPTIONS}"))
    if options["balancer"] != "nginx" or balancer.variables.get("discovery_balancer_deployment", "host") != "host":
        pytest.skip("certificates of HAProxy, and of a container, are files of their role: see the test below")
    options["certificates"] = [{"names": [name], **FILES}, *options["certificates"]]
    options["consul_ui"] = {
        "name": name, "server_name": f"server.{site.datacenter}.consul",
        "networks": [http_get(balancer.address, "nowhere.example").source, site.balancers[-1].address],
        "servers": [f"{server.address}:8501" for server in site.servers],
    }  # fmt: skip
    balancer.run(f"cp -p {OPTIONS} {OPTIONS}.test")
    try:
        balancer.feed(f"tee {OPTIONS}", json.dumps(options))
        balancer.run("systemctl reload discovery-balancer")
        eventually(lambda: tcp_open(balancer.address, 443) and ask(balancer.address, name, "/ui/")[0] == 200, 30)
        show(f"leader {assert_serves(site, balancer, name, external_host)}")
    finally:
        balancer.run(f"cp -p {OPTIONS}.test {OPTIONS} && rm {OPTIONS}.test && systemctl reload discovery-balancer")
    eventually(lambda: ask(balancer.address, name, "/ui/", clear=True)[0] == 503, 30)


@pytest.mark.more
def test_u2_the_role_turns_it_on_and_off(site, balancer, name, authority, settled, external_host, tmp_path, show):
    """A site without management networks, and a name that a service has, are refused. A person logs in with a browser."""

    def run(**given) -> tuple[int, str]:
        done, _ = play(site, "playbooks/load_balancer.yml", "--limit", balancer.name, "-e", json.dumps(given))
        return done.returncode, " ".join(done.stdout.split())

    networks = [http_get(balancer.address, "nowhere.example").source, site.balancers[-1].address]
    wanted = {"balancer_consul_ui": name, "balancer_certificates": [{"names": [f"*.{site.domain}"], **FILES}]}
    rc, printed = run(**wanted, balancer_consul_ui_networks=[])
    assert rc != 0 and "set discovery_management_networks to the networks that may see Consul's UI" in printed, printed[-2000:]
    wanted["balancer_consul_ui_networks"] = networks
    taken = site.host_of("httpfront")
    rc, printed = run(**{**wanted, "balancer_consul_ui": taken})
    assert rc != 0 and f"is {taken} on {balancer.name}, which the service httpfront has" in printed, printed[-2000:]
    try:
        rc, printed = run(**wanted)
        assert rc == 0, printed[-4000:]
        eventually(lambda: ask(balancer.address, name, "/ui/")[0] == 200, 30)
        show(f"leader {assert_serves(site, balancer, name, external_host)}")
        assert browser.is_there(), browser.MISSING
        with browser.Browser(tmp_path / "browser", balancer.address, authority.ca) as person:
            assert_shown(person, site, name)
    finally:
        rc, printed = run()
        assert rc == 0, printed[-4000:]
    eventually(lambda: ask(balancer.address, name, "/ui/", clear=True)[0] == 503, 30)
