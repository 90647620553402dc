"""The programs of the sample images answer exactly as the acceptance rows say."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.ports import free_port

IMAGES = Path(__file__).parents[2] / "lab/images"
BACKEND = "this is httpbackendservice, version: v1.0.0\n"


@pytest.fixture
def start():
    """Start a program on a free port: start(name, **environment); its port and process."""
    started = []

    def start(name: str, **environment: str) -> tuple[int, subprocess.Popen]:
        port = free_port()
        program = subprocess.Popen(
            [sys.executable, IMAGES / name / f"{name}.py"],
            env={**os.environ, "PORT": str(port), **environment},
            stderr=subprocess.DEVNULL,
        )
        started.append(program)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return port, program
            except OSError:
                time.sleep(0.05)
        raise AssertionError(f"{name} does not listen")

    yield start
    for program in started:
        program.kill()
        program.wait()


def get(connection: http.client.HTTPConnection, **headers: str):
    connection.request("GET", "/", headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read().decode()


def test_backend_keeps_the_connection(start):
    port, _ = start("httpbackend")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for _ in range(2):
        status, _, body = get(connection)
        assert (status, body) == (200, BACKEND)
        assert connection.sock, "the server closed the connection"


def test_front_calls_the_backend(start):
    backend, _ = start("httpbackend")
    port, _ = start("httpfront", BACKEND_URL=f"http://127.0.0.1:{backend}/")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    status, headers, body = get(connection, **{"Host": "front.example", "X-Forwarded-For": "192.0.2.7"})
    assert (status, body) == (
        200,
        f"this is httpfrontservice, version: v1.0.0, calling backendservice ok, its resp: [{BACKEND}]",
    )
    assert headers["X-Seen-Host"] == "front.example"
    assert headers["X-Seen-Forwarded-For"] == "192.0.2.7"
    assert headers["X-Instance"] == socket.gethostname()


def test_front_without_backend_says_why(start):
    url = f"http://127.0.0.1:{free_port()}/"
    port, _ = start("httpfront", BACKEND_URL=url)
    status, _, body = get(http.client.HTTPConnection("127.0.0.1", port, timeout=5))
    assert status == 502
    assert url in body and "refused" in body


def test_tcpfront_echoes_lines(start):
    port, _ = start("tcpfront", VERSION="v2")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"one\r\ntwo\n")
        lines = connection.makefile()
        assert re.fullmatch(r"\[v2\]\S+ \S+ \[one\]\n", lines.readline())
        assert re.fullmatch(r"\[v2\]\S+ \S+ \[two\]\n", lines.readline())


@pytest.mark.parametrize("name", ["httpbackend", "httpfront", "tcpfront"])
def test_program_ends_at_once(start, name):
    """Docker would kill it after ten seconds."""
    _, program = start(name)
    program.send_signal(signal.SIGTERM)
    assert program.wait(timeout=9) == 0
