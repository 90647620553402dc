"""The block in CoreDNS's configuration that asks Consul: put in, changed, taken out; all else stays as it is."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.kubernetes_dns import with_consul

COREFILE = """\
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
    }
    forward . /etc/resolv.conf
    reload
}
"""
BLOCK = """
# fewnodes.discovery: begin
consul:53 {
    errors
    cache 1
    forward . 10.96.0.9
}
# fewnodes.discovery: end
"""


def test_the_block_is_added_once():
    once = with_consul(COREFILE, "consul", "10.96.0.9")
    assert once == COREFILE + BLOCK
    assert with_consul(once, "consul", "10.96.0.9") == once


def test_another_address_takes_the_place_of_the_one_before():
    changed = with_consul(COREFILE + BLOCK + "other:53 {\n    errors\n}\n", "consul", "fd00::9")
    assert changed.count("consul:53") == 1 and "forward . [fd00::9]" in changed and "10.96.0.9" not in changed
    assert with_consul(changed, "consul", "fd00::9") == changed


def test_the_block_is_taken_out():
    assert with_consul(COREFILE + BLOCK, "consul", "") == COREFILE


@pytest.mark.parametrize("zone", ["consul", "consul.", "consul:53", "dns://consul:53", "a b consul"])
def test_a_block_of_somebody_else_is_left_alone(zone):
    with pytest.raises(ValueError, match="it has a block for consul already"):
        with_consul(f"{COREFILE}{zone} {{\n    forward . 10.0.0.1\n}}\n", "consul", "10.96.0.9")


def test_a_word_inside_of_a_block_is_no_zone():
    assert with_consul(COREFILE.replace("reload", "consul {\n    }\n"), "consul", "10.96.0.9").endswith(BLOCK)


def test_a_mark_that_stands_alone():
    with pytest.raises(ValueError, match="stands alone"):
        with_consul(COREFILE + "# fewnodes.discovery: begin\n", "consul", "10.96.0.9")
