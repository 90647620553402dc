"""F1 with an overlay network: only declared ports answer, also the balancer's in its container, and after what may go wrong."""

import pytest

from doors import check, start_undeclared
from helpers import eventually, tcp_open

pytestmark = pytest.mark.more


def test_f1_only_declared_ports_answer(site, stranger, askers, show):
    show("\n".join(check(site, stranger, askers)))


@pytest.mark.parametrize("event", ["systemctl restart docker", "systemctl reboot"])
def test_f1_survives(site, stranger, askers, event):
    """The host of the balancer, whose ports are published by a container."""
    node = site.balancers[0]
    node.tries(event)
    if "reboot" in event:
        eventually(lambda: not tcp_open(node.address, 22), 60)
        eventually(lambda: node.tries("true").rc == 0, 120, every=1)
        start_undeclared(node)
    eventually(lambda: node.tries(f"docker start {askers[node.name]}").rc == 0, 60, every=1)
    site.settle()
    eventually(lambda: check(site, stranger, askers), 120, every=1)
