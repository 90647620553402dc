"""What is installed on a host, read by one command."""

from __future__ import annotations

# One line for each package, user and released program in use: quicker than the package manager's answer for each of them.
# What is called a part of the platform has a name that nobody else uses: a consul-template or a registrator of others is none.
# The site's name servers are those that the files of consul_dns name: resolv.conf has room for one beside two of ours.
# Of each main file and site of nginx and HAProxy also the checksum, and whether it is ours; conffile has that of the package.
REPORT = r"""
awk 'FILENAME == "/etc/passwd" {split($0, user, ":"); print "user " user[1]}
     /^ .*[/](nginx|haproxy)[/][^ ]+ [0-9a-f]+/ {print "conffile " $2}
     /^Package:/ {name = $2} /^Status: .* installed$/ {print "package " name}' /etc/passwd $(ls /var/lib/dpkg/status 2>/dev/null)
for link in /usr/local/bin/*; do
  program=$(readlink "$link") && case $program in
    /opt/*/*/"${link##*/}") [ ! -x "$program" ] || echo "program $(sha256sum "$program")" ;;
  esac
done
for file in /etc/nginx/nginx.conf /etc/nginx/conf.d/*.conf /etc/nginx/sites-enabled/* /etc/haproxy/haproxy.cfg; do
  [ -f "$file" ] || continue
  whose=other
  ! grep -qE 'include discovery/|discovery-balancer' "$file" || whose=ours
  echo "server $(md5sum <"$file" | cut -d' ' -f1) $whose $file"
done
[ ! -e /etc/systemd/system/consul-template.service ] || echo "template balancer"
data=$(sed -n 's/.*"data-root"[^"]*"\([^"]*\)".*/\1/p' /etc/docker/daemon.json 2>/dev/null)
for mark in balancer:/etc/discovery-balancer.json balancer:/etc/consul-template/catalog.json.ctmpl \
  balancer:/usr/local/sbin/discovery-balancer registrator:/usr/local/sbin/registrator-clear registrator:/etc/registrator-clear \
  floating_address:/etc/discovery-floating-address \
  dockerd:/etc/systemd/system/docker.service.d/10-discovery.conf \
  overlay:/etc/docker/consul.env "overlay:${data:-/var/lib/docker}/swarm/docker-state.json"; do
  [ ! -e "${mark#*:}" ] || echo "part ${mark%%:*}"
done
for file in /etc/discovery-balancer-*.json; do
  backend=${file#*-balancer-}
  [ ! -e "$file" ] || echo "balancer_part ${backend%.json}"
done
! grep -qs name=discovery-nginx /etc/systemd/system/nginx.service || echo "balancer_part nginx_container"
[ ! -e /etc/systemd/system/discovery-balancer.timer ] || echo "balancer_part timer"
[ ! -e /etc/discovery-acme ] || echo "balancer_part acme"
{
  sed -n 's/^server=\([0-9A-Fa-f.:]*\)$/\1/p' /etc/discovery-dns.conf
  sed -n 's/^DNS=//p' /etc/systemd/network/*.d/10-discovery.conf
  sed -n 's/^ExecStart=.*resolvectl dns [^ ]* //p' /etc/systemd/system/discovery-resolved-link.service
  [ ! -e /etc/systemd/system/resolvconf.service.d/10-discovery.conf ] \
    || sed -n 's/^nameserver //p' /etc/resolvconf/resolv.conf.d/base
} 2>/dev/null | tr ' ' '\n' | sed -n 's/./resolver &/p'
[ ! -e /etc/discovery-templates ] || echo "template templates"
[ ! -e /usr/lib/python3/dist-packages/apt/__init__.py ] || echo package_tool
"""


def host_facts(report: str) -> dict:
    """What the report lists.

    :returns: packages and users (names), programs (path below /opt to its SHA-256), configurations (path of a main file or site
        of nginx or HAProxy to `ours`, `package`, as its package has it, or `other`), consul_template (who uses that program:
        balancer, templates), parts (what groups have put there: balancer, dockerd, floating_address, overlay, registrator),
        balancer_parts (backends that have options here, by name; nginx_container; timer, of an earlier version; acme),
        resolvers (the site's name servers that the files of consul_dns name, in order), and package_tool: Ansible can ask the
        package manager
    """
    kinds = ("package", "user", "program", "conffile", "server", "template", "part", "balancer_part", "resolver")
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
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
        "configurations": {path: _whose(mark, checksum, found["conffile"]) for checksum, mark, path in _split(found["server"])},
        "consul_template": found["template"],
        "parts": sorted(set(found["part"])),
        "balancer_parts": found["balancer_part"],
        "resolvers": list(dict.fromkeys(found["resolver"])),
        "package_tool": package_tool,
    }


def _split(servers: list[str]) -> list[list[str]]:
    return [fields for server in servers if len(fields := server.split(maxsplit=2)) == 3]


def _whose(mark: str, checksum: str, of_packages: list[str]) -> str:
    return "ours" if mark == "ours" else "package" if checksum in of_packages else "other"
