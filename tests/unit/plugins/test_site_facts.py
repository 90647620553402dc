"""What the status asks a host for."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import site_facts


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


def test_w38_the_log_tells_what_the_cluster_refuses(monkeypatch):
    monkeypatch.setattr(site_facts, "output", lambda *_: LOG)
    assert site_facts.blocked() == [
        'agent.anti_entropy: failed to sync remote state: error="ACL not found"',
        'agent: Coordinate update error: error="ACL not found"',
    ]
    monkeypatch.setattr(site_facts, "output", lambda *_: "2026-11-30T14:38:17.000Z [INFO]  agent: Synced service: service=web\n")
    assert site_facts.blocked() == []


def test_w43_the_free_space_is_what_programs_have(tmp_path, monkeypatch):
    class Full:
        f_bavail, f_bfree, f_frsize = 0, 10**6, 4096  # the rest is root's

    monkeypatch.setattr(site_facts.os, "statvfs", lambda _: Full)
    assert site_facts.free_mb(str(tmp_path)) == 0


def test_containers_that_run_and_those_that_dockerd_could_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(site_facts, "SOCKET", str(tmp_path))
    monkeypatch.setattr(site_facts, "dockerd_runs", lambda: True)
    monkeypatch.setattr(site_facts, "watch", lambda: None)
    listed = "\n".join((
        "registrator Up 2 hours", "web Restarting (1) 2 seconds ago", "shop Exited (128) 3 minutes ago",
        "git Exited (128) 3 minutes ago", "once Exited (0) 1 d",
    ))  # fmt: skip
    errors = {"shop": "failed to start shim", "git": ""}
    monkeypatch.setattr(site_facts, "output", lambda *command: listed if command[1] == "ps" else f"{errors[command[-1]]}\n")
    assert site_facts.containers() == {"running": 2, "registrator": True, "watch": None, "failed": ["shop"]}
