"""Documentation of the action plugin consul_acl."""

from __future__ import annotations

DOCUMENTATION = r"""
module: consul_acl
short_description: Policies and tokens of a site, in Consul and on the controller
description:
  - Each component of a site has a policy of its name and a token on each of its hosts. The secrets are files on the
    controller, see M(fewnodes.discovery.secret); the tokens are known by their descriptions.
  - A secret is on the controller before the cluster gets it, so an interrupted run is resumable. The running cluster is the
    truth, so its tokens are imported where the controller lacks them, and a conflict fails.
  - The agent of the host of the task is asked, with the management token of the controller; with O(pod) Consul in that pod.
options:
  state:
    description:
      - V(bootstrapped). The cluster accepts the management token; one without access control is bootstrapped with it.
      - V(imported). Secrets that the controller lacks come from the cluster. RV(status) tells whether it answered.
      - V(present). V(bootstrapped), then policies and tokens of the site exist with the secrets of the controller. A host
        that may declare no service, has no template or has left a group loses the token for it.
      - V(restored). After a snapshot was restored, tokens of the site with an older secret are deleted, then V(present).
      - V(absent). Tokens and policies of O(host) are deleted, in the cluster and on the controller.
      - V(rotation_begun). New tokens exist beside the present ones, with secrets called C(<name>.next) on the controller.
      - V(rotation_finished). Superseded tokens are deleted, those of O(accessor_ids) only. Check mode reports them.
    type: str
    choices: [bootstrapped, imported, present, restored, absent, rotation_begun, rotation_finished]
    default: present
  site:
    description: The access control of the site.
    type: dict
    required: true
    suboptions:
      datacenter: {description: Datacenter of Consul., type: str, required: true}
      tokens: {description: Component to list of the nodes of its hosts., type: dict, required: true}
      site_tokens: {description: Components with one token for the whole site., type: list, elements: str, default: []}
      policies: {description: Component to its rules., type: dict, required: true}
      host_policies:
        description: Component to rules for each of its hosts, C({host}) is the node's name. The policy is C(<component>-<node>).
        type: dict
        default: {}
      services:
        description:
          - Component, C(registrator) or C(declared), to node to the services that its token may write, names, and prefixes that
            end with C(*). It has the policy C(<component>-<node>) alone. The registrators of other hosts may write all.
        type: dict
        default: {}
      keys:
        description: Node to the prefixes of the keys that its templates may read. Their policy is C(templates-<node>).
        type: dict
        default: {}
      left:
        description: Component to the nodes that have left its group, and have nothing more that uses their token.
        type: dict
        default: {}
  host:
    description: Host that has left, for V(state=absent).
    type: str
  component:
    description: Rotate the tokens of this component only.
    type: str
    default: ""
  hosts:
    description: Rotate the tokens of these hosts and of the whole site only.
    type: list
    elements: str
    default: []
  management:
    description: Rotate the management token, too.
    type: bool
    default: false
  accessor_ids:
    description: Tokens that are proven unused, see M(fewnodes.discovery.consul_tokens_held).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
extends_documentation_fragment: [fewnodes.discovery.secrets, fewnodes.discovery.pod]
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Write policies and tokens
  fewnodes.discovery.consul_acl:
    site:
      datacenter: dc1
      tokens:
        agent: [a, b]
        registrator: [b]
      site_tokens: [operations]
      policies:
        registrator: 'service_prefix "" { policy = "write" }'
        operations: 'operator = "write"'
"""

RETURN = r"""
status:
  description: >-
    Answer to the management token, V(accepted), V(bootstrapped), V(rejected), V(leaderless) or V(unreachable).
  returned: bootstrapped and imported
  type: str
imported:
  description: Names of the secrets that were imported.
  returned: imported
  type: list
  elements: str
known:
  description: Names of the secrets whose tokens the cluster has.
  returned: imported
  type: list
  elements: str
policies:
  description: Names of the policies that were written.
  returned: present
  type: list
  elements: str
tokens:
  description: Descriptions of the tokens that were written.
  returned: present
  type: list
  elements: str
removed:
  description: Descriptions or names of the tokens that were deleted.
  returned: present, restored, absent and rotation_finished
  type: list
  elements: str
unknown:
  description: Descriptions of the cluster's tokens that are none of the site's.
  returned: restored
  type: list
  elements: str
rotated:
  description: Names of the secrets that have a C(.next), in the order in which the tokens were written.
  returned: rotation_begun
  type: list
  elements: str
interrupted:
  description: Names of the secrets of an earlier rotation that was interrupted.
  returned: rotation_begun
  type: list
  elements: str
superseded:
  description: Tokens that another one has replaced, with C(name), C(accessor_id) and C(digest), the SHA-256 of the secret.
  returned: rotation_finished
  type: list
  elements: dict
"""
