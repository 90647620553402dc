"""Pure: HAProxy's part of the configuration that follows the catalog.

A layout is what is wanted of a HAProxy: sections, their servers, and maps. All sections together are loaded at once; servers and
maps can also be changed while it runs, which `changes.py` decides. The role's haproxy.cfg has the section `global`.
"""

import dataclasses
import functools
import hashlib
import math
import typing

from ...consul_ui import CA_FILE, PATHS, SECTION, SILENCE
from ...patterns import HTTPS_PORT
from ...settings import LONGEST_TIME
from ...times import longest, seconds
from .. import sticky
from ..compression import TYPES
from ..pages import RETRY_SECONDS, page

HEADER = "# Made by discovery-balancer from Consul's catalog. Edits are lost at the next change.\n"
MAPS = "discovery/"  # below the directory that HAProxy is started in (-C)
HOSTS, NAMES, STICKY, ENCRYPTED, HSTS = (f"{name}.map" for name in ("hosts", "names", "sticky", "encrypted", "hsts"))
CLIENT_CAS = "client-cas.map"
CHANGED = (HOSTS, NAMES, STICKY, ENCRYPTED, HSTS, CLIENT_CAS)  # while it runs
FIRST_ID = 1001  # of the sockets on which certificates of clients are asked for; HAProxy numbers others from 1 on
MARKER, STRUCTURE = (f"{name}.map" for name in ("marker", "structure"))
HIGHEST_WEIGHT = 256  # of HAProxy
LONGEST_MS = 2**31 - 1  # of HAProxy's timers
LONGEST_LABEL = f"{LONGEST_TIME}s"
OTHER_LINES = 4096  # bytes of a header beside its longest line
STATS_CONNECTIONS = 32  # at one time, of the page with statistics
CLIENTS = "10k"  # that are counted at one time, of a service with a limit
HOSTS_IN_A_LINE = 4
NETWORKS_IN_A_LINE = 16  # of HAProxy, which has 64 words and 2,048 bytes of space in each
PROXIES_IN_A_ROW = 8  # of those that a site trusts
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
# Nobody is asked for this address: a server that has it waits for one.
SPARE = "0.0.0.0"
REASONS = {502: "502 Bad Gateway", 504: "504 Gateway Timeout"}
# Status that HAProxy has by itself, to the file of our answer. Its 503 is an instance that refused: a service without any has no
# backend that is asked for.
FAILED = {502: "502.http", 503: "502.http", 504: "504.http"}
CHECKED_HOST = "_floating-address"  # no service can have this name; see floating_address/judge.py
CHALLENGES = "/.well-known/acme-challenge/"  # paths by which a CA verifies a name
SAFE_METHODS = "POST PATCH LOCK"  # which never reach two instances


class Server(typing.NamedTuple):
    """An instance as HAProxy has it: its name is its place."""

    address: str  # without brackets
    port: int
    weight: int = 1

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def name(self) -> str:
        return f"{self.address}:{self.port}"


class Section(typing.NamedTuple):
    """A backend, or a listener with its servers."""

    text: str  # without its servers
    keywords: str = ""  # of each server
    servers: tuple = ()
    listens: bool = False
    named: bool = False  # its servers are asked for by their names, so that a spare one is of no use


@dataclasses.dataclass(frozen=True)
class Layout:
    """All that a HAProxy serves."""

    main: str  # digest of what the role has written
    spare: int  # servers without an address in each section
    stop: int  # ms in which the workers of a reload may finish their connections; 0: any
    buffer: int  # bytes of each buffer, where a service has longer headers than the site's buffers hold; else 0
    common: str  # defaults, frontends and backends that no service has
    sections: dict = dataclasses.field(default_factory=dict)  # name to Section
    maps: dict = dataclasses.field(default_factory=dict)  # file to {key: value}
    pages: dict = dataclasses.field(default_factory=dict)  # file to content
    forgets: bool = False  # whether no session of TLS is resumed

    @functools.cached_property
    def structure(self) -> dict:
        """What only a reload can change, as the running HAProxy reports it: how long its workers may live, the size of its
        buffers, a digest of all that listens, and one of each backend, without its servers."""
        listeners = "".join(section.text + section.keywords for section in self.sections.values() if section.listens)
        pages = "".join(self.pages[name] for name in sorted(self.pages))
        found = {"stop": str(self.stop), "buffer": str(self.buffer)}
        found["common"] = _digest(self.main + self.common + listeners + pages)
        for name, section in self.sections.items():
            if not section.listens:
                found[f"backend:{name}"] = _digest(section.text + section.keywords)
        return found


