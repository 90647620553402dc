"""How the agent is reached: URIs, certificates, token; and what the catalog is told."""

import contextlib

import pytest
from tests.support.authority import Authority, tls

from agent_server import UnixServer, agent_at
from registrator import clear
from registrator.agent import Agent, AgentError, Refused, Target, read_token, target, token_digest
from registrator_cases import HOST

SERVICES = {"web": {"ID": "web", "Service": "web", "Meta": {"registrator": HOST}}}
SECRET = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """What the program finds around it: nothing but what the test sets."""
    tokens = "HTTP_TOKEN", "HTTP_TOKEN_FILE", "CATALOG_TOKEN_FILE"
    for name in (*tokens, "CACERT", "CLIENT_CERT", "CLIENT_KEY", "TLSCERT", "TLSKEY"):
        monkeypatch.delenv(f"CONSUL_{name}", raising=False)
    return monkeypatch.setenv


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@pytest.mark.parametrize("uri, found", [
    ("consul://192.0.2.1:8500", Target("consul", "192.0.2.1", 8500)),
    ("consul://[2001:db8::1]:8500/", Target("consul", "2001:db8::1", 8500)),
    ("consul:", Target("consul", "127.0.0.1", 8500)),
    ("consul://", Target("consul", "127.0.0.1", 8500)),
    ("consul-tls://localhost:8501", Target("consul-tls", "localhost", 8501)),
    ("consul-unix:///run/consul.sock", Target("consul-unix", "", 0, "/run/consul.sock")),
])  # fmt: skip
def test_uris(uri, found):
    assert target(uri) == found


@pytest.mark.parametrize("uri", [
    "consul://h", "consul://h:port", "consul://:8500", "consul://h:8500/path", "consul://h:8500?prefix=x", "consul-unix://h/x",
    "consul-unix:", "consul-tls://", "consul-tls://h", "etcd://h:1", "consulkv://h:1/x", "h:8500", "", f"consul://{SECRET}@h:8500",
])  # fmt: skip
def test_a_uri_that_is_no_agent_is_refused_without_repeating_it(uri):
    with pytest.raises(ValueError, match="expected, such as consul://127.0.0.1:8500") as caught:
        target(uri)
    assert SECRET not in str(caught.value)


def test_the_uri_alone_says_where_the_agent_is(environment):
    environment("CONSUL_HTTP_ADDR", "192.0.2.9:1")
    environment("CONSUL_HTTP_SSL", "true")
    with agent_at(services=SERVICES) as (port, _):
        assert Agent(f"consul://127.0.0.1:{port}").services() == SERVICES


def test_consul_unix(tmp_path):
    with agent_at(UnixServer, str(tmp_path / "agent.sock"), services=SERVICES) as (path, _):
        assert Agent(f"consul-unix://{path}").services() == SERVICES


def test_consul_tls_with_the_sites_ca(authority, environment):
    environment("CONSUL_CACERT", authority.ca)
    environment("CONSUL_HTTP_TOKEN", SECRET)
    with agent_at(context=tls(authority, "127.0.0.1"), services=SERVICES) as (port, tokens):
        assert Agent(f"consul-tls://127.0.0.1:{port}").services() == SERVICES
    assert tokens == [SECRET]


@pytest.mark.parametrize("ca", ["other", "none", "name"])
def test_consul_tls_gives_no_token_to_whom_it_does_not_know(authority, environment, tmp_path, ca):
    """Another CA, the machine's own CAs, or a certificate for another address."""
    if ca != "none":
        environment("CONSUL_CACERT", Authority(tmp_path / "other").ca if ca == "other" else authority.ca)
    environment("CONSUL_HTTP_TOKEN", SECRET)
    context = tls(authority, "192.0.2.1" if ca == "name" else "127.0.0.1")
    with agent_at(context=context) as (port, tokens), pytest.raises(AgentError, match="CERTIFICATE_VERIFY_FAILED"):
        Agent(f"consul-tls://127.0.0.1:{port}").services()
    assert tokens == []


@pytest.mark.parametrize("names", [("CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"), ("CONSUL_TLSCERT", "CONSUL_TLSKEY")])
def test_consul_tls_with_a_client_certificate(authority, environment, names):
    environment("CONSUL_CACERT", authority.ca)
    with agent_at(context=tls(authority, "127.0.0.1", clients_of=authority), services=SERVICES) as (port, _):
        agent = Agent(f"consul-tls://127.0.0.1:{port}")
        with pytest.raises(OSError):
            agent.services()
        for name, file in zip(names, authority.issue("client"), strict=True):
            environment(name, file)
        assert agent.services() == SERVICES


def test_a_new_ca_counts_at_the_next_use(authority, environment, tmp_path):
    """The file is replaced while the program runs."""
    new = Authority(tmp_path / "new")
    environment("CONSUL_CACERT", authority.ca)
    with agent_at(context=tls(new, "127.0.0.1"), services=SERVICES) as (port, _):
        agent = Agent(f"consul-tls://127.0.0.1:{port}")
        with pytest.raises(AgentError, match="CERTIFICATE_VERIFY_FAILED"):
            agent.services()
        (authority.folder / "ca.pem").write_bytes((new.folder / "ca.pem").read_bytes())
        assert agent.services() == SERVICES


