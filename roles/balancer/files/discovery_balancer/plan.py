"""Pure: from the catalog to the services a balancer serves.

One bad service never hurts the others: what cannot be served is skipped with its reason, and
everything in a Plan is safe to print into a configuration file.
"""

import dataclasses
import ipaddress
import re

from . import shares
from .patterns import LABEL as LABEL_PATTERN
from .settings import Rejected, Settings, cut, meta, settings, shown, weight

LABEL = re.compile(LABEL_PATTERN)
NAME = re.compile(r"[a-z0-9_-]{1,128}")
TCP_NAME = re.compile(r"[a-z0-9_-]{0,100}-(?P<port>[1-9][0-9]{0,4})")


@dataclasses.dataclass(frozen=True, order=True)
class Instance:
    address: str
    port: int
    weight: int = 1
    version: str = dataclasses.field(default="", compare=False)  # from its meta: anything, never printed


@dataclasses.dataclass(frozen=True)
class Service:
    name: str  # safe in a configuration file: lower case letters, digits, "-" and "_"
    instances: tuple
    port: int = 0  # the listening port of a tcp service
    hosts: tuple = ()  # the names that an http or tls service is reached by
    settings: Settings = Settings()
    shifted: bool = False  # its weights are shares of requests: nothing else may change them, such as the number of connections


@dataclasses.dataclass(frozen=True)
class Plan:
    http: tuple = ()
    tcp: tuple = ()
    skipped: tuple = ()  # (name as in the catalog, reason)
    warnings: tuple = ()  # (name as in the catalog, the setting that is ignored, or not fully applied)
    traffic: dict = dataclasses.field(default_factory=dict)  # name to what its versions get of a hundred
    tls: tuple = ()  # TLS goes through to their instances
    tls_port: int = 0  # where TLS is listened for; 0: nowhere

    @property
    def ports(self) -> frozenset:
        """The ports of the stream listeners."""
        return frozenset([s.port for s in self.tcp] + [self.tls_port] * bool(self.tls_port))

    def without_ports(self, reasons: dict) -> "Plan":
        """The same plan without what would listen on these ports ({port: reason})."""
        dropped = [(s.name, reasons[s.port]) for s in self.tcp if s.port in reasons]
        plan = dataclasses.replace(self, tcp=tuple(s for s in self.tcp if s.port not in reasons))
        if self.tls_port in reasons:
            dropped += [(s.name, reasons[self.tls_port]) for s in self.tls]
            dropped += [] if self.tls else [("TLS", reasons[self.tls_port])]
            plan = dataclasses.replace(plan, tls=(), tls_port=0)
        return dataclasses.replace(plan, skipped=self.skipped + tuple(dropped))


def plan(catalog: dict, options) -> Plan:
    """Every service tagged `http`, `tls` or `tcp` is either in the plan or skipped with a reason.

    :param catalog: what consul-template wrote: {"services": [{"name", "instances": [{"id", "node", "address",
        "port", "tags", "meta", "weight"}]}], "skipped": [{"name", "reason"}], "traffic": {name: shares of its versions}};
        nothing in it is trusted
    :param options: the site's, of which domain, own addresses, ports and certificates matter here
    :returns: services sorted by name; of two that claim one port, or one host and path, the lowest name is served, but a
        service has its own name before others that ask for it in meta

    Names of virtual hosts are DNS names (RFC 1035, 2.3.1; RFC 1123, 2.1), lower-cased.
    """
    skipped = [(cut(s["name"]), cut(s["reason"])) for s in catalog.get("skipped") or []]
    own_addresses = _own(options)
    served, shifted, warnings = {kind: {} for kind in KINDS}, {}, []
    claims = {}  # host, path or port that only one service may have, to the name of that service
    for kind, name, tagged, chosen, problems in _asked_for(catalog.get("services") or []):
        warnings += [(cut(name), problem) for problem in problems]
        try:
            instances, bad = _instances(tagged)
            own = [i.port for i in instances if i.address in own_addresses]
            skipped += [(cut(name), reason) for reason in bad]
            spread = shares.spread(instances, (catalog.get("traffic") or {}).get(name))
            if instances and not spread.instances:
                raise Rejected(spread.warning)
            if name.lower() in served[kind]:
                raise Rejected(f"{kind} {name.lower()} is already taken by another service of that name")
            service, lost = KINDS[kind](name, spread.instances, own, chosen, options, claims)
            served[kind][name.lower()] = dataclasses.replace(service, shifted=bool(spread.percent))
            warnings += [(cut(name), warning) for warning in (*lost, spread.warning) if warning]
            if spread.percent:
                shifted[name] = spread.percent
        except Rejected as rejected:
            skipped.append((cut(name), str(rejected)))
    http, tls, tcp = (tuple(service for _unused, service in sorted(served[kind].items())) for kind in ("http", "tls", "tcp"))
    tls_port = options.tls_port if tls or options.certificates else 0
    return Plan(http, tcp, tuple(skipped), tuple(dict.fromkeys(warnings)), shifted, tls, tls_port)


def _asked_for(entries):
    """(kind, name, instances with its tag, settings, problems) of each service, in the order in which they may choose: by name,
    but those that ask for hosts in meta come last, so that none of them takes the name that another has by itself."""
    found = []
    for entry in entries:
        for kind in KINDS:
            if tagged := [i for i in entry.get("instances") or [] if kind in (i.get("tags") or [])]:
                chosen, problems = settings(tagged)
                found.append((kind, str(entry["name"]), tagged, chosen, problems))
    return sorted(found, key=lambda one: (one[0] != "tcp" and bool(one[3].hosts), one[1], list(KINDS).index(one[0])))


