"""What the status of a site is told about the containers of a host; and that it can be told by any host."""

import ast
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import catalog_entries

from registrator.actions import registration
from registrator.listing import listing
from registrator.marker import HASH, Owner
from registrator.options import parse
from registrator.wanted import wanted
from registrator_cases import HOST, container

PACKAGE = Path(__file__).parents[3] / "roles/registrator/files/registrator"


class Dockerd:
    def __init__(self, *containers):
        self.all = containers

    def containers(self, stopped):
        return iter(one for one in self.all if stopped or one["State"]["Running"])

    def id(self):
        return "engine-1"

    def overlays(self):
        return frozenset({"net"})


WEB = container("web", labels={"SERVICE_NAME": "shop", "SERVICE_TAGS": "b,a", "SERVICE_COLOUR": "red"}, ports={"80/tcp": 32768})
FAILED = container("old", exposed=["80/tcp"], state={"Status": "exited", "Running": False, "ExitCode": 1}, number=2)
PLACE = {"id": "node-1:web:80", "name": "shop", "address": "192.0.2.1", "port": 32768, "container": "web"}


def options():
    return parse(["-ip", "192.0.2.1", "-deregister", "on-success", "consul-tls://127.0.0.1:8501"])


def test_it_names_what_a_registrator_registers():
    meta = {"colour": "red", "registrator": HOST, "registrator-engine": "engine-1", "registrator-container": "web"}
    service = PLACE | {"tags": ["b", "a"], "weight": 1, "meta": meta}
    assert listing(options(), Dockerd(WEB, FAILED), HOST) == {"services": [service], "kept": ["node-1:old:80"], "lost": []}


def test_its_tags_and_meta_are_those_of_the_registration():
    found = wanted([WEB], options(), HOST).services[0]
    payload = registration(found, Owner(HOST, "engine-1", "digest"))
    (service,) = listing(options(), Dockerd(WEB), HOST)["services"]
    assert service["tags"] == payload["Tags"]
    assert service["meta"] == {key: value for key, value in payload["Meta"].items() if key != HASH}


def test_of_another_registrator_it_knows_the_place_only():
    assert listing(options(), Dockerd(WEB), HOST, other=True)["services"] == [PLACE]


def test_the_status_leaves_out_the_hash_that_the_marker_has():
    assert catalog_entries.HASH == HASH


def modules_of_the_host() -> set[str]:
    """Modules that a host runs outside the image, with the Python of its distribution."""
    found, todo = set(), ["clear", "handover", "listing", "watch"]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            tree = ast.parse((PACKAGE / f"{name}.py").read_text())
            todo += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level and node.module]
    return found


@pytest.mark.parametrize("name", sorted(modules_of_the_host()))
def test_a_hosts_python_may_be_39(name):
    """Debian 11's: neither syntax nor annotations of later ones."""
    text = (PACKAGE / f"{name}.py").read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    alternatives = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
    typed = [node for node in alternatives if isinstance(node.right, ast.Constant) and node.right.value is None]
    assert not typed or "from __future__ import annotations" in text
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("strict", "slots", "kw_only")]
