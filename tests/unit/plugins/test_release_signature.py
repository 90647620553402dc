"""The verdict about a signature, by the real gpg with throw-away keys."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils import release_signature
from ansible_collections.fewnodes.discovery.plugins.module_utils.release_signature import (
    SetupError,
    SignatureError,
    fingerprint_of,
    imported_keys,
    verdict,
    verify,
)

SHIPPED_KEY = Path(__file__).parents[3] / "roles/common/files/hashicorp.asc"
VENDOR = "C874011F0AB405110D02105534365D9472D7468F"
SUMS = b"0" * 64 + b"  consul_1.22.7_linux_amd64.zip\n"
NAME = "Releases <releases@example.org>"


class Signer:
    """A gpg home with one secret key."""

    def __init__(self, home: Path):
        self.home = home

    def gpg(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", self.home, "--batch", "--yes", "--passphrase", "", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout

    def make(self, name: str = NAME, expires: str = "never", *options: str) -> "Signer":
        self.gpg(*options, "--quick-generate-key", name, "ed25519", "sign", expires)
        listed = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        return self

    def sign(self, content: bytes = SUMS, *options: str) -> bytes:
        return self.gpg(*options, "--detach-sign", stdin=content)

    @property
    def public(self) -> bytes:
        return self.gpg("--armor", "--export")

    def revoke(self) -> None:
        """gpg makes the revocation together with the key, with a colon before its armour against use by mistake."""
        certificate = next((self.home / "openpgp-revocs.d").iterdir()).read_bytes()
        self.gpg("--import", stdin=certificate.replace(b":-----BEGIN", b"-----BEGIN"))


@pytest.fixture(scope="module")
def new_signer():
    """new_signer(): an empty home. Not under tmp_path: the path of an agent's socket must be short."""
    homes = []

    def new() -> Signer:
        homes.append(Path(tempfile.mkdtemp(prefix="gpg")))
        return Signer(homes[-1])

    yield new
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def vendor(new_signer) -> Signer:
    return new_signer().make()


@pytest.fixture(scope="module")
def namesake(new_signer) -> Signer:
    """Another key with the same name."""
    return new_signer().make()


@pytest.fixture
def key_file(tmp_path, vendor) -> Path:
    path = tmp_path / "key.asc"
    path.write_bytes(vendor.public)
    return path


def refusal(content: bytes, signature: bytes, key: Path, fingerprint: str) -> str:
    with pytest.raises(SignatureError) as refused:
        verify(content, signature, str(key), fingerprint)
    return str(refused.value)


def test_a_good_signature_is_believed(vendor, key_file):
    verify(SUMS, vendor.sign(), str(key_file), vendor.fingerprint)


def test_an_armoured_signature_and_a_binary_key_file_are_believed(vendor, tmp_path):
    key = tmp_path / "key.gpg"
    key.write_bytes(vendor.gpg("--export"))
    verify(SUMS, vendor.sign(SUMS, "--armor"), str(key), vendor.fingerprint)


def test_a_signature_by_a_subkey_counts_for_its_primary_key(new_signer, tmp_path):
    """As the vendor signs."""
    signer = new_signer().make()
    signer.gpg("--quick-add-key", signer.fingerprint, "ed25519", "sign", "never")
    (tmp_path / "key.asc").write_bytes(signer.public)
    assert b"sub" in signer.gpg("--list-keys")
    verify(SUMS, signer.sign(), str(tmp_path / "key.asc"), signer.fingerprint)


@pytest.mark.parametrize("tampered", [SUMS.replace(b"0", b"1", 1), SUMS + b"\n", SUMS[:-1], b""])
def test_tampered_checksums_are_refused(vendor, key_file, tampered):
    assert "was changed" in refusal(tampered, vendor.sign(), key_file, vendor.fingerprint)


def test_another_key_is_refused_and_named(vendor, namesake, key_file):
    reason = refusal(SUMS, namesake.sign(), key_file, vendor.fingerprint)
    assert reason == f"it was signed by another key, {namesake.fingerprint}"


