"""What a browser makes of the balancer: HTTPS by a CA that was imported, the redirect, the pages, and the way to Consul's UI."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from tests.support import browser as chromium
from tests.support.authority import Authority
from tests.support.wait import eventually

import real_haproxy
import real_nginx
from instances import ADDRESS, Instance, apply, catalog, certificate, entry
from real_nginx import DOMAIN

UI, SERVER_NAME = f"consul.{DOMAIN}", "server.dc1.consul"


@pytest.fixture(scope="module", autouse=True)
def _chromium():
    """`make test-all` wants one; else a machine without it leaves this out."""
    if not chromium.is_there():
        assert os.environ.get("DISCOVERY_TESTS") != "all", chromium.MISSING
        pytest.skip(chromium.MISSING)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def browser(authority, tmp_path_factory):
    with chromium.Browser(tmp_path_factory.mktemp("browser"), real_nginx.ADDRESS, authority.ca) as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of Consul, and the file of the CA that verifies it."""
    files = certificate(tmp_path_factory.mktemp("consul"), SERVER_NAME)
    instance = Instance(tls=files, name="consul")
    yield instance, Path(files[0])
    instance.close()


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def balancer(request, authority, server):
    file, key = authority.issue("balancer", f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": file, "key": key}]
    with request.param.Balancer(balancer_certificates=chosen, balancer_https_redirect="308") as balancer:
        wanted = {"name": UI, "server_name": SERVER_NAME, "networks": ["127.0.0.1/32"]}
        wanted["servers"] = [f"{ADDRESS}:{server[0].port}"]
        balancer.options = dataclasses.replace(balancer.options, consul_ui=wanted, consul_ca=server[1].read_text())
        balancer.sync(catalog())
        balancer.start()
        yield balancer


@pytest.fixture
def shop(balancer, instance):
    """A service; the URL of its host in clear, and by HTTPS."""
    apply(balancer, shop=[entry(instance(name="shop").port)])
    host = f"shop.{DOMAIN}"
    return f"http://{host}:{balancer.http_port}", f"https://{host}:{balancer.tls_port}"


def test_https_with_the_ca_that_was_imported(browser, shop):
    page = browser.open(f"{shop[1]}/a")
    assert (page.status, page.problem, json.loads(browser.text)[:2]) == (200, "", ["shop", "/a"])
    assert browser.run("window.isSecureContext")


def test_without_the_ca_nothing_is_shown(shop, tmp_path):
    with chromium.Browser(tmp_path, real_nginx.ADDRESS) as stranger:
        assert stranger.open(shop[1]).problem == "net::ERR_CERT_AUTHORITY_INVALID"


def test_the_redirect_leads_to_https(browser, shop):
    page = browser.open(f"{shop[0]}/a?b=c")
    assert (page.way, page.url, page.status) == ((308,), f"{shop[1]}/a?b=c", 200)


@pytest.mark.parametrize("clear", [True, False], ids=["clear", "encrypted"])
def test_pages_are_for_people(browser, shop, balancer, instance, clear):
    base = shop[not clear].replace("shop.", "{}.")
    page = browser.open(base.format("gone"))
    assert (page.status, browser.run("document.title")) == (503, "This service is unavailable")
    before = browser.run("performance.timeOrigin")
    apply(balancer, shop=[entry(instance().port)], gone=[entry(instance(name="back").port)])
    eventually(lambda: '"back"' in browser.text, 60)  # it retries by itself
    assert browser.run("performance.timeOrigin") > before
    if clear:  # of another name there is no TLS
        page = browser.open(f"http://external.example.org:{balancer.http_port}")
        assert (page.status, browser.run("document.title")) == (404, "There is no such site here")


def test_u2_the_name_of_consul_s_ui_leads_to_it(browser, balancer, server):
    for start, way in ((f"http://{UI}:{balancer.http_port}", 302), (f"https://{UI}:{balancer.tls_port}", 302)):
        page = browser.open(f"{start}/")
        assert (page.way, page.url, page.status) == ((way,), f"https://{UI}:{balancer.tls_port}/ui/", 200)
        assert json.loads(browser.text)[:2] == ["consul", "/ui/"]
    assert browser.open(f"https://{UI}:{balancer.tls_port}/debug/pprof/").status == 404
