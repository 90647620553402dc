"""The rules as the role's template renders them, and the role's own table of allow rules."""

from pathlib import Path

import jinja2
import yaml

ROLE = Path(__file__).parents[3] / "roles/firewall"


def rendered(scope: str = "site", **ruleset) -> str:
    """The template with a ruleset, as Ansible renders it.

    :param scope: site, or overlay for the ports of the overlay network only
    """
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True)
    environment.filters["comment"] = "# {}".format
    template = environment.from_string((ROLE / "templates/discovery-firewall.nft.j2").read_text())
    return template.render(ansible_managed="managed", __firewall_scope=scope, __firewall_ruleset=ruleset)


def platform(**on: bool) -> dict:
    """The table of allow rules; a host has them all, but for those named."""
    table = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__firewall_platform"]
    table["ssh"]["tcp"], table["balancer"]["tcp"] = [22], [80, 443, "9990-9999"]
    return {name: rule | {"on": on.get(name, True)} for name, rule in table.items()}
