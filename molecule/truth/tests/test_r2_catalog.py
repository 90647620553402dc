"""R2: whatever happens to registrator, dockerd, agent and host, the catalog is what `docker ps` shows, within one resync."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.catalog_diff import agrees, catch_up, registered, running
from tests.support.cluster import peers
from tests.support.wait import eventually

OPTIONS = "--init -P --expose 80"
LIGHT = "python:3.13-slim sleep infinity"  # a container that costs next to nothing
MANY = 50


def add(name: str) -> str:
    """The command that starts a light service with a port of its own."""
    return f"docker run -d {OPTIONS} --name {name} -e SERVICE_NAME={name} {LIGHT}"


@pytest.fixture
def worker(site):
    """A docker host that is no balancer, nor the server that the tests ask."""
    return [node for node in site.docker_hosts if node not in site.balancers][-1]


@pytest.fixture
def changing(site, compared, worker):
    """The command that replaces a container of the host by another one, while something else happens there."""
    worker.run(add("test-r2-old"))
    eventually(lambda: agrees(site), 60)  # an agent that could not compare at its start syncs nothing for 15 to 30 s
    yield f"docker rm -f test-r2-old; {add('test-r2-new')}"
    worker.tries("docker rm -f test-r2-old test-r2-new")


def names(entries) -> set[str]:
    return {entry.name for entry in entries}


def test_r2_registrator_is_killed_while_containers_change(site, worker, changing, show):
    worker.run(f"kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' registrator); {changing}")
    show(f"true after {catch_up(site):.1f} s")
    assert "test-r2-new" in names(registered(site))


def test_r2_without_registrator_the_entries_stay(site, worker, changing, show):
    before = registered(site)
    worker.run("docker kill registrator")
    try:
        worker.run(changing)
        time.sleep(10)
        assert registered(site) == before
    finally:
        worker.run("docker start registrator")
    show(f"10 s without registrator: every entry stayed; true {catch_up(site):.1f} s after its start")


def test_r2_dockerd_restarts(site, worker, changing, show):
    worker.run(f"{changing}; systemctl restart docker")
    show(f"true {catch_up(site):.1f} s after the restart")
    assert "test-r2-new" not in names(running(site)), "without a restart policy it does not come back"


def test_r2_the_agent_restarts(site, worker, changing, show):
    worker.run(f"systemctl restart consul & {changing}; wait")
    show(f"true {catch_up(site):.1f} s after the restart")


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.more)])
def test_r2_the_agent_is_down(site, worker, changing, show, seconds):
    worker.run("systemctl stop consul")
    try:
        worker.run(changing)
        time.sleep(seconds)
    finally:
        worker.run("systemctl start consul")
    show(f"down for {seconds} s; true {catch_up(site):.1f} s after its start")


@pytest.mark.more
def test_r2_the_agent_loses_its_registrations(site, worker, changing, show):
    """What it has forgotten, and is no more, it takes out of the catalog when it compares itself with all of it. Its first
    try fails on a server that just starts, which knows no token yet, and the next one is the agent's own 15 to 30 s later."""
    worker.run("systemctl stop consul")
    try:
        worker.run(f"rm -rf /var/lib/consul/services /var/lib/consul/checks; {changing}")
    finally:
        worker.run("systemctl start consul")
    _, ready = eventually(lambda: site.consul(worker).get("/v1/agent/services") is not None, 30)
    show(f"answers {ready:.1f} s after its start, true {catch_up(site):.1f} s later")


@pytest.mark.more
def test_r2_the_agent_loses_all_its_data(site, worker, changing, show):
    """A server: it comes back under another node id, and takes part again without anybody's help. Not before the others have
    seen that the old one is gone: until then Consul keeps the host's name for that id."""
    before = worker.run("cat /var/lib/consul/node-id")
    worker.run("systemctl stop consul")
    try:
        worker.run(f"find /var/lib/consul -mindepth 1 -delete; {changing}")
        _, missed = eventually(lambda: is_missed(site, worker), 60)
    finally:
        worker.run("systemctl start consul")
    begin = time.monotonic()
    true = catch_up(site, begin)
    now = worker.run("cat /var/lib/consul/node-id").strip()
    eventually(lambda: peers(site)[worker.name] == now, 120, every=1)
    show(f"missed after {missed:.1f} s; true {true:.1f} s, a voter {time.monotonic() - begin:.1f} s after its start")
    assert now != before.strip() and len(peers(site)) == len(site.servers)


def is_missed(site, node) -> bool:
    """The others report that a host's agent has failed."""
    found = site.consul().get(f"/v1/health/node/{node.name}")
    return [check["Status"] for check in found if check["CheckID"] == "serfHealth"] == ["critical"]


def test_r2_the_host_is_renamed(site, worker, changing, show):
    """Registrator goes on under the old name, and takes the new one when it starts again."""
    old = worker.run("hostname").strip()
    try:
        worker.run(f"{rename(f'{old}-renamed')}; {changing}")
        took = [catch_up(site)]
        worker.run("docker restart registrator")
        took.append(catch_up(site))
        assert ids(site, worker, f"{old}-renamed:") == {True}
    finally:
        worker.run(f"{rename(old)}; docker restart registrator")
    took.append(catch_up(site))
    assert ids(site, worker, f"{old}:") == {True}
    show(f"true after {', '.join(f'{seconds:.1f} s' for seconds in took)}: renamed, registrator started again, renamed back")


def rename(name: str) -> str:
    """What hostnamectl does; it would put another file in place of /etc/hostname, which a node of the lab has mounted."""
    return f"hostname {name}; echo {name} >/etc/hostname"


def ids(site, node, prefix: str) -> set[bool]:
    """Whether the ids of a host's services begin so."""
    services = site.consul().get(f"/v1/catalog/node-services/{node.name}")["Services"]
    return {one["ID"].startswith(prefix) for one in services if one["Service"] != "consul"}


def on_all(share: dict, command) -> None:
    """Run command(names) on each docker host, on all at the same time."""
    with ThreadPoolExecutor(len(share)) as pool:
        list(pool.map(lambda item: item[0].run(command(" ".join(item[1]))), share.items()))


def test_r2_many_containers_start_at_once(site, compared, show):
    """On all docker hosts together, made before; then they go at once."""
    hosts = site.docker_hosts
    share = {node: [f"test-r2-{n}" for n in range(first, MANY, len(hosts))] for first, node in enumerate(hosts)}
    make = f"docker create {OPTIONS} --name $name -e SERVICE_NAME=$name {LIGHT}"
    try:
        on_all(share, lambda names: f"for name in {names}; do {make}; done")
        start = time.monotonic()
        on_all(share, lambda names: f"docker start {names}")
        took = time.monotonic() - start
        show(f"{MANY} containers started in {took:.1f} s; true {catch_up(site):.1f} s later")
        assert len([name for name in names(registered(site)) if name.startswith("test-r2-")]) == MANY
    finally:
        on_all(share, lambda names: f"docker rm -f {names}")
    show(f"all gone; true {catch_up(site):.1f} s later")
