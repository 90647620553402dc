"""Every variable is checked for type and content before anything changes, by the argument specs."""

import copy
import json
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import (
    as_list,
    documented_options,
    literal_problems,
    value_problem,
    variable_problems,
)
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
OPTIONS = documented_options(ROOT)
LISTS = {name: option["elements"] for name, option in sorted(OPTIONS.items()) if option["type"] == "list"}
GOOD = {
    "str": ["a", "", 1, 1.5], "path": ["/a", "~/a", ""], "bool": [True, False, "false", "Yes", 1, "0"],
    "int": [1, "1", -1, " 8 ", 2.0], "float": [1, 1.5, "1.5", "2"], "list": [[], [1], ("a",)], "dict": [{}, {"a": 1}],
    "raw": [1, "a", [], {}],
}  # fmt: skip
BAD = {
    "str": [[], {}, True, ["a"]], "path": ["a", "./a", "../a", [], True], "bool": ["maybe", 2, "", []],
    "int": ["a", "", "1.5", 1.5, True, [], {}], "float": ["a", "", True, []], "list": ["a", "", "[a]", 1, True, {}],
    "dict": ["a", "{}", "", [], 1, True], "raw": [],
}  # fmt: skip


def test_w23_all_variables_have_one_type():
    """Entry points and roles that share a variable agree."""
    types: dict[str, set] = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in parse_yaml(path.read_text())["argument_specs"].values():
            for name, option in (entry.get("options") or {}).items():
                types.setdefault(name, set()).add((option["type"], option.get("elements")))
    assert {name: found for name, found in types.items() if len(found) > 1} == {}
    assert len(OPTIONS) > 200 and {option["type"] for option in OPTIONS.values()} <= set(GOOD)


@pytest.mark.parametrize("name", [name for name, elements in LISTS.items() if elements == "dict"])
def test_w23_a_text_in_place_of_a_list_of_dictionaries_is_refused(name):
    (found,) = variable_problems(["a", "b"], {host: {name: "192.0.2.1"} for host in "ab"}, OPTIONS)
    assert found.startswith(f"on a, b, {name} is '192.0.2.1', but must be a list: set it to [\"192.0.2.1\"]")
    assert f"""-e '{{"{name}": ["192.0.2.1"]}}'""" in found


@pytest.mark.parametrize("name", [name for name, elements in LISTS.items() if elements != "dict"])
def test_w23_a_list_is_taken_as_a_single_text(name):
    choices = OPTIONS[name].get("choices")
    words = list(choices or (["80", "81"] if LISTS[name] == "int" else ["192.0.2.1", "10.8.0.0/24"]))
    texts = [words[0], ",".join(words)]
    if LISTS[name] == "str" and not choices:
        texts += ["", f"{words[0]} , {words[1]}"]
        texts += [json.dumps(words), repr(words), f"[{', '.join(words)}]", "[]"]
    of_ansible = ArgumentSpecValidator({name: {key: OPTIONS[name].get(key) for key in ("type", "elements", "choices")}})
    assert [text for text in texts if of_ansible.validate({name: text}).error_messages] == [], "it would end the run later"
    assert [text for text in texts if variable_problems(["a"], {"a": {name: text}}, OPTIONS)] == []
    (found,) = variable_problems(["a"], {"a": {name: f"{words[0]},"}}, OPTIONS)
    assert "must be a list: with -e a text with spaces needs quotes" in found, "what Ansible leaves of -e x=a, b"
    assert variable_problems(["a"], {"a": {name: True}}, OPTIONS) and variable_problems(["a"], {"a": {name: {}}}, OPTIONS)
    assert variable_problems(["a"], {"a": {name: f"[{words[0]}"}}, OPTIONS)


def test_w23_the_types_of_elements_are_known():
    """Another one needs a decision whether a text can stand for a list of them."""
    assert set(LISTS.values()) == {"str", "int", "dict"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.1", ["192.0.2.1"]),
        (" 192.0.2.1 , 192.0.2.2", ["192.0.2.1", "192.0.2.2"]),
        ('["192.0.2.1", "a, b"]', ["192.0.2.1", "a, b"]),
        ("['192.0.2.1','192.0.2.2']", ["192.0.2.1", "192.0.2.2"]),
        ("[192.0.2.1, 2001:db8::1]", ["192.0.2.1", "2001:db8::1"]),
        ("'a', \"b\"", ["a", "b"]),
        ("a b", ["a b"]),
        ("", []), ("[]", []), ("[ ]", []), ("a,", "a,"), (",", ","), ("a,,b", "a,,b"), ("[a, ]", "[a, ]"), ('["a",', '["a",'),
        ("80,81", ["80", "81"]), ("[80, 81]", [80, 81]), (80, [80]), (1.5, [1.5]),
        ("[a", "[a"), ("[1], [2]", "[1], [2]"), ("['a'], ['b']", "['a'], ['b']"),
        (["a, b"], ["a, b"]), (("a", "b"), ["a", "b"]), ({"a": 1}, {"a": 1}), (True, True), (None, None),
    ],
)  # fmt: skip
def test_w23_forms_of_a_list(value, expected):
    """A list is never split, a tuple is what INI files make of 80,81, and what stands for no list is left to the check."""
    assert as_list(value) == expected


