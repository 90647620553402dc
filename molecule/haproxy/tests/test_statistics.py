"""HAProxy's own page: off by default, then for the management networks alone."""

import json

import pytest
from tests.support.clients import http_get, tcp_open
from tests.support.firewall_reach import answers
from tests.support.playbook import play

PORT = 8404
PLAYBOOKS = ("playbooks/load_balancer.yml", "playbooks/firewall.yml")
HERE = f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{PORT}/').status)\""


def run(node, site, *options) -> None:
    for playbook in PLAYBOOKS:
        done, _ = play(site, playbook, "--limit", node.name, *options)
        assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.more
def test_statistics_are_for_management_networks(site, settled, external_host, show):
    """The machine that tests is one of them; an external host is not, and the other load balancer is not."""
    node, other = site.balancers[0], site.balancers[-1]
    assert not tcp_open(node.address, PORT)
    networks = [http_get(node.address, "nowhere.example").source, other.address]
    given = {"haproxy_stats_port": PORT, "haproxy_stats_networks": networks, "firewall_management_networks": networks}
    try:
        run(node, site, "-e", json.dumps(given))
        page = http_get(node.address, "any", PORT)
        show(f"status {page.status}, {len(page.body)} characters")
        assert page.status == 200 and "discovery_http" in page.body
        assert node.run(HERE).strip() == "200"
        assert answers(external_host, node.address, [PORT])["open"] == set()
        assert other.tries(HERE.replace("127.0.0.1", node.address)).rc != 0
    finally:
        run(node, site)
    assert not tcp_open(node.address, PORT)
