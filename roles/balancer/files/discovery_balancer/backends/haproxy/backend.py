"""HAProxy: how its configuration is checked, how a running one is changed or reloaded, and how it is asked what it runs."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from ... import addresses
from ...patterns import USER, users
from .. import ports, processes
from . import changes, render
from .options import HaproxyOptions
from .runtime import PATIENCE, Runtime

# Seconds for each part of an answer that a reload can do without, or the next sync: one that hangs is noticed within 20 s (L6).
CHANGE_PATIENCE, TRIM_PATIENCE = 1, 0.5
PID_LOOKS, PID_PAUSE = 50, 0.02  # at a file that is not there; seconds between two
CHANGING = "changing"  # reported as the marker while commands run: who is killed then is followed by a sync that does the rest


class Haproxy:
    """The HAProxy of this site's balancer. Its marker stands in a map, which can be changed while it runs."""

    unit = "haproxy.service"

    def __init__(self, options, main_file=""):
        self.options, self.own = options, HaproxyOptions(**options.backend)
        if main_file:
            self.own = dataclasses.replace(self.own, config=str(main_file))
        self.wanted, self.marker = None, ""  # of `files`
        self.pid = 0  # of the master, when it was last known
        self.silent = False  # nobody answered the check, so that a reload does not wait for an answer again
        self.skipped = None  # the arguments of a check that the running HAProxy made needless

    def files(self, plan) -> tuple:
        """The files of a generation and their marker, which covers haproxy.cfg and the certificates as well."""
        main = [pathlib.Path(self.own.config).read_bytes(), _content(pathlib.Path(self.own.certificates) / "list")]
        main += [_content(one[file]) for one in self.options.certificates for file in ("certificate", "key")]
        main += map(_content, self.options.client_cas.values())
        digest = hashlib.sha256(b"\0".join(main)).hexdigest()
        self.wanted = render.layout(plan, self.options, self.own, digest, _users(self.options.htpasswd))
        files = render.files(self.wanted)
        self.marker = hashlib.sha256("\0".join(files.values()).encode()).hexdigest()[:16]
        files[render.MARKER] = render.map_text({changes.KEY: self.marker})
        return files, self.marker

    def check(self, generation: pathlib.Path, candidate: pathlib.Path) -> str:
        """Test the complete tree with this generation in it; "" or HAProxy's error.

        Where only servers and maps are other than those of the running HAProxy, it has tested all else itself, and refuses a
        server or an entry that it cannot take: a test would find nothing, and takes several times longer than the change."""
        if self.wanted and self._reason() == "":
            self.skipped = generation, candidate
            return ""
        return self._test(generation, candidate)

    def _test(self, generation, candidate) -> str:
        candidate.mkdir(exist_ok=True)
        for name in ("haproxy.cfg", "discovery"):
            (candidate / name).unlink(missing_ok=True)
        shutil.copyfile(self.own.config, candidate / "haproxy.cfg")
        (candidate / "discovery").symlink_to(generation)
        command = [self.own.binary, "-c", "-C", str(candidate), "-f", "haproxy.cfg", "-f", "discovery/services.cfg"]
        try:
            result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if result.returncode == 0:
            return ""
        alerts = [line.strip() for line in result.stderr.splitlines() if "[ALERT]" in line]
        return "; ".join(alerts) or result.stderr.strip() or f"{command[0]} ended with {result.returncode}"

    def master(self) -> int:
        """The process that can be reloaded. While it loads anew, it removes its file and writes another one: the process that was
        known before is still the master."""
        for _unused in range(PID_LOOKS):
            with contextlib.suppress(OSError, ValueError):
                self.pid = int(pathlib.Path(self.own.pid_file).read_text())
            if self.pid:
                return self.pid if _is_haproxy(self.pid) else 0
            if not pathlib.Path(self.own.socket).exists():  # it is stopped
                return 0
            time.sleep(PID_PAUSE)
        return 0

    def addresses(self) -> frozenset:
        """The addresses of this host."""
        return addresses.own(self.master())

    def running(self) -> str:
        """The marker of the configuration that serves now; "" when none answers."""
        with contextlib.suppress(OSError), self._runtime() as runtime:
            return changes.marker_of(runtime.ask(f"show map {render.MAPS}{render.MARKER}")[0])
        return ""

    def answers(self, marker) -> bool:
        """Whether it serves this marker; until a new worker is ready, the one of before answers."""
        return self.running() == marker

    def port_taken(self, port) -> str:
        """HAProxy's own check does not see this."""
        return ports.taken(port, self.options.listen)

    def reload(self):
        """Change the running HAProxy where that is enough, else ask its master to load what the link points to; None or []."""
        try:
            if not self.silent and self._changed():
                return None
        except (OSError, ValueError) as error:
            print(f"haproxy: {error}; its files are loaded instead", flush=True)
        problem = self._test(*self.skipped) if self.skipped else ""
        if problem:  # what runs stays as it is, which the caller sees by the marker
            print(f"haproxy: {problem}", flush=True)
        elif master := self.master():
            _await_signals(master)
            os.kill(master, signal.SIGUSR2)
        return []

    def retire(self, before):
        """A new worker asks those of before to finish by itself, when it is ready."""

    def trim(self) -> tuple:
        """Delete servers without a connection that nobody wants, and end the oldest workers that finish their connections beyond
        `old_workers`."""
        with contextlib.suppress(OSError, ValueError), self._runtime(TRIM_PATIENCE) as runtime:
            runtime.ask(*changes.deletions(self._running(runtime)))
        return processes.end_oldest(self._workers(), self.own.old_workers, self.master())

    def hangs(self) -> str:
        """Its master does not take a signal, or its workers are silent on the runtime API and do nothing else meanwhile."""
        master = self.master()
        before = processes.spent(self._workers())
        heard = self._heard() if master else None
        if heard is None:
            return ""
        if processes.deaf(master, signal.SIGUSR2):
            return "HAProxy's master takes no signal"
        return "" if heard or processes.spent(self._workers()) != before else "HAProxy does not answer"

    def _reason(self) -> str:
        """Why what is wanted needs a reload; "" when commands are enough."""
        try:
            with self._runtime(CHANGE_PATIENCE) as runtime:
                return changes.changes(self._running(runtime), self.wanted).reason
        except (OSError, ValueError) as error:
            self.silent = isinstance(error, OSError)
            return str(error)

    def _changed(self) -> bool:
        """Whether commands were enough; then HAProxy has reported that it serves what is wanted."""
        with self._runtime(CHANGE_PATIENCE) as runtime:
            found = changes.changes(self._running(runtime), self.wanted)
            if found.reason:
                return False
            runtime.ask(changes.mark(CHANGING))
            runtime.ask(*found.commands)
            left = changes.changes(self._running(runtime), self.wanted)
            if left.reason or left.commands:
                raise ValueError(f"the runtime API has not changed it: {left.reason or left.commands[0]}")
            runtime.ask(changes.mark(self.marker))
            return True

    def _running(self, runtime):
        files = render.CHANGED
        return changes.running(runtime.ask(*changes.questions(files)), files)

    def _runtime(self, patience=PATIENCE):
        return Runtime(self.own.socket, patience)

    def _workers(self) -> list:
        """The workers; the youngest serves, the others finish their connections."""
        found = processes.children(self.master())
        return [processes.Worker(started, pid, (started, pid, title) != found[-1]) for started, pid, title in found]

    def _heard(self):
        """Whether anything comes over the socket in time, also its end; None where nobody listens."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            try:
                connection.connect(self.own.socket)
                connection.sendall(b"show version\n")
                connection.recv(1)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            except ConnectionError:  # it was closed before the request was there
                return True
            except OSError:  # silence, or more of them wait than may
                return False
            return True


def _await_signals(master):
    """Wait until a master takes the order to load its files. It loses one that comes right after it has loaded them: its new
    worker answers before it has its own handlers, of which that for the end of a worker is the last."""
    for _unused in range(PID_LOOKS):
        if processes.catches(master, signal.SIGCHLD):
            return
        time.sleep(PID_PAUSE)


def _is_haproxy(pid) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("haproxy")
    except OSError:
        return False


def _users(files) -> dict:
    """{name: ["user:hash"]} of the lists of users; a line that is none lets nobody in."""
    texts = {name: _content(file).decode(errors="replace") for name, file in files.items()}
    return {name: [line for line in users(text) if USER.fullmatch(line)] for name, text in texts.items()}


def _content(file):
    """Content of a file; one that cannot be read is reported by HAProxy's own check."""
    try:
        return pathlib.Path(file).read_bytes()
    except OSError:
        return b""