def layout(plan, options, own, main="", users=None) -> Layout:
    """What HAProxy should serve.

    :param plan: services whose names, hosts, addresses, ports and settings are safe to print
    :param options: domain, ports, certificates, and the limits of upstreams (times as nginx writes them: '5s')
    :param own: HAProxy's
    :param main: digest of the files that only a reload reads again
    :param users: {name of a list of users: ["user:hash"]}
    """
    sections = {f"http_{service.name}": _http(service, options, own) for service in plan.http}
    sections |= {f"tls_{service.name}": _tls(service, options, own) for service in plan.tls}
    sections |= {f"tcp_{service.name}": _listener(service, options, own) for service in plan.tcp}
    hosts = {f"{host}{service.settings.path}/": service.name for service in plan.http for host in service.hosts}
    if options.default_host:  # HAProxy asks whether somebody has a host, whatever the path: no host of a client has an asterisk
        known = {host for service in plan.http for host in service.hosts} | set(options.maintenance)
        known |= {plan.consul_ui.name} if plan.consul_ui else set()
        hosts |= {f"*{host}/": "-" for host in known}
    if plan.consul_ui:
        sections[f"http_{SECTION}"] = _consul_ui(plan.consul_ui, options, own)
        hosts[f"{plan.consul_ui.name}/"] = SECTION
    names = {host: f"tls_{service.name}" for service in plan.tls for host in service.hosts}
    encrypted, hsts, asking = {}, {}, {}
    if plan.tls_port:
        asking = plan.client_cas
        names |= {host: f"discovery_https_{ca}" for host, ca in asking.items()}
        for name in options.certified:
            names.setdefault(name, "discovery_https")
        encrypted = {host: "yes" for service in plan.http for host in service.encrypted}
        hsts = {
            host: service.settings.hsts
            for service in plan.http
            for host in service.encrypted
            if service.settings.hsts and not service.settings.path
        }
    return Layout(
        main,
        own.spare,
        _ms(longest(plan, own.shutdown_timeout)),
        _buffer(plan, own),
        _defaults(options, own) + _frontend(options, own) + _tls_frontend(plan, options, own) + _stats(options, own)
        + _internal(options, own) + _userlists(users or {}),
        sections,
        {HOSTS: hosts, NAMES: names, STICKY: _values(plan), ENCRYPTED: encrypted, HSTS: hsts, CLIENT_CAS: asking},
        _pages(options.pages) | ({CA_FILE: plan.consul_ui.ca} if plan.consul_ui else {}),
        bool(options.client_cas),
    )


def files(wanted: Layout) -> dict:
    """The files of one generation, without the marker: {file name: text}."""
    head = f"    hard-stop-after {wanted.stop}ms\n" if wanted.stop else ""
    head += f"    tune.bufsize {wanted.buffer}\n" if wanted.buffer else ""
    # Else a client could resume one on a socket that asks for certificates of another CA than it has.
    head += "    tune.ssl.cachesize 0\n" if wanted.forgets else ""
    text = HEADER + (f"global\n{head}" if head else "") + wanted.common
    for section in wanted.sections.values():
        text += section.text + "".join(
            f"    server {server.name} {server.place} weight {server.weight}{section.keywords}\n" for server in section.servers
        )
        text += "".join(f"    server spare-{n} {SPARE}:1 disabled{section.keywords}\n" for n in range(wanted.spare))
    maps = {**wanted.maps, STRUCTURE: wanted.structure}
    return {"services.cfg": text, **{file: map_text(entries) for file, entries in maps.items()}, **wanted.pages}


