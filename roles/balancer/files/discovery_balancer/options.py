"""Settings of the site: /etc/discovery-balancer.json, and beside it /etc/discovery-balancer-<backend>.json for the backend."""

import dataclasses
import functools
import ipaddress
import json
import pathlib
import re

from . import consul_ui, headers
from .patterns import CERTIFIED, CLIENT_CA, DOMAIN, FILE, MAX_AGE, REDIRECT, THUMBPRINT, USERS, certified_by, page_problem

AGENT = re.compile(r"([^/@:\s]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
DURATION = re.compile(r"[0-9]+(ms|s|m|h)")
BOUNDS = ("weight_ratio", "owner_grace")  # options about services of which one could hurt another
# Options that the backend's file may replace: only it knows where the backend runs, where it listens for itself, and what it can.
OF_BACKEND = (
    "listen", "tcp_ports", "reserved_ports", "most_header_size", "udp", "htpasswd", "client_cas", "tls_proxy_protocol",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    domain: str
    balancer: str = "nginx"  # the backend
    addresses: tuple = ()  # the host's own
    listen: tuple = ("0.0.0.0",)
    http_port: int = 80
    tls_port: int = 443  # for TLS, passed through or ended here; 0: none
    certificates: tuple = ()  # {"names": [host or "*.domain", …], "certificate": file, "key": file}; TLS for them ends here
    acme_thumbprint: str = ""  # of the account whose challenges each balancer answers; empty: of none
    https_redirect: str = "false"  # status of a redirect to HTTPS, where a service has no own; false: none
    hsts: str = ""  # max-age in seconds, where a host has no own; empty: none
    response_headers: dict = dataclasses.field(default_factory=dict)  # name to value of headers that are added to answers
    gzip: bool = False  # whether answers of text are compressed, where a service has no own word
    allow: tuple = ()  # networks whose clients are let in, where a service names none; empty: all
    pages: dict = dataclasses.field(default_factory=dict)  # status to HTML in place of the program's own
    basic_auth: str = ""  # name of a list of users, where a service has no own word; empty: none
    htpasswd: dict = dataclasses.field(default_factory=dict)  # name of each list of users to its file
    client_cas: dict = dataclasses.field(default_factory=dict)  # name of each CA of clients to its file
    proxy_protocol_from: tuple = ()  # networks of balancers in front, which send the client's address before each connection
    tls_proxy_protocol: bool = False  # whether the backend can send it to instances of tls services
    default_host: str = ""  # virtual host that answers for names that nobody has; empty: none
    maintenance: tuple = ()  # virtual hosts whose requests get the page about maintenance
    tcp_ports: tuple = ()  # lowest and highest port of a tcp service; empty: any
    udp_ports: tuple = ()  # lowest and highest port of a udp service; empty: there are none
    udp: bool = True  # whether the backend balances UDP
    reserved_ports: tuple = (22, 53, 80, 443, 2376, 2377, 7946, 8300, 8301, 8302, 8500, 8501, 8600)
    hosts: dict = dataclasses.field(default_factory=dict)  # name of each host of the site to its address
    balancers: tuple = ()  # addresses of the site's load balancers
    service_hosts: dict = dataclasses.field(default_factory=dict)  # service or virtual host to the hosts that may offer it
    weight_ratio: int = 5  # most that an instance's weight may be, in weights of another one of its service; 0: any
    owner_grace: int = 10  # seconds for which a service that has gone keeps its names and ports
    # No instance has an address in these: "this" host, loopback, link-local, multicast, reserved.
    refused_networks: tuple = (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::/127", "fe80::/10", "ff00::/8",
    )  # fmt: skip
    most_header_size: int = 64  # KiB, of answers, that a service may ask for
    max_fails: int = 3
    tries: int = 3  # instances tried for one request
    fail_timeout: str = "5s"
    keepalive: int = 64
    keepalive_timeout: str = "1s"
    reload_interval: float = 1.0
    sync_interval: float = 15  # seconds between two syncs that nothing has asked for
    agent: str = "127.0.0.1:8501"  # Consul's, by HTTPS
    node: str = ""  # this host's name, under which Consul's KV store gets the status
    max_backoff: str = "5s"  # longest pause of consul-template between two attempts
    keep_generations: int = 5
    consul_ui: dict = dataclasses.field(default_factory=dict)  # Consul's UI, see consul_ui.py; {}: none
    consul_ca: str = ""  # of the site, PEM; read beside the options where the UI needs it
    backend: dict = dataclasses.field(default_factory=dict)  # options that only the backend knows

    def __post_init__(self):
        """Reject what could not be rendered safely; the message names the option and the value."""
        if not isinstance(self.domain, str) or len(self.domain) > 253 or not DOMAIN.fullmatch(self.domain):
            raise ValueError(f"domain: {self.domain!r} is not a DNS name in lower case")
        for name in ("fail_timeout", "keepalive_timeout"):
            if not DURATION.fullmatch(str(getattr(self, name))):
                raise ValueError(f"{name}: {getattr(self, name)!r} is not a time such as '5s'")
        for name in ("http_port", "tls_port", "max_fails", "tries", "keepalive", "keep_generations", "most_header_size", *BOUNDS):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{name}: {value!r} is not a whole number")
        for name in ("tcp_ports", "udp_ports"):
            ports = getattr(self, name)
            if ports and not (len(ports) == 2 and 1 <= ports[0] <= ports[1] <= 65535):
                raise ValueError(f"{name}: {ports!r} is not a lowest and a highest port")
        for one in self.certificates:
            if set(one) != {"names", "certificate", "key"} or not one["names"]:
                raise ValueError(f"certificates: {one!r} has not names, certificate and key")
            if not all(CERTIFIED.fullmatch(str(name)) for name in one["names"]):
                raise ValueError(f"certificates: {one['names']!r} are not DNS names in lower case")
            if not all(FILE.fullmatch(str(one[file])) for file in ("certificate", "key")):
                raise ValueError(f"certificates: {one['certificate']!r} or {one['key']!r} is not the absolute path of a file")
        if self.certificates and not self.tls_port:
            raise ValueError("certificates: there is no tls_port to use them on")
        found = headers.merged((name, str(value)) for name, value in self.response_headers.items())
        for name, value in found:
            if reason := headers.problem(name, value):
                raise ValueError(f"response_headers: {name!r}: {value!r}: {reason}")
        if headers.bounded(found) != found:
            raise ValueError(f"response_headers: they are more than {headers.MOST}, or {headers.LONGEST} characters")
        for status, text in self.pages.items():
            if reason := page_problem(status, text):
                raise ValueError(f"pages: {reason}")
        if not all(USERS.fullmatch(str(name)) and FILE.fullmatch(str(file)) for name, file in self.htpasswd.items()):
            raise ValueError(f"htpasswd: {self.htpasswd!r} are not lists of users with their files")
        if not all(CLIENT_CA.fullmatch(str(name)) and FILE.fullmatch(str(file)) for name, file in self.client_cas.items()):
            raise ValueError(f"client_cas: {self.client_cas!r} are not names of CAs with their files")
        if self.basic_auth and not USERS.fullmatch(str(self.basic_auth)):
            raise ValueError(f"basic_auth: {self.basic_auth!r} is not the name of a list of users")
        if self.default_host and not DOMAIN.fullmatch(str(self.default_host)):
            raise ValueError(f"default_host: {self.default_host!r} is not a DNS name in lower case")
        for host in self.maintenance:
            if not DOMAIN.fullmatch(str(host)):
                raise ValueError(f"maintenance: {host!r} is not a DNS name in lower case")
        for network in (*self.allow, *self.proxy_protocol_from):
            ipaddress.ip_network(network)
        if not isinstance(self.gzip, bool):
            raise ValueError(f"gzip: {self.gzip!r} is neither true nor false")
        if not REDIRECT.fullmatch(str(self.https_redirect)):
            raise ValueError(f"https_redirect: {self.https_redirect!r} is not '301', '308' or 'false'")
        if self.acme_thumbprint and not THUMBPRINT.fullmatch(str(self.acme_thumbprint)):
            raise ValueError(f"acme_thumbprint: {self.acme_thumbprint!r} is not 43 characters of base64url")
        if self.hsts and not MAX_AGE.fullmatch(str(self.hsts)):
            raise ValueError(f"hsts: {self.hsts!r} is not a number of seconds from '0' to '99999999'")
        for name in ("reload_interval", "sync_interval"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"{name}: {value!r} is not a number of seconds")
        if reason := consul_ui.problem(self.consul_ui):
            raise ValueError(f"consul_ui: {reason}")
        if not AGENT.fullmatch(str(self.agent)):
            raise ValueError(f"agent: {self.agent!r} is not a host and a port, such as 127.0.0.1:8501")
        for address in (*self.addresses, *self.listen, *self.balancers, *self.hosts.values()):
            ipaddress.ip_address(address)
        if not all(isinstance(hosts, (list, tuple)) for hosts in self.service_hosts.values()):
            raise ValueError(f"service_hosts: {self.service_hosts!r} is not a list of hosts for each name")

    @functools.cached_property
    def limited(self) -> dict:
        """`service_hosts` as sets, in lower case; a service's list is that of its own virtual host, too."""
        found = {}
        for name, hosts in self.service_hosts.items():
            key = str(name).lower()
            found[key] = set(hosts)
            if "." not in key:
                found.setdefault(f"{key}.{self.domain}", set(hosts))
        return found

    @functools.cached_property
    def at_hosts(self) -> frozenset:
        """The addresses by which instances on hosts of the site are called, this one included."""
        return frozenset(map(ipaddress.ip_address, (*self.addresses, *self.hosts.values())))

    @functools.cached_property
    def at_balancers(self) -> frozenset:
        """The addresses of the load balancers, this one included."""
        return frozenset(map(ipaddress.ip_address, (*self.addresses, *self.balancers)))

    @functools.cached_property
    def certified(self) -> dict:
        """Each name that a certificate is for, "*.domain" as well, and that certificate; of two the first."""
        return {name: one for one in reversed(self.certificates) for name in one["names"]}

    def compressed(self, service) -> bool:
        """Whether the text that a service answers is compressed."""
        return service.settings.gzip == "true" or (self.gzip and not service.settings.gzip)

    def allowed(self, service) -> tuple:
        """Networks whose clients a service lets in; empty: all."""
        return service.settings.allow or self.allow

    def users_of(self, chosen) -> str:
        """The name of the list of users that these settings of a service let in; "" for everybody."""
        name = chosen.basic_auth or self.basic_auth
        return "" if name == "false" else name

    def added_headers(self, service) -> tuple:
        """(name, value) of the headers that are added to the answers of a service."""
        site = ((name, str(value)) for name, value in self.response_headers.items())
        return headers.merged(site, service.settings.response_headers)

    def certificate(self, host):
        """The certificate for a host, by its name or that of all names beside it; None without one."""
        return self.certified.get(certified_by(host, self.certified))


def load(path: pathlib.Path) -> Options:
    """Read both files, and the CA of Consul where the UI needs it; lists become tuples, an unknown option is an error.

    :param path: the site's file
    """
    options = Options(**_read(path))
    backend = _read(path.with_name(f"{path.stem}-{options.balancer}.json"))
    replaced = {name: backend.pop(name) for name in OF_BACKEND if name in backend}
    ca = consul_ui.authority() if options.consul_ui else ""
    return dataclasses.replace(options, backend=backend, consul_ca=ca, **replaced)


def _read(path) -> dict:
    if not path.exists():
        raise ValueError(f"there is no {path} yet: the role of the balancer writes it")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(path.read_text()).items()}
