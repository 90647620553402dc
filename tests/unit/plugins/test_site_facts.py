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
