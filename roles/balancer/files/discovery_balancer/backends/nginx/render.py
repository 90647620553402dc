"""Pure: nginx's part of the configuration that follows the catalog.

The role's template nginx.conf has the part that is the same for all services. It uses two variables from here:
$discovery_service (http and stream) and $discovery_prefix (http).
"""

import functools
import hashlib
import pathlib

from ...consul_ui import CA_FILE, PATHS, SECTION, SILENCE
from ...patterns import HTTPS_PORT
from ...times import longest
from .. import sticky
from ..compression import TYPES
from ..pages import RETRY_SECONDS, TEXTS, page

TLS_DIRECTORY = pathlib.Path("/run/discovery-balancer-tls")
HEADER = "# Made by discovery-balancer from Consul's catalog. Edits are lost at the next change.\n"
UDP_TIMEOUT = "30s"  # longest silence of a session of datagrams
# text/html is one of nginx's own.
GZIP = f"gzip_vary on;\ngzip_proxied any;\ngzip_min_length 1000;\ngzip_types {' '.join(TYPES[1:])};\n"
COUNTED = "1m"  # of memory for the clients of a service with a limit: some 8,000
PIECE = 900  # characters of a page; each has up to 4 bytes
MORE = 4  # KiB of a buffer beside the header in it, as in the role's nginx.conf
RETRY = f"    add_header Retry-After {RETRY_SECONDS} always;\n"
# On each answer of an instance of a sticky service; empty for a client that has its cookie.
STICKY = ["add_header Set-Cookie $discovery_set_cookie always", "add_header Cache-Control $discovery_cache always"]
# Idle connections of each worker to an instance of a sticky service: nginx has memory for them, also while there are none.
KEPT_OF_STICKY = 8
# Nothing is sent for an empty value. But a block with one header of its own inherits none, such as a Cache-Control for answers.
NO_HEADERS = '            add_header Retry-After "";\n'
# The client's address comes in front of a connection from the listener for TLS.
FROM_TLS = "    set_real_ip_from unix:;\n    real_ip_header proxy_protocol;\n"
DEEPEST = 9  # CAs between that of the site and a client
# In clear there is no certificate, and so it is on a socket of hosts that ask for none.
NEEDS_CERTIFICATE = "        if ($ssl_client_verify != SUCCESS) {\n            return 403;\n        }\n"
BAD_CERTIFICATE = "    error_page 495 =403 @discovery_error;\n"
# For a host on a connection that was made for another one, which asks for other certificates: a browser then makes one for it.
MISDIRECTED = "    return 421;\n"


def render_nginx(
    plan, options, tls_directory=TLS_DIRECTORY, shutdown="10m", client_requests=0, udp_sessions=1024, open_connections=0
) -> dict:
    """The three files of one generation, without the marker.

    :param plan: services whose names, hosts, addresses, ports and settings are safe to print
    :param options: domain, ports, certificates, and the limits of upstreams (times as nginx writes them: '5s')
    :param tls_directory: directory of the sockets of the second step of TLS
    :param shutdown: how long old workers may finish their connections, as nginx writes it
    :param client_requests: the site's limit of requests a second from one address, 0 for none
    :param udp_sessions: most sessions of all udp services together at one time
    :param open_connections: most connections of one address to TLS and tcp services at one time, 0 for any
    :returns: {"http.conf": text for the http block, "stream.conf": text for the stream block, "main.conf": for neither}, and the
        CA of Consul's servers where their UI is served
    """
    main = f"worker_shutdown_timeout {longest(plan, shutdown)};\n"
    http, stream = _http(plan, options, tls_directory, client_requests), _stream(plan, options, tls_directory)
    counted = functools.partial(_counted, plan, options, udp_sessions, open_connections)
    if text := counted(""):
        stream += counted(hashlib.sha256("\0".join((main, http, stream, text)).encode()).hexdigest()[:16])
    files = {"http.conf": HEADER + http, "stream.conf": HEADER + stream, "main.conf": HEADER + main}
    return files | ({CA_FILE: plan.consul_ui.ca} if plan.consul_ui else {})


