"""The collection's own table of nftables on a host: rules in force, confirmed rules, and rules that wait for confirmation."""

from __future__ import annotations

import os

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

    def commit(self, rules: str, seconds: int) -> None:
        """Load rules; the host rolls them back after so many seconds unless they are confirmed."""
        self.stop_timer()  # of an interrupted run; its rules are replaced now
        write(UNCONFIRMED, rules.encode())
        timer = ["systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"]
        self.run(*timer, "--timer-property=AccuracySec=100ms", "--", "/bin/sh", "-c", ROLLBACK)
        try:
            self.run(NFT, "--file", UNCONFIRMED)
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
