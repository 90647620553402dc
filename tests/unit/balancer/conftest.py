"""Examples have no time limit: the machine may be busy with nodes. And the instances of a test, which end with it."""

import pytest
from hypothesis import settings

from instances import Instance

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


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