def _http(plan, options, tls_directory, client_requests):
    hosts = {}
    for service in plan.http:
        for host in service.hosts:
            if host not in options.maintenance:
                hosts.setdefault(host, []).append(service)
    ended = options.certificates if plan.tls_port else ()
    asking = _asking(plan, options)
    text = 'map "" $discovery_service { default "-"; }\nmap "" $discovery_prefix { default ""; }\n' + _pages(options.pages)
    text += GZIP if any(map(options.compressed, plan.http)) else ""
    challenges, own_tls = _challenges(options), {host for service in plan.tls for host in service.hosts}
    default = options.default_host if options.default_host in (*hosts, *options.maintenance) else "_"
    text += _plain("_", options, _first(_answer(404), challenges) + _errors(), " default_server" * (default == "_"))
    text += _plain(f"*.{options.domain}", options, _first(_answer(503), challenges) + _errors())
    if ended:
        hsts = _hsts((), options)
        flags = " ssl http2 proxy_protocol default_server"
        text += _https("_", tls_directory, ended[0], hsts, _answer(404) + _errors(hsts), flags)
        for name, certificate in options.certified.items():
            if name not in {*hosts, *options.maintenance, plan.consul_ui and plan.consul_ui.name}:
                text += _https(name, tls_directory, certificate, hsts, _answer(_nobody(name, options)) + _errors(hsts))
        for ca in sorted(set(asking.values())):
            flags = " ssl http2 proxy_protocol default_server"
            text += _https("_", tls_directory, ended[0], hsts, MISDIRECTED, flags, _client_ca(ca, options))
        if plan.consul_ui and plan.consul_ui.name not in options.maintenance:
            text += _consul_ui(plan.consul_ui, options, tls_directory, hsts, challenges)
    text += "".join(_http_upstream(service, options) + _rate(service) for service in plan.http)
    text += _sticky([service for service in plan.http if service.settings.sticky], options)
    more = {service.name: _more(service, options, client_requests) for service in plan.http}
    for host in sorted(set(options.maintenance)):  # nginx takes no default server twice
        body = _first(_answer(503, "maintenance"), "" if host in own_tls else challenges) + _errors()
        text += _plain(host, options, body, " default_server" * (host == default))
        if ended and options.certificate(host):
            body = _answer(503, "maintenance") + _errors(hsts)
            text += _https(host, tls_directory, options.certificate(host), hsts, body)
    for host, services in sorted(hosts.items()):
        redirects = _redirects(host, services, options) if ended else {}
        asked = "" if host in own_tls else challenges
        flags = " default_server" * (host == default)
        text += _plain(host, options, asked + _locations(host, services, options, more, redirects), flags)
        if ended and options.certificate(host):
            hsts = _hsts(services, options)
            body, certificate = _locations(host, services, options, more, hsts=hsts), options.certificate(host)
            if host in asking:
                text += _https(host, tls_directory, certificate, hsts, MISDIRECTED)
                body += BAD_CERTIFICATE
            text += _https(host, tls_directory, certificate, hsts, body, ca=_client_ca(asking.get(host), options))
    return text


def _more(service, options, client_requests):
    """Directives of each location of a service beside those of `_proxied`."""
    barred = _access(service, options) + _users(service, options)
    packed = ["gzip on"] * options.compressed(service)
    return barred + _limits(service, client_requests) + packed + _headers(service, options) + _silence(service)


