"""Ports for tests that listen at all addresses, or want a port on which nobody does."""

import contextlib
import random
import socket

PORTS = range(10_000, 20_000)  # the kernel gives none of them to a connection, and the tests of real servers take those above


def free_port() -> int:
    """A port on which nobody listens, at any address. Not one that the kernel chooses: the next connection of anybody could get
    the same, and keep others from listening there until a minute after its end."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise AssertionError("hardly a free port on this machine")
