"""Writes the variable tables of the role READMEs and of docs/variables.md, and the comments in defaults: `make docs`.

meta/argument_specs.yml of a role is the source of types and descriptions, defaults/main.yml the source of defaults. A README's
tables stand between two markers; everything else in it is written by hand. The variables of a site (`discovery_*`) belong to no
role: their source is meta/site_variables.yml, in the same form.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- variables: begin -->", "<!-- variables: end -->"
WIDTH = 120
VARIABLE = re.compile(r"^([a-z_][a-z0-9_]*):")
HEADING = "# ---"
NOTE = "# The comments are made from meta/argument_specs.yml: make docs\n"
# C(code), O(option), V(value), M(module), P(plugin#type)
MARKUP = re.compile(r"\b[COVMP]\(((?:[^()#]|\([^()]*\))*)(?:#\w+)?\)")
# {{ discovery_x | default(y) }}: the site's variable, else y; with `, true` also where that is empty.
OR_ELSE = re.compile(r"\{\{ (\w+) \| default\((.*?)(?:, true)?\) \}\}")
# A single text may stand for a list, which is said once for all of them.
CONVERTED = " | fewnodes.discovery.as_list"
QUOTES, EMPTY = "'\"", '""'
# Expressions that many defaults have.
PHRASES = {
    "{{ [inventory_hostname] | fewnodes.discovery.addresses(hostvars) | first }}": "the host's `discovery_address`",
    "{{ [inventory_hostname] | fewnodes.discovery.node_names(hostvars) | first }}": "the host's `discovery_node_name`",
    "{{ inventory_hostname }}": "the host's inventory name",
    "['{{ inventory_hostname }}']": "this host alone",
    "inventory_dir ~ '/.secrets'": "`<inventory directory>/.secrets`",
    "inventory_dir ~ '/.backups'": "`<inventory directory>/.backups`",
}
SIMPLE = re.compile(r"""'[^']*'|"[^"]*"|\d+|true|false|\[\]|\{\}""")


def load(path: Path) -> dict:
    return (parse_yaml(path.read_text()) or {}) if path.is_file() else {}


def plain(description: str | list[str]) -> str:
    """A description without Ansible's markup, as one paragraph."""
    text = " ".join(description) if isinstance(description, list) else description
    return MARKUP.sub(r"\1", " ".join(text.split()))


def marked(description: str | list[str], names: set[str]) -> str:
    """A description as Markdown: Ansible's markup and the names of variables become code."""
    text = " ".join(description) if isinstance(description, list) else description
    text = MARKUP.sub(r"`\1`", " ".join(text.split()))
    pieces = re.split(r"(`[^`]*`)", text)
    known = re.compile(r"\b(discovery_\w+" + "".join(rf"|{re.escape(name)}" for name in sorted(names, reverse=True)) + r")\b")
    pieces[::2] = [known.sub(r"`\1`", piece).replace("<", "\\<") for piece in pieces[::2]]
    return "".join(pieces).replace("|", "\\|")


def code(value: object) -> str:
    """A value as YAML has it, in one line."""
    if isinstance(value, str) and value:
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).removesuffix("...\n").strip()


def in_words(value: object) -> str:
    """A default of the argument specs that describes an expression: text of several words stays, a value becomes code."""
    words = isinstance(value, str) and (value == "computed" or (" " in value and "{{" not in value))
    return value if words else f"`{code(value)}`"


def default(name: str, option: dict, defaults: dict) -> str:
    """What the column `default` shows: the value, or what an expression reads.

    An expression that is too long to show is `computed`, or what the option itself has as a default.
    """
    if option.get("required"):
        return "required"
    if name not in defaults and "default" not in option:
        return ""
    value = defaults.get(name, option.get("default"))
    text = code(value).replace(CONVERTED, "")
    computed = in_words(option.get("default", "computed"))
    if text in PHRASES:
        return PHRASES[text]
    expression = OR_ELSE.fullmatch(text)
    if expression:
        fallback = computed if not SIMPLE.fullmatch(expression[2]) else f"`{expression[2].strip(QUOTES) or EMPTY}`"
        return f"`{expression[1]}`, else {PHRASES.get(expression[2], fallback)}"
    if isinstance(value, dict) and len(text) > 60:
        return ", ".join(f"`{key}`" for key in value)
    if "{{" in text and (len(text) > 60 or not computed.startswith("`") and computed != "computed"):
        return computed
    return "`" + text.replace("''", EMPTY).replace("|", "\\|") + "`"


