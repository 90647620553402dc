"""A detached OpenPGP signature, trusted only from one key that is pinned by its full fingerprint.

gpg does the arithmetic, in a home of its own that holds the keys of one file and goes away afterwards. Its result
is read from its status lines (doc/DETAILS of GnuPG), never from its text or its exit code.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile

# Reasons of gpg to refuse a signature although the key is the right one.
REFUSED = {
    "BADSIG": "the signature does not belong to the file; one of the two was changed",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key that signed has expired",
    "REVKEYSIG": "the key that signed is revoked",
}
FINGERPRINT = re.compile(r"[0-9A-F]{40}([0-9A-F]{24})?")


class SignatureError(Exception):
    """A signature that cannot be trusted; the message has the reason."""


class SetupError(Exception):
    """No signature can be verified here; the message has what to set."""


def fingerprint_of(text: str) -> str:
    """A fingerprint as gpg writes it: 40 (or 64) hexadecimal digits, upper case, without spaces.

    :raises SetupError: it is not a full fingerprint
    """
    found = re.sub(r"\s|^0x", "", text).upper()
    if not FINGERPRINT.fullmatch(found):
        raise SetupError(
            f"discovery_release_fingerprint: {text!r} is not a full fingerprint, which has 40 hexadecimal digits; "
            "'gpg --show-keys FILE' shows it"
        )
    return found


def status_lines(output: str) -> list[list[str]]:
    """The words of each status line of gpg (`--status-fd`), without the prefix."""
    return [line.split()[1:] for line in output.splitlines() if line.startswith("[GNUPG:] ")]


def imported_keys(output: str) -> list[str]:
    """The fingerprints of the primary keys that gpg imported."""
    return [words[2] for words in status_lines(output) if words[0] == "IMPORT_OK" and len(words) > 2]


def verdict(output: str, fingerprint: str) -> str:
    """The reason to refuse a signature.

    :param output: status lines of `gpg --verify`
    :param fingerprint: full fingerprint of the primary key that must have signed
    :returns: '' when a valid signature by that key is there and nothing speaks against it, else the reason
    """
    lines = status_lines(output)
    for words in lines:
        if words[0] in REFUSED:
            return f"{REFUSED[words[0]]} (key {words[1]})"
    # VALIDSIG: fingerprint of the key that signed, …, and last that of its primary key.
    signers = [words[-1] for words in lines if words[0] == "VALIDSIG"]
    if fingerprint in signers:
        return ""
    # ERRSIG, where the key is unknown: key id, algorithms, class, time, code, and from gpg 2.2 on the fingerprint.
    unknown = [words[7] if len(words) > 7 and words[7] != "-" else words[1] for words in lines if words[0] == "ERRSIG"]
    if signers or unknown:
        return f"it was signed by another key, {', '.join(signers + unknown)}"
    return "the signature is empty, truncated or no signature at all"


def verify(content: bytes, signature: bytes, key_file: str, fingerprint: str) -> None:
    """Verify a detached signature.

    :param content: what was signed
    :param signature: the detached signature, binary or armoured
    :param key_file: public keys, binary or armoured
    :param fingerprint: full fingerprint of the primary key, upper case
    :raises SignatureError: it cannot be trusted
    :raises SetupError: there is no gpg, or the key file does not hold the key
    """
    try:
        with open(key_file, "rb") as opened:
            keys = opened.read()
    except OSError as error:
        raise SetupError(f"discovery_release_key: {key_file} cannot be read on the controller: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        known = imported_keys(_gpg(home, "--import", stdin=keys))
        if fingerprint not in known:
            raise SetupError(
                f"discovery_release_key: {key_file} does not hold the pinned key {fingerprint}; it holds "
                f"{', '.join(known) or 'no key'}. Set discovery_release_key and discovery_release_fingerprint to one key"
            )
        path = os.path.join(home, "signature")
        with open(path, "wb") as opened:
            opened.write(signature)
        problem = verdict(_gpg(home, "--verify", path, "-", stdin=content), fingerprint)
    if problem:
        raise SignatureError(problem)


def _gpg(home: str, *arguments: str, stdin: bytes) -> str:
    """The status lines of one gpg; it starts no agent and uses no network."""
    options = ["--batch", "--no-tty", "--no-options", "--no-autostart", "--no-auto-key-retrieve", "--trust-model", "always"]
    # Without the language of the caller, and with a home in which nothing of the caller's is found.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": home}
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(
            ["gpg", "--homedir", home, *options, "--status-fd", "1", *arguments],
            input=stdin, capture_output=True, check=False, env=environment,
        )  # fmt: skip
        return done.stdout.decode(errors="replace")
    raise SetupError("gpg is not installed on the controller, so no signature can be verified; install gnupg there")