def map_text(entries: dict) -> str:
    """The file of a map."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def weights(instances) -> tuple:
    """Servers of instances, whose weights HAProxy can have: in the same proportions, as far as whole numbers up to 256 allow."""
    divisor = functools.reduce(math.gcd, (instance.weight for instance in instances), 0) or 1
    most = max((instance.weight // divisor for instance in instances), default=1)
    factor = min(1, HIGHEST_WEIGHT / most)
    return tuple(
        Server(instance.address.strip("[]"), instance.port, max(1, round(instance.weight // divisor * factor)))
        for instance in instances
    )


def _digest(text) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ms(text) -> int:
    """A time as nginx writes it, in milliseconds that HAProxy takes; 0 for 0."""
    return min(LONGEST_MS, math.ceil(seconds(text) * 1000))


def _bytes(text) -> int:
    return int(text.rstrip("kKmMgG")) * UNITS[text[-1].lower() if text[-1].isalpha() else ""]


def _buffer(plan, own) -> int:
    """The size that the longest header of a label needs; 0 where the site's is enough. All buffers have one size, and each second
    try costs two copies of one, so they are as small as they can be."""
    sizes = [_bytes(service.settings.header_size) + OTHER_LINES for service in plan.http if service.settings.header_size]
    return max((size for size in sizes if size > own.buffer_size), default=0)


def _timeout(name, *texts) -> str:
    """The longest of some times; 0 is none."""
    return f"    timeout {name} {max(map(_ms, texts))}ms\n" if any(map(_ms, texts)) else ""


def _defaults(options, own):
    retry = ["conn-failure", "empty-response", "502", "503"]
    retry += ["response-timeout"] if 0 < _ms(own.limit("read_timeout")) < _ms(own.tries_timeout) else []
    return (
        "defaults\n    mode http\n"
        + "    option dontlognull\n    option redispatch 1\n    option clitcpka\n    option srvtcpka\n"
        + f"    retries {max(options.tries, 1) - 1}\n    retry-on {' '.join(retry)}\n"
        + f"    http-reuse {'aggressive' if options.keepalive else 'never'}\n"
        + _timeout("connect", own.limit("connect_timeout"))
        + _timeout("client", own.limit("client_body_timeout"), own.limit("client_send_timeout"))
        + _timeout("http-request", own.limit("client_header_timeout"))
        + _timeout("http-keep-alive", own.limit("client_keepalive_timeout"))
        + _timeout("server", own.limit("read_timeout"))
        + "".join(f"    errorfile {status} {MAPS}{file}\n" for status, file in FAILED.items())
        + "    errorfile 408 /dev/null\n"  # a client that is slow, or a browser's spare connection: it is closed
    )


def _return(status, condition, retry=False, page=""):
    header = f" hdr Retry-After {RETRY_SECONDS}" if retry else ""
    file = f"{MAPS}{page or status}.html"
    return f"    http-request return status {status} content-type text/html file {file}{header}{condition}\n"


def _frontend(options, own):
    """Where requests come in. Variables of a request: client, host (that chose the service), authority (with the port that the
    client named), service."""
    text = "frontend discovery_http\n" + _bind(options.http_port, options)
    text += _from_front(options) + _connection_limit(options, own) + _told_connection_limit(options, own)
    if options.certificates:
        text += (
            f"    bind unix@{own.tls_directory}/https.sock mode 600 user {own.user} accept-proxy ssl"
            f" crt-list {own.certificates}/list alpn h2,http/1.1\n"
        )
        text += "".join(
            f"    bind unix@{own.tls_directory}/https-{ca}.sock mode 600 user {own.user} accept-proxy id {number} ssl"
            f" crt-list {own.certificates}/list alpn h2,http/1.1 ca-file {options.client_cas[ca]} verify optional"
            " crt-ignore-err all ca-ignore-err all\n"
            for number, ca in _numbered(options)
        )
    text += _log(
        own,
        '%[var(txn.client)] %[var(txn.host)] [%T] %{+Q}r %ST %B %Ta service=%[var(txn.service)] instance="%si:%sp"'
        " %{+Q}[capture.req.hdr(0)]",
    )
    text += "    http-request capture req.hdr(User-Agent) len 200\n    http-request set-var(txn.client) src\n"
    text += "    http-request deny deny_status 405 if METH_CONNECT or METH_TRACE\n"
    if own.trusted_proxies:
        text += _networks("discovery_proxy", "src", own.trusted_proxies)
        text += _networks("discovery_proxied", "var(txn.client) -m ip", own.trusted_proxies)
        for number in range(1, PROXIES_IN_A_ROW + 1):
            field = f"req.hdr_ip(X-Forwarded-For,-{number})"
            text += f"    http-request set-var(txn.client) {field} if discovery_proxied {{ {field} -m found }}\n"
    # The host of the request line goes before that of the header, which nothing behind sees then.
    text += (
        "    acl discovery_absolute url -m reg ^[A-Za-z][A-Za-z0-9+.-]*://\n"
        "    http-request set-header Host %[url,field(3,/)] if discovery_absolute\n"
        "    http-request set-uri %[pathq] if discovery_absolute\n"
        "    http-request set-var(txn.host) req.hdr(Host),lower,field(1,:),regsub([.]$,)\n"
        "    http-request set-var(txn.port) req.hdr(Host),field(2,:)\n"
        "    http-request deny deny_status 400 if { var(txn.host) -m found } !{ var(txn.host) -m reg ^[a-z0-9._-]*$ }\n"
        "    http-request deny deny_status 400 if { var(txn.port) -m found } !{ var(txn.port) -m reg ^[0-9]{0,5}$ }\n"
        "    http-request set-var(txn.authority) var(txn.host)\n"
        "    http-request set-var(txn.authority) var(txn.host),concat(:,txn.port,) if { var(txn.port) -m len 1:5 }\n"
    )
    if options.default_host:
        # The instance sees the name that the client asked for.
        text += (
            f"    acl discovery_asked str(*),concat(,txn.host,/),map_beg({MAPS}{HOSTS}) -m found\n"
            f"    acl discovery_there str(*{options.default_host}/),map_beg({MAPS}{HOSTS}) -m found\n"
            f"    http-request set-var(txn.host) str({options.default_host}) if discovery_there !discovery_asked"
            f" !{{ var(txn.host) -m end .{options.domain} }} !{{ var(txn.host) -m str {CHECKED_HOST} }} !{{ ssl_fc }}\n"
        )
    if own.floating_addresses:  # their check asks four times a second; elsewhere, a client would hide by that name
        text += f"    http-request set-log-level silent if {{ var(txn.host) -m str {CHECKED_HOST} }}\n"
    if options.certificates:
        hsts = f"var(txn.host),map({MAPS}{HSTS}{f',{options.hsts}' if options.hsts else ''})"
        text += (
            f"    http-request set-var(txn.encrypted) var(txn.host),map({MAPS}{ENCRYPTED})\n"
            f"    http-request set-var(txn.hsts) {hsts} if {{ ssl_fc }}\n"
            "    http-after-response set-header Strict-Transport-Security max-age=%[var(txn.hsts)]"
            " if { var(txn.hsts) -m found }\n"
        )
    if options.acme_thumbprint:  # the token that is asked for, and the account's thumbprint (RFC 8555, 8.3)
        own_tls = f"{{ var(txn.host),map({MAPS}{NAMES}) -m beg tls_ }}"
        text += (
            "    http-request return status 200 content-type text/plain lf-string"
            f' "%[path,field(4,/)].{options.acme_thumbprint}" if !{{ ssl_fc }} !{own_tls}'
            f" {{ path -m reg ^{CHALLENGES}[A-Za-z0-9_-]{{16,128}}$ }}\n"
        )
    text += _client_limits(own)
    text += _certificates_of_clients(options)
    text += (
        _maintenance(options) + "    http-request set-var(txn.path) path,url_dec\n"
        f"    http-request set-var(txn.service) var(txn.host),concat(,txn.path,/),map_beg({MAPS}{HOSTS})\n"
    )
    known = "{ var(txn.service) -m found }"
    text += _return(503, f" if !{known} {{ var(txn.host) -m end .{options.domain} }}", retry=True)
    text += _return(404, f" if !{known}")
    text += _headers(own)
    if options.client_cas:
        found = "if { var(txn.verified) -m found }"
        text += (
            f"    http-request set-header X-Client-Subject %[ssl_c_s_dn(,0,rfc2253)] {found}\n"
            f"    http-request set-header X-Client-Fingerprint %[ssl_c_sha1,hex,lower] {found}\n"
        )
    return text + "    use_backend http_%[var(txn.service)]\n"


def _numbered(options):
    """(number of its socket, name) of each CA of clients."""
    return list(enumerate(sorted(options.client_cas), FIRST_ID))


def _certificates_of_clients(options):
    """Variables: asked, the CA of the socket over which a request came, and verified, the same where the client's certificate is
    good. A host on another socket than its own is refused, so that a browser makes a connection for it."""
    if not options.client_cas:
        return ""
    text = "    http-request set-var(txn.asked) str(.)\n"
    for number, ca in _numbered(options):
        text += f"    http-request set-var(txn.asked) str({ca}) if {{ so_id {number} }}\n"
    asked = "!{ var(txn.asked) -m str . }"  # no CA has this name
    good = "{ ssl_c_used 1 } { ssl_c_verify 0 } { ssl_c_err 0 } { ssl_c_ca_err 0 }"
    return text + (
        f"    http-request set-var(txn.verified) var(txn.asked) if {asked} {good}\n"
        f"    http-request set-var(txn.asking) var(txn.host),map({MAPS}{CLIENT_CAS},.)\n"
        "    acl discovery_directed var(txn.asking),strcmp(txn.asked) eq 0\n"
        "    http-request return status 421 if { ssl_fc } !discovery_directed\n"
        + _return(403, f" if {asked} {{ ssl_c_used 1 }} !{{ var(txn.verified) -m found }}")
    )


def _connection_limit(options, own):
    """Connections of one address, whatever they ask for, on all ports together; not of balancers in front, which have those of
    everybody. Those over the socket of the second step of TLS have no address yet: the first has counted them."""
    if not int(own.limit("client_open_connections")):
        return ""
    front = [*own.trusted_proxies, *options.proxy_protocol_from]
    unless = " unless discovery_front" if front else ""
    return (
        _networks("discovery_front", "src", front)
        + f"    tcp-request connection track-sc2 src table discovery_connections{unless}\n"
        f"    tcp-request connection reject if {{ sc_conn_cur(2) gt {int(own.limit('client_open_connections'))} }}\n"
    )


def _told_connection_limit(options, own):
    """The same of an address that a balancer in front tells, which is known only then; the first step of TLS has counted those of
    the second one."""
    most = int(own.limit("client_open_connections"))
    if not most or not options.proxy_protocol_from:
        return ""
    told = "{ fc_rcvd_proxy } !{ ssl_fc } !discovery_front"
    return (
        f"    tcp-request session track-sc2 src table discovery_connections if {told}\n"
        f"    tcp-request session reject if {{ sc_conn_cur(2) gt {most} }} {told}\n"
    )


def _maintenance(options):
    """The page about it for some hosts."""
    hosts = options.maintenance
    groups = (hosts[at : at + HOSTS_IN_A_LINE] for at in range(0, len(hosts), HOSTS_IN_A_LINE))
    conditions = (f" if {{ var(txn.host) -m str {' '.join(group)} }}" for group in groups)
    return "".join(_return(503, condition, retry=True, page="maintenance") for condition in conditions)


def _from_front(options):
    """The client's address comes before a connection from a balancer in front."""
    networks = options.proxy_protocol_from
    groups = (networks[at : at + NETWORKS_IN_A_LINE] for at in range(0, len(networks), NETWORKS_IN_A_LINE))
    return "".join(f"    tcp-request connection expect-proxy layer4 if {{ src {' '.join(group)} }}\n" for group in groups)


