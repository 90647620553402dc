"""The instances of a test, which end with it."""

import pytest

from instances import Instance


@pytest.fixture
def instance():
    """Start instances: instance(…), with the arguments of `Instance`."""
    started = []

    def start(*arguments, **named):
        started.append(Instance(*arguments, **named))
        return started[-1]

    yield start
    for one in started:
        one.close()
