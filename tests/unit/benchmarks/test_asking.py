"""What a client that keeps asking tells about the moments it has seen."""

import http.server
import threading
import time

from benchmarks.asking import Asking, Sample, ask_once, last, quiet_since


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_GET(self):
        type(self).count += 1
        self.send_response(200)
        self.send_header("X-Instance", self.headers["Host"])
        self.send_header("Content-Length", "0")
        self.end_headers()
        if Handler.count % 3 == 0:
            self.close_connection = True  # without saying so: the next request on it gets no answer

    def log_message(self, *_):
        pass


def served(block):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        return block(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_last_wrong_answer_counts_from_the_moment():
    samples = [Sample(10.0, 10.1, 502), Sample(10.2, 10.3, 200, "a"), Sample(10.4, 10.5, 0), Sample(10.6, 10.7, 200, "b")]
    assert round(last(samples, lambda s: not s.ok, 10.0), 3) == 0.5
    assert last(samples, lambda s: s.instance == "never", 10.0) == 0
    assert quiet_since(samples, lambda s: s.instance == "never", 10.0) == 10.0


def test_nobody_there_is_a_sample_without_status():
    port = served(lambda port: port)
    assert ask_once("127.0.0.1", port, "x").status == 0


def test_it_asks_and_tells_who_answered_first():
    def block(port):
        with Asking("127.0.0.1", port, "somebody", 0.01) as asking:
            time.sleep(0.2)
        return asking

    asking = served(block)
    assert asking.samples and all(sample.ok for sample in asking.samples)
    assert asking.first("somebody", 0) == asking.samples[0].ended
    assert asking.first("nobody", 0) is None
    assert asking.since(asking.samples[1].sent) == asking.samples[1:]


def test_a_kept_connection_that_was_closed_is_no_failure():
    def block(port):
        with Asking("127.0.0.1", port, "somebody", 0.01, keep=True) as asking:
            time.sleep(0.3)
        return asking

    asking = served(block)
    assert asking.sent_again > 0
    assert all(sample.ok for sample in asking.samples)
