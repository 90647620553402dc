"""The pattern of registrator_uri, which preflight checks, and every other pattern in YAML."""

import re
import warnings
from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from tests.unit.test_role_borders import Anything
from tests.yaml_text import parse_yaml

from registrator.agent import target

ROOT = Path(__file__).parents[3]
PATTERN = parse_yaml((ROOT / "roles/registrator/vars/main.yml").read_text())["__registrator_uri_pattern"]
REGULAR = ("match", "search", "regex", "regex_replace", "regex_search", "regex_findall")
JINJA = Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
JINJA.filters, JINJA.tests = Anything(), Anything()


def accepted(uri: str) -> bool:
    with warnings.catch_warnings(action="error"):  # of a pattern that says something else than it looks
        return bool(re.match(PATTERN, uri))


@pytest.mark.parametrize(
    "uri",
    ["consul-tls://127.0.0.1:8501", "consul://consul.site:8500", "consul-tls://[2001:db8::1]:8501", "consul://[::1]:8500",
     "consul-tls://[::ffff:192.0.2.1]:8501", "consul-tls://sss:1", "consul-tls://Haus-1.site.example:65535/", "consul://a_b:8500"],
)  # fmt: skip
def test_w30_any_host_with_a_port_is_accepted(uri):
    assert accepted(uri)
    assert target(uri).port > 0, "the registrator refuses it"


@pytest.mark.parametrize(
    "uri",
    ["consul://a b:8500", "consul-tls://a b:8501", "consul-tls://a", "consul-tls://a:x", "https://a:1", "consul://2001:db8::1:1",
     "consul-tls://a:0", "consul-tls://a:65536", "consul-tls://a:8501/v1", "consul-tls://a:8501\n", "consul-tls://a;b:8501",
     "consul-tls://u@a:8501", "consul-tls://$(a):8501", "consul-tls://:8501", "consul-tls://[]:8501",
     "consul-tls://a:8501?b", ""],
)  # fmt: skip
def test_w30_anything_else_is_refused(uri):
    assert not accepted(uri)


def patterns(value) -> list[str]:
    """Regular expressions that the expressions in a YAML value have as constants."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in patterns(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in patterns(inner)]
    if not isinstance(value, str) or not any(name in value for name in REGULAR):
        return []
    tree = JINJA.parse(value if "{{" in value or "{%" in value else "{{ (" + value + ") }}")
    found = []
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        arguments = [one.value for one in node.args if isinstance(one, nodes.Const)]
        if node.name.rpartition(".")[2] in REGULAR:
            found += arguments[:1]
        elif node.name in ("map", "select", "reject") and arguments and arguments[0] in REGULAR:
            found += arguments[1:2]
        elif node.name in ("selectattr", "rejectattr") and len(arguments) > 2 and arguments[1] in REGULAR:
            found.append(arguments[2])
    return [one for one in found if isinstance(one, str)]


def in_yaml() -> list[tuple[str, str]]:
    files = [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks").rglob("*.yml")]
    files = [path for path in files if path.parts[-2] != "meta"]
    return [(str(path.relative_to(ROOT)), one) for path in sorted(files) for one in expressions(path)]


def expressions(path: Path) -> list[str]:
    try:
        return patterns(parse_yaml(path.read_text()))
    except Exception as error:
        raise AssertionError(f"{path}: {error}") from error


def test_w30_no_pattern_warns():
    """An escape too many makes a nested set of a class, which Python warns of, or a class of the letters."""
    found = in_yaml()
    assert len(found) > 10
    with warnings.catch_warnings(action="error"):
        for _, pattern in found:
            re.compile(pattern)
    assert [one for one in found if "\\\\" in one[1]] == [], "a backslash is escaped twice"


def test_w30_patterns_are_found():
    value = {"when": "a is match('x[[y')", "b": "{{ c | map('regex_replace', '^d', '') | reject('match', 'e') }}"}
    assert sorted(patterns(value)) == ["^d", "e", "x[[y"]
