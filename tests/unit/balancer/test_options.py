"""The two files of options: the site's, and the backend's beside it."""

import json
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

from discovery_balancer import options
from discovery_balancer.patterns import certified_by

ROLES = Path(__file__).parents[3] / "roles"
SITE = {"domain": "hospital.example", "listen": ["192.0.2.1"], "http_port": 8080}


@pytest.fixture
def load(tmp_path):
    def write_and_load(backend):
        (tmp_path / "options.json").write_text(json.dumps(SITE))
        (tmp_path / "options-nginx.json").write_text(json.dumps(backend))
        return options.load(tmp_path / "options.json")

    return write_and_load


def test_backend_keeps_its_own_options(load):
    loaded = load({"binary": "/bin/nginx"})
    assert (loaded.listen, loaded.tcp_ports, loaded.backend) == (("192.0.2.1",), (), {"binary": "/bin/nginx"})


def test_backend_replaces_the_options_of_its_deployment(load):
    loaded = load({"container": "c", "listen": ["0.0.0.0"], "tcp_ports": [9990, 9999], "reserved_ports": [8404]})
    assert (loaded.listen, loaded.tcp_ports, loaded.backend) == (("0.0.0.0",), (9990, 9999), {"container": "c"})
    assert loaded.reserved_ports == (8404,)


def test_backend_replaces_no_other_option(load):
    assert load({"http_port": 81}).http_port == 8080


def test_replaced_options_are_checked(load):
    with pytest.raises(ValueError, match="tcp_ports"):
        load({"tcp_ports": [9999, 9990]})


def test_without_the_file_of_the_backend_there_are_no_options(load, tmp_path):
    load({})
    (tmp_path / "options-nginx.json").unlink()
    with pytest.raises(ValueError, match="options-nginx"):
        options.load(tmp_path / "options.json")


def test_deployment_stands_in_the_file_of_the_backend_alone():
    """The site's file is written before the backend leaves the other deployment mode, which can fail: until then nginx serves as
    before."""
    variables = parse_yaml((ROLES / "balancer/vars/main.yml").read_text())
    assert "balancer_deployment" not in str(variables["__balancer_options"])


def test_consul_template_is_restarted_before_the_backend_can_fail():
    """Else the next run, which finds no change, would not restart it."""
    backend = parse_yaml((ROLES / "balancer/tasks/backend.yml").read_text())
    assert backend[0]["ansible.builtin.meta"] == "flush_handlers"
    assert [next(key for key in task if "." in key) for task in backend][-2:] == [
        "fewnodes.discovery.managed_files", "ansible.builtin.include_role",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("web.hospital.example", "web.hospital.example"), ("shop.hospital.example", "*.hospital.example"),
        ("a.b.hospital.example", ""), ("hospital.example", ""), ("web.example", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_certificate_of_a_host_is_chosen_by_one_rule(host, name):
    """Preflight asks the same function."""
    names = ["*.hospital.example", "web.hospital.example"]
    site = options.Options(
        domain="hospital.example",
        certificates=tuple({"names": [one], "certificate": f"/{n}.pem", "key": "/k.pem"} for n, one in enumerate(names)),
    )
    assert (site.certificate(host) or {"names": [""]})["names"] == [name]
    assert certified_by(host, names) == certified_by(host, set(names)) == name
