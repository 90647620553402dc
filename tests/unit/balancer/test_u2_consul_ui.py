"""Consul's UI on a name of the site: for management networks, by HTTPS, reads alone, from servers that the site's CA verifies."""

import dataclasses
import http.client
import json
import re
import socket
import ssl
from pathlib import Path

import pytest
from tests.support.ports import free_port

import real_haproxy
import real_nginx
from discovery_balancer import __main__ as command
from discovery_balancer import consul_ui, options
from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import files, layout
from discovery_balancer.backends.nginx.render import render_nginx
from discovery_balancer.options import Options
from discovery_balancer.owners import KEY, owners_of
from discovery_balancer.plan import plan
from discovery_balancer.store import Store
from instances import ADDRESS, Instance, apply, catalog, certificate, entry
from real_nginx import DOMAIN

NAME, SERVER_NAME = f"consul.{DOMAIN}", "server.dc1.consul"
CERTIFICATE = {"names": ["*.hospital.example"], "certificate": "/etc/c.pem", "key": "/etc/k.pem"}
WANTED = {
    "name": NAME, "server_name": SERVER_NAME, "networks": ["10.8.0.0/24", "2001:db8::/64"],
    "servers": ["10.0.0.2:8501", "10.0.0.1:8501", "[2001:db8::1]:8501"],
}  # fmt: skip
SITE = Options(
    domain=DOMAIN, certificates=(CERTIFICATE,), hosts={"h1": "10.0.0.1", "h2": "10.8.0.9"}, consul_ui=WANTED, consul_ca="the CA\n"
)
ENTRY = {"id": "i", "node": "n", "address": "10.0.0.7", "port": 80, "tags": ["http"]}
PEOPLE, STRANGER, HOST = "127.0.71.8", "127.0.71.16", "127.0.71.9"  # the last one is a host of the site within the network
TOKEN = "1d4f8c2e-0000-0000-0000-000000000000"


def asking(**meta) -> dict:
    return catalog(shop=[{**ENTRY, "meta": meta}])


def test_u2_a_plan_has_the_ui_as_data():
    assert plan({}, SITE).consul_ui == consul_ui.ConsulUi(
        name=NAME, servers=("10.0.0.1:8501", "10.0.0.2:8501", "[2001:db8::1]:8501"), server_name=SERVER_NAME,
        networks=("10.8.0.0/24", "2001:db8::/64"), refused=("10.0.0.1/32", "10.8.0.9/32"), ca="the CA\n",
    )  # fmt: skip
    assert plan({}, Options(domain=DOMAIN, certificates=(CERTIFICATE,))).consul_ui is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"certificates": ()}, f"{NAME} has no certificate here"),
        ({"consul_ca": ""}, "no CA that would verify Consul's servers"),
    ],
)
def test_u2_what_it_needs_and_has_not_hurts_no_service(change, reason):
    made = plan(asking(), dataclasses.replace(SITE, **change))
    assert (made.consul_ui, [service.name for service in made.http]) == (None, ["shop"])
    ((name, found),) = made.skipped
    assert name == "balancer_consul_ui" and reason in found


def test_u2_a_port_that_another_program_has_takes_it_along():
    made = plan({}, SITE).without_ports({443: "port 443 is taken"})
    assert (made.consul_ui, ("balancer_consul_ui", "port 443 is taken") in made.skipped) == (None, True)


@pytest.mark.parametrize("tags", [["http"], ["tls"]])
@pytest.mark.parametrize("owners", ["{}", json.dumps({f"http {NAME}": ["shop", 0], f"tls {NAME}": ["shop", 0]})])
def test_u2_no_service_takes_its_name(tags, owners):
    other = f"shop.{DOMAIN}"
    for hosts, served in ((NAME, ()), (f"{NAME},{other}", (other,))):
        given = catalog(shop=[{**ENTRY, "tags": tags, "meta": {"balancer_hosts": hosts}}])
        made = plan({**given, "owners": {KEY.rpartition("/")[2]: owners}}, SITE)
        assert [service.hosts for service in made.http + made.tls] == [served] * bool(served)
        reasons = [reason for _name, reason in made.skipped + made.warnings]
        assert any(f"{NAME} is the name of Consul's UI (balancer_consul_ui)" in reason for reason in reasons)


