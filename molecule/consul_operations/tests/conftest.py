"""What holds for every operation that is tested here."""

import json

import pytest


def settings(site) -> dict[str, dict]:
    """The agents' configuration files without the gossip key, which an operation changes."""
    files = {node.name: json.loads(node.feed("cat /etc/consul.d/consul.json", "")) for node in site.servers}
    return {name: {key: value for key, value in file.items() if key != "encrypt"} for name, file in files.items()}


@pytest.fixture(scope="module", autouse=True)
def put_back(site):
    """A module that changes the site's settings puts them back: the next one counts changes and restarts."""
    before = settings(site)
    yield
    assert settings(site) == before
