"""Filters about a user's own templates; each has its documentation beside it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils.consul_templates import template_config, template_problems


def config(template, address, max_backoff):
    try:
        return template_config(template, address, max_backoff)
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"fewnodes.discovery.consul_template_config: needs name and destination: {error!r}") from error


class FilterModule:
    def filters(self):
        return {"consul_template_config": config, "consul_template_problems": template_problems}
