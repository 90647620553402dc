"""Results become tables, verdicts about the aims, and plots."""

import json
import xml.etree.ElementTree

import pytest
from benchmarks import report
from benchmarks.figures import middle, seconds

ABOUT = {
    "machine": {
        "time": "2026-01-02 03:04 UTC", "cpus": 2, "cpu": "some", "memory": 2**33, "kernel": "6.1", "load_before": 0.25,
        "versions": {"nginx": "1.26.3"},
    },
    "took": 60,
}  # fmt: skip


def event(start, kill=0.0, failed=0, **more):
    return {"start": start, "catalog": 0.1, "engine": 0.3, "kill": kill, "failed": failed} | more


PROPAGATION = ABOUT | {
    "settings": {"events": 2},
    "results": [
        {"balancer": "ours", "line": "none", "events": [event(0.2, drain=0.3), event(0.4, drain=0.2)]},
        {"balancer": "traefik", "line": "none", "events": [event(7.0, 12.0, 55, drain=9.0), event(None, None, 3)]},
        {"balancer": "ours", "line": "http", "events": [event(1.2), event(1.4)]},
    ],
}


def rounds(*rates):
    return [{"rate": rate, "p50": 0.002, "p99": 0.02, "requests": 10, "failed": 1} for rate in rates]


THROUGHPUT = ABOUT | {
    "settings": {"seconds": 5, "rounds": 3, "connections": 32},
    "results": [
        {"balancer": "backend", "rounds": rounds(900.0, 1000.0, 1100.0)},
        {"balancer": "ours", "rounds": [one | {"cpu": 0.000123} for one in rounds(400.0, 380.0, 390.0)]},
        {"balancer": "keepalive", "rounds": rounds(400.0, 400.0, 400.0)},
        {"balancer": "template", "rounds": rounds(300.0, 300.0, 300.0)},
    ],
}
CHURN = ABOUT | {
    "settings": {"containers": 50, "seconds": 60},
    "results": [
        {"balancer": "ours", "events": 100, "seconds": 61.0, "reloads": 70, "asked": {"calm": 9, "busy": 8},
         "failed": {"calm": 0, "busy": 0}, "sent_again": 4},
        {"balancer": "traefik", "events": 100, "seconds": 60.0, "reloads": None, "asked": {"calm": 9, "busy": 8},
         "failed": {"calm": 0, "busy": 5}, "sent_again": 0},
    ],
}  # fmt: skip


def size(balancer, services, served, missing=0):
    return {
        "balancer": balancer, "services": services, "registered": 0.5, "catalog": 0.6, "served": served, "missing": missing,
        "one_more": [0.2, 0.3] if served else [], "reloads": 2, "memory": 30_000_000,
    }  # fmt: skip


MANY = ABOUT | {"settings": {"sizes": [30, 1000]}, "results": [size("ours", 30, 0.25), size("ours", 1000, None, 7)]}
ALL = {"propagation": PROPAGATION, "throughput": THROUGHPUT, "churn": CHURN, "many": MANY}


def test_propagation():
    text, _ = report.propagation(PROPAGATION)
    assert "| no check | this collection | 200 ms / 400 ms / 400 ms |" in text
    assert "7 s / 7 s / 7 s (1 never)" in text and "| 58 |" in text
    assert "p99 ≤ 200 ms: 200 ms and 400 ms, missed;" in text
    assert "the balancer's part of it (start less catalog), p50 ≤ 50 ms: 100 ms, missed." in text


def test_propagation_says_what_meets_its_aim():
    quick = [event(0.07, catalog=0.03), event(0.08, catalog=0.04)]
    reported = PROPAGATION | {"results": [{"balancer": "ours", "line": "none", "events": quick}]}
    text, _ = report.propagation(reported)
    assert "p99 ≤ 200 ms: 70 ms and 80 ms, met;" in text
    assert "the balancer's part of it (start less catalog), p50 ≤ 50 ms: 40 ms, met." in text


@pytest.mark.parametrize("peer, outcome", [(1.3, "met"), (1.2, "missed")])
def test_propagation_is_compared_with_the_best_peer(peer, outcome):
    entries = [("ours", [1.2, 1.25]), ("template", [peer, 1.4]), ("traefik", [None, 7.0])]
    results = [{"balancer": name, "line": "http", "events": [event(start) for start in starts]} for name, starts in entries]
    text, _ = report.propagation(PROPAGATION | {"results": results})
    assert f"before every peer ({seconds(peer)} and 1.4 s): {outcome}." in text


def test_the_middle_round_counts_with_all_failures():
    assert middle(rounds(3.0, 1.0, 2.0)) == rounds(2.0)[0] | {"failed": 3}


def test_throughput():
    text, _ = report.throughput(THROUGHPUT)
    assert "| the backend alone | 1,000 | 900 – 1,100 | 2 ms | 20 ms | – | 0.39 × | 3 |" in text
    assert "| 20 ms | 123 µs | 1.00 × | 3 |" in text
    assert "≥ 1.0 × nginx by hand, keep-alive: 0.97 ×, missed" in text
    assert "≥ 1.8 × the documents' template: 1.30 ×, missed" in text


