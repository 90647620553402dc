"""The moments of an event, from a client's samples."""

from benchmarks.propagation import last, quiet_since
from tests.support.http_load import Sample


def test_last_wrong_answer_counts_from_the_moment():
    samples = [
        Sample(10.0, 10.1, 502, problem="status 502"), Sample(10.2, 10.3, 200, "a"),
        Sample(10.4, 10.5, 0, problem="no answer"), Sample(10.6, 10.7, 200, "b"),
    ]  # fmt: skip
    assert round(last(samples, lambda s: not s.ok, 10.0), 3) == 0.5
    assert last(samples, lambda s: s.instance == "never", 10.0) == 0
    assert quiet_since(samples, lambda s: s.instance == "never", 10.0) == 10.0
