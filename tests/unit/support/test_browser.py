"""A Chromium that does not answer ends, also before the block that uses it."""

import os
from pathlib import Path

import pytest
from tests.support import browser


def test_a_browser_that_is_silent_is_ended(tmp_path, monkeypatch):
    pid = tmp_path / "pid"
    for name, text in {"certutil": "true", "chromium": f'echo $$ >"{pid}"; exec sleep 60'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(browser, "SECONDS", 3)
    with pytest.raises(AssertionError, match="silent"):
        browser.Browser(tmp_path / "profile", "192.0.2.1")
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()
