"""K7: backup, reset and restore; the timer on the servers; files that must not be restored."""

import re
import time
import urllib.error

import pytest
from tests.support.operation_load import LoadBounds
from tests.support.playbook import play
from tests.support.wait import eventually

SNAPSHOTS = "/var/backups/consul"
WRITTEN = re.compile(r"snapshot of \S+: (\S+[.]snap)")


def played(site, playbook: str, *options: str, environment: dict[str, str] | None = None):
    done, seconds = play(site, playbook, *options, environment=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-500:]
    return done.stdout, seconds


def saved(site, playbook: str = "playbooks/backup.yml", environment: dict[str, str] | None = None) -> str:
    """Take a backup; its file on the controller."""
    return WRITTEN.search(played(site, playbook, environment=environment)[0]).group(1)


def catalog(site) -> set[tuple]:
    """Node, service and address of every instance; dockerd gives a container another port at each of its starts."""
    api = site.consul()
    return {
        (e["Node"], e["ServiceName"], e["ServiceAddress"])
        for name in api.get("/v1/catalog/services")
        for e in api.get(f"/v1/catalog/service/{name}")
    }


def keys(site) -> dict[str, str]:
    found = site.consul().get("/v1/kv/k7?recurse")
    return {entry["Key"]: entry["Value"] for entry in found}


def containers(site) -> dict[str, str]:
    shown = "docker ps --format '{{.Names}} {{.ID}}' --filter name=http --filter name=tcp | sort"
    return {node.name: node.run(shown) for node in site.docker_hosts}


@pytest.fixture(scope="module")
def data(site):
    for name in ("one", "two"):
        site.consul().put(f"/v1/kv/k7/{name}", name)
    yield
    site.consul().send("DELETE", "/v1/kv/k7?recurse")


@pytest.fixture(scope="module")
def snapshot(site, data, running_load, installed) -> str:
    """The file of a backup of this data, taken once, under load, by the collection as it was built and installed."""
    with LoadBounds(running_load, print).planned("backup"):
        return saved(site, "fewnodes.discovery.backup", installed)


def test_k7_a_backup_touches_nothing(site, snapshot, show):
    found = site.inventory / ".backups" / snapshot.rpartition("/")[2]
    assert found.stat().st_mode & 0o777 == 0o600
    assert found.parent.stat().st_mode & 0o777 == 0o700
    show(f"backup of {found.stat().st_size} bytes")


def test_k7_the_timer_keeps_the_newest(site, load):
    node = next(n for n in site.servers if site.leader() != f"{n.address}:8300")  # its request is forwarded
    assert node.unit("consul-backup.timer", "ActiveState") == ["active"]
    old = [f"{SNAPSHOTS}/{site.datacenter}-20200101T0000{number:02}Z.snap" for number in range(20)]
    node.run(f"touch {' '.join(old)} {SNAPSHOTS}/by-hand.snap")
    with load.planned("the timer's backup"):
        node.run("systemctl start consul-backup")
    names = node.run(f"ls {SNAPSHOTS}").split()
    assert len(names) == 14 + 1 and "by-hand.snap" in names, names
    newest = sorted(set(names) - {"by-hand.snap"})[-1]
    assert node.run(f"stat -c %a:%U {SNAPSHOTS} {SNAPSHOTS}/{newest}").split() == ["700:root", "600:root"]
    node.run(f"consul snapshot inspect {SNAPSHOTS}/{newest}")
    node.run(f"rm -f {' '.join(old)} {SNAPSHOTS}/by-hand.snap")


@pytest.mark.more
def test_k7_a_failed_backup_removes_nothing_and_is_reported(site):
    node = site.servers[0]
    node.run("systemctl start consul-backup")
    before = node.run(f"ls {SNAPSHOTS}")
    node.run("mv /etc/consul.d/backup.token /root/ && echo 00000000-0000-0000-0000-000000000001 >/etc/consul.d/backup.token")
    try:
        assert node.tries("systemctl start consul-backup").rc != 0
        assert "consul-backup.service" in node.run("systemctl --failed --no-legend --plain")
        eventually(lambda: "Error saving snapshot" in node.run("journalctl -u consul-backup -n 20 --no-pager"), 10)
        assert node.run(f"ls {SNAPSHOTS}") == before
    finally:
        node.run("mv /root/backup.token /etc/consul.d/backup.token && systemctl start consul-backup")


