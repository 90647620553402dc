"""What the lab reads from an inventory: hosts, addresses, subnet. And copies of an inventory in another subnet."""

import ipaddress
import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.images import KINDS, SUITE, SUITES
from lab.machine import free_subnet
from lab.shell import run

LAB_FILE = Path("group_vars/all/zz_lab.yml")
SHADOWED = ("all.yml", "all.yaml", "all.json")  # files beside the folder `all`, which Ansible then does not read
LINKED = "00_site_"  # what the links to them are called


def directory_of(inventory: Path) -> Path:
    """The folder of an inventory that was named by its folder or by its file."""
    path = inventory.resolve()
    return path.parent if path.is_file() else path


def name_of(inventory: Path) -> str:
    """The lab's name: the inventory's folder, with its parent when that folder is just called 'inventory'."""
    folder = directory_of(inventory)
    name = folder.parent.name if folder.name == "inventory" else folder.name
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "site"


def is_controller(host: str, variables: dict) -> bool:
    """Whether a host of an inventory is the machine that Ansible runs on."""
    return host == "localhost" or variables.get("ansible_connection") == "local"


@dataclass(frozen=True)
class Site:
    """The hosts of one inventory, as the lab needs them.

    :ivar inventory: the inventory's folder
    :ivar name: names the lab's network, containers and volumes
    :ivar addresses: host name to IPv4 address
    :ivar suites: host name to what its node is: a Debian release by its code name, or another of KINDS
    """

    inventory: Path
    name: str
    addresses: dict[str, ipaddress.IPv4Address]
    suites: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, inventory: Path) -> "Site":
        """Ask ansible-inventory for hosts and addresses. The controller gets no node.

        :raises LabError: no such inventory, no hosts, an address that is missing, not IPv4, or used twice
        """
        folder = directory_of(inventory)
        if not inventory.exists():
            raise LabError(f"there is no inventory {inventory}; set INVENTORY=inventories/<site>")
        listed = json.loads(run(Path(sys.executable).parent / "ansible-inventory", "-i", inventory, "--list"))
        hostvars = {host: found for host, found in listed["_meta"]["hostvars"].items() if not is_controller(host, found)}
        if not hostvars:
            raise LabError(f"the inventory {inventory} has no hosts")
        addresses: dict[str, ipaddress.IPv4Address] = {}
        for host, variables in hostvars.items():
            value = variables.get("discovery_address", variables.get("ansible_host", host))
            try:
                addresses[host] = ipaddress.IPv4Address(value)
            except ValueError:
                raise LabError(f"host {host}: ansible_host is {value!r}; the lab needs an IPv4 address") from None
        twice = {str(a) for a in addresses.values() if list(addresses.values()).count(a) > 1}
        if twice:
            raise LabError(f"more than one host has the address {', '.join(sorted(twice))}")
        suites = {host: variables.get("lab_suite", SUITE) for host, variables in hostvars.items()}
        unknown = sorted(set(suites.values()) - set(KINDS))
        if unknown:
            raise LabError(f"lab_suite is {', '.join(unknown)}; the lab makes nodes of {', '.join(KINDS)}")
        if (folder / LAB_FILE.parent).is_file():
            raise LabError(f"{folder / LAB_FILE.parent} is a file, and the lab needs a folder of that name: call it all.yml")
        site = cls(folder, name_of(inventory), addresses, suites)
        site.subnet, site.services  # noqa: B018  (both raise on an impossible inventory)
        return site

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The /24 in which all hosts are."""
        networks = {ipaddress.IPv4Network(f"{a}/24", strict=False) for a in self.addresses.values()}
        if len(networks) != 1:
            raise LabError(f"the hosts are in several networks ({', '.join(sorted(map(str, networks)))}); the lab makes one /24")
        return networks.pop()

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """This machine's address in the lab: the highest that no host has."""
        return self._highest_free()[0]

    @property
    def services(self) -> ipaddress.IPv4Address:
        """The address of the site services (mirrors, registry, DNS): the next below the gateway."""
        return self._highest_free()[1]

    def external_host(self, suite: str) -> ipaddress.IPv4Address:
        """The address of a machine that is in the network and no host of the site, one for each Debian release."""
        return self._highest_free()[2 + SUITES.index(suite)]

    def _highest_free(self) -> list[ipaddress.IPv4Address]:
        taken = set(self.addresses.values())
        needed = 2 + len(SUITES)
        free = [a for a in reversed(list(self.subnet.hosts())) if a not in taken][:needed]
        if len(free) < needed:
            raise LabError(f"{self.subnet} has no {needed} free addresses for the gateway, the site services and external hosts")
        return free


def keep_shadowed(folder: Path) -> None:
    """Have Ansible read the site's group_vars/all.yml also while the lab's folder `all` is beside it: by a link in that folder.

    :param folder: the inventory's
    """
    variables = folder / LAB_FILE.parent
    for name in SHADOWED:
        link = variables / f"{LINKED}{name}"
        if (variables.parent / name).is_file() and not link.is_symlink():
            link.symlink_to(Path("..") / name)


def remove_lab_file(folder: Path) -> None:
    """Remove from an inventory what `make lab` has written into it, and folders that are empty then.

    :param folder: the inventory's
    """
    variables = folder / LAB_FILE.parent
    (folder / LAB_FILE).unlink(missing_ok=True)
    for name in SHADOWED:
        link = variables / f"{LINKED}{name}"
        if link.is_symlink():
            link.unlink()
    for directory in (variables, variables.parent):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def derive(source: Path, target: Path, subnet: str | None) -> ipaddress.IPv4Network:
    """Copy an inventory, with every address of its subnet moved into another one (same last octet).

    :param source: an inventory folder
    :param target: the folder to write; whatever was there goes away, but never a folder that is not a derived one
    :param subnet: a /24, or None for the first free one
    :returns: the subnet of the copy
    :raises LabError: the target holds something else, or the subnet is no /24
    """
    site = Site.read(source)
    marker = target / ".derived"
    if target.exists() and not marker.exists():
        raise LabError(f"{target} exists and was not made by 'derive'; name another folder")
    try:
        network = ipaddress.IPv4Network(subnet) if subnet else free_subnet()
    except ValueError as error:
        raise LabError(f"--subnet {subnet}: {error}") from None
    if network.prefixlen != 24:
        raise LabError(f"--subnet {subnet}: the lab needs a /24")
    old, new = (str(n.network_address).rsplit(".", 1)[0] for n in (site.subnet, network))
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(site.inventory, target, ignore=shutil.ignore_patterns(".secrets", LAB_FILE.name, f"{LINKED}*"))
    for path in target.rglob("*"):
        if path.is_file() and path.suffix in {"", ".yml", ".yaml", ".ini", ".cfg", ".json"}:
            path.write_text(re.sub(rf"(?<![\d.]){re.escape(old)}(?=\.\d)", new, path.read_text()))
    marker.write_text(f"{site.inventory}\n")
    return network
