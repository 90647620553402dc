"""The table of limits: each has a variable with that default and a directive of every backend, and is in the documents."""

import re
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

from discovery_balancer.limits import KINDS, LIMITS

ROLES = Path(__file__).parents[3] / "roles"
DEFAULTS = parse_yaml((ROLES / "balancer/defaults/main.yml").read_text())
SPECS = parse_yaml((ROLES / "balancer/meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
NGINX = parse_yaml((ROLES / "nginx/vars/main.yml").read_text())


@pytest.mark.parametrize("limit", LIMITS, ids=[limit.name for limit in LIMITS])
def test_each_limit_is_a_variable_with_that_default(limit):
    value = DEFAULTS[limit.variable]
    assert (str(value), str(SPECS[limit.variable]["default"])) == (limit.default, limit.default)
    assert (limit.problem(value), isinstance(value, int)) == ("", limit.kind == "count")


def test_nginx_has_directives_for_each_limit():
    assert NGINX["__nginx_limits"].keys() | NGINX["__nginx_stream_limits"].keys() == {limit.name for limit in LIMITS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["", " ", "1;", "1\n", "-1", "x", "1 s", "$host", "1{", "٣", None, True, 1.5, "9" * 12])
def test_no_limit_takes_what_could_not_be_rendered(kind, value):
    assert not KINDS[kind][0].fullmatch(str(value))


@pytest.mark.parametrize(
    ("value", "good"),
    [("0", True), ("0k", True), ("1m", True), ("64m", True), ("1000k", True), ("1000000", True), ("999k", False), ("68k", False)],
)
def test_w8_an_answer_on_disk_is_longer_than_a_buffer(value, good):
    """nginx refuses its whole configuration otherwise, for the label of one service."""
    assert bool(KINDS["disk"][0].fullmatch(value)) is good


def test_no_other_limit_stands_in_the_template():
    """A timeout or size of clients is in the table, where a site can find it."""
    text = (ROLES / "nginx/templates/nginx.conf.j2").read_text()
    constant = {"preread_timeout", "worker_shutdown_timeout", "ssl_session_timeout", "proxy_next_upstream_timeout"}
    found = set(re.findall(r"^\s*((?!\w*hash_)\w*(?:timeout|buffers?|max_\w*size|header_buffers|buffer_size)) ", text, re.M))
    assert found <= constant
