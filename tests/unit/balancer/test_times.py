"""Times of settings."""

import pytest

from discovery_balancer.times import seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("5s", 5), ("90", 90), (7, 7), ("1m30s", 90), ("1.5h", 5400), ("2d", 172800), ("1w", 604800), ("x", 0)],
)
def test_seconds_of_a_time(text, expected):
    assert seconds(text) == expected
