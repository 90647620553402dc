"""The source of the catalog: whether consul-template follows it, and the status of this balancer in Consul's KV store.

A token that was deleted, or a consul-template that has ended, leaves a catalog behind that looks good for ever. So the sync's
timer asks the same question with the same token: is there an instance of `consul`?
"""

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import time

UNIT = "consul-template.service"
UNREADABLE = "catalog unreadable: it shows no instance of `consul`; is consul-template's token valid?"
ALWAYS_THERE = "/v1/health/service/consul?passing&stale"  # `stale`: an answer without a leader is good enough
TRIES, PAUSE = 3, 2  # a restart of the agent or of consul-template is no problem
PATIENCE = 3  # seconds for an answer of the agent on this host
CA = pathlib.Path("/etc/consul.d/tls/ca.pem")  # verifies the agent: while it is down, any local user may listen on its port
# Written by the role consul while a server on this host knows less than its leader.
STARTING = pathlib.Path("/run/consul/starting/names.json")
REPORTED = ("state", "reason", "generation", "skipped", "warnings")  # keys of the status in the KV store


@dataclasses.dataclass(frozen=True)
class Source:
    """consul-template on this host, and its Consul agent."""

    agent: str  # host:port
    token_file: pathlib.Path
    node: str = ""  # this host's name in Consul; empty: no status is reported
    ca: pathlib.Path = CA

    def problem(self, clock=time) -> str:
        """Why the catalog is not followed at present, "" when it is. A problem that ends by itself within seconds is none."""
        for attempt in range(TRIES):
            if attempt:
                clock.sleep(PAUSE)
            found = self._unit() or self._consul()
            if not found:
                break
        return found

    def refresh(self, unusable):
        """Make consul-template query again where it would not by itself. Its queries wait for a change of the catalog: a repaired
        token, or a damaged catalog file, is none. And it reads the files of the token and of the CA only at its start.

        :param unusable: whether there is no catalog that could be served
        """
        if self._files_are_newer():
            _run("systemctl", "--no-block", "try-restart", UNIT)
        elif unusable:
            _run("systemctl", "--no-block", "reload", UNIT)

    def report(self, status):
        """Write the status to the KV store where it differs. Without Consul nothing is lost: the next run writes it."""
        if not self.node:
            return
        path = f"/v1/kv/discovery/balancer/{self.node}"
        text = json.dumps({key: status.get(key) for key in REPORTED}, sort_keys=True)
        try:
            code, present = self._ask("GET", f"{path}?raw")
            if (code, present) != (200, text) and code in (200, 404):
                self._ask("PUT", path, text)
        except (OSError, http.client.HTTPException):
            pass

    def change(self, key, wanted) -> str:
        """Change a key of the KV store, whoever else does at the same time; why that cannot be done, else "".

        :param wanted: (text of the key, None without it) -> the text that it should have
        """
        path = f"/v1/kv/{key}"
        try:
            for _attempt in range(TRIES):
                code, answer = self._ask("GET", path)
                if code not in (200, 404):
                    return f"{code} {answer[:200].strip()}"
                index, present = _entry(answer) if code == 200 else (0, None)
                text = wanted(present)
                if text == present:
                    return ""
                code, answer = self._ask("PUT", f"{path}?cas={index}", text)
                if code != 200:
                    return f"{code} {answer[:200].strip()}"
                if answer.strip() == "true":
                    return ""
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            return str(error) or repr(error)
        return ""  # others change it; the next run finds what is still missing

    def _unit(self) -> str:
        state = _run("systemctl", "show", UNIT, "-p", "ActiveState", "--value").strip()
        if state in ("active", "reloading"):
            return ""
        why = "it was stopped" if state == "inactive" else _last_error()
        return f"consul-template does not run ({state or 'unknown'}), so the catalog is not followed; {why}"

    def _consul(self) -> str:
        try:
            code, text = self._ask("GET", ALWAYS_THERE)
        except (OSError, http.client.HTTPException) as error:
            return f"Consul at {self.agent} does not answer, so the catalog is not followed: {error}"
        if code == 403:
            return f"Consul refuses consul-template's token, so the catalog is not followed: {text[:200].strip()}"
        if code != 200:
            return f"Consul at {self.agent} has no answer, so the catalog is not followed: {code} {text[:200].strip()}"
        return UNREADABLE if text.strip() in ("[]", "null") else ""

    def _ask(self, method, path, body=None):
        """Status and text of an answer.

        :raises OSError: there is none, the agent is not one of this site, or the token or the CA cannot be read
        """
        token = self.token_file.read_text().strip()
        context = ssl.create_default_context(cafile=self.ca)
        connection = http.client.HTTPSConnection(self.agent, timeout=PATIENCE, context=context)
        try:
            connection.request(method, path, body=body, headers={"X-Consul-Token": token})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def _files_are_newer(self) -> bool:
        """Whether the token or the CA was written after the running consul-template had started; a future time proves nothing."""
        pid = _run("systemctl", "show", UNIT, "-p", "MainPID", "--value").strip()
        try:
            started, now = _started(pid), time.time()
            return any(started < file.stat().st_mtime <= now for file in (self.token_file, self.ca))
        except (OSError, ValueError):
            return False


def refresh_from_leader(store, catalog_of_leader, starting=STARTING):
    """Replace the catalog by the leader's while a Consul server on this host has just started: consul-template may have read
    stale data from it. Without an answer of the leader the catalog stays as it is.

    :param catalog_of_leader: () -> the catalog as consul-template would write it, "" for one like the last
    """
    with contextlib.suppress(ValueError):
        if starting.exists() and (text := catalog_of_leader()):
            store.write_catalog(text)


def _entry(answer) -> tuple:
    """(index, text) of a key as the KV store answers for it."""
    entry = json.loads(answer)[0]
    return entry["ModifyIndex"], base64.b64decode(entry["Value"] or "").decode(errors="replace")


def _started(pid) -> float:
    """When a process was started, in seconds since 1970 (proc(5): field 22 of stat, in ticks since the boot).

    :raises OSError: it does not run
    """
    ticks = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _last_error() -> str:
    """The last error, else warning, in consul-template's journal."""
    lines = _run("journalctl", "-u", UNIT, "-n", "40", "-o", "cat", "--no-pager").splitlines()
    errors = [line for line in lines if "[ERR]" in line and "back to caller" not in line]
    errors = errors or [line for line in lines if "[WARN]" in line]
    return re.sub(r"^\S*\s*\[(ERR|WARN)\]\s*", "", errors[-1])[:300] if errors else "see its journal"


def _run(*command) -> str:
    """Output of a command, "" where it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
