"""Registrator's image on a base that is pinned by its digest."""

import pytest
from tests.support.playbook import play, recap

BASE = "python:3.13-slim"
RUNNING = "docker inspect -f '{{.Image}} {{.State.StartedAt}}' registrator"


def built_on(site, node, base: str):
    return play(site, "playbooks/registrator.yml", "--limit", node.name, "-e", f"registrator_base_image={base}")


@pytest.mark.more
def test_registrator_is_built_on_a_pinned_base(site, settled, show):
    node = site.docker_hosts[-1]
    pinned, before = node.run(f"docker image inspect -f '{{{{index .RepoDigests 0}}}}' {BASE}").strip(), node.run(RUNNING)
    show(f"{BASE} is {pinned}")
    try:
        done, _ = built_on(site, node, pinned[:-8] + "00000000")
        assert done.returncode != 0 and node.run(RUNNING) == before, "no registry has such an image, and the present one runs on"
        done, seconds = built_on(site, node, pinned)
        assert done.returncode == 0, done.stdout[-4000:]
        show(f"built and started in {seconds:.0f} s")
        assert node.run(RUNNING) != before
        site.settle()
        done, _ = built_on(site, node, pinned)
        assert recap(done)[node.name]["changed"] == 0
    finally:
        done, _ = play(site, "playbooks/registrator.yml", "--limit", node.name)
    assert done.returncode == 0 and node.run(RUNNING).split()[0] == before.split()[0]