def test_w23_a_list_is_the_same_one():
    value = ["a"]
    assert as_list(value) is value


def test_w23_a_huge_text_is_no_traceback():
    assert as_list("[" * 100_000 + "]") is not None


@pytest.mark.parametrize("name", OPTIONS)
def test_w23_types_of_each_variable(name):
    option = {key: value for key, value in OPTIONS[name].items() if key not in ("choices", "options", "elements")}
    assert [one for one in GOOD[option["type"]] if value_problem(name, one, option)] == []
    assert [one for one in BAD[option["type"]] if not value_problem(name, one, option)] == []
    assert value_problem(name, object(), OPTIONS[name]) == "", "a type of Ansible's own"
    assert (value_problem(name, None, OPTIONS[name]) == "") == bool(option.get("required"))


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.get("choices")])
def test_w23_a_word_that_is_no_choice(name):
    option = OPTIONS[name]
    several = option["type"] == "list"
    assert [one for one in option["choices"] if value_problem(name, [one] if several else one, option)] == []
    assert str(option["choices"][0]) in value_problem(name, ["other"] if several else "other", option)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("balancer_reserved_ports", "[22, 80]", ['["22", "80"]']),
        ("balancer_reserved_ports", "22, ssh", ["balancer_reserved_ports[1] is 'ssh'", "whole number"]),
        ("discovery_resolvers", '["192.0.2.1", ["192.0.2.2"]]', ["discovery_resolvers[1]", "a text"]),
        ("discovery_resolvers", "['192.0.2.1'", ['["192.0.2.1"]']),
        ("discovery_resolvers", ["192.0.2.1", ["192.0.2.2"]], ["discovery_resolvers[1]", "a text"]),
        ("balancer_reserved_ports", [22, "ssh"], ["balancer_reserved_ports[1] is 'ssh'", "whole number"]),
        ("balancer_access_log", False, ["is False", "'off'"]),
        ("discovery_overlay", "Swarm", ["'Swarm'", "none, swarm, consul"]),
        ("discovery_secrets_dir", "secrets", ["'secrets'", "absolute"]),
        ("balancer_certificates", [{"names": "a.example"}], ["balancer_certificates[0].names", '["a.example"]']),
        ("balancer_certificates", [{"key": "/k"}], ["has no names"]),
        ("balancer_certificates", [{"names": ["a.example"], "from": "ca"}], ["balancer_certificates[0].from", "files, site_ca"]),
        ("balancer_certificates", [{"name": "a.example"}], ["'name'", "names, certificate, key, from"]),
        ("dockerd_registry_mirrors", "[https://user:word@mirror.example", ["https://…@mirror.example"]),
    ],
)
def test_w23_messages_say_what_to_set(name, value, parts):
    (found,) = variable_problems(["a"], {"a": {name: value}}, OPTIONS)
    assert name in found and [part for part in parts if part not in found] == [], found
    assert "word@" not in found


def test_w23_no_secret_is_printed():
    values = {"consul_gossip_key": ["word"], "dockerd_proxies": {"https_proxy": "word"}, "dockerd_extra_config": ["word"]}
    for name, value in values.items():
        hidden = OPTIONS[name] | {"no_log": True}
        assert "word" not in " ".join(variable_problems(["a"], {"a": {name: value}}, OPTIONS | {name: hidden}))
    assert OPTIONS["consul_gossip_key"]["no_log"] is True


def test_w23_a_value_that_only_a_play_can_tell_is_left_to_it():
    class Templates(dict):
        def __getitem__(self, key):
            raise ValueError("undefined")

    assert variable_problems(["a"], {"a": Templates(discovery_resolvers=1)}, OPTIONS) == []


def test_w23_templates_of_a_play_are_left_to_it():
    values = {
        "balancer_certificates": "a",
        "discovery_resolvers": "{{ x }}",
        "balancer_http_port": "{% if x %}",
        "consul_tokens": ["{{ y }}"],
    }
    (found,) = literal_problems("a", values, OPTIONS)
    assert "on a, balancer_certificates is 'a'" in found


def test_w23_values_are_not_changed():
    values = {"discovery_resolvers": ["192.0.2.1"], "balancer_certificates": [{"names": ["a.example"]}]}
    before = copy.deepcopy(values)
    variable_problems(["a"], {"a": values}, OPTIONS)
    assert values == before
