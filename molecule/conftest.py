"""The tests of all scenarios share these fixtures."""

from tests.support.fixtures import *  # noqa: F403
