"""dockerd-overlay-peers: which destinations of an overlay network are wrong."""

import base64
import json

import pytest
from programs import load

peers = load("docker_cluster_store/files/dockerd-overlay-peers")

NETWORK = "d4cc16bc25a0ec08"
MAC = "02:42:0a:5a:00:04"


def entry(host: str, mac: str = MAC, created: int = 1, network: str = NETWORK) -> dict:
    value = {"name": "web", "ep_iface": {"mac": mac, "addr": "10.90.0.4/16"}, "locator": host}
    text = base64.b64encode(json.dumps(value).encode()).decode()
    return {"Key": f"docker/network/v1.0/endpoint/{network}/{created}/", "Value": text, "CreateIndex": created}


def known(mac: str, host: str, device: str = "vxlan0") -> dict:
    return {"mac": mac, "ifname": device, "dst": host, "flags": ["self"], "state": "permanent"}


def test_the_host_of_an_address():
    assert peers.hosts([entry("10.0.0.1")], own="10.0.0.9") == {NETWORK: {MAC: "10.0.0.1"}}


def test_an_address_of_this_host_is_nowhere_else():
    assert peers.hosts([entry("10.0.0.9")], own="10.0.0.9") == {NETWORK: {}}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_entries_the_younger_one_is_true(order):
    entries = [entry("10.0.0.1", created=5), entry("10.0.0.2", created=7)][::order]
    assert peers.hosts(entries, own="") == {NETWORK: {MAC: "10.0.0.2"}}


def test_an_older_entry_elsewhere_does_not_count_when_the_address_is_here():
    entries = [entry("10.0.0.1", created=5), entry("10.0.0.9", created=7)]
    assert peers.hosts(entries, own="10.0.0.9") == {NETWORK: {}}


@pytest.mark.parametrize("value", [None, "", "e30=", base64.b64encode(b'{"ep_iface": null, "locator": "10.0.0.1"}').decode()])
def test_an_entry_that_tells_nothing_is_left_out(value):
    assert peers.hosts([entry("10.0.0.1") | {"Value": value}], own="") == {}


def encoded(value: object) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "changed",
    [
        {"Value": encoded([])},
        {"Value": encoded(1)},
        {"Value": encoded("text")},
        {"Value": encoded(b"{")},
        {"Value": encoded(b"\xff")},
        {"Value": encoded(b"[" * 100_000)},
        {"Value": "x"},
        *(
            {"Value": encoded({"ep_iface": interface, "locator": host})}
            for interface, host in [
                ([MAC], "10.0.0.2"),
                (1, "10.0.0.2"),
                ({"mac": [MAC]}, "10.0.0.2"),
                ({"mac": "dev"}, "10.0.0.2"),
                ({"mac": MAC + "\n"}, "10.0.0.2"),
                ({"mac": MAC}, {"a": 1}),
                ({"mac": MAC}, 5),
                ({"mac": MAC}, "--help"),
                ({"mac": MAC}, "224.0.0.1"),
                ({"mac": MAC}, "0.0.0.0"),
            ]
        ),
        {"Key": f"{peers.ENDPOINTS}-/x/"},
        {"Key": f"{peers.ENDPOINTS}"},
    ],
)
def test_a_malformed_entry_is_skipped_with_a_line_and_the_others_apply(changed):
    lines = []
    entries = [entry("10.0.0.1"), entry("10.0.0.2", created=2) | changed, entry("10.0.0.3", created=3, network="ffff00")]
    assert peers.hosts(entries, "", lines.append) == {NETWORK: {MAC: "10.0.0.1"}, "ffff00": {MAC: "10.0.0.3"}}
    assert len(lines) == 1 and "is skipped: " in lines[0] and "\n" not in lines[0] and len(lines[0]) < 500


def test_a_malformed_entry_is_logged_once_while_it_is_there(monkeypatch, capsys):
    class End(Exception):
        pass

    answers = [[entry("10.0.0.1") | {"Value": encoded([])}], [entry("10.0.0.1") | {"Value": encoded([])}]]

    def endpoints(index, seconds):
        if not answers:
            raise End
        return answers.pop(), "1"

    monkeypatch.setattr(peers, "endpoints", endpoints)
    monkeypatch.setattr(peers, "own_address", lambda: "10.0.0.9")
    monkeypatch.setattr(peers.time, "sleep", lambda seconds: None)
    with pytest.raises(End):
        peers.main()
    assert capsys.readouterr().err.count("is skipped") == 1


def test_networks_are_kept_apart():
    entries = [entry("10.0.0.1"), entry("10.0.0.2", network="ffff00")]
    assert peers.hosts(entries, own="") == {NETWORK: {MAC: "10.0.0.1"}, "ffff00": {MAC: "10.0.0.2"}}


def test_a_destination_that_is_another_host_is_wrong():
    assert peers.wrong([known(MAC, "10.0.0.1")], {MAC: "10.0.0.2"}) == {MAC: ("vxlan0", "10.0.0.1")}


@pytest.mark.parametrize(
    "table",
    [
        [],
        [known(MAC, "10.0.0.2")],
        [known("02:42:0a:5a:00:05", "10.0.0.1")],
        [{"mac": MAC, "ifname": "veth0", "master": "br0"}],
        [known(MAC, "fd00::1")],
    ],
)
def test_what_is_right_or_unknown_or_missing_is_left_alone(table):
    assert peers.wrong(table, {MAC: "10.0.0.2"}) == {}


@pytest.mark.parametrize(
    "names, namespace",
    [
        (["default", "1-d4cc16bc25", "9a8b7c6d5e4f"], "1-d4cc16bc25"),
        (["9-d4cc16bc25", "10-d4cc16bc2"], "10-d4cc16bc2"),
        (["default", "1-ffff00ffff", "ingress_sbox"], ""),
        ([], ""),
    ],
)
def test_the_namespace_of_a_network(names, namespace):
    assert peers.namespace_of(NETWORK, names) == namespace


@pytest.fixture
def kernel(monkeypatch):
    """A host that has a network and this table; what was replaced in it."""
    replaced = []

    def run(namespace, *command):
        if command[:2] == ("bridge", "-json"):
            return json.dumps([known(MAC, "10.0.0.1")])
        replaced.append((namespace, command))
        return ""

    monkeypatch.setattr(peers, "run", run)
    monkeypatch.setattr(peers, "namespace_of", lambda network, names: "1-d4cc16bc25" if network == NETWORK else "")
    return replaced


def test_only_what_stays_wrong_is_replaced(kernel):
    places = {NETWORK: {MAC: "10.0.0.2"}}
    wrong_before = peers.correct(places, {})
    assert (wrong_before, kernel) == ({(NETWORK, MAC): "10.0.0.2"}, [])
    peers.correct(places, wrong_before)
    command = f"bridge fdb replace {MAC} dev vxlan0 dst 10.0.0.2 self permanent"
    assert kernel == [("1-d4cc16bc25", tuple(command.split()))]


def test_a_change_in_between_counts_anew(kernel):
    wrong_before = peers.correct({NETWORK: {MAC: "10.0.0.2"}}, {})
    peers.correct({NETWORK: {MAC: "10.0.0.3"}}, wrong_before)
    assert kernel == []


def test_a_network_that_is_not_here_is_left_alone(kernel):
    assert peers.correct({"ffff00": {MAC: "10.0.0.2"}}, {}) == {}
