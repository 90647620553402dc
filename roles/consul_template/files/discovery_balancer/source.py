"""Where the catalog comes from: whether it is still followed, and what Consul is told about this balancer.

A token that was deleted, or a consul-template that has ended, leaves a catalog behind that looks good for ever. So the guard's
timer asks the same question with the same token: is there an instance of `consul`?
"""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import subprocess
import time

UNIT = "consul-template.service"
BLIND = "blind: the catalog shows no instance of `consul`; is consul-template's token valid?"
SEEN_BY_ALL = "/v1/health/service/consul?passing&stale"  # `stale`: an answer without a leader is good enough
TRIES, PAUSE = 3, 2  # a restart of the agent or of consul-template is no reason
PATIENCE = 3  # seconds for an answer of the agent on this host
# Of the role consul: there while a server on this host knows less than its leader.
STARTING = pathlib.Path("/run/consul/starting/names.json")
TOLD = ("state", "reason", "generation", "left_out", "remarks")  # of the status, in the KV store


@dataclasses.dataclass(frozen=True)
class Source:
    """consul-template on this host, and the agent that it asks."""

    agent: str  # host:port
    token_file: pathlib.Path
    node: str = ""  # this host's name in Consul; empty: Consul is told nothing

    def problem(self, clock=time) -> str:
        """Why the catalog is not followed at present, "" when it is. What passes by itself within seconds is none."""
        for attempt in range(TRIES):
            if attempt:
                clock.sleep(PAUSE)
            found = self._unit() or self._consul()
            if not found:
                break
        return found

    def refresh(self, unusable):
        """Make consul-template ask anew where it would not by itself. Its queries wait for a change of the catalog: a repaired
        token, or a file that somebody else has damaged, is none. And it reads the token's file when it starts only.

        :param unusable: whether there is no catalog that could be served
        """
        if self._token_is_newer():
            _run("systemctl", "--no-block", "try-restart", UNIT)
        elif unusable:
            _run("systemctl", "--no-block", "reload", UNIT)

    def tell(self, status):
        """Write the state to the KV store where it says something else (A12). Without Consul nothing is lost: the next run."""
        if not self.node:
            return
        path = f"/v1/kv/discovery/balancer/{self.node}"
        text = json.dumps({key: status.get(key) for key in TOLD}, sort_keys=True)
        try:
            code, present = self._ask("GET", f"{path}?raw")
            if (code, present) != (200, text) and code in (200, 404):
                self._ask("PUT", path, text)
        except (OSError, http.client.HTTPException):
            pass

    def _unit(self) -> str:
        shown = _run("systemctl", "show", UNIT, "-p", "ActiveState", "--value").strip()
        if shown in ("active", "reloading"):
            return ""
        words = "it was stopped" if shown == "inactive" else _last_words()
        return f"consul-template does not run ({shown or 'unknown'}), so the catalog is not followed; {words}"

    def _consul(self) -> str:
        try:
            code, text = self._ask("GET", SEEN_BY_ALL)
        except (OSError, http.client.HTTPException) as error:
            return f"Consul at {self.agent} does not answer, so the catalog is not followed: {error}"
        if code == 403:
            return f"Consul refuses consul-template's token, so the catalog is not followed: {text[:200].strip()}"
        if code != 200:
            return f"Consul at {self.agent} has no answer, so the catalog is not followed: {code} {text[:200].strip()}"
        return BLIND if text.strip() in ("[]", "null") else ""

    def _ask(self, method, path, body=None):
        """Status and text of an answer.

        :raises OSError: there is none, or the token cannot be read
        """
        token = self.token_file.read_text().strip()
        connection = http.client.HTTPConnection(self.agent, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers={"X-Consul-Token": token})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def _token_is_newer(self) -> bool:
        """Whether the token's file was written after the running consul-template had started; a time to come says nothing."""
        pid = _run("systemctl", "show", UNIT, "-p", "MainPID", "--value").strip()
        try:
            return _started(pid) < self.token_file.stat().st_mtime <= time.time()
        except (OSError, ValueError):
            return False


def settle(store, asked_of_leader, starting=STARTING):
    """Have a catalog of the present, where a Consul server on this host has just started: what consul-template has got from it
    may be of the past. Where the leader cannot be asked, nobody has told anything, and the catalog stays as it is.

    :param asked_of_leader: () -> the catalog as consul-template would write it, "" for one like the last
    """
    with contextlib.suppress(ValueError):
        if starting.exists() and (text := asked_of_leader()):
            store.write_catalog(text)


def _started(pid) -> float:
    """When a process was started, in seconds since 1970 (proc(5): field 22 of stat, in ticks since the boot).

    :raises OSError: it does not run
    """
    ticks = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _last_words() -> str:
    """The last complaint in consul-template's journal."""
    lines = _run("journalctl", "-u", UNIT, "-n", "40", "-o", "cat", "--no-pager").splitlines()
    said = [line for line in lines if "[ERR]" in line and "back to caller" not in line]
    said = said or [line for line in lines if "[WARN]" in line]
    return re.sub(r"^\S*\s*\[(ERR|WARN)\]\s*", "", said[-1])[:300] if said else "see its journal"


def _run(*command) -> str:
    """What a command prints, "" where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
