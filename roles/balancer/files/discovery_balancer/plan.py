"""Pure: from the catalog to the services a balancer serves.

One bad service never hurts the others: what cannot be served is skipped with its reason, and
everything in a Plan is safe to print into a configuration file.
"""

import dataclasses
import functools
import ipaddress
import re

from . import shares
from .consul_ui import TITLE as UI_TITLE
from .consul_ui import ConsulUi
from .consul_ui import planned as planned_ui
from .owners import MOST_BYTES_OF_SERVICE, Claims, register_of, register_text
from .patterns import HTTPS_PORT
from .patterns import LABEL as LABEL_PATTERN
from .settings import Rejected, Settings, cut, meta, settings, shown, unguarded, weight
from .times import seconds

LABEL = re.compile(LABEL_PATTERN)
NAME = re.compile(r"[a-z0-9_-]{1,128}")
TCP_NAME = re.compile(r"[a-z0-9_-]{0,100}-(?P<port>[1-9][0-9]{0,4})")
# SSH, DNS, dockerd, the overlay network and Consul: no instance on a host of the site.
PLATFORM_PORTS = frozenset((22, 53, 2375, 2376, 2377, 4789, 7946, 8300, 8301, 8302, 8500, 8501, 8502, 8503, 8600))
# DNS, DHCP, NTP, the overlay network and Consul: no udp service listens there.
UDP_PLATFORM_PORTS = frozenset((53, 67, 68, 123, 546, 547, 4789, 7946, 8301, 8302, 8600))
LONGEST_UDP_SILENCE = "10m"  # sessions of udp services share a bound, and whoever sends may name any sender
# Meta by which our registrator knows its entries, and which of them are UDP ports.
REGISTRATOR_MARK, UDP_MARK = "registrator", "registrator-protocol"


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
    port: int = 0  # the listening port of a tcp or udp service
    hosts: tuple = ()  # the names that an http or tls service is reached by
    settings: Settings = Settings()
    encrypted: tuple = ()  # those of its hosts for which TLS ends here
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
    owners: dict = dataclasses.field(default_factory=dict, compare=False)  # claim to service, see owners.py
    asking: frozenset = dataclasses.field(default=frozenset(), compare=False)  # (claim, kind, service) of all in the catalog
    udp: tuple = ()  # listeners for datagrams
    consul_ui: ConsulUi = None  # Consul's own UI, where the site wants it

    @property
    def client_cas(self) -> dict:
        """{virtual host: name of the CA whose clients' certificates it asks for}, of those for which TLS ends here."""
        return {host: s.settings.ca for s in self.http if s.settings.ca for host in s.encrypted}

    @property
    def ports(self) -> frozenset:
        """The ports of the stream listeners: numbers of TCP, and "5140/udp"."""
        return frozenset([s.port for s in self.tcp] + [self.tls_port] * bool(self.tls_port) + [_udp(s.port) for s in self.udp])

    def without_ports(self, reasons: dict) -> "Plan":
        """The same plan without what would listen on these ports ({port: reason})."""
        dropped = [(s.name, reasons[s.port]) for s in self.tcp if s.port in reasons]
        dropped += [(s.name, reasons[_udp(s.port)]) for s in self.udp if _udp(s.port) in reasons]
        plan = dataclasses.replace(
            self,
            tcp=tuple(s for s in self.tcp if s.port not in reasons),
            udp=tuple(s for s in self.udp if _udp(s.port) not in reasons),
        )
        if self.tls_port in reasons:
            dropped += [(s.name, reasons[self.tls_port]) for s in self.tls]
            dropped += [] if self.tls else [("TLS", reasons[self.tls_port])]
            dropped += [(UI_TITLE, reasons[self.tls_port])] * bool(self.consul_ui)
            plan = dataclasses.replace(plan, tls=(), tls_port=0, consul_ui=None)
        return dataclasses.replace(plan, skipped=self.skipped + tuple(dropped))


def _udp(port) -> str:
    return f"{port}/udp"


