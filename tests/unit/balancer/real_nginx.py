"""The distribution's nginx with the role's own nginx.conf, in a directory of its own and on unprivileged ports."""

import contextlib
import functools
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import typing
from pathlib import Path

from tests.support.wait import eventually

from allowed import foreign
from discovery_balancer import backends, sync
from discovery_balancer.backends.nginx import workers
from discovery_balancer.options import Options
from discovery_balancer.store import Store
from printed import printed

ROOT = Path(__file__).parents[3]
UNPACKED = ROOT / ".cache/nginx"
# Another program and its module for streams, such as another distribution's, whose process must be called nginx….
OTHER, OTHERS_STREAM = (os.environ.get(f"NGINX_{name}UNDER_TEST", "") for name in ("", "STREAM_"))
OWN = f"{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # two runs at once do not meet
ADDRESS = f"127.74.{OWN}"  # of the balancer
BACKENDS = tuple(f"127.{number}.{OWN}" for number in (75, 76, 77))
DOMAIN = "hospital.example"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Written(typing.NamedTuple):
    """What the roles write with some variables."""

    main: str  # the main file of the backend
    options: dict  # of the program
    own: dict  # options of the backend
    more: dict  # {name: text} of further files


def free_ports() -> list[int]:
    """Ports without a listener on this machine at the balancer's address, below the kernel's own choices."""
    found = []
    for port in range(20000, 32000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as nginx: connections of a test before are no listeners
            probe.bind((ADDRESS, port))
            found.append(port)
    assert len(found) > 5000, "hardly a free port on this machine"
    return found


def open_sockets(pid: int) -> set[str]:
    """The sockets that a process has open; none of one that has ended."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for file in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.add(os.readlink(file.path))
    return found


def listening() -> set[str]:
    """The sockets of this machine that listen, of TCP and unix ones, named as in /proc/<pid>/fd (proc(5): net/tcp with state and
    inode, net/unix with flags and inode)."""
    found = set()
    for file, (at, listens), inode in (("tcp", (3, "0A"), 9), ("unix", (3, "00010000"), 6)):
        lines = (line.split() for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:])
        found |= {f"socket:[{fields[inode]}]" for fields in lines if fields[at] == listens}
    return found


def written_by_the_roles(http_port: int, backend="nginx", main="nginx.conf", more=None, **variables) -> Written:
    """What the roles write for a backend with these variables, else with their defaults.

    :param main: the name of its main file
    :param more: {name of a further file: its template}
    """
    chosen = {
        "template": str(ROOT / f"roles/{backend}/templates/{main}.j2"), "balancer_domain": DOMAIN,
        "balancer_listen": [ADDRESS], "balancer_backend": backend,
        "balancer_address": ADDRESS, "balancer_access_log": "off", "balancer_reload_interval": 0,
        "balancer_deployment": "host", "balancer_network": "",
        **variables,
    }  # fmt: skip
    ports = {"http_port": http_port, "tls_port": chosen.pop("balancer_tls_port", 443)}  # they stand in the options alone
    files = {
        "main": "{{ lookup('ansible.builtin.template', template) }}",
        "options": "{{ __balancer_options | to_json }}",
        "own": f"{{{{ __{backend}_options | to_json }}}}",
        "more": more or {},
    }
    made = _written(backend, json.dumps(files), json.dumps(chosen))
    return Written(made["main"], json.loads(made["options"]) | ports, json.loads(made["own"]), made["more"])


@functools.cache
def _written(backend: str, files: str, variables: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "templates").symlink_to(ROOT / "roles" / backend / "templates")
        (made,) = printed(Path(folder), json.loads(files), json.loads(variables))
    return made


class Backends:
    """Instances on this machine: each answers with its address, over HTTP.

    :param tls: (certificate, key), to speak TLS
    """

    def __init__(self, tls=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = "{}:{}".format(*self.connection.getsockname()[:2]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.servers = [http.server.ThreadingHTTPServer((address, 0), Handler) for address in BACKENDS]
        for server in self.servers:
            server.daemon_threads = True
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*tls)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def places(self) -> list[tuple[str, int]]:
        return [server.server_address[:2] for server in self.servers]

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Balancer:
    """A state directory of the program, its options, and an nginx that can be started; gone with the block.

    :param variables: of the roles balancer and nginx
    """

    def __init__(self, **variables):
        # In memory, because the program syncs files to the disk; short, because a unix socket's path has room for 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="l3-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.folder.chmod(0o711)  # the workers pass through it
        self._configure(variables)

    def _configure(self, variables):
        self.http_port, self.tls_port, *self.ports = free_ports()
        self.process = None
        self.store = Store(self.folder / "state")
        self.config = self.folder / "etc"
        for directory in (self.store.root, self.config, self.folder / "modules", self.folder / "run"):
            directory.mkdir()
        given = {"balancer_tls_port": self.tls_port} | variables
        text, options, written, _unused = written_by_the_roles(self.http_port, **given)
        self.config.joinpath("nginx.conf").write_text(self._moved(text))
        self.config.joinpath("discovery").symlink_to(self.store.link)
        self.config.joinpath("mime.types").write_text("types { text/plain txt; }\n")
        binary = Path(OTHER) if OTHER else UNPACKED / "usr/sbin/nginx"
        module = OTHERS_STREAM or UNPACKED / "usr/lib/nginx/modules/ngx_stream_module.so"
        assert binary.exists(), "no nginx to test with: run `make system`"
        self.folder.joinpath("modules/stream.conf").write_text(f"load_module {module};\n")
        own = {
            "binary": str(binary), "config": str(self.config / "nginx.conf"),
            "pid_file": str(self.folder / "run/nginx.pid"), "socket": str(self.folder / "run/own/nginx.sock"),
            "shutdown_timeout": "5s", "old_workers": 64, "client_requests": written["client_requests"],
            "udp_sessions": written["udp_sessions"], "client_open_connections": written["client_open_connections"],
        }  # fmt: skip
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        options |= self._files(given)
        self.options = Options(**options, backend=own, refused_networks=())  # the instances are on this machine

    def _files(self, given: dict) -> dict:
        """Lists of users and CAs of clients where this server reads them: {option: {name: file}}."""
        found = {}
        for option in ("htpasswd", "client_cas"):
            found[option] = {}
            for name, file in given.get(f"balancer_{option}", {}).items():
                found[option][name] = str(self.config / f"{name}.{option}")
                shutil.copyfile(file, found[option][name])
        return found

    def _moved(self, text: str) -> str:
        """The role's file with the paths of this directory."""
        places = {
            "/etc/nginx/modules-enabled/": f"{self.folder}/modules/",
            "/etc/nginx/": f"{self.config}/",
            "/run/nginx.pid": f"{self.folder}/run/nginx.pid",
            "http {\n": "http {\n" + "".join(f"    {name}_temp_path {self.folder}/{name};\n" for name in TEMPORARY),
        }
        for old, new in places.items():
            assert old in text, f"the role's nginx.conf has no {old!r} any more"
            text = text.replace(old, new)
        return text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        shutil.rmtree(self.folder)

    def start(self):
        """Start nginx with the current generation."""
        os.makedirs(self.folder / "run/own", exist_ok=True)
        command = [self.options.backend["binary"], "-c", self.config / "nginx.conf", "-g", "daemon off;"]
        with open(self.folder / "nginx.log", "ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 60
        while not self.backend.running():
            assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "nginx.log").read_text()
            time.sleep(0.02)

    def foreign(self) -> list[str]:
        """What is in the current generation that the table does not allow."""
        run = str(Path(self.options.backend["socket"]).parent)
        return [one for name in ("main.conf", "http.conf", "stream.conf") for one in foreign(self.store.link / name, run)]

    @property
    def backend(self):
        """nginx as the program drives it."""
        return backends.make(self.options)

    def workers(self) -> set:
        """Process ids of its workers, also of those that finish their connections."""
        return {worker.pid for worker in workers.workers(self.backend.master())}

    def taking(self) -> set:
        """Process ids of the workers that may take a connection. One that was asked to finish may do so until it has closed the
        sockets on which it listens: on a busy machine it gets the signal late, and its title changes before it closes them."""
        sockets = listening()
        return {pid for pid in self.workers() if sockets & open_sockets(pid)}

    def taken_over(self, before: set, seconds: float = 60) -> None:
        """Wait until none of these workers takes a connection any more."""
        eventually(lambda: not before & self.taking(), seconds, every=0.01)

    def sync(self, catalog: dict) -> dict:
        """One sync with this catalog, as consul-template starts it; its status."""
        (self.store.root / "catalog.json").write_text(json.dumps(catalog))
        return sync.sync(self.store, lambda: self.options)

    def ask(self, name: str, port: int = 0, tls: bool = False) -> tuple[int, str]:
        """Status and body of one answer through nginx, a virtual host or a listener on a port; 0 and what was wrong."""
        host, port = f"{name}.{DOMAIN}", port or (self.tls_port if tls else self.http_port)
        connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
        try:
            connection.connect()
            if tls:
                connection.sock = ssl._create_unverified_context().wrap_socket(connection.sock, server_hostname=host)
            connection.request("GET", "/", headers={"Host": host, "Connection": "close"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()
