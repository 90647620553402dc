"""F1 on each Debian release: each one's nft loads the same rules."""

from tests.support.firewall_reach import check


def test_f1_only_declared_ports_answer(site, external_host, probes, show):
    show("\n".join(check(site, external_host, probes)))
