"""daemon.json: what others wrote stays, ours wins, what we no longer want goes, and nothing wrong reaches dockerd."""

import ast
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.dockerd_config import (
    DAEMON_JSON,
    DAEMON_JSON_LOADED,
    DAEMON_JSON_STARTED,
    DAEMON_JSON_WRITTEN,
    filled,
    masked,
    merged,
    problems,
    replaced,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("present", "wanted", "written", "result"),
    [
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"foreign": 1}, {"a": 1}, {}, {"foreign": 1, "a": 1}),
        ({"a": 2}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1, "foreign": 1}, {}, {"a": 1}, {"foreign": 1}),
        ({"a": 9}, {}, {"a": 1}, {}),
        ({"mirrors": ["x"]}, {"mirrors": []}, {}, {"mirrors": ["x"]}),
        ({"mirrors": ["x"]}, {"mirrors": []}, {"mirrors": ["x"]}, {}),
        ({"root": "/srv"}, {"root": "", "proxies": {}}, {}, {"root": "/srv"}),
        ({}, {"flag": False, "zero": 0}, {}, {"flag": False, "zero": 0}),
        ({"t": {"theirs": "1"}}, {"t": {"ours": "2"}}, {}, {"t": {"theirs": "1", "ours": "2"}}),
        ({"t": {"theirs": "1", "ours": "2"}}, {}, {"t": {"ours": "2"}}, {"t": {"theirs": "1"}}),
        ({"t": {"ours": "2"}}, {}, {"t": {"ours": "2"}}, {}),
        ({"t": {"old": "1", "ours": "2"}}, {"t": {"ours": "3"}}, {"t": {"old": "1", "ours": "2"}}, {"t": {"ours": "3"}}),
        ({"t": "text"}, {"t": {"a": 1}}, {}, {"t": {"a": 1}}),
        ({"t": {"a": 1}}, {"t": "text"}, {}, {"t": "text"}),
    ],
)
def test_ours_and_what_was_there_become_one(present, wanted, written, result):
    assert merged(present, wanted, written) == result


def test_the_options_of_another_log_driver_go_with_it():
    present = {"log-driver": "syslog", "log-opts": {"syslog-address": "udp://192.0.2.1"}}
    wanted = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}}
    assert merged(present, wanted, {}) == wanted
    kept = {"log-opts": {"labels": "x"}}
    assert merged(kept, wanted, {})["log-opts"] == {"labels": "x", "max-size": "10m"}


VALUES = st.recursive(st.integers(0, 3) | st.booleans(), lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3))
TABLES = st.dictionaries(st.sampled_from("abcdef"), VALUES, max_size=6)


@given(TABLES, TABLES)
def test_a_second_run_changes_nothing(present, wanted):
    once = merged(present, wanted, {})
    assert merged(once, wanted, filled(wanted)) == once


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("def"), VALUES))
def test_what_we_wrote_and_no_longer_want_leaves_what_was_there(foreign, wanted):
    once = merged(foreign, wanted, {})
    assert merged(once, {}, wanted) == foreign


def test_what_others_lose_is_told():
    present = {"hosts": ["tcp://0.0.0.0:2375"], "dns": ["192.0.2.1"], "bip": "10.0.0.1/24", "log-driver": "json-file"}
    result = merged(present, {"hosts": ["fd://"], "dns": ["192.0.2.2"], "log-driver": "json-file"}, {"dns": ["192.0.2.1"]})
    assert replaced(present, result, {"dns": ["192.0.2.1"]}) == ["hosts"]


GOOD = {
    "hosts": ["fd://", "tcp://192.0.2.1:2376"], "tlsverify": True, "log-opts": {"max-file": "3"}, "mtu": 1400,
    "cluster-store": "consul://127.0.0.1:8500", "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}],
    "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 1, "Soft": 1}}, "default-shm-size": "64M",
}  # fmt: skip


def test_what_docker_20_10_knows_is_let_through():
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log-levle": "info"}, "log-levle is no setting of Docker 20.10"),
        ({"proxies": {}}, "proxies is no setting of Docker 20.10"),
        ({"tlsverify": "yes"}, "tlsverify is 'yes', but must be true or false"),
        ({"mtu": "1400"}, "mtu is '1400', but must be a whole number"),
        ({"mtu": True}, "mtu is True, but must be a whole number"),
        ({"dns": "192.0.2.1"}, "dns is '192.0.2.1', but must be a list of texts"),
        ({"labels": [1]}, "labels is [1], but must be a list of texts"),
        ({"log-opts": {"max-file": 3}}, "log-opts: max-file is 3, but must be a text"),
        ({"default-address-pools": ["10.0.0.0/8"]}, "default-address-pools is ['10.0.0.0/8'], but must be a list of tables"),
    ],
)
def test_what_docker_20_10_refuses_is_found(change, message):
    assert problems(GOOD | change) == [message]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ('"https-proxy": "http://user:pw@192.0.2.1:3128",', '"https-proxy": "http://********@192.0.2.1:3128",'),
        ('"http-proxy":"user:p@w@192.0.2.1:3128"', '"http-proxy":"********@192.0.2.1:3128"'),
        ('"a": ["https://user:pw@one", "https://two"]', '"a": ["https://********@one", "https://two"]'),
        ("--http-proxy=http://user:pw@one --mtu 1", "--http-proxy=http://********@one --mtu 1"),
        ('"mail": "a@b", "https-proxy": "http://192.0.2.1:3128"', '"mail": "a@b", "https-proxy": "http://192.0.2.1:3128"'),
    ],
)
def test_users_and_passwords_of_urls_are_not_shown(content, shown):
    assert masked(content) == shown


PLUGINS = Path(__file__).parents[3] / "plugins"
# Assigned texts that cannot name a constant: documentation, and commands of a shell.
OTHER_LANGUAGES = {"DOCUMENTATION", "EXAMPLES", "RETURN", "REPORT"}


def texts(path: Path) -> list[str]:
    """The texts in the code of a file, also those that are part of an f-string."""
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and {getattr(target, "id", "") for target in node.targets} & OTHER_LANGUAGES:
            prose |= {id(part) for part in ast.walk(node.value)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose)
    return [node.value for node in constants if isinstance(node.value, str)]


@pytest.mark.parametrize("file", [DAEMON_JSON, DAEMON_JSON_WRITTEN, DAEMON_JSON_STARTED, DAEMON_JSON_LOADED])
def test_each_path_of_daemon_json_stands_once(file):
    """Who writes a file, who reads it and who names it in a message mean the same one."""
    found = [(str(path.relative_to(PLUGINS)), text) for path in PLUGINS.rglob("*.py") for text in texts(path) if file in text]
    assert found == [("module_utils/dockerd_config.py", file)]


def test_the_unit_records_where_the_modules_read():
    unit = (PLUGINS.parent / "roles/dockerd/templates/10-discovery.conf.j2").read_text()
    for record in (DAEMON_JSON_STARTED, DAEMON_JSON_LOADED):
        assert f"/usr/bin/install --mode=0600 {DAEMON_JSON} {record}\n" in unit
