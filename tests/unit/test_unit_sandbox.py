"""Units of the roles: one base for the sandbox of all, and what systemd makes of it (the table of docs/security.md)."""

import re
import subprocess
from pathlib import Path

import jinja2
import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.unit_sandbox import BASE, FURTHER, MOUNT_NAMESPACE, unit_sandbox
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import as_list
from tests.support.exposure import BOUND, table
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = {path.name.removesuffix(".j2"): path for path in sorted(ROOT.glob("roles/*/templates/*.service.j2"))}


def rendered(template: Path, backend: str = "nginx", others: tuple[str, ...] = ()) -> str:
    """A unit as Ansible renders it; of the role's variables those count that the sandbox reads."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.ChainableUndefined)
    environment.filters |= {"comment": "# {}".format, "fewnodes.discovery.unit_sandbox": unit_sandbox, "combine": dict.__or__}
    environment.filters["fewnodes.discovery.as_list"] = as_list
    values = parse_yaml((template.parents[1] / "vars/main.yml").read_text())
    values |= {"consul_backup_dir": "/var/backups/consul", "consul_start_timeout": 90}
    values |= {"balancer_backend": backend, "__balancer_tested": [backend, *others]}
    return environment.from_string(template.read_text()).render(values)


def test_the_differences_of_a_unit_replace_the_base():
    lines = unit_sandbox({"ProtectSystem": "full", "PrivateTmp": None, "ReadWritePaths": "/srv"}).splitlines()
    assert {"ProtectSystem=full", "ReadWritePaths=/srv", "NoNewPrivileges=yes", "CapabilityBoundingSet="} <= set(lines)
    assert lines == sorted(lines)
    assert [line for line in lines if line.startswith("PrivateTmp")] == []


def test_a_misspelt_directive_is_refused():
    with pytest.raises(ValueError, match="ProtectSytem"):
        unit_sandbox({"ProtectSytem": "strict"})


def test_a_unit_without_a_mount_namespace_has_no_directive_that_makes_one():
    left = {line.partition("=")[0] for line in unit_sandbox({}, mount_namespace=False).splitlines()}
    assert left == set(BASE) - MOUNT_NAMESPACE


@pytest.mark.parametrize("unit", TEMPLATES)
def test_w41_a_unit_has_the_base_and_copies_nothing_of_it(unit):
    text = TEMPLATES[unit].read_text()
    assert "fewnodes.discovery.unit_sandbox" in text
    copied = "|".join([*BASE, *FURTHER])
    assert re.findall(rf"^(?:{copied})=", text, re.MULTILINE) == [], "write a difference into the filter's input"


def test_w41_the_table_names_every_unit_within_the_bound():
    assert sorted(table()) == sorted(TEMPLATES)
    assert {unit: exposure for unit, exposure in table().items() if exposure > BOUND} == {}


@pytest.mark.parametrize(("backend", "closed"), [("nginx", True), ("haproxy", False)])
def test_a_test_of_haproxys_configuration_may_compile_regular_expressions(backend, closed):
    """The sync program runs it. consul-template, which has the same differences, runs none."""
    unit = rendered(TEMPLATES["discovery-balancer.service"], backend)
    assert ("MemoryDenyWriteExecute=yes" in unit) is closed
    assert "MemoryDenyWriteExecute=yes" in rendered(TEMPLATES["consul-template.service"], backend)


def test_it_may_as_long_as_haproxy_is_not_left():
    """While another backend takes its place, and where that one does not start."""
    assert "MemoryDenyWriteExecute" not in rendered(TEMPLATES["discovery-balancer.service"], "nginx", ("haproxy",))


@pytest.mark.parametrize("unit", TEMPLATES)
def test_w41_a_unit_is_within_the_bound_of_this_machines_systemd(unit, tmp_path):
    """Also units that no host of a lab has; the controller's systemd may be another one than the hosts'."""
    (tmp_path / unit).write_text(rendered(TEMPLATES[unit]))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(tmp_path / unit)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no systemd-analyze")
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze before 250 reads no files")
    ours = [line for line in done.stderr.splitlines() if any(f"{name}=" in line for name in [*BASE, *FURTHER])]
    assert ours == [], "directives that systemd does not understand"
    assert float(re.search(r"exposure level for .*?: ([0-9.]+)", done.stdout)[1]) <= BOUND
