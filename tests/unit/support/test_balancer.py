"""The table of backends for tests of a running site, against the program and the roles."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.balancer import BACKENDS, Reloading, reloads_for_instances
from tests.yaml_text import parse_yaml

from discovery_balancer import backends

ROOT = Path(__file__).parents[3]
ROWS = parse_yaml((ROOT / "roles/balancer/vars/main.yml").read_text())["__balancer_backends"]
FOLDERS = ("molecule/default", "molecule/truth", "molecule/shared", "molecule/haproxy", "tests/support")
# Files that name a backend for what it is, not for what the site has: the table, the roles' READMEs, the page of one, what a host
# has of its own; an image.
NAMED = {"balancer.py", "readme_examples.py", "test_habits.py", "test_statistics.py", "test_u2_consul_ui.py"}
IMAGES = re.compile(r"nginx:1\.\d+")


def test_it_has_every_backend_of_the_program_and_of_the_role():
    assert sorted(BACKENDS) == backends.known() == sorted(ROWS)
    assert {name: f"{name}.service" for name in BACKENDS} == {name: row["unit"] for name, row in ROWS.items()}


@pytest.mark.parametrize("name", BACKENDS)
def test_its_paths_are_those_of_the_role(name):
    role = "".join(path.read_text() for path in (ROOT / f"roles/{name}").rglob("*.yml"))
    role = role.replace("{{ __nginx_dir }}", "/etc/nginx")
    assert [path for path in BACKENDS[name].managed if path not in role] == []
    places = (*BACKENDS[name].places, "/etc/discovery-balancer-", "/etc/logrotate.d/")
    assert [path for path in BACKENDS[name].managed if not path.startswith(places)] == []


@pytest.mark.parametrize("name", BACKENDS)
def test_what_it_finds_in_a_generation_is_what_the_program_writes(name):
    folder = ROOT / f"roles/balancer/files/discovery_balancer/backends/{name}"
    program = "".join(path.read_text() for path in folder.glob("*.py"))
    backend = BACKENDS[name]
    names = [file for file in backend.files if file != "about.json"]
    assert [file for file in names if f'"{file}"' not in program and f'"{file.removesuffix(".map")}"' not in program] == []
    assert backend.stop.split(" ")[0] in program and backend.opens in program


@pytest.mark.parametrize("name", BACKENDS)
def test_only_the_table_tells_what_the_units_of_a_backend_have(name):
    """More than the table of docs/security.md where the sync program's own unit is wider for it."""
    wider = {unit for unit in ("discovery-balancer.service",) if ROWS[name]["sandbox"]}
    assert set(BACKENDS[name].exposure) == wider


def test_no_test_of_a_site_asks_for_a_backend_by_its_name():
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = IMAGES.sub("", path.read_text()).replace('anyone.get("discovery_balancer", "nginx")', "")
            found += [f"{path.relative_to(ROOT)}: {name}" for name in BACKENDS if name in text and path.name not in NAMED]
    assert found == []


@pytest.mark.parametrize(("name", "release", "reloads"), [
    ("nginx", "13.1", True), ("haproxy", "11.11", True), ("haproxy", "12.4", False), ("haproxy", "13", False),
])  # fmt: skip
def test_reloads_for_instances(name, release, reloads):
    node = SimpleNamespace(host=SimpleNamespace(system_info=SimpleNamespace(release=release)))
    assert reloads_for_instances(SimpleNamespace(balancer=name), node) is reloads


class Api:
    """A catalog of one service; each registration with other settings is a reload."""

    def __init__(self):
        self.reloads, self.settings, self.gone = 0, None, []

    def put(self, path, body):
        assert path == "/v1/agent/service/register"
        self.reloads += body["Meta"] != self.settings
        self.settings = body["Meta"]

    def send(self, method, path):
        self.gone.append((method, path))


def test_each_time_is_a_reload_on_every_balancer_and_the_service_goes():
    api = Api()
    balancers = [SimpleNamespace(run=lambda command: f'{{"reloads": {api.reloads}}}') for _ in range(2)]
    site = SimpleNamespace(balancers=balancers, consul=lambda node: api)
    with Reloading(site, SimpleNamespace(address="192.0.2.1")) as reloading:
        for number in range(3):
            reloading.once(5)
            assert api.reloads == number + 1
    assert api.gone == [("PUT", "/v1/agent/service/deregister/test-reloading")]