def plan(catalog: dict, options, own=frozenset()) -> Plan:
    """Every service tagged `http`, `tls` or `tcp` is either in the plan or skipped with a reason; so is one tagged `udp` whose
    name ends with one of the site's ports for these. Registrators give that tag to every UDP port of a container.

    :param catalog: what consul-template wrote: {"services": [{"name", "instances": [{"id", "node", "address",
        "port", "tags", "meta", "weight"}], "failing": [the same of those that are not passing]}],
        "skipped": [{"name", "reason"}], "traffic": {name: shares of its versions}, "owners": {key: the register}};
        nothing in it is trusted
    :param options: the site's, of which domain, addresses, ports, certificates and limits of services matter here
    :param own: networks that hold all addresses of the balancer and of its host ("172.17.0.1/32"), as `addresses.own` reads them
    :returns: services sorted by name; of two that claim one port, or one host and path, the owner is served. Without one it is
        the lowest name, but a service has its own name before others that ask for it in meta

    Names of virtual hosts are DNS names (RFC 1035, 2.3.1; RFC 1123, 2.1), lower-cased.
    """
    skipped = [(cut(s["name"]), cut(s["reason"])) for s in catalog.get("skipped") or []]
    served, shifted, warnings = {kind: {} for kind in KINDS}, {}, []
    asked, asking, neighbours = _asked_for(catalog.get("services") or [], options)
    claims = Claims(register_of(register_text(catalog)), asking)
    listening = {protocol: _listening(claims, protocol, options) for protocol in ("tcp", "udp")}
    for kind, name, tagged, chosen, problems, bad in asked:
        warnings += [(cut(name), problem) for problem in problems]
        skipped += [(cut(name), reason) for reason in bad]
        try:
            protocol = "udp" if kind == "udp" else "tcp"
            instances, bad = _instances(tagged, options, own, protocol, listening[protocol])
            skipped += [(cut(name), reason) for reason in bad]
            instances, bounded = _bounded(instances, options.weight_ratio)
            warnings += [(cut(name), reason) for reason in bounded]
            spread = shares.spread(instances, (catalog.get("traffic") or {}).get(name))
            if instances and not spread.instances:
                raise Rejected(spread.warning)
            known = f"name {kind} {name.lower()}"
            if not claims.free(known, name):
                raise Rejected(f"{kind} {cut(name.lower())} is already taken by another service of that name")
            if kind in ("tcp", "udp"):
                _left_to_instances(kind, name, listening[kind], neighbours[kind], options)
            service, lost = KINDS[kind](name, spread.instances, chosen, options, claims)
            claims.take(known, name)
            served[kind][name.lower()] = dataclasses.replace(service, shifted=bool(spread.percent))
            warnings += [(cut(name), warning) for warning in (*lost, spread.warning) if warning]
            if spread.percent:
                shifted[name] = spread.percent
        except Rejected as rejected:
            skipped.append((cut(name), str(rejected)))
    served["http"], bad, ignored = _one_ca_for_each_host(served["http"])
    skipped, warnings = skipped + bad, warnings + ignored
    http, tls, tcp, udp = (tuple(service for _unused, service in sorted(served[kind].items())) for kind in KINDS)
    tls_port = options.tls_port if tls or options.certificates else 0
    warnings = tuple(dict.fromkeys(warnings))
    ui, reason = planned_ui(options)
    skipped += [(UI_TITLE, reason)] if reason else []
    return Plan(http, tcp, tuple(skipped), warnings, shifted, tls, tls_port, claims.owners, frozenset(asking), udp, ui)


