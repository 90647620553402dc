import json

from ansible_collections.fewnodes.discovery.plugins.modules.consul_tokens_held import digest, kept, missing, unsynced

WEB = {"ID": "web-1", "Service": "web", "Tags": ["http"], "Meta": {"hash": "1"}, "Address": "192.0.2.1", "Port": 80}
PASSING, CRITICAL = {"Status": "passing"}, {"Status": "critical"}
IN_SYNC = ({"web-1": WEB}, {"c": PASSING}, {"web-1": WEB}, {"c": PASSING})


def write(folder, kind, name, content):
    (folder / kind).mkdir(exist_ok=True)
    (folder / kind / name).write_text(json.dumps(content))


def test_what_the_agent_keeps(tmp_path):
    assert kept(tmp_path) == []
    write(tmp_path, "services", "0a", {"Token": "old", "Service": {"ID": "web-1"}})
    write(tmp_path, "services", "0a.1.tmp", {})
    write(tmp_path, "checks", "0b", {"Token": "new", "Check": {"CheckID": "service:web-1:health"}})
    (tmp_path / "checks/state").mkdir()
    assert kept(tmp_path) == [("service web-1", "old"), ("check service:web-1:health", "new")]


def test_a_check_under_the_old_token_is_named_and_the_token_is_not(tmp_path):
    write(tmp_path, "services", "0a", {"Token": "new", "Service": {"ID": "web-1"}})
    write(tmp_path, "checks", "0b", {"Token": "secret-old", "Check": {"CheckID": "c"}})
    message = missing({digest("secret-old")}, tmp_path, IN_SYNC)
    assert "check c" in message and "web-1" not in message and "secret-old" not in message
    assert missing({digest("other")}, tmp_path, IN_SYNC) == ""


def test_the_catalog_must_show_what_the_agent_has(tmp_path):
    assert unsynced(*IN_SYNC) == []
    assert unsynced({"web-1": WEB | {"Meta": {"hash": "2"}}}, {}, {"web-1": WEB}, {}) == ["service web-1"]
    assert unsynced({}, {}, {"web-1": WEB}, {}) == ["service web-1"]
    assert unsynced({"web-1": WEB}, {}, {}, {}) == ["service web-1"]
    assert unsynced({}, {"c": CRITICAL}, {}, {"c": PASSING}) == ["check c"]
    assert "check c" in missing(set(), tmp_path, ({}, {"c": CRITICAL}, {}, {"c": PASSING}))


def test_no_tags_are_no_difference():
    assert unsynced({"w": WEB | {"Tags": None}}, {}, {"w": WEB | {"Tags": []}}, {}) == []