def kind(option: dict) -> str:
    return option.get("type", "str") + (f" of {option['elements']}" if "elements" in option else "")


def table(options: dict[str, dict], defaults: dict) -> str:
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        meaning = marked(option["description"], set(options) | set(defaults))
        meaning, _, example = meaning.partition(" Example: ")
        meaning += "" if "choices" not in option else " One of " + ", ".join(f"`{code(one)}`" for one in option["choices"]) + "."
        meaning += f" Example: `{example.strip('`')}`" if example else ""
        lines.append(f"| `{name}` | {kind(option)} | {default(name, option, defaults)} | {meaning} |")
    return "\n".join(lines)


def role_tables(role: Path) -> str:
    """One table for the entry point main alone; else one for each entry point that is described, under its name."""
    specs, defaults = load(role / "meta/argument_specs.yml")["argument_specs"], load(role / "defaults/main.yml")
    parts = []
    for entry, spec in ((entry, spec) for entry, spec in specs.items() if spec):
        options = spec.get("options") or {}
        if len(specs) > 1:
            parts.append(f"### `{entry}`\n\n{marked(spec['description'], set())}")
        if options:
            parts.append(table(options, defaults))
        elif len(specs) == 1:
            parts.append("None.")
    return "\n\n".join(parts)


def site_tables(sections: dict) -> str:
    return "\n\n".join(
        f"## {section['title']}\n\n{section['description'].strip()}\n\n{table(section['options'], {})}"
        for section in sections.values()
    )


def between_markers(text: str, inner: str) -> str:
    """The text of a document with what stands between its markers replaced; without markers they go to its end."""
    if BEGIN not in text:
        text = f"{text.rstrip()}\n\n## Variables\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{inner}\n\n{END}{after}"


def commented(text: str, descriptions: dict[str, str]) -> str:
    """A defaults file with the comment above each variable that is described made from its description.

    A blank line stands above each comment; headings (`# --- Network`) stay.
    """
    lines: list[str] = []
    if NOTE not in text:
        text = text.replace("---\n", f"---\n{NOTE}\n", 1)
    for line in text.splitlines():
        found = VARIABLE.match(line)
        if found and found[1] in descriptions:
            while lines and lines[-1].startswith("#") and not lines[-1].startswith(HEADING):
                lines.pop()
            if lines and lines[-1]:
                lines.append("")
            description, _, example = descriptions[found[1]].partition(" Example: ")
            lines += textwrap.wrap(description, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
            lines += [f"# Example: {example}"] if example else []
        lines.append(line)
    return "\n".join(lines) + "\n"


def role_defaults(role: Path) -> str:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    descriptions: dict[str, str] = {}
    for name, option in (item for spec in specs.values() for item in (spec.get("options") or {}).items()):
        descriptions[name] = max(descriptions.get(name, ""), plain(option["description"]), key=len)  # of several entry points
    return commented((role / "defaults/main.yml").read_text(), descriptions)


def documents() -> dict[Path, str]:
    """What each generated file should hold, by its path."""
    wanted = {}
    for role in sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")):
        readme, defaults = role / "README.md", role / "defaults/main.yml"
        wanted[readme] = between_markers(readme.read_text(), role_tables(role))
        if defaults.is_file():
            wanted[defaults] = role_defaults(role)
    page = ROOT / "docs/variables.md"
    wanted[page] = between_markers(page.read_text(), site_tables(load(ROOT / "meta/site_variables.yml")))
    return wanted
