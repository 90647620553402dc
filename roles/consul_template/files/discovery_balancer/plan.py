"""Pure: from the catalog to the services a balancer serves.

One bad service never hurts the others: what cannot be served is left out with its reason, and
everything in a Plan is safe to print into a configuration file.
"""

import dataclasses
import ipaddress
import re

from . import traffic

LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
TCP_NAME = re.compile(r"[a-z0-9_-]{0,100}-(?P<port>[1-9][0-9]{0,4})")


@dataclasses.dataclass(frozen=True, order=True)
class Instance:
    address: str
    port: int
    weight: int = 1
    version: str = dataclasses.field(default="", compare=False)  # as it says itself: anything, never printed


@dataclasses.dataclass(frozen=True)
class Service:
    name: str  # safe in a configuration file: lower case letters, digits, "-" and "_"
    instances: tuple
    port: int = 0  # the listening port of a tcp service
    shifted: bool = False  # its weights are shares of requests: nothing else may count, such as the number of connections


@dataclasses.dataclass(frozen=True)
class Plan:
    http: tuple = ()
    tcp: tuple = ()
    left_out: tuple = ()  # (name as in the catalog, reason)
    remarks: tuple = ()  # (name as in the catalog, what is not as it was asked for); the service is served
    traffic: dict = dataclasses.field(default_factory=dict)  # name to what its versions get of a hundred

    def without_ports(self, reasons: dict) -> "Plan":
        """The same plan without the tcp services on these ports ({port: reason})."""
        return dataclasses.replace(
            self,
            tcp=tuple(s for s in self.tcp if s.port not in reasons),
            left_out=self.left_out + tuple((s.name, reasons[s.port]) for s in self.tcp if s.port in reasons),
        )


class Refused(Exception):
    """A service or an instance that cannot be served, and why."""


def plan(catalog: dict, options) -> Plan:
    """Every service tagged `http` or `tcp` is either in the plan or left out with a reason.

    :param catalog: what consul-template wrote: {"services": [{"name", "instances": [{"id", "node", "address",
        "port", "tags", "meta", "weight"}]}], "skipped": [{"name", "reason"}], "traffic": {name: shares of its versions}};
        nothing in it is trusted
    :param options: domain, own addresses and reserved ports count here
    :returns: services sorted by name; of two that claim one port or host the lowest name is served

    Names of virtual hosts are DNS labels (RFC 1035, 2.3.1; RFC 1123, 2.1), lower-cased.
    """
    left_out = [(str(s["name"]), str(s["reason"])) for s in catalog.get("skipped") or []]
    served, shifted, remarks = {"http": {}, "tcp": {}}, {}, []
    for entry in sorted(catalog.get("services") or [], key=lambda entry: str(entry["name"])):
        for kind, build in (("http", _http_service), ("tcp", _tcp_service)):
            tagged = [i for i in entry.get("instances") or [] if kind in (i.get("tags") or [])]
            if not tagged:
                continue
            try:
                instances, bad = _instances(tagged)
                own = [i.port for i in instances if i.address in _own(options)]
                left_out += [(str(entry["name"]), reason) for reason in bad]
                spread = traffic.spread(instances, (catalog.get("traffic") or {}).get(entry["name"]))
                if instances and not spread.instances:
                    raise Refused(spread.remark)
                key, service = build(str(entry["name"]), spread.instances, own, options)
                if key in served[kind]:
                    raise Refused(f"{kind} {key} is already taken by the service {served[kind][key].name}")
                served[kind][key] = dataclasses.replace(service, shifted=bool(spread.percent))
                remarks += [(str(entry["name"]), spread.remark)] if spread.remark else []
                if spread.percent:
                    shifted[str(entry["name"])] = spread.percent
            except Refused as refused:
                left_out.append((str(entry["name"]), str(refused)))
    return Plan(
        tuple(served["http"].values()), tuple(served["tcp"].values()), tuple(left_out), tuple(dict.fromkeys(remarks)), shifted
    )


def _http_service(name, instances, own, options):
    """Key and service of a virtual host; the key is what two services may not share."""
    label = name.lower()
    if not LABEL.fullmatch(label):
        raise Refused("the name is not a DNS label (letters, digits and inner hyphens, at most 63)")
    if len(label) + 1 + len(options.domain) > 253:
        raise Refused(f"the name with .{options.domain} is longer than 253 characters")
    if options.http_port in own:
        raise Refused(f"its instance on this host claims port {options.http_port}, which is the balancer itself")
    return label, Service(label, _some(instances))


def _tcp_service(name, instances, own, options):
    """Key and service of a stream listener, on the port that ends the name."""
    match = TCP_NAME.fullmatch(name.lower())
    if not match:
        raise Refused("the name does not end with -<port>, so there is no port to listen on")
    port = int(match["port"])
    if port > 65535:
        raise Refused(f"{port} is not a port")
    if port == options.http_port or port in options.reserved_ports:
        raise Refused(f"port {port} is reserved")
    if options.tcp_ports and not options.tcp_ports[0] <= port <= options.tcp_ports[1]:
        raise Refused(f"port {port} is not one of the balancer's published ports {'-'.join(map(str, options.tcp_ports))}")
    if port in own:  # listening would keep that instance from starting, or call the balancer itself
        raise Refused(f"port {port} belongs to its instance on this host; publish that one on another port")
    return port, Service(name.lower(), _some(instances), port)


def _own(options):
    return {_printed(ipaddress.ip_address(a)) for a in ("127.0.0.1", "::1", *options.addresses)}


def _printed(address):
    return f"[{address}]" if address.version == 6 else str(address)


def _some(instances):
    if not instances:
        raise Refused("no usable instance")
    return instances


def _instances(entries):
    """The usable instances, each address and port once, in a fixed order; and what is wrong with the rest."""
    good, bad = [], []
    for entry in entries:
        try:
            good.append(_instance(entry))
        except Refused as refused:
            bad.append(f"instance {entry.get('id')!s} on {entry.get('node')!s}: {refused}")
    by_place = {(i.address, i.port): i for i in sorted(good, reverse=True)}
    return tuple(sorted(by_place.values())), bad


def _instance(entry):
    try:
        address = ipaddress.ip_address(str(entry.get("address")))
    except ValueError:
        raise Refused(f"the address {entry.get('address')!r} is not an IP address") from None
    if getattr(address, "scope_id", None) or address.is_unspecified or address.is_multicast:
        raise Refused(f"the address {entry.get('address')!r} is not one that can be called")
    return Instance(
        _printed(address),
        _integer(entry.get("port"), "port", 65535),
        _integer(entry.get("weight", 1), "weight", 65535),
        str((entry.get("meta") or {}).get("version") or ""),
    )


def _integer(value, what, highest):
    if type(value) is not int or not 1 <= value <= highest:
        raise Refused(f"the {what} {value!r} is not a number from 1 to {highest}")
    return value
