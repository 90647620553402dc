"""Packets that tell who has an address, and which router ids of VRRP are in use."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.vrrp import arp_answer, arp_probe, router_ids, vrrp_sender

MAC = bytes.fromhex("020000000007")
# IPv4 of 10.0.0.254 to 224.0.0.18 with VRRP version 2, router id 51, priority 100.
ADVERTISEMENT = bytes.fromhex("45c000280001000 0ff70".replace(" ", "") + "0000" + "0a0000fe" + "e0000012" + "21336401")


def test_a_probe_asks_for_an_address_and_tells_none():
    packet = arp_probe(MAC, "10.0.0.100")
    assert len(packet) == 28
    assert packet[8:14] == MAC and packet[14:18] == bytes(4) and packet[24:28] == bytes([10, 0, 0, 100])
    assert arp_answer(packet) is None, "a question is no answer"


def test_an_answer_has_the_address_and_who_has_it():
    reply = bytes.fromhex("0001080006040002") + MAC + bytes([10, 0, 0, 100]) + bytes(10)
    assert arp_answer(reply) == ("10.0.0.100", "02:00:00:00:00:07")


@pytest.mark.parametrize("packet", [b"", bytes(27), bytes(28), bytes(60)])
def test_another_packet_is_none(packet):
    assert arp_answer(packet) is None


def test_an_advertisement_has_a_router_id_and_a_source():
    assert vrrp_sender(ADVERTISEMENT) == {"router_id": 51, "source": "10.0.0.254"}


@pytest.mark.parametrize(
    "packet", [b"", ADVERTISEMENT[:20], ADVERTISEMENT[:9] + b"\x06" + ADVERTISEMENT[10:], b"\x60" + ADVERTISEMENT[1:]]
)
def test_another_packet_is_no_advertisement(packet):
    assert vrrp_sender(packet) is None


def test_router_ids_of_a_configuration():
    text = "vrrp_instance a {\n  virtual_router_id 51\n}\nvrrp_instance b {\n\tvirtual_router_id 7 # b\n}\n# virtual_router_id 9"
    assert router_ids(text) == [7, 51]
