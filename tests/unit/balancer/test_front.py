"""What nginx cannot have beside the PROXY protocol of a balancer in front is refused before anything changes."""

import pytest

from printed import printed

REFUSED = "{{ __nginx_checks | rejectattr('that') | map(attribute='message') | list }}"
FRONT = {"balancer_proxy_protocol_from": "10.0.0.9"}
CASES = {
    "": ({"balancer_trusted_proxies": ["10.0.0.1"], "discovery_floating_addresses": ["10.0.0.50"]}, "11", []),
    "alone": (FRONT, "12", []),
    "Debian 11": (FRONT, "11", ["nginx of Debian 11"]),
    "with proxies": (FRONT | {"balancer_trusted_proxies": ["10.0.0.1"]}, "12", ["the headers of balancer_trusted_proxies"]),
    "with addresses": (
        FRONT | {"discovery_floating_addresses": ["10.0.0.50"]},
        "13",
        ["the check of discovery_floating_addresses"],
    ),
}


@pytest.mark.parametrize(("given", "release", "words"), CASES.values(), ids=CASES)
def test_p1_proxy_protocol_beside_what_nginx_cannot_have(tmp_path, given, release, words):
    facts = {"distribution": "Debian", "distribution_major_version": release}
    host = {"balancer_deployment": "host", "balancer_access_log": "off", "ansible_facts": facts}
    (found,) = printed(tmp_path, REFUSED, host | given)
    assert len(found) == len(words) and all(word in one for word, one in zip(words, found, strict=True))
