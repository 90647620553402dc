"""The rules as the role's template makes them, and the role's own table of openings."""

from pathlib import Path

import jinja2
import yaml

ROLE = Path(__file__).parents[3] / "roles/firewall"


def rendered(**ruleset) -> str:
    """The template with a ruleset, as Ansible renders it."""
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = "# {}".format
    template = environment.from_string((ROLE / "templates/discovery-firewall.nft.j2").read_text())
    return template.render(ansible_managed="managed", __firewall_ruleset=ruleset)


def known(**on: bool) -> dict:
    """The table of openings; a host has them all, but for those named."""
    table = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__firewall_known"]
    table["ssh"]["tcp"], table["balancer"]["tcp"] = [22], [80, 443, "9990-9999"]
    return {name: one | {"on": on.get(name, True)} for name, one in table.items()}
