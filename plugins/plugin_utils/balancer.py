"""Mistakes in the site settings of the role balancer."""

from __future__ import annotations

import importlib.util
import ipaddress
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping

from .balancer_certificates import SOURCES, certificates, source_of
from .client_cas import client_ca_problem

# DNS, DHCP, NTP, the overlay network and Consul.
UDP_OF_HOSTS = (53, 67, 68, 123, 546, 547, 4789, 7946, 8301, 8302, 8600)
LONGEST_SHOWN = 500
CHOICES = f"{', '.join(SOURCES[:-1])} or {SOURCES[-1]}"
HTTP_PORT = 80  # of challenges
# What stands in a file that a shell reads (dehydrated's configuration): no quotation marks, blanks, $ or backslashes.
ACME_DIRECTORY = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[A-Za-z0-9._~/%-]*)?")
EMAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}")
RANGE = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
# One source of patterns and limits: the program on the hosts has the same files.
PROGRAM = pathlib.Path(__file__).parents[2] / "roles/balancer/files/discovery_balancer"


def _of_the_program(name):
    spec = importlib.util.spec_from_file_location(f"discovery_balancer_{name}", PROGRAM / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def balancer_problems(host: str, settings: Mapping, backends: Iterable[str]) -> list[str]:
    """Mistakes in the role's variables, one message each: variable, host, value, and the value to set.

    :param host: inventory name
    :param settings: the role's variables by their full names: balancer_backend, balancer_domain, balancer_deployment,
        balancer_network, balancer_http_port, balancer_tls_port, balancer_tcp_ports, balancer_udp_ports,
        balancer_certificates, balancer_certificates_from, balancer_acme_directory, balancer_acme_ca (a file of this machine),
        balancer_acme_email, balancer_acme_thumbprint, balancer_https_redirect, balancer_hsts, balancer_response_headers,
        balancer_pages, balancer_htpasswd (name to content), balancer_basic_auth, balancer_client_cas (name to content),
        balancer_allow, balancer_trusted_proxies, balancer_proxy_protocol_from, balancer_default_host, balancer_maintenance,
        balancer_access_log, balancer_sync_interval, balancer_consul_address, balancer_consul_ui, balancer_consul_ui_networks,
        balancer_consul_servers, balancer_consul_server_name, and each limit (limits.py)
    :param backends: names of the known backends
    :returns: [] when there is none
    """
    problems = [*_of_the_backend(settings, backends), *_of_all(settings), *_of_certificates(settings), *_of_limits(settings)]
    problems += _of_acme(settings)
    problems += _of_consul_ui(settings) if settings["balancer_consul_ui"] else []
    if settings["balancer_deployment"] == "overlay":
        problems += _of_the_container(settings)
    return [f"{variable} is {_shown(variable, settings[variable])} on {host}: {advice}" for variable, advice in problems]


def _shown(variable: str, value) -> str:
    """A value in a message, without the end of a long one such as a page, and without hashes of passwords and other content."""
    text = repr(list(value) if variable in ("balancer_htpasswd", "balancer_client_cas") else value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _of_the_backend(settings: Mapping, backends: Iterable[str]) -> Iterator[tuple[str, str]]:
    known = sorted(backends)
    if settings["balancer_backend"] not in known:
        yield "balancer_backend", f"set discovery_balancer to a known backend: {', '.join(known)}"


def _of_all(settings: Mapping) -> Iterator[tuple[str, str]]:
    if not _of_the_program("patterns").DOMAIN.fullmatch(str(settings["balancer_domain"])):
        yield (
            "balancer_domain",
            ("set discovery_domain to the DNS name, in lower case, of the virtual hosts, such as hospital.example"),
        )
    if not 1 <= _number(settings["balancer_http_port"]) <= 65535:
        yield "balancer_http_port", "set it to a port from 1 to 65535"
    tls = _number(settings["balancer_tls_port"])
    if not 0 <= tls <= 65535 or tls == _number(settings["balancer_http_port"]):
        yield "balancer_tls_port", "set it to a port from 1 to 65535 that is not balancer_http_port, or to 0 for none"
    if settings["balancer_udp_ports"] and settings["balancer_backend"] == "haproxy":
        yield "balancer_udp_ports", "HAProxy balances no UDP: leave it empty, or set discovery_balancer to nginx"
    elif settings["balancer_udp_ports"] and not _is_range(settings["balancer_udp_ports"], UDP_OF_HOSTS):
        listed = ", ".join(map(str, UDP_OF_HOSTS))
        yield (
            "balancer_udp_ports",
            f"set it to the lowest and the highest port, such as 5140-5149, without those of hosts ({listed}), or leave it empty",
        )
    domain, name = _of_the_program("patterns").DOMAIN, str(settings["balancer_default_host"])
    if name and not domain.fullmatch(name):
        yield "balancer_default_host", "set it to a DNS name in lower case, such as portal.hospital.example, or leave it empty"
    wrong = [str(host) for host in settings["balancer_maintenance"] if not domain.fullmatch(str(host))]
    if wrong:
        yield "balancer_maintenance", f"{', '.join(wrong)} is no DNS name in lower case, such as portal.hospital.example"
    mode = settings["balancer_deployment"]
    if mode not in ("host", "overlay") or (mode == "overlay" and not settings["balancer_network"]):
        yield (
            "balancer_deployment",
            ("set discovery_balancer_deployment to host, or to overlay together with discovery_overlay, whose network it is"),
        )
    patterns = _of_the_program("patterns")
    if not patterns.REDIRECT.fullmatch(str(settings["balancer_https_redirect"]).lower()):
        yield "balancer_https_redirect", "set it to 301, 308 or false"
    if not patterns.MAX_AGE.fullmatch(str(settings["balancer_hsts"]) or "0"):
        yield "balancer_hsts", "set it to a number of seconds from 0 to 99999999, or leave it empty for none"
    elif str(settings["balancer_hsts"]) not in ("", "0") and tls not in (0, patterns.HTTPS_PORT):
        advice = f"browsers would ask port {patterns.HTTPS_PORT} only, and balancer_tls_port is {tls}"
        yield "balancer_hsts", f"{advice}: leave it empty, or set balancer_tls_port to {patterns.HTTPS_PORT}"
    yield from _of_headers(settings["balancer_response_headers"])
    yield from _of_pages(settings)
    yield from _of_users(settings)
    yield from _of_client_cas(settings)
    for variable in ("balancer_trusted_proxies", "balancer_allow", "balancer_proxy_protocol_from"):
        wrong = [str(network) for network in settings[variable] if not _is_network(network)]
        if wrong:
            yield variable, f"{', '.join(wrong)} is no IP address and no network such as 10.1.0.0/16"
    if not 5 <= _number(settings["balancer_sync_interval"]) <= 30:
        yield "balancer_sync_interval", "set it to 5 to 30 seconds"
    if str(settings["balancer_consul_address"]).endswith(":8500"):
        yield "balancer_consul_address", "consul-template uses HTTPS: set it to 127.0.0.1:8501, or leave it unset"


def _of_headers(wanted: Mapping) -> Iterator[tuple[str, str]]:
    headers, variable = _of_the_program("headers"), "balancer_response_headers"
    found = headers.merged((str(name), str(value)) for name, value in wanted.items())
    for name, value in found:
        if reason := headers.problem(name, value):
            yield variable, f"{name}: {reason}"
    if headers.bounded(found) != found:
        yield variable, f"leave at most {headers.MOST} of them, and {headers.LONGEST} characters"


def _of_pages(settings: Mapping) -> Iterator[tuple[str, str]]:
    patterns, variable = _of_the_program("patterns"), "balancer_pages"
    longest = patterns.LONGEST_PAGE
    if settings["balancer_backend"] == "haproxy":  # a page has to fit into one of its buffers
        longest = min(longest, 1024 * _number(str(settings["balancer_header_size"]).rstrip("k")) + 8192)
    for status, text in settings[variable].items():
        if reason := patterns.page_problem(status, text, longest):
            yield variable, f"{reason}; set statuses with their HTML"


def _of_users(settings: Mapping) -> Iterator[tuple[str, str]]:
    patterns, variable = _of_the_program("patterns"), "balancer_htpasswd"
    for name, text in settings[variable].items():
        if reason := patterns.users_problem(name, text):
            yield variable, f"{reason}; set names of lists with their files"
    if settings["balancer_basic_auth"] and settings["balancer_basic_auth"] not in settings[variable]:
        listed = ", ".join(settings[variable]) or "none"
        yield "balancer_basic_auth", f"set it to one of balancer_htpasswd ({listed}), or leave it empty"


def _of_client_cas(settings: Mapping) -> Iterator[tuple[str, str]]:
    patterns, variable = _of_the_program("patterns"), "balancer_client_cas"
    for name, text in settings[variable].items():
        if not patterns.CLIENT_CA.fullmatch(str(name)):
            yield variable, f"{name!r} is no name of a CA: set at most 32 small letters, digits, hyphens and underscores"
        elif reason := client_ca_problem(text):
            yield variable, f"the file of {name} {reason}; set names of CAs with their files"


def _of_limits(settings: Mapping) -> Iterator[tuple[str, str]]:
    for limit in _of_the_program("limits").LIMITS:
        if advice := limit.problem(settings[limit.variable]):
            yield limit.variable, advice


def _of_certificates(settings: Mapping) -> Iterator[tuple[str, str]]:
    patterns, seen = _of_the_program("patterns"), set()
    variable, default = "balancer_certificates", str(settings["balancer_certificates_from"])
    if default not in SOURCES:
        yield "balancer_certificates_from", f"set it to {CHOICES}"
    for one in settings[variable]:
        names = [str(name) for name in one.get("names") or []]
        bad = [name for name in names if not patterns.CERTIFIED.fullmatch(name)]
        if bad or not names:
            listed = ", ".join(bad) or "none"
            yield variable, f"names are {listed}: set host names in lower case, or *.hospital.example for those below"
        if twice := sorted(seen & set(names)):
            yield variable, f"{', '.join(twice)} stands in two of them: leave it in one"
        seen |= set(names)
        source = source_of(one, default)
        if one.get("from") and source not in SOURCES:
            yield variable, f"from is {source!r}: set it to {CHOICES}"
        for key in ("certificate", "key"):
            value = str(one.get(key) or "")
            if source == "files" and not patterns.FILE.fullmatch(value):
                advice = "set it to the absolute path of a file on this host"
                yield variable, f"{key} is {value!r}: {advice}, or leave both out and set from to site_ca or acme"
            if source in ("site_ca", "acme") and value:
                yield variable, f"{key} is {value!r}, and from is {source}: leave it out, or set from to files"
    if (settings[variable] or default == "site_ca") and _number(settings["balancer_tls_port"]) == 0:
        yield "balancer_tls_port", "certificates (balancer_certificates, balancer_certificates_from) need a port, such as 443"


def _of_acme(settings: Mapping) -> Iterator[tuple[str, str]]:
    """Mistakes in what is ordered by ACME, and in whence."""
    default, thumb = str(settings["balancer_certificates_from"]), "balancer_acme_thumbprint"
    if settings[thumb] and not _of_the_program("patterns").THUMBPRINT.fullmatch(str(settings[thumb])):
        yield thumb, "set it to the 43 characters that your ACME client shows, or leave it empty for none"
    ordered = [one for one in settings["balancer_certificates"] if source_of(one, default) == "acme"]
    if not ordered:
        if default == "acme":
            advice = "no certificate has names: set balancer_certificates, such as [{names: [portal.hospital.example]}]"
            yield "balancer_certificates_from", advice
        return
    if wild := [str(name) for one in ordered for name in one.get("names") or [] if str(name).startswith("*")]:
        advice = "a CA verifies no such name by HTTP: set each host name, or certificate and key"
        yield "balancer_certificates", f"{', '.join(wild)} is from acme, and {advice}"
    if settings[thumb]:
        yield thumb, "leave it empty: certificates are from acme, whose account is the site's own"
    if not ACME_DIRECTORY.fullmatch(str(settings["balancer_acme_directory"])):
        yield "balancer_acme_directory", "set it to a URL that begins with https://"
    ca = str(settings["balancer_acme_ca"])
    if ca and not pathlib.Path(ca).expanduser().is_file():
        advice = "set it to one with the CA of balancer_acme_directory, or leave it empty"
        yield "balancer_acme_ca", f"the controller has no such file: {advice}"
    if settings["balancer_acme_email"] and not EMAIL.fullmatch(str(settings["balancer_acme_email"])):
        yield "balancer_acme_email", "set it to an address such as certificates@hospital.example, or leave it empty"
    if _number(settings["balancer_http_port"]) != HTTP_PORT:
        advice = f"a CA asks at port {HTTP_PORT} (RFC 8555, 8.3): set it to {HTTP_PORT}"
        yield "balancer_http_port", f"certificates are from acme, and {advice}"


def _of_consul_ui(settings: Mapping) -> Iterator[tuple[str, str]]:
    patterns, name = _of_the_program("patterns"), str(settings["balancer_consul_ui"])
    variable, networks = "balancer_consul_ui", [str(network) for network in settings["balancer_consul_ui_networks"]]
    if not patterns.HOST.fullmatch(name) or len(name) > 253:
        yield variable, "set it to a host name in lower case, such as consul.hospital.example, or leave it empty for no UI"
    elif not _is_certified(name, settings):
        beside = "*." + name.partition(".")[2]
        advice = f"set a certificate in balancer_certificates whose names have it, or {beside} (from: site_ca signs one)"
        yield variable, f"it is for HTTPS alone: {advice}"
    if not networks:
        yield (
            "balancer_consul_ui_networks",
            "set discovery_management_networks to the networks that may see Consul's UI, such as 10.8.0.0/24, or leave"
            f" {variable} empty",
        )
    if wrong := [network for network in networks if not _is_network(network)]:
        yield "balancer_consul_ui_networks", f"{', '.join(wrong)} is no IP address and no network such as 10.8.0.0/24"
    if inside := [str(proxy) for proxy in settings["balancer_trusted_proxies"] if _overlaps(proxy, networks)]:
        advice = f"all clients of {', '.join(inside)} would see Consul's UI, because it is in balancer_consul_ui_networks"
        yield "balancer_trusted_proxies", f"{advice}: set networks without it there"
    if not settings["balancer_consul_servers"]:
        yield "balancer_consul_servers", "set it to Consul's servers, of which balancer_consul_ui needs one"
    if not patterns.DOMAIN.fullmatch(str(settings["balancer_consul_server_name"])):
        yield "balancer_consul_server_name", "set it to the name in the servers' certificates, such as server.dc1.consul"


def _is_certified(name: str, settings: Mapping) -> bool:
    """Whether there is a certificate for a host name, by its name or that of all names beside it."""
    default, domain = str(settings["balancer_certificates_from"]), settings["balancer_domain"]
    given = [one for one in settings["balancer_certificates"] if one.get("names")]
    known = {str(other) for one in certificates(given, default, domain) for other in one["names"]}
    return bool(_of_the_program("patterns").certified_by(name, known))


def _overlaps(network, others: Iterable[str]) -> bool:
    if not _is_network(network):
        return False
    first, rest = ipaddress.ip_network(str(network)), [ipaddress.ip_network(other) for other in others if _is_network(other)]
    return any(first.version == other.version and first.overlaps(other) for other in rest)


def _is_range(value, others: Iterable[int]) -> bool:
    """Whether it is a lowest and a highest port, with none of the others between them."""
    bounds = RANGE.fullmatch(str(value))
    low, high = map(int, bounds.groups()) if bounds else (0, 0)
    return 0 < low <= high <= 65535 and not any(low <= port <= high for port in others)


def _of_the_container(settings: Mapping) -> Iterator[tuple[str, str]]:
    others = [_number(settings["balancer_http_port"]), _number(settings["balancer_tls_port"])]
    if not _is_range(settings["balancer_tcp_ports"], others):
        listed = " and ".join(map(str, others))
        yield (
            "balancer_tcp_ports",
            (f"set it to the lowest and the highest port, such as 9990-9999, without http and tls port ({listed})"),
        )
    if settings["balancer_access_log"] not in ("off", "/dev/stdout"):
        yield "balancer_access_log", "in a container, set it to /dev/stdout or off"


def _number(value) -> int:
    """The number, or one that no setting may have."""
    return int(value) if re.fullmatch("[0-9]{1,6}", str(value)) else -1


def _is_network(value) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True
