"""Types and contents of variables that an inventory or the command line sets, as the argument specs have them."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# As Ansible's filter bool and its own checks read them.
TRUE, FALSE = ("yes", "on", "true", "y", "t", "1"), ("no", "off", "false", "n", "f", "0")
INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
NUMBER = re.compile(r"\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)\s*")
USER_INFO = re.compile(r"//[^/@\s]*@")
NOUNS = {
    "str": "a text", "path": "a path", "bool": "true or false", "int": "a whole number", "float": "a number",
    "list": "a list", "dict": "a dictionary",
}  # fmt: skip


@cache
def documented_options(root: Path = ROOT) -> dict[str, dict]:
    """Every documented variable with its option: type, elements, choices, options, no_log.

    :param root: directory of the collection
    """
    found = {}
    for path in sorted(root.glob("roles/*/meta/argument_specs.yml")):
        for entry in (yaml.load(path.read_text(), LOADER) or {})["argument_specs"].values():
            for name, option in (entry.get("options") or {}).items():
                found[name] = option | found.get(name, {})  # the parts of a dictionary are documented once
    for section in (yaml.load((root / "meta/site_variables.yml").read_text(), LOADER)).values():
        found |= section["options"]
    return found


def variable_problems(hosts: Iterable[str], hostvars: Mapping, options: Mapping[str, Mapping] | None = None) -> list[str]:
    """Variables of hosts whose values have another type or content than documented, one message for each value.

    Where everything is text, with -e and in INI files, numbers and booleans may be text, and so may lists of texts or numbers
    (`as_list`). A list of dictionaries and a dictionary may not.

    :param hosts: names of the hosts whose variables count
    :param hostvars: Ansible's, or host name to its variables
    :param options: variable to its option; by default `documented_options`
    :returns: [] when nothing is wrong. A message names variable, hosts, value and what to set, and no value that may be secret
    """
    options = documented_options() if options is None else options
    found: dict[str, list[str]] = {}
    for host in hosts:
        variables = hostvars[host]
        for name in options:
            if name in variables:
                problem = value_problem(name, _value(variables, name), options[name])
                if problem:
                    found.setdefault(problem, []).append(host)
    return [f"on {', '.join(names)}, {problem}" for problem, names in found.items()]


def literal_problems(host: str, variables: Mapping, options: Mapping[str, Mapping] | None = None) -> list[str]:
    """As `variable_problems`, of variables before they are templated, such as those of a play: only what is no template counts.

    :param host: name of the host, for the messages
    """
    options = documented_options() if options is None else options
    literals = {name: variables[name] for name in options if name in variables and _is_literal(variables[name])}
    return variable_problems([host], {host: literals}, options)


def _is_literal(value: object) -> bool:
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    return isinstance(value, (bool, int, float))


def _value(variables: Mapping, name: str) -> object:
    """The value, or an object of no known type where it depends on what only a play has."""
    try:
        return variables[name]
    except Exception:  # whatever a template raises; the play that reads it fails with its message
        return object()


def as_list(value: object) -> object:
    """The list that a value stands for, so that a single text will do.

    :param value: a list, which stays as it is; a tuple, as INI files have `80, 81`; one number; or a text: a list of JSON or of
        Python (`["a", "b"]`, `['a', 'b']`), words in brackets (`[a, b]`), or words with commas between them (`a`, `a, b`), none
        of them empty: of `-e x=a, b` Ansible drops the last word, and leaves `a,`
    :returns: a list; any other value as it is, for whoever finds it wrong
    """
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    if not isinstance(value, str):
        return [value]
    text = str(value).strip()
    if not text.startswith("["):
        return value if (words := _words(text)) is None else words
    if not text.endswith("]"):
        return value
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            found = read(text)
            # `[1], [2]` is a tuple of two lists.
            return found if isinstance(found, list) else value
    return value if (words := _words(text[1:-1].strip())) is None else words


def _words(text: str) -> list[str] | None:
    """Words with commas between them, None where one is empty."""
    words = [one.strip().strip("'\"").strip() for one in text.split(",")] if text else []
    return words if all(words) else None


def value_problem(name: str, value: object, option: Mapping, part: bool = False) -> str:
    """What is wrong with one value, '' when nothing is.

    :param name: the variable, or the part of it, such as `balancer_certificates[0].names`
    :param option: of the argument specs
    :param part: whether it is part of another value, where a list is a list
    """
    kind = option.get("type", "str")
    if kind == "list" and not part and _may_be_text(value, option):
        value = as_list(value)
    secret = bool(option.get("no_log"))
    if value is None:
        return "" if option.get("required") else f"{name} is empty: set it to {NOUNS.get(kind, 'a value')}, or remove it"
    problem = _of_kind(name, value, kind)
    if problem:
        return f"{name} is {_shown(value, secret)}, but must be {NOUNS[kind]}: {problem}"
    if kind == "list" and isinstance(value, (list, tuple)):
        element = {"type": option.get("elements", "raw")} | {
            key: option[key] for key in ("options", "choices", "no_log") if key in option
        }
        problems = [value_problem(f"{name}[{number}]", one, element, part=True) for number, one in enumerate(value)]
        return next(filter(None, problems), "")
    if kind == "dict" and isinstance(value, Mapping) and option.get("options"):
        return _of_parts(name, value, option["options"])
    if kind != "list" and option.get("choices") and str(value) not in map(str, option["choices"]) and _known(value):
        return f"{name} is {_shown(value, secret)}: set it to one of {', '.join(map(str, option['choices']))}"
    return ""


def _may_be_text(value: object, option: Mapping) -> bool:
    """Whether a value may stand for a list of this kind. Ansible's own check of a role's arguments, which comes later, splits a
    text at commas and does no more, so numbers and words of a choice may not be written in another way."""
    elements = option.get("elements")
    if elements not in ("str", "int") or not isinstance(value, str) or (elements == "str" and not option.get("choices")):
        return elements in ("str", "int")
    return [one.strip() if elements == "int" else one for one in value.split(",")] == as_list(value)


def _of_kind(name: str, value: object, kind: str) -> str:
    """What to set where a value is of another type, '' for the right one and for values that only Ansible understands."""
    boolean, text = isinstance(value, bool), isinstance(value, str)
    number = isinstance(value, (int, float)) and not boolean
    if not _known(value) or kind not in NOUNS:
        return ""
    if kind == "list":
        return "" if isinstance(value, (list, tuple)) else _as_list(name, value)
    if kind == "dict":
        example = f"""; with -e as JSON: -e '{{"{name}": {{…}}}}'""" if text else ""
        return "" if isinstance(value, Mapping) else f"set it to keys with values{example}"
    if kind == "bool":
        right = boolean or str(value).lower() in TRUE + FALSE
        return "" if right else "set it to one of them"
    if kind in ("int", "float"):
        right = (number and (kind == "float" or value == int(value))) or (
            text and (INTEGER if kind == "int" else NUMBER).fullmatch(value)
        )
        return "" if right else "set it to one, in digits"
    if boolean:  # of YAML, such as off
        return f"put the word that you mean between quotes, such as '{'on' if value else 'off'}'"
    if not (text or number):
        return "set it to one"
    if kind == "path" and str(value) and not str(value).startswith(("/", "~")):
        return "set it to an absolute one, which does not depend on the directory that Ansible is started in"
    return ""


def _as_list(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "set it to a list"
    elements = [one.strip() for one in str(value).strip("[]").split(",")] if isinstance(value, str) else [value]
    elements = [one.strip("'\" ") if isinstance(one, str) else one for one in elements if one != ""]
    hint = "with -e a text with spaces needs quotes within the quotes; " if str(value).rstrip().endswith(",") else ""
    example = _masked(json.dumps({name: elements}, ensure_ascii=False))
    listed = _masked(json.dumps(elements, ensure_ascii=False))
    return f"{hint}set it to {listed} in the inventory; with -e as JSON: -e '{example}'"


def _of_parts(name: str, value: Mapping, options: Mapping[str, Mapping]) -> str:
    """The first mistake in a dictionary with documented keys."""
    for key in value:
        if key not in options:
            return f"{name} has {key!r}, which nothing reads: set {', '.join(options)}"
    for key, option in options.items():
        if option.get("required") and value.get(key) is None:
            return f"{name} has no {key}: set it to {NOUNS.get(option.get('type', 'str'), 'a value')}"
        if key in value and (problem := value_problem(f"{name}.{key}", value[key], option, part=True)):
            return problem
    return ""


def _known(value: object) -> bool:
    """Whether a value is of a type that YAML has; others, such as an encrypted text, are Ansible's own."""
    return isinstance(value, (bool, int, float, str, list, tuple, Mapping))


def _shown(value: object, secret: bool) -> str:
    """A value in a message; a dictionary may hold passwords."""
    if secret or isinstance(value, Mapping):
        return "a dictionary" if isinstance(value, Mapping) else "a list" if isinstance(value, (list, tuple)) else "another value"
    text = repr(str(value)) if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
    return _masked(text if len(text) < 100 else text[:96] + "…")


def _masked(text: str) -> str:
    """Without user and password of a URL."""
    return USER_INFO.sub("//…@", text)
