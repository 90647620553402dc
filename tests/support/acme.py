"""A CA that speaks ACME, on this machine in the lab's network: pebble, with certificates as short-lived as a test wants."""

import json
import os
import ssl
import subprocess
import urllib.request
from pathlib import Path

from lab import pebble

from tests.support.certificates import SERVER, authority, issued, new_key, pem, private
from tests.support.wait import eventually

PORT, MANAGEMENT, NAMES, CHALLENGES = 14000, 15000, 18053, 18055


class Ca:
    """Pebble and its DNS server, gone with the block.

    :param folder: for its files
    :param address: of this machine, where hosts of the site reach it
    :param target: where each name leads
    :param seconds: for which a certificate is good
    :param http: port at which it asks the names
    """

    def __init__(self, folder: Path, address: str, target: str, seconds: int, http: int = 80):
        self.folder, self.address, self.target = folder, address, target
        ca, key = authority(), new_key()
        self.file, own, own_key = folder / "directory-ca.pem", folder / "directory.pem", folder / "directory.key"
        self.file.write_text(pem(ca[1]))
        own.write_text(pem(issued(ca, key, "pebble", [f"IP:{address}"], [SERVER])))
        own_key.write_bytes(private(key))
        profile = {"description": "of a test", "validityPeriod": seconds}
        settings = {
            "listenAddress": f"{address}:{PORT}", "managementListenAddress": f"{address}:{MANAGEMENT}", "certificate": str(own),
            "privateKey": str(own_key), "httpPort": http, "tlsPort": 443, "profiles": {"default": profile},
            "retryAfter": {"authz": 1, "order": 1},
        }  # fmt: skip
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self.running: list[subprocess.Popen] = []

    @property
    def directory(self) -> str:
        return f"https://{self.address}:{PORT}/dir"

    @property
    def root(self) -> str:
        """The certificate that its chains end in, PEM; another one after each start."""
        return self._ask(f"https://{self.address}:{MANAGEMENT}/roots/0")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        programs = pebble.programs()
        names = [programs / "pebble-challtestsrv", "-defaultIPv4", self.target, "-defaultIPv6", ""]
        names += ["-dnsserver", f"127.0.0.1:{NAMES}"]
        names += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", f"127.0.0.1:{CHALLENGES}"]
        ca = [programs / "pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"127.0.0.1:{NAMES}"]
        # dehydrated does not try again by itself, and a minute's certificate has no time for pauses.
        environment = os.environ | {"PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_VA_NOSLEEP": "1"}
        with open(self.folder / "ca.log", "ab") as log:
            for command in (names, ca):
                self.running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        eventually(lambda: "BEGIN CERTIFICATE" in self.root, 30)

    def stop(self) -> None:
        """End it."""
        while self.running:
            one = self.running.pop()
            one.terminate()
            one.wait(10)

    def __enter__(self) -> "Ca":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _ask(self, url: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=5, context=ssl.create_default_context(cafile=str(self.file))) as answer:
                return answer.read().decode()
        except OSError:
            return ""
