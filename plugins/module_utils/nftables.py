"""The collection's own table of nftables on a host: what is in force, what was confirmed, and rules on trial."""

from __future__ import annotations

import os

from .files import read, remove, write

NFT = "/usr/sbin/nft"
TABLE = ("inet", "discovery")
CONFIRMED = "/etc/discovery-firewall.nft"
TRIAL = "/run/discovery-firewall/trial.nft"
UNIT = "discovery-firewall.service"
TIMER = "discovery-firewall-rollback"
# Back to the confirmed rules, or to none: what was before the trial. It needs nothing of ours that could be missing.
ROLLBACK = (
    f"if [ -e {CONFIRMED} ]; then {NFT} --file {CONFIRMED}; else {NFT} delete table {' '.join(TABLE)}; fi; rm --force {TRIAL}"
)


class Refused(Exception):
    """nft or systemd does not do what it should; the argument says what they said."""


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

    def on_trial(self) -> bool:
        return os.path.exists(TRIAL)

    def at_boot(self) -> bool:
        """Whether the unit that loads the rules is enabled, and active."""
        asked = ("is-enabled", "is-active")
        return all(self.module.run_command(["systemctl", "--quiet", verb, UNIT])[0] == 0 for verb in asked)

    def try_out(self, rules: str, seconds: int) -> None:
        """Load rules; they are taken back after so many seconds unless they are confirmed."""
        self.stop_timer()  # of a trial that was left alone; its rules are replaced now
        write(TRIAL, rules.encode())
        timer = ["systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"]
        self.run(*timer, "--timer-property=AccuracySec=100ms", "--", "/bin/sh", "-c", ROLLBACK)
        try:
            self.run(NFT, "--file", TRIAL)
        except Refused:
            self.stop_timer()
            remove(TRIAL)
            raise

    def confirm(self) -> None:
        """Keep the rules on trial.

        :raises Refused: they have been taken back already
        """
        rules = read(TRIAL)
        if rules is None:
            raise Refused("there are no rules on trial: the host has taken them back, and is as it was before")
        self.stop_timer()
        write(CONFIRMED, rules.encode())
        self.run(NFT, "--file", CONFIRMED)  # the timer may have come first
        remove(TRIAL)

    def take_off(self) -> None:
        self.stop_timer()
        remove(TRIAL)
        remove(CONFIRMED)
        if self.in_force():
            self.run(NFT, "delete", "table", *TABLE)

    def stop_timer(self) -> None:
        """Both may be gone already, or never have been there."""
        self.module.run_command(["systemctl", "stop", f"{TIMER}.timer", f"{TIMER}.service"])
