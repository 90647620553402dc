"""W59: where the first name server of the site is silent, Consul asks the second before libc gives up on Consul."""

from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_agent import RELOADABLE
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import as_list
from jinja2 import Environment
from tests.yaml_text import parse_yaml

ROLE = Path(__file__).parents[2] / "roles/consul"
LIBC_WAITS = 1000  # milliseconds: options timeout:1 of the hosts' resolv.conf
ANSWER = 200  # milliseconds for the answer of the second server


def timeout(*servers: str) -> str:
    default = parse_yaml((ROLE / "defaults/main.yml").read_text())["consul_recursor_timeout"]
    environment = Environment()
    environment.filters["fewnodes.discovery.as_list"] = as_list
    return environment.from_string(default).render(consul_recursors=list(servers))


@pytest.mark.parametrize("servers", [["192.0.2.1", "192.0.2.2"], ["192.0.2.1", "192.0.2.2", "192.0.2.3"]])
def test_w59_the_second_server_is_asked_before_libc_gives_up(servers):
    assert int(timeout(*servers).removesuffix("ms")) + ANSWER < LIBC_WAITS


@pytest.mark.parametrize("servers", [[], ["192.0.2.1"]])
def test_w59_a_single_server_has_as_long_as_consul_gives_by_itself(servers):
    assert timeout(*servers) == "2s"


def test_w59_it_reaches_the_agents_by_a_reload():
    config = parse_yaml((ROLE / "vars/main.yml").read_text())["__consul_agent_config"]
    assert config["dns_config"]["recursor_timeout"] == "{{ consul_recursor_timeout }}"
    assert "dns_config" in RELOADABLE