def _consul_ui(ui, options, tls_directory, hsts, challenges):
    """Consul's own UI, for the management networks: reads alone, by HTTPS alone, from servers that the site's CA verifies. Nobody
    else finds anything. Without idle connections to the servers, so that one that hangs is noticed within the time to connect.
    """
    networks = {network: 1 for network in ui.networks} | {network: 0 for network in ui.refused}
    limits = f"max_fails={options.max_fails} fail_timeout={options.fail_timeout}"
    servers = "".join(f"    server {place} {limits};\n" for place in ui.servers)
    at = f"https://{ui.name}{'' if options.tls_port == 443 else f':{options.tls_port}'}"
    proxied = [f"set $discovery_service {SECTION}", f"proxy_pass https://discovery_{SECTION}", f"proxy_read_timeout {SILENCE}"]
    proxied += ["proxy_ssl_verify on", f"proxy_ssl_trusted_certificate discovery/{CA_FILE}"]
    proxied += ["proxy_ssl_server_name on", f"proxy_ssl_name {ui.server_name}"]
    if options.tls_port != HTTPS_PORT:  # Consul has one of its own, which would send browsers to a port where nobody is
        proxied.append("proxy_hide_header Strict-Transport-Security")
    reads = "        limit_except GET {\n            deny all;\n        }\n"  # GET is HEAD, too
    missing = "return 404 $discovery_page_404"
    barred = f"    if ($discovery_consul_ui = 0) {{\n        {missing};\n    }}\n"
    html = "    default_type text/html;\n"
    first = {f"= {path}": f"return 302 {at}{PATHS[0]}" for path in ("/", PATHS[0].rstrip("/"))}
    last = _location("/", _lines([missing]))
    encrypted = html + barred + "".join(_location(where, _lines([line])) for where, line in first.items())
    encrypted += "".join(_location(path, reads + _lines(proxied)) for path in PATHS)
    encrypted += _location(f"= {PATHS[1].rstrip('/')}", _lines([missing]))  # else nginx redirects to the path with its slash
    # A server answers its own condition before it looks for the location of a CA's question.
    of_server, of_location = ("", "".join(f"    {line}\n" for line in barred.splitlines())) if challenges else (barred, "")
    clear = html + of_server + challenges
    for where, line in {**first, PATHS[0]: f"return 302 {at}$request_uri"}.items():
        clear += _location(where, of_location + _lines([line]))
    return (
        _geo("$discovery_consul_ui", {"default": 0, **dict(sorted(networks.items()))})
        + f"upstream discovery_{SECTION} {{\n    zone discovery_{SECTION} {64 + len(ui.servers)}k;\n{servers}}}\n"
        + _plain(ui.name, options, _errors() + clear + last)
        + _https(ui.name, tls_directory, options.certificate(ui.name), hsts, _errors(hsts) + encrypted + last)
    )


def _geo(variable, entries):
    """A variable by the client's address."""
    return f"geo {variable} {{\n" + "".join(f"    {network} {value};\n" for network, value in entries.items()) + "}\n"


def _location(where, body):
    return f"    location {where} {{\n{body}    }}\n"


def _hsts(services, options):
    """The header of a host, by the service that has all of it, else by the site. A block with other headers needs it again."""
    of_the_host = (one.settings.hsts for one in services if one.settings.hsts and not one.settings.path)
    age = next(of_the_host, options.hsts)
    return f"add_header Strict-Transport-Security max-age={age} always;\n" if age else ""


def _redirects(host, services, options):
    """{name of a service: lines of its location} of those whose requests to a host go to HTTPS."""
    port = "" if options.tls_port == 443 else f":{options.tls_port}"
    chosen = {
        service.name: service.settings.https_redirect or options.https_redirect
        for service in services
        if host in service.encrypted
    }
    return {
        name: f"        if ($discovery_clear) {{\n{NO_HEADERS}"
        f"            return {status} https://{host}{port}$request_uri;\n        }}\n"
        for name, status in chosen.items()
        if status != "false"
    }


def _pages(own):
    """A variable for each page, and those of `_errors`: they stand once in the configuration, however many services there are."""
    text = "".join(_page(status, page(status, own), str(status) in own) for status in TEXTS)
    by_status = {"default": "$discovery_page_502"} | {status: f"$discovery_page_{status}" for status in (401, 403, 429, 431)}
    text += _map("$status", "$discovery_error", by_status)
    return text + _map("$status", "$discovery_retry_after", {"default": RETRY_SECONDS, 401: '""', 403: '""', 431: '""'})


def _page(status, html, own):
    """The variable of a page. One of the site may have any character, and be long: geo takes a value as it is, map looks for
    variables in it; and nginx reads words of at most 4 KiB."""
    if not own:
        return f'map "" $discovery_page_{status} {{ default "{html[:-1]}\\n"; }}\n'
    pieces = [html[at : at + PIECE] for at in range(0, len(html), PIECE)]
    names = [f"$discovery_part_{status}_{number}" for number in range(len(pieces))]
    quoted = (piece.replace("\\", "\\\\").replace('"', '\\"') for piece in pieces)
    text = "".join(f'geo {name} {{ default "{piece}"; }}\n' for name, piece in zip(names, quoted))  # noqa: B905  Python 3.9
    return text + f'map "" $discovery_page_{status} {{ default "{"".join(names)}"; }}\n'