def test_u2_a_path_of_its_name_is_no_service_s_either():
    given = asking(balancer_hosts=NAME, balancer_path="/v1/acl")
    assert plan(given, SITE).http == ()
    assert plan(catalog(consul=[ENTRY]), SITE).http == ()  # by its own name


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", "*.hospital.example", "not a DNS name"), ("name", "a; b", "not a DNS name"),
        ("name", "Consul.example", "not a DNS name"),
        ("name", "consul", "not a DNS name"), ("server_name", "server dc1", "not a DNS name"), ("servers", [], "no servers"),
        ("servers", ["10.0.0.1"], "not an address and a port"), ("servers", ["consul-1:8501"], "not an address and a port"),
        ("servers", ["10.0.0.1:85010"], "not an address and a port"), ("networks", [], "no networks"),
        ("networks", ["10.8.0.1/24"], "not an address or a network"), ("networks", ["any; 1"], "not an address or a network"),
        ("more", 1, "are not"),
    ],
)  # fmt: skip
def test_u2_options_that_could_not_be_rendered_safely_are_refused(key, value, words):
    with pytest.raises(ValueError, match=f"^consul_ui: .*{words}"):
        Options(domain=DOMAIN, consul_ui={**WANTED, key: value})


def test_u2_nginx_golden():
    made = render_nginx(plan({}, SITE), dataclasses.replace(SITE, hsts="600"))
    assert made["consul-ca.pem"] == "the CA\n"
    text = made["http.conf"]
    errors = re.search(r"    error_page 429.*?@discovery_error \{.*?\n    \}\n", text, re.S)[0]
    hsts = "add_header Strict-Transport-Security max-age=600 always;\n"
    first = f"""\
    default_type text/html;
    if ($discovery_consul_ui = 0) {{
        return 404 $discovery_page_404;
    }}
    location = / {{
        return 302 https://{NAME}/ui/;
    }}
    location = /ui {{
        return 302 https://{NAME}/ui/;
    }}
"""
    passed = f"""\
        limit_except GET {{
            deny all;
        }}
        set $discovery_service consul.ui;
        proxy_pass https://discovery_consul.ui;
        proxy_read_timeout 11m;
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate discovery/consul-ca.pem;
        proxy_ssl_server_name on;
        proxy_ssl_name {SERVER_NAME};
    }}
"""
    last = "    location / {\n        return 404 $discovery_page_404;\n    }\n}\n"
    hidden = "".join(f"    {by}_hide_header Strict-Transport-Security;\n" for by in ("proxy", "grpc"))
    assert text.endswith(
        f"""\
geo $discovery_consul_ui {{
    default 0;
    10.0.0.1/32 0;
    10.8.0.0/24 1;
    10.8.0.9/32 0;
    2001:db8::/64 1;
}}
upstream discovery_consul.ui {{
    zone discovery_consul.ui 67k;
    server 10.0.0.1:8501 max_fails=3 fail_timeout=5s;
    server 10.0.0.2:8501 max_fails=3 fail_timeout=5s;
    server [2001:db8::1]:8501 max_fails=3 fail_timeout=5s;
}}
server {{
    listen 0.0.0.0:80;
    server_name {NAME};
{errors}{first}    location /ui/ {{
        return 302 https://{NAME}$request_uri;
    }}
{last}server {{
    listen unix:/run/discovery-balancer-tls/https.sock;
    server_name {NAME};
    ssl_certificate /etc/c.pem;
    ssl_certificate_key /etc/k.pem;
    set_real_ip_from unix:;
    real_ip_header proxy_protocol;
    {hsts}{hidden}{errors.replace("always;", f"always;{chr(10)}        {hsts.strip()}", 1)}{first}    location /ui/ {{
{passed}    location /v1/ {{
{passed}    location = /v1 {{
        return 404 $discovery_page_404;
    }}
{last}"""
    )