def _asked_for(entries, options):
    """(kind, name, instances with its tag, settings, problems, reasons of skipped instances) of each service, all that is asked
    for, {(claim, kind, name)}, and the instances at load balancers, {"tcp" or "udp": {port: names of their services}}. The order
    is that in which they may choose where there is no owner: by name, but those that ask for hosts in meta come last, so that
    none of them takes the name that another has by itself.

    Instances that are not passing count for what is asked for: a service that fails keeps what it has.
    """
    found, asking, neighbours = [], set(), {"tcp": {}, "udp": {}}
    for entry in entries:
        name = str(entry["name"])
        for kind in KINDS:
            tagged, datagrams = _tagged(name, entry.get("instances"), kind, options)
            there, bad = _allowed(name, tagged, options)
            there, open_ = _guarded(there)
            bad += datagrams + open_
            failing, _unused = _allowed(name, _tagged(name, entry.get("failing"), kind, options)[0], options)
            chosen, problems = settings(there, options.allow)
            if there and chosen.hosts and options.service_hosts:
                there, more = _allowed(name, there, options, chosen.hosts)
                bad += more
            if there or bad:
                found.append((kind, name, there, chosen, problems, bad))
            for port in (instance.get("port") for instance in there + failing if _place(instance) in options.at_balancers):
                at = neighbours["udp" if kind == "udp" else "tcp"]
                at.setdefault(port if isinstance(port, int) else 0, set()).add(name)
            for one in {chosen, *(settings([instance])[0] for instance in there + failing)} if there or failing else ():
                asking |= {(claim, kind, name) for claim in _claims_of(kind, name, one, options)}
    found.sort(key=lambda one: (one[0] not in ("tcp", "udp") and bool(one[3].hosts), one[1], list(KINDS).index(one[0])))
    return found, asking, neighbours


def _tagged(name, instances, kind, options):
    """The instances with a tag, and the reasons of those that are UDP ports: their number of TCP may be another service's. The
    ports of a container have the same tags, so of those that are balanced as UDP nothing is said for the other kinds."""
    tagged = [instance for instance in instances or [] if kind in (instance.get("tags") or [])]
    balanced = _is_balanced_udp(name, options)
    if kind == "udp":
        return [instance for instance in tagged if balanced and _is_udp(instance)], []
    datagrams = [f"{_titled(instance)}: it is a UDP port, and {kind} is TCP" for instance in tagged if _is_udp(instance)]
    datagrams = [] if balanced else datagrams
    return [instance for instance in tagged if not _is_udp(instance)], datagrams


def _is_balanced_udp(name, options) -> bool:
    """Whether the site lets a service of this name have a UDP port of its load balancers."""
    match = TCP_NAME.fullmatch(name.lower())
    return bool(match and options.udp_ports and options.udp_ports[0] <= int(match["port"]) <= options.udp_ports[1])


def _is_udp(instance) -> bool:
    """Whether an instance is a UDP port: by our registrator's mark, by the end of the id that any registrator gives it, or, where
    another program has registered it, by the tag. A container's tags may be of both its protocols."""
    about = meta(instance)
    if about.get(UDP_MARK) == "udp" or str(instance.get("id")).endswith(":udp"):
        return True
    return REGISTRATOR_MARK not in about and "udp" in (instance.get("tags") or [])


def _allowed(name, instances, options, hosts=()):
    """The instances on hosts that may offer a service and its virtual hosts (`service_hosts`), and the reasons of the others.

    :param hosts: virtual hosts of the whole service; without them those of each instance
    """
    if not options.service_hosts:
        return instances, []
    good, bad = [], []
    for instance in instances:
        asked = hosts or settings([instance])[0].hosts or (f"{name.lower()}.{options.domain}",)
        where = _hosts_of(instance, options)
        limits = options.limited
        wrong = next((key for key in (name.lower(), *asked) if key in limits and not where <= limits[key]), None)
        if wrong is None:
            good.append(instance)
        else:
            place = ", ".join(cut(host) for host in sorted(where))
            bad.append(f"{_titled(instance)}: discovery_service_hosts does not let {place} offer {cut(wrong)}")
    return good, bad


def _guarded(instances):
    """The instances without those that would be open to clients that they want to keep away, and the reasons of these."""
    found = [(instance, unguarded(instance)) for instance in instances]
    bad = [f"{_titled(instance)}: {reason}" for instance, reason in found if reason]
    return [instance for instance, reason in found if not reason], bad


def _hosts_of(instance, options):
    """The hosts of an instance: its node, and the host that has its address; they differ when somebody registers for another."""
    return {str(instance.get("node"))} | {host for host, at in options.hosts.items() if at == str(instance.get("address"))}


