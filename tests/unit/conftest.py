"""What every unit test gives back, and no time limit for examples."""

import os

import pytest
from hypothesis import HealthCheck, settings

# A machine that is busy with nodes may take a second for an example; hypothesis allows that only where it finds a CI.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config):
    config.addinivalue_line("markers", "more: runs in `make test-all` only")


def pytest_collection_modifyitems(config, items):
    """They build a program first, so a run that says nothing leaves them out, too."""
    if os.environ.get("DISCOVERY_TESTS") != "all":
        left_out = [item for item in items if item.get_closest_marker("more")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def _umask():
    """Modules that are called in this process set it, and files of later tests would be closed to nginx's workers."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
