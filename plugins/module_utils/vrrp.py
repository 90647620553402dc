"""Packets of ARP and VRRP, and router ids of keepalived's configuration, as far as they tell what is in use. Pure."""

from __future__ import annotations

import ipaddress
import re
import struct

VRRP = 112
REQUEST, REPLY = 1, 2
BROADCAST = b"\xff" * 6
_ARP = struct.Struct("!HHBBH6s4s6s4s")  # RFC 826: Ethernet and IPv4
_ROUTER_ID = re.compile(r"^\s*virtual_router_id\s+(\d{1,3})\b", re.MULTILINE)


def arp_probe(mac: bytes, address: str) -> bytes:
    """Who has an address? Of nobody's address, so that no neighbour learns anything (RFC 5227).

    :param mac: of the interface that it is sent by
    """
    wanted = ipaddress.IPv4Address(address).packed
    return _ARP.pack(1, 0x0800, 6, 4, REQUEST, mac, bytes(4), bytes(6), wanted)


def arp_answer(packet: bytes) -> tuple[str, str] | None:
    """The address and the MAC of somebody who says that he has it; None for another packet."""
    if len(packet) < _ARP.size:
        return None
    kind, protocol, _hlen, _plen, operation, mac, address, _target_mac, _target = _ARP.unpack(packet[: _ARP.size])
    if (kind, protocol, operation) != (1, 0x0800, REPLY) or address == bytes(4):
        return None
    return str(ipaddress.IPv4Address(address)), mac.hex(":")


def vrrp_sender(packet: bytes) -> dict | None:
    """Router id and source of an advertisement of VRRP; None for another packet.

    :param packet: of IPv4, without the header of the link
    """
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != VRRP:
        return None
    begin = (packet[0] & 15) * 4
    if len(packet) < begin + 2 or packet[begin] & 15 != 1:
        return None
    return {"router_id": packet[begin + 1], "source": str(ipaddress.IPv4Address(packet[12:16]))}


def router_ids(configuration: str) -> list[int]:
    """The router ids of a configuration of keepalived, sorted."""
    return sorted({int(number) for number in _ROUTER_ID.findall(configuration)})
