"""What is installed on a host, read by one command."""

from __future__ import annotations

# One line for each package, user and released program in use: quicker than the package manager's answer for each of them.
REPORT = r"""
awk 'FILENAME == "/etc/passwd" {split($0, user, ":"); print "user " user[1]}
     /^Package:/ {name = $2} /^Status: .* installed$/ {print "package " name}' /etc/passwd $(ls /var/lib/dpkg/status 2>/dev/null)
for link in /usr/local/bin/*; do
  program=$(readlink "$link") && case $program in
    /opt/*/*/"${link##*/}") [ ! -x "$program" ] || echo "program $(sha256sum "$program")" ;;
  esac
done
[ ! -e /usr/lib/python3/dist-packages/apt/__init__.py ] || echo package_tool
"""


def host_facts(report: str) -> dict:
    """What the report lists.

    :returns: packages and users (names), programs (path below /opt to its SHA-256), and package_tool: Ansible can ask the package
        manager
    """
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
        "programs": {path: checksum for checksum, path in (program.split(maxsplit=1) for program in found["program"])},
        "package_tool": package_tool,
    }
