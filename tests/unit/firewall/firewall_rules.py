"""The rules as the role's template renders them, and the role's own table of allow rules."""

from pathlib import Path

import jinja2
from tests.yaml_text import parse_yaml

ROLE = Path(__file__).parents[3] / "roles/firewall"


def rendered(scope: str = "site", template: str = "discovery-firewall.nft.j2", **variables) -> str:
    """A template with a ruleset and other variables, as Ansible renders it.

    :param scope: site, or overlay for the ports of the overlay network only
    """
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = "# {}".format
    text = environment.from_string((ROLE / "templates" / template).read_text())
    return text.render(ansible_managed="managed", __firewall_scope=scope, **variables)


def variable(name: str, **variables) -> str:
    """A variable of the role, rendered."""
    return jinja2.Template(parse_yaml((ROLE / "vars/main.yml").read_text())[name]).render(**variables)


def platform(**on: bool) -> dict:
    """The table of allow rules; a host has them all, but for those named."""
    table = parse_yaml((ROLE / "vars/main.yml").read_text())["__firewall_platform"]
    table["ssh"]["tcp"], table["balancer"]["tcp"] = [22], [80, 443, "9990-9999"]
    table["balancer"]["udp"] = ["5140-5149"]
    table["balancer_stats"]["tcp"] = [8404]
    vrrp = ["vrrp"] if on.get("floating_addresses") else []
    table["floating_addresses"] |= {"protocols": vrrp, "from": ["192.0.2.251", "192.0.2.252"]}
    return {name: rule | {"on": on.get(name, True)} for name, rule in table.items()}
