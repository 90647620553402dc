"""What the status asks a host for."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import site_facts
from tests.support.certificates import authority, issued, new_key, pem


@pytest.mark.parametrize("probe", [site_facts.containers, site_facts.listing])
def test_status_starts_no_dockerd_that_was_stopped(monkeypatch, tmp_path, probe):
    """docker.socket stays active, and a question to it starts dockerd with all its containers."""
    for name in ("SOCKET", "LISTING"):
        monkeypatch.setattr(site_facts, name, str(tmp_path))
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: False)
    asked = []
    monkeypatch.setattr(site_facts, "output", lambda *command: asked.append(command) or "{}")
    assert site_facts.tried(probe) == {"error": "dockerd does not run"}
    assert asked == []
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: True)
    site_facts.tried(probe)
    assert len(asked) == 1


@pytest.mark.parametrize(("listed", "expected"), [({"lost": ["web: ports"]}, ["web: ports"]), ({}, [])])
def test_w27_what_containers_ask_for_in_vain_is_reported(monkeypatch, listed, expected):
    """The program of an earlier version does not name it."""

    class Api:
        def get(self, path):
            return {}

    monkeypatch.setattr(site_facts, "PAUSE", 0)
    monkeypatch.setattr(site_facts, "listing", lambda: {"services": [], "kept": [], **listed})
    found = site_facts.services(Api(), "node-1")
    assert found == {"unknown": [], "differing": [], "missing": [], "lost": expected, "settings": True}


def test_w27_what_only_one_look_finds_is_not_reported(monkeypatch):
    """A container that starts has its address a moment later."""

    class Api:
        def get(self, path):
            return {}

    looks = iter([["web: ports"], []])
    monkeypatch.setattr(site_facts, "PAUSE", 0)
    monkeypatch.setattr(site_facts, "listing", lambda: {"services": [], "kept": [], "lost": next(looks)})
    assert site_facts.services(Api(), "node-1")["lost"] == []


# Of Consul 1.22.6, whose tokens were replaced by PUT /v1/agent/token/default and /agent.
LOG = """\
2026-11-30T14:37:57.235Z [ERROR] agent: Failed to check for updates: error="no such host"
2026-11-30T14:38:01.966Z [ERROR] agent.anti_entropy: failed to sync remote state: error="ACL not found"
2026-11-30T14:38:04.458Z [ERROR] agent.anti_entropy: failed to sync remote state: error="ACL not found"
2026-11-30T14:38:16.852Z [ERROR] agent: Coordinate update error: error="ACL not found"
2026-11-30T14:38:17.000Z [ERROR] agent.http: Request error: method=GET url=/v1/kv/x error="Permission denied: anonymous token"
2026-11-30T14:38:17.000Z [INFO]  agent: Synced service: service=web
"""


def test_w38_the_log_tells_what_the_cluster_refuses():
    assert site_facts.blocked(LOG) == [
        'agent.anti_entropy: failed to sync remote state: error="ACL not found"',
        'agent: Coordinate update error: error="ACL not found"',
    ]
    assert site_facts.blocked("2026-11-30T14:38:17.000Z [INFO]  agent: Synced service: service=web\n") == []


class Full:
    """statvfs of a file system whose last blocks are root's."""

    f_bavail, f_bfree, f_frsize, f_files, f_favail = 0, 10**6, 4096, 10**6, 10**5