def _plain(name, options, body, flags=""):
    front = _from_front(options)
    header = "    real_ip_header proxy_protocol;\n" if front else ""
    listen = _listen(options.http_port, options, " proxy_protocol" * bool(front) + flags)
    return f"server {{\n{listen}    server_name {name};\n{front}{header}{body}}}\n"


def _from_front(options):
    """Balancers in front whose word on the client's address is taken. What listens for it takes no connection without such a
    word, from anybody."""
    return "".join(f"    set_real_ip_from {network};\n" for network in options.proxy_protocol_from)


def _asking(plan, options):
    """{host: name of the CA whose clients' certificates it asks for}."""
    return {host: ca for host, ca in plan.client_cas.items() if host not in options.maintenance} if plan.tls_port else {}


def _client_ca(ca, options):
    """The name of a CA of clients, and its file; None without one."""
    return (ca, options.client_cas[ca]) if ca else None


def _https(name, tls_directory, certificate, hsts, body, flags="", ca=None):
    """The same behind the listener for TLS; how it listens stands at one of them.

    :param ca: (name, file) of the CA of clients. Its hosts have a socket of their own, and no session of TLS is resumed there:
        nginx and OpenSSL would take one that another name has made, with a certificate of another CA (as in CVE-2025-23419).
    """
    socket, asks = "https", ""
    if ca:
        socket = f"https-{ca[0]}"
        lines = [f"ssl_client_certificate {ca[1]}", "ssl_verify_client optional", f"ssl_verify_depth {DEEPEST}"]
        asks = "".join(f"    {line};\n" for line in (*lines, "ssl_session_cache off"))
    # Of two headers a browser takes the first: an instance's would go before the one of the host.
    hidden = "".join(f"    {by}_hide_header Strict-Transport-Security;\n" for by in ("proxy", "grpc")) if hsts else ""
    return (
        f"server {{\n    listen unix:{tls_directory}/{socket}.sock{flags};\n    server_name {name};\n"
        f"    ssl_certificate {certificate['certificate']};\n    ssl_certificate_key {certificate['key']};\n"
        f"{asks}{FROM_TLS}{f'    {hsts}' if hsts else ''}{hidden}{body}}}\n"
    )


def _answer(status, page=""):
    retry = RETRY if status == 503 else ""
    return f"    default_type text/html;\n{retry}    return {status} $discovery_page_{page or status};\n"


def _challenges(options):
    """The location that answers a CA, in clear, before anything else of a host: the token that is asked for, and the account's
    thumbprint (RFC 8555, 8.3). Nothing has to be shared between balancers for it."""
    if not options.acme_thumbprint:
        return ""
    return (
        '    location ~ "^/[.]well-known/acme-challenge/([A-Za-z0-9_-]{16,128})$" {\n        default_type text/plain;\n'
        f'        return 200 "$1.{options.acme_thumbprint}";\n    }}\n'
    )


def _first(answer, challenges):
    """An answer for all paths of a host but challenges. Beside a location it has to stand in one: nginx returns before it looks
    for one."""
    if not challenges:
        return answer
    return challenges + "    location / {\n" + answer.replace("    ", "        ") + "    }\n"


def _errors(hsts="", more=()):
    """What nginx answers by itself, and no instance: 502 and 504, a header of the client that does not fit, a client that asks
    for too much. One location for all of them, because each costs memory for each service: the status stays what it was, and the
    maps of `_pages` choose by it.

    :param more: statuses of those that a service keeps away
    """
    statuses = " ".join(map(str, sorted((*more, 429, 502, 504))))
    more = f"        {hsts}" if hsts else ""
    return (
        f"    error_page {statuses} @discovery_error;\n"
        "    error_page 494 =431 @discovery_error;\n"
        "    location @discovery_error {\n"
        f"        add_header Retry-After $discovery_retry_after always;\n{more}"
        "        default_type text/html;\n"
        "        return 200 $discovery_error;\n"
        "    }\n"
    )


