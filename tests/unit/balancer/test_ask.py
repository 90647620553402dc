"""Requests of the program: one kept connection, and an HTTP that is small enough to be read."""

import os
import socket
import socketserver
import threading

import pytest
from tests.support.authority import Authority, tls

from discovery_balancer.ask import Agent, Connection, NotHTTP


class Server:
    """Answers each request of a connection with the next of some texts; None ends the connection instead."""

    def __init__(self, *answers, context=None):
        self.answers, self.connections, self.asked = list(answers), 0, []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                server.connections += 1
                while line := self.rfile.readline():
                    head = [line.decode().strip()]
                    while field := self.rfile.readline().decode().strip():
                        head.append(field)
                    length = next((int(one.split(":")[1]) for one in head if one.startswith("Content-Length")), 0)
                    server.asked.append((head, self.rfile.read(length).decode()))
                    answer = server.answers.pop(0)
                    if answer is None:
                        return
                    self.wfile.write(answer.encode())
                    if "HTTP/1.0" in answer or "early" in answer:
                        return

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Threads(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    made = []

    def start(*answers, **given):
        made.append(Server(*answers, **given))
        return made[-1]

    yield start
    for one in made:
        one.close()


def to(server):
    return Connection(lambda: socket.create_connection(("127.0.0.1", server.port), 5))


OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"


def test_a_connection_is_kept(serve):
    server = serve(OK, CHUNKED, OK, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    connection = to(server)
    assert [connection.ask("GET", f"/{number}") for number in range(4)] == [
        (200, "ok"), (200, "abc0123456789"), (200, "ok"), (404, "")
    ]  # fmt: skip
    assert (server.connections, server.asked[3][0][0]) == (1, "GET /3 HTTP/1.1")
    connection.close()


def test_a_body_is_sent_with_its_length(serve):
    server = serve(OK)
    to(server).ask("PUT", "/k", {"X-Consul-Token": "t"}, "grün")
    head, body = server.asked[0]
    assert (body, "Content-Length: 5" in head, "X-Consul-Token: t" in head) == ("grün", True, True)


def test_an_answer_up_to_the_end_of_the_connection(serve):
    server = serve("HTTP/1.0 200 OK\r\n\r\nall of it")
    connection = to(server)
    assert (connection.ask("GET", "/"), connection.open) == ((200, "all of it"), False)


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense early\r\n", "HTTP/1.1 OK early\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nearly",
        "HTTP/1.1 200 OK\r\nContent-Length: early\r\n\r\n", "HTTP/1.1 200 OK\r\nX: early",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nX: early\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nearly\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nearly",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nearly\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_http_is_an_error_like_none(serve, answer):
    connection = to(serve(answer))
    with pytest.raises(NotHTTP):
        connection.ask("GET", "/")
    assert not connection.open


@pytest.fixture
def site(tmp_path):
    (tmp_path / "token").write_text("one\n")
    return tmp_path, Authority(tmp_path / "ca")


def agent_of(site, server):
    folder, authority = site
    import pathlib

    return Agent(f"127.0.0.1:{server.port}", folder / "token", pathlib.Path(authority.ca))


def test_the_agents_connection_is_kept_and_the_token_read_each_time(serve, site):
    server = serve(OK, OK, context=tls(site[1], "127.0.0.1"))
    agent = agent_of(site, server)
    agent.ask("GET", "/")
    (site[0] / "token").write_text("two\n")
    agent.ask("GET", "/")
    tokens = [field for head, _ in server.asked for field in head if field.startswith("X-Consul-Token")]
    assert (server.connections, tokens) == (1, ["X-Consul-Token: one", "X-Consul-Token: two"])
    agent.close()


def test_an_agent_that_was_restarted_is_asked_once_more(serve, site):
    server = serve(OK, None, OK, context=tls(site[1], "127.0.0.1"))
    agent = agent_of(site, server)
    assert [agent.ask("GET", "/")[0] for _ in range(2)] == [200, 200]
    assert server.connections == 2


def test_an_agent_that_ends_a_new_connection_is_not_asked_again(serve, site):
    server = serve(None, OK, context=tls(site[1], "127.0.0.1"))
    with pytest.raises(OSError, match="ended"):
        agent_of(site, server).ask("GET", "/")
    assert server.connections == 1


def test_another_ca_is_read_for_the_next_request(serve, site, tmp_path):
    server = serve(OK, OK, context=tls(site[1], "127.0.0.1"))
    agent = agent_of(site, server)
    agent.ask("GET", "/")
    with open(Authority(tmp_path / "other").ca, encoding="ascii") as other, open(agent.ca, "w", encoding="ascii") as file:
        file.write(other.read())
    os.utime(agent.ca, (1, 1))
    with pytest.raises(OSError, match="(?i)certificate"):
        agent.ask("GET", "/")
    assert len(server.asked) == 1