def _http_service(name, instances, own, chosen, options, claims):
    """A virtual host on one or more names, and warnings about names that it does not get."""
    hosts = _hosts(name, chosen, options)
    if chosen.bad_path and chosen.hosts:  # without a path it would take the whole of hosts that may be shared
        raise Rejected("its balancer_path is not a path, and its hosts may be shared")
    _not_ours(own, options.http_port, options.tls_port if options.certificates else 0)
    _some(instances)
    lost = []
    if chosen.protocol == "grpc":
        lost = [f"{host} has no certificate here, and grpc needs TLS" for host in hosts if not options.certificate(host)]
        hosts = tuple(host for host in hosts if options.certificate(host))
    kept, taken = _claimed(name, [("http", host, chosen.path) for host in hosts], claims)
    hosts, lost = tuple(host for _unused, host, _also in kept), lost + taken
    _left(hosts, lost)
    for host in filter(options.certificate, hosts):
        claims.setdefault(("https", host), name)
        if ("tls", host) in claims:
            lost.append(f"TLS for {host} goes through to the service {cut(claims['tls', host])}")
    return Service(name.lower(), instances, hosts=hosts, settings=chosen), lost


def _tls_service(name, instances, own, chosen, options, claims):
    """A service that gets the TLS connections for its hosts as they are, and warnings about hosts that it does not get."""
    hosts = _hosts(name, chosen, options)
    if not options.tls_port:
        raise Rejected("this balancer has no port for TLS")
    _not_ours(own, options.tls_port)
    _some(instances)
    ended = {host: claims["https", host] for host in hosts if claims.get(("https", host), name) != name}
    lost = [f"TLS for {host} ends here, for the service {cut(owner)}" for host, owner in ended.items()]
    kept, taken = _claimed(name, [("tls", host) for host in hosts if host not in ended], claims)
    hosts = tuple(host for _unused, host in kept)
    _left(hosts, lost + taken)
    return Service(name.lower(), instances, hosts=hosts, settings=chosen), lost + taken


def _tcp_service(name, instances, own, chosen, options, claims):
    """A stream listener, on the port that ends the name."""
    match = TCP_NAME.fullmatch(name.lower())
    if not match:
        raise Rejected("the name does not end with -<port>, so there is no port to listen on")
    port = int(match["port"])
    if port > 65535:
        raise Rejected(f"{port} is not a port")
    if port in (options.http_port, options.tls_port, *options.reserved_ports):
        raise Rejected(f"port {port} is reserved")
    if options.tcp_ports and not options.tcp_ports[0] <= port <= options.tcp_ports[1]:
        raise Rejected(f"port {port} is not one of the balancer's published ports {'-'.join(map(str, options.tcp_ports))}")
    if port in own:  # listening would keep that instance from starting, or call the balancer itself
        raise Rejected(f"port {port} belongs to its instance on this host; publish that one on another port")
    _some(instances)
    _left(*_claimed(name, [("tcp", port)], claims))
    return Service(name.lower(), instances, port, settings=chosen), []


KINDS = {"http": _http_service, "tls": _tls_service, "tcp": _tcp_service}


def _not_ours(own, *ports):
    for port in sorted(set(ports) & set(own)):
        raise Rejected(f"its instance on this host claims port {port}, which is the balancer itself")


def _hosts(name, chosen, options):
    """The names that a service asks for."""
    label = name.lower()
    if chosen.hosts:
        if not NAME.fullmatch(label):
            raise Rejected("the name has other characters than letters, digits, hyphens and underscores, or more than 128")
        return chosen.hosts
    if not LABEL.fullmatch(label):
        raise Rejected("the name is not a DNS label (letters, digits and inner hyphens, at most 63)")
    if len(label) + 1 + len(options.domain) > 253:
        raise Rejected(f"the name with .{options.domain} is longer than 253 characters")
    return (f"{label}.{options.domain}",)


def _claimed(name, wanted, claims):
    """The wanted keys that a service gets, and for the others a warning with their owner."""
    kept, taken = [], []
    for key in wanted:
        owner = claims.setdefault(key, name)
        if owner == name:
            kept.append(key)
        else:
            taken.append(f"{' '.join(map(str, key)).strip()} is already taken by the service {cut(owner)}")
    return kept, taken


def _left(kept, lost):
    if not kept:
        raise Rejected("; ".join(lost))


def _own(options):
    return {_printed(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1", *options.addresses)}


def _printed(address):
    return f"[{address}]" if address.version == 6 else str(address)


def _some(instances):
    if not instances:
        raise Rejected("no usable instance")


def _instances(entries):
    """The usable instances, each address and port once, in a fixed order; and the problems of the others."""
    good, bad = [], []
    for entry in entries:
        try:
            good.append(_instance(entry))
        except Rejected as rejected:
            bad.append(f"instance {cut(entry.get('id'))} on {cut(entry.get('node'))}: {rejected}")
    by_socket = {(i.address, i.port): i for i in sorted(good, reverse=True)}
    return tuple(sorted(by_socket.values())), bad


def _instance(entry):
    try:
        address = ipaddress.ip_address(str(entry.get("address")))
    except ValueError:
        raise Rejected(f"the address {shown(entry.get('address'))} is not an IP address") from None
    if getattr(address, "scope_id", None) or address.is_unspecified or address.is_multicast:
        raise Rejected(f"the address {shown(entry.get('address'))} is not one that can be called")
    return Instance(
        _printed(address),
        _integer(entry.get("port"), "port", 65535),
        weight(entry) or _integer(entry.get("weight", 1), "weight", 65535),
        meta(entry).get("version", ""),
    )


def _integer(value, what, highest):
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise Rejected(f"the {what} {shown(value)} is not a number from 1 to {highest}")
    return value
