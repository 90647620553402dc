"""Clients of one address that hold connections of a balancer: some send a header slowly, some nothing at all."""

from __future__ import annotations

import contextlib
import resource
import socket
import time

from tests.support.wait import Repeating

SLOWLY = 1.0  # seconds between two lines of a header
OPENED = 50  # connections opened in one step


class SlowClients(Repeating):
    """Holds connections while the block runs; one that the balancer closes is opened again.

    :param slow: number of those that send a header, a line at a time, and never end it
    :param idle: number of those that send nothing
    """

    pause = 0.05

    def __init__(self, address: str, port: int, host: str, slow: int, idle: int):
        super().__init__()
        self.place, self.head = (address, port), f"GET / HTTP/1.1\r\nHost: {host}\r\n".encode()
        self.wanted = {True: slow, False: idle}
        self.held: dict[bool, dict[socket.socket, float]] = {True: {}, False: {}}
        self.closed = 0
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def __exit__(self, *_) -> None:
        super().__exit__()
        for connections in self.held.values():
            for connection in connections:
                connection.close()

    @property
    def complete(self) -> bool:
        return all(len(self.held[slow]) == wanted for slow, wanted in self.wanted.items())

    def step(self) -> None:
        for slow, connections in self.held.items():
            for connection in list(connections):
                if not self._held(connection, slow):
                    connection.close()
                    del connections[connection]
                    self.closed += 1
            for _ in range(min(OPENED, self.wanted[slow] - len(connections))):
                with contextlib.suppress(OSError):
                    connection = socket.create_connection(self.place, 5)
                    connections[connection] = 0
                    connection.setblocking(False)

    def _held(self, connection: socket.socket, slow: bool) -> bool:
        """Whether the balancer still holds it; sends the next line where it is time."""
        try:
            with contextlib.suppress(BlockingIOError):
                if connection.recv(100) == b"":
                    return False
            sent = self.held[slow][connection]
            if slow and time.monotonic() - sent >= SLOWLY:
                connection.send(b"X-Line: 1\r\n" if sent else self.head)
                self.held[slow][connection] = time.monotonic()
        except OSError:
            return False
        return True
