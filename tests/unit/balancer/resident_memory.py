"""Prints the memory of a resident program in KiB: python3 -I -S -B resident_memory.py DIRECTORY NUMBER-OF-SERVICES"""

import contextlib
import hashlib
import io
import json
import pathlib
import ssl
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[3] / f"roles/{role}/files") for role in ("balancer", "common")]

from discovery_balancer import addresses, backends, resident  # noqa: E402
from discovery_balancer.backends.nginx.render import render_nginx  # noqa: E402
from discovery_balancer.options import Options  # noqa: E402
from discovery_balancer.store import Store  # noqa: E402

ROUNDS = 5


class Balancer:
    """Renders as nginx's backend does, and loads what the link points to."""

    unit, loaded = "x.service", ""

    def __init__(self, store, options):
        self.store, self.options = store, options

    def files(self, plan):
        files = render_nginx(plan, self.options)
        return files, hashlib.sha256("".join(files.values()).encode()).hexdigest()

    def check(self, generation, candidate):
        return ""

    def master(self):
        return 1

    def addresses(self):
        addresses.own()  # its memory counts; those of this machine do not
        return frozenset()

    def running(self):
        return self.loaded

    def answers(self, marker):
        return self.loaded == marker

    def reload(self):
        self.loaded = self.store.current().marker

    def retire(self, before):
        pass

    def trim(self):
        return 0, 0

    def hangs(self):
        return ""


class Source:
    def problem(self):
        return ""

    def refresh(self, unusable):
        pass

    def report(self, status, echo):
        return False

    def settled(self):
        return False

    def change(self, key, wanted):
        wanted(None)
        return ""


def catalog(folder, count):
    services = [
        {
            "name": f"service-{number}",
            "instances": [
                {"id": f"c{host}:service-{number}:80", "node": f"host-{host}", "address": f"192.168.0.{host}",
                 "port": 20000 + number, "tags": ["http"], "meta": {}, "weight": 1}
                for host in (1, 2, 3)
            ],
            "failing": [],
        }
        for number in range(count)
    ]  # fmt: skip
    (folder / "new").write_text(json.dumps({"consul": 3, "services": services, "skipped": [], "traffic": {}, "owners": {}}))
    (folder / "new").rename(folder / "catalog.json")


def main():
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    store, options = Store(folder), Options(domain="hospital.example", reload_interval=0)
    backends.make(options)  # the real one's modules as well
    context = ssl.create_default_context()  # as large as that of a site's CA, or larger
    balancer = Balancer(store, options)
    program = resident.Resident(store, lambda: options, lambda chosen: balancer, lambda chosen: Source())
    with contextlib.redirect_stdout(io.StringIO()):
        for number in range(ROUNDS):
            catalog(folder, count - number % 2)
            time.sleep(resident.BREATH * 1.2)
            program.turn()
    assert context and len(store.status()["http"]) == count, store.status()["reason"]
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


main()
