"""Consul's agent on loopback: whoever listens there while it is down gets no token; and its HTTPS listener (X0, X5, W34, W35)."""

import base64
import socket
import ssl
import urllib.error

import pytest
from tests.support.authority import Authority
from tests.support.clients import tcp_open
from tests.support.consul import Consul
from tests.support.playbook import adhoc, play
from tests.support.wait import eventually, side_by_side

HEARD = "/tmp/x5.heard"
# Listens as nobody on both ports of the agent, the second by TLS with a certificate of another CA, and keeps all that comes.
IMPOSTOR = f"""
import os, socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/x5.pem", "/tmp/x5.key")
out = open("{HEARD}", "ab", buffering=0)
os.setgid(65534)
os.setuid(65534)
def listen(port, tls):
    server = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = server.accept()
        out.write(b"\\nconnection to %d\\n" % port)
        threading.Thread(target=hear, args=(client, tls), daemon=True).start()
def hear(client, tls):
    try:
        client.settimeout(2)
        with context.wrap_socket(client, server_side=True) if tls else client as heard:
            while part := heard.recv(65536):
                out.write(part)
    except OSError:
        pass
threading.Thread(target=listen, args=(8500, False), daemon=True).start()
listen(8501, True)
"""


@pytest.fixture
def impostor(site, tmp_path):
    """A host with another process on its agent's ports, while the agent is down."""
    node = site.group("load_balancers")[0]
    certificate, key = Authority(tmp_path / "other").issue("impostor", "127.0.0.1")
    files = {"/tmp/x5.py": IMPOSTOR.encode()}
    for path, source in (("/tmp/x5.pem", certificate), ("/tmp/x5.key", key)):
        with open(source, "rb") as file:
            files[path] = file.read()
    for path, content in files.items():
        node.run(f"echo {base64.b64encode(content).decode()} | base64 -d > {path}")
    node.run("systemctl stop consul")
    node.run("systemd-run --collect --unit=x5-impostor python3 /tmp/x5.py")
    try:
        eventually(lambda: node.tries("bash -c 'exec 3<>/dev/tcp/127.0.0.1/8501'").rc == 0, 10)
        yield node
    finally:
        node.run("systemctl stop x5-impostor")
        node.run("systemctl start consul")
        node.tries("systemctl reset-failed consul-backup.service")  # it failed meanwhile
        node.run(f"rm -f {HEARD} /tmp/x5.py /tmp/x5.pem /tmp/x5.key")
        site.settle()


def test_x5_an_impostor_on_loopback_gets_no_token(site, impostor, show):
    """Registrator, consul-template, the sync program, registrator-clear, the backup and a play with the management token try."""
    node = impostor
    secrets = [path.read_text().strip() for path in [site.secrets / "management_token", *(site.secrets / "tokens").iterdir()]]
    side_by_side([
        lambda: play(site, "playbooks/status.yml"),
        lambda: node.tries("/usr/local/sbin/registrator-clear"),
        lambda: node.tries("systemctl start consul-backup.service"),
    ])  # fmt: skip

    def connections() -> int:
        return int(node.run(f"grep -ac 'connection to 8501' {HEARD} || true"))

    eventually(lambda: connections() >= 10, 60)
    heard = base64.b64decode(node.run(f"base64 -w0 {HEARD}"))
    show(f"{connections()} connections to 8501, {heard.count(b'connection to 8500')} to 8500, {len(heard)} bytes")
    assert [len(secret) for secret in secrets if secret.encode() in heard] == []
    assert b"X-Consul-Token" not in heard


@pytest.mark.on("consul_servers")
def test_x5_plain_http_is_closed(node):
    assert not tcp_open(node.address, 8500)
    assert node.tries("bash -c 'exec 3<>/dev/tcp/127.0.0.1/8500'").rc != 0
    assert node.run("ss -Hltn 'sport = :8500'").strip() == ""


@pytest.mark.on("consul_servers")
def test_x5_people_use_the_command_line_by_https(site, node):
    """As operations.md says."""
    environment = "CONSUL_HTTP_ADDR=https://127.0.0.1:8501 CONSUL_CACERT=/etc/consul.d/tls/ca.pem"
    token = (site.secrets / "tokens/ui").read_text().strip()
    members = node.feed(f"{environment} CONSUL_HTTP_TOKEN_FILE=/dev/stdin consul members", token)
    assert all(other.name in members for other in site.servers)


