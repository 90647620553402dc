"""The pattern of registrator_uri, which preflight checks."""

import re
import warnings
from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

PATTERN = parse_yaml((Path(__file__).parents[3] / "roles/registrator/vars/main.yml").read_text())["__registrator_uri_pattern"]


def accepted(uri: str) -> bool:
    with warnings.catch_warnings(action="error"):  # of a pattern that says something else than it looks
        return bool(re.match(PATTERN, uri))


@pytest.mark.parametrize("uri", ["consul-tls://127.0.0.1:8501", "consul://consul.site:8500", "consul-tls://[2001:db8::1]:8501"])
def test_an_address_with_a_port_is_accepted(uri):
    assert accepted(uri)


@pytest.mark.parametrize("uri", ["consul-tls://a b:8501", "consul-tls://a", "consul-tls://a:x", "https://a:1", "consul://2001:db8::1:1"])
def test_anything_else_is_refused(uri):
    assert not accepted(uri)
