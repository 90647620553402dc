#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: release_program
short_description: Install the program of a verified release archive
description:
  - Unpacks one program of an archive that is on the host, compares its checksum with that of the verified archive, and only then
    makes it executable and puts it in place by a rename. The archive is removed.
  - A program that was changed after its installation is replaced in the same way, with a warning.
attributes:
  check_mode:
    description: Predicts the change and does nothing; the archive need not be there.
    support: full
options:
  archive:
    description: The archive on the host, a zip file.
    type: path
    required: true
  program:
    description: Where the program shall be; its file name is also that in the archive.
    type: path
    required: true
  checksum:
    description: SHA-256 of the program, in hexadecimal, as the module M(fewnodes.discovery.release_archive) returns it.
    type: str
    required: true
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Install the program
  fewnodes.discovery.release_program:
    archive: /opt/consul/1.22.7/release.zip
    program: /opt/consul/1.22.7/consul
    checksum: "{{ fetched.program }}"
"""

RETURN = r"""
found:
  description: Checksum of the program that was there before, empty when there was none.
  type: str
  returned: always
"""

import contextlib
import hashlib
import os
import zipfile

from ansible.module_utils.basic import AnsibleModule


class ProgramError(Exception):
    """The archive does not have the program that was verified."""


def checksum(path: str) -> str:
    """SHA-256 of a file; '' where there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()


def right(path: str, expected: str) -> bool:
    """Whether the program is there as released, and executable."""
    return checksum(path) == expected and os.access(path, os.X_OK)


def install(archive: str, program: str, expected: str) -> None:
    """Unpack, compare, and only then put in place.

    :raises ProgramError: nothing was put in place
    """
    new = f"{program}.new"
    try:
        with open(new, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
            opened.write(_member(archive, os.path.basename(program)))
            opened.flush()
            os.fsync(opened.fileno())
        if (actual := checksum(new)) != expected:
            raise ProgramError(f"{archive} holds another {os.path.basename(program)} ({actual}) than was verified ({expected})")
        os.chmod(new, 0o755)
        os.replace(new, program)
    finally:
        for path in (new, archive):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _member(archive: str, name: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ProgramError(f"{archive}: {error}") from None


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path", "required": True},
            "program": {"type": "path", "required": True},
            "checksum": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    program, expected = module.params["program"], module.params["checksum"]
    found = checksum(program)
    if found and found != expected:
        module.warn(f"{program} is not the released program: its SHA-256 is {found}, the release has {expected}; it is replaced")
    changed = not right(program, expected)
    if changed and not module.check_mode:
        try:
            install(module.params["archive"], program, expected)
        except (OSError, ProgramError) as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=changed, found=found)


if __name__ == "__main__":
    main()