@pytest.mark.on("consul_servers")
@pytest.mark.parametrize("ciphers, accepted", [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:AES128-SHA:AES128-GCM-SHA256", False),
])  # fmt: skip
def test_w34_only_ecdhe_with_aead(site, node, ciphers, accepted):
    context = ssl.create_default_context(cafile=str(site.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers + ":@SECLEVEL=0")
    with socket.create_connection((node.address, 8501), timeout=5) as raw:
        if not accepted:
            with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
                context.wrap_socket(raw, server_hostname=node.address)
            return
        with context.wrap_socket(raw, server_hostname=node.address) as tls:
            assert tls.cipher()[0] in ciphers


@pytest.mark.on("consul_servers")
def test_w35_headers_of_the_ui(site, node):
    with Consul(node.address, site.ca, token=None).open("/ui/") as answer:
        headers, page = answer.headers, answer.read().decode()
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=31536000" in headers["Strict-Transport-Security"]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
    # What the policy forbids the UI does not use: every script that runs is a file of its own.
    inline = [tag for tag in page.split("<script")[1:] if "src=" not in tag.split(">")[0]]
    assert [tag for tag in inline if 'type="application/json"' not in tag.split(">")[0]] == []


def test_an_agent_takes_writes_from_its_own_host_and_management_only(site):
    """A stolen token is of no use at another host's agent."""
    node = site.servers[0]
    token = (site.secrets / "management_token").read_text().strip()
    here = Consul(node.address, site.ca, token)
    assert here.put("/v1/kv/x4/management", {}) is True
    here.send("DELETE", "/v1/kv/x4?recurse")
    other = next(one for one in site.servers if one.name != node.name)
    program = (
        "import http.client, ssl, sys; c = http.client.HTTPSConnection('{address}', 8501, timeout=5,"
        " context=ssl.create_default_context(cafile='/etc/consul.d/tls/ca.pem'));"
        " c.request('{method}', '/v1/kv/x4/other{query}', headers={{'X-Consul-Token': sys.stdin.read()}});"
        " print(c.getresponse().status)"
    )

    def status(where, method: str, query: str = "") -> str:
        text = program.format(address=node.address, method=method, query=query)
        return where.feed(f'python3 -c "{text}"', token).strip()

    assert status(other, "PUT") == "403" and status(other, "GET", "?keys") == "404"
    try:
        assert status(node, "PUT") == "200"
    finally:
        here.send("DELETE", "/v1/kv/x4?recurse")
    with pytest.raises(urllib.error.HTTPError):
        Consul(node.address, site.ca, None).put("/v1/kv/x4/anonymous", {})


@pytest.mark.more
def test_x5_plain_http_stays_open_for_a_program_of_an_earlier_version(site, settled, show):
    """As long as its configuration names the port."""
    node = site.group("load_balancers")[0]
    opened = "ss -Hltn 'sport = :8500'"
    node.run("echo '# 127.0.0.1:8500' >> /etc/consul-template/consul-template.hcl")
    done, seconds = play(site, "playbooks/consul.yml")
    assert done.returncode == 0 and "127.0.0.1:8500" in node.run(opened), done.stdout[-3000:]
    assert [other.name for other in site.servers if other.name != node.name and other.run(opened).strip()] == []
    done, more = play(site, "site.yml")
    assert done.returncode == 0 and node.run(opened).strip() == "", done.stdout[-3000:]
    show(f"opened in {seconds:.0f} s, closed at the end of site.yml, {more:.0f} s")

PROXY = 3128
# Counts the connections of a proxy that the hosts' environment names.
COUNTER = f"""
import socket
server = socket.create_server(("127.0.0.1", {PROXY}))
while True:
    client, _ = server.accept()
    print(client.recv(200), flush=True)
    client.close()
"""


@pytest.fixture
def proxied(site):
    """A proxy in the environment of every host, which sudo keeps; its log is the journal of x0-proxy."""
    address = f"http://127.0.0.1:{PROXY}"
    names = [name for one in ("http_proxy", "https_proxy", "all_proxy") for name in (one, one.upper())]
    lines = "\\n".join(f"{name}={address}" for name in names)
    for node in site.servers:
        node.run("cp -a /etc/environment /etc/environment.x0 2>/dev/null || touch /etc/environment.x0")
        node.run(f"printf '{lines}\\n' >> /etc/environment")
        node.run(f"echo 'Defaults env_keep += \"{' '.join(names)}\"' > /etc/sudoers.d/x0 && chmod 0440 /etc/sudoers.d/x0")
        node.run(f"echo {base64.b64encode(COUNTER.encode()).decode()} | base64 -d > /tmp/x0.py")
        node.run("systemd-run --collect --unit=x0-proxy python3 /tmp/x0.py")
    try:
        yield
    finally:
        for node in site.servers:
            node.tries("systemctl stop x0-proxy")
            node.run("mv /etc/environment.x0 /etc/environment; rm -f /etc/sudoers.d/x0 /tmp/x0.py")


def test_x0_w7_a_proxy_of_the_hosts_environment_gets_no_request(site, proxied, show):
    """It was sent the management token, and backup.yml said that there was no leader."""
    fresh = {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"}  # an older session has another environment
    seen = adhoc(site, "consul_servers", "-m", "command", "-a", "printenv http_proxy", environment=fresh)
    assert seen.stdout.count(f"http://127.0.0.1:{PROXY}") == len(site.servers), seen.stdout
    for playbook in ("playbooks/backup.yml", "playbooks/status.yml"):
        done, seconds = play(site, playbook, environment=fresh)
        show(f"{playbook} in {seconds:.0f} s")
        assert done.returncode == 0, done.stdout[-3000:]
    for node in site.servers:
        assert node.run("journalctl -u x0-proxy -o cat --since=-10min | grep -c '^b' || true").strip() == "0", node.name
