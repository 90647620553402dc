"""F1 on each Debian release: what nft and the kernel's tables are called there must not matter."""

from doors import check


def test_f1_only_declared_ports_answer(site, stranger, askers, show):
    show("\n".join(check(site, stranger, askers)))
