"""A program of a verified archive gets to its place only as it was verified."""

import hashlib
import os
import zipfile

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules.release_program import ProgramError, checksum, install, right

GOOD = b"#!/bin/sh\necho good\n"
VERIFIED = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def archive(tmp_path):
    """Called with the content of the program in the archive."""

    def made(content=GOOD, name="tool"):
        with zipfile.ZipFile(tmp_path / "release.zip", "w") as opened:
            opened.writestr(name, content)
        return str(tmp_path / "release.zip")

    return made


def test_x10_a_missing_program_is_installed(archive, tmp_path):
    program = tmp_path / "tool"
    assert not right(str(program), VERIFIED)
    install(archive(), str(program), VERIFIED)
    assert program.read_bytes() == GOOD
    assert right(str(program), VERIFIED)
    assert program.stat().st_mode & 0o777 == 0o755
    assert os.listdir(tmp_path) == ["tool"], "the archive is removed"


@pytest.mark.parametrize("change", [GOOD + b"\n", b"", GOOD[:-1]])
def test_x10_a_changed_program_comes_back(archive, tmp_path, change):
    program = tmp_path / "tool"
    program.write_bytes(change)
    program.chmod(0o755)
    assert not right(str(program), VERIFIED)
    install(archive(), str(program), VERIFIED)
    assert right(str(program), VERIFIED)


def test_x10_a_program_that_is_not_executable_is_not_complete(tmp_path):
    program = tmp_path / "tool"
    program.write_bytes(GOOD)
    program.chmod(0o644)
    assert checksum(str(program)) == VERIFIED
    assert not right(str(program), VERIFIED)


@pytest.mark.parametrize(("content", "name"), [(b"evil", "tool"), (GOOD, "another")])
def test_x10_an_archive_that_was_exchanged_after_its_verification_is_refused(archive, tmp_path, content, name):
    program = tmp_path / "tool"
    program.write_bytes(b"the old one")
    with pytest.raises(ProgramError):
        install(archive(content, name), str(program), VERIFIED)
    assert program.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["tool"]


def test_x10_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "release.zip").write_bytes(b"no zip")
    with pytest.raises(ProgramError):
        install(str(tmp_path / "release.zip"), str(tmp_path / "tool"), VERIFIED)
    assert os.listdir(tmp_path) == []
