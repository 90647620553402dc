"""What is in the catalog of a host against what runs there: a false instance and one that was taken out are both found."""

import json

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.catalog_entries import differences
from ansible_collections.fewnodes.discovery.plugins.modules import site_facts

WEB = {"id": "a:web:80", "name": "web", "address": "192.0.2.1", "port": 32768}
CONTAINER = WEB | {"container": "web"}
MAIL = {"id": "mail", "name": "mail", "address": "", "port": 25}
SERVER = {"id": "consul", "name": "consul", "address": "", "port": 8300}
FALSE = {"id": "x", "name": "web", "address": "192.0.2.66", "port": 80}


def found(catalog, declared=(MAIL,), wanted=(CONTAINER,), kept=()):
    return {kind: texts for kind, texts in differences(catalog, declared, wanted, kept).items() if texts}


@pytest.mark.parametrize(("given", "expected"), [
    ({"catalog": [WEB, MAIL, SERVER]}, {}),
    ({"catalog": [WEB, MAIL], "declared": [MAIL, SERVER]}, {}),
    ({"catalog": [WEB, MAIL, FALSE]}, {"unknown": ["web (x) at 192.0.2.66:80"]}),
    ({"catalog": [MAIL]}, {"missing": ["web (a:web:80) at 192.0.2.1:32768 of container web"]}),
    ({"catalog": [WEB]}, {"missing": ["mail (mail) at port 25"]}),
    ({"catalog": [WEB | {"port": 1}, MAIL]},
     {"differing": ["web (a:web:80) at 192.0.2.1:1, not web (a:web:80) at 192.0.2.1:32768"]}),
    ({"catalog": [WEB | {"name": "shop"}, MAIL]},
     {"differing": ["shop (a:web:80) at 192.0.2.1:32768, not web (a:web:80) at 192.0.2.1:32768"]}),
    ({"catalog": [WEB, MAIL | {"address": "192.0.2.66"}]},
     {"differing": ["mail (mail) at 192.0.2.66:25, not mail (mail) at port 25"]}),
    ({"catalog": [WEB, MAIL, WEB | {"id": "a:old:80"}], "kept": ["a:old:80"]}, {}),
    ({"catalog": [], "declared": [], "wanted": []}, {}),
])  # fmt: skip
def test_x4_what_nothing_stands_for_and_what_is_missing(given, expected):
    assert found(**given) == expected


def answered(service):
    return {"ID": service["id"], "Service": service["name"], "Address": service["address"], "Port": service["port"]}


class Agent:
    """Answers of an agent: its node's entries of the catalog, one answer after the other, and its services."""

    def __init__(self, *catalogs, services=()):
        self.catalogs, self.services = list(catalogs), services

    def get(self, path):
        if path == "/v1/agent/services":
            return {one["id"]: answered(one) for one in self.services}
        assert path == "/v1/catalog/node-services/a"
        entries = self.catalogs.pop(0) if len(self.catalogs) > 1 else self.catalogs[0]
        return {"Node": {}, "Services": [answered(one) for one in entries]}


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    """A container `web`, registered by a program; the pauses made."""
    slept = []
    (tmp_path / "one").write_text(json.dumps({"Token": "x", "Service": {"ID": WEB["id"]}}))
    (tmp_path / "half").write_text("{")
    monkeypatch.setattr(site_facts, "REGISTERED", str(tmp_path))
    monkeypatch.setattr(site_facts, "listing", lambda: {"services": [CONTAINER], "kept": []})
    monkeypatch.setattr(site_facts.time, "sleep", slept.append)
    return slept


def test_a_healthy_host_is_asked_once(host):
    agent = Agent([WEB, MAIL, SERVER], services=[WEB, MAIL])
    assert not any(site_facts.services(agent, "a").values()) and host == []


def test_what_is_over_a_moment_later_is_no_difference(host):
    assert not any(site_facts.services(Agent([MAIL], [WEB, MAIL], services=[WEB, MAIL]), "a").values()) and len(host) == 1


def test_what_stays_is_a_difference(host):
    """In three looks; what was only in one of them is none."""
    agent = Agent([FALSE, MAIL], [FALSE, WEB, MAIL], services=[WEB, MAIL])
    assert site_facts.services(agent, "a") == {"unknown": ["web (x) at 192.0.2.66:80"], "differing": [], "missing": []}


def test_what_a_program_registered_is_not_declared():
    assert [one["id"] for one in site_facts.declared({"web": answered(WEB), "mail": answered(MAIL)})] == ["mail"]


def test_a_node_that_the_catalog_does_not_have():
    class Empty(Agent):
        def get(self, path):
            return None if path.startswith("/v1/catalog") else super().get(path)

    assert site_facts.catalog(Empty([]), "a") == []
