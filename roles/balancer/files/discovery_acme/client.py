"""What is done with openssl and dehydrated: look at a certificate, make one that stands in, order one."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess

from .due import explained, parsed

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
PATIENCE = 300  # seconds for one order
STAND_IN = "discovery-balancer waits for a CA"  # name in a certificate that stands in


def look(one):
    """(certificate, whether its key fits) of an entry; (None, False) without one."""
    dates = _openssl("x509", "-noout", "-startdate", "-enddate", "-ext", "subjectAltName", "-in", one["certificate"])
    keys = _openssl("x509", "-noout", "-pubkey", "-in", one["certificate"]), _openssl("pkey", "-pubout", "-in", one["key"])
    return parsed(dates), bool(keys[0]) and keys[0] == keys[1]


def stand_in(one, folder):
    """Make a certificate that no client accepts: without a file the load balancer would refuse its whole configuration.

    :param folder: where its files are made
    """
    made = [pathlib.Path(folder, f"stand-in.{end}") for end in ("key", "pem")]
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    if not _openssl(*command, "-subj", f"/CN={STAND_IN}", "-keyout", made[0], "-out", made[1], "-batch", output=made[1]):
        raise OSError(f"openssl makes no certificate in {folder}")
    put(made, one)
    for file in made:
        file.unlink()


def put(files, one):
    """Put key and certificate into their places, the key first: while they do not fit, the last good configuration serves.

    Both are on the disk before either is in its place, so that a power cut finds little time between the two.

    :param files: key, certificate
    """
    targets = one["key"], one["certificate"]
    for source, target, mode in zip(files, targets, (0o400, 0o444)):  # noqa: B905  Python 3.9
        beside = f"{target}.next"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
            file.write(pathlib.Path(source).read_bytes())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
    for target in targets:
        os.replace(f"{target}.next", target)


class Client:
    """dehydrated with its configuration.

    :param config: its configuration file
    :param key: file with the account's key
    :param state: directory of what it keeps
    :param directory: URL of the CA, of which the account is
    """

    def __init__(self, config, key, state, directory, program="dehydrated"):
        self.config, self.state, self.program = config, pathlib.Path(state), program
        content = pathlib.Path(key).read_bytes()
        name = hashlib.sha256(directory.encode() + b"\0" + content).hexdigest()[:16]
        self.accounts = self.state / "account"  # that of dehydrated itself is `accounts`, and stays empty
        self.account = self.accounts / name
        self.content, self.new = content, self.state / "new"

    def order(self, one):
        """Order a certificate and put it into its place; "" or the reason why there is none."""
        problem = self._registered()
        if problem:
            return problem
        shutil.rmtree(self.new, ignore_errors=True)  # of a run that was killed
        for folder in (self.new, self.state / "challenges"):
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            return self._ordered(one)
        finally:  # it holds a key, also of an order that failed
            shutil.rmtree(self.new)

    def _ordered(self, one):
        arguments = ["--cron", "--keep-going", "--domain", " ".join(one["names"]), "--alias", "ordered", "--out", self.new]
        done, text = self._run(*arguments)
        if "badNonce" in text and done:  # dehydrated gives up where RFC 8555 (6.5) says to try again
            done, text = self._run(*arguments)
        files = [self.new / "ordered" / name for name in ("privkey.pem", "fullchain.pem")]
        if done or not all(file.exists() for file in files):
            if "accountDoesNotExist" in text or "account does not exist" in text:  # a CA that has forgotten it
                shutil.rmtree(self.account, ignore_errors=True)
            return explained(text)
        put(files, one)
        return ""

    def _registered(self):
        """Have the CA know the account; "" or the reason why it does not."""
        self.accounts.mkdir(mode=0o700, exist_ok=True)
        for other in set(self.accounts.iterdir()) - {self.account}:
            shutil.rmtree(other)
        if (self.account / "key.pem_id.json").exists():
            return ""
        self.account.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(self.account / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(self.content)
        done, text = self._run("--register", "--accept-terms")
        return explained(text) if done else ""

    def _run(self, *arguments):
        """Return code and output."""
        command = [self.program, *arguments, "--config", self.config, "--privkey", self.account / "key.pem"]
        command.append("--no-lock")  # that of a run that was killed would stay; systemd starts it once at a time
        try:
            done = subprocess.run(
                list(map(str, command)), env={**ENVIRONMENT, **_proxies()}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 1, f"ERROR: the CA gave no certificate within {PATIENCE} s"
        print(done.stdout, end="", flush=True)
        return done.returncode, done.stdout


def _proxies():
    """Of the unit's environment, as a drop-in of the site may set them."""
    return {name: value for name, value in os.environ.items() if name in ("http_proxy", "https_proxy", "no_proxy")}


def _openssl(*arguments, output=None):
    """What openssl prints, or that a file is there; "" where it fails."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, encoding="utf-8", errors="replace", timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        return ""
    return done.stdout if output is None else "made"
