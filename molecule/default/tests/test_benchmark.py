"""The benchmarks' program works on this site. Their results are in docs/benchmarks.md, not here."""

import dataclasses

import pytest
from benchmarks import propagation
from benchmarks.balancers import OURS
from benchmarks.site import Bench

EVENTS = 10


@pytest.mark.more
def test_benchmark_smoke(site, settled, show):
    bench = Bench(site)
    bench.prepare()
    # Five services at a time: quicker, and no figures to compare.
    events = propagation.one(bench, dataclasses.replace(OURS, slots=5), "none", EVENTS)
    show(propagation.spread(events))
    assert len(events) == EVENTS
    assert all(event["start"] is not None and event["drain"] is not None and event["kill"] is not None for event in events)
    assert [event["failed"] for event in events] == [0] * EVENTS