def _own_answer(status, hsts):
    """Within a location, with headers of its own."""
    more = f"        {hsts}" if hsts else ""
    return f"    {RETRY}{more}        default_type text/html;\n        return {status} $discovery_page_{status};\n"


def _nobody(name, options):
    """The status for a name, or a path of it, that no healthy instance has."""
    return 503 if name.endswith(f".{options.domain}") else 404


def _rate(service):
    """Where the requests of each client to a service are counted."""
    if not service.settings.rate_limit:
        return ""
    return f"limit_req_zone $binary_remote_addr zone=rate_{service.name}:{COUNTED} rate={service.settings.rate_limit[0]}r/s;\n"


def _access(service, options):
    """Directives of an http location, or of a listener of the stream block, that lets some clients in alone."""
    allowed = options.allowed(service)
    return [f"allow {network}" for network in allowed] + ["deny all"] * bool(allowed)


def _silence(service):
    """Directives of a location or of a listener without a log; pages of nginx itself have their lines."""
    return [] if service.settings.access_log else ["access_log off"]


def _users(service, options):
    """Directives of a location that asks for a password. The workers read the file at each request."""
    users = options.users_of(service.settings)
    return [f"auth_basic {users}", f"auth_basic_user_file {options.htpasswd[users]}"] if users else []


def _limits(service, client_requests):
    """Directives of a location that has a limit of its own: nginx does not inherit the site's then."""
    if not service.settings.rate_limit:
        return []
    own = f"limit_req zone=rate_{service.name} burst={service.settings.rate_limit[1]} nodelay"
    return [own] + [f"limit_req zone=discovery_rate burst={client_requests} nodelay"] * bool(client_requests)


def _headers(service, options):
    """Directives of a location by which a header is on each answer of an instance, and an instance's of that name on none."""
    by = _by(service)
    found = options.added_headers(service)
    return [f'add_header {name} "{value}" always' for name, value in found] + [
        f"{by}_hide_header {name}" for name, _unused in found
    ]


def _by(service):
    return "grpc" if service.settings.protocol == "grpc" else "proxy"


def _locations(host, services, options, more, redirects=None, hsts=""):
    """The locations of one host: the longest path wins. A path without a service is answered as a host without one.

    :param more: {name of a service: directives}
    :param redirects: {name of a service: lines}
    :param hsts: the line of a header
    """
    closed = any(map(options.allowed, services)) or any(service.settings.needs_certificate for service in services)
    barred = [401] * any(options.users_of(service.settings) for service in services) + [403] * closed
    text = _errors(hsts, barred)
    for service in sorted(services, key=lambda service: service.settings.path):
        path = service.settings.path
        body = _proxied(service, (redirects or {}).get(service.name, ""), hsts, more[service.name])
        text += "".join(f"    location {where} {{\n{body}    }}\n" for where in ([f"= {path}", f"{path}/"] if path else ["/"]))
    if all(service.settings.path for service in services):
        status = _nobody(host, options)
        rest = _own_answer(status, hsts) if status == 503 else _answer(status).replace("    ", "        ")
        text += f"    location / {{\n{rest}    }}\n"
    return text


