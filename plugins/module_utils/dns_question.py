"""One question to one name server, as in RFC 1035; libc's own ways are not asked."""

from __future__ import annotations

import random
import socket
import struct


def ask(server: str, name: str, kind: int = 1, seconds: float = 2) -> tuple[str, int] | None:
    """Ask one server directly; code and number of records, None without an answer."""
    number = random.randrange(65536)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(seconds)
            asking.connect((server, 53))
            asking.send(question(name, number, kind))
            return answer(asking.recv(4096), number)
    except OSError:
        return None


def question(name: str, number: int, kind: int = 1) -> bytes:
    """A DNS question (RFC 1035, 4.1).

    :param number: 0..65535, comes back in the answer
    :param kind: type of the record, 1 is A, 2 is NS
    """
    labels = [label.encode("idna") for label in name.rstrip(".").split(".") if label]
    packed = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + packed + struct.pack("!2H", kind, 1)


def answer(packet: bytes, number: int) -> tuple[str, int] | None:
    """Code (such as NOERROR) and number of records of a DNS answer; None when it is no answer to this question."""
    codes = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
    if len(packet) < 12:
        return None
    identifier, flags, _unused, records = struct.unpack("!4H", packet[:8])
    if identifier != number or not flags & 0x8000:
        return None
    return codes.get(flags & 15, str(flags & 15)), records
