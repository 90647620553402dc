#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Rules of nftables on trial, and kept
description:
  - Loads the table C(inet discovery) on trial. The host itself takes it back after some seconds, to the rules that were confirmed
    last or to none, unless it is told over a new connection that they do.
  - What is in force is compared with the rules, so a table that was changed or flushed by others is loaded again. No other table
    is touched.
options:
  state:
    description:
      - V(tried) loads I(rules) when they are not in force and confirmed; V(confirmed) keeps those on trial; V(absent) takes
        everything off.
    type: str
    choices: [tried, confirmed, absent]
    default: tried
  rules:
    description: A file for nft that replaces the table in one step. Needed with V(tried).
    type: str
  seconds:
    description: How long a trial takes.
    type: int
    default: 30
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
  diff_mode:
    description: Shows the content before and after.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Try the rules
  fewnodes.discovery.firewall:
    rules: "{{ lookup('ansible.builtin.template', 'discovery-firewall.nft.j2') }}"
  register: trial

- name: Keep them
  fewnodes.discovery.firewall:
    state: confirmed
  when: trial.tried
"""

RETURN = r"""
tried:
  description: Rules are on trial now.
  returned: always
  type: bool
at_boot:
  description: The unit that loads the confirmed rules is enabled and was started.
  returned: when I(state=tried)
  type: bool
why:
  description: What was different.
  returned: when I(state=tried)
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils import nftables


def difference(confirmed: str, rules: str, in_force: str, listing: str) -> str:
    """Why rules have to be loaded; '' when they are in force.

    :param confirmed: what is loaded at boot
    :param in_force: the table as nft lists it, and `listing` as it would list the rules
    """
    if confirmed != rules:
        return "other rules" if confirmed else "no rules yet"
    if not in_force:
        return "the rules were not loaded: something has flushed them"
    return "" if in_force == listing else "the rules in force were changed by hand"


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["tried", "confirmed", "absent"], "default": "tried"},
            "rules": {"type": "str"},
            "seconds": {"type": "int", "default": 30},
        },
        required_if=[("state", "tried", ["rules"])],
        supports_check_mode=True,
    )
    firewall = nftables.Firewall(module)
    try:
        module.exit_json(**STATES[module.params["state"]](module, firewall))
    except nftables.Refused as error:
        module.fail_json(msg=f"the firewall is not changed: {error}")


def tried(module, firewall) -> dict:
    rules, before = module.params["rules"], firewall.confirmed
    if not os.path.exists(nftables.NFT):  # check mode on a bare host
        why = "no rules yet"
    else:
        why = difference(before, rules, firewall.in_force(), firewall.listing(rules))
    if why and not module.check_mode:
        firewall.try_out(rules, module.params["seconds"])
    diff = {"before_header": nftables.CONFIRMED, "after_header": nftables.CONFIRMED, "before": before, "after": rules}
    return {
        "changed": bool(why),
        "tried": bool(why) and not module.check_mode,
        "at_boot": firewall.at_boot(),
        "why": why,
        "diff": diff,
    }


def confirmed(module, firewall) -> dict:
    if not module.check_mode:
        firewall.confirm()
    return {"changed": True, "tried": False}


def absent(module, firewall) -> dict:
    there = bool(firewall.in_force() or firewall.confirmed or firewall.on_trial())
    if there and not module.check_mode:
        firewall.take_off()
    return {"changed": there, "tried": False}


STATES = {"tried": tried, "confirmed": confirmed, "absent": absent}

if __name__ == "__main__":
    main()
