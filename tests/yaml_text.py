"""YAML of the project's files, parsed by libyaml: the parser written in Python takes about ten times as long."""

from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a PyYAML that was built without libyaml has no such loader


def parse_yaml(text: str) -> Any:
    """What `yaml.safe_load` gives: the content of a text with one document."""
    return yaml.load(text, Loader=LOADER)