def _client_limits(own):
    """Answers to requests that are too many, or whose header is too large."""
    text, conditions = "", []
    if int(own.limit("client_connections")):
        conditions.append(f"{{ sc_conn_cur(0) gt {int(own.limit('client_connections'))} }}")
    if int(own.limit("client_requests")):
        conditions.append(f"{{ sc_gpc0_rate(0) ge {int(own.limit('client_requests'))} }}")
    if conditions:
        text += "    http-request track-sc0 var(txn.client) table discovery_clients\n"
        text += _return(429, f" if {' or '.join(conditions)}", retry=True)
    if int(own.limit("client_requests")):
        text += "    http-request sc-inc-gpc0(0)\n"  # those that were refused do not count
    text += _return(431, f" if {{ req.hdrs,length gt {_bytes(own.limit('header_size')) + OTHER_LINES} }}")
    return text


def _headers(own):
    """What instances see of the client. No other upgrade than to a websocket is passed on: with h2c a client would speak to an
    instance past the balancer."""
    text = "".join(f"    http-request del-header {names} -m reg\n" for names in _dropped_names(own))
    text += "    http-request set-header Host %[var(txn.authority)]\n    http-request set-header X-Real-IP %[var(txn.client)]\n"
    known, absent = "", ""
    if own.trusted_proxies:
        known, absent = " !discovery_known_proto", " unless { req.hdr(X-Forwarded-Host) -m found }"
        text += (
            "    acl discovery_known_proto req.hdr(X-Forwarded-Proto) -m str http https\n"
            "    acl discovery_chain req.hdr(X-Forwarded-For) -m found\n"
            "    http-request set-var(txn.for) req.fhdr(X-Forwarded-For) if discovery_proxy discovery_chain\n"
        )
        cleared = ("X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded")
        text += "".join(f"    http-request del-header {name} unless discovery_proxy\n" for name in cleared)
    text += "    http-request set-header X-Forwarded-For %[src]\n"
    if own.trusted_proxies:
        text += "    http-request set-header X-Forwarded-For %[var(txn.for)],\\ %[src] if { var(txn.for) -m found }\n"
    for scheme, condition in (("https", "{ ssl_fc }"), ("http", "!{ ssl_fc }")):
        text += f"    http-request set-header X-Forwarded-Proto {scheme} if {condition}{known}\n"
    text += f"    http-request set-header X-Forwarded-Host %[var(txn.authority)]{absent}\n"
    text += "    http-request del-header Upgrade unless { req.hdr(Upgrade) -i websocket }\n"
    return text + "    http-request del-header Connection unless { req.hdr(Upgrade) -i websocket }\n"


