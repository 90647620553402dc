"""Addresses of hosts, taken from the inventory only, so that a limited run knows them too."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping


def is_address(value: object) -> bool:
    """Whether a value is an IPv4 address."""
    try:
        ipaddress.IPv4Address(str(value))
    except ValueError:
        return False
    return True


def address(name: str, hostvars: Mapping) -> str:
    """The address of one host: discovery_address, else ansible_host when that is an address.

    :raises ValueError: the host is unknown or has no IPv4 address; names host, variable and value
    """
    if name not in hostvars:
        raise ValueError(f"host {name} is not in the inventory")
    host = hostvars[name]
    given = host.get("discovery_address")
    if given is not None:
        if is_address(given):
            return str(given)
        raise ValueError(f"discovery_address of host {name} is {given!r}, which is not an IPv4 address: set it to one")
    fallback = host.get("ansible_host")
    if is_address(fallback):
        return str(fallback)
    raise ValueError(
        f"discovery_address of host {name} is not set and its ansible_host ({fallback!r}) is not an IPv4 address:"
        " set discovery_address to the address that the other hosts reach it by"
    )


def addresses(names: Iterable[str], hostvars: Mapping) -> list[str]:
    """The addresses of hosts, in the order of the names. Errors as in `address`."""
    return [address(name, hostvars) for name in names]
