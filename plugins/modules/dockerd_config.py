#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: dockerd_config
short_description: Write daemon.json of dockerd
description:
  - Writes settings into C(/etc/docker/daemon.json) beside those of others, which stay; its own win. A setting with an empty value
    is not written. A setting that this module wrote and that is no longer wanted is removed.
  - Root alone reads the file, because settings may hold passwords.
  - A copy is checked before it replaces the file, by dockerd itself (from 23.0), else against the settings that Docker 20.10
    knows and the types of their values.
  - The settings are recorded under C(/var/lib/dockerd-discovery). A file that is no JSON is restored from that record.
options:
  state:
    description: V(absent) removes the settings of the record, and restores those that it replaced.
    type: str
    choices: [present, absent]
    default: present
  config:
    description: The settings.
    type: dict
    default: {}
  proxies:
    description: The setting V(proxies), whose URLs may hold a password; no log has it.
    type: dict
    default: {}
  keep:
    description: Settings that V(state=absent) leaves unchanged.
    type: list
    elements: str
    default: []
  binary:
    description: Path of dockerd.
    type: path
    default: /usr/sbin/dockerd
  validate:
    description: Whether dockerd can check a file (C(--validate)).
    type: bool
    default: false
  flags:
    description: Flags that dockerd is started with; it refuses a setting that is one of them, too.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
  diff_mode:
    description: Shows the content before and after, without users and passwords of URLs.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Write daemon.json
  fewnodes.discovery.dockerd_config:
    config:
      log-driver: json-file
    validate: true
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: always
replaced:
  description: Settings of others whose values were replaced.
  returned: always
  type: list
  elements: str
restored:
  description: Whether the file was broken and restored from the record.
  returned: always
  type: bool
"""

import json
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd_config import (
    DAEMON_JSON,
    DAEMON_JSON_WRITTEN,
    filled,
    masked,
    merged,
    problems,
    replaced,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import make_directories

MODE = 0o600


def read(path: str) -> str | None:
    """Content of a file, None when there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def table(content: str | None) -> dict | None:
    """A file's settings: {} for no or an empty file, None for a broken one."""
    if content is None or not content.strip():
        return {}
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def written(config: dict) -> str:
    return json.dumps(config, indent=4, ensure_ascii=False) + "\n"


def check(module: AnsibleModule, content: str) -> None:
    """Fail when dockerd would refuse this file."""
    if not module.params["validate"]:
        found = problems(json.loads(content))
        if found:
            module.fail_json(msg=f"{DAEMON_JSON} is unchanged: {'; '.join(found)}. Check dockerd_extra_config.")
        return
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, suffix=".json", encoding="utf-8") as copy:
        copy.write(content)
        copy.flush()
        command = [module.params["binary"], "--validate", f"--config-file={copy.name}", *module.params["flags"]]
        code, out, error = module.run_command(command)
    if code:
        message = masked((error or out).strip().replace(copy.name, DAEMON_JSON))
        module.fail_json(msg=f"{DAEMON_JSON} is unchanged, dockerd would refuse it: {message}. Check dockerd_extra_config.")


def differs(path: str, content: str | None) -> bool:
    """Whether a file is not what it should be, its owner and mode too."""
    if content is None or read(path) != content:
        return read(path) != content
    found = os.stat(path)
    return (found.st_mode & 0o7777, found.st_uid, found.st_gid) != (MODE, 0, 0)


def put(module: AnsibleModule, path: str, content: str | None) -> None:
    """Write or remove a file in one step."""
    if content is None:
        os.unlink(path)
        return
    folder = os.path.dirname(path)
    make_directories(folder, 0o755 if path == DAEMON_JSON else 0o700)
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
        os.fchmod(handle, MODE)
        os.fsync(handle)
    os.replace(name, path)


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "config": {"type": "dict", "default": {}},
            "proxies": {"type": "dict", "default": {}, "no_log": True},
            "keep": {"type": "list", "elements": "str", "default": []},
            "binary": {"type": "path", "default": "/usr/sbin/dockerd"},
            "validate": {"type": "bool", "default": False},
            "flags": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    gone, config = module.params["state"] == "absent", module.params["config"] | {"proxies": module.params["proxies"]}
    before, record = read(DAEMON_JSON), table(read(DAEMON_JSON_WRITTEN)) or {}
    present = table(before)
    restored = present is None
    if restored:
        if not record:
            module.fail_json(msg=f"{DAEMON_JSON} is broken and has no record: repair it or remove it")
        present = record["file"]
    ours, theirs = record.get("written", {}), record.get("replaced", {})
    if gone:
        ours = {key: value for key, value in ours.items() if key not in module.params["keep"]}
        result = merged(present, {}, ours) | theirs
        lost = []
        after, note = (written(result) if result else None), None
        if not record:
            module.exit_json(changed=False, path=DAEMON_JSON, replaced=[], restored=False)
    else:
        result = merged(present, config, ours)
        lost = replaced(present, result, ours)
        after = written(result)
        check(module, after)
        theirs = {key: present[key] for key in lost} | {key: theirs[key] for key in theirs if key in config}
        note = written({"written": filled(config), "replaced": theirs, "file": result})
    changes = [(path, content) for path, content in ((DAEMON_JSON, after), (DAEMON_JSON_WRITTEN, note)) if differs(path, content)]
    if not module.check_mode:
        for path, content in changes:
            put(module, path, content)
    if lost:
        module.warn(f"{DAEMON_JSON}: values of others are replaced: {', '.join(lost)}")
    module.exit_json(
        changed=bool(changes),
        path=DAEMON_JSON,
        replaced=lost,
        restored=restored,
        diff={
            "before": masked(before or ""),
            "after": masked(after or ""),
            "before_header": DAEMON_JSON,
            "after_header": DAEMON_JSON,
        },
    )


if __name__ == "__main__":
    main()
