"""Habits of people, tried on a site that is up: what else runs on a host, and how Ansible is called."""

import pytest
from tests.support.playbook import assert_unchanged, play, refused, state_of
from tests.support.site import ROOT
from tests.support.wait import eventually

# Holds a lock of dpkg as unattended-upgrades does, for less time than there is between two attempts.
HOLD = """
import fcntl, pathlib, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
pathlib.Path("/run/test-dpkg-lock").touch()
time.sleep(8)
"""


def write_play(path, host: str, *tasks: str) -> None:
    listed = "\n".join(f"    - {task}" for task in tasks)
    path.write_text(f"- hosts: {host}\n  become: true\n  gather_facts: false\n  tasks:\n{listed}\n")


@pytest.fixture
def locked(site):
    """A host on which another program holds the lock."""
    node = site.servers[0]
    node.feed("tee /run/test-dpkg-lock.py", HOLD)
    node.run("systemd-run --quiet --collect --unit=test-dpkg-lock python3 /run/test-dpkg-lock.py")
    eventually(lambda: node.run("ls /run/test-dpkg-lock 2>/dev/null || true"), 5)
    yield node
    node.run("systemctl stop test-dpkg-lock 2>/dev/null; rm -f /run/test-dpkg-lock /run/test-dpkg-lock.py")


def test_w25_dpkgs_lock_is_waited_for_with_a_word(site, locked, tmp_path, show):
    """apt-get without a package to install takes the locks and changes nothing."""
    role = "ansible.builtin.include_role: {name: common, tasks_from: apt_get}\n      vars: {common_apt_get_arguments: [install]}"
    write_play(tmp_path / "play.yml", locked.name, role)
    done, seconds = play(site, tmp_path / "play.yml")
    show(f"done after {seconds:.0f} s")
    assert done.returncode == 0, done.stdout
    assert f"FAILED - RETRYING: [{locked.name}]: apt_get | Run apt-get, and wait while another program holds" in done.stdout


STALE = """
- hosts: {host}
  gather_facts: true
  gather_subset: ['!all', min]
  tasks:
    - ansible.builtin.set_fact:
        ansible_br_shop: {{device: br-shop, type: bridge, ipv4: {{address: 203.0.113.9}}, ipv4_secondaries: []}}
        ansible_all_ipv4_addresses: [203.0.113.9]
        ansible_interfaces: [lo, br-shop]
        cacheable: true
- import_playbook: {root}/playbooks/docker.yml
"""


def test_w6_facts_of_a_cache_and_of_a_play_before_change_nothing(site, settled, tmp_path, show):
    """The bridge that only the cache knows would come into dockerd's certificate, and restart dockerd."""
    node, before = site.docker_hosts[0], state_of(site)
    (tmp_path / "play.yml").write_text(STALE.format(host=node.name, root=ROOT))
    cache = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "cache")}
    done, seconds = play(site, tmp_path / "play.yml", "--limit", node.name, environment=cache)
    show(f"unchanged after {seconds:.0f} s")
    assert_unchanged(done)
    assert state_of(site) == before


def test_w26_a_tag_runs_its_part_on_a_site_that_is_up(site, settled, show):
    """In a run of its own: nothing of the parts before it is missing. On one host, whose runs are alike."""
    before = state_of(site)
    done, seconds = play(site, "site.yml", "--tags", site.balancer, "--limit", site.balancers[0].name)
    show(f"--tags {site.balancer}: {seconds:.0f} s")
    assert_unchanged(done)
    assert "PLAY [Load balancers]" in done.stdout and "service | Wait until" in done.stdout
    assert "Configure the boot" not in done.stdout, "the firewall ran, too"
    assert state_of(site) == before


def test_w26_a_tag_that_no_part_has_is_answered(site):
    done, _ = play(site, "playbooks/preflight.yml", "--tags", "nginks", "--limit", site.servers[0].name)
    assert_unchanged(done)
    assert "No part of the site has the tag nginks" in " ".join((done.stdout + done.stderr).split())


def test_w13_a_host_that_serves_its_own_site_is_refused(site, tmp_path):
    """As it joins load_balancers, whichever server these have; nothing of it is overwritten."""
    others = [node for node in site.nodes.values() if node not in site.balancers]
    if not others:
        pytest.skip("every host is a load balancer")
    node, own = others[0], "/etc/nginx/conf.d/intranet.conf"
    folders = "/etc/nginx /etc/haproxy"
    assert node.run(f"ls -d {folders} 2>/dev/null || true") == "", "the case is none: this host has a web server"
    (tmp_path / "hosts.yml").write_text(f"load_balancers: {{hosts: {{{node.name}: {{}}}}}}\n")
    node.run(f"mkdir -p /etc/nginx/conf.d && echo 'events {{}}' > /etc/nginx/nginx.conf && echo 'server {{}}' > {own}")
    node.run("mkdir -p /etc/haproxy && echo 'frontend intranet' > /etc/haproxy/haproxy.cfg")
    try:
        words = [f"{node.name} serves something of its own", "out of load_balancers"]
        refused(site, words, "-i", tmp_path / "hosts.yml", "--limit", node.name)
        assert node.run(f"cat {own}") == "server {}"
    finally:
        node.run(f"rm -r {folders}")
