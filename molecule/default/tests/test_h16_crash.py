"""A workload host that crashes under load: no connection is closed, packets just end."""

import time

from tests.support.http_load import await_served, http_load
from tests.support.reboot import crash, power_on
from tests.support.wait import eventually

PATIENCE, WATCHED = 10, 5  # seconds: from when on nothing may fail, and for how long that is looked at after the catalog's change
MISSED = 30  # seconds after the crash until the catalog is without the host


def test_h16_crash_of_a_workload_host(site, settled, start_container, tmp_path, show):
    """The instances call nobody by name: names under .consul keep a host that crashed until the servers miss it."""
    victim = next(node for node in reversed(site.docker_hosts) if node not in site.balancers)
    for node in site.docker_hosts:
        options = "-e SERVICE_NAME=test-plain -e VERSION=test-plain -e SERVICE_TAGS=http"
        start_container(node, f"test-plain-{node.name}", "httpbackend:v1.0.0", options)
    plain = site.backend("test-plain")
    eventually(lambda: len(site.passing("test-plain")) == len(site.docker_hosts), 30)
    await_served(site, plain)
    with http_load(site, plain, tmp_path) as requests:
        crash([victim])
        crashed = time.time()
        try:
            missed = eventually(lambda: victim.address not in {place for place, _ in site.passing("test-plain")}, MISSED)[1]
            time.sleep(max(PATIENCE - missed, 0) + WATCHED)
            after = requests.ended_since(crashed + PATIENCE)
            failed = requests.failed(crashed)
            last = max((one.ended - crashed for one in failed), default=0)
            show(f"{requests}; after the crash {len(failed)}, the last one {last:.1f} s after it; missed after {missed:.1f} s")
            assert len(after) > 100 * len(site.balancers)
            requests.assert_served(crashed + PATIENCE)
        finally:
            power_on([victim])
    eventually(lambda: victim.run("systemctl is-active docker").strip() == "active", 120)
