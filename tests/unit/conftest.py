"""What every unit test gives back."""

import os

import pytest


@pytest.fixture(autouse=True)
def _umask():
    """Modules that are called in this process set it, and files of later tests would be closed to nginx's workers."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)
