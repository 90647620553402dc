"""Check mode on bare hosts: it goes through, and nothing is there afterwards that was not there before."""

from tests.support.playbook import play, recap

# Everything but logs, caches and what systemd's own timers write.
FINGERPRINT = r"""
find /boot /etc /opt /root /srv /usr /var/lib -xdev -path /var/lib/systemd -prune -o \
    -printf '%p %y %m %u:%g %s %T@ %l\n' | sort
dpkg-query -W
getent passwd; getent group
systemctl list-unit-files --no-legend
"""


def test_h13_check_on_a_bare_host_changes_nothing(site, show, tmp_path):
    """One host that is in every group, so that every task is met; with a controller that has nothing either."""
    node = site.balancers[0]
    assert not site.secrets.exists(), "not a bare site"
    before = node.run(FINGERPRINT).splitlines()
    cache = tmp_path / "cache"
    done, seconds = play(site, "site.yml", "--check", "--diff", "--limit", node.name, "-e", f"discovery_cache_dir={cache}")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    counts = recap(done)[node.name]
    show(f"{counts['changed']} changes predicted in {seconds:.0f} s")
    assert counts["changed"] > 20, "it predicts less than a first run does"
    assert counts["ignored"] == 0, "errors were ignored"
    assert "PRIVATE KEY" not in done.stdout
    assert set(node.run(FINGERPRINT).splitlines()) ^ set(before) == set()
    assert not cache.exists() and not site.secrets.exists()
