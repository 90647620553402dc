"""S9, X6: a docker host is removed from the swarm, and what it kept does not let it in again."""

import pytest
from tests.support.playbook import play

ROLES = ("worker", "manager")


def tokens(node) -> dict[str, str]:
    """The tokens for joining the swarm, by the part that a host gets with each."""
    return {role: node.run(f"docker swarm join-token -q {role}").strip() for role in ROLES}


@pytest.fixture
def added_again(site):
    """After the test the removed host is a member again, the ordinary way, and its containers are made anew: they lost the
    network when it left."""
    yield
    for node in site.docker_hosts:
        lost = node.run("docker ps -q | xargs docker inspect -f '{{if not .NetworkSettings.Networks}}{{.Id}}{{end}}'").split()
        if lost:
            node.run(f"docker rm -f {' '.join(lost)}")
    for playbook in ("site.yml", "playbooks/sample_services.yml"):
        done, _ = play(site, playbook)
        assert done.returncode == 0, done.stdout[-3000:]
    site.settle()


@pytest.mark.more
@pytest.mark.overlay("swarm")
def test_s9_x6_a_removed_docker_host_cannot_join_the_swarm_again(site, show, added_again):
    """It is a client of Consul and the load balancer."""
    node = next(host for host in site.docker_hosts if host not in site.servers)
    asked = next(host for host in site.docker_hosts if host is not node)
    before = tokens(asked)
    done, seconds = play(site, "playbooks/remove_node.yml", "-e", f"remove_host={node.name}")
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"{node.name} removed in {seconds:.0f} s")
    after = tokens(asked)
    assert all(before[role] != after[role] for role in ROLES)
    assert node.name not in asked.run("docker node ls --format '{{.Hostname}}'").split()
    assert node.run("docker info -f '{{.Swarm.LocalNodeState}}'").strip() == "inactive"
    for token in before.values():
        answer = node.run(f"timeout 30 docker swarm join --token {token} {asked.address}:2377 2>&1 || true")
        assert "join token" in answer, answer
