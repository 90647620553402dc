"""The Python packages of the roles as files of a host."""

from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.program import program_files

ROLES = Path(__file__).parents[3] / "roles"


def test_package_with_packages_in_it(tmp_path):
    for name in ("__init__.py", "sub/deep/one.py", "__pycache__/x.pyc", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    folder = {"state": "directory", "mode": "0755", "purge": True}
    assert program_files(str(tmp_path), "/lib/p") == [
        {"path": "/lib/p", **folder},
        {"path": "/lib/p/sub", **folder},
        {"path": "/lib/p/sub/deep", **folder},
        {"path": "/lib/p/__init__.py", "content": "__init__.py"},
        {"path": "/lib/p/sub/deep/one.py", "content": "sub/deep/one.py"},
    ]


def test_source_without_a_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        program_files(str(tmp_path), "/lib/p")


@pytest.mark.parametrize(
    "source", ["balancer/files/discovery_balancer", "registrator/files/registrator", "common/files/discovery_program"]
)
def test_programs_of_the_roles(source):
    paths = {item["path"] for item in program_files(str(ROLES / source), "/lib/p")}
    assert {"/lib/p", "/lib/p/__init__.py"} <= paths