def _titled(instance):
    return f"instance {cut(instance.get('id'))} on {cut(instance.get('node'))}"


def _claims_of(kind, name, chosen, options):
    """All that a service may become the owner of."""
    claims = [f"name {kind} {name.lower()}"]
    if kind in ("tcp", "udp"):
        match = TCP_NAME.fullmatch(name.lower())
        return [*claims, f"{kind} {int(match['port'])}"] if match else claims
    for host in chosen.hosts or (f"{name.lower()}.{options.domain}",):
        claims += [f"tls {host}"] + [_http_claim(host, chosen.path)] * (kind == "http")
    return claims


def _http_claim(host, path):
    return f"http {host} {path}".strip()


def _http_service(name, instances, chosen, options, claims):
    """A virtual host on one or more names, and warnings about names that it does not get."""
    hosts = _hosts(name, chosen, options)
    if chosen.bad_path and chosen.hosts:  # without a path it would take the whole of hosts that may be shared
        raise Rejected("its balancer_path is not a path, and its hosts may be shared")
    _some(instances)
    if (users := options.users_of(chosen)) and users not in options.htpasswd:
        raise Rejected(f"balancer_htpasswd has no list {users}, and without it everybody would get in")
    if chosen.ca and chosen.ca not in options.client_cas:
        raise Rejected(f"balancer_client_cas has no CA {chosen.ca}, and without it everybody would get in")
    chosen, lost = _possible(chosen, options)
    clear = [host for host in hosts if not options.certificate(host)]
    if chosen.protocol == "grpc":
        lost += ["balancer_sticky: gRPC clients keep no cookies"] if chosen.sticky else []
        lost += ["balancer_rewrite: the paths of gRPC are not rewritten"] if chosen.rewrite else []
        chosen = dataclasses.replace(chosen, sticky="", rewrite="")
        lost += [f"{host} has no certificate here, and grpc needs TLS" for host in clear]
    if chosen.ca:
        lost += [f"{host} has no certificate here, and certificates of clients need TLS" for host in clear]
    if chosen.protocol == "grpc" or chosen.ca:
        hosts = tuple(host for host in hosts if host not in clear)
    kept, taken = _claimed(name, {_http_claim(host, chosen.path): host for host in hosts}, claims, options.consul_ui.get("name"))
    hosts, lost = tuple(kept), lost + taken
    _left(hosts, lost)
    encrypted = []
    for host in filter(options.certificate, hosts):
        owner = claims.take(f"tls {host}", name)
        if (f"tls {host}", "tls", owner) in claims.asking:
            lost.append(f"TLS for {host} goes through to the service {cut(owner)}")
        else:
            encrypted.append(host)
    lost += ["balancer_proxy_protocol is of tcp and tls: ignored"] if chosen.proxy_protocol else []
    chosen, ignored = _of_https(chosen, hosts, encrypted, options.tls_port)
    clear = [host for host in hosts if host not in encrypted or (chosen.https_redirect or options.https_redirect) == "false"]
    if clear and chosen.basic_auth not in ("", "false"):
        ignored.append(f"balancer_basic_auth: passwords for {cut(', '.join(clear))} come in clear, without a redirect to HTTPS")
    return Service(name.lower(), instances, hosts=hosts, settings=chosen, encrypted=tuple(encrypted)), lost + ignored


def _possible(chosen, options):
    """The settings without those that this backend cannot have, and a warning for each of these."""
    most = options.most_header_size
    if not chosen.header_size or int(chosen.header_size.rstrip("k")) <= most:
        return chosen, []
    size = f"balancer_header_size {shown(chosen.header_size)}"
    reason = f"{size} is more than {options.balancer} can hold here, {most}k; the site's applies"
    return dataclasses.replace(chosen, header_size=""), [reason]


