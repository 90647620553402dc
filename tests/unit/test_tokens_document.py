"""docs/tokens.md, which K1 tries on a running site: it has every request and every component; so has the role's example."""

from tests.support.readme_examples import examples
from tests.support.site import ROOT
from tests.support.token_rights import REQUESTS, table
from tests.yaml_text import parse_yaml

DEFAULTS = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())
TOKENS = parse_yaml((ROOT / "playbooks/vars/consul.yml").read_text())["consul_tokens"]


def test_every_component_has_a_column():
    assert set(table()) == {"anonymous", *TOKENS, "declared", *DEFAULTS["consul_site_tokens"]}


def test_the_example_of_the_role_has_every_component():
    """A component without tokens ends the run of the role that reads one."""
    (playbook,) = [play for example in examples("consul") for play in example if "consul_tokens" in play.get("vars", {})]
    assert set(playbook["vars"]["consul_tokens"]) == set(TOKENS) - {"docker"}  # for Consul as cluster store of dockerd alone


def test_every_request_has_a_row():
    for component, rights in table().items():
        assert list(rights) == list(REQUESTS), component


def test_no_token_of_a_host_reaches_further_than_the_document_names():
    """What is allowed on another host's node is the registrator's, and of declared services, and not at another agent."""
    other = [name for name, request in REQUESTS.items() if "another" in name and (request[1] == "PUT")]
    allowed = {(component, name) for component, rights in table().items() for name in other if rights[name]}
    assert allowed == {
        ("registrator", "write a service of another node"),
        ("registrator", "take a service out of another node"),
        ("declared", "write a service of another node"),
    }
