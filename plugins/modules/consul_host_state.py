"""Documentation of the action plugin consul_host_state."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_host_state
short_description: State of a host before Consul is installed or changed
description:
  - Gathers the clock, the free disk, the Consul that is installed and runs, and the members that the running agent knows.
  - One command over the connection, which changes nothing. The members are read with the token for DNS, which is on the
    host.
  - Runs as root.
attributes:
  check_mode:
    description: Does the same in check mode.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Gather the state of the host
  fewnodes.discovery.consul_host_state:
  register: host
"""

RETURN = r"""
state:
  description: The state.
  returned: always
  type: dict
  contains:
    clock_offset:
      description: Seconds that the host's clock is ahead of the controller's.
      type: float
    clock_uncertainty:
      description: Half of the time on the way, in seconds.
      type: float
    free_mb:
      description: Free disk in MB, by folder.
      type: dict
    node_id:
      description: The node id in the data directory; empty where there is none.
      type: str
    installed:
      description: Version that the link to the program names; empty where there is none.
      type: str
    running:
      description: Version of the running agent; empty where none runs.
      type: str
    leaderless:
      description: Whether the running agent has answered for 5 s that its cluster has no leader.
      type: bool
    members:
      description: Members of the cluster that are alive, with name, address, id, version and server.
      type: list
      elements: dict
    others:
      description: Files of a Consul that the collection has not set up.
      type: list
      elements: str
"""