def _proxied(service, redirect, hsts, more):
    chosen = service.settings
    by = _by(service)
    written = (chosen.rewrite or (chosen.path and chosen.strip)) and by == "proxy"  # grpc_pass cannot
    lines = [f"set $discovery_prefix {chosen.path}"] if written and chosen.path else []
    lines += STICKY if chosen.sticky else []
    # A path has to be written before the upstream is one of several.
    path = chosen.path.replace(".", "[.]")
    lines += [f'rewrite "(?s)^{path}/?(.*)$" {chosen.rewrite}/$1 break'] if chosen.sticky and written else []
    upstream = "$discovery_to" if chosen.sticky else f"http_{service.name}{f'{chosen.rewrite}/' if written else ''}"
    lines += [f"{by}_pass {chosen.protocol}://{upstream}"]
    lines += ["proxy_ssl_server_name on", "proxy_ssl_name $host"] if chosen.protocol == "https" else []
    lines += [f"{by}_connect_timeout {chosen.connect_timeout}"] if chosen.connect_timeout else []
    lines += [f"{by}_{way}_timeout {chosen.read_timeout}" for way in ("read", "send")] if chosen.read_timeout else []
    lines += [f"client_max_body_size {chosen.max_body_size}"] if chosen.max_body_size else []
    lines += more
    # gRPC is never buffered.
    lines += ["proxy_buffering off", "proxy_request_buffering off"] if chosen.unbuffered and by == "proxy" else []
    lines += _buffers(by, int(chosen.header_size.rstrip("k")) + MORE) if chosen.header_size else []
    # A location with headers of its own inherits none, and one that hides some hides no others.
    if hsts and any(line.startswith("add_header") for line in lines):
        lines += [hsts.rstrip(";\n"), f"{by}_hide_header Strict-Transport-Security"]
    variables = [f"set $discovery_service {service.name}", *(_kept(service) if chosen.sticky else [])]
    return _lines(variables) + redirect + (NEEDS_CERTIFICATE if chosen.needs_certificate else "") + _lines(lines)


def _lines(directives):
    return "".join(f"        {directive};\n" for directive in directives)


def _kept(service):
    """Variables that the maps of `_sticky` need."""
    return [f"set $discovery_sticky {sticky.key(service)}", f"set $discovery_cookie $cookie_{sticky.cookie(service)}"]


def _buffers(by, size):
    """The header of an answer has to fit into the first buffer, of this size in KiB."""
    if by == "grpc":
        return [f"grpc_buffer_size {size}k"]
    return [f"proxy_buffer_size {size}k", f"proxy_buffers 8 {size // 4}k", f"proxy_busy_buffers_size {size}k"]


def _http_upstream(service, options):
    return _upstream("http", service, options, _keepalive(options, options.keepalive))


def _keepalive(options, count):
    return f"    keepalive {count};\n    keepalive_timeout {options.keepalive_timeout};\n" if count else ""


def _sticky(services, options):
    """The open source nginx has no sticky cookies. So each instance has an upstream of its own, in which some others are backups,
    and a map leads from the cookie to it; without the cookie of one that is there, the service's own upstream is asked. Who has
    got an answer from another instance than that of his cookie gets the cookie of that one.
    """
    if not services:
        return ""
    by, to, text = {"default": '""'}, {"default": "http_$discovery_service"}, ""
    for service in services:
        key, values = sticky.key(service), sticky.values(service)
        for value, instance in values.items():
            by[f'"{key} {instance.address}:{instance.port}"'] = value
            if len(service.instances) > 1:
                to[f'"{key} {value}"'] = f"sticky_{service.name}_{value}"
                text += _upstream_of(instance, f"sticky_{service.name}_{value}", service, options)
    last = {"default": "$upstream_addr", '"~ (?<discovery_answerer>[^ ]+)$"': "$discovery_answerer"}
    new = {
        "default": '"sticky_$discovery_sticky=$discovery_by; Path=/; HttpOnly"',
        '"~^ "': '""',  # nobody answered, or one without a value
        '"~^([0-9a-f]+) \\1$"': '""',  # of the value alone: a cookie may be long
    }
    return (
        _map("$upstream_addr", "$discovery_answered", last)
        + _map('"$discovery_sticky $discovery_answered"', "$discovery_by", by)
        + _map('"$discovery_by $discovery_cookie"', "$discovery_set_cookie", new)
        + _map("$discovery_set_cookie", "$discovery_cache", {"default": "private", '""': '""'})
        # Looked up again after X-Accel-Redirect of an instance to a path of another service.
        + _map('"$discovery_sticky $discovery_cookie"', "$discovery_to", to, "    volatile;\n")
        + text
    )


def _upstream_of(instance, name, service, options):
    """One instance before others: as many as may be tried for a request, on other hosts where there are some."""
    at = service.instances.index(instance)
    others = service.instances[at + 1 :] + service.instances[:at]
    others = sorted(others, key=lambda other: other.address == instance.address)[: max(options.tries, 1)]
    limits = f"max_fails={options.max_fails} fail_timeout={options.fail_timeout}"
    servers = [f"    server {instance.address}:{instance.port} {limits};\n"]
    servers += [f"    server {other.address}:{other.port} max_fails=0 backup;\n" for other in others]
    return f"upstream {name} {{\n{''.join(servers)}{_keepalive(options, min(options.keepalive, KEPT_OF_STICKY))}}}\n"


