"""What is installed on a host, read by one command."""

from __future__ import annotations

# One line for each package, user and released program: quicker than the package manager's answer for each of them.
REPORT = r"""
awk 'FILENAME == "/etc/passwd" {split($0, user, ":"); print "user " user[1]}
     /^Package:/ {name = $2} /^Status: .* installed$/ {print "package " name}' /etc/passwd $(ls /var/lib/dpkg/status 2>/dev/null)
[ ! -d /opt ] || find /opt -mindepth 3 -maxdepth 3 -type f -perm -u+x -printf 'program %p\n'
[ ! -e /usr/lib/python3/dist-packages/apt/__init__.py ] || echo package_tool
"""


def host_facts(report: str) -> dict:
    """Packages, users and programs (paths below /opt) by their names; package_tool: Ansible can ask the package manager."""
    found: dict[str, list[str]] = {"package": [], "user": [], "program": []}
    package_tool = False
    for line in report.splitlines():
        kind, _unused, name = line.partition(" ")
        if kind in found and name:
            found[kind].append(name)
        package_tool = package_tool or kind == "package_tool"
    return {
        "packages": found["package"],
        "users": found["user"],
        "programs": found["program"],
        "package_tool": package_tool,
    }
