"""K12: what is not signed by the pinned key, or not what was signed, never gets to a host; and no internet is needed."""

import functools
import hashlib
import json
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

import pytest
from tests.support.playbook import play, state_of
from tests.support.wait import side_by_side

VERSION = "1.99.0"  # newer than what is installed, and made up
ARCHIVE, SUMS = f"consul_{VERSION}_linux_amd64.zip", f"consul_{VERSION}_SHA256SUMS"
NOWHERE = "http://127.0.0.1:9"  # where nobody listens


class Mirror:
    """A mirror in a folder, with one release and a key of its own."""

    def __init__(self, folder: Path, home: Path):
        self.folder, self.home = folder, home
        self.files = folder / "mirror/consul" / VERSION
        self.cache, self.key = folder / "cache", folder / "key.asc"
        self.files.mkdir(parents=True)
        self.gpg("--quick-generate-key", "Releases of the test", "ed25519", "sign", "never")
        self.gpg("--armor", "--output", self.key, "--export")
        self.put(b"#!/bin/sh\n# no Consul at all\n")
        self.sign()

    def gpg(self, *arguments: str | Path) -> str:
        command = ["gpg", "--homedir", self.home, "--batch", "--yes", "--passphrase", "", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def fingerprints(self) -> list[str]:
        listed = self.gpg("--with-colons", "--list-keys").splitlines()
        return [line.split(":")[9] for line in listed if line.startswith("fpr:")]

    def put(self, program: bytes) -> None:
        """A release whose archive and checksums agree."""
        with zipfile.ZipFile(self.files / ARCHIVE, "w") as zipped:
            zipped.writestr("consul", program)
        digest = hashlib.sha256((self.files / ARCHIVE).read_bytes()).hexdigest()
        (self.files / SUMS).write_text(f"{digest}  {ARCHIVE}\n")

    def sign(self, key: str = "") -> None:
        user = ("--local-user", key) if key else ()
        self.gpg(*user, "--output", self.files / f"{SUMS}.sig", "--detach-sign", self.files / SUMS)

    def cut(self, name: str, octets: int) -> None:
        path = self.files / name
        path.write_bytes(path.read_bytes()[:-octets])

    # The damage to a good mirror, and words of the message.
    def tampered_archive(self) -> str:
        content = bytearray((self.files / ARCHIVE).read_bytes())
        content[len(content) // 2] ^= 1
        (self.files / ARCHIVE).write_bytes(content)
        return f"{ARCHIVE} was changed or cut off"

    def truncated_archive(self) -> str:
        self.cut(ARCHIVE, 10)
        return f"{ARCHIVE} was changed or cut off"

    def tampered_with_checksums_to_match(self) -> str:
        self.put(b"#!/bin/sh\n# evil\n")
        return f"{SUMS} cannot be trusted: the signature does not belong to the file"

    def wrong_signature(self) -> str:
        """By another key of the same name."""
        self.gpg("--quick-generate-key", "Releases of the test", "ed25519", "sign", "never")
        other = self.fingerprints[1]
        self.sign(other)
        return f"{SUMS} cannot be trusted: it was signed by another key, {other}"

    def truncated_signature(self) -> str:
        self.cut(f"{SUMS}.sig", 30)
        return f"{SUMS} cannot be trusted"


@pytest.fixture
def mirrors(tmp_path):
    """mirrors(count): so many good mirrors."""
    homes = []

    def made(count: int) -> list[Mirror]:
        for number in range(count):
            homes.append(Path(tempfile.mkdtemp(prefix="gpg")))  # short: an agent's socket is in it
            (tmp_path / str(number)).mkdir()
        return [Mirror(tmp_path / str(number), home) for number, home in enumerate(homes)]

    yield made
    for home in homes:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)  # the agent removes its sockets while it ends


@pytest.mark.parametrize(
    "damages",
    [
        pytest.param((Mirror.tampered_archive, Mirror.truncated_archive, Mirror.wrong_signature), id="usual"),
        pytest.param((Mirror.tampered_with_checksums_to_match, Mirror.truncated_signature), id="more", marks=pytest.mark.more),
    ],
)
def test_k12_refused(site, mirrors, damages):
    """A run for each damage, of one host, two at a time: nothing of them gets further than the controller."""
    host, made = site.servers[0].name, mirrors(len(damages))
    keys = [mirror.fingerprints[0] for mirror in made]
    expected = [damage(mirror) for damage, mirror in zip(damages, made, strict=True)]

    def run(mirror: Mirror, key: str):
        variables = {
            "consul_version": VERSION,
            "discovery_release_mirror": f"file://{mirror.folder}/mirror",
            "discovery_release_key": str(mirror.key),
            "discovery_release_fingerprint": key,
            "discovery_cache_dir": str(mirror.cache),
        }
        return play(site, "playbooks/consul.yml", "--limit", host, "-e", json.dumps(variables))[0]

    before = state_of(site)
    ended = side_by_side((functools.partial(run, *pair) for pair in zip(made, keys, strict=True)), at_once=2)
    for done, words in zip(ended, expected, strict=True):
        output = " ".join(done.stdout.split())
        assert done.returncode != 0
        assert words in output and host in output, done.stdout[-3000:] + done.stderr[-1000:]
        assert "changed=0" in output and "changed=1" not in output
    assert state_of(site) == before
    assert [node.name for node in site.servers if node.tries(f"test -e /opt/consul/{VERSION}").rc == 0] == []
    assert [mirror.cache for mirror in made if mirror.cache.exists()] == [], "what was refused is in the cache"


@pytest.fixture
def without_a_way_out(site):
    """A balancer without a default route."""
    node = site.balancers[0]
    route = node.run("ip route show default").strip()
    node.run(f"ip route del {route}")
    yield node
    node.run(f"ip route replace {route}")


@pytest.mark.more
def test_k12_without_internet(site, load, show, without_a_way_out, tmp_path):
    """The cache is filled where there is a network, then alone suffices for a host on which the release is new."""
    node = without_a_way_out
    cache = ("-e", f"discovery_cache_dir={tmp_path}/cache")
    dead = ("-e", f"discovery_release_mirror={NOWHERE}")
    done, seconds = play(site, "playbooks/fetch_releases.yml", *cache)
    assert done.returncode == 0, done.stdout[-3000:]
    show(f"the cache filled in {seconds:.0f} s: {', '.join(sorted(path.name for path in (tmp_path / 'cache').iterdir()))}")
    again, _ = play(site, "playbooks/fetch_releases.yml", *cache, *dead)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "changed=1" not in again.stdout

    assert node.tries("ip route get 192.0.2.1").rc != 0, "there is still a way out"
    program = Path(node.run("readlink -e /usr/local/bin/consul-template").strip())
    checksum = node.run(f"sha256sum {program}")
    with load.planned("installation without internet"):
        node.run(f"rm -r {program.parent}")
        done, seconds = play(site, "playbooks/load_balancer.yml", *cache, *dead, "--limit", node.name)
        assert done.returncode == 0, done.stdout[-3000:]
    assert node.run(f"sha256sum {program}") == checksum
    assert f"v{program.parent.name}" in node.run("consul-template -v 2>&1")
    show(f"installed without internet in {seconds:.0f} s")
    site.settle()


@pytest.mark.more
def test_k12_a_damaged_cache_is_reported_and_repaired(site, tmp_path):
    """Without the mirror it stops; with the mirror it goes on. Nothing of it happens on a host."""
    cache = ("-e", f"discovery_cache_dir={tmp_path}")
    done, _ = play(site, "playbooks/fetch_releases.yml", *cache)
    assert done.returncode == 0, done.stdout[-3000:]
    archive = next(tmp_path.glob("consul-template_*.zip"))
    content = archive.read_bytes()
    archive.write_bytes(content[:-1])
    done, _ = play(site, "playbooks/fetch_releases.yml", *cache, "-e", f"discovery_release_mirror={NOWHERE}")
    output = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "cannot be fetched" in output and f"{archive.name} was changed or cut off" in output, done.stdout[-3000:]
    assert archive.read_bytes() == content[:-1]
    done, _ = play(site, "playbooks/fetch_releases.yml", *cache)
    assert done.returncode == 0, done.stdout[-3000:]
    assert archive.read_bytes() == content


@pytest.mark.parametrize(
    ("program", "playbook", "again"),
    [
        ("consul-template", "load_balancer", False),  # that nothing is left to change H13 shows of the whole site
        pytest.param("consul-template", "load_balancer", True, marks=pytest.mark.more),
        pytest.param("consul", "consul", True, marks=pytest.mark.more),
    ],
)
def test_x10_a_changed_binary_comes_back(site, load, program, playbook, again, show):
    """Changed by a rename, as a running program has to be. It is reported, replaced, and the replaced one runs."""
    node = site.balancers[0]
    path = node.run(f"readlink -e /usr/local/bin/{program}").strip()
    released = node.run(f"sha256sum {path}")
    with load.planned(f"a changed {program}"):
        node.run(f"cp -p {path} {path}.changed && echo >>{path}.changed && mv {path}.changed {path}")
        done, seconds = play(site, f"playbooks/{playbook}.yml", "--limit", node.name)
        assert done.returncode == 0, done.stdout[-3000:]
    assert f"{path} is not the released program" in " ".join((done.stdout + done.stderr).split())
    assert node.run(f"sha256sum {path}") == released
    (pid,) = node.unit(program, "MainPID")
    assert node.run(f"readlink /proc/{pid}/exe").strip() == path
    show(f"{program} replaced in {seconds:.0f} s")
    if again:
        done, seconds = play(site, f"playbooks/{playbook}.yml", "--limit", node.name)
        assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout[-3000:]
        show(f"a run without a change: {seconds:.0f} s")
    site.settle()
