"""Who signs what the lab's release mirror hands out, by the real gpg."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.release_signature import verify
from lab import signing


@pytest.fixture
def cache(monkeypatch):
    """A cache of its own; its path is short, because an agent's socket is in it."""
    folder = Path(tempfile.mkdtemp(prefix="lab"))
    monkeypatch.setattr(signing, "CACHE", folder)
    monkeypatch.setattr(signing, "HOME", folder / "signing")
    yield folder
    subprocess.run(["gpgconf", "--homedir", folder / "signing", "--kill", "all"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)  # the agent removes its sockets while it ends


def release(cache: Path, version: str, vendors: bool = False) -> Path:
    """A SHA256SUMS file of the mirror: built here, or with a vendor's signature."""
    sums = cache / f"releases/tool/{version}/tool_{version}_SHA256SUMS"
    sums.parent.mkdir(parents=True)
    sums.write_text(f"sums of {version}\n")
    if vendors:
        signature(sums).write_text("the vendor's\n")
    return sums


def signature(sums: Path) -> Path:
    return sums.with_name(f"{sums.name}.sig")


def believed(sums: Path, variables: dict) -> None:
    key, fingerprint = variables["discovery_release_key"], variables["discovery_release_fingerprint"]
    verify(sums.read_bytes(), signature(sums).read_bytes(), key, fingerprint)


def test_what_the_lab_built_is_signed_once(cache):
    """As it is with a cache from before there were signatures: nothing is built again, only signed."""
    old, new = release(cache, "1"), release(cache, "2")
    variables = signing.sign(cache / "releases")
    believed(old, variables)
    believed(new, variables)
    before = signature(old).read_bytes()
    assert signing.sign(cache / "releases") == variables
    assert signature(old).read_bytes() == before


def test_what_the_vendor_signed_stays_the_vendors(cache):
    sums = release(cache, "1", vendors=True)
    assert signing.sign(cache / "releases") == {}
    assert signature(sums).read_text() == "the vendor's\n"
    assert not (cache / "signing").exists()


def test_one_key_for_all_of_a_mixed_mirror_and_the_vendors_again_after(cache):
    bought, built = release(cache, "1", vendors=True), release(cache, "2")
    variables = signing.sign(cache / "releases")
    believed(bought, variables)
    believed(built, variables)
    assert signing.sign(cache / "releases") == variables
    shutil.rmtree(built.parent)
    assert signing.sign(cache / "releases") == {}
    assert signature(bought).read_text() == "the vendor's\n"


@pytest.mark.parametrize("damage", [b"", b"half"])
def test_a_damaged_signature_and_changed_sums_are_signed_anew(cache, damage):
    sums = release(cache, "1")
    variables = signing.sign(cache / "releases")
    signature(sums).write_bytes(damage)
    signing.sign(cache / "releases")
    believed(sums, variables)
    sums.write_text("built anew\n")
    signing.sign(cache / "releases")
    believed(sums, variables)


def test_nothing_of_gpg_keeps_running(cache):
    release(cache, "1")
    signing.sign(cache / "releases")
    end = time.monotonic() + 10  # an agent that was told to end removes its sockets a moment later
    while list((cache / "signing").glob("S.*")):
        assert time.monotonic() < end, "an agent is still there"
        time.sleep(0.05)
