"""The source of the catalog: whether consul-template follows it, and the status of this balancer in Consul's KV store.

A token that was deleted, or a consul-template that has ended or hangs, leaves a catalog behind that looks good for ever. So the
program asks the same question with the same token: is there an instance of `consul`? And it writes a number to Consul, an echo,
which consul-template has to bring back.
"""

import base64
import dataclasses
import functools
import json
import os
import pathlib
import re
import time

from discovery_program import systemd

from .ask import Agent

UNIT = "consul-template.service"
UNREADABLE = "catalog unreadable: it shows no instance of `consul`; is consul-template's token valid?"
ALWAYS_THERE = "/v1/health/service/consul?passing&stale"  # `stale`: an answer without a leader is good enough
OF_THE_LEADER = "/v1/catalog/service/consul?consistent"  # the leader answers when it has applied its log
TRIES = 3  # attempts to change a key that others change, too
CA = pathlib.Path("/etc/consul.d/tls/ca.pem")  # verifies the agent: while it is down, any local user may listen on its port
# Written by the role consul while a server on this host knows less than its leader.
STARTING = pathlib.Path("/run/consul/starting/names.json")
HANGS = "consul-template hangs, so the catalog is not followed: it does not bring what is written to Consul"
PAST = "a Consul server has just started and no leader answers, so what it shows may be of the past"
SETTLING = 15  # seconds: consul-template's longest pause between two attempts by default is 5, and it has several queries
HIGHEST_ECHO = 1 << 63  # far above every time; Python writes no number of more than 4300 digits
REPORTED = ("state", "reason", "generation", "skipped", "warnings")  # keys of the status in the KV store
# Of the state in the KV store, which is written every few seconds through Raft; Consul refuses values above 512 KiB.
MOST_BYTES, MOST_ENTRIES, LONGEST_REASON = 32 * 1024, 100, 500


class Refused(Exception):
    """Consul does not take the state of this balancer, and will not the next time."""


@dataclasses.dataclass(frozen=True)
class Source:
    """consul-template on this host, and its Consul agent."""

    agent: str  # host:port
    token_file: pathlib.Path
    node: str = ""  # this host's name in Consul; empty: no status is reported
    ca: pathlib.Path = CA
    starting: pathlib.Path = STARTING

    def problem(self) -> str:
        """Why the catalog is not followed at present, as far as units and Consul report it; "" when it is."""
        return self._unit() or self._consul()

    def hangs(self) -> str:
        """The problem of a consul-template that has not brought the echo back; "" when its unit does not run at all."""
        return "" if self._unit() else HANGS

    def restart(self):
        """Start consul-template anew where it runs."""
        systemd.order("try-restart", UNIT)

    def refresh(self, unusable):
        """Make consul-template query again where it would not by itself. Its queries wait for a change of the catalog: a repaired
        token, or a damaged catalog file, is none. And it reads the files of the token and of the CA only at its start.

        :param unusable: whether there is no catalog that could be served
        """
        if self._files_are_newer():
            self.restart()
        elif unusable:
            systemd.order("reload", UNIT)

    def report(self, status, echo) -> bool:
        """Write the status to the KV store with a number that is another one each time; whether it is there. Without Consul
        nothing is lost: the next one writes it.

        :raises Refused: Consul answers that it may not, or cannot be, written
        """
        try:
            code, answer = self._ask("PUT", self._key, reported(status, echo))
        except OSError:
            return False
        if 400 <= code < 500 and code != 429:  # 429: it has too many requests at present
            raise Refused(f"Consul does not take the state of this balancer: {code} {answer[:200].strip()}")
        return code == 200 and answer.strip() == "true"

    def stored(self):
        """The number that Consul shows, None without an answer; it gives none without a leader. It is the leader's. A server on
        this host that has just started may not have it for 10 s, and consul-template reads from that one: so None as well."""
        if self.starting.exists():
            return None
        try:
            code, answer = self._ask("GET", f"{self._key}?raw")
        except OSError:
            return None
        return echo_of(answer) if code == 200 else None

    def settled(self) -> bool:
        """Whether there is a leader that has applied its log; one that has just been elected may answer from before."""
        try:
            return self._ask("GET", OF_THE_LEADER)[0] == 200
        except OSError:
            return False

    def close(self):
        """End the connection to the agent."""
        self._agent.close()

    @property
    def _key(self):
        return f"/v1/kv/discovery/balancer/{self.node}"

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
        except (OSError, ValueError, LookupError) as error:
            return str(error) or repr(error)
        return ""  # others change it; the next run finds what is still missing

    def _unit(self) -> str:
        try:
            state = _property("ActiveState")
        except OSError as error:
            return f"whether consul-template runs is not known: {error}"
        if state in ("active", "reloading"):
            return ""
        why = "it was stopped" if state == "inactive" else _last_error()
        return f"consul-template does not run ({state or 'unknown'}), so the catalog is not followed; {why}"

    def _consul(self) -> str:
        try:
            code, text = self._ask("GET", ALWAYS_THERE)
        except OSError as error:
            return f"Consul at {self.agent} does not answer, so the catalog is not followed: {error}"
        if code == 403:
            return f"Consul refuses consul-template's token, so the catalog is not followed: {text[:200].strip()}"
        if code != 200:
            return f"Consul at {self.agent} has no answer, so the catalog is not followed: {code} {text[:200].strip()}"
        return UNREADABLE if text.strip() in ("[]", "null") else ""

    @functools.cached_property
    def _agent(self):
        return Agent(self.agent, self.token_file, self.ca)

    def _ask(self, method, path, body=None):
        return self._agent.ask(method, path, body)

    def _files_are_newer(self) -> bool:
        """Whether the token or the CA was written after the running consul-template had started; a future time proves nothing."""
        try:
            started, now = _started(_property("MainPID")), time.time()
            return any(started < file.stat().st_mtime <= now for file in (self.token_file, self.ca))
        except (OSError, ValueError):
            return False


