"""nginx: its part of the configuration (pure), and how it is checked, reloaded and asked what it runs.

What is the same for all services stands in nginx.conf, from the role's template.
"""

import hashlib
import http.client
import os
import pathlib
import shutil
import signal
import socket

from .place import place

HEADER = "# Made by discovery-balancer from Consul's catalog. Edits are lost at the next change.\n"


def render_nginx(plan, options) -> dict:
    """The two files of one generation, without the marker.

    :param plan: services whose names, addresses and ports are safe to print
    :param options: domain, ports, and the limits of upstreams (times as nginx writes them: '5s')
    :returns: {"http.conf": text for the http block, "stream.conf": text for the stream block}
    """
    http_conf = HEADER + _fallbacks(options) + "".join(_virtual_host(s, options) for s in plan.http)
    stream_conf = HEADER + "".join(_listener(s, options) for s in plan.tcp)
    return {"http.conf": http_conf, "stream.conf": stream_conf}


def _listen(port, options, flags=""):
    hosts = (f"[{address}]" if ":" in address else address for address in options.listen)
    return "".join(f"    listen {host}:{port}{flags};\n" for host in hosts)


def _server(port, options, flags="", **directives):
    """A server block; directives in the order given."""
    lines = "".join(f"    {name} {value};\n" for name, value in directives.items())
    return "server {\n" + _listen(port, options, flags) + lines + "}\n"


def _page(status, text):
    return {"default_type": "text/plain", "return": f'{status} "{status}: {text}\\n"'}


def _fallbacks(options):
    missing = _page(404, "there is no such site here.")
    resting = _page(503, "this service has no healthy instance right now. Try again in a few seconds.")
    return _server(options.http_port, options, " default_server", server_name="_", **missing) + _server(
        options.http_port, options, server_name=f"*.{options.domain}", add_header="Retry-After 5 always", **resting
    )


def _virtual_host(service, options):
    settings = f"    keepalive {options.keepalive};\n    keepalive_timeout {options.keepalive_timeout};\n"
    return (
        _upstream("http", service, options, settings if options.keepalive else "")
        + "server {\n"
        + _listen(options.http_port, options)
        + f"    server_name {service.name}.{options.domain};\n"
        + f"    location / {{ proxy_pass http://http_{service.name}; }}\n"
        + "}\n"
    )


def _listener(service, options):
    upstream = _upstream("tcp", service, options, "" if service.shifted else "    least_conn;\n")
    return upstream + _server(service.port, options, proxy_pass=f"tcp_{service.name}")


def _upstream(kind, service, options, settings):
    """`zone` lets the workers share turns and failure counts; 1 KiB for each server is ample."""
    servers = "".join(
        f"    server {i.address}:{i.port}{f' weight={i.weight}' if i.weight != 1 else ''}"
        f" max_fails={options.max_fails} fail_timeout={options.fail_timeout};\n"
        for i in service.instances
    )
    name = f"{kind}_{service.name}"
    return f"upstream {name} {{\n    zone {name} {64 + len(service.instances)}k;\n{servers}{settings}}}\n"


def _marker(marker, options):
    """Tells root of this host, and nobody else, which configuration is loaded: the socket's directory is root's."""
    return (
        "server {\n"
        + f"    listen unix:{options.nginx_socket};\n"
        + "    access_log off;\n"
        + "    default_type text/plain;\n"
        + f'    return 200 "{marker}";\n'
        + "}\n"
    )


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Nginx:
    """The nginx of this site's balancer. `nginx -s reload` ends with 0 even where the master refuses the new
    configuration, so every generation carries a marker, and only the marker's answer counts."""

    def __init__(self, options):
        self.options = options
        self.place = place(options)
        self.master, self.port_taken = self.place.master, self.place.port_taken

    def files(self, plan) -> tuple:
        """The files of a generation and their marker, which covers nginx.conf as well."""
        files = render_nginx(plan, self.options)
        main = pathlib.Path(self.options.nginx_config).read_bytes()
        told = [*files.values(), _marker("", self.options)]
        marker = hashlib.sha256(main + "\0".join(told).encode()).hexdigest()[:16]
        files["http.conf"] += _marker(marker, self.options)
        return files, marker

    def check(self, generation: pathlib.Path, candidate: pathlib.Path) -> str:
        """Test the complete tree with this generation in it; "" or what nginx says."""
        pathlib.Path(self.options.nginx_socket).parent.mkdir(mode=0o700, exist_ok=True)
        candidate.mkdir(exist_ok=True)
        for name in ("nginx.conf", "discovery"):
            (candidate / name).unlink(missing_ok=True)
        shutil.copyfile(self.options.nginx_config, candidate / "nginx.conf")
        (candidate / "discovery").symlink_to(generation)
        return self.place.test(candidate / "nginx.conf")

    def running(self) -> str:
        """The marker of the configuration that serves now; "" when none answers."""
        connection = UnixConnection(self.options.nginx_socket, timeout=2)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            return response.read(64).decode("ascii", "replace") if response.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()

    def reload(self):
        """Ask the master to load what the link points to."""
        if master := self.master():
            os.kill(master, signal.SIGHUP)