def _of_https(chosen, hosts, encrypted, tls_port):
    """The settings without what a service cannot decide, and a warning for each that has no effect.

    :param encrypted: those of its hosts for which TLS ends here
    :param tls_port: 0 for none
    """
    ignored = []
    if chosen.hsts and chosen.path:  # browsers keep it for the host, whose other paths may be others'
        ignored.append("balancer_hsts is of a whole host, and it has a path: ignored")
        chosen = dataclasses.replace(chosen, hsts="")
    if chosen.hsts not in ("", "0") and tls_port not in (0, HTTPS_PORT):  # nobody would reach the host any more (RFC 6797, 8.3)
        ignored.append(f"balancer_hsts sends browsers to port {HTTPS_PORT}, and balancer_tls_port is {tls_port}: ignored")
        chosen = dataclasses.replace(chosen, hsts="")
    clear = cut(", ".join(host for host in hosts if host not in encrypted))
    wanted = {"https_redirect": chosen.https_redirect not in ("", "false"), "hsts": chosen.hsts}
    ignored += [
        f"balancer_{key} has no effect for {clear}: TLS for it does not end here" for key in wanted if wanted[key] and clear
    ]
    return chosen, ignored


def _one_ca_for_each_host(services):
    """The http services without hosts on which another one asks for certificates of another CA: a client is asked before it
    names a path. The service with the shortest path decides, then the lowest name. And the reasons, of services and of hosts.

    :param services: {name: Service}
    """
    kept, skipped, lost, cas = {}, [], [], {}
    for name, service in sorted(services.items(), key=lambda one: (len(one[1].settings.path), one[0])):
        ca = service.settings.ca
        other = {host: cas[host] for host in service.hosts if ca and cas.get(host, ca) != ca}
        reasons = [f"{host} asks for certificates of the CA {theirs} already, not of {ca}" for host, theirs in other.items()]
        hosts = tuple(host for host in service.hosts if host not in other)
        if not hosts:
            skipped.append((cut(name), "; ".join(reasons)))
            continue
        cas |= dict.fromkeys(hosts, ca) if ca else {}
        lost += [(cut(name), reason) for reason in reasons]
        encrypted = tuple(host for host in service.encrypted if host in hosts)
        kept[name] = dataclasses.replace(service, hosts=hosts, encrypted=encrypted) if other else service
    return kept, skipped, lost


def _without_guards(chosen):
    """Reject a service that asks for passwords or certificates where connections go on as they are."""
    for key, asked in (("basic_auth", chosen.basic_auth not in ("", "false")), ("client_ca", chosen.ca)):
        if asked:
            raise Rejected(f"balancer_{key} is of http alone, and without it everybody would get in")


def _tls_service(name, instances, chosen, options, claims):
    """A service that gets the TLS connections for its hosts as they are, and warnings about hosts that it does not get."""
    hosts = _hosts(name, chosen, options)
    _without_guards(chosen)
    if not options.tls_port:
        raise Rejected("this balancer has no port for TLS")
    lost_log = [] if chosen.access_log else ["balancer_access_log is of http, tcp and udp: connections by TLS have their lines"]
    if chosen.proxy_protocol and not options.tls_proxy_protocol:
        raise Rejected(f"{options.balancer} cannot send the PROXY protocol to a tls service, which waits for it; haproxy can")
    _some(instances)
    kept, lost = _claimed(name, {f"tls {host}": host for host in hosts}, claims, options.consul_ui.get("name"))
    _left(kept, lost)
    return Service(name.lower(), instances, hosts=tuple(kept), settings=chosen), lost + lost_log


def _tcp_service(name, instances, chosen, options, claims):
    """A stream listener, on the port that ends the name."""
    _without_guards(chosen)
    port = _port_of(name)
    if problem := _port_problem("tcp", port, options):
        raise Rejected(problem)
    _some(instances)
    _left(*_claimed(name, {f"tcp {port}": port}, claims))
    return Service(name.lower(), instances, port, settings=chosen), []


