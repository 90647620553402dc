"""W32: the containers that the README declares are the services that it says: registered, and served by that name or port."""

import shlex

import pytest
from tests.support.readme_commands import README, blocks, commented

from discovery_balancer.options import Options as BalancerOptions
from discovery_balancer.plan import plan
from registrator.options import parse
from registrator.wanted import wanted
from registrator_cases import HOST, container

ADDRESS, DOMAIN = "192.0.2.1", "hospital.example"
TEXT = README.read_text()
COMMANDS = blocks(TEXT)["What a container declares"]


def started(command: str) -> dict:
    """The container that a `docker run` of the README makes: its image exposes 8080, and dockerd publishes that on 32768."""
    words = iter(shlex.split(command)[2:])
    environment, ports = [], {}
    for word in words:
        if word == "-e":
            environment.append(next(words))
        elif word == "-p":
            outside, inside = next(words).split(":")
            ports[f"{inside}/tcp"] = int(outside)
        elif word == "-P":
            ports["8080/tcp"] = 32768
        elif word != "-d":
            return container(image=word, env=environment, ports=ports)
    raise AssertionError(f"{command} has no image")


@pytest.mark.parametrize("command", COMMANDS)
def test_w32_a_container_of_the_readme_is_what_its_comment_says(command):
    found = wanted([started(command)], parse(["-ip", ADDRESS, "consul://127.0.0.1:8500"]), HOST)
    assert found.skipped == []
    (service,) = found.services
    instance = {name: getattr(service, name) for name in ("id", "address", "port", "tags")} | {"node": HOST, "weight": 1}
    catalog = {"consul": 3, "services": [{"name": service.name, "instances": [instance]}], "skipped": []}
    served = plan(catalog, BalancerOptions(domain=DOMAIN))
    assert served.skipped == ()
    said = {
        "http": [f"http://{host}/" for one in served.http for host in one.hosts],
        "tls": [f"https://{host}/, with its own certificate" for one in served.tls for host in one.hosts],
        "tcp": [f"port {one.port} of each balancer" for one in served.tcp],
    }
    names = [words for kind in said.values() for words in kind] or [f"by name only: {service.name}.service.dc1.consul"]
    assert names == [commented(TEXT)[command].replace("<domain>", DOMAIN)]
