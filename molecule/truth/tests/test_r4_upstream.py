"""R4: another implementation of registrator and back. After each switch the catalog is what `docker ps` shows, without a gap.

lab/upstream.py describes the other implementation.
"""

import json

import pytest
from lab import upstream
from lab.inventory import Site as Lab
from tests.support.catalog_watch import Watch
from tests.support.playbook import play
from tests.support.wait import eventually

OWN_CHECKS = {"health", "http", "https", "tcp", "ttl", "grpc"}


@pytest.fixture(scope="module")
def make(site) -> str:
    """The image of another implementation, where the site's docker hosts can pull it."""
    return upstream.offer(str(Lab.read(site.inventory).services))


@pytest.fixture
def worker(site):
    """The last docker host. Whatever happens it runs the role's own registrator again."""
    node = site.docker_hosts[-1]
    yield node
    switch(site, node)


def switch(site, node, *options):
    """Run the playbook on one host; seconds, and how many tasks changed something."""
    done, took = play(site, "playbooks/registrator.yml", "--limit", node.name, *options)
    assert done.returncode == 0, done.stdout[-3000:]
    return took, int(done.stdout.rsplit("changed=", 1)[1].split()[0])


def running(node) -> dict[str, tuple[str, int]]:
    """Id, address and port of what `docker ps` shows with a published port, as the original's documentation has it."""
    found = {}
    for one in json.loads(node.run("docker inspect $(docker ps -q)")):
        labels = one["Config"]["Labels"] or {}
        for port, bindings in one["NetworkSettings"]["Ports"].items():
            if bindings and not labels.get("SERVICE_IGNORE"):
                default = f"{node.name}:{one['Name'][1:]}:{port.split('/')[0]}"
                found[labels.get("SERVICE_ID", default)] = (node.address, int(bindings[0]["HostPort"]))
    return found


def catalog(site, node) -> dict[str, dict]:
    """Id to entry of the host's services in the catalog, without Consul's own."""
    found = site.consul().get(f"/v1/catalog/node/{node.name}")["Services"]
    return {key: entry for key, entry in found.items() if entry["Service"] != "consul"}


def is_true(site, node) -> bool:
    entries = {key: (entry["Address"], entry["Port"]) for key, entry in catalog(site, node).items()}
    assert entries == running(node)
    return True


def checks(site, node) -> dict[str, str]:
    """Id to status of every check of the host's services."""
    found = site.consul().get(f"/v1/health/node/{node.name}")
    return {check["CheckID"]: check["Status"] for check in found if check["ServiceID"]}


def end_of(check: str) -> str:
    return check.rpartition(":")[2]


@pytest.mark.more
def test_r4_another_implementation_and_back_leaves_no_orphans(site, make, worker, start_container, show):
    node = worker
    start_container(node, "plain", "httpbackend:v1.0.0", "-l SERVICE_NAME=plain")
    start_container(node, "named", "httpbackend:v1.0.0", "-l SERVICE_NAME=named", "-l SERVICE_ID=mine")
    start_container(node, "checked", "httpbackend:v1.0.0", "-l SERVICE_NAME=checked", "-l SERVICE_CHECK_TCP=1")
    start_container(node, "asleep", "httpbackend:v1.0.0", "-l SERVICE_NAME=asleep")
    eventually(lambda: is_true(site, node), 10)
    node.run("docker pause asleep")
    eventually(lambda: checks(site, node)[f"service:{node.name}:asleep:8081:health"] == "critical", 10)

    with Watch(site, "plain") as plain, Watch(site, "named") as named:
        took, _ = switch(site, node, "-e", f"registrator_image={make}", "-e", "registrator_resync=5")
        assert is_true(site, node)
        assert node.run("docker inspect -f '{{.Config.Image}}' registrator").strip() == make
        assert [key for key, entry in catalog(site, node).items() if "registrator" in (entry["Meta"] or {})] == []
        assert [check for check in checks(site, node) if end_of(check) in OWN_CHECKS] == []
        node.run("docker unpause asleep")
        assert len(site.passing("asleep")) == 1, "critical when it was handed over, and for ever"
        token = (site.secrets / f"tokens/registrator-{node.name}").read_text().strip()
        assert token not in node.run("docker inspect registrator")
        assert token not in node.run("docker top registrator -eo pid,args")
        show(f"to another implementation: {took:.1f} s")
        assert switch(site, node, "-e", f"registrator_image={make}", "-e", "registrator_resync=5")[1] == 0

        start_container(node, "later", "httpbackend:v1.0.0", "-l SERVICE_NAME=later", "-l SERVICE_CHECK_TCP=1")
        node.run("docker rm -f asleep")
        show(f"followed by the other make after {eventually(lambda: is_true(site, node), 20)[1]:.1f} s")

        node.run("docker rm -f registrator")
        node.run("docker rm -f later")  # without any registrator
        took, _ = switch(site, node)
        show(f"and back: {took:.1f} s; right after {eventually(lambda: is_true(site, node), 10)[1]:.1f} s more")
        entries = catalog(site, node)
        assert [key for key, entry in entries.items() if entry["Meta"].get("registrator") != node.name] == []
        assert {key: end_of(key) for key in checks(site, node) if end_of(key) not in OWN_CHECKS} == {}
        assert len(checks(site, node)) == len(entries), "one check each"
        assert switch(site, node)[1] == 0
    for service, watch in (("plain", plain), ("named", named)):
        away = [at for at, passing, _ in watch.history if not passing]
        show(f"{service}: moments without an instance: {len(away)}")
        assert away == []