def folders(monkeypatch, tmp_path, **paths):
    """Directories of the platform, all on one file system."""
    for name in ("DATA", "DOCKER_DATA", "LOG", "NGINX"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(site_facts, name, str(tmp_path / name))
    for name in ("DAEMON_JSON", "NGINX_PID"):
        monkeypatch.setattr(site_facts, name, str(tmp_path / f"no {name}"))


def test_w43_the_free_space_is_what_programs_have(tmp_path, monkeypatch):
    folders(monkeypatch, tmp_path)
    monkeypatch.setattr(site_facts.os, "statvfs", lambda _: Full)
    assert site_facts.disks() == {"consul": {"path": f"{tmp_path}/DATA", "free_mb": 0, "free_inodes": 10**5}}


def test_w49_each_file_system_is_read_once_and_the_fullest_of_nginx(tmp_path, monkeypatch):
    """Of nginx as it sees them: its unit has file systems of its own."""
    folders(monkeypatch, tmp_path)
    (tmp_path / "NGINX/body").mkdir()
    (tmp_path / "NGINX/proxy").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "no DAEMON_JSON").write_text(f'{{"data-root": "{tmp_path}/data"}}')
    devices = {"DATA": 1, "data": 2, "NGINX": 1, "body": 3, "proxy": 4, "LOG": 1}
    free = {"DATA": 9, "data": 8, "body": 7, "proxy": 6}
    real = os.stat

    class Status:
        def __init__(self, path):
            self.st_mode, self.st_dev = real(path).st_mode, devices[path.split("/")[-1]]

    def room(path):
        class Left(Full):
            f_bavail, f_files = free[path.split("/")[-1]] * 256, 0

        return Left

    monkeypatch.setattr(site_facts.os.path, "isdir", lambda path: path.split("/")[-1] in devices)
    monkeypatch.setattr(site_facts.os, "stat", Status)
    monkeypatch.setattr(site_facts.os, "statvfs", room)
    assert {use: (one["path"].split("/")[-1], one["free_mb"]) for use, one in site_facts.disks().items()} == {
        "consul": ("DATA", 9), "docker": ("data", 8), "nginx": ("proxy", 6),
    }  # fmt: skip
    assert site_facts.disks()["docker"]["free_inodes"] is None


def test_containers_that_run_and_those_that_dockerd_could_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(site_facts, "SOCKET", str(tmp_path))
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: True)
    monkeypatch.setattr(site_facts, "watch", lambda: None)
    listed = "\n".join((
        "registrator Up 2 hours", "web Restarting (1) 2 seconds ago", "shop Exited (128) 3 minutes ago",
        "git Exited (128) 3 minutes ago", "once Exited (0) 1 d",
    ))  # fmt: skip
    monkeypatch.setattr(site_facts, "output", lambda *_: listed)
    asked = []
    answers = ['/shop no "failed to start shim"', '/git no ""', '/once no ""']
    monkeypatch.setattr(site_facts, "inspected", lambda names: asked.append(names) or answers)
    assert site_facts.containers() == {"running": 2, "registrator": True, "watch": None, "failed": ["shop"]}
    assert asked == [["git", "once", "shop"]]


def test_w51_the_files_of_dockerd_are_compared(monkeypatch, tmp_path):
    """Names of settings only: values may hold a password."""
    for name, content in {
        "DAEMON_JSON": {"log-driver": "journald", "registry-mirrors": ["https://u:p@x"]},
        "DAEMON_JSON_WRITTEN": {"written": {"tlsverify": True, "log-driver": "journald"}},
        "DAEMON_JSON_STARTED": {"log-driver": "journald", "tlsverify": True},
        "DAEMON_JSON_LOADED": {"log-driver": "journald", "tlsverify": True},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
        monkeypatch.setattr(site_facts, name, str(tmp_path / name))
    (tmp_path / "forward").write_text("0\n")
    monkeypatch.setattr(site_facts, "FORWARD", str(tmp_path / "forward"))
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: True)
    assert site_facts.dockerd() == {"forwards": False, "lost": ["tlsverify"], "waiting": ["tlsverify changed"]}
    (tmp_path / "DAEMON_JSON").write_text("{")
    assert site_facts.dockerd()["waiting"] == ["daemon.json is gone or no table of JSON"]
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: False)
    assert site_facts.dockerd() is None


@pytest.mark.parametrize(("tables", "loaded"), [("table ip nat\ntable inet discovery\n", True), ("table ip nat\n", False)])
def test_w46_the_table_is_looked_for_where_there_are_rules(monkeypatch, tmp_path, tables, loaded):
    monkeypatch.setattr(site_facts, "CONFIRMED", str(tmp_path / "rules"))
    monkeypatch.setattr(site_facts, "NFT", str(tmp_path))
    commands = {str(tmp_path): tables, "ss": "", "ip": "[]"}
    monkeypatch.setattr(site_facts, "output", lambda program, *_: commands[program])
    assert site_facts.firewall() is None
    (tmp_path / "rules").write_text("")
    assert site_facts.firewall() == {"loaded": loaded, "unheard": []}
    monkeypatch.setattr(site_facts, "NFT", str(tmp_path / "no nft"))
    assert site_facts.firewall() == {"loaded": False, "unheard": []}