def _dropped_names(own):
    """Patterns of names of headers, in lower case, that no instance gets from a client: odd ones, as nginx drops them, and those
    that the balancer alone may set. One pattern, because each is a rule of every request. Applications that take an underscore
    for a hyphen would trust those of the last two as ours."""
    names = "http2-settings|proxy|x-forwarded-prefix|x-client-(subject|fingerprint)"
    names += "" if own.trusted_proxies else "|forwarded|x-forwarded-port"
    if not own.underscores_in_headers:
        return (f"[^a-z0-9-]|^({names})$",)
    return (
        f"[^a-z0-9_-]|^({names})$",
        "^(x_forwarded[-_]|x-forwarded_)(for|host|port|prefix|proto)$",
        "^(x_real[-_]|x-real_)ip$|^(x_client[-_]|x-client_)(subject|fingerprint)$",
    )


def _stats(options, own):
    """Its own page, for the host and some networks: it shows and changes nothing. Everybody else is cut off before a request is
    read, also where no firewall is; so are load balancers, through which a service at that port would show it to any client."""
    if not own.stats_port:
        return ""
    networks, proxies = " ".join(("127.0.0.1", "::1", *own.stats_networks)), " ".join(sorted(map(str, options.at_balancers)))
    return (
        "frontend discovery_stats\n"
        + _bind(own.stats_port, options)
        + f"    maxconn {STATS_CONNECTIONS}\n"
        + (f"    tcp-request connection reject if {{ src {proxies} }}\n" if proxies else "")
        + f"    tcp-request connection reject unless {{ src {networks} }}\n"
        "    stats enable\n    stats uri /\n    stats hide-version\n"
    )


