"""raft/peers.json from what the surviving servers report."""

import json

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_peers import peers_json

ONE = {"name": "consul-1", "id": "adf4238a-882b-9ddc-4a9d-5b6758e4159e\n", "address": "192.168.0.129"}
TWO = {"name": "consul-2", "id": "8b6dda82-3103-11e7-93ae-92361f002671", "address": "192.168.0.13"}


def test_it_is_what_raft_protocol_3_reads():
    assert json.loads(peers_json([ONE])) == [
        {"id": "adf4238a-882b-9ddc-4a9d-5b6758e4159e", "address": "192.168.0.129:8300", "non_voter": False}
    ]


def test_every_server_gets_the_same_bytes():
    assert peers_json([ONE, TWO]) == peers_json([TWO, ONE])
    assert [peer["address"] for peer in json.loads(peers_json([ONE, TWO]))] == ["192.168.0.13:8300", "192.168.0.129:8300"]


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([], "no server"),
        ([ONE | {"id": ""}], "consul-1"),
        ([ONE | {"id": "members-1"}], "members-1"),
        ([ONE | {"address": "consul-1"}], "consul-1"),
        ([ONE, TWO | {"id": ONE["id"]}], "consul-2"),
        ([ONE, TWO | {"address": ONE["address"]}], "consul-2"),
    ],
)
def test_it_never_writes_a_file_that_is_wrong(servers, message):
    with pytest.raises(ValueError, match=message):
        peers_json(servers)
