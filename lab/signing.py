"""Signatures of the release mirror: `<name>_<version>_SHA256SUMS.sig` beside each SHA256SUMS file.

Archives that came from the vendor come with the vendor's signature; for those that the lab has built there is a key of
the lab, made once for a machine. A site believes one key: the lab signs nothing when all archives are the vendor's,
else everything.
"""

import tempfile
from pathlib import Path

from lab.shell import CACHE, run, step, succeeds

HOME = CACHE / "signing"
PUBLIC = "lab.asc"  # in HOME, and in the mirror's root


def sign(mirror: Path) -> dict[str, str]:
    """Give every SHA256SUMS file of the mirror the signature by which a site of this machine believes it.

    :param mirror: root folder of the mirror
    :returns: the variables that name the key; none where the product's default, the vendor's, is right
    :raises LabError: gpg cannot make a key or a signature
    """
    files = sorted(mirror.glob("*/*/*_SHA256SUMS"))
    for file in files:
        if not _signature(file).exists() and not _kept(file).exists():
            _built(file).touch()  # the vendor's come signed
    if not any(_built(file).exists() for file in files):
        for file in files:
            if _kept(file).exists():
                _kept(file).replace(_signature(file))
        return {}
    fingerprint = _key()
    (mirror / PUBLIC).write_bytes((HOME / PUBLIC).read_bytes())
    todo = [file for file in files if not _signed(file)]
    for file in todo:
        if not _built(file).exists() and not _kept(file).exists():
            _signature(file).rename(_kept(file))
        partial = _signature(file).with_suffix(".partial")
        _gpg(HOME, "--yes", "--output", partial, "--detach-sign", file)
        partial.replace(_signature(file))
    if todo:
        _end_agent(HOME)
    return {"discovery_release_key": str(mirror / PUBLIC), "discovery_release_fingerprint": fingerprint}


def _signature(sums: Path) -> Path:
    return sums.with_name(f"{sums.name}.sig")


def _kept(sums: Path) -> Path:
    """Where the vendor's signature is while the lab's is handed out."""
    return sums.with_name(f"{sums.name}.sig.vendor")


def _built(sums: Path) -> Path:
    """The mark of an archive that the lab has built."""
    return sums.with_name("built-here")


def _signed(sums: Path) -> bool:
    return _signature(sums).exists() and succeeds("gpg", "--homedir", HOME, "--batch", "--verify", _signature(sums), sums)


def _key() -> str:
    """The fingerprint of the lab's key, which is made where it is missing."""
    if not HOME.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with step("making a key for the lab's releases"), tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            home = Path(scratch) / "home"
            home.mkdir(mode=0o700)
            _gpg(home, "--passphrase", "", "--quick-generate-key", "Releases of the lab", "ed25519", "sign", "never")
            _gpg(home, "--armor", "--output", home / PUBLIC, "--export")
            _end_agent(home)
            home.rename(HOME)
    listed = _gpg(HOME, "--with-colons", "--list-keys").splitlines()
    return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))


def _gpg(home: Path, *arguments: str | Path) -> str:
    return run("gpg", "--homedir", home, "--batch", *arguments)


def _end_agent(home: Path) -> None:
    """gpg starts an agent for secret keys; nothing of the lab's key keeps running."""
    run("gpgconf", "--homedir", home, "--kill", "all")
