"""Nodes: one podman container per inventory host, with systemd, sshd and an address of the inventory."""

import ipaddress
import json
import os
import shutil
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import images, machine, releases, signing
from lab import site as site_services
from lab.containers import LABEL, await_start, create_network, start_container
from lab.errors import LabError
from lab.images import SUITE, UBUNTU, USER
from lab.inventory import LAB_FILE, Site, derive, directory_of, keep_shadowed, name_of, remove_lab_file
from lab.kubernetes.cluster import Cluster
from lab.shell import CACHE, run, step, succeeds

INVENTORY_LABEL = "org.fewnodes.inventory"

# On a host systemd makes the root mount shared; in a container it does not. Units with a mount namespace of their
# own would then hold the network namespaces of containers that are gone, and with them their published ports.
# Rules for the tests: they read a server's certificate from here, start programs of hosts that are instances
# of services (tests/support/instances.py), and tcp services on ports of their own (L3).
ALLOW_RULES = {
    "consul_rpc": {"from": ["site", "management"]},
    "test_instances": {"tcp": ["18100-18199"], "from": ["site", "management"]},
    "test_listeners": {"tcp": ["21000-21999"], "from": ["management"]},
}
SHARED_MOUNTS = """[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/mount --make-rshared /

[Install]
WantedBy=sysinit.target
"""


def container(lab: str, host: str) -> str:
    """The name of a host's container."""
    return f"{network(lab)}-{host}"


def hostname(host: str) -> str:
    """What a node calls itself: its inventory may have a name with dots, capitals or underscores, which a hostname has not."""
    return host.partition(".")[0].lower().replace("_", "-")


def network(lab: str) -> str:
    """The name of a lab's network."""
    return f"fewnodes-{lab}"


def up(site: Site) -> None:
    """Create what is missing of a lab and wait until every node takes SSH; nothing half-made stays.

    :raises LabError: the machine cannot carry it, its subnet is taken, or a node does not come up
    """
    machine.check()
    if _exists(site.name):
        _refuse_foreign(site.name, site.inventory)
        if _owner(site.name) != str(site.inventory):
            down(site.inventory)  # what a checkout that is gone has left
    fresh = not _exists(site.name)
    if fresh and (taken := _taken(site)):
        raise LabError(
            f"the inventory's subnet {site.subnet} overlaps {taken}. Make the lab elsewhere: "
            f"'.venv/bin/python -m lab derive {site.inventory} .lab/{site.name}', then use INVENTORY=.lab/{site.name}"
        )
    # Before the network: what fails here leaves nothing.
    names = [container(site.name, host) for host in site.addresses]
    machine.check_inotify(sum(not succeeds("podman", "container", "exists", name) for name in names))
    made = {suite: images.node(suite) for suite in sorted(set(site.suites.values()))}
    state = _state(site.name)
    if not labs():
        machine.remember_settings()
    try:
        if fresh:
            label = f"{INVENTORY_LABEL}={site.inventory}"
            create_network(network(site.name), "--subnet", site.subnet, "--gateway", site.gateway, "--label", label)
        site_services.attach(network(site.name), site.services)
        if cluster := Cluster(site, state):
            cluster.prepare()
        _key(state / "id_ed25519", "lab")
        with step(f"starting {len(site.addresses)} nodes"), ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: _start(site, made[site.suites[item[0]]], *item, cluster), site.addresses.items()))
        known = [f"{address} {_host_key(state, host).read_text()}" for host, address in site.addresses.items()]
        (state / "known_hosts").write_text("".join(known))
        _write_lab_file(site, **(cluster.variables() if cluster else {}))
        for host, address in site.addresses.items():
            await_start(container(site.name, host), lambda a=address: _ssh_answers(a), f"SSH on {host} ({address})")
        if cluster:
            cluster.start()
    except BaseException:
        if fresh:
            down(site.inventory)
        raise
    print(f"lab: {site.name} is up: " + ", ".join(f"{host} {address}" for host, address in site.addresses.items()))
    print(f"lab: try: .venv/bin/ansible -i {site.inventory} all -m ping")


def down(inventory: Path) -> None:
    """Remove a lab: its containers, volumes, network, keys and the file in the inventory."""
    lab = name_of(inventory)
    if _exists(lab):
        _refuse_foreign(lab, directory_of(inventory))
    _take_down(lab, directory_of(inventory))


def down_all() -> None:
    """Remove every lab of this machine, of any checkout, and what labs have made and changed on it: images, caches, settings."""
    for lab in labs():
        _take_down(lab, Path(_owner(lab)))
    site_services.detach("")  # what an interrupted run has left
    _put_back()
    print(f"lab: {len(images.remove())} images are removed")
    packages = CACHE / "packages"
    installed = sorted(set(packages.read_text().split())) if packages.exists() else []
    caches = CACHE if os.environ.get("DISCOVERY_LAB_CACHE") else CACHE.parent
    shutil.rmtree(caches, ignore_errors=True)
    print(f"lab: {caches} is removed")
    if installed:
        print(f"lab: packages that 'make system' has installed stay; to remove them: apt-get remove {' '.join(installed)}")


