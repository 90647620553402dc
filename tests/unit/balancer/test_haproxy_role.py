"""What the role haproxy writes beside haproxy.cfg, and what it refuses."""

import json
import shutil
import subprocess

import pytest

from real_haproxy import FURTHER
from real_nginx import written_by_the_roles

LOG = "/var/log/haproxy/access.log"
CERTIFICATES = [
    {"names": ["*.hospital.example", "a.example"], "certificate": "/etc/ssl/one.pem", "key": "/etc/ssl/one.key"},
    {"names": ["b.example"], "certificate": "/etc/ssl/two.pem", "key": "/etc/ssl/two.key"},
]


def written(**variables) -> dict:
    """The further files, and the options of the backend."""
    made = written_by_the_roles(80, "haproxy", "haproxy.cfg", FURTHER, **variables)
    return {name: json.loads(text) if name.endswith(".json") else text for name, text in made.more.items()} | {"own": made.own}


@pytest.fixture(scope="module")
def made():
    """Of a site with certificates and a log."""
    given = {"balancer_access_log": LOG, "haproxy_connections": 20000, "balancer_certificates": CERTIFICATES}
    return written(**given)


def test_the_unit(made):
    lines = made["drop-in.conf"].splitlines()
    assert {f"StandardOutput=append:{LOG}", "LimitNOFILE=105536", "RuntimeDirectoryMode=0700"} <= set(lines)
    assert "NoNewPrivileges=yes" in lines
    assert not [line for line in lines if line.startswith("MemoryDenyWriteExecute")]
    start = "/usr/sbin/haproxy -Ws -C /etc/haproxy -f haproxy.cfg -f discovery/services.cfg -p /run/haproxy.pid"
    assert [line for line in lines if line.startswith("ExecStart=")] == ["ExecStart=", f"ExecStart={start}"]


def test_systemd_knows_every_directive_of_the_unit(made, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    (tmp_path / "haproxy.service").write_text(made["drop-in.conf"])
    command = ["systemd-analyze", "verify", "--man=no", tmp_path / "haproxy.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "haproxy.service" in line and "not executable" not in line] == []


def test_the_log_is_a_file_that_is_rotated(made):
    directory, rotation = made["logs.json"]
    assert directory == {"path": "/var/log/haproxy", "state": "directory", "mode": "0750"}
    assert f"{LOG} {{" in rotation["content"] and made["own"]["log"] is True
    assert made["stale.json"] == []


def test_certificates_are_links_and_their_names_a_list(made):
    folder, files = "/etc/haproxy/discovery-certificates", made["certificates.json"]
    assert {one["path"]: one["target"] for one in files if "target" in one} == {
        f"{folder}/0.pem": "/etc/ssl/one.pem", f"{folder}/0.pem.key": "/etc/ssl/one.key",
        f"{folder}/1.pem": "/etc/ssl/two.pem", f"{folder}/1.pem.key": "/etc/ssl/two.key",
    }  # fmt: skip
    assert files[-1]["content"] == f"{folder}/0.pem *.hospital.example a.example\n{folder}/1.pem b.example\n"


@pytest.mark.parametrize(("header", "most"), [("32k", 64), ("8k", 16), ("100k", 64)])
def test_w8_a_service_may_ask_for_as_much_as_a_buffer_holds(header, most):
    assert written(balancer_header_size=header)["own"]["most_header_size"] == most


@pytest.mark.parametrize(("header", "sizes"), [("32k", (45056, 1441792)), ("8k", (20480, 655360))])
def test_each_thread_keeps_32_buffers(header, sizes):
    """Of a HAProxy that knows the setting: 2.2 does not even know a condition."""
    for old in (False, True):
        made = written_by_the_roles(80, "haproxy", "haproxy.cfg", balancer_header_size=header, __haproxy_old=old)
        lines = [line.strip() for line in made.main.splitlines()]
        assert made.own["buffer_size"] == sizes[0]
        assert f"tune.bufsize {sizes[0]}" in lines
        kept = [".if version_atleast(3.0)", f"tune.memory.hot-size {sizes[1]}", ".endif"]
        assert [line for line in lines if line.startswith((".", "tune.memory"))] == ([] if old else kept)


@pytest.mark.parametrize(("addresses", "some"), [([], False), (["192.0.2.100"], True), ("192.0.2.100", True)])
def test_v3_it_knows_of_floating_addresses(made, addresses, some):
    assert made["own"]["floating_addresses"] is False
    assert written(discovery_floating_addresses=addresses)["own"]["floating_addresses"] is some


def test_nothing_is_refused(made):
    assert made["problems.json"] == []


def test_its_page_is_off_by_default(made):
    assert (made["own"]["stats_port"], made["own"]["stats_networks"], 0 in made["own"]["reserved_ports"]) == (0, [], False)


def test_a_site_without_a_log():
    made = written(balancer_access_log="off")
    assert ("StandardOutput" in made["drop-in.conf"], made["logs.json"], made["own"]["log"]) == (False, [], False)
    assert made["stale.json"] == ["/etc/logrotate.d/discovery-haproxy"], "of a site that had one"
    assert made["problems.json"] == []


def test_what_is_refused_before_anything_changes():
    wrong = {
        "balancer_deployment": ("overlay", "HAProxy runs on the host only"),
        "balancer_access_log": ("/var/log/access.log", "a file in /var/log/haproxy"),
        "haproxy_old_workers": (0, "a number above 0"),
        "haproxy_connections": (10, "from 100"),
        "haproxy_spare_servers": (-1, "from 0 to 64"),
        "haproxy_stats_port": (8501, "none of 22, 53, 80"),
        "haproxy_stats_networks": (["10.8.0.0/24", "office"], "such as 10.8.0.0/24"),
        "haproxy_shutdown_timeout": ("soon", "a time such as 10m"),
        "balancer_tries_timeout": ("5s; x", "a time such as 5s"),
    }
    problems = written(**{name: value for name, (value, _words) in wrong.items()})["problems.json"]
    for problem, (name, (value, words)) in zip(problems, wrong.items(), strict=True):
        shown = ", ".join(value) if isinstance(value, list) else value
        assert problem.startswith(f"{name} is {shown} on localhost") and words in problem


def test_the_port_of_its_page_is_no_services():
    made = written(haproxy_stats_port=8404, haproxy_stats_networks=["10.8.0.0/24"])
    assert (made["own"]["stats_port"], made["own"]["stats_networks"]) == (8404, ["10.8.0.0/24"])
    assert 8404 in made["own"]["reserved_ports"] and made["problems.json"] == []