def test_haproxy_has_aims_of_its_own():
    quick = [event(0.04, catalog=0.03), event(0.06, catalog=0.04)]
    text, _ = report.propagation(PROPAGATION | {"results": [{"balancer": "haproxy-ours", "line": "none", "events": quick}]})
    assert "HAProxy, no check, p50 ≤ 50 ms and p99 ≤ 120 ms: 40 ms and 60 ms, met;" in text
    assert "HAProxy, the balancer's part of it (start less catalog), p50 ≤ 20 ms: 10 ms, met." in text
    results = [{"balancer": name, "rounds": rounds(rate)} for name, rate in
               (("ours", 400.0), ("haproxy-ours", 440.0), ("haproxy-hand", 500.0))]  # fmt: skip
    text, _ = report.throughput(THROUGHPUT | {"results": results})
    assert "HAProxy, ≥ 1.0 × HAProxy by hand: 0.88 ×, missed; HAProxy, ≥ 1.0 × this collection: 1.10 ×, met." in text
    text, _ = report.churn(CHURN | {"results": [CHURN["results"][0] | {"balancer": "haproxy-ours", "reloads": 0}]})
    assert text.endswith("Aims of HAProxy: 0 failed: 0, met; 0 reloads: 0, met.")
    text, _ = report.many(MANY | {"results": [size("haproxy-ours", 1000, 1.0)]})
    assert "HAProxy, 1000 in 1.2 s: 1 s, met; HAProxy, memory ≤ 120 MB then: 30 MB, met." in text


def test_our_other_backend_is_no_peer():
    entries = [("ours", 1.3), ("haproxy-ours", 1.2), ("template", 1.4)]
    results = [{"balancer": name, "line": "http", "events": [event(start)] * 2} for name, start in entries]
    text, _ = report.propagation(PROPAGATION | {"results": results})
    assert "before every peer (1.4 s and 1.4 s): met." in text


def test_churn():
    text, _ = report.churn(CHURN)
    assert "| this collection | 100 in 61 s | 70 | 1.15 | 0 of 9 | 0 of 8 | 4 |" in text
    assert "| – | – | 0 of 9 | 5 of 8 | 0 |" in text
    assert "0 failed: 0, met; reloads a second apart: 70 in 61.0 s, missed." in text
    text, _ = report.churn(CHURN | {"results": [CHURN["results"][0] | {"reloads": 62}]})
    assert "reloads a second apart: 62 in 61.0 s, met." in text


def test_many():
    text, _ = report.many(MANY)
    assert "| 30 | this collection | 500 ms | 600 ms | 250 ms | 200 ms | 2 | 30 MB |" in text
    assert "7 never" in text
    assert "30 in 0.3 s: 250 ms, met; 1000 in 1.2 s: –, missed; memory ≤ 120 MB then: 30 MB, met." in text


@pytest.mark.parametrize("name", ALL)
def test_a_plot_is_svg_and_always_the_same(name):
    first, again = (report.TELL[name](ALL[name])[1]() for _ in range(2))
    assert xml.etree.ElementTree.fromstring(first).tag.endswith("svg")
    assert first == again


def test_the_document_is_written_anew(tmp_path):
    document = tmp_path / "benchmarks.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for name, kept in ALL.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(kept))
    report.write(tmp_path, document)
    once = document.read_text()
    assert once.startswith("before\n") and once.endswith("after\n") and "old" not in once
    assert [once.count(f"](benchmarks/{name}.svg)") for name in ALL] == [1, 1, 1, 1]
    assert "2 CPUs (some), 8 GiB" in once


def test_a_document_without_a_place_is_refused():
    with pytest.raises(ValueError, match="no place"):
        report.inserted("nothing here", "figures")


def test_the_document_of_this_repository_has_a_place():
    assert report.inserted((report.Path(__file__).parents[3] / "docs/benchmarks.md").read_text(), "x")


def test_provisioning_is_told_beside_the_script_and_its_aims():
    def step(tool, name, *values):
        return {"balancer": tool, "step": name, "seconds": list(values)}

    results = [step("ours", "bare", 150.0, 170.0, 140.0), step("shell", "bare", 100.0, 90.0, 110.0), step("ours", "again", 31.0)]
    results += [step("shell", "again", 20.0), step("ours", "edited", 32.0), step("ours", "add", 50.0), step("shell", "add", 90.0)]
    text, draw = report.provision(ABOUT | {"settings": {"rounds": 3}, "results": results})
    assert "| three bare hosts | 150 s | 100 s | 1.50 × |" in text
    assert "one file edited" not in text, "the script has no figure beside it"
    assert "1.50 ×, met" in text and "31 s, missed" in text and "33 %, met" in text
    assert xml.etree.ElementTree.fromstring(draw()) is not None
