"""K1: what another user of a host may read of the site's files."""

import re

import pytest

# Everything in these places is the site's; only what PUBLIC matches is for every user of the host.
PLACES = """/etc/consul.d /etc/consul-template /etc/registrator /etc/registrator-clear /etc/docker /run/consul
    /run/dockerd-discovery /run/discovery-balancer /var/lib/consul /var/lib/consul.removed /var/lib/discovery-balancer
    /var/lib/dockerd-discovery /var/backups/consul /opt/registrator"""
PUBLIC = re.compile(r"/etc/docker/tls/\w+\.pem|/opt/registrator/.+")
SECRET_FILES = ("/etc/consul.d/consul.json", "/etc/consul.d/tokens.json", "/etc/consul.d/tls/agent.key", "/etc/registrator/token")


@pytest.mark.on("consul_servers")
def test_k1_no_secret_is_readable_for_others(node):
    find = f"cd / && find {' '.join(PLACES.split())} -type f"
    every = node.tries(find).stdout.split()
    assert set(SECRET_FILES) <= set(every)
    readable = node.tries(f"setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c '{find} -readable'").stdout.split()
    assert "/etc/docker/tls/ca.pem" in readable, "the search as another user reads nothing at all"
    assert [path for path in readable if not PUBLIC.fullmatch(path)] == []
