"""The other balancers' configurations: what is rendered, and that HAProxy takes it."""

import os
import subprocess
from pathlib import Path

import jinja2
import pytest
from benchmarks.balancers import ALL, HAND_HAPROXY, TEMPLATE_HAPROXY
from benchmarks.throughput import haproxy_by_hand, nginx_by_hand
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
PLAYS = parse_yaml((ROOT / "benchmarks/peers.yml").read_text())
UNPACKED = ROOT / ".cache/haproxy"
PLACES = [("192.0.2.1", 32768), ("192.0.2.1", 32769)]


def rendered(name: str, **values) -> str:
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = "# {}".format
    given = {"ansible_managed": "x", "discovery_domain": "bench.example", **values}
    return environment.from_string((ROOT / f"benchmarks/templates/{name}.j2").read_text()).render(given)


def items(task: str) -> list[dict]:
    (found,) = [one for play in PLAYS for one in play["tasks"] if one["name"] == task]
    return found["loop"]


def check(tmp_path, *texts: str) -> subprocess.CompletedProcess:
    """HAProxy's own test of some files."""
    program, files = UNPACKED / "usr/sbin/haproxy", []
    if not program.exists():
        pytest.skip("no HAProxy to test with: run `make system`")
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.cfg"
        file.write_text(text.replace("user haproxy", "user nobody").replace("group haproxy", "group nogroup"))
        files += ["-f", str(file)]
    libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu*")))
    environment = os.environ | {"LD_LIBRARY_PATH": libraries}
    return subprocess.run([program, "-c", *files], env=environment, capture_output=True, text=True, check=False)


def test_every_unit_of_a_balancer_is_written():
    written = {f"bench-{one['name']}" for one in items("Write the units")}
    assert written == {unit for balancer in ALL for unit in balancer.units if unit.startswith("bench-")}


def test_haproxy_by_hand_is_taken(tmp_path):
    done = check(tmp_path, rendered("haproxy.cfg"), haproxy_by_hand("bench-load.bench.example", PLACES))
    assert done.returncode == 0 and "[WARNING]" not in done.stderr, done.stderr


def test_haproxy_has_something_to_serve_before_a_template_is_rendered(tmp_path):
    done = check(tmp_path, rendered("haproxy.cfg"), "")
    assert done.returncode == 0, done.stderr


def test_what_the_template_becomes_is_taken(tmp_path):
    """As consul-template renders it for one service with two instances."""
    text = rendered("haproxy-template.ctmpl")
    head, _, rest = text.partition("{{ range services }}")
    use, _, backends = rest.partition("{{ range services }}")
    test = '{{ if .Tags | contains "http" }}'
    end = "{{ end }}{{ end }}"
    servers = "".join(f"server n1_{port} {address}:{port} check\n    " for address, port in PLACES)
    line = "{{ range service .Name }}server {{ .Node }}_{{ .Port }} {{ .Address }}:{{ .Port }} check\n    {{ end }}"
    assert line in backends
    made = head + "".join(
        part.replace(line, servers).replace(test, "").replace(end, "").replace("{{ .Name }}", "web") for part in (use, backends)
    )
    assert "{{" not in made and "hdr(host) -i web.bench.example" in made and f"*:{TEMPLATE_HAPROXY.port}" in made
    done = check(tmp_path, rendered("haproxy.cfg"), made)
    assert done.returncode == 0, done.stderr


def test_each_template_reloads_its_own_server():
    made = [rendered("template.hcl", item=one) for one in items("Write the configurations") if one["src"] == "template.hcl"]
    assert [[word for word in ("nginx -c", "bench-haproxy-template-haproxy") if word in one] for one in made] == [
        ["nginx -c"], ["bench-haproxy-template-haproxy"],
    ]  # fmt: skip
    assert all("destination = \"/etc/bench/" in one and "source      = \"/etc/bench/" in one for one in made)


def test_a_unit_reloads_and_logs_where_it_should():
    unit = next(one for one in items("Write the units") if one["name"] == "haproxy-template-haproxy")
    text = rendered("unit.service", item=unit)
    assert "ExecReload=/bin/kill -USR2 $MAINPID" in text and "StandardOutput=append:/var/log/bench-haproxy-template.log" in text
    assert "ExecReload" not in rendered("unit.service", item={"name": "x", "start": "/bin/true"})


def test_both_by_hand_have_all_instances_and_an_own_port():
    for text in (nginx_by_hand("a.example", PLACES), haproxy_by_hand("a.example", PLACES)):
        assert all(f"{address}:{port}" in text for address, port in PLACES) and "a.example" in text
    assert f"bind *:{HAND_HAPROXY.port}" in haproxy_by_hand("a.example", PLACES)


def test_the_collections_backends_stand_beside_each_other_and_nginx_is_last():
    """It serves until the first measurement, and its files are tested while it does."""
    tasks = PLAYS[0]["tasks"]
    assert [one["vars"]["balancer_backend"] for one in tasks if "vars" in one] == ["haproxy", "nginx"]
    kept = [one["ansible.builtin.copy"]["dest"] for one in tasks if "ansible.builtin.copy" in one]
    assert kept == ["/etc/bench/options-haproxy.json", "/etc/bench/options-nginx.json"]
    assert set(kept) == {balancer.options for balancer in ALL if balancer.options}


def test_the_own_backends_stay_beside_each_other():
    """What backend.yml of the role needs; main.yml finds out what it is on a host."""
    found = [one["vars"] for play in PLAYS for one in play["tasks"] if "ansible.builtin.include_role" in one]
    assert [one["balancer_backend"] for one in found] == ["haproxy", "nginx"]
    assert all(one["__balancer_others"] == [] for one in found)