def test_another_key_of_the_same_name_in_the_same_file_is_refused(vendor, namesake, tmp_path):
    key = tmp_path / "both.asc"
    key.write_bytes(vendor.public + namesake.public)
    verify(SUMS, vendor.sign(), str(key), vendor.fingerprint)
    reason = refusal(SUMS, namesake.sign(), key, vendor.fingerprint)
    assert reason == f"it was signed by another key, {namesake.fingerprint}"


@pytest.mark.parametrize("keep", [0, 1, 20, -1])
def test_a_truncated_or_empty_signature_is_refused(vendor, key_file, keep):
    assert refusal(SUMS, vendor.sign()[:keep], key_file, vendor.fingerprint)


@pytest.mark.parametrize("signature", [b"", b"Not found", b"<html>\n"])
def test_what_is_no_signature_is_called_so(vendor, key_file, signature):
    assert "empty, truncated or no signature" in refusal(SUMS, signature, key_file, vendor.fingerprint)


@pytest.mark.parametrize("way", ["--sign", "--clear-sign"])
def test_a_signed_message_is_no_signature_of_the_file(vendor, key_file, way):
    """Something else that the pinned key once signed, handed out as if it were the detached signature."""
    refusal(SUMS, vendor.gpg(way, stdin=b"something else"), key_file, vendor.fingerprint)
    refusal(b"something else", vendor.gpg(way, stdin=b"something else"), key_file, vendor.fingerprint)


def test_a_key_that_has_expired_is_refused(new_signer, tmp_path):
    signer = new_signer().make(NAME, "20200201T000000", "--faked-system-time", "20200101T000000!")
    signature = signer.sign(SUMS, "--faked-system-time", "20200102T000000!")
    (tmp_path / "key.asc").write_bytes(signer.public)
    assert "has expired" in refusal(SUMS, signature, tmp_path / "key.asc", signer.fingerprint)


def test_a_signature_that_has_expired_is_refused(vendor, key_file, new_signer, tmp_path):
    signer = new_signer().make(NAME, "never", "--faked-system-time", "20200101T000000!")
    signature = signer.sign(SUMS, "--faked-system-time", "20200102T000000!", "--default-sig-expire", "20200103T000000")
    (tmp_path / "key.asc").write_bytes(signer.public)
    reason = refusal(SUMS, signature, tmp_path / "key.asc", signer.fingerprint)
    assert reason.startswith("the signature has expired")


def test_a_key_that_is_revoked_is_refused(new_signer, tmp_path):
    signer = new_signer().make()
    signature = signer.sign()
    signer.revoke()
    (tmp_path / "key.asc").write_bytes(signer.public)
    assert "is revoked" in refusal(SUMS, signature, tmp_path / "key.asc", signer.fingerprint)


def test_a_key_file_without_the_pinned_key_is_told(vendor, namesake, key_file):
    with pytest.raises(SetupError, match=f"does not hold the pinned key {namesake.fingerprint}; it holds {vendor.fingerprint}"):
        verify(SUMS, vendor.sign(), str(key_file), namesake.fingerprint)


@pytest.mark.parametrize("content", [b"", b"no key\n"])
def test_a_key_file_without_a_key_is_told(vendor, tmp_path, content):
    (tmp_path / "key.asc").write_bytes(content)
    with pytest.raises(SetupError, match="discovery_release_key: .* it holds no key"):
        verify(SUMS, b"", str(tmp_path / "key.asc"), vendor.fingerprint)


def test_a_missing_key_file_is_told(tmp_path):
    with pytest.raises(SetupError, match="discovery_release_key: .*nowhere.asc cannot be read"):
        verify(SUMS, b"", str(tmp_path / "nowhere.asc"), VENDOR)


