"""D4: one host is the whole site. An Ansible that ran on it has made it (converge.yml); the tests' controller goes on with it."""

import time

from tests.support.http_load import await_served, http_load
from tests.support.playbook import assert_unchanged, play
from tests.support.reboot import crash, power_on, reboot
from tests.support.scaling import SERVICE, instances, remove, run_scale, up_and_down

MANY = 3  # instances on the one host
GONE = 5.0  # seconds until an instance that was killed gets no request
BACK = 120.0  # seconds until everything runs after a boot


def test_d4_another_controller_changes_nothing(site, settled, show):
    """The local connection made the same as the one over SSH."""
    done, seconds = play(site, "site.yml")
    show(f"no-op run of site.yml: {seconds:.0f} s")
    assert_unchanged(done)


def test_d4_names_resolve_on_the_host_and_in_its_containers(site, settled):
    (node,) = site.docker_hosts
    name = site.name_of("httpbackend")
    assert node.run(f"getent ahostsv4 {name}").split()[0] == node.address
    assert node.run(f"docker exec httpfront getent ahostsv4 {name}").split()[0] == node.address


def test_d4_instances_have_a_port_each(site, settled, tmp_path, show):
    """Scaled 1→3→1 under load; one of the three is killed and answers no more."""
    (node,) = site.docker_hosts

    def at_many() -> None:
        places = site.passing(SERVICE)
        show(f"instances: {sorted(places)}")
        assert {address for address, _ in places} == {node.address} and len({port for _, port in places}) == MANY

    try:
        up_and_down(site, [node], MANY, tmp_path, show, at_many)
    finally:
        remove([node])


def test_d4_a_killed_instance_is_gone(site, settled, tmp_path, show):
    (node,) = site.docker_hosts
    try:
        assert run_scale(site, [node], MANY).returncode == 0
        await_served(site, site.backend(SERVICE))
        with http_load(site, site.backend(SERVICE), tmp_path) as requests:
            victim, (_, name, _) = next(iter(instances([node]).items()))
            node.run(f"docker rm -f {name}")
            killed = time.time()
            time.sleep(GONE + 2)
        last = requests.last(victim) - killed
        show(f"last answer of a killed instance {last:.2f} s after; {requests}")
        requests.assert_served()
        assert last <= GONE and len(site.passing(SERVICE)) == MANY - 1
    finally:
        remove([node])


def test_d4_a_change_of_the_agent_restarts_the_only_server(site, settled):
    """Nobody else can hold the quorum meanwhile: names and balancer go on, and it leads again."""
    (server,) = site.servers
    (before,) = server.unit("consul", "MainPID")
    done, _ = play(site, "site.yml", "-e", '{"consul_extra_config": {"performance": {"raft_multiplier": 2}}}')
    assert done.returncode == 0, done.stdout[-4000:]
    assert server.unit("consul", "MainPID") != [before]
    done, _ = play(site, "site.yml")
    assert done.returncode == 0, done.stdout[-4000:]


def test_d4_reboot_and_power_cycle(site, settled, show):
    """It comes back by itself, to the same catalog."""
    (node,) = site.servers
    reboot([node])
    show(f"reboot: healthy after {site.settle(BACK):.0f} s")
    crash([node])
    power_on([node])
    show(f"power cycle: healthy after {site.settle(BACK):.0f} s")


def test_d4_status_and_backup(site, settled):
    """The page names nothing wrong, and a snapshot arrives at the controller."""
    for playbook in ("playbooks/status.yml", "playbooks/backup.yml"):
        done, _ = play(site, playbook)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
