"""The collection's own table of nftables on a host: rules in force, confirmed rules, and rules that wait for confirmation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from . import sockets
from .files import read, remove, write

NFT = "/usr/sbin/nft"
TABLE = ("inet", "discovery")
CONFIRMED = "/etc/discovery-firewall.nft"
CLOSED = "/etc/discovery-firewall-closed.nft"
UNCONFIRMED = "/run/discovery-firewall/trial.nft"
UNIT = "discovery-firewall.service"
TIMER = "discovery-firewall-rollback"
# Automatic rollback to the confirmed rules, or to none; confirmed ones that do not load leave SSH alone open. It needs nothing of
# ours that could be missing.
ROLLBACK = (
    f"if [ -e {CONFIRMED} ]; then {NFT} --file {CONFIRMED} || {NFT} --file {CLOSED};"
    f" else {NFT} delete table {' '.join(TABLE)}; fi;"
    f" rm --force {UNCONFIRMED}"
)


# Earlier versions had a table of its own for the overlay network's ports.
OVERLAY_FILES = (
    "/etc/discovery-overlay.nft",
    "/etc/systemd/system/discovery-overlay.service",
    "/etc/systemd/system/nftables.service.d/10-discovery-overlay.conf",
)


STRICT = """
table {table} {{
    chain strict_input {{
        type filter hook input priority filter - 6; policy accept;
        iif "lo" accept
{judged}    }}
    chain strict_forward {{
        type filter hook forward priority filter - 6; policy accept;
        ct state established ct status & dnat != 0 ct direction original goto forwarded
    }}
}}
"""


def strict_chains(listening: Iterable[Mapping]) -> str:
    """Chains beside the rules with which nothing passes for being established: packets to ports of this host that listen, those
    of protocols without ports, and those to published ports are judged by the rules' chains `arriving` and `forwarded`.

    A controller that comes through a tunnel that ends here would otherwise confirm rules that close the tunnel as soon as
    conntrack forgets it. Conntrack does not know who opened a connection that it did not see from the start, so a port that
    listens counts as asked. Connections that this host opened have other ports of it, and pass.

    :param listening: dicts with protocol (tcp or udp) and port
    """
    ports = {protocol: sorted({one["port"] for one in listening if one["protocol"] == protocol}) for protocol in ("tcp", "udp")}
    judged = [f"{protocol} dport {{ {', '.join(map(str, found))} }}" for protocol, found in ports.items() if found]
    judged.append("meta l4proto != { tcp, udp, icmp, ipv6-icmp }")
    lines = "".join(f"\t\tct state established {part} goto arriving\n" for part in judged)
    return STRICT.format(table=" ".join(TABLE), judged=lines)


class Refused(Exception):
    """nft or systemd failed; the argument holds their message."""


class Firewall:
    """The table on this host."""

    def __init__(self, module):
        self.module = module

    def run(self, *command: str, data: str | None = None) -> str:
        code, out, err = self.module.run_command(list(command), data=data, binary_data=True)
        if code != 0:
            raise Refused(f"'{' '.join(command)}' ended with {code}: {' '.join((err or out).split())[:500]}")
        return out

    @property
    def confirmed(self) -> str:
        """The rules that are loaded at boot; '' for none."""
        return read(CONFIRMED) or ""

    def in_force(self, counters: bool = False) -> str:
        """The table as nft lists it, '' when there is none."""
        if not os.path.exists(NFT):
            return ""
        code, out, _unused = self.module.run_command([NFT, *([] if counters else ["--stateless"]), "list", "table", *TABLE])
        return out if code == 0 else ""

    def listing(self, rules: str) -> str:
        """Rules as nft lists them once they are loaded, which is done in a network of their own.

        :raises Refused: nft does not take them
        """
        script = f"{NFT} --file - && {NFT} --stateless list table {' '.join(TABLE)}"
        return self.run("unshare", "--net", "sh", "-c", script, data=rules)

    def unconfirmed(self) -> bool:
        """Whether rules wait for confirmation."""
        return os.path.exists(UNCONFIRMED)

    def overlay_table(self) -> bool:
        """Whether the host still has the separate table of the overlay network."""
        return any(map(os.path.exists, OVERLAY_FILES))

    def at_boot(self) -> bool:
        """Whether the unit that loads the rules is enabled, and active."""
        states = ("is-enabled", "is-active")
        return all(self.module.run_command(["systemctl", "--quiet", state, UNIT])[0] == 0 for state in states)

    def listening(self) -> list[dict]:
        """The host's ports that listen (`sockets.listeners`)."""
        return sockets.listeners(self.run(*sockets.COMMAND))

    def commit(self, rules: str, seconds: int, beside: str = "") -> None:
        """Load rules; the host rolls them back after so many seconds unless they are confirmed.

        :param beside: further rules until then
        """
        self.stop_timer()  # of an interrupted run; its rules are replaced now
        write(UNCONFIRMED, rules.encode())
        timer = ["systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"]
        self.run(*timer, "--timer-property=AccuracySec=100ms", "--", "/bin/sh", "-c", ROLLBACK)
        try:
            self.run(NFT, "--file", "-", data=rules + beside)
        except Refused:
            self.stop_timer()
            remove(UNCONFIRMED)
            raise

    def confirm(self) -> None:
        """Keep the rules, now and at every boot.

        :raises Refused: they have been rolled back already
        """
        rules = read(UNCONFIRMED)
        if rules is None:
            raise Refused("no rules wait for confirmation: the host has rolled them back, and is as it was before")
        self.stop_timer()
        write(CONFIRMED, rules.encode())
        self.run(NFT, "--file", CONFIRMED)  # the timer may have come first
        remove(UNCONFIRMED)

    def remove(self) -> None:
        """Remove the table, and what loads it."""
        self.stop_timer()
        remove(UNCONFIRMED)
        remove(CONFIRMED)
        if self.in_force():
            self.run(NFT, "delete", "table", *TABLE)

    def stop_timer(self) -> None:
        """Stop the rollback. Timer and service may be gone already, or never have been there."""
        self.module.run_command(["systemctl", "stop", f"{TIMER}.timer", f"{TIMER}.service"])