def refresh_from_leader(store, settled, catalog_of_leader, starting=STARTING) -> str:
    """Replace the catalog by the leader's while a Consul server on this host has just started, and until consul-template has
    asked it again: it may have read stale data from it, and waits for some seconds where the server has refused its token
    meanwhile. Why the catalog may be one of the past, "" when it is not.

    :param settled: () -> whether there is a leader that has applied its log: one that has just been elected answers other reads
        from before that, and its catalog may be older than the file
    :param catalog_of_leader: () -> the catalog as consul-template would write it, "" for one like the last
    """
    if not (starting.exists() or _ended_lately(starting) or store.distrusts_catalog()):
        return ""
    problem, text = PAST, ""
    if settled():
        try:
            problem, text = "", catalog_of_leader()
        except ValueError as error:
            problem = f"{PAST}: {error}"
    if problem:
        store.distrust_catalog()
    elif text:
        store.write_catalog(text)
    else:
        store.trust_catalog()
    return problem


def _ended_lately(starting) -> bool:
    """Whether the file was removed some seconds ago: then its directory was changed last."""
    try:
        return 0 <= time.time() - starting.parent.stat().st_mtime < SETTLING
    except OSError:
        return False


def reported(status, echo) -> str:
    """The state for the KV store. Long lists of what is skipped, and long reasons, end early: the status on the host has all."""
    entries = MOST_ENTRIES
    while True:
        found = {key: _shortened(status.get(key), entries) for key in REPORTED} | {"echo": echo}
        text = json.dumps(found, sort_keys=True)
        if len(text) <= MOST_BYTES or not entries:
            return text
        entries //= 2


def _shortened(value, entries):
    if isinstance(value, str):
        return value if len(value) <= LONGEST_REASON else value[: LONGEST_REASON - 3] + "..."
    if isinstance(value, list):
        kept = [{key: _shortened(text, entries) for key, text in one.items()} for one in value[:entries]]
        more = [{"name": "...", "reason": f"{len(value) - entries} more: see `discovery-balancer status` on the host"}]
        return kept + more * (len(value) > entries)
    return value


def echo_of(text) -> int:
    """The number in the text of the key, 0 for none."""
    try:
        number = json.loads(text)["echo"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0
    return number if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < HIGHEST_ECHO else 0


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


def _property(name) -> str:
    """A property of consul-template's unit.

    :raises OSError: systemd gives no answer
    """
    return systemd.ask("systemctl", "show", UNIT, "-p", name, "--value").stdout.strip()


def _last_error() -> str:
    """The last error, else warning, in consul-template's journal."""
    try:
        lines = systemd.ask("journalctl", "-u", UNIT, "-n", "40", "-o", "cat", "--no-pager").stdout.splitlines()
    except OSError:
        lines = []
    errors = [line for line in lines if "[ERR]" in line and "back to caller" not in line]
    errors = errors or [line for line in lines if "[WARN]" in line]
    return re.sub(r"^\S*\s*\[(ERR|WARN)\]\s*", "", errors[-1])[:300] if errors else "see its journal"