def _stream(plan, options, tls_directory):
    listeners = {f"TCP{service.port}": service.name for service in plan.tcp}
    listeners |= {f"UDP{service.port}": service.name for service in plan.udp}
    if plan.tls_port:
        listeners |= {f"TCP{plan.tls_port}": "$discovery_tls", "TCP": "$discovery_tls"}  # the second step has no port
    text = _map("$protocol$server_port", "$discovery_service", {"default": '"-"', **listeners})
    if plan.tls_port:
        text += _tls(plan, options, tls_directory)
    return text + "".join(_listener(service, options) for service in plan.tcp)


def _map(value, variable, entries, first=""):
    lines = "".join(f"    {key} {result};\n" for key, result in entries.items())
    return f"map {value} {variable} {{\n{first}{lines}}}\n"


def _tls(plan, options, tls_directory):
    """One listener, which chooses by the name that the client asks for; a connection with any other name is closed.

    With certificates the http block needs the client's address. proxy_protocol is set per listener, not per upstream; so every
    connection carries the header then, and passthrough connections lose it again at a second listener.
    """
    ended = options.certificates
    names = {host: f"tls_{service.name}" for service in plan.tls for host in service.hosts}
    asking = _asking(plan, options)
    names |= {host: f"discovery_https_{ca}" for host, ca in sorted(asking.items())}
    for name in sorted(options.certified):
        names.setdefault(name, "discovery_https")
    text = _map("$ssl_preread_server_name", "$discovery_tls", {"default": '""', **names}, "    hostnames;\n" if ended else "")
    text += "".join(_upstream("tls", service, options, _turns(service)) for service in plan.tls)
    guarded, maps = _guarded(plan.tls, options)
    text += maps
    front = _from_front(options)
    listen = _listen(plan.tls_port, options, " proxy_protocol" * bool(front)) + front
    if not ended:
        return text + f"server {{\n{listen}    ssl_preread on;\n    proxy_pass {guarded};\n}}\n"
    ends = {"discovery_https": "https"} | {f"discovery_https_{ca}": f"https-{ca}" for ca in sorted(set(asking.values()))}
    steps = {"default": "discovery_through", '""': '""'} | {name: name for name in ends}
    through = tls_directory / "through.sock"
    return (
        text
        + _map(guarded, "$discovery_step", steps)
        + "".join(f"upstream {name} {{\n    server unix:{tls_directory}/{stem}.sock;\n}}\n" for name, stem in ends.items())
        + f"upstream discovery_through {{\n    server unix:{through};\n}}\n"
        + f"server {{\n{listen}    ssl_preread on;\n    proxy_protocol on;\n    access_log off;\n"
        + "    proxy_pass $discovery_step;\n}\n"
        + f"server {{\n    listen unix:{through} proxy_protocol;\n    ssl_preread on;\n"
        + "    proxy_pass $discovery_tls;\n}\n"
    )


def _guarded(services, options):
    """The variable with the upstream of a TLS connection, empty for a client that its service does not let in, and its maps.

    One listener serves all names, so `allow` cannot stand there.
    """
    guarded = {service: sticky.key(service) for service in services if options.allowed(service)}
    if not guarded:
        return "$discovery_tls", ""
    text = ""
    for service, key in guarded.items():
        networks = "".join(f"    {network} 1;\n" for network in options.allowed(service))
        text += f"geo $discovery_in_{key} {{\n    default 0;\n{networks}}}\n"
    within = {"default": 1} | {f"tls_{service.name}": f"$discovery_in_{key}" for service, key in guarded.items()}
    text += _map("$discovery_tls", "$discovery_in", within)
    return "$discovery_let_in", text + _map("$discovery_in", "$discovery_let_in", {"default": '""', 1: "$discovery_tls"})


