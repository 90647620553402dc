"""Leftovers: the names that one footprint has and the other has not."""

from tests.support.footprint import OF_A_HOST, differences

FRESH = {"a": {"units": ["consul.service enabled"], "tables": []}, "cluster": {"tokens": ["agent on a"]}}


def test_the_same_footprint_has_no_differences():
    assert differences(FRESH, FRESH) == []


def test_leftovers_and_missing_names_are_listed():
    found = {"a": {"units": ["old.service enabled"], "tables": ["table inet old"]}, "cluster": {"tokens": ["agent on a"] * 2}}
    assert differences(FRESH, found) == [
        "a: tables: leftover: table inet old",
        "a: units: leftover: old.service enabled",
        "a: units: missing: consul.service enabled",
        "cluster: tokens: leftover: agent on a",
    ]


def test_a_place_that_only_one_has():
    assert differences({}, {"b": {"files": ["/etc/x"]}}) == ["b: files: leftover: /etc/x"]


def test_every_command_is_one_line_of_shell():
    assert [kind for kind, command in OF_A_HOST.items() if "\n" in command] == []
