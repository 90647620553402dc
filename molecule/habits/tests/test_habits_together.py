"""Habits of people, all of them at once: the inventory, the hosts, and how Ansible is called (converge.yml, docs/habits.md)."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.clients import lost_lookups
from tests.support.modes import closed
from tests.support.playbook import assert_unchanged, play, recap, refused
from tests.support.site import ROOT

NODES = {"Web-01.Haus.Example": "web-01", "DB_02": "db-02"}  # what Consul calls the hosts of the inventory
ADMIN = ("-e", "ansible_user=deploy")
# Directories that daemons and people without root enter, where they are on a host.
NOISE = re.compile(r"^.*(?:\[WARNING\]|\[ERROR\]|\[DEPRECATION WARNING\]|FutureWarning|Traceback).*$", re.MULTILINE)


class Controller:
    """The controller of converge.yml, on which nobody is root."""

    def __init__(self, site):
        self.inventory = Path(site.inventory) / "hosts.ini"
        self.folder = Path(site.inventory).with_name(f"{Path(site.inventory).name}.controller")

    def run(self, *command) -> str:
        """What a command has printed there; it must end with 0."""
        program = [ROOT / "molecule/habits/controller", self.folder, *command]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        return done.stdout + done.stderr

    def printed(self, run: str) -> str:
        """What a run of site.yml has printed: `first` or `second`."""
        return (self.folder / f"{run}.log").read_text()


@pytest.fixture(scope="session")
def controller(site) -> Controller:
    return Controller(site)


@pytest.fixture
def ubuntu(site):
    """The host that is shaped as Ubuntu."""
    return site.nodes["DB_02"]


def test_w4_w7_w24_the_habits_are_in_force(site, controller, show):
    """Else the runs have shown nothing."""
    assert controller.run("id", "-u").strip() not in ("", "0")
    controller.run("sh", "-c", "! sudo -n true")
    shell = "echo umask is $(umask); echo proxy is $http_proxy; grep ' /tmp ' /proc/mounts | tail -n 1; sudo -l -U deploy"
    hosts = ("all:!localhost", "-i", controller.inventory)
    found = controller.run("ansible", *hosts, *ADMIN, "-m", "ansible.builtin.shell", "-a", shell)
    counts = {word: found.count(word) for word in ("umask is 0077", "proxy is http://127.0.0.1:9", "noexec", "requiretty")}
    show(f"{counts}")
    assert min(counts.values()) >= len(site.nodes), found


def test_w29_consul_and_tokens_have_the_names_of_the_nodes(site):
    assert set(NODES) == set(site.nodes)
    assert {one["Node"] for one in site.consul().get("/v1/catalog/nodes")} == set(NODES.values())
    tokens = {path.name for path in (site.secrets / "tokens").iterdir() if path.name.startswith("agent-")}
    assert tokens == {f"agent-{node}" for node in NODES.values()}
    for name, node in site.nodes.items():
        assert node.run("hostname").strip() == NODES[name]


def test_w5_every_secret_is_encrypted_by_the_password_of_a_program(site):
    plain = [
        str(path.relative_to(site.secrets))
        for path in site.secrets.rglob("*")
        if path.is_file() and path.suffix != ".pem" and path.name != ".gitignore"
        and not path.read_bytes().startswith(b"$ANSIBLE_VAULT;")
    ]  # fmt: skip
    assert plain == []
    assert site.secret("gossip_key")


def test_w25_the_first_run_has_waited_for_dpkgs_lock_with_a_word(controller, site):
    printed = controller.printed("first")
    waited = {name for name in site.nodes if re.search(rf"FAILED - RETRYING: \[{re.escape(name)}\]: .*package manager", printed)}
    assert waited == set(site.nodes), f"the case is none on {set(site.nodes) - waited}: it found the lock free"


def test_a_run_prints_no_warning(controller, show):
    """The first one may: of what a host has not yet."""
    show(f"the first run: {NOISE.findall(controller.printed('first'))}")
    assert NOISE.findall(controller.printed("second")) == []


def test_w6_the_second_run_has_changed_nothing(controller, show):
    """Its own play had left an interface in the cache that is gone, and the collection's own facts are older than that."""

    class Done:
        stdout = controller.printed("second")

    counts = recap(Done)
    show(f"{counts}")
    assert {host: found["changed"] + found["failed"] + found["unreachable"] for host, found in counts.items()} == dict.fromkeys(
        [*NODES, "localhost"], 0
    )