def _userlists(users):
    """Who has a list may get in; without one for a name, nobody may."""
    text = ""
    for name, lines in sorted(users.items()):
        pairs = (line.split(":", 1) for line in lines)
        text += f"userlist discovery_{name}\n" + "".join(f"    user {user} password {hashed}\n" for user, hashed in pairs)
    return text


def _internal(options, own):
    """Sections that no service has: counters of clients, and what a sync asks for."""
    text = (
        "backend discovery_clients\n    stick-table type ipv6 size 100k expire 1m store conn_cur,gpc0_rate(1s)\n"
        "backend discovery_connections\n    stick-table type ipv6 size 100k expire 1m store conn_cur\n"
        "backend discovery_state\n"
        f"    http-request set-header X-State %[str(marker),map({MAPS}{MARKER})]%[str(stop),map({MAPS}{STRUCTURE})]\n"
    )
    if options.certificates:
        text += "backend discovery_https\n    mode tcp\n" + _timeout("server", *_any_silence(own))
        text += f"    server https unix@{own.tls_directory}/https.sock send-proxy-v2\n"
        for _number, ca in _numbered(options):
            text += f"backend discovery_https_{ca}\n    mode tcp\n" + _timeout("server", *_any_silence(own))
            text += f"    server https unix@{own.tls_directory}/https-{ca}.sock send-proxy-v2\n"
    return text


def _any_silence(own):
    """Times that no connection with TLS is silent for longer than: what is behind has its own."""
    return LONGEST_LABEL, own.limit("read_timeout"), own.limit("stream_timeout")


def _tls_frontend(plan, options, own):
    """One listener, which chooses by the name that the client asks for; a connection with any other name is closed."""
    if not plan.tls_port:
        return ""
    name = f"req.ssl_sni,lower,map({MAPS}{NAMES})"
    beside = f"req.ssl_sni,lower,regsub(^[^.]*,*),map({MAPS}{NAMES})"
    return (
        "frontend discovery_tls\n    mode tcp\n"
        + _bind(plan.tls_port, options)
        + _from_front(options)
        + _connection_limit(options, own)
        + _told_connection_limit(options, own)
        + _stream_log(own, "%b", ' name="%[var(sess.name)]"')
        + _timeout("client", *_any_silence(own))
        + "    tcp-request inspect-delay 10s\n"
        "    tcp-request content set-var(sess.name) req.ssl_sni,lower if { req.ssl_hello_type 1 }\n"
        "    tcp-request content accept if { req.ssl_hello_type 1 } { " + name + " -m found }\n"
        "    tcp-request content accept if { req.ssl_hello_type 1 } { " + beside + " -m found }\n"
        "    tcp-request content reject\n"
        f"    use_backend %[{name}] if {{ {name} -m found }}\n"
        f"    use_backend %[{beside}]\n"
    )


def _http(service, options, own):
    chosen = service.settings
    text = f"backend http_{service.name}\n    balance roundrobin\n"
    text += _timeout("connect", chosen.connect_timeout) if chosen.connect_timeout else ""
    text += _timeout("server", chosen.read_timeout) if chosen.read_timeout else ""
    # Of websockets. Not in the defaults: on a connection of a tcp service it would go before the others.
    text += _timeout("tunnel", chosen.read_timeout or own.limit("read_timeout"))
    text += "    option http-no-delay\n" if chosen.unbuffered else ""
    text += f"    compression algo gzip\n    compression type {' '.join(TYPES)}\n" if options.compressed(service) else ""
    text += "" if chosen.access_log else "    http-request set-log-level silent\n"
    text += _redirect(chosen.https_redirect or options.https_redirect, options)
    if allowed := options.allowed(service):
        text += _allowed("var(txn.client)", allowed) + _return(403, " unless discovery_allowed !discovery_6to4")
    if chosen.needs_certificate:
        text += _return(403, f" unless {{ var(txn.verified) -m str {chosen.ca} }}")
    text += _rate_limit(*chosen.rate_limit) if chosen.rate_limit else ""
    # After the limit, so that who guesses passwords is one with too many requests.
    if users := options.users_of(chosen):
        text += (
            f"    http-request return status 401 content-type text/html file {MAPS}401.html"
            f" hdr WWW-Authenticate 'Basic realm=\"{users}\"' unless {{ http_auth(discovery_{users}) }}\n"
        )
    if size := _bytes(chosen.max_body_size or own.limit("client_max_body_size")):
        text += f"    http-request deny deny_status 413 if {{ req.body_size gt {size} }}\n"
    text += f"    http-request disable-l7-retry if {{ method {SAFE_METHODS} }} or {{ nbsrv lt 2 }}\n"
    text += "".join(f'    http-response set-header {name} "{value}"\n' for name, value in options.added_headers(service))
    if (chosen.rewrite or (chosen.path and chosen.strip)) and chosen.protocol != "grpc":
        path = chosen.path.replace(".", "[.]")
        text += f"    http-request replace-path ^{path}(/(.*))?$ {chosen.rewrite}/\\2\n"
        text += f"    http-request set-header X-Forwarded-Prefix {chosen.path}\n" if chosen.path else ""
    text += _sticky(service) if chosen.sticky else ""
    keywords = _passive(options, own)
    if options.keepalive:
        # HAProxy looks each delay, and closes a connection that nobody needed since it looked last: within two of them.
        keywords += f" pool-max-conn {options.keepalive} pool-purge-delay {_ms(options.keepalive_timeout) // 2}ms"
    keywords += {"http": "", "https": " ssl verify none sni var(txn.host)", "grpc": " proto h2"}[chosen.protocol]
    return Section(text, keywords, weights(service.instances), named=bool(chosen.sticky))