def labs() -> list[str]:
    """The names of all labs of this machine."""
    listed = run("podman", "network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}").split()
    return sorted(name.removeprefix("fewnodes-") for name in listed if name != site_services.NAME)


def _take_down(lab: str, folder: Path) -> None:
    """Remove what there is of a lab; with the last one the machine gets its settings back."""
    if _exists(lab):
        names = run("podman", "ps", "-a", "--filter", f"label={INVENTORY_LABEL}={_owner(lab)}", "--format", "{{.Names}}").split()
        _remove(names)
        site_services.detach(network(lab))
        run("podman", "network", "rm", network(lab))
    shutil.rmtree(_state(lab), ignore_errors=True)
    remove_lab_file(folder)
    print(f"lab: {lab} is removed")
    if not labs():
        _put_back()


def _put_back() -> None:
    if changed := machine.put_back_settings():
        print(f"lab: as before the first lab: {', '.join(changed)}")


def replace(site: Site, host: str) -> None:
    """Put an empty machine in the place of a node: same name and address, no disk of the old one, new SSH host key.

    :raises LabError: no such host, or what `up` raises
    """
    if host not in site.addresses:
        raise LabError(f"the inventory has no host {host}; it has {', '.join(site.addresses)}")
    if _exists(site.name):
        _refuse_foreign(site.name, site.inventory)
        _remove([container(site.name, host)])
        public = _host_key(_state(site.name), host)
        for path in (_private(public), public):
            path.unlink(missing_ok=True)
    up(site)


def external_host(site: Site, suite: str = SUITE) -> ipaddress.IPv4Address:
    """Start a bare node in a lab's network that is in no inventory, so the site does not know it (idempotent).

    It is reached with the lab's key, as every node is, and goes with the lab.

    :param suite: its Debian release; there is one external host of each
    :returns: its address
    :raises LabError: there is no such lab
    """
    if not _exists(site.name):
        raise LabError(f"there is no lab {site.name}; 'make lab INVENTORY={site.inventory}' makes it")
    _refuse_foreign(site.name, site.inventory)
    name, address = f"external-{suite}", site.external_host(suite)
    _start(site, images.node(suite), name, address)
    known = _state(site.name) / "known_hosts"
    line = f"{address} {_host_key(_state(site.name), name).read_text()}"
    if line not in known.read_text():
        with known.open("a") as file:
            file.write(line)
    await_start(container(site.name, name), lambda: _ssh_answers(address), f"SSH on {name} ({address})")
    return address


def _remove(names: list[str]) -> None:
    """Remove nodes with their volumes."""
    names = [name for name in names if succeeds("podman", "container", "exists", name)]
    if names:
        run("podman", "rm", "-f", "-t", "0", "-v", *names)
    volumes = [f"{name}-docker" for name in names if succeeds("podman", "volume", "exists", f"{name}-docker")]
    if volumes:
        run("podman", "volume", "rm", *volumes)


def _start(site: Site, image: str, host: str, address: ipaddress.IPv4Address, cluster: Cluster | None = None) -> None:
    name = container(site.name, host)
    if not succeeds("podman", "container", "exists", name):
        # The same hardware address after a reboot: the others' neighbour tables stay right, as with a real host.
        mac = "02:42:" + ":".join(f"{octet:02x}" for octet in address.packed)
        options = ["--network", network(site.name), "--ip", str(address), "--mac-address", mac]
        options += ["--label", f"{INVENTORY_LABEL}={site.inventory}"]
        volumes = {f"{name}-docker": "/var/lib/docker"}
        files = _node_files(site, host)
        if cluster:
            volumes |= cluster.volumes(host)
            files |= cluster.node_files(host)
        start_container(name, hostname(host), image, options, files, volumes)
    else:
        run("podman", "start", name)


def _node_files(site: Site, host: str) -> dict[str, str | Path]:
    """What makes a node a host of this lab: its name, keys, DNS, apt cache, and the sudo user."""
    state = _state(site.name)
    key = _host_key(state, host)
    if site.suites.get(host) == UBUNTU:  # its resolv.conf leads to systemd-resolved, which is given the server by netplan
        resolver = {"etc/netplan/50-cloud-init.yaml": _netplan(site, host)}
    else:
        resolver = {"etc/resolv.conf": f"nameserver {site.services}\n"}
    return {
        **resolver,
        "etc/hostname": f"{hostname(host)}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {hostname(host)}\n",
        "etc/apt/apt.conf.d/00lab": f'Acquire::http::Proxy "http://{site.services}:3142";\n',
        "etc/ssh/ssh_host_ed25519_key": _private(key).read_text(),
        "etc/ssh/ssh_host_ed25519_key.pub": key.read_text(),
        "etc/ssh/sshd_config.d/lab.conf": f"AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u\nAllowUsers {USER}\n",
        f"etc/ssh/authorized_keys.d/{USER}": (state / "id_ed25519.pub").read_text(),
        "etc/sudoers.d/lab": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
        "etc/systemd/system/shared-mounts.service": SHARED_MOUNTS,
        "etc/systemd/system/sysinit.target.wants/shared-mounts.service": Path("../shared-mounts.service"),
    }


