"""T1: when a certificate is ordered, how dehydrated is called, and what stays when there is none."""

import json
import shutil
import stat
import time
from pathlib import Path

import pytest
from tests.support.certificates import SERVER, authority, issued, new_key, pem, private

from discovery_acme import client, due
from discovery_acme.__main__ import main

DAY = 86400
NAMES = ["portal.hospital.example", "www.hospital.example"]
# A stand-in that does what dehydrated does: it writes where it is told, or fails as the test asks.
DEHYDRATED = """#!/bin/sh
echo "$@" >> {folder}/calls
locked() {{ [ ! -e {folder}/state/lock ] || {{ echo "ERROR: Lock file present, aborting."; exit 1; }}; }}
case " $* " in *" --no-lock "*) ;; *) locked;; esac
case " $* " in *" --register "*) echo '{{}}' > "$6"_id.json; exit 0;; esac
[ ! -e {folder}/nonce ] || {{ rm {folder}/nonce; echo '"type": "urn:ietf:params:acme:error:badNonce"'; exit 1; }}
[ ! -e {folder}/away ] || {{ cat {folder}/away; exit 1; }}
while [ "$1" != --out ]; do shift; done
mkdir -p "$2/ordered" && cp {folder}/ready/* "$2/ordered/"
"""


def made(folder: Path, *names: str) -> Path:
    """What the CA would give: key and chain of a certificate with these names."""
    ca, key = authority(), new_key()
    (folder / "ready").mkdir(exist_ok=True)
    (folder / "ready/privkey.pem").write_bytes(private(key))
    chain = pem(issued(ca, key, names[0], [f"DNS:{name}" for name in names], [SERVER])) + pem(ca[1])
    (folder / "ready/fullchain.pem").write_text(chain)
    return folder / "ready/fullchain.pem"


class Host:
    """The files of a load balancer, and its program."""

    def __init__(self, folder: Path):
        self.folder, self.now = folder, time.time()
        for name in ("etc", "state", "served"):
            (folder / name).mkdir()
        self.one = {"names": NAMES, "certificate": f"{folder}/served/portal.pem", "key": f"{folder}/served/portal.key"}
        options = {"directory": "https://ca.example/dir", "certificates": [self.one]}
        (folder / "etc/options.json").write_text(json.dumps(options))
        (folder / "etc/account.key").write_text("the account's key\n")
        (folder / "dehydrated").write_text(DEHYDRATED.format(folder=folder))
        (folder / "dehydrated").chmod(0o755)
        made(folder, *NAMES)

    def run(self, command: str) -> int:
        given = ["--etc", f"{self.folder}/etc", "--state", f"{self.folder}/state", "--dehydrated", f"{self.folder}/dehydrated"]
        return main([*given, command], lambda: self.now)

    @property
    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def served(self) -> str:
        return Path(self.one["certificate"]).read_text()

    @property
    def failed(self) -> dict:
        return json.loads((self.folder / "state/status.json").read_text())["failed"]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("left", "whole", "expected"),
    [(31, 90, ""), (29, 90, "it ends soon"), (3, 6, ""), (1.9, 6, "it ends soon"), (-1, 90, "it has ended")],
)
def test_t1_a_certificate_is_due_when_a_third_of_its_time_is_left(left, whole, expected):
    found = due.Certificate(begin=0, end=whole * DAY, names=frozenset(NAMES))
    assert due.reason(NAMES[::-1], found, True, (whole - left) * DAY) == expected


def test_t1_one_that_is_missing_has_other_names_or_another_key_is_due():
    found = due.Certificate(begin=0, end=90 * DAY, names=frozenset(NAMES))
    assert due.reason(NAMES, None, False, 0) == "there is none of the CA yet"
    assert due.reason(NAMES[:1], found, True, 0) == "its names are others"
    assert due.reason(NAMES, found, False, 0) == "its key is another"


def test_t1_what_openssl_prints_is_read(tmp_path):
    text = "notBefore=Nov 30 22:00:00 2026 GMT\nnotAfter=Feb 28 22:00:00 2027 GMT\nX509v3 …:\n    DNS:a.example, DNS:b.example\n"
    found = due.parsed(text)
    assert (found.end - found.begin, found.names) == (90 * DAY, {"a.example", "b.example"})
    assert due.parsed("") is due.parsed("notBefore=x\nnotAfter=y\n") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+ Requesting\nERROR: Problem connecting to server (curl returned with 7)\nEXPECTED value GOT EOF\n", "ERROR: Problem"),
        ('ERROR: x\n  "detail": "\\"portal\\" has no A record",\n', 'the CA: "portal" has no A record'),
        ("one\nlast\x1b[2J\n\n", "last [2J"), ("", "dehydrated printed nothing"), ("ERROR " + "x" * 999, "ERROR xxx"),
    ],
)  # fmt: skip
def test_t1_the_reason_of_a_failure_is_one_line(text, expected):
    found = due.explained(text)
    assert found.startswith(expected) and len(found) <= 300 and found.isprintable()


