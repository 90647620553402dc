"""Documentation of the action plugin secret."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret
short_description: Create, replace or remove secrets of the site
description:
  - Works on the controller, whichever host the task is for. A secret is a file in the secrets directory, mode 0600, in
    directories of mode 0700 that version control ignores; it is encrypted where a vault password file is set.
  - A secret is written once, in one step. When several hosts create it at once, one of them does, and each of them reads
    that one afterwards, with the lookup P(fewnodes.discovery.secret#lookup).
  - The result has names only, never contents.
attributes:
  check_mode:
    description: Predicts what would be done and writes nothing; O(refuse) is not applied, because a secret may be missing that
      an earlier task of a real run has created.
    support: full
options:
  names:
    description: Names of the secrets, which are paths below the directory. Example, V(tokens/operations).
    type: list
    elements: str
    required: true
  state:
    description:
      - With V(present) the missing ones are created; the others stay as they are.
      - With V(replaced) each C(<name>.next) takes the place of C(<name>), in one step; without a C(<name>.next) nothing happens.
      - With V(absent) they are removed.
    type: str
    choices: [present, replaced, absent]
    default: present
  value:
    description: Content of a missing secret.
    type: str
  values:
    description: Contents of missing secrets by name; they come before O(value).
    type: dict
  generate:
    description:
      - Content of missing secrets that have no O(value), different for each of them. V(key) is 32 random bytes in Base64, V(uuid)
        a random UUID.
    type: str
    choices: [key, uuid]
  refuse:
    description: Fail with this text when a secret is missing, and create none.
    type: str
extends_documentation_fragment: [fewnodes.discovery.secrets]
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Create the gossip key
  fewnodes.discovery.secret:
    names: [gossip_key]
    generate: key

- name: Require the management token
  fewnodes.discovery.secret:
    names: [management_token]
    refuse: There is no management token. Put the secrets directory back from its backup.

- name: Put the next gossip key in place
  fewnodes.discovery.secret:
    names: [gossip_key]
    state: replaced
"""

RETURN = r"""
created:
  description: Names of the secrets that this task has created; in check mode, those it would create.
  returned: O(state=present)
  type: list
  elements: str
replaced:
  description: Names of the secrets that have their next value now.
  returned: O(state=replaced)
  type: list
  elements: str
removed:
  description: Names of the secrets that this task has removed.
  returned: O(state=absent)
  type: list
  elements: str
"""
