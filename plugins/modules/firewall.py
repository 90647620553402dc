#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Rules of nftables, commit-confirmed with automatic rollback
description:
  - Loads the table C(inet discovery). After some seconds the host itself rolls back to the rules that were confirmed last, or to
    none, unless they are confirmed over a new connection.
  - The rules in force are compared with the wanted ones, so a table that somebody else has changed or flushed is loaded again. No
    other table is touched.
options:
  state:
    description:
      - V(committed) loads I(rules) unless they are in force and confirmed; V(confirmed) keeps them; V(absent) removes everything.
    type: str
    choices: [committed, confirmed, absent]
    default: committed
  rules:
    description: A file for nft that replaces the table in one step. Required for V(committed).
    type: str
  seconds:
    description: Seconds until the rollback.
    type: int
    default: 30
  strict:
    description:
      - Whether I(rules) judge established connections to this host, too, until they are confirmed, so that nobody confirms them
        through one that they close later. They need the chains C(arriving) and C(forwarded).
    type: bool
    default: false
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
- name: Load the rules
  fewnodes.discovery.firewall:
    rules: "{{ lookup('ansible.builtin.template', 'discovery-firewall.nft.j2') }}"
  register: result

- name: Confirm them
  fewnodes.discovery.firewall:
    state: confirmed
  when: result.unconfirmed
"""

RETURN = r"""
unconfirmed:
  description: The rules wait for confirmation.
  returned: always
  type: bool
at_boot:
  description: The unit that loads the confirmed rules is enabled and was started.
  returned: when I(state=committed)
  type: bool
reason:
  description: The difference that made the rules be loaded; empty for none.
  returned: when I(state=committed)
  type: str
listening:
  description: Ports that listen, each with protocol, address, port and program; when rules wait for confirmation and I(strict).
  returned: when I(state=committed)
  type: list
  elements: dict
overlay_table:
  description: The host has a separate table of the overlay network, of an earlier version of the collection.
  returned: when I(state=committed)
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils import nftables


def difference(confirmed: str, rules: str, in_force: str, listing: str) -> str:
    """The reason to load rules; '' when they are in force.

    :param confirmed: the rules that are loaded at boot
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
            "state": {"type": "str", "choices": ["committed", "confirmed", "absent"], "default": "committed"},
            "rules": {"type": "str"},
            "seconds": {"type": "int", "default": 30},
            "strict": {"type": "bool", "default": False},
        },
        required_if=[("state", "committed", ["rules"])],
        supports_check_mode=True,
    )
    firewall = nftables.Firewall(module)
    try:
        module.exit_json(**STATES[module.params["state"]](module, firewall))
    except nftables.Refused as error:
        module.fail_json(msg=f"the firewall is unchanged: {error}")


def committed(module, firewall) -> dict:
    rules, before = module.params["rules"], firewall.confirmed
    if not os.path.exists(nftables.NFT):  # check mode on a bare host
        reason = "no rules yet"
    else:
        reason = difference(before, rules, firewall.in_force(), firewall.listing(rules))
    listening = []
    if reason and not module.check_mode:
        listening = firewall.listening() if module.params["strict"] else []
        beside = nftables.strict_chains(listening) if module.params["strict"] else ""
        firewall.commit(rules, module.params["seconds"], beside)
    diff = {"before_header": nftables.CONFIRMED, "after_header": nftables.CONFIRMED, "before": before, "after": rules}
    return {
        "changed": bool(reason),
        "unconfirmed": bool(reason) and not module.check_mode,
        "at_boot": firewall.at_boot(),
        "reason": reason,
        "listening": listening,
        "overlay_table": firewall.overlay_table(),
        "diff": diff,
    }


def confirmed(module, firewall) -> dict:
    if not module.check_mode:
        firewall.confirm()
    return {"changed": True, "unconfirmed": False}


def absent(module, firewall) -> dict:
    there = bool(firewall.in_force() or firewall.confirmed or firewall.unconfirmed())
    if there and not module.check_mode:
        firewall.remove()
    return {"changed": there, "unconfirmed": False}


STATES = {"committed": committed, "confirmed": confirmed, "absent": absent}

if __name__ == "__main__":
    main()
