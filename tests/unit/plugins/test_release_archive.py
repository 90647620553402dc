"""The cache of verified archives, against a mirror in a folder; the signature's arithmetic is tested beside this file."""

import hashlib
import http.server
import io
import threading
import zipfile

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.release_signature import SetupError, SignatureError
from ansible_collections.fewnodes.discovery.plugins.modules import release_archive
from ansible_collections.fewnodes.discovery.plugins.modules.release_archive import Release, ReleaseError, checksum_of, get

SUMS, SIGNATURE, ARCHIVE = (f"tool_1.0_{end}" for end in ("SHA256SUMS", "SHA256SUMS.sig", "linux_amd64.zip"))


def zipped(program: bytes, name: str = "tool") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr(zipfile.ZipInfo(name), program)
    return content.getvalue()


GOOD = zipped(b"the program")


class Mirror:
    """A mirror in memory; remembers what was asked."""

    def __init__(self, content: bytes = GOOD):
        self.asked = []
        self.files = {ARCHIVE: content, SUMS: sums(content)}
        self.sign()

    def sign(self) -> None:
        self.files[SIGNATURE] = b"signed:" + self.files[SUMS]

    def get(self, url: str) -> bytes:
        folder, _, name = url.rpartition("/")
        assert folder == "http://mirror/tool/1.0"
        self.asked.append(name)
        if name not in self.files:
            raise OSError("404 Not Found")
        return self.files[name]


def sums(content: bytes) -> bytes:
    return f"{'0' * 64}  tool_1.0_linux_arm64.zip\n{hashlib.sha256(content).hexdigest()}  {ARCHIVE}\n".encode()


def dead(url: str) -> bytes:
    raise OSError("Connection refused")


@pytest.fixture(autouse=True)
def signatures(monkeypatch):
    """A stand-in for gpg: a signature is the text itself with a word before it."""

    def verify(content, signature, key, fingerprint):
        if (key, fingerprint) != ("key", "F"):
            raise SetupError("no key")
        if signature != b"signed:" + content:
            raise SignatureError("the signature does not belong to the file")

    monkeypatch.setattr(release_archive, "verify", verify)


@pytest.fixture
def release(tmp_path):
    def made(get, **parameters) -> Release:
        given = {"name": "tool", "version": "1.0", "arch": "amd64", "mirror": "http://mirror/", "key": "key", "fingerprint": "F"}
        return Release(given | {"cache": str(tmp_path / "cache")} | parameters, get)

    return made


@pytest.fixture
def cached(release, tmp_path):
    """A cache that suffices."""
    release(Mirror().get).fetch()
    return tmp_path / "cache"


def test_an_empty_cache_is_filled(release, tmp_path):
    mirror = Mirror()
    wanted = release(mirror.get)
    assert SUMS in wanted.problem_of_cache()
    wanted.fetch()
    assert wanted.problem_of_cache() == ""
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == mirror.files
    assert wanted.path == str(tmp_path / "cache" / ARCHIVE)


def test_the_cache_alone_suffices(release, cached):
    assert release(dead).problem_of_cache() == ""


@pytest.mark.parametrize("name", [SUMS, SIGNATURE, ARCHIVE])
@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "changed"])
def test_a_damaged_cache_is_seen_and_healed(release, cached, name, damage):
    content = (cached / name).read_bytes()
    if damage == "gone":
        (cached / name).unlink()
    else:
        (cached / name).write_bytes({"cut": content[:-3], "empty": b"", "changed": b"x" + content[1:]}[damage])
    assert name.removesuffix(".sig") in release(dead).problem_of_cache()
    with pytest.raises(ReleaseError, match="cannot be fetched: Connection refused. Set discovery_release_mirror"):
        release(dead).fetch()
    release(Mirror().get).fetch()
    assert release(dead).problem_of_cache() == ""


def test_an_archive_that_is_right_is_not_fetched_again(release, cached):
    (cached / SIGNATURE).unlink()
    mirror = Mirror()
    release(mirror.get).fetch()
    assert mirror.asked == [SUMS, SIGNATURE]


def test_a_release_that_was_built_anew_replaces_the_old(release, cached):
    """The cache's sums and signature are right, its archive is gone, and the mirror has another one by now."""
    (cached / ARCHIVE).unlink()
    release(Mirror(zipped(b"built anew")).get).fetch()
    assert (cached / ARCHIVE).read_bytes() == zipped(b"built anew")
    assert release(dead).problem_of_cache() == ""


@pytest.mark.parametrize("content", [b"x" + GOOD[1:], GOOD[:-3], b""])
def test_a_changed_or_truncated_archive_is_refused(release, tmp_path, content):
    mirror = Mirror()
    mirror.files[ARCHIVE] = content
    with pytest.raises(ReleaseError, match=f"{ARCHIVE} was changed or cut off: it has {len(content)} bytes"):
        release(mirror.get).fetch()
    assert not (tmp_path / "cache").exists()


