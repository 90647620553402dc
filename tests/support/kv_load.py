"""Load on Consul's KV store, in a process of its own: what a client of the servers gets.

`python -m tests.support.kv_load PLAN LOG` runs until its standard input ends. PLAN is a JSON file: servers (addresses), key (a
prefix in the KV store), token (SecretID). LOG gets one JSON line a sample: t (Unix time at its end), kind, ok, seconds, and note.

write  one KV write; a client that gets no answer from a server within half a second tries the next, until one answers
read   one consistent KV read; not ok when it does not return the last acknowledged write
down   how many servers accept no connection to their API (note)
stall  how long this machine itself stood still (module stalls)
"""

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

from tests.support import stalls

EVERY = 0.1  # seconds between two samples of one thread
CLIENT_TIMEOUT = 0.5  # seconds for an answer of one Consul server, then the next is asked
KEYS = 100  # written in turn: a write that was sent twice may arrive late, and must not look like a lost one


class Log:
    def __init__(self, path: str):
        self.file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115
        self.lock = threading.Lock()

    def add(self, kind: str, ok: bool, seconds: float, note="") -> None:
        line = json.dumps({"t": time.time(), "kind": kind, "ok": ok, "seconds": round(seconds, 3), "note": note})
        with self.lock:
            self.file.write(line + "\n")


def timed(every: float, once) -> None:
    """Call `once` for ever, at this pace or as fast as it can."""
    while True:
        begin = time.monotonic()
        once()
        time.sleep(max(0, every - (time.monotonic() - begin)))


class KeyValue:
    """A client of the KV store that knows all servers and stays with the one that answers."""

    def __init__(self, plan: dict):
        self.servers, self.path = plan["servers"], f"/v1/kv/{plan['key']}/"
        self.headers = {"X-Consul-Token": plan["token"]}
        # Not verified: the CA changes while this runs.
        self.tls = ssl._create_unverified_context()
        self.current, self.connection = 0, None

    def ask(self, method: str, number: int, query: str = "", body: str | None = None) -> bytes:
        """One answer about the key of a number, from whichever server gives it first."""
        while True:
            try:
                if self.connection is None:
                    address = self.servers[self.current]
                    self.connection = http.client.HTTPSConnection(address, 8501, timeout=CLIENT_TIMEOUT, context=self.tls)
                self.connection.request(method, f"{self.path}{number % KEYS}{query}", body=body, headers=self.headers)
                answer = self.connection.getresponse()
                content = answer.read()
                if answer.status == 200:
                    return content
            except (OSError, http.client.HTTPException):
                pass
            if self.connection is not None:
                self.connection.close()
            self.connection, self.current = None, (self.current + 1) % len(self.servers)
            time.sleep(0.02)


class Counter:
    """The last acknowledged write."""

    value = 0


def write(client: KeyValue, counter: Counter, log: Log) -> None:
    begin = time.monotonic()
    client.ask("PUT", counter.value + 1, body=str(counter.value + 1))
    counter.value += 1
    log.add("write", True, time.monotonic() - begin)


def read(client: KeyValue, counter: Counter, log: Log) -> None:
    begin, expected = time.monotonic(), counter.value
    found = int(client.ask("GET", expected, "?raw&consistent") or 0) if expected else 0
    note = "" if found >= expected else f"{found} instead of {expected}"
    log.add("read", found >= expected, time.monotonic() - begin, note)


def probe(servers: list[str], log: Log) -> None:
    begin, down = time.monotonic(), []
    for address in servers:
        try:
            socket.create_connection((address, 8501), timeout=0.5).close()
        except OSError:
            down.append(address)
    log.add("down", len(down) < 2, time.monotonic() - begin, down)


def main() -> None:
    plan, log, counter = json.loads(Path(sys.argv[1]).read_text()), Log(sys.argv[2]), Counter()
    disk = open(f"{sys.argv[2]}.stall", "wb")  # noqa: SIM115
    writer, reader = KeyValue(plan), KeyValue(plan)
    jobs = [
        (EVERY, lambda: write(writer, counter, log)),
        (EVERY, lambda: read(reader, counter, log)),
        (EVERY, lambda: probe(plan["servers"], log)),
        (0, lambda: log.add("stall", True, stalls.once(disk))),
    ]
    for every, once in jobs:
        threading.Thread(target=timed, args=(every, once), daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
