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