def test_k7_a_cut_snapshot_is_refused_and_nothing_changes(site, load, tmp_path, snapshot):
    cut = tmp_path / "cut.snap"
    with open(snapshot, "rb") as whole:
        cut.write_bytes(whole.read()[:-500])
    before = site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"]
    with load.planned("a refused restore"):
        done, _ = play(site, "playbooks/restore.yml", "-e", f"restore_file={cut}")
        assert done.returncode != 0
        assert "cannot be restored" in done.stdout and "Nothing has been changed" in done.stdout, done.stdout[-3000:]
    assert site.consul().ask("/v1/catalog/services")[1]["X-Consul-Index"] == before


def test_k7_a_restore_brings_back_the_state_of_a_snapshot(site, snapshot, show):
    before = catalog(site)
    site.consul().put("/v1/kv/k7/three", "newer")
    site.consul().send("DELETE", "/v1/kv/k7/two")
    out, seconds = played(site, "playbooks/restore.yml", "-e", f"restore_file={snapshot}")
    assert set(keys(site)) == {"k7/one", "k7/two"}
    assert catalog(site) == before
    assert re.search(r"rollback: -e restore_file=\S+[.]snap", out)
    show(f"restored in {seconds:.0f} s, site healthy {site.settle():.0f} s later")


@pytest.mark.more
def test_k7_a_restore_discards_newer_data_and_is_rolled_back(site, data):
    path, before = saved(site), catalog(site)
    site.consul().put("/v1/kv/k7/three", "newer")
    gone = {"Node": "gone", "Address": "192.0.2.9", "Check": {"CheckID": "serfHealth", "Name": "x", "Status": "passing"}}
    site.consul().put("/v1/catalog/register", gone)
    out, _ = played(site, "playbooks/restore.yml", "-e", f"restore_file={path}")
    assert set(keys(site)) == {"k7/one", "k7/two"}
    assert catalog(site) == before
    site.settle()
    rollback = re.search(r"rollback: -e restore_file=(\S+[.]snap)", out).group(1)
    played(site, "playbooks/restore.yml", "-e", f"restore_file={rollback}")
    assert set(keys(site)) == {"k7/one", "k7/two", "k7/three"}
    assert "gone" not in {node["Node"] for node in site.consul().get("/v1/catalog/nodes")}, "no member, but in the catalog"


def test_k7_reset_needs_a_confirmation(site, load):
    with load.planned("a reset without a confirmation"):
        done, _ = play(site, "playbooks/reset.yml")
        assert done.returncode != 0
        assert f"-e reset_datacenter={site.datacenter}" in done.stdout and "Nothing has been removed" in done.stdout


@pytest.mark.more
def test_k7_backup_reset_site_restore(site, data, show):
    secrets = {path: path.read_bytes() for path in site.secrets.rglob("*") if path.is_file()}
    path, before, data_before, running = saved(site), catalog(site), keys(site), containers(site)
    start = time.monotonic()
    reset = ("playbooks/reset.yml", "-e", f"reset_datacenter={site.datacenter}")
    _, reset_seconds = played(site, *reset)
    for node in site.nodes.values():
        left = node.run("ls -d /etc/consul.d /var/lib/consul /etc/consul-template /etc/registrator 2>/dev/null || true")
        assert left.strip() == "", f"{node.name}: {left}"
        name = node.variables["consul_dns_probe_names"][0]
        assert node.run(f"getent hosts {name}"), f"{node.name} does not resolve {name}"
        assert "consul" not in node.run("systemctl --failed --no-legend --plain; systemctl list-units --no-legend 'consul*'")
    assert {name: len(text.splitlines()) for name, text in containers(site).items()} == {
        name: len(text.splitlines()) for name, text in running.items()
    }, "containers stay"
    again, _ = played(site, *reset)
    assert re.search(r"changed=[1-9]", again) is None, "a second reset finds nothing"
    _, site_seconds = played(site, "site.yml")
    assert all(path.read_bytes() == content for path, content in secrets.items()), "the same secrets"
    with pytest.raises(urllib.error.HTTPError):
        keys(site)
    _, restore_seconds = played(site, "playbooks/restore.yml", "-e", f"restore_file={path}")
    eventually(lambda: catalog(site) == before, 60)
    assert keys(site) == data_before
    site.settle()
    show(
        f"reset {reset_seconds:.0f} s, site.yml {site_seconds:.0f} s, restore {restore_seconds:.0f} s;"
        f" {len(before)} instances and {len(data_before)} keys as before, {time.monotonic() - start:.0f} s in all"
    )
