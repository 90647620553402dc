"""How our own requests are made: never by a proxy, and to Consul only where the agent has proved itself (X0, X5).

A host's environment may name a proxy, which sudo may keep; and while the agent is down any local user may listen on its port.
"""

import ast
import functools
import re
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import AGENT, CA, Api
from programs import load
from tests.support.authority import Authority, tls
from tests.yaml_text import parse_yaml

from discovery_balancer import source
from registrator.agent import Agent

ROOT = Path(__file__).parents[2]
SHIPPED = [path for folder in ("roles", "plugins", "playbooks") for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
SHIPPED = [path for path in SHIPPED if path.suffix not in (".md", ".pyc") and "__pycache__" not in path.parts]
TASKS = [path for path in SHIPPED if path.suffix == ".yml" and {"tasks", "handlers", "playbooks"} & set(path.parts)]
REQUESTS = ("uri", "get_url", "unarchive", "wait_for_connection")
# Subcommands of the program consul that talk to no agent.
OFFLINE = {"agent", "keygen", "inspect", "validate", "version", "tls"}
SECRET = "11111111-2222-3333-4444-555555555555"
PATIENCE = 60  # seconds for an answer: this machine may be busy


def steps(value):
    """Every mapping in a YAML document: plays, blocks and tasks."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else []:
        yield from steps(inner)


def calls(name: str):
    """(place, arguments) of each task with a builtin module."""
    for path in TASKS:
        for step in steps(parse_yaml(path.read_text())):
            arguments = step.get(f"ansible.builtin.{name}", step.get(name))
            if isinstance(arguments, dict):
                yield f"{path.relative_to(ROOT)}: {step.get('name')}", arguments


def python(path: Path) -> bool:
    return path.suffix == ".py" or path.read_bytes().startswith(b"#!/usr/bin/python3")


PROGRAMS = [path for path in SHIPPED if python(path)]


def test_x0_w7_no_task_uses_a_proxy():
    found = [place for name in REQUESTS for place, given in calls(name) if given.get("use_proxy") is not False]
    assert found == []


def test_x0_w7_no_program_uses_a_proxy():
    """The standard library's urlopen and openers without a ProxyHandler obey the environment, http.client does not. Releases of
    the vendor may come by a proxy."""
    wrong = []
    for path in PROGRAMS:
        text = path.read_text()
        tree = ast.parse(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "#", text) if path.suffix == ".j2" else text)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            proxies = [ast.unparse(argument) for argument in node.args]
            if name == "build_opener" and "urllib.request.ProxyHandler({})" not in proxies:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
            if name in ("urlopen", "urlretrieve", "fetch_url") or (name == "open_url" and path.name != "release_archive.py"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
        if re.search(r"^\s*(import|from) (requests|httpx|urllib3)\b", text, re.MULTILINE):
            wrong.append(f"{path.relative_to(ROOT)} imports a client that obeys the environment")
    assert wrong == []


def test_x0_w7_no_script_calls_a_client_that_uses_a_proxy():
    """curl and wget obey the environment. dockerd's client in the role scale does, too, unless the environment says otherwise."""
    scripts = [path for path in SHIPPED if path.suffix in (".j2", ".yml", "") and not path.name.endswith("specs.yml")]
    found = [str(path.relative_to(ROOT)) for path in scripts if re.search(r"(?<![\w.-])(curl|wget) ", path.read_text())]
    assert found == []
    for path in TASKS:
        text = path.read_text()
        assert text.count("__scale_dockerd }}") == text.count("__scale_environment }}"), path


def test_x5_every_request_to_consul_verifies_the_agent():
    """Also one without a token: its answer decides what a play does."""
    wrong = []
    for place, given in calls("uri"):
        if "unix_socket" in given or "/_ping" in given["url"]:
            continue
        if not re.search(r"__(consul_api|consul_balancer_key|scale_api) \}\}", given["url"]):
            wrong.append(f"{place}: {given['url']} is none of the addresses of agents")
        if "ca" not in given.get("ca_path", "") or given.get("validate_certs") is False:
            wrong.append(f"{place}: not verified")
    assert wrong == []
    consul = parse_yaml((ROOT / "roles/consul/vars/main.yml").read_text())
    assert (consul["__consul_api"], consul["__consul_ca"]) == (f"{AGENT}/v1", CA)
    assert consul["__consul_cli_options"] == [f"-http-addr={AGENT}", "-ca-file={{ __consul_ca }}"]


def test_x5_nothing_uses_the_port_of_plain_http():
    """But the descriptions of consul_http_loopback. The registrator's default is the original's; the role gives it another."""
    found = {
        str(path.relative_to(ROOT)) for path in SHIPPED
        if re.search(r"(127\.0\.0\.1|localhost|\[::1\])[\"']?[:,] ?8500", path.read_text(errors="replace"))
    }  # fmt: skip
    assert found == {
        "roles/consul/defaults/main.yml", "roles/consul/meta/argument_specs.yml", "roles/registrator/files/registrator/agent.py",
    }  # fmt: skip
    consul = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())
    assert consul["consul_http_loopback"] is False
    defaults = parse_yaml((ROOT / "roles/registrator/defaults/main.yml").read_text())
    assert defaults["registrator_uri"] == "consul-tls://127.0.0.1:8501"