def _udp_service(name, instances, chosen, options, claims):
    """A listener for datagrams, on the port that ends the name, and a warning about a silence that is too long."""
    _without_guards(chosen)
    port = _port_of(name)
    if not options.udp:
        raise Rejected(f"{options.balancer} does not balance UDP; discovery_balancer: nginx does")
    if problem := _port_problem("udp", port, options):
        raise Rejected(problem)
    _some(instances)
    _left(*_claimed(name, {f"udp {port}": port}, claims))
    lost = ["balancer_proxy_protocol is of tcp and tls: ignored"] if chosen.proxy_protocol else []
    if seconds(chosen.read_timeout) > seconds(LONGEST_UDP_SILENCE):
        lost += [f"balancer_read_timeout {shown(chosen.read_timeout)} is too long for UDP: {LONGEST_UDP_SILENCE} applies"]
        chosen = dataclasses.replace(chosen, read_timeout=LONGEST_UDP_SILENCE)
    return Service(name.lower(), instances, port, settings=chosen), lost


KINDS = {"http": _http_service, "tls": _tls_service, "tcp": _tcp_service, "udp": _udp_service}


def _port_of(name) -> int:
    """The port that ends the name of a tcp service."""
    match = TCP_NAME.fullmatch(name.lower())
    if not match:
        raise Rejected("the name does not end with -<port>, so there is no port to listen on")
    return int(match["port"])


def _port_problem(kind, port, options) -> str:
    """Why the balancer listens on no such port for tcp or udp services, "" when it may."""
    if port > 65535:
        return f"{port} is not a port"
    if kind == "udp":
        return f"port {port} is reserved" if port in (*UDP_PLATFORM_PORTS, *options.reserved_ports) else ""
    if port in (options.http_port, options.tls_port, *options.reserved_ports):
        return f"port {port} is reserved"
    if options.tcp_ports and not options.tcp_ports[0] <= port <= options.tcp_ports[1]:
        return f"port {port} is not one of the balancer's published ports {'-'.join(map(str, options.tcp_ports))}"
    return ""


def _listening(claims, protocol, options) -> dict:
    """{port: service} of the tcp or udp services that have a port already: an instance at a load balancer with such a port is
    none."""
    ports = {claim.partition(" ")[2]: service for claim, service in claims.owners.items() if claim.startswith(f"{protocol} ")}
    found = {int(port): service for port, service in ports.items() if port.isascii() and port.isdecimal()}
    if protocol == "udp":
        found = {port: service for port, service in found.items() if _is_balanced_udp(service, options)}
    return {port: service for port, service in found.items() if not _port_problem(protocol, port, options)}


def _left_to_instances(kind, name, listening, neighbours, options):
    """Reject a service whose port nobody has yet, and that instances on load balancers have: listening there would keep them from
    starting, and who called the port of a balancer would call itself. So a newcomer hurts neither a service nor an instance."""
    port = _port_of(name)
    if port in listening or port not in neighbours or _port_problem(kind, port, options):
        return
    if name in neighbours[port]:
        raise Rejected(f"port {port} belongs to its instance on a load balancer; publish that one on another port")
    raise Rejected(f"port {port} belongs to an instance of the service {cut(min(neighbours[port]))} on a load balancer")


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


def _claimed(name, wanted, claims, own=None):
    """The values of the wanted claims that a service gets, and for the others the reason, with their owner.

    :param wanted: {claim: value}
    :param own: a value that the platform has itself
    """
    kept, taken = [], []
    for claim, value in wanted.items():
        if value == own:
            taken.append(f"{value} is the name of Consul's UI ({UI_TITLE})")
            continue
        if not claims.room(claim, name):
            taken.append(f"{cut(claim)} is one claim too many: those of a service have {MOST_BYTES_OF_SERVICE} bytes together")
            continue
        owner = claims.take(claim, name)
        if owner == name:
            kept.append(value)
        elif not claims.here(claim):
            taken.append(f"{claim} is kept for a moment for the service {cut(owner)}, which has gone")
        elif claim.startswith("tls ") and (claim, "tls", owner) not in claims.asking:
            taken.append(f"TLS for {value} ends here, for the service {cut(owner)}")
        else:
            taken.append(f"{claim} is already taken by the service {cut(owner)}")
    return kept, taken