def _netplan(site: Site, host: str) -> str:
    """The network as cloud-init describes it to netplan: the one that podman has given the node (JSON is YAML)."""
    interface = {
        "addresses": [f"{site.addresses[host]}/{site.subnet.prefixlen}"],
        "routes": [{"to": "default", "via": str(site.gateway)}],
        "nameservers": {"addresses": [str(site.services)]},
        "optional": True,
    }
    return json.dumps({"network": {"version": 2, "ethernets": {"eth0": interface}}}, indent=2) + "\n"


def _write_lab_file(site: Site, **more: str) -> None:
    """Write the one file by which the product reaches the lab instead of a real site (JSON is YAML).

    :param more: variables for what this lab has, and not every one
    """
    state = _state(site.name)
    here = f"http://{site.services}"
    variables = {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(state / "id_ed25519"),
        "ansible_ssh_common_args": " ".join(
            f"-o {option}"
            for option in (f"UserKnownHostsFile={state / 'known_hosts'}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes")
        ),
        "discovery_management_networks": [str(site.gateway)],
        "firewall_allow_rules": ALLOW_RULES,
        "discovery_resolvers": [str(site.services)],
        "discovery_release_mirror": here,
        **signing.sign(releases.MIRROR),
        "dockerd_registry_mirrors": [f"{here}:5000"],
        "consul_dns_probe_names": [site_services.SITE_NAME],
        "lab_network": network(site.name),
        "lab_container": container(site.name, "{{ inventory_hostname }}"),
        **more,
    }
    path = site.inventory / LAB_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    keep_shadowed(site.inventory)
    path.write_text("# Written by 'make lab', removed by 'make lab-down'.\n" + json.dumps(variables, indent=2) + "\n")


def prepare() -> None:
    """Make images and releases beforehand, those that only tests need too, so that a test run shows how long that takes.

    :raises LabError: the machine cannot carry a lab, or something cannot be had
    """
    machine.check()
    images.node(SUITE)
    images.site()
    images.samples()
    releases.provide(releases.RELEASES, releases.OLDER)


def place(inventory: Path, copy: Path) -> Path:
    """Where the lab of an inventory can be: the inventory itself, or its copy in a free subnet (made when missing).

    :raises LabError: another inventory's lab has this name
    """
    site = Site.read(inventory)
    if _exists(site.name):
        return copy if _owner(site.name) == str(copy.resolve()) else inventory
    if (taken := _taken(site)) is None:
        return inventory
    subnet = Site.read(copy).subnet if copy.exists() else derive(inventory, copy, None)
    print(f"lab: {site.subnet} overlaps {taken}; using {copy}, a copy of {inventory} in {subnet}", file=sys.stderr)
    return copy


def _taken(site: Site) -> str | None:
    """What the subnet of a lab that is not there yet would shadow."""
    networks = (f"the podman network {subnet}" for subnet in machine.podman_subnets() if subnet.overlaps(site.subnet))
    return machine.overlapping_route(site.subnet) or next(networks, None)


def _exists(lab: str) -> bool:
    return succeeds("podman", "network", "exists", network(lab))


def _refuse_foreign(lab: str, inventory: Path) -> None:
    """A lab of this name that belongs to another inventory is left alone, unless that inventory is gone."""
    owner = _owner(lab)
    if owner != str(inventory) and Path(owner).exists():
        raise LabError(f"a lab called {lab} was made from {owner}; 'make lab-down INVENTORY={owner}' removes it")


def _owner(lab: str) -> str:
    """The inventory folder for which a lab was made."""
    labels = json.loads(run("podman", "network", "inspect", network(lab)))[0].get("labels") or {}
    return labels.get(INVENTORY_LABEL, "")


def _state(lab: str) -> Path:
    return CACHE / "labs" / lab


def _host_key(state: Path, host: str) -> Path:
    """The public host key of a node, made on this machine so that it is known before the first connection."""
    return _key(state / f"{host}_host_key", host)


def _key(path: Path, comment: str) -> Path:
    """The public half of an SSH key, made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)
    return path.with_name(f"{path.name}.pub")  # a host's name may have dots


def _private(public: Path) -> Path:
    return public.with_name(public.name.removesuffix(".pub"))


def _ssh_answers(address: ipaddress.IPv4Address) -> bool:
    try:
        with socket.create_connection((str(address), 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
