#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: managed_files
short_description: Several files, directories and links of a host, in one step
description:
  - Brings files, directories and links to what they should be, in the order given. What is as it should be is left alone. A look
    at ten files costs as much as one at a single file, so a role whose files are as they were is over soon.
  - Content comes from the controller, for example by the lookups C(template) and C(file).
options:
  files:
    description: What there should be.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where., type: path, required: true}
      content: {description: "Of a file: what it holds.", type: str}
      target: {description: "Of a link: where it leads.", type: str}
      mode: {description: "Permissions, such as V(0640); by default V(0644) of a file and V(0755) of a directory.", type: str}
      owner: {description: Its user., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      state: {description: What it is., type: str, choices: [file, directory, link], default: file}
      purge:
        description: "Of a directory: whether to remove its other content; of Python's bytecode, that of removed sources."
        type: bool
        default: false
      validate: {description: "Command that must accept new content; V(%s) is the file to test.", type: str}
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
- name: Write the unit, and where its program keeps its data
  fewnodes.discovery.managed_files:
    files:
      - {path: /var/lib/clock, state: directory, mode: "0700"}
      - {path: /etc/systemd/system/clock.service, content: "{{ lookup('ansible.builtin.template', 'clock.service.j2') }}"}
"""

RETURN = r"""
paths:
  description: What was changed.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import pwd
import shlex
import shutil
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import link, make_directories, read, remove, write


class Refused(Exception):
    """Content that is not accepted, or something in the way; the argument says what."""


def owner_of(wanted: dict) -> tuple[int, int] | None:
    """User and group by number; None when the host does not know them (yet)."""
    try:
        return pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid
    except KeyError:
        return None


def is_so(wanted: dict) -> bool:
    """Whether a path is what it should be."""
    path, state = wanted["path"], wanted["state"]
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if state == "link":
        return stat.S_ISLNK(status.st_mode) and os.readlink(path) == wanted["target"]
    kind = stat.S_ISDIR if state == "directory" else stat.S_ISREG
    if not kind(status.st_mode) or stat.S_IMODE(status.st_mode) != int(wanted["mode"], 8):
        return False
    return (status.st_uid, status.st_gid) == owner_of(wanted) and (state == "directory" or same(wanted))


def same(wanted: dict) -> bool:
    with open(wanted["path"], "rb") as file:
        return file.read() == wanted["content"].encode()


def obsolete(directory: str, listed: set[str]) -> list[str]:
    """Paths in a directory that are not listed; of Python's bytecode there, that of sources that are not listed."""
    if os.path.islink(directory) or not os.path.isdir(directory):
        return []
    found = []
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name == "__pycache__":
            source = os.path.join(directory, "%s.py")
            found += [file.path for file in os.scandir(entry.path) if source % file.name.split(".")[0] not in listed]
        elif entry.path not in listed:
            found.append(entry.path)
    return found


def accepted(wanted: dict, run) -> None:
    """Have new content tested.

    :param run: runs a command; its code, what it printed, and its errors
    :raises Refused: it does not pass
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, os.path.basename(wanted["path"]))
        with open(path, "wb") as file:
            file.write(wanted["content"].encode())
        code, out, err = run([word.replace("%s", path) for word in shlex.split(wanted["validate"])])
    if code != 0:
        raise Refused(f"{wanted['path']} is left as it is, because its new content is refused: {(err or out).strip()}")


def make(wanted: dict, run) -> None:
    """Bring a path to what it should be."""
    path, state, owner = wanted["path"], wanted["state"], owner_of(wanted)
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    if is_directory and state != "directory":
        raise Refused(f"{path} is a directory, and should be a {state}: move it away")
    if state == "link":
        make_directories(os.path.dirname(path))
        link(path, wanted["target"])
        return
    if owner is None:
        raise Refused(f"{path} should belong to {wanted['owner']}:{wanted['group']}, which this host does not know")
    if state == "directory":
        if not is_directory:
            remove(path)
        make_directories(path)
        os.chown(path, *owner)
        os.chmod(path, int(wanted["mode"], 8))
        return
    if wanted["validate"] and not (os.path.isfile(path) and same(wanted)):
        accepted(wanted, run)
    write(path, wanted["content"].encode(), int(wanted["mode"], 8), owner)


def shown(wanted: dict) -> dict:
    """A path as it is and as it should be, for people."""
    path = wanted["path"]
    if wanted["state"] == "file":
        return {"before_header": path, "after_header": path, "before": read(path) or "", "after": wanted["content"]}
    after = f"-> {wanted['target']}\n" if wanted["state"] == "link" else f"{wanted['state']} {wanted['mode']}\n"
    before = f"-> {os.readlink(path)}\n" if os.path.islink(path) else ""
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def main():
    kinds = {"file": "content", "link": "target"}
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "target": {"type": "str"},
                    "mode": {"type": "str"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                    "state": {"type": "str", "choices": ["file", "directory", "link"], "default": "file"},
                    "purge": {"type": "bool", "default": False},
                    "validate": {"type": "str"},
                },
                "required_if": [("state", state, [needed]) for state, needed in kinds.items()],
            }
        },
        supports_check_mode=True,
    )
    changed, diff = [], []
    for wanted in module.params["files"]:
        wanted["mode"] = wanted["mode"] or ("0755" if wanted["state"] == "directory" else "0644")
        if is_so(wanted):
            continue
        diff.append(shown(wanted))
        if not module.check_mode:
            try:
                make(wanted, module.run_command)
            except (Refused, OSError) as error:
                module.fail_json(msg=str(error), paths=changed, changed=bool(changed))
        changed.append(wanted["path"])
    listed = {wanted["path"] for wanted in module.params["files"]}
    for path in [path for wanted in module.params["files"] if wanted["purge"] for path in obsolete(wanted["path"], listed)]:
        diff.append({"before_header": path, "after_header": path, "before": read(path) or "present\n", "after": ""})
        if not module.check_mode:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        changed.append(path)
    module.exit_json(changed=bool(changed), paths=changed, diff=diff)


if __name__ == "__main__":
    main()