def test_u2_nginx_has_one_server_for_a_name_that_has_a_certificate_of_its_own():
    chosen = dataclasses.replace(SITE, certificates=({**CERTIFICATE, "names": [NAME]},), tls_port=8443)
    text = render_nginx(plan({}, chosen), chosen)["http.conf"]
    assert text.count(f"server_name {NAME};") == 2  # in clear, and encrypted
    assert f"return 302 https://{NAME}:8443/ui/;" in text


def test_u2_haproxy_golden():
    made = files(layout(plan({}, SITE), SITE, HaproxyOptions()))
    assert (made["consul-ca.pem"], made["hosts.map"]) == ("the CA\n", f"{NAME}/ consul.ui\n")
    found = "return status 404 content-type text/html file discovery/404.html"
    check = " check inter 1h fastinter 1000ms downinter 1000ms rise 1 fall 1 observe layer4 error-limit 3 on-error mark-down"
    verified = f" ssl verify required ca-file discovery/consul-ca.pem verifyhost {SERVER_NAME} sni str({SERVER_NAME})"
    assert made["services.cfg"].endswith(
        f"""\
backend http_consul.ui
    balance roundrobin
    http-reuse never
    timeout server 660000ms
    acl discovery_ui_network src 10.8.0.0/24 2001:db8::/64
    acl discovery_ui_refused src 10.0.0.1/32 10.8.0.9/32
    http-request {found} unless discovery_ui_network
    http-request {found} if discovery_ui_refused
    http-request redirect location https://{NAME}/ui/ code 302 if {{ path / }} or {{ path /ui }}
    http-request redirect location https://{NAME}%[pathq] code 302 if !{{ ssl_fc }} {{ path_beg /ui/ }}
    http-request {found} if !{{ ssl_fc }}
    http-request {found} unless {{ path_beg /ui/ }} or {{ path_beg /v1/ }}
    http-request {found} if {{ var(txn.path) -m sub /../ }}
    http-request deny deny_status 403 unless METH_GET
    server 10.0.0.1:8501 10.0.0.1:8501 weight 1{check}{verified}
    server 10.0.0.2:8501 10.0.0.2:8501 weight 1{check}{verified}
    server 2001:db8::1:8501 [2001:db8::1]:8501 weight 1{check}{verified}
"""
    )


@pytest.mark.parametrize(("port", "times"), [(443, 0), (8443, 1)])
def test_u2_consul_s_own_hsts_passes_where_browsers_find_the_port(port, times):
    """RFC 6797, 8.3: they would ask port 443."""
    chosen = dataclasses.replace(SITE, tls_port=port)
    nginx = render_nginx(plan({}, chosen), chosen)["http.conf"]
    haproxy = files(layout(plan({}, chosen), chosen, HaproxyOptions()))["services.cfg"]
    assert nginx.count("proxy_hide_header Strict-Transport-Security;\n") == 2 * times  # a path each
    assert haproxy.count("    http-response del-header Strict-Transport-Security\n") == times


def test_u2_without_the_ui_nothing_of_it_is_rendered():
    chosen = dataclasses.replace(SITE, consul_ui={}, consul_ca="")
    for made in (render_nginx(plan({}, chosen), chosen), files(layout(plan({}, chosen), chosen, HaproxyOptions()))):
        assert "consul" not in "".join(made.values()).replace("from Consul's catalog", "") and "consul-ca.pem" not in made


