"""A balancer, a clock and a state directory for tests of the program."""

import json

from tests.support.clock import Clock

from discovery_balancer import sync
from discovery_balancer.backends.haproxy.backend import CHANGE_PATIENCE, TRIM_PATIENCE
from discovery_balancer.backends.nginx.backend import PATIENCE
from discovery_balancer.backends.nginx.deployment import HostProcess
from discovery_balancer.options import Options
from discovery_balancer.store import Store

# By backend: seconds that further calls wait for an answer while nothing answers; see test_haproxy.py.
WAITS = {"nginx": {}, "haproxy": {"trim": TRIM_PATIENCE, "check": CHANGE_PATIENCE, "reload": CHANGE_PATIENCE}}


class Balancer:
    """Runs what the link points to when it is reloaded, as nginx does."""

    unit = "standin.service"

    def __init__(self, store):
        self.store = store
        self.pid, self.loaded, self.problem, self.obeys = 1, "", "", True
        self.checks = self.reloads = 0
        self.retired, self.trimmed, self.silence = [], (0, 0), ""
        self.own = frozenset()
        self.frozen_by, self.waits = None, {}  # a clock that passes while nothing answers, by WAITS
        self.silent = False  # found by the check of this sync

    def files(self, plan):
        text = repr(plan.http + plan.tcp)
        return {"http.conf": text, "stream.conf": ""}, f"marker of {text}"

    def check(self, generation, candidate):
        self.checks += 1
        self.silent = self.frozen_by is not None
        self._waits("", self.waits.get("check", 0))
        return self.problem

    def master(self):
        return self.pid

    def addresses(self):
        return self.own

    def _waits(self, answer, seconds=PATIENCE):
        """What it answers; frozen nothing, after the time that is waited for an answer."""
        if self.frozen_by is None:
            return answer
        self.frozen_by.sleep(seconds)
        return ""

    def running(self):
        return self._waits(self.loaded)

    def answers(self, marker):
        return self.running() == marker

    def port_taken(self, port):
        return HostProcess(None, ["0.0.0.0"]).port_taken(port)

    def reload(self):
        self.reloads += 1
        before = self.loaded
        self._waits("", 0 if self.silent else self.waits.get("reload", 0))
        if self.obeys and self.frozen_by is None:
            self.loaded = self.store.current().marker
        return before

    def retire(self, before):
        self.retired.append((before, self.loaded))

    def trim(self):
        self._waits("", self.waits.get("trim", 0))
        return self.trimmed

    def hangs(self):
        return self.silence if self.frozen_by is None else self._waits("") or "it does not answer"


class Site:
    """A state directory with a balancer and a clock; `run` is one sync."""

    def __init__(self, path):
        self.store, self.clock = Store(path), Clock(1000.0)
        self.balancer = Balancer(self.store)
        self.options = Options(domain="hospital.example", keep_generations=3)

    def catalog(self, *names, consul=3, tags=("http",)):
        entry = {"id": "i", "node": "n", "address": "10.0.0.1", "port": 80, "tags": list(tags)}
        services = [{"name": name, "instances": [entry]} for name in names]
        (self.store.root / "catalog.json").write_text(json.dumps({"consul": consul, "services": services, "skipped": []}))

    def run(self, patience=0, source=None):
        return sync.sync(
            self.store, lambda: self.options, lambda options: self.balancer, self.clock, patience=patience, source=source
        )

    def served(self):
        return (self.store.link / "http.conf").read_text()