def test_a_missing_gpg_is_told(monkeypatch, vendor, key_file, tmp_path):
    signature = vendor.sign()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="gpg is not installed on the controller"):
        verify(SUMS, signature, str(key_file), vendor.fingerprint)


def test_the_callers_keys_are_not_used(monkeypatch, vendor, namesake, key_file):
    """A key in the caller's own keyring makes no signature valid."""
    monkeypatch.setenv("GNUPGHOME", str(namesake.home))
    assert "another key" in refusal(SUMS, namesake.sign(), key_file, vendor.fingerprint)


def test_nothing_of_gpg_stays(vendor, key_file, monkeypatch, tmp_path):
    monkeypatch.setattr(release_signature.tempfile, "tempdir", str(tmp_path))
    verify(SUMS, vendor.sign(), str(key_file), vendor.fingerprint)
    assert [path.name for path in tmp_path.iterdir()] == ["key.asc"]


def test_the_shipped_key_is_the_pinned_one():
    command = ["gpg", "--batch", "--with-colons", "--show-keys", SHIPPED_KEY]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split(":") for line in shown.splitlines()]
    primary = [lines[number + 1][9] for number, line in enumerate(lines) if line[0] == "pub"]
    defaults = (Path(__file__).parents[3] / "roles/common/defaults/main.yml").read_text()
    assert primary == [VENDOR]
    assert f"'{VENDOR}'" in defaults


def test_the_shipped_key_imports(namesake):
    """It is readable, and nothing else passes for it."""
    assert "another key" in refusal(SUMS, namesake.sign(), SHIPPED_KEY, VENDOR)


@pytest.mark.parametrize("text", ["C874 011F 0AB4 0511 0D02  1055 3436 5D94 72D7 468F", VENDOR.lower(), f"0x{VENDOR}"])
def test_a_fingerprint_is_read_as_people_write_it(text):
    assert fingerprint_of(text) == VENDOR


@pytest.mark.parametrize("text", ["", "72D7468F", "34365D9472D7468F", VENDOR[:-1], VENDOR + "0", "Z" * 40])
def test_less_than_a_full_fingerprint_is_refused(text):
    with pytest.raises(SetupError, match="discovery_release_fingerprint"):
        fingerprint_of(text)


def lines(*reason: str) -> str:
    return "".join(f"[GNUPG:] {line}\n" for line in reason)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (["GOODSIG 1 me", f"VALIDSIG AA 2026-01-01 1 0 4 0 22 8 00 {VENDOR}"], ""),
        (["GOODSIG 1 me", f"VALIDSIG {VENDOR} 2026-01-01 1 0 4 0 22 8 00 BB"], "another key, BB"),
        (["EXPKEYSIG 1 me", f"VALIDSIG AA 2026-01-01 1 0 4 0 22 8 00 {VENDOR}"], "key that signed has expired (key 1)"),
        (["REVKEYSIG 1 me", f"VALIDSIG AA 2026-01-01 1 0 4 0 22 8 00 {VENDOR}"], "revoked (key 1)"),
        ([f"VALIDSIG AA 2026-01-01 1 0 4 0 22 8 00 {VENDOR}", "BADSIG 2 other"], "was changed"),
        (["ERRSIG 1 22 8 00 1 9 CC", "NO_PUBKEY 1"], "another key, CC"),
        (["ERRSIG 1 22 8 00 1 9", "NO_PUBKEY 1"], "another key, 1"),
        (["NODATA 4"], "no signature at all"),
        ([], "no signature at all"),
    ],
)
def test_verdict(status, expected):
    reason = verdict(lines(*status), VENDOR)
    assert expected in reason if expected else reason == ""


def test_only_status_lines_count():
    assert verdict(f"VALIDSIG AA {VENDOR}\ngpg: [GNUPG:] VALIDSIG AA {VENDOR}\n", VENDOR)
    assert imported_keys(lines(f"IMPORT_OK 1 {VENDOR}", "IMPORT_RES 1") + "IMPORT_OK 1 X\n") == [VENDOR]
