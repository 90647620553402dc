"""W11: a container that leaves a network and joins it again publishes another port, and is registered with that."""

from tests.support.wait import eventually

NAME = "test-w11"
WITHIN = 2  # seconds


def test_w11_a_container_that_is_connected_again_has_its_new_port(site, settled, start_container, show):
    node = site.docker_hosts[-1]
    start_container(node, NAME, "httpbackend:v1.0.0", f"-e SERVICE_NAME={NAME}")
    eventually(lambda: site.passing(NAME), 30)
    before = site.passing(NAME)
    node.run(f"docker network disconnect bridge {NAME}")
    _, gone = eventually(lambda: not site.passing(NAME), WITHIN)
    node.run(f"docker network connect bridge {NAME}")
    _, back = eventually(lambda: site.passing(NAME) and site.passing(NAME) == site.places(node, f"name=^{NAME}$"), WITHIN)
    show(f"left after {gone:.1f} s; {before} became {site.passing(NAME)} after {back:.1f} s")