def test_u2_the_ca_is_read_with_the_options_and_one_that_is_none_is_left_out(tmp_path, monkeypatch):
    file, ca = tmp_path / "options.json", tmp_path / "ca.pem"
    file.write_text(json.dumps({"domain": DOMAIN, "consul_ui": WANTED}))
    file.with_name("options-nginx.json").write_text("{}")
    monkeypatch.setattr(consul_ui.authority, "__defaults__", (ca,))
    assert options.load(file).consul_ca == ""
    for text in ("", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"):
        ca.write_text(text)
        assert options.load(file).consul_ca == ""
    good = Path(certificate(tmp_path, SERVER_NAME)[0]).read_text()
    ca.write_text(good * 2)  # as while the CA changes
    assert options.load(file).consul_ca == good * 2


def test_u2_the_command_names_the_services_that_have_a_name(tmp_path, capsys):
    register = {
        "http portal.example /api": ["portal-api", 0], "tls portal.example": ["portal", 0], "tcp 9999": ["echo-9999", 0],
        "http portal.example.org": ["other", 0], "http portal.example": ["evil\n\x1b[2J", 5],
    }  # fmt: skip
    assert owners_of(json.dumps(register), "portal.example") == ["evil\n\x1b[2J", "portal", "portal-api"]
    assert owners_of(None, "portal.example") == owners_of(json.dumps(register), "no.example") == []
    store, file = Store(tmp_path), tmp_path / "options.json"
    (tmp_path / "catalog.json").write_text(json.dumps({"owners": {KEY.rpartition("/")[2]: json.dumps(register)}}))
    file.with_name("options-nginx.json").write_text("{}")
    for wanted, printed in (({}, ["evil\\n\\x1b[2J", "portal", "portal-api"]), ({**WANTED, "name": "portal.example"}, [])):
        file.write_text(json.dumps({"domain": DOMAIN, "consul_ui": wanted}))
        assert command.main(["--options", str(file), "--state", str(store.root), "owners", "portal.example"]) == 0
        assert capsys.readouterr().out.split() == printed


def test_u2_the_role_writes_it_where_it_has_a_name():
    given = {
        "discovery_management_networks": "10.8.0.0/24, 10.9.0.7", "discovery_datacenter": "ward", "discovery_address": "10.0.0.1",
        "balancer_consul_servers": ["localhost"],
    }  # fmt: skip
    assert real_nginx.written_by_the_roles(80, **given).options["consul_ui"] == {}
    written = real_nginx.written_by_the_roles(80, balancer_consul_ui=NAME, **given).options["consul_ui"]
    networks = ["10.8.0.0/24", "10.9.0.7"]
    wanted = {"name": NAME, "networks": networks, "servers": ["10.0.0.1:8501"], "server_name": "server.ward.consul"}
    assert written == wanted and consul_ui.problem(written) == ""


# --- The distribution's servers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Certificates: of the site for its names, of Consul's servers, and others that a server should not have."""
    folder = tmp_path_factory.mktemp("certificates")
    named = {"site": f"*.{DOMAIN}", "server": SERVER_NAME, "client": "client.dc1.consul"}
    found = {use: certificate(folder, name) for use, name in named.items()}
    other = tmp_path_factory.mktemp("other")
    return found | {"foreign": certificate(other, SERVER_NAME)}


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def server(request):
    """The module of one."""
    return request.param


@pytest.fixture(scope="module")
def balancer(server, made):
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": made["site"][0], "key": made["site"][1]}]
    with server.Balancer(balancer_certificates=chosen, balancer_connect_timeout="1s") as balancer:
        balancer.options = dataclasses.replace(balancer.options, hosts={"h1": HOST})
        balancer.sync(catalog())
        balancer.start()
        yield balancer


@pytest.fixture
def consul(made):
    """Start servers of Consul: consul(certificate)."""
    started = []

    def start(use="server"):
        started.append(Instance(tls=made[use], name=use))
        return started[-1]

    yield start
    for one in started:
        one.close()


def serve(balancer, made, *ports, trusted=("server",), **services):
    """Serve the UI from servers at these ports, verified with these certificates; the status."""
    wanted = {**WANTED, "servers": [f"{ADDRESS}:{port}" for port in ports], "networks": ["127.0.71.8/30"]}
    ca = "".join(Path(made[use][0]).read_text() for use in trusted)
    balancer.options = dataclasses.replace(balancer.options, consul_ui=wanted, consul_ca=ca)
    return apply(balancer, **services)


def ask(balancer, ca, path, method="GET", source=PEOPLE, clear=False, host=NAME, **headers):
    """Status, headers and body of an answer."""
    port = balancer.http_port if clear else balancer.tls_port
    with socket.create_connection((real_nginx.ADDRESS, port), 20, (source, 0)) as plain:
        context = ssl.create_default_context(cafile=ca)
        with plain if clear else context.wrap_socket(plain, server_hostname=host) as client:
            lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
            client.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n".encode())
            answer = http.client.HTTPResponse(client, method=method)
            answer.begin()
            return answer.status, answer.headers, answer.read().decode()


def at(balancer, path) -> str:
    return f"https://{NAME}:{balancer.tls_port}{path}"


def test_u2_reads_pass_with_the_user_s_own_token_and_no_other(balancer, made, consul):
    server, ca = consul(), made["site"][0]
    serve(balancer, made, server.port)
    for path in ("/ui/dc1/services", "/v1/status/leader", "/v1/kv/a%2Fb?raw&index=7"):
        status, _headers, body = ask(balancer, ca, path)
        assert (status, json.loads(body)[1]) == (200, path)
        seen = json.loads(body)[2]
        assert seen["Host"] == f"{NAME}" and not {"X-Consul-Token", "Authorization"} & set(seen)
        assert json.loads(ask(balancer, ca, path, X_Consul_Token=TOKEN)[2])[2]["X-Consul-Token"] == TOKEN
    for path in ("/", "/ui"):
        status, headers, _body = ask(balancer, ca, path)
        assert (status, headers["Location"]) == (302, at(balancer, "/ui/"))


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_u2_a_write_ends_here(balancer, made, consul, method):
    """A server takes writes from its own host, which is a load balancer, too."""
    server = consul()
    serve(balancer, made, server.port)
    for path in ("/v1/kv/a", "/v1/agent/service/register", "/ui/"):
        status, _headers, _body = ask(balancer, made["site"][0], path, method, Content_Length=0, X_Consul_Token=TOKEN)
        assert status == 403
    assert server.asked == []


@pytest.mark.parametrize(
    "path", ["/debug/pprof/", "/v1/../debug/pprof/", "/v1/%2e%2e/debug/pprof/", "/v1", "/v1x/", "/uix", "/V1/kv/a"]
)
def test_u2_nothing_else_of_consul_is_there(balancer, made, consul, path):
    server = consul()
    serve(balancer, made, server.port)
    status, _headers, body = ask(balancer, made["site"][0], path)
    assert (status, body.startswith("<!doctype html>"), server.asked) == (404, True, [])


@pytest.mark.parametrize("source", [STRANGER, HOST])
def test_u2_nobody_else_finds_anything(balancer, made, consul, source):
    """A host of the site is none of the people, also within their network."""
    server = consul()
    serve(balancer, made, server.port)
    for path in ("/", "/ui", "/ui/", "/v1/status/leader", "/x"):
        for given in ({}, {"X_Forwarded_For": PEOPLE, "X_Real_IP": PEOPLE, "Forwarded": f"for={PEOPLE}"}):
            for clear in (False, True):
                status, headers, body = ask(balancer, made["site"][0], path, source=source, clear=clear, **given)
                assert (status, headers["Location"], body.startswith("<!doctype html>")) == (404, None, True)
    assert server.asked == []


def test_u2_in_clear_there_is_the_way_to_https_alone(balancer, made, consul):
    server = consul()
    serve(balancer, made, server.port)
    for path, way in (("/", "/ui/"), ("/ui", "/ui/"), ("/ui/dc1/kv?a=1", "/ui/dc1/kv?a=1")):
        status, headers, _body = ask(balancer, None, path, clear=True)
        assert (status, headers["Location"]) == (302, at(balancer, way))
    for path in ("/v1/status/leader", "/x"):  # a token that came in clear would be known to all on the way
        status, headers, _body = ask(balancer, None, path, clear=True, X_Consul_Token=TOKEN)
        assert (status, headers["Location"]) == (404, None)
    assert server.asked == []


def test_u2_a_dead_server_is_skipped(balancer, made, consul):
    one, other = consul(), consul()
    serve(balancer, made, one.port, other.port, free_port())
    for _number in range(12):
        assert ask(balancer, made["site"][0], "/v1/status/leader")[0] == 200
    assert one.asked and other.asked
    one.close()
    for _number in range(12):
        assert ask(balancer, made["site"][0], "/v1/status/leader")[0] == 200


@pytest.mark.parametrize("use", ["client", "foreign"])
def test_u2_only_a_server_of_the_site_is_asked(balancer, made, consul, use):
    """Another name of the site's CA, such as a client's, and the right name of another CA are none."""
    bad, trusted = consul(use), ("server", "client")
    serve(balancer, made, bad.port, trusted=trusted)
    assert ask(balancer, made["site"][0], "/v1/status/leader", X_Consul_Token=TOKEN)[0] in (502, 503)
    good = consul()
    serve(balancer, made, bad.port, good.port, trusted=trusted)
    for _number in range(6):
        assert ask(balancer, made["site"][0], "/v1/status/leader", X_Consul_Token=TOKEN)[0] == 200
    assert bad.asked == []


def test_u2_a_new_ca_is_a_new_generation(balancer, made, consul):
    before, after = consul(), consul("foreign")
    generations = [serve(balancer, made, before.port)["generation"]]
    for trusted in (("server", "foreign"), ("foreign",)):
        generations.append(serve(balancer, made, after.port, trusted=trusted)["generation"])
        assert ask(balancer, made["site"][0], "/v1/status/leader")[0] == 200
    assert len(set(generations)) == 3
    serve(balancer, made, before.port, trusted=("foreign",))
    assert ask(balancer, made["site"][0], "/v1/status/leader")[0] in (502, 503)


def test_u2_a_service_beside_it_is_served_and_one_of_its_name_is_not(balancer, made, consul, instance):
    server, shop = consul(), instance(name="shop")
    evil = entry(instance(name="evil").port, hosts=f"{NAME},evil.example")
    status = serve(balancer, made, server.port, shop=[entry(shop.port)], evil=[evil])
    assert [one["reason"] for one in status["warnings"]] == [f"{NAME} is the name of Consul's UI (balancer_consul_ui)"]
    assert json.loads(balancer.ask("shop", tls=True)[1])[0] == "shop"
    assert json.loads(ask(balancer, made["site"][0], "/v1/status/leader")[2])[0] == "server"


def test_u2_it_goes_and_comes(balancer, made, consul):
    server = consul()
    serve(balancer, made, server.port)
    assert ask(balancer, made["site"][0], "/ui/")[0] == 200
    balancer.options = dataclasses.replace(balancer.options, consul_ui={}, consul_ca="")
    apply(balancer)
    assert ask(balancer, made["site"][0], "/ui/")[0] == 503  # as any name of the domain
    serve(balancer, made, server.port)
    assert ask(balancer, made["site"][0], "/ui/")[0] == 200


def test_u2_its_name_beside_a_default_host_and_in_maintenance(made, server, consul):
    """The default host answers for no name of the platform's own; maintenance is for every virtual host."""
    name, asked = "consul.example.org", consul()
    names = {**WANTED, "name": name, "servers": [f"{ADDRESS}:{asked.port}"], "networks": ["127.0.71.8/30"]}
    chosen = [{"names": [name], "certificate": made["site"][0], "key": made["site"][1]}]
    for in_maintenance, expected in ((), (302, 404)), ((name,), (503, 503)):
        with server.Balancer(balancer_certificates=chosen, balancer_default_host="portal.example.org") as site:
            ca = Path(made["server"][0]).read_text()
            site.options = dataclasses.replace(site.options, consul_ui=names, consul_ca=ca, maintenance=in_maintenance)
            site.sync(catalog(portal=[entry(asked.port, hosts="portal.example.org")]))
            site.start()
            found = tuple(ask(site, None, path, clear=True, host=name)[0] for path in ("/ui/", "/v1/x"))
            assert (found, asked.asked) == (expected, [])
