"""What is in the catalog of a host against what runs there: a false instance and one that was taken out are both found."""

import json

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.catalog_entries import differences
from ansible_collections.fewnodes.discovery.plugins.modules import site_facts

META = {"registrator": "a", "registrator-container": "web", "balancer_hosts": "shop.example"}
PLAIN = {"tags": [], "meta": {}, "weight": 1}
WEB = {"id": "a:web:80", "name": "web", "address": "192.0.2.1", "port": 32768, "tags": ["http", "v1"], "meta": META, "weight": 1}
CONTAINER = WEB | {"container": "web"}
MAIL = {"id": "mail", "name": "mail", "address": "", "port": 25} | PLAIN
SERVER = {"id": "consul", "name": "consul", "address": "", "port": 8300} | PLAIN
FALSE = {"id": "x", "name": "web", "address": "192.0.2.66", "port": 80} | PLAIN
BARE = {key: CONTAINER[key] for key in ("id", "name", "address", "port", "container")}  # of another registrator
DECLARED = "of the agent's configuration; consul_declared_services lists what each host may declare"
HERE = "web (a:web:80) at 192.0.2.1:32768"


def found(catalog, declared=(MAIL,), wanted=(CONTAINER,), kept=()):
    return {kind: texts for kind, texts in differences(catalog, declared, wanted, kept).items() if texts}


@pytest.mark.parametrize(("given", "expected"), [
    ({"catalog": [WEB, MAIL, SERVER]}, {}),
    ({"catalog": [WEB, MAIL], "declared": [MAIL, SERVER]}, {}),
    ({"catalog": [WEB, MAIL, FALSE]}, {"unknown": ["web (x) at 192.0.2.66:80"]}),
    ({"catalog": [MAIL]}, {"missing": ["web (a:web:80) at 192.0.2.1:32768 of container web"]}),
    ({"catalog": [WEB]}, {"missing": [f"mail (mail) at port 25 {DECLARED}"]}),
    ({"catalog": [WEB | {"port": 1}, MAIL]},
     {"differing": ["web (a:web:80) at 192.0.2.1:1, not web (a:web:80) at 192.0.2.1:32768"]}),
    ({"catalog": [WEB | {"name": "shop"}, MAIL]},
     {"differing": ["shop (a:web:80) at 192.0.2.1:32768, not web (a:web:80) at 192.0.2.1:32768"]}),
    ({"catalog": [WEB, MAIL | {"address": "192.0.2.66"}]},
     {"differing": ["mail (mail) at 192.0.2.66:25, not mail (mail) at port 25"]}),
    ({"catalog": [WEB, MAIL, WEB | {"id": "a:old:80"}], "kept": ["a:old:80"]}, {}),
    ({"catalog": [], "declared": [], "wanted": []}, {}),
    # What leads requests: another virtual host, other labels, more of them.
    ({"catalog": [WEB | {"tags": ["http", "tls"]}, MAIL]}, {"differing": [f"{HERE}, with tags http,tls, not tags http,v1"]}),
    ({"catalog": [WEB | {"tags": []}, MAIL | {"tags": ["tcp"]}]},
     {"differing": [f"{HERE}, with no tags, not tags http,v1", "mail (mail) at port 25, with tags tcp, not no tags"]}),
    ({"catalog": [WEB | {"meta": META | {"balancer_hosts": "intranet.example", "path": "/secret"}}, MAIL]},
     {"differing": [f"{HERE}, with other meta: balancer_hosts, path"]}),
    ({"catalog": [WEB | {"meta": {}}, MAIL]},
     {"differing": [f"{HERE}, with other meta: balancer_hosts, registrator, registrator-container"]}),
    ({"catalog": [WEB | {"weight": 100}, MAIL]}, {"differing": [f"{HERE}, with weight 100, not 1"]}),
    ({"catalog": [WEB | {"port": 1, "weight": 9}, MAIL]},
     {"differing": [f"web (a:web:80) at 192.0.2.1:1, not {HERE}, with weight 9, not 1"]}),
    # A hash of the registrator for itself, which only it can compute.
    ({"catalog": [WEB | {"meta": META | {"registrator-hash": "0123"}}, MAIL]}, {}),
    ({"catalog": [WEB, MAIL], "wanted": [BARE]}, {}),
    ({"catalog": [WEB | {"port": 1}, MAIL], "wanted": [BARE]},
     {"differing": [f"web (a:web:80) at 192.0.2.1:1, not {HERE}"]}),
])  # fmt: skip
def test_x4_what_nothing_stands_for_and_what_is_missing(given, expected):
    assert found(**given) == expected


def test_w18_what_an_agent_may_not_register_is_named_with_the_variable():
    """The agent has it, and the catalog never gets it: Consul says so in the agent's log alone."""
    assert found([WEB]) == {"missing": [f"mail (mail) at port 25 {DECLARED}"]}


def answered(service):
    more = {"Tags": service["tags"] or None, "Meta": service["meta"], "Weights": {"Passing": service["weight"], "Warning": 1}}
    return {"ID": service["id"], "Service": service["name"], "Address": service["address"], "Port": service["port"], **more}


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


NOTHING = {"unknown": [], "differing": [], "missing": [], "lost": []}


def test_a_healthy_host_is_asked_once(host):
    agent = Agent([WEB, MAIL, SERVER], services=[WEB, MAIL])
    assert site_facts.services(agent, "a") == NOTHING | {"settings": True} and host == []


def test_what_is_over_a_moment_later_is_no_difference(host):
    agent = Agent([MAIL], [WEB, MAIL], services=[WEB, MAIL])
    assert site_facts.services(agent, "a") == NOTHING | {"settings": True} and len(host) == 1


def test_x4_tags_that_another_wrote_into_the_catalog_are_a_difference():
    found = site_facts.services(Agent([WEB | {"tags": ["http", "intranet"]}, MAIL], services=[WEB, MAIL]), "a")
    assert found["differing"] == [f"{HERE}, with tags http,intranet, not tags http,v1"]


def test_without_tags_and_meta_from_the_host_that_is_said(monkeypatch):
    monkeypatch.setattr(site_facts, "listing", lambda: {"services": [BARE], "kept": []})
    assert site_facts.services(Agent([WEB, MAIL], services=[WEB, MAIL]), "a") == NOTHING | {"settings": False}


def test_what_stays_is_a_difference(host):
    """In three looks; what was only in one of them is none."""
    agent = Agent([FALSE, MAIL], [FALSE, WEB, MAIL], services=[WEB, MAIL])
    assert site_facts.services(agent, "a") == NOTHING | {"unknown": ["web (x) at 192.0.2.66:80"], "settings": True}


def test_what_a_program_registered_is_not_declared():
    assert [one["id"] for one in site_facts.declared({"web": answered(WEB), "mail": answered(MAIL)})] == ["mail"]


def test_a_node_that_the_catalog_does_not_have():
    class Empty(Agent):
        def get(self, path):
            return None if path.startswith("/v1/catalog") else super().get(path)

    assert site_facts.catalog(Empty([]), "a") == []
