"""F1 with an overlay network: only declared ports answer, also the balancer's in its container, and after what may go wrong."""

import pytest
from tests.support.firewall_reach import await_check, check, start_undeclared
from tests.support.reboot import reboot


@pytest.mark.more
def test_f1_only_declared_ports_answer(site, external_host, probes, show):
    show("\n".join(check(site, external_host, probes)))


@pytest.mark.more
@pytest.mark.parametrize("event", ["systemctl restart docker", pytest.param("reboot", marks=pytest.mark.more)])
def test_f1_survives(site, external_host, probes, event):
    """The host of the balancer, whose ports are published by a container."""
    node = site.balancers[0]
    if event == "reboot":
        reboot([node])
        start_undeclared(node)
    else:
        node.run(event)

    await_check(site, external_host, probes, node)
    site.settle()