def _left(kept, lost):
    if not kept:
        raise Rejected("; ".join(lost))


def _printed(address):
    return f"[{address}]" if address.version == 6 else str(address)


def _some(instances):
    if not instances:
        raise Rejected("no usable instance")


def _instances(entries, options, own, protocol, listening):
    """The usable instances, each address and port once, in a fixed order; and the problems of the others."""
    good, bad = [], []
    for entry in entries:
        try:
            good.append(_instance(entry, options, own, protocol, listening))
        except Rejected as rejected:
            bad.append(f"{_titled(entry)}: {rejected}")
    by_socket = {(i.address, i.port): i for i in sorted(good, reverse=True)}
    return tuple(sorted(by_socket.values())), bad


def _instance(entry, options, own, protocol, listening):
    try:
        address, plain = _address(str(entry.get("address")))
    except ValueError:
        raise Rejected(f"the address {shown(entry.get('address'))} is not an IP address") from None
    if getattr(address, "scope_id", None) or any(plain in network for network in _networks(options.refused_networks)):
        raise Rejected(f"the address {shown(entry.get('address'))} is not one that can be called")
    if plain.version == 6 and own and not _routes_ipv6(own):
        raise Rejected(f"{plain} is an address of IPv6, and the load balancer has none")
    if plain not in options.at_hosts and _among(plain, own):
        raise Rejected(f"{plain} is an address of the load balancer's own host, and not the one of the inventory")
    port = _integer(entry.get("port"), "port", 65535)
    if port in PLATFORM_PORTS and plain in options.at_hosts:
        raise Rejected(f"port {port} of a host of the site belongs to the platform")
    if protocol == "tcp" and port in (options.http_port, options.tls_port) and plain in options.at_balancers:
        raise Rejected(f"{plain} port {port} is a load balancer")
    if port in listening and plain in options.at_balancers:
        raise Rejected(f"{plain} port {port} is a load balancer, which listens there for the service {cut(listening[port])}")
    return Instance(
        _printed(address),
        port,
        weight(entry) or _integer(entry.get("weight", 1), "weight", 65535),
        meta(entry).get("version", ""),
    )


def _place(entry):
    """The address that an instance is called by; None where it is none."""
    try:
        return _address(str(entry.get("address")))[1]
    except ValueError:
        return None


@functools.lru_cache(maxsize=1024)
def _address(text):
    """An address, and the one that is called by it: of IPv4 in IPv6 that of IPv4."""
    address = ipaddress.ip_address(text)
    return address, getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=4)
def _networks(texts):
    return [ipaddress.ip_network(text) for text in texts]


def _among(address, texts) -> bool:
    """Whether an address is in one of the networks, most of which hold one only."""
    single, wider = _split(texts)
    return address in single or any(address in network for network in wider)


@functools.lru_cache(maxsize=4)
def _routes_ipv6(texts) -> bool:
    """Whether one of the networks is of IPv6 and more than a link's."""
    networks = (ipaddress.ip_network(text) for text in texts)
    return any(network.version == 6 and not network.is_link_local for network in networks)


@functools.lru_cache(maxsize=4)
def _split(texts):
    networks = [ipaddress.ip_network(text) for text in texts]
    return {n.network_address for n in networks if n.num_addresses == 1}, [n for n in networks if n.num_addresses > 1]


def _bounded(instances, ratio):
    """The same instances, none with more than `ratio` times the weight of another; and the reasons."""
    most = ratio * min((i.weight for i in instances), default=0)
    if not ratio or all(i.weight <= most for i in instances):
        return instances, []
    over = [f"{i.address}:{i.port}" for i in instances if i.weight > most]
    listed = ", ".join(over[:5]) + (" ..." if over[5:] else "")
    reason = f"the weight of {listed} counts as {most}: no more than {ratio} times the lowest of the service"
    return tuple(dataclasses.replace(i, weight=min(i.weight, most)) for i in instances), [reason]


def _integer(value, what, highest):
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= highest:
        raise Rejected(f"the {what} {shown(value)} is not a number from 1 to {highest}")
    return value
