#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: removed
short_description: Units, files and directories that a host must not have
description:
  - Stops, disables and removes units, and removes other files and directories, as far as they exist. Idempotent, also after an
    interruption.
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
options:
  units:
    description: Units by their file name under C(/etc/systemd/system). One without a file is ignored.
    type: list
    elements: str
    default: []
  paths:
    description: Files, links and directories, with everything in them.
    type: list
    elements: path
    default: []
  empty:
    description: Directories that go as well when nothing is left in them, such as those of drop-ins.
    type: list
    elements: path
    default: []
  shred:
    description:
      - Whether the content of O(paths) is overwritten first. A file system may keep older copies of it all the same.
    type: bool
    default: false
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Remove the agent
  fewnodes.discovery.removed:
    units: [consul.service]
    paths: [/etc/consul.d, /var/lib/consul]
"""

RETURN = r"""
removed:
  description: Paths that existed.
  returned: always
  type: list
  elements: str
"""

import errno
import os
import shutil
import stat

from ansible.module_utils.basic import AnsibleModule

SYSTEMD = "/etc/systemd/system"
ZEROS = bytes(1 << 20)


def remove(path: str) -> None:
    """Remove a file, a link (not what it leads to) or a directory."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def emptied(directory: str, gone: list[str]) -> bool:
    """Whether nothing is left in a directory when some paths are gone; False without it."""
    try:
        return all(os.path.join(directory, name) in gone for name in os.listdir(directory))
    except OSError:
        return False


def shred(path: str) -> None:
    """Overwrite a file, or the files of a directory; links are left alone, and a file that was exchanged meanwhile."""
    below = [os.path.join(folder, name) for folder, _unused, names in os.walk(path) for name in names]
    for name in below or [path]:
        status = os.lstat(name)
        if not stat.S_ISREG(status.st_mode):
            continue
        try:
            handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link by now
                continue
            raise
        with os.fdopen(handle, "r+b", buffering=0) as file:
            opened = os.fstat(handle)
            if not stat.S_ISREG(opened.st_mode) or not os.path.samestat(opened, status):
                continue
            for start in range(0, status.st_size, len(ZEROS)):
                file.write(ZEROS[: status.st_size - start])
            os.fsync(file.fileno())


def main():
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "empty": {"type": "list", "elements": "path", "default": []},
            "shred": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    units = [unit for unit in module.params["units"] if os.path.lexists(f"{SYSTEMD}/{unit}")]
    # The units' files last: while they exist, the next run stops what this one could not.
    paths = [path for path in module.params["paths"] + [f"{SYSTEMD}/{unit}" for unit in units] if os.path.lexists(path)]
    empty = [directory for directory in module.params["empty"] if emptied(directory, paths)]
    if not module.check_mode:
        if units:
            module.run_command(["systemctl", "disable", "--now", *units], check_rc=True)
            module.run_command(["systemctl", "reset-failed", *units])  # a unit may exit with 1 on SIGTERM
        for path in paths:
            if module.params["shred"] and not os.path.islink(path):
                shred(path)
            remove(path)
        for directory in empty:
            os.rmdir(directory)
        if any(path.startswith(SYSTEMD) for path in paths):
            module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    module.exit_json(changed=bool(paths + empty), removed=paths + empty)


if __name__ == "__main__":
    main()
