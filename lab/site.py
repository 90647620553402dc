"""The site services: what a real site has and a lab must bring. One container for all labs of the machine.

It has an address in every lab's network and offers there: the release mirror (port 80), an apt cache (3142), an
image registry that stands in for the public one (5000), and the site's DNS (53) with the zone `site.example`.
"""

import ipaddress
import json
import socket
import tempfile
from pathlib import Path

from lab import images, releases
from lab.containers import await_start, create_network, start_container
from lab.machine import private_folder, resolvers
from lab.shell import CACHE, run, step, succeeds

NAME = "fewnodes-site"
SITE_NAME = "intranet.site.example"
SITE_NAME_ADDRESS = "203.0.113.80"  # RFC 5737: an address for examples, where nobody answers

RELEASE_MIRROR = """[Service]
ExecStart=/usr/bin/python3 -m http.server 80 --directory /srv/releases
Restart=always
"""
# Folder of the cache on the machine: where it is in the container, the service there, its user.
CACHES = {
    "apt": ("/var/cache/apt-cacher-ng", "apt-cacher-ng", "apt-cacher-ng"),
    "registry": ("/srv/registry", "docker-registry", "docker-registry"),
}
# The services have users of their own, whose numbers may be those of other users of the machine: they own folders below one that
# only root may enter.
OWNER = """[Service]
ExecStartPre=+/bin/chown -R {user}: {folder}
"""
REGISTRY = """version: 0.1
storage:
  filesystem: {rootdirectory: /srv/registry}
http: {addr: ":5000"}
"""


def attach(network: str, address: ipaddress.IPv4Address) -> None:
    """Give the site services an address in a lab's network, starting them where they do not run yet.

    A container of theirs that cannot be started is made anew: a machine that was halted in the middle leaves one that podman is
    stopping or removing for ever. It holds nothing of its own. Other labs get their address in it back by their next `up`.
    """
    mirror, tags = releases.provide(), images.samples()
    if succeeds("podman", "container", "exists", NAME) and not running(NAME) and not succeeds("podman", "start", NAME):
        print("lab: the site services cannot be started again; they are made anew")
        run("podman", "rm", "-f", "-t", "0", "-v", NAME)
    if not succeeds("podman", "container", "exists", NAME):
        with step("starting the site services"):
            if not succeeds("podman", "network", "exists", NAME):
                create_network(NAME)
            volumes = {mirror: "/srv/releases"}
            private_folder(CACHE)
            volumes |= {private_folder(CACHE / folder): target for folder, (target, _, _) in CACHES.items()}
            start_container(NAME, NAME, images.site(), ["--network", NAME], _files(), volumes)
    if network not in attached():
        run("podman", "network", "connect", "--ip", address, network, NAME)
    await_start(NAME, lambda: _ready(address), "the site services")
    with step("filling the image registry"):
        for name, tag in tags.items():
            offer(address, name, tag)


def offer(address: str, name: str, tag: str) -> str:
    """Put an image into the registry of a lab.

    :param address: of the lab's site services
    :param name: under which the lab's docker hosts can pull it
    :param tag: in this machine's podman
    :returns: its digest there
    """
    target = f"docker://{address}:5000/library/{name}"
    with tempfile.NamedTemporaryFile("r") as file:
        copy = ("skopeo", "copy", "-q", "--dest-tls-verify=false", "--digestfile", file.name)
        run(*copy, f"containers-storage:{tag}", target)
        return file.read().strip()


def detach(network: str) -> None:
    """Take the site services out of a lab's network; without any lab they end."""
    if not succeeds("podman", "container", "exists", NAME):
        return
    if network in attached():
        run("podman", "network", "disconnect", "-f", network, NAME)
    if not attached():
        run("podman", "rm", "-f", "-t", "0", "-v", NAME)
        run("podman", "network", "rm", NAME)


def attached() -> set[str]:
    """The labs' networks in which the site services have an address."""
    answer = json.loads(run("podman", "container", "inspect", NAME))
    return set(answer[0]["NetworkSettings"]["Networks"]) - {NAME}


def running(container: str) -> bool:
    """Whether a container runs."""
    return run("podman", "container", "inspect", "--format", "{{.State.Running}}", container).strip() == "true"


def _ready(address: ipaddress.IPv4Address) -> bool:
    for port in (53, 80, 3142, 5000):
        try:
            socket.create_connection((str(address), port), timeout=1).close()
        except OSError:
            return False
    return True


def _files() -> dict[str, str | Path]:
    """The files that turn the image into the site services."""
    upstream = "".join(f"server={address}\n" for address in resolvers())
    return {
        "etc/resolv.conf": "".join(f"nameserver {address}\n" for address in resolvers()),
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/dnsmasq.conf": f"no-resolv\nno-hosts\n{upstream}host-record={SITE_NAME},{SITE_NAME_ADDRESS}\n"
        "local=/site.example/\nlocal=/consul/\n",
        "etc/apt-cacher-ng/lab.conf": "Offlinemode: 0\nExThreshold: 30\n",
        "etc/docker/registry/config.yml": REGISTRY,
        **{
            f"etc/systemd/system/{service}.service.d/lab.conf": OWNER.format(user=user, folder=folder)
            for folder, service, user in CACHES.values()
        },
        "etc/systemd/system/release-mirror.service": RELEASE_MIRROR,
        "etc/systemd/system/multi-user.target.wants/release-mirror.service": Path("../release-mirror.service"),
    }