def test_the_connection_is_kept_until_a_file_changes(authority, environment):
    """And verified again then."""
    environment("CONSUL_CACERT", authority.ca)
    connections = []
    with agent_at(context=tls(authority, "127.0.0.1"), services=SERVICES, connections=connections) as (port, _):
        agent = Agent(f"consul-tls://127.0.0.1:{port}")
        assert [agent.services() for _ in range(3)] == [SERVICES] * 3 and len(connections) == 1
        (authority.folder / "ca.pem").write_text((authority.folder / "ca.pem").read_text() + "\n")
        assert agent.services() == SERVICES and len(connections) == 2
        (authority.folder / "ca.pem").write_text("nonsense")
        with pytest.raises(AgentError, match="CONSUL_CACERT"):
            agent.services()
    assert len(connections) == 2


def test_a_connection_that_the_agent_has_closed_is_opened_again(authority, environment):
    environment("CONSUL_CACERT", authority.ca)
    connections = ["close"]
    with agent_at(context=tls(authority, "127.0.0.1"), services=SERVICES, connections=connections) as (port, _):
        agent = Agent(f"consul-tls://127.0.0.1:{port}")
        assert [agent.services() for _ in range(3)] == [SERVICES] * 3
    assert connections == ["close", *["opened"] * 3]


@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_a_ca_file_that_is_none_is_named(environment, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    environment("CONSUL_CACERT", str(path))
    with pytest.raises(AgentError, match=f"CONSUL_CACERT={path}"):
        Agent("consul-tls://127.0.0.1:1").services()


def test_what_clears_a_host_uses_tls_as_well(authority, environment, capsys, monkeypatch):
    environment("CONSUL_CACERT", authority.ca)
    monkeypatch.setattr("os.uname", lambda: type("Name", (), {"nodename": HOST}))
    monkeypatch.setattr(clear, "DEADLINE", 60)
    monkeypatch.setattr(clear, "PATIENCE", 60)
    with agent_at(context=tls(authority, "127.0.0.1")) as (port, _):
        assert clear.main([f"consul-tls://127.0.0.1:{port}"]) == 0
    assert "cleared services=0" in capsys.readouterr().out


# --- the catalog


@pytest.mark.parametrize("answer, fails", [
    (None, False),
    (AgentError("PUT /v1/catalog/deregister: 500 Unknown service ID 'web'"), False),  # the agent's sync was first
    (AgentError("PUT /v1/catalog/deregister: 500 No cluster leader"), True),
    (Refused(403, "Permission denied"), True),
])  # fmt: skip
def test_the_catalog_forgets_a_service(monkeypatch, answer, fails):
    asked = []

    def request(_, method, path, body=None, token_file=""):
        asked.append((method, path, body))
        if answer:
            raise answer

    monkeypatch.setattr(Agent, "_request", request)
    with pytest.raises(type(answer)) if fails else contextlib.nullcontext():
        Agent("consul://127.0.0.1:8500").deregister_in_catalog("node-1", "web")
    assert asked == [("PUT", "/v1/catalog/deregister", {"Node": "node-1", "ServiceID": "web"})]


@pytest.mark.parametrize("checks, name", [({}, ""), ({"service:web:health": {"Node": "node-1", "ServiceID": "web"}}, "node-1")])
def test_checks_tell_the_agents_name(checks, name):
    with agent_at(services=checks) as (port, _):
        assert Agent(f"consul://127.0.0.1:{port}").node() == name


# --- token


def test_the_token_is_read_at_every_use(environment, tmp_path):
    """From the file, which goes before the variable."""
    path = tmp_path / "token"
    environment("CONSUL_HTTP_TOKEN_FILE", str(path))
    environment("CONSUL_HTTP_TOKEN", "other")
    with agent_at() as (port, tokens):
        agent = Agent(f"consul://127.0.0.1:{port}")
        for token in ("one\n", "two", ""):
            path.write_text(token)
            agent.services()
    assert tokens == ["one", "two", None]


def test_x4_the_catalog_gets_a_token_of_its_own(environment, tmp_path):
    """Which the agent does not get: it may write the node, and the registrator's may write services."""
    for name, token in (("HTTP", "services"), ("CATALOG", "node")):
        (tmp_path / name).write_text(token)
        environment(f"CONSUL_{name}_TOKEN_FILE", str(tmp_path / name))
    with agent_at() as (port, tokens):
        agent = Agent(f"consul://127.0.0.1:{port}")
        agent.deregister("web")
        agent.deregister_in_catalog("node-1", "web")
        agent.services()
    assert tokens == ["services", "node", "services"]


def test_the_token_of_the_environment(environment):
    environment("CONSUL_HTTP_TOKEN", SECRET)
    assert read_token() == SECRET and SECRET not in token_digest()


@pytest.mark.parametrize("content", [f"{SECRET}\n{SECRET}", f"{SECRET} x", f"{SECRET}ä", f"{SECRET}\x00"])
def test_a_token_that_cannot_be_sent_is_not_repeated(environment, tmp_path, content):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    environment("CONSUL_HTTP_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(AgentError, match="not one word") as caught:
        Agent("consul://127.0.0.1:1").services()
    assert SECRET not in str(caught.value)
