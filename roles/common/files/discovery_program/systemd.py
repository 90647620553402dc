"""What a program tells systemd."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(text: str) -> None:
    """Tell systemd (sd_notify(3)); without it nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    with contextlib.suppress(OSError):
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to_systemd:
                to_systemd.connect("\0" + address[1:] if address.startswith("@") else address)
                to_systemd.sendall(text.encode())
