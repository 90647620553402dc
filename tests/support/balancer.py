"""The balancer of a node, as its sync program reports it; and what differs between the backends, one row for each."""

import json
from dataclasses import dataclass, field

from tests.support.wait import eventually

STATE = "/var/lib/discovery-balancer"
CURRENT = f"{STATE}/current"


@dataclass(frozen=True)
class Backend:
    """A backend of the role balancer. Its name is `discovery_balancer`, and that of its program and its unit as well."""

    package: str  # that has `main`
    main: str  # its main file
    memory: tuple[str, ...]  # its directories in memory
    places: tuple[str, ...]  # of its own files on a host
    managed: tuple[str, ...]  # files and links that its role writes, for `find`; some are there in one deployment only
    files: frozenset[str]  # of a generation
    test: str  # the command that tests a generation in its place
    served: str  # a line of a generation for a virtual host, as a preview shows it: {host}, {service}
    stop: str  # text of a generation for how long old workers may go on: {hours}, or {ms}
    opens: str  # text of a generation that ends TLS
    calm_from: float = float("inf")  # the first release of Debian on which instances come and go without a reload
    silent: bool = False  # it logs nothing until something is wrong
    sandboxed: bool = False  # its unit has our sandbox by a drop-in
    exposure: dict[str, float] = field(default_factory=dict)  # what a unit of ours may have above the table of docs/security.md


BACKENDS = {
    "nginx": Backend(
        "nginx-common",
        "/etc/nginx/nginx.conf",
        ("/run/discovery-balancer", "/run/discovery-balancer-tls"),
        ("/etc/nginx", "/etc/discovery-nginx"),
        ("/etc/discovery-balancer-nginx.json", "/etc/nginx/discovery", "/etc/nginx/nginx.conf"),
        frozenset({"about.json", "http.conf", "main.conf", "stream.conf"}),
        "nginx -t -q",
        "+    server_name {host};",
        "worker_shutdown_timeout {hours}h;",
        "ssl_certificate",
        silent=True,
    ),
    "haproxy": Backend(
        "haproxy",
        "/etc/haproxy/haproxy.cfg",
        ("/run/discovery-haproxy", "/run/discovery-haproxy-tls"),
        ("/etc/haproxy",),
        (
            "/etc/discovery-balancer-haproxy.json", "/etc/haproxy/discovery", "/etc/haproxy/discovery-certificates",
            "/etc/haproxy/haproxy.cfg", "/etc/logrotate.d/discovery-haproxy",
        ),
        frozenset({"about.json", "services.cfg", "hosts.map", "names.map", "marker.map", "structure.map"}),
        "haproxy -c -C /etc/haproxy -f haproxy.cfg -f discovery/services.cfg",
        "+{host}/ {service}",
        "hard-stop-after {ms}ms",
        "crt-list",
        calm_from=12,
        sandboxed=True,
        # Its test compiles regular expressions to machine code.
        exposure={"discovery-balancer.service": 0.1},
    ),
}  # fmt: skip


def backend(site) -> Backend:
    """The backend of a site's load balancers."""
    return BACKENDS[site.balancer]


def reloads_for_instances(site, node) -> bool:
    """Whether a balancer reloads when instances of a known service come and go."""
    return float(node.host.system_info.release) < backend(site).calm_from


def status(node) -> dict:
    """The status of the last sync."""
    return json.loads(node.run(f"cat {STATE}/status.json"))


def synced(node, service: str) -> int:
    """With how many instances a balancer serves a virtual host since its last sync has ended; 0 while it does not. A request that
    is answered proves less: the next one may come to a worker of before, which takes connections until that moment."""
    return status(node)["http"].get(service, 0)


def skipped(node) -> dict[str, str]:
    """Services that the balancer skips, with the reason."""
    return {entry["name"]: entry["reason"] for entry in status(node)["skipped"]}


class Reloading:
    """Makes every balancer reload, by a service whose settings change: instances that come and go are no reload to each backend.
    The service goes with the block.

    :param where: the host of its only instance, at which nobody listens
    """

    name = "test-reloading"

    def __init__(self, site, where):
        self.site, self.where, self.api, self.number = site, where, site.consul(where), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._register()  # so that there is one to deregister
        self.api.send("PUT", f"/v1/agent/service/deregister/{self.name}")

    def once(self, seconds: float) -> None:
        """One change, and wait until each balancer has reloaded for it: a slow sync would take the next one together with it.

        :param seconds: for that
        """
        before = self._reloads()
        self.number += 1
        self._register()
        eventually(lambda: all(now > then for now, then in zip(self._reloads(), before, strict=True)), seconds, every=0.1)

    def _reloads(self) -> list[int]:
        return [status(balancer)["reloads"] for balancer in self.site.balancers]

    def _register(self) -> None:
        entry = {
            "ID": self.name, "Name": self.name, "Address": self.where.address, "Port": 1, "Tags": ["http"],
            "Meta": {"balancer_read_timeout": f"{self.number + 1}s"},
        }  # fmt: skip
        self.api.put("/v1/agent/service/register", entry)
