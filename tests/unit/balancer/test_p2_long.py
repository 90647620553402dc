"""What is long: headers, and answers and websockets that outlive many reloads."""

import http.client
import json
import socket

import pytest

import real_haproxy
import real_nginx
from instances import WEBSOCKET, Wire, apply, catalog, entry, running, until
from real_nginx import DOMAIN

LONG = 32 * 1024  # of a header, as Kerberos and OIDC send it
RELOADS = 50


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def balancer(request):
    with running(request.param) as balancer:
        yield balancer


def test_p2_headers_of_32_kib(balancer, instance):
    """Of a request and of its answer, by default."""
    one = instance()
    apply(balancer, web=[entry(one.port)])
    connection = http.client.HTTPConnection(real_nginx.ADDRESS, balancer.http_port, timeout=60)
    value = "x" * (LONG - len("X-Ticket: "))
    connection.request("GET", "/", headers={"Host": f"web.{DOMAIN}", "X-Ticket": value, "X-Answer": str(LONG)})
    answer = connection.getresponse()
    received = json.loads(answer.read())[2]
    connection.close()
    assert (answer.status, len(received["X-Ticket"]), len(answer.headers["X-Long"])) == (200, len(value), LONG)


def test_p2_events_and_a_websocket_over_50_reloads(balancer, instance):
    """Another service changes, and each event and each message still arrives. What their label says holds, not the 5 s that old
    workers have here."""
    wire, chat = Wire(), instance()
    kept = {
        "events": [entry(wire.port, unbuffered="true", read_timeout="1h")],
        "chat": [entry(chat.port, read_timeout="1h")],
    }
    apply(balancer, **kept)
    place = real_nginx.ADDRESS, balancer.http_port
    with socket.create_connection(place, 60) as reader, socket.create_connection(place, 60) as talker:
        reader.sendall(f"GET / HTTP/1.1\r\nHost: events.{DOMAIN}\r\n\r\n".encode())
        source, _ = wire.request(seconds=60)
        source.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000000\r\n\r\n")
        assert until(reader, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        talker.sendall(f"GET / HTTP/1.1\r\nHost: chat.{DOMAIN}\r\n{WEBSOCKET}".encode())
        assert until(talker, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        reloads = 0
        for number in range(1, RELOADS + 1):
            status = balancer.sync(catalog(**kept, other=[entry(chat.port, connect_timeout=f"{number}s")]))
            assert status["state"] == "ok", status["reason"]
            reloads += status["last_reload"] == status["time"]
            event, message = f"data: {number}\n\n".encode(), f"message {number}\n".encode()
            source.sendall(event)
            talker.sendall(message)
            assert (until(reader, b"\n\n"), until(talker, b"\n")) == (event, message), number
        assert reloads == RELOADS
        source.close()
    wire.close()
