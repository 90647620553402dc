"""The fixtures of the tests of a running site, and the footprint of a fresh one."""

import json
from pathlib import Path

import pytest
from tests.support.fixtures import *  # noqa: F403


def pytest_addoption(parser):
    parser.addoption("--fresh", type=Path, help="footprint of a site made by this checkout alone (tests.support.footprint)")


@pytest.fixture(scope="session")
def fresh(request) -> dict:
    path = request.config.getoption("--fresh", default=None)
    if path is None:
        pytest.skip("no footprint to compare with: give one with --fresh")
    return json.loads(path.read_text())