def _consul_ui(ui, options, own):
    """Consul's own UI, for the management networks: reads alone, by HTTPS alone, from servers that the site's CA verifies. Nobody
    else finds anything. Without idle connections to the servers, so that one that hangs is noticed within the time to connect.
    """
    at = f"https://{ui.name}{'' if options.tls_port == 443 else f':{options.tls_port}'}"
    start, paths = PATHS[0], " or ".join(f"{{ path_beg {path} }}" for path in PATHS)
    text = f"backend http_{SECTION}\n    balance roundrobin\n    http-reuse never\n" + _timeout("server", SILENCE)
    text += _networks("discovery_ui_network", "src", ui.networks) + _networks("discovery_ui_refused", "src", ui.refused)
    text += _return(404, " unless discovery_ui_network")
    text += _return(404, " if discovery_ui_refused") if ui.refused else ""
    text += f"    http-request redirect location {at}{start} code 302 if {{ path / }} or {{ path {start.rstrip('/')} }}\n"
    text += f"    http-request redirect location {at}%[pathq] code 302 if !{{ ssl_fc }} {{ path_beg {start} }}\n"
    text += _return(404, " if !{ ssl_fc }")
    text += _return(404, f" unless {paths}")
    text += _return(404, " if { var(txn.path) -m sub /../ }")  # Consul resolves dots
    text += "    http-request deny deny_status 403 unless METH_GET\n"  # it is HEAD, too
    if options.tls_port != HTTPS_PORT:  # Consul has one of its own, which would send browsers to a port where nobody is
        text += "    http-response del-header Strict-Transport-Security\n"
    keywords = f" ssl verify required ca-file {MAPS}{CA_FILE} verifyhost {ui.server_name} sni str({ui.server_name})"
    places = (place.rpartition(":") for place in ui.servers)
    servers = tuple(Server(address.strip("[]"), int(port)) for address, _unused, port in places)
    return Section(text, _passive(options, own) + keywords, servers)


def _values(plan):
    """Of the cookies of all services: to their servers, and back."""
    found = {}
    for service in plan.http:
        if service.settings.sticky:
            for value, instance in sticky.values(service).items():
                name = f"{instance.address.strip('[]')}:{instance.port}"
                found[f"{sticky.key(service)}/{value}"] = name
                found[f"{sticky.key(service)}/{name}"] = value
    return found


def _sticky(service):
    """Before version 3.0 a server that is added while HAProxy runs cannot have a cookie. So a map leads from the client's cookie
    to the server, and back. A server that is in maintenance, or could not be reached, is not used."""
    at, cookie = f"str({sticky.key(service)}/)", sticky.cookie(service)
    to, by = (f"{at},concat(,txn.{name}),map({MAPS}{STICKY})" for name in ("cookie", "server"))
    new = "if discovery_new !discovery_same"
    return (
        f"    http-request set-var(txn.cookie) req.cook({cookie})\n"
        f"    use-server %[{to}] if {{ {to} -m found }}\n"
        "    http-response set-var(txn.server) srv_name\n"
        f"    http-response set-var(txn.value) {by}\n"
        "    acl discovery_new var(txn.value) -m found\n"
        "    acl discovery_same var(txn.value),strcmp(txn.cookie) eq 0\n"
        f"    http-response add-header Set-Cookie {cookie}=%[var(txn.value)];\\ Path=/;\\ HttpOnly {new}\n"
        f"    http-response add-header Cache-Control private {new}\n"
    )