def test_w45_resolv_conf_is_looked_at_where_a_method_has_its_file(monkeypatch, tmp_path):
    resolv_conf, own = tmp_path / "resolv.conf", tmp_path / "base"
    resolv_conf.write_text("nameserver 192.0.2.53\n")
    own.write_text("nameserver 192.0.2.53\nnameserver 192.0.2.54\n")
    monkeypatch.setattr(site_facts, "RESOLV_CONF", str(resolv_conf))
    monkeypatch.setattr(site_facts, "METHODS", {"resolvconf": ((str(tmp_path / "ours"),), str(own))})
    assert site_facts.resolver() is None
    (tmp_path / "ours").write_text("")
    assert site_facts.resolver() == {"problems": ["it asks 192.0.2.53, and must ask 127.0.0.1 first"]}
    resolv_conf.write_text("nameserver 127.0.0.1\nnameserver 192.0.2.54\n")
    assert site_facts.resolver() == {"problems": []}


def test_w45_the_files_of_the_methods_are_those_of_the_role():
    role = (Path(__file__).parents[3] / "roles/consul_dns/vars/main.yml").read_text()
    for marks, own in site_facts.METHODS.values():
        assert all(mark in role for mark in (*marks, own))


def test_w50_the_first_certificate_of_each_file_is_read(monkeypatch, tmp_path):
    ca = authority()
    (tmp_path / "chain.pem").write_text(pem(issued(ca, new_key())) + pem(ca[1]))
    (tmp_path / "key.pem").write_text("no certificate")
    files = [{"certificate": str(tmp_path / name)} for name in ("chain.pem", "key.pem", "gone.pem", "chain.pem")]
    options = tmp_path / "options.json"
    monkeypatch.setattr(site_facts, "BALANCER_OPTIONS", str(options))
    assert site_facts.client_certificates() == {}
    options.write_text(json.dumps({"certificates": files}))
    found = site_facts.client_certificates()
    assert found[str(tmp_path / "key.pem")] is None and found[str(tmp_path / "gone.pem")] is None
    assert set(found[str(tmp_path / "chain.pem")]) == {"begin", "end"} and len(found) == 3


def test_w68_a_log_that_is_no_text_is_read():
    """nginx logs a request as the client has sent it."""
    assert site_facts.output("printf", r"GET /\377 not enough\n").endswith(" not enough\n")


def test_w68_connections_that_nginx_has_closed_are_counted(monkeypatch, tmp_path):
    log = "2026/12/01 00:31:50 [alert] 2811#2811: 4096 worker_connections are not enough\n"
    reused = "2026/12/01 00:31:49 [warn] 2811#2811: 4096 worker_connections are not enough, reusing connections\n"
    asked = []
    monkeypatch.setattr(site_facts, "BALANCER_SPARE", str(tmp_path / "spare.json"))
    monkeypatch.setattr(site_facts, "BALANCER", str(tmp_path / "status.json"))
    monkeypatch.setattr(site_facts, "output", lambda *command: asked.append(command) or log * 3 + reused)
    assert site_facts.balancer() is None and asked == []
    (tmp_path / "status.json").write_text(json.dumps({"state": "ok", "generation": 3}))
    found = site_facts.balancer()
    assert found["turned_away"] == 3 and found["generation"] == 3
    assert {"--unit=nginx.service", "--since=-70s"} <= set(asked[0])


@pytest.mark.parametrize(
    ("code", "message", "problem"),
    [
        (0, "bootstrap_expect > 0: expecting 3 servers\n", ""),
        (1, "Config validation failed: failed to parse /etc/consul.d/a.json: x", "failed to parse /etc/consul.d/a.json: x"),
        (2, "", "it ended with 2"),
    ],
)
def test_w52_the_agents_own_check_is_run_as_its_user(monkeypatch, tmp_path, code, message, problem):
    monkeypatch.setattr(site_facts, "PROGRAM", str(tmp_path))
    monkeypatch.setattr(site_facts, "CONFIGURATION", str(tmp_path))
    asked = []

    def run(command, **options):
        asked.append((command, options))
        return subprocess.CompletedProcess(command, code, "", message)

    monkeypatch.setattr(site_facts.subprocess, "run", run)
    assert site_facts.configuration() == {"problem": problem}
    ((command, options),) = asked
    assert command[1:] == ("validate", str(tmp_path)) and options["timeout"] == site_facts.SECONDS
    assert (options["user"], options["group"], options["extra_groups"]) == ("consul", "consul", [])
    monkeypatch.setattr(site_facts, "PROGRAM", str(tmp_path / "no program"))
    assert site_facts.configuration() is None