def test_w24_another_admin_changes_nothing(site, settled, controller, show):
    """With sudo that asks for no password, pipelining, no cache of facts, from the checkout. The releases are there already."""
    done, seconds = play(site, "site.yml", "-e", f"discovery_cache_dir={controller.folder}/home/.cache/fewnodes.discovery")
    show(f"{seconds:.0f} s")
    assert_unchanged(done)


def test_w29_a_part_of_one_host_by_its_name(site, settled, show):
    done, seconds = play(site, "site.yml", "--limit", "DB_02", "--tags", "dns")
    show(f"{seconds:.0f} s")
    assert_unchanged(done)


@pytest.mark.on("docker_hosts")
def test_w4_everybody_enters_the_directories_that_are_for_everybody(node):
    assert closed(node) == "", "sudo's umask has closed these"


@pytest.mark.on("docker_hosts")
def test_w7_nothing_has_asked_the_proxy_of_the_environment(node):
    assert node.unit("habits-proxy", "ActiveState") == ["active"]
    assert node.run("cat /run/habits-proxy") == ""


@pytest.mark.on("docker_hosts")
def test_w29_names_resolve_on_the_host_and_in_its_containers(site, settled, node):
    """Those of Consul and of the site; the node has a name there, too."""
    own = f"{NODES[node.name]}.node.{site.datacenter}.consul"
    assert lost_lookups(node, site.name_of("httpbackend"), 20) == lost_lookups(node, own, 20) == 0
    assert node.run(f"getent ahostsv4 {own}").split()[0] == node.address
    name = node.variables["consul_dns_probe_names"][0]
    for asked in (site.name_of("httpbackend"), name):
        assert node.run(f"docker exec httpfront getent ahostsv4 {asked}").split(), asked
    assert lost_lookups(node, name, 20) == 0


def test_the_status_has_a_page(site, settled, show):
    done, _ = play(site, "playbooks/status.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert [name for name in NODES.values() if name not in done.stdout] == []
    show(" ".join(line.strip() for line in done.stdout.splitlines() if "rong" in line or "problem" in line)[:300])


# --- The host that is shaped as Ubuntu


def test_a_distribution_that_was_not_tried_is_refused_without_the_word(site):
    refused(
        site, ["DB_02 runs Ubuntu 24.04", "not tried by us", "set discovery_untested_distributions"],
        "-e", "discovery_untested_distributions=false",
    )  # fmt: skip


def test_docker_ce_is_adopted_and_left_alone(ubuntu):
    """Its packages, the settings of others in its file, and what it had: a network and a volume."""
    assert ubuntu.run("dpkg-query -W docker-ce docker-ce-cli containerd runc") == ubuntu.run("cat /root/packages-before")
    assert ubuntu.tries("dpkg-query -W -f '${Status}' docker.io").stdout.split()[-1:] != ["installed"]
    (pid,) = ubuntu.unit("docker", "MainPID")
    assert ubuntu.run(f"readlink /proc/{pid}/exe").strip() == "/usr/bin/dockerd"
    assert "ward=7" in ubuntu.run("docker info -f '{{.Labels}}'")
    assert ubuntu.run("docker network ls -q -f name=^ward$") and ubuntu.run("docker volume ls -q -f name=^ward$")


def test_the_resolver_of_ubuntu_is_led_to_consul(ubuntu, show):
    """systemd-resolved stays; where networkd has the interface, its servers are a drop-in of what netplan has made."""
    assert ubuntu.unit("systemd-resolved", "ActiveState") == ["active"]
    assert ubuntu.run("cat /etc/systemd/resolved.conf.d/zz-discovery.conf")
    network = "/etc/systemd/network/10-netplan-eth0.network.d/10-discovery.conf"
    managed = "10-netplan-eth0.network" in ubuntu.run("cat /run/systemd/netif/links/* 2>/dev/null || true")
    show(f"networkd has the interface: {managed}")
    unit = ubuntu.unit("discovery-resolved-link", "LoadState")
    assert (ubuntu.tries(f"test -e {network}").rc == 0, unit == ["loaded"]) == (managed, not managed)


def test_an_ufw_that_is_not_enabled_does_not_matter(ubuntu):
    assert ubuntu.unit("ufw", "ActiveState") == ["active"] and "inactive" in ubuntu.run("ufw status")
    assert ubuntu.run("nft list table inet discovery")