def test_an_archive_with_checksums_to_match_is_refused(release, tmp_path):
    """An attacker who changes the archive changes its checksum too, but cannot sign it."""
    mirror = Mirror()
    mirror.files |= {ARCHIVE: b"evil", SUMS: sums(b"evil")}
    with pytest.raises(ReleaseError, match=f"{SUMS} cannot be trusted: the signature does not belong.*pinned key is F"):
        release(mirror.get).fetch()
    assert mirror.asked == [SUMS, SIGNATURE], "the archive was fetched before its checksum was trusted"
    assert not (tmp_path / "cache").exists()


def test_what_is_refused_leaves_the_cache_as_it_was(release, cached):
    before = {path.name: path.read_bytes() for path in cached.iterdir()}
    mirror = Mirror(b"evil")
    mirror.files[SIGNATURE] = b"none"
    with pytest.raises(ReleaseError):
        release(mirror.get).fetch()
    assert {path.name: path.read_bytes() for path in cached.iterdir()} == before


def test_signed_checksums_of_another_release_are_refused(release):
    """An older release with a known fault, handed out under the new name."""
    mirror = Mirror()
    mirror.files[SUMS] = mirror.files[SUMS].replace(b"tool_1.0", b"tool_0.9")
    mirror.sign()
    with pytest.raises(ReleaseError, match=f"is signed, but names no {ARCHIVE}"):
        release(mirror.get).fetch()


def test_a_missing_version_is_told(release):
    with pytest.raises(ReleaseError, match=f"http://mirror/tool/1.0/{SUMS} cannot be fetched: 404 Not Found"):
        release(lambda url: Mirror().get(url + "x")).fetch()


def test_a_wrong_setup_is_no_reason_to_fetch(release, cached):
    with pytest.raises(SetupError):
        release(dead, fingerprint="G").problem_of_cache()


def test_a_cache_that_cannot_be_written_is_told(release, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReleaseError, match="discovery_cache_dir: .*file/cache: "):
        release(Mirror().get, cache=str(tmp_path / "file/cache")).fetch()


def test_the_program_s_checksum_is_that_of_the_verified_bytes(release, cached):
    """It is kept beside the archive, and computed anew with it: a record that somebody has changed does not last."""
    verified = release(dead)
    assert verified.program == ""
    assert verified.problem_of_cache() == ""
    assert verified.program == hashlib.sha256(b"the program").hexdigest()
    record = cached / f"{ARCHIVE}.program"
    for content in (None, "forged"):
        if content:
            record.write_text(content)
        verified.record()
        assert record.read_text() == f"{verified.program}\n"


def test_an_archive_without_the_program_is_refused(release, tmp_path):
    with pytest.raises(ReleaseError, match=f"{ARCHIVE} holds no program tool"):
        release(Mirror(zipped(b"the program", "another")).get).fetch()
    assert not (tmp_path / "cache").exists()


def test_a_record_that_cannot_be_written_stops_nothing(release, tmp_path):
    verified = release(Mirror().get)
    verified.fetch()
    verified.cache = str(tmp_path / "nowhere")
    verified.record()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{'a' * 64}  {ARCHIVE}\n", "a" * 64),
        (f"{'a' * 64} *{ARCHIVE}\r\n", "a" * 64),
        (f"{'b' * 64}  x{ARCHIVE}\n{'a' * 64}  {ARCHIVE}", "a" * 64),
        (f"{'a' * 64}  {ARCHIVE}.old\n", ""),
        (f"{'a' * 63}  {ARCHIVE}\n", ""),
        (f"{'a' * 64}  tool-1.0_linux_amd64.zip\n", ""),
        ("", ""),
    ],
)
def test_checksum_of(text, expected):
    assert checksum_of(text, ARCHIVE) == expected


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers one path after the other with what the list says: a status, and whether the content is whole."""

    script: list[tuple[int, bool]] = []

    def do_GET(self):
        status, whole = self.script.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content" if whole else b"cont")

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/x"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("script", "pauses"), [([(200, True)], []), ([(503, True), (200, False), (200, True)], [1, 2])], ids=["at once", "third"]
)
def test_a_mirror_that_falters_is_asked_again(url, script, pauses):
    Answers.script, slept = list(script), []
    assert get(url, 5, slept.append) == b"content"
    assert (slept, Answers.script) == (pauses, [])


@pytest.mark.parametrize(
    ("script", "message"),
    [([(404, True)], "404"), ([(500, True)] * 3, "500"), ([(200, False)] * 3, "IncompleteRead")],
    ids=["404", "500", "cut"],
)
def test_a_mirror_that_fails_is_reported(url, script, message):
    Answers.script = list(script)
    with pytest.raises(OSError, match=message):
        get(url, 5, lambda seconds: None)
    assert Answers.script == []


def test_a_mirror_may_be_a_folder(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    assert get(f"file://{tmp_path}/x", 5) == b"content"
