"""Percentiles, and what wrk prints."""

import pytest
from benchmarks import figures

WRK = """Running 5s test @ http://192.0.2.11:80/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.31ms    1.20ms  30.51ms   85.02%
    Req/Sec    14.10k     1.02k   16.00k    70.00%
  Latency Distribution
     50%    2.10ms
     75%    2.70ms
     90%  950.00us
     99%    1.05s
  70123 requests in 5.00s, 12.04MB read
Requests/sec:  14020.51
Transfer/sec:      2.41MB
"""
TROUBLE = WRK.replace(
    "Requests/sec", "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\nRequests/sec"
)


@pytest.mark.parametrize("share, expected", [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (100, 100)])
def test_percentile_is_the_nearest_rank(share, expected):
    assert figures.percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_percentile_of_one_value_is_that_value():
    assert figures.percentile([7.0], 99) == 7.0


@pytest.mark.parametrize("values, share", [([], 50), ([1.0], -1), ([1.0], 101)])
def test_percentile_of_nothing_is_an_error(values, share):
    with pytest.raises(ValueError, match="percentile"):
        figures.percentile(values, share)


def test_summary_counts_what_never_came():
    assert figures.summary([3.0, None, 1.0, 2.0]) == {"count": 3, "missing": 1, "p50": 2.0, "p99": 3.0, "max": 3.0}
    assert figures.summary([None]) == {"count": 0, "missing": 1}


def test_wrk():
    assert figures.wrk(WRK) == {"rate": 14020.51, "p50": pytest.approx(0.0021), "p99": 1.05, "requests": 70123, "failed": 0}


def test_wrk_counts_each_kind_of_failure():
    assert figures.wrk(TROUBLE)["failed"] == 1 + 2 + 3 + 4 + 90


@pytest.mark.parametrize("printed", ["", "unable to connect to 192.0.2.11:80 Connection refused", WRK.replace("99%", "98%")])
def test_wrk_that_did_not_measure_is_an_error(printed):
    with pytest.raises(ValueError, match="not what wrk prints"):
        figures.wrk(printed)


@pytest.mark.parametrize(
    "value, text", [(None, "–"), (0.0, "0"), (0.0123, "12.3 ms"), (0.5, "500 ms"), (1.0, "1 s"), (14.96, "15 s")]
)
def test_seconds_for_people(value, text):
    assert figures.seconds(value) == text


def test_share_of_nothing_is_none():
    assert (figures.share_of(3, 2), figures.share_of(3, 0)) == ("1.50 ×", "–")