def test_t1_a_failure_has_the_time_of_the_first_in_a_row():
    before = {"/a.pem": {"reason": "x", "since": 5}, "/b.pem": {"reason": "x", "since": 6}, "/c.pem": None}
    found = due.failures(before, {"/a.pem": "y", "/c.pem": "z"}, 9.5)
    assert found == {"/a.pem": {"reason": "y", "since": 5}, "/c.pem": {"reason": "z", "since": 9}}


def test_t1_a_certificate_stands_in_until_the_first_order(host, capsys):
    assert (host.run("prepare"), capsys.readouterr().out) == (0, f"{host.one['certificate']}\n")
    assert (host.run("prepare"), capsys.readouterr().out) == (0, "")
    found, fits = client.look(host.one)
    assert found.names == frozenset() and fits
    assert host.run("due") == 0 and "there is none of the CA yet" in capsys.readouterr().out
    assert stat.S_IMODE(Path(host.one["key"]).stat().st_mode) == 0o400
    assert not list((host.folder / "state").iterdir()), "its key lies around"


def test_t1_what_is_due_is_ordered_once_with_an_account_that_the_ca_knows(host, capsys):
    host.run("prepare")
    assert host.run("order") == 0 and host.failed == {}
    register, order = host.calls
    assert register.startswith("--register --accept-terms ") and f"--domain {' '.join(NAMES)} --alias ordered" in order
    assert host.served == (host.folder / "ready/fullchain.pem").read_text() and client.look(host.one)[1]
    assert host.run("order") == 0 and len(host.calls) == 2, "a certificate that is not due was ordered"
    (account,) = (host.folder / "state/account").iterdir()
    assert stat.S_IMODE((account / "key.pem").stat().st_mode) == 0o600
    assert "the account's key" not in capsys.readouterr().out + "".join(host.calls)
    assert not (host.folder / "state/new").exists(), "the key lies in two places"


def test_t1_a_ca_that_is_away_leaves_the_certificate_and_says_so(host, capsys):
    host.run("prepare"), host.run("order")
    old, first = host.served, host.now + 800 * DAY
    host.now = first
    (host.folder / "away").write_text("ERROR: Problem connecting to server\n")
    for host.now in (first, first + 3600):
        assert host.run("order") == 1 and not (host.folder / "state/new").exists()
        reason = {"reason": "ERROR: Problem connecting to server", "since": int(first)}
        assert host.served == old and host.failed == {host.one["certificate"]: reason}
    assert "the one that is there stays" in capsys.readouterr().err
    (host.folder / "away").unlink()
    made(host.folder, *NAMES)
    assert host.run("order") == 0 and host.failed == {} and host.served != old


def test_t1_one_failure_hurts_no_other_certificate(host):
    other = {**host.one, "certificate": f"{host.folder}/nowhere/other.pem", "key": f"{host.folder}/nowhere/other.key"}
    options = {"directory": "https://ca.example/dir", "certificates": [other, host.one]}
    (host.folder / "etc/options.json").write_text(json.dumps(options))
    assert host.run("order") == 1 and list(host.failed) == [other["certificate"]]
    assert client.look(host.one)[1]


def test_t1_an_order_that_was_killed_does_not_stop_the_next_one(host):
    """Its files stay, among them dehydrated's lock, which an empty LOCKFILE does not turn off."""
    (host.folder / "state/lock").touch()
    (host.folder / "state/new/ordered").mkdir(parents=True)
    (host.folder / "state/new/ordered/privkey.pem").write_text("half of a key")
    assert host.run("prepare") == host.run("order") == 0
    assert host.served == (host.folder / "ready/fullchain.pem").read_text() and not (host.folder / "state/new").exists()


def test_t1_a_bad_nonce_is_tried_again(host):
    """RFC 8555, 6.5; dehydrated 0.7.0 gives up."""
    (host.folder / "nonce").touch()
    assert host.run("order") == 0 and len(host.calls) == 3


def test_t1_another_directory_or_a_forgotten_account_is_registered_anew(host):
    host.run("order")
    (host.folder / "away").write_text('"type": "urn:ietf:params:acme:error:accountDoesNotExist"\n')
    host.now += 800 * DAY
    assert host.run("order") == 1
    (host.folder / "away").unlink()
    assert host.run("order") == 0 and len([call for call in host.calls if "--register" in call]) == 2
    options = {"directory": "https://other.example/dir", "certificates": [host.one]}
    (host.folder / "etc/options.json").write_text(json.dumps(options))
    shutil.rmtree(host.folder / "served")
    (host.folder / "served").mkdir()
    assert host.run("order") == 0 and len([call for call in host.calls if "--register" in call]) == 3
    assert len(list((host.folder / "state/account").iterdir())) == 1, "the account of the CA before is still there"
