"""Problems of one host that lacks what the parts of the platform need: clock, disks, resolver, firewall, configuration files,
certificates that clients see, and what dockerd needs. Each names what repairs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..module_utils.dockerd_config import DAEMON_JSON
from ..module_utils.sockets import protocol_name
from .balancer_certificates import DIRECTORY as SIGNED
from .balancer_certificates import ORDERED

# Free MB below which a part cannot work, and what it cannot do then.
LEAST_MB = {"consul": 512, "docker": 512, "nginx": 64, "log": 32}
LEAST_INODES = 1000  # an image of a container has tens of thousands of files
FULL = {
    "consul": "a server whose disk is full keeps no change, an agent no registration",
    "docker": "dockerd starts no container and pulls no image, and containers cannot write",
    "nginx": "requests with a larger body are answered with 500",
    "log": "nothing is logged",
}
# A certificate of clients that ends sooner is a problem; clients of ACME renew one in the day after 30 days are left.
CLIENT_DAYS = 21
SHARE = 4  # of one that is good for less than SHARE * CLIENT_DAYS: when less than this part of its time is left
RECENT = 70  # seconds of the agent's log, see site_facts
DAY = 86400


def needs_problems(name: str, parts: Mapping, site: Mapping) -> Iterator[str]:
    """Everything that the host lacks, one sentence each.

    :param name: the host's
    :param parts: of its answer, only those that could be read
    :param site: now (seconds since 1970)
    """
    for part, problems in PROBLEMS.items():
        if parts.get(part):
            for problem in problems(parts[part]):
                yield f"{name}: {problem}"
    for path, one in parts.get("client_certificates", {}).items():
        if problem := certificate_problem(path, one, site["now"]):
            yield f"{name}: {problem}"


def clock_problems(name: str, clock: Mapping, asked: float, answered: float, most: float) -> list[str]:
    """The problem of a clock that certainly differs from the controller's by more than it may.

    :param clock: begin and end, the host's clock when it began and ended its answer
    :param asked: the controller's clock before, in seconds since 1970
    :param answered: the same after
    :param most: seconds that two clocks may differ
    """
    ahead = (clock["begin"] - asked + clock["end"] - answered) / 2
    unsure = max(0.0, (answered - asked) - (clock["end"] - clock["begin"])) / 2
    if abs(ahead) - unsure <= most:
        return []
    return [
        f"{name}: its clock is {abs(ahead):.1f} s (±{unsure:.1f}) {'ahead of' if ahead > 0 else 'behind'} the controller's, but"
        f" discovery_max_clock_skew is {most:g} s: set up time synchronisation (systemd-timesyncd or chrony)"
    ]


def certificate_problem(path: str, dates: Mapping | None, now: float) -> str:
    """The problem of a certificate that a load balancer shows to clients, or ''.

    :param dates: begin and end, in seconds since 1970, and problem, why its last order failed; None where the
        file has no certificate
    """
    if dates is None:
        return f"{path} of balancer_certificates is missing or holds no certificate"
    left, whole = dates["end"] - now, dates["end"] - dates["begin"]
    renew = "renew it and put it into its place, the load balancer loads it within half a minute"
    if path.startswith(f"{SIGNED}/"):
        renew = "run site.yml, which renews it"
    failed = dates.get("problem", "")
    if path.startswith(f"{ORDERED}/"):
        why = f"the last order failed ({failed})" if failed else "no order has ended of late ('systemctl list-timers' there)"
        renew = f"{why}, the next one is within an hour; 'journalctl -u discovery-acme' there has more"
    if left <= 0:
        return f"the certificate {path}, which clients see, has ended {-left // DAY:.0f} d ago: {renew}"
    if left < min(CLIENT_DAYS * DAY, whole / SHARE) or failed:
        return f"the certificate {path}, which clients see, ends in {left // DAY:.0f} d: {renew}"
    return ""


def _disks(disks: Mapping) -> Iterator[str]:
    for use, one in disks.items():
        if one["free_mb"] < LEAST_MB[use]:
            yield f"{one['free_mb']} MB are free under {one['path']}: {FULL[use]}. Free at least {LEAST_MB[use]} MB"
        if one["free_inodes"] is not None and one["free_inodes"] < LEAST_INODES:
            yield (
                f"{one['free_inodes']} inodes are free under {one['path']} ('df -i'), so it is full whatever 'df' shows:"
                f" {FULL[use]}. Remove files, or images and containers that nobody needs ('docker system prune')"
            )


def _consul(consul: Mapping) -> Iterator[str]:
    if lost := consul.get("udp_lost", {}):
        yield (
            f"its agent reaches {', '.join(list(lost)[:5])} by TCP 8301, but not by UDP 8301, {sum(lost.values())} times in"
            f" {RECENT} s: a firewall or switch between them drops UDP. Allow it in both directions"
        )


def _configuration(configuration: Mapping) -> Iterator[str]:
    if configuration["problem"]:
        yield (
            f"its agent would not start with /etc/consul.d: {configuration['problem']}. Repair or remove that file before the"
            " next restart or reboot; 'consul validate /etc/consul.d' there checks it"
        )


def _resolver(resolver: Mapping) -> Iterator[str]:
    for problem in resolver["problems"]:
        yield (
            f"/etc/resolv.conf is no longer as playbooks/dns.yml left it: {problem}. Find what has written it (a DHCP client, a"
            " VPN, NetworkManager), and run playbooks/dns.yml"
        )


def _firewall(firewall: Mapping) -> Iterator[str]:
    if not firewall["loaded"]:
        yield (
            "the firewall's rules are not in force, every port is open: something has removed the table (nft flush ruleset)."
            " Run 'systemctl reload-or-restart discovery-firewall' there"
        )
    for one in firewall["unheard"]:
        name = protocol_name(one["protocol"])
        yield (
            f"{one['program'] or 'a program'} waits for the IP protocol {name}, which no rule of the firewall allows: set"
            f" firewall_allow_rules, such as {{{'ip_' * name.isdecimal()}{name}: {{protocols: [{name}], from: [site]}}}}"
        )


def _dockerd(dockerd: Mapping) -> Iterator[str]:
    if dockerd["forwards"] is False:
        yield (
            "net.ipv4.ip_forward is 0: no other host reaches a published port of its containers. Run playbooks/docker.yml, and"
            " take the 0 out of the file in /etc/sysctl.d that has it"
        )
    if dockerd["lost"]:
        yield (
            f"{DAEMON_JSON} was written by somebody else, settings of the site are gone: {', '.join(dockerd['lost'])}."
            " Run playbooks/docker.yml before dockerd restarts"
        )
    elif dockerd["waiting"]:
        yield (
            f"{DAEMON_JSON} has changed since dockerd started ({', '.join(dockerd['waiting'])}): its next restart"
            " applies it. Run playbooks/docker.yml, which restarts one host at a time"
        )


PROBLEMS = {
    "disks": _disks,
    "consul": _consul,
    "configuration": _configuration,
    "resolver": _resolver,
    "firewall": _firewall,
    "dockerd": _dockerd,
}
