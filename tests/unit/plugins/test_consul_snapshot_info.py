"""Content of a snapshot of Consul."""

import io
import json
import tarfile

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules.consul_snapshot_info import BLOCK, contained, inspected

TOKEN = "0f6a1d52-8a0c-4a3f-9f54-5c7f2f6a7c11"


def snapshot(path, state: bytes):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("meta.json", b"{}"), ("state.bin", state)):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return str(path)


def test_index_and_records():
    info = {"Meta": {"Index": 169}, "Stats": [{"Name": "KVS", "Count": 2, "Sum": 99}, {"Name": "Token", "Count": 14, "Sum": 9}]}
    assert inspected(json.dumps(info)) == {"index": 169, "records": {"KVS": 2, "Token": 14}}


@pytest.mark.parametrize("text", ["", "ID 2-3-4", "[]", '{"Meta": {}}'])
def test_other_output_is_refused(text):
    with pytest.raises(ValueError, match="not what consul snapshot inspect prints"):
        inspected(text)


@pytest.mark.parametrize("before", [0, 10, BLOCK - 1, BLOCK - 36, BLOCK - 20, 2 * BLOCK - 5])
def test_a_secret_is_found_wherever_it_stands(tmp_path, before):
    path = snapshot(tmp_path / "x.snap", b"x" * before + TOKEN.encode() + b"y")
    assert contained(path, {"management_token": TOKEN, "other": TOKEN[::-1], "none": ""}) == ["management_token"]


def test_no_secret_is_asked_for(tmp_path):
    assert contained(snapshot(tmp_path / "x.snap", b"abc"), {}) == []


def test_a_cut_snapshot_is_an_error(tmp_path):
    path = tmp_path / "x.snap"
    snapshot(path, bytes(range(256)) * 4000)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises((OSError, tarfile.TarError, EOFError)):
        contained(str(path), {"a": "b"})