def _redirect(status, options):
    """To HTTPS, for the hosts of a service for which TLS ends here. A proxy that the site trusts may have ended it before."""
    if status == "false" or not options.certificates:
        return ""
    port = "" if options.tls_port == 443 else f":{options.tls_port}"
    clear = "!{ ssl_fc } { var(txn.encrypted) -m found } { req.hdr(X-Forwarded-Proto) http }"
    return (
        f"    http-request redirect location https://%[var(txn.host)]{port}%[pathq] code {status} if"
        f" {clear} !{{ var(txn.path) -m beg {CHALLENGES} }}"
        f" or {clear} {{ var(txn.path) -m sub .. }}\n"  # it resolves no dots: an instance may find another path there
    )


def _rate_limit(rate, burst):
    """As many requests at once as are allowed then, and no more of them in the time in which `rate` a second are as many."""
    seconds_ = max(1, math.ceil(burst / rate))
    return (
        f"    stick-table type ipv6 size {CLIENTS} expire {2 * seconds_}s store gpc0_rate({seconds_}s)\n"
        "    http-request track-sc1 var(txn.client)\n"
        + _return(429, f" if {{ sc_gpc0_rate(1) ge {rate * seconds_} }}", retry=True)
        + "    http-request sc-inc-gpc0(1)\n"  # those that were refused do not count
    )


def _allowed(client, networks):
    """What a client has to be. For HAProxy an address of 6to4 is one of IPv4, too."""
    lines = _networks("discovery_allowed", f"{client} -m ip", networks)
    return lines + f"    acl discovery_6to4 {client} -m ip 2002::/16\n"


def _networks(name, matched, networks):
    """Whether an address is in one of some networks, in lines that HAProxy does not find too long."""
    groups = (networks[at : at + NETWORKS_IN_A_LINE] for at in range(0, len(networks), NETWORKS_IN_A_LINE))
    return "".join(f"    acl {name} {matched} {' '.join(group)}\n" for group in groups)


def _let_in(rule, service, options):
    """Lines of a section of connections that lets some clients in alone."""
    allowed = options.allowed(service)
    return _allowed("src", allowed) + f"    {rule} reject unless discovery_allowed !discovery_6to4\n" if allowed else ""


def _tls(service, options, own):
    text = f"backend tls_{service.name}\n    mode tcp\n    balance {_turns(service)}\n"
    text += _let_in("tcp-request content", service, options)
    keywords = _passive(options, own) + " send-proxy" * service.settings.proxy_protocol
    return Section(text + _timeout("server", own.limit("stream_timeout")), keywords, weights(service.instances))


def _listener(service, options, own):
    chosen = service.settings
    silence = chosen.read_timeout or own.limit("stream_timeout")
    text = f"listen tcp_{service.name}\n    mode tcp\n    balance {_turns(service)}\n"
    text += _bind(service.port, options) + _connection_limit(options, own)
    text += _stream_log(own, service.name) if chosen.access_log else ""
    text += _let_in("tcp-request connection", service, options)
    text += _timeout("connect", chosen.connect_timeout) if chosen.connect_timeout else ""
    text += _timeout("client", silence) + _timeout("server", silence)
    keywords = _passive(options, own) + " send-proxy" * chosen.proxy_protocol
    return Section(text, keywords, weights(service.instances), listens=True)


def _turns(service):
    """Connections last: the instance with the fewest is next. Where versions have shares, turns make them."""
    return "roundrobin" if service.shifted else "leastconn"


def _passive(options, own):
    """An instance that could not be reached several times is skipped until it can be, which is tried every second, or sooner."""
    if not options.max_fails:
        return ""
    pause = min(1000, _ms(options.fail_timeout)) or 1000
    return (
        f" check inter 1h fastinter {pause}ms downinter {pause}ms rise 1 fall 1"
        f" observe layer4 error-limit {options.max_fails} on-error mark-down"
    )


def _bind(port, options):
    hosts = (f"[{address}]" if ":" in address else address for address in options.listen)
    return "".join(f"    bind {host}:{port}\n" for host in hosts)


def _log(own, text):
    escaped = text.replace(" ", "\\ ").replace('"', '\\"')
    return f"    log global\n    log-format {escaped}\n" if own.log else ""


def _stream_log(own, service, more=""):
    return _log(own, f'%ci [%T] TCP %ts %B %U %Tt service={service} instance="%si:%sp" port=%fp{more}')


def _pages(own):
    """The files of the pages: whole answers where HAProxy itself fails, else their content."""
    found = {f"{status}.html": page(status, own) for status in (401, 403, 404, 429, 431, 503, "maintenance")}
    for status, reason in REASONS.items():
        body = page(502, own)
        found[f"{status}.http"] = (
            f"HTTP/1.1 {reason}\r\nContent-Type: text/html\r\nRetry-After: {RETRY_SECONDS}\r\n"
            f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
        )
    return found