def _listener(service, options):
    chosen = service.settings
    lines = f"    proxy_connect_timeout {chosen.connect_timeout};\n" if chosen.connect_timeout else ""
    lines += f"    proxy_timeout {chosen.read_timeout};\n" if chosen.read_timeout else ""
    lines += "    proxy_protocol on;\n" if chosen.proxy_protocol else ""
    lines += "".join(f"    {line};\n" for line in _access(service, options) + _silence(service))
    return (
        _upstream("tcp", service, options, _turns(service))
        + f"server {{\n{_listen(service.port, options)}    proxy_pass tcp_{service.name};\n{lines}}}\n"
    )


def _counted(plan, options, udp_sessions, open_connections, generation):
    """What counts in a zone of its generation."""
    text = _connections(open_connections, generation) if open_connections and (plan.tcp or plan.tls_port) else ""
    return text + (_datagrams(plan, options, udp_sessions, generation) if plan.udp else "")


def _connections(most, generation):
    """For all listeners without a limit of their own, because an idle connection there holds its places: nginx takes back those
    of HTTP only. Its zone has a generation's name for the reason that `_datagrams` has.
    """
    return (
        f"limit_conn_zone $discovery_connecting zone=connections_{generation}:4m;\n"
        f"limit_conn connections_{generation} {most};\nlimit_conn_log_level warn;\n"
    )


def _datagrams(plan, options, most, generation):
    """Whoever sends datagrams may name any sender: all their sessions together get a part of the connections, and those of one
    port no more than half of that where there are others.

    Each generation counts those of its own workers: a worker that is killed leaves its sessions counted in the shared memory, and
    those that were moved to new workers are still counted by the old ones.
    """
    zone = f"datagrams_{generation}"
    limits = f"    limit_conn {zone} {most};\n    limit_conn_log_level info;\n"
    text = f"limit_conn_zone $protocol zone={zone}:64k;\n"
    if len(plan.udp) > 1:
        limits += f"    limit_conn {zone}_port {max(most // 2, 1)};\n"
        text += f"limit_conn_zone $server_port zone={zone}_port:{64 + len(plan.udp)}k;\n"
    return text + "".join(_udp_listener(service, options, limits) for service in plan.udp)


def _udp_listener(service, options, limits):
    """Datagrams of one address and port of a client are a session, which ends after some silence, or with its last answer.

    The kernel gives all of a session to one worker only where each has a socket of its own (reuseport)."""
    chosen = service.settings
    lines = f"    proxy_timeout {chosen.read_timeout or UDP_TIMEOUT};\n"
    lines += f"    proxy_responses {chosen.responses};\n" if chosen.responses else ""
    lines += "".join(f"    {line};\n" for line in _access(service, options) + _silence(service))
    listen = _listen(service.port, options, " udp reuseport")
    return (
        _upstream("udp", service, options, _turns(service))
        + f"server {{\n{listen}    proxy_pass udp_{service.name};\n{lines}{limits}}}\n"
    )


def _turns(service):
    """Connections last: the instance with the fewest is next. Where versions have shares, turns make them."""
    return "" if service.shifted else "    least_conn;\n"


def _listen(port, options, flags=""):
    hosts = (f"[{address}]" if ":" in address else address for address in options.listen)
    return "".join(f"    listen {host}:{port}{flags};\n" for host in hosts)


def _upstream(kind, service, options, settings):
    """`zone` lets the workers share turns and failure counts; 1 KiB for each server is ample.

    When all instances have failed of late, nginx by itself would answer 502 for `fail_timeout`, also where they are back, or
    where an application answers 503 itself. So all are there again, for that case alone, often enough for all tries: else
    the last answer of an application would become nginx's 502.
    """
    name = f"{kind}_{service.name}"
    count = len(service.instances)
    again = ()
    if count > 1 and options.max_fails:  # a single one is tried in any case
        again = service.instances * -(-max(options.tries, 1) // count)
    servers = "".join(
        f"    server {i.address}:{i.port}{f' weight={i.weight}' if i.weight != 1 else ''} {limits};\n"
        for instances, limits in (
            (service.instances, f"max_fails={options.max_fails} fail_timeout={options.fail_timeout}"),
            (again, "max_fails=0 backup"),
        )
        for i in instances
    )
    return f"upstream {name} {{\n    zone {name} {64 + count + len(again)}k;\n{servers}{settings}}}\n"