def test_w34_suites_of_the_agent():
    """ECDHE and AEAD only: no static RSA, no CBC."""
    consul = parse_yaml((ROOT / "roles/consul/vars/main.yml").read_text())
    assert consul["__consul_agent_config"]["tls"]["defaults"]["tls_min_version"] == "TLSv1_2"
    suites = consul["__consul_cipher_suites"]
    assert suites and [one for one in suites if not re.fullmatch(r"TLS_ECDHE_\w+_(GCM|CHACHA20_POLY1305)_SHA\d+", one)] == []


def test_x5_commands_of_consul_verify_the_agent():
    wrong = []
    for path in SHIPPED:
        if path.suffix not in (".j2", ".yml"):
            continue
        for line in re.sub(r"[\n ]+\+ ", " + ", path.read_text()).splitlines():
            found = re.search(r"(?:^|[^\w./-])(?:/usr/local/bin/)?consul'?,? '?([a-z]+)'?,? '?([a-z]*)", line)
            if not found or line.strip().startswith(("#", "-name", "- name", "description", "msg")):
                continue
            command = found.group(2) if found.group(1) == "snapshot" else found.group(1)
            if found.group(1) in ("snapshot", "kv", "members", "operator", "acl", "leave", "reload", "maint") and (
                command not in OFFLINE and "__consul_cli_options" not in line
            ):
                wrong.append(f"{path.relative_to(ROOT)}: {line.strip()}")
    assert wrong == []


def test_x5_consul_template_verifies_the_agent():
    text = (ROOT / "roles/balancer/templates/consul-template.hcl.j2").read_text()
    settings = dict(re.findall(r"^ +(enabled|verify|ca_cert) += (.+)$", text, re.MULTILINE))
    assert settings == {"enabled": "true", "verify": "true", "ca_cert": f'"{CA}"'}


def test_x5_the_cluster_store_is_used_by_tls():
    """dockerd uses plain HTTP, without a word, where one of the three files is not set."""
    config = parse_yaml((ROOT / "roles/docker_cluster_store/defaults/main.yml").read_text())["docker_cluster_store_config"]
    assert config["cluster-store"] == "consul://127.0.0.1:8501"
    assert config["cluster-store-opts"] == {
        "kv.cacertfile": CA, "kv.certfile": "/etc/docker/tls/server.pem", "kv.keyfile": "/etc/docker/tls/server.key",
    }  # fmt: skip


class Listener:
    """Takes connections on loopback, keeps what comes, and answers nothing."""

    def __init__(self, context=None):
        self.heard: list[bytes] = []
        self.connections = 0
        self.context = context
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self.context.wrap_socket(client, server_side=True) if self.context else client as heard:
                    heard.settimeout(PATIENCE)
                    self.heard.append(heard.recv(65536))
            except OSError:
                pass


@pytest.fixture(params=["plain", "TLS by another CA"])
def impostor(request, tmp_path):
    context = None if request.param == "plain" else tls(Authority(tmp_path / "other"), "127.0.0.1")
    listener = Listener(context)
    yield listener
    listener.socket.close()


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """port to a list of requests, one of each of our clients, with the token."""
    ca = Authority(tmp_path / "site").ca
    token = tmp_path / "token"
    token.write_text(SECRET)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(token))
    monkeypatch.setenv("CONSUL_CACERT", ca)
    peers = load("docker_cluster_store/files/dockerd-overlay-peers")
    monkeypatch.setattr(peers, "CA", ca)
    monkeypatch.setattr(source, "Agent", functools.partial(source.Agent, timeout=PATIENCE))
    monkeypatch.setattr(peers, "token", lambda: {"X-Consul-Token": SECRET})

    def made(port):
        monkeypatch.setattr(peers, "CONSUL", f"https://127.0.0.1:{port}/v1/kv/x?recurse&stale")
        return [
            lambda: Api(SECRET, timeout=PATIENCE, base=f"https://127.0.0.1:{port}", ca=ca).get("/v1/agent/self"),
            lambda: Agent(f"consul-tls://127.0.0.1:{port}", timeout=PATIENCE).services(),
            lambda: source.Source(f"127.0.0.1:{port}", token, "n", Path(ca))._ask("GET", "/v1/agent/self"),
            lambda: peers.endpoints("0", 1),
        ]

    return made


def test_x5_an_impostor_gets_no_token(impostor, clients):
    """Every client of ours meets somebody else on the agent's port."""
    for client in clients(impostor.port):
        with pytest.raises(Exception, match=r"SSL|CERTIFICATE"):
            client()
    assert impostor.connections >= 4 and SECRET.encode() not in b"".join(impostor.heard)


def test_x0_w7_a_proxy_of_the_environment_is_not_used(clients, monkeypatch):
    proxy = Listener()
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for client in clients(1):  # nobody listens there
        with pytest.raises(OSError, match="refused"):
            client()
    proxy.socket.close()
    assert proxy.connections == 0
