"""What a task that changes packages has returned: a lock that another program holds, or why it failed."""

from __future__ import annotations

import re
from collections.abc import Mapping

# apt-get and apt's library, of Debian 11 and later; dpkg itself.
LOCK = re.compile(
    r"Could not get lock [^\n]+|dpkg (?:frontend|database) lock was locked [^\n]+|Unable to (?:acquire|lock) [^\n]+"
)


def package_lock(result: Mapping) -> str:
    """The lock that has kept a task from its work, in the words of the program, which name the holder's process; '' for none.

    :param result: what the task returned: of the modules apt and dpkg_selections, or of a command
    """
    if not result.get("failed") and not result.get("rc"):
        return ""
    found = LOCK.search("\n".join(str(result.get(key, "")) for key in ("stderr", "msg")))
    return found[0].strip() if found else ""


def package_failure(result: Mapping, seconds: int | str) -> str:
    """Why a task has failed, for people.

    :param seconds: how long it has waited for a lock
    """
    if lock := package_lock(result):
        return (
            f"{lock}, for {seconds} s. Wait until that program has ended and run again, or set common_packages_lock_timeout"
            " to more seconds."
        )
    return str(result.get("stderr") or result.get("msg", "")).strip()
