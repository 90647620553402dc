"""A further run changes nothing, and proves it; what was edited by hand comes back."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.balancer import BACKENDS
from tests.support.catalog_watch import SETTLED, unwritten
from tests.support.playbook import (
    assert_unchanged,
    changes,
    play,
    recap,
    reversed_inventory,
    secrets_of,
    state_of,
)
from tests.support.stalls import Stalls, assert_within

BOUND, STALL_CEILING = 90, 45  # seconds of a no-op run, and of all stalls of the machine during it
# Where the site's files on a host are: everything in these places is managed, whatever its name.
OF_BACKENDS = " ".join(path for backend in BACKENDS.values() for path in backend.managed)
MANAGED = rf"""find /etc/consul.d /etc/discovery-balancer.json /etc/docker /etc/consul-template /etc/registrator \
    $(ls -d {OF_BACKENDS} 2>/dev/null) \
    /etc/resolv.conf /etc/resolvconf/resolv.conf.d/base \
    /etc/resolvconf/resolv.conf.d/head /etc/systemd/system /etc/tmpfiles.d/registrator.conf /opt/registrator \
    /usr/local/bin \
    /usr/local/lib/discovery-balancer /usr/local/sbin \
    \( -type f -o -type l ! -path '/etc/systemd/*' \) \
    ! -name '*.pyc' ! -name 'shared-mounts.service' ! -name 'key.json'"""  # the last two: the lab's own, dockerd's own
STATE = f"{MANAGED} -printf '%p %m %u:%g %l\\n'; {MANAGED} -type f -exec sha256sum {{}} +"
# Files with secrets: their tasks have no_log, so a change is reported without the name.
HIDDEN = {
    "/etc/consul.d/backup.token", "/etc/consul.d/consul.json", "/etc/consul.d/hand-over.token", "/etc/consul.d/tokens.json",
    "/etc/consul-template/token", "/etc/docker/consul.env", "/etc/registrator/token",
}  # fmt: skip
# Harmless: an empty line more and the sticky bit; a link leads to the same place by another path. A key made on the
# host is content of its own, so only its mode is managed.
EDIT = r"""
for path in %s; do
    if [ -L $path ]; then ln -sfn "/$(readlink -f $path)" $path; continue; fi
    case $path in *.key) ;; *) echo >> $path ;; esac
    chmod +t $path
done
"""


def test_h13_r3_rerun_in_reversed_order_changes_nothing(site, settled, show, tmp_path, installed):
    """Nor does the collection that was built from this checkout and installed. Nothing is written to the catalog meanwhile."""
    time.sleep(SETTLED)
    before, secrets = state_of(site), secrets_of(site)
    with unwritten(site, show), Stalls() as stalls:
        done, seconds = play(
            site, "fewnodes.discovery.site", inventory=reversed_inventory(site, tmp_path / "reversed"), environment=installed
        )
    show(f"no-op run of site.yml, hosts in reversed order: {seconds:.0f} s; the machine stood for {stalls.total:.1f} s")
    assert_unchanged(done)
    assert set(recap(done)) == set(site.nodes), "not every host took part"
    assert state_of(site) == before
    assert secrets_of(site) == secrets
    assert_within("no-op run", seconds, BOUND, stalls.total, STALL_CEILING)


@pytest.mark.more
def test_h13_edited_files_are_restored(site, settled, show):
    """Every managed file of a host that carries everything; the others go on as they are."""
    node = site.balancers[-1]
    before, secrets = node.run(STATE), secrets_of(site)
    others = {key: value for key, value in state_of(site).items() if key != "catalog" and key[0] != node.name}
    paths = node.run(MANAGED).split()
    node.run(EDIT % " ".join(paths))
    kept = set(node.run(STATE).splitlines()) & set(before.splitlines())
    assert all(line.endswith(".key") for line in kept), f"not edited: {kept}"

    done, seconds = play(site, "site.yml", "-v", "--diff", "--limit", node.name)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    printed = changes(done)
    silent = [path for path in paths if not any(re.search(rf"(?<!\S){re.escape(path)}(?!\S)", text) for text in printed)]
    show(f"{len(paths)} files edited and restored in {seconds:.0f} s, site healthy {site.settle():.1f} s later")
    assert len(paths) > 30
    assert set(silent) <= HIDDEN, f"restored without a word: {silent}"
    hidden = sum("no_log" in text for text in printed)
    assert hidden >= len(silent), f"{len(silent)} files with secrets were edited, {hidden} hidden changes reported"
    assert set(node.run(STATE).splitlines()) ^ set(before.splitlines()) == set()
    assert others == {key: value for key, value in state_of(site).items() if key in others}
    assert secrets_of(site) == secrets


@pytest.mark.more
def test_h13_runs_limited_to_each_host_change_nothing(site, settled, show):
    before, secrets = state_of(site), secrets_of(site)
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda host: play(site, "site.yml", "--limit", host), site.nodes))
    show("runs with --limit, side by side: " + ", ".join(f"{seconds:.0f} s" for _, seconds in runs))
    for host, (done, _) in zip(site.nodes, runs, strict=True):
        assert_unchanged(done)
        assert list(recap(done)) == [host]
    assert state_of(site) == before
    assert secrets_of(site) == secrets


@pytest.mark.more
def test_h13_check_predicts_nothing_and_prints_no_secret(site, settled, show):
    before = state_of(site)
    done, seconds = play(site, "site.yml", "--check", "--diff")
    show(f"--check --diff of site.yml: {seconds:.0f} s")
    assert_unchanged(done)
    assert "\n+++ after" not in done.stdout
    assert state_of(site) == before


def test_h13_rerun_of_the_sample_services_changes_nothing(site, settled):
    before = state_of(site)
    done, _ = play(site, "playbooks/sample_services.yml")
    assert_unchanged(done)
    assert state_of(site) == before
