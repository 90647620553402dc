"""Load on a running site, in a process of its own: what a client of the balancers and of Consul's KV store sees.

`python load.py PLAN LOG` runs until its standard input ends. PLAN is a JSON file: balancers and servers
(addresses), host (a virtual host), key (in the KV store), token (SecretID); without a token the KV store is left alone, and
with keep connections are kept, too. LOG gets one JSON line a sample: t (Unix time at its end), kind, ok, seconds, and note.

http   one request to a balancer, on a connection of its own (note: address, status, instance that answered)
keep   one request on a kept connection, sent once more on a new one when a used one gave no answer
raw    such a first try that failed
write  one KV write; a client that gets no answer from a server within half a second asks the next, until one has it
read   one consistent KV read; not ok when it does not show the last acknowledged write
down   how many servers accept no connection to their API (note)
stall  how long this machine itself stood (module stalls)
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

HTTP_EVERY, KV_EVERY, LOOK_EVERY = 0.1, 0.1, 0.1  # seconds between two samples of one thread
PATIENCE = 5  # seconds for an answer of a balancer
CLIENT_TIMEOUT = 0.5  # seconds for an answer of one Consul server, then the next is asked
KEYS = 100  # written in turn: a write that was sent twice may arrive late, and must not look like a lost one


FAILURES = (OSError, http.client.HTTPException)


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


def ask_balancer(address: str, host: str, log: Log) -> None:
    begin = time.monotonic()
    connection = http.client.HTTPConnection(address, 80, timeout=PATIENCE)
    try:
        status, said = ask(connection, host)
        log.add("http", status < 500, time.monotonic() - begin, f"{address} {said}")
    except FAILURES as error:
        log.add("http", False, time.monotonic() - begin, f"{address} {type(error).__name__}: {error}")
    finally:
        connection.close()


def ask(connection: http.client.HTTPConnection, host: str) -> tuple[int, str]:
    """One answer: its status, and that as text with the instance."""
    connection.request("GET", "/", headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    return answer.status, f"{answer.status} {answer.headers.get('X-Instance', '')}".strip()


class Keeper:
    """A client of a balancer that keeps its connection, as HTTP libraries do."""

    def __init__(self, address: str, host: str):
        self.address, self.host, self.used = address, host, False
        self.connection = http.client.HTTPConnection(address, 80, timeout=PATIENCE)

    def once(self, log: Log) -> None:
        begin = time.monotonic()
        while True:
            try:
                status, said = ask(self.connection, self.host)
                self.used = True
                return log.add("keep", status < 500, time.monotonic() - begin, f"{self.address} {said}")
            except FAILURES as error:
                self.connection.close()
                kind, self.used = ("raw" if self.used else "keep"), False
                log.add(kind, False, time.monotonic() - begin, f"{self.address} {type(error).__name__}: {error}")
                if kind == "keep":
                    return None


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
    seen = int(client.ask("GET", expected, "?raw&consistent") or 0) if expected else 0
    note = "" if seen >= expected else f"{seen} instead of {expected}"
    log.add("read", seen >= expected, time.monotonic() - begin, note)


def look(servers: list[str], log: Log) -> None:
    begin, down = time.monotonic(), []
    for address in servers:
        try:
            socket.create_connection((address, 8501), timeout=0.5).close()
        except OSError:
            down.append(address)
    log.add("down", len(down) < 2, time.monotonic() - begin, down)


def main() -> None:
    plan, log, counter = json.loads(Path(sys.argv[1]).read_text()), Log(sys.argv[2]), Counter()
    every = plan.get("every", HTTP_EVERY)
    jobs = [(every, lambda a=a: ask_balancer(a, plan["host"], log)) for a in plan["balancers"]]
    if "token" in plan:
        disk = open(f"{sys.argv[2]}.stall", "wb")  # noqa: SIM115
        writer, reader = KeyValue(plan), KeyValue(plan)
        jobs += [
            (KV_EVERY, lambda: write(writer, counter, log)),
            (KV_EVERY, lambda: read(reader, counter, log)),
            (LOOK_EVERY, lambda: look(plan["servers"], log)),
            (0, lambda: log.add("stall", True, stalls.once(disk))),
        ]
    if plan.get("keep"):
        keepers = [Keeper(address, plan["host"]) for address in plan["balancers"]]
        jobs += [(every, lambda k=k: k.once(log)) for k in keepers]
    for every, once in jobs:
        threading.Thread(target=timed, args=(every, once), daemon=True).start()
    sys.stdin.read()


def gaps(samples: list[dict], start: float, end: float) -> float:
    """The longest time in which none of the samples succeeded, in seconds."""
    times = [start, *sorted(s["t"] for s in samples if s["ok"] and start <= s["t"] <= end), end]
    return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))


if __name__ == "__main__":
    main()
