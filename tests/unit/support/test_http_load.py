"""What counts as a success under load, and what clients report about the moments they observed."""

import http.server
import threading
from types import SimpleNamespace

import pytest
from tests.support import http_load as module
from tests.support.http_load import Client, Expected, Sample, Samples, http_load, longest_gap, request_once
from tests.support.wait import eventually

EXPECTED = Expected("somebody", "hello\n", instance="some")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0
    status, body = 200, b"hello\n"

    def do_GET(self):
        type(self).count += 1
        self.send_response(self.status)
        self.send_header("X-Instance", self.headers["Host"])
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)
        if Handler.count % 3 == 0:
            self.close_connection = True  # without saying so: the next request on it gets no answer

    def log_message(self, *_):
        pass


def served(block, **answer):
    handler = type("Handler", (Handler,), answer)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        return block(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def samples(*found: Sample) -> Samples:
    result = Samples()
    result.samples = list(found)
    return result


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({}, ""),
        ({"status": 404}, "status 404"),
        ({"status": 302}, "status 302"),
        ({"body": b"Welcome to nginx!"}, "another service's body: 'Welcome to nginx!'"),
    ],
)
def test_a_success_is_the_services_own_answer(answer, problem):
    sample = served(lambda port: request_once("127.0.0.1", port, EXPECTED), **answer)
    assert (sample.problem, sample.ok) == (problem, not problem)


def test_another_services_instance_is_no_success():
    other = Expected("other", "hello\n", instance="some")
    assert served(lambda port: request_once("127.0.0.1", port, other)).problem == "answered by other"


def test_nobody_there_is_a_sample_without_status():
    port = served(lambda port: port)
    sample = request_once("127.0.0.1", port, EXPECTED)
    assert sample.status == 0 and not sample.ok


def test_a_client_reports_who_answered_first():
    def block(port):
        with Client("127.0.0.1", port, EXPECTED, 0.01) as client:
            eventually(lambda: len(client.samples) >= 3, 60, every=0.01)
        return client

    client = served(block)
    assert client.samples and all(sample.ok for sample in client.samples)
    assert client.first("somebody", 0) == client.samples[0].ended
    assert client.first("nobody", 0) is None
    assert client.sent_since(client.samples[1].sent) == client.samples[1:]
    client.assert_served()


def test_a_kept_connection_that_was_closed_is_no_failure():
    def block(port):
        with Client("127.0.0.1", port, EXPECTED, 0.01, keep=True) as client:
            eventually(lambda: sum(sample.resent for sample in client.samples) >= 3, 60, every=0.01)
        return client

    client = served(block)
    assert all(sample.ok and sample.kept for sample in client.samples)


def test_no_load_is_no_success():
    with pytest.raises(AssertionError, match="there was no load"):
        samples().assert_served()
    with pytest.raises(AssertionError, match="there was no load"):
        samples(Sample(1.0, 2.0, 200)).assert_served(since=3.0)


def test_a_failed_request_fails_the_load():
    with pytest.raises(AssertionError, match="1 requests failed: .*status 502"):
        samples(Sample(1.0, 2.0, 200), Sample(2.0, 3.0, 502, problem="status 502")).assert_served()
    samples(Sample(1.0, 2.0, 502, problem="status 502"), Sample(2.0, 3.0, 200)).assert_served(since=2.5)


def test_the_longest_gap_includes_both_ends():
    assert longest_gap([2.0, 3.0, 9.0], 0.0, 10.0) == 6.0
    assert longest_gap([], 1.0, 4.0) == 3.0
    found = samples(Sample(1, 1.5, 200), Sample(2, 2.5, 0, problem="no"), Sample(5, 5.5, 200), Sample(6, 6.5, 0, problem="no"))
    assert found.longest_gap() == 4.0
    assert not found.last_ok(1) and samples(*found.samples[:3]).last_ok(1) and not samples(*found.samples[:3]).last_ok(2)


def test_a_process_of_its_own_reports_new_and_kept_connections(tmp_path, monkeypatch):
    def block(port):
        monkeypatch.setattr(module, "PORT", port)
        site = SimpleNamespace(balancers=[SimpleNamespace(address="127.0.0.1")])
        with http_load(site, EXPECTED, tmp_path, every=0.02) as load:
            before = len(load.samples)
            eventually(lambda: len(load.samples) > before, 60, every=0.01)
        load.assert_served()
        return load

    load = served(block)
    assert {sample.kept for sample in load.samples} == {False, True}
    assert load.failed() == [] and load.last("somebody") == max(sample.ended for sample in load.samples)
