"""Follows secrets through YAML and Jinja: which tasks are given one, and whether it is kept out of journals, output and argv.

A secret is what `fewnodes.discovery.secret` reads, an option that argument specs mark `no_log`, join tokens of a swarm, and the
result of a task that hides it. Each variable, template and result that is made of one is a secret, too.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from tests.support.tasks import is_task, nearest, walk
from tests.yaml_text import parse_yaml

SECRET_LOOKUP = "fewnodes.discovery.secret"
SECRET_ATTRIBUTES = {"JoinTokens"}
# Attributes of results, and filters, that hold nothing of a secret that went in.
PUBLIC_ATTRIBUTES = {
    "accessor", "certificate", "changed", "csr", "digest", "failed", "installed", "known", "msg", "rc", "rotated", "status",
    "stderr", "superseded", "unknown", "Version",
}  # fmt: skip
PUBLIC_FILTER = re.compile(r"fewnodes\.discovery\.\w*(problems|request|scale_\w+|public_\w+)|length|bool|type_debug|hash")
PUBLIC_PATTERNS = {"reset index: ([0-9]+)"}  # of regex_search: a number
# Arguments that hold a secret by their name, whatever their value is.
SECRET_NAME = re.compile(r"(^|[_-])(token|secret|password|passwd|authorization|(private|client_)key_content)$", re.IGNORECASE)
# Modules that write files; of managed_files the argument `files` is a list of what the arguments of others are.
WRITERS = {"blockinfile", "copy", "lineinfile", "managed_files", "template"}
PRIVATE = re.compile(r"0?[0-7][0-7]0")
COMMANDS = {"command", "shell", "raw", "script", "expect"}
# Keywords of a task; any other key is its module.
KEYWORDS = {
    "any_errors_fatal", "args", "async", "become", "become_user", "changed_when", "check_mode", "connection", "delay",
    "delegate_facts", "delegate_to", "diff", "environment", "failed_when", "ignore_errors", "ignore_unreachable", "listen",
    "loop", "loop_control", "module_defaults", "name", "no_log", "notify", "poll", "register", "retries", "run_once", "tags",
    "throttle", "timeout", "until", "vars", "when",
}  # fmt: skip
# Their variables are no arguments of a module: nothing logs them.
CALLS = {"include_tasks", "import_tasks", "include_role", "import_role", "meta"}
parse = functools.cache(jinja2.Environment().parse)


@dataclass(frozen=True)
class Task:
    """One task with what it inherits from its blocks and play."""

    file: str
    step: dict
    no_log: bool
    variables: dict = field(default_factory=dict)
    environments: tuple = ()

    @property
    def module(self) -> str:
        return next((key for key in self.step if key not in KEYWORDS and not key.startswith("with_")), "")

    @property
    def arguments(self) -> dict:
        given = self.step.get(self.module)
        return (given if isinstance(given, dict) else {"free_form": given}) | (self.step.get("args") or {})

    @property
    def is_call(self) -> bool:
        return self.module.rpartition(".")[2] in CALLS

    def __str__(self) -> str:
        return f"{self.file}: {self.step.get('name', self.module)}"


def tasks_of(file: str, document: Any) -> Iterator[Task]:
    """The tasks of a file of tasks or plays, those in blocks too."""
    for step, around in walk(document):
        if is_task(step) and "ansible.builtin.import_playbook" not in step:
            line = (*around, step)
            variables = {name: value for one in line for name, value in (one.get("vars") or {}).items()}
            environments = tuple(one["environment"] for one in line if one.get("environment"))
            yield Task(file, step, bool(nearest("no_log", step, around)), variables, environments)


def texts(value: Any) -> Iterator[str]:
    """Every text in a YAML value."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


class Flow:
    """What holds a secret, over all roles and playbooks.

    :param variables: name to value, of everything that is defined outside of tasks
    :param secrets: names of variables that are secrets by themselves
    :param templates: text of each template by its file name
    :param tasks: all of them: their results are variables, too
    """

    def __init__(self, variables: dict[str, Any], secrets: set[str], templates: dict[str, str], tasks: list[Task]):
        self.templates, self.names, self._files, self._variables = templates, set(secrets), set(), variables
        while True:
            found = {name for name, value in variables.items() if self.is_secret(value)}
            found |= {name for task in tasks for name in self._results(task)}
            files = {name for name, text in templates.items() if self.is_secret(text)}
            if found <= self.names and files <= self._files:
                return
            self.names |= found
            self._files |= files

    def _results(self, task: Task) -> Iterator[str]:
        """Names that a task leaves, and that hold a secret."""
        if "register" in task.step and task.no_log:
            yield task.step["register"]
        if task.module.endswith("set_fact"):
            yield from (name for name, value in task.arguments.items() if self.is_secret(value, task.variables))

    def is_secret(self, value: Any, variables: dict | None = None) -> bool:
        """Whether a value has a secret in it.

        :param variables: of the task, its blocks and play
        """
        return any(self._node(parse(text), variables or {}) for text in texts(value) if "{" in text)

    def _node(self, node: nodes.Node, variables: dict) -> bool:
        match node:
            case nodes.Call(node=nodes.Name(name="lookup" | "query" | "q"), args=[nodes.Const(value=plugin), *arguments]):
                files = {one.value for one in arguments if isinstance(one, nodes.Const)}
                return plugin == SECRET_LOOKUP or ("template" in str(plugin) and not files.isdisjoint(self._files))
            case nodes.Name(name=name):
                inner = {key: value for key, value in variables.items() if key != name}
                return self.is_secret(variables[name], inner) if name in variables else name in self.names
            case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=name)) if name in PUBLIC_ATTRIBUTES:
                return False
            case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=name)) if name in SECRET_ATTRIBUTES:
                return True
            case nodes.Getitem():
                return self._node(node.node, variables)
            case nodes.Filter(name=name) if PUBLIC_FILTER.fullmatch(name):
                return False
            case nodes.Filter(name="regex_search", args=[nodes.Const(value=pattern), *_]) if pattern in PUBLIC_PATTERNS:
                return False
            case nodes.CondExpr():
                return any(self._node(one, variables) for one in (node.expr1, node.expr2) if one)
            case nodes.If():
                return any(self._node(one, variables) for one in [*node.body, *node.elif_, *node.else_])
            case nodes.Compare() | nodes.Test() | nodes.Not():
                return False
            case _:
                return any(self._node(child, variables) for child in node.iter_child_nodes())

    def problems(self, task: Task, marked: set[str]) -> list[str]:
        """Where a task lets a secret out.

        :param marked: parameters that its module never logs
        """
        found = []
        if any(self.is_secret(one, task.variables) for one in task.environments):
            found.append(f"{task}: `environment` is readable in `ps`; give the secret by a parameter, stdin or a file")
        if task.is_call:
            return found
        given = {name for name, value in task.arguments.items() if self._given(task, value)}
        if task.module.rpartition(".")[2] in COMMANDS and given - {"stdin"}:
            found.append(f"{task}: the arguments of a command are readable in `ps`; give the secret by stdin or a file")
        found += self._open_files(task)
        if task.no_log:
            return found
        given |= {name for name, value in task.arguments.items() if _named(name, value)}
        shown = sorted(given - marked)
        if shown:
            found.append(f"{task}: `no_log: true` is missing, or `no_log` in the module, for {', '.join(shown)}")
        if self.is_secret(task.step.get("loop"), task.variables) and "label" not in task.step.get("loop_control", {}):
            found.append(f"{task}: `no_log: true` is missing: `loop` shows its items")
        return found

    def _open_files(self, task: Task) -> Iterator[str]:
        """Files with a secret that others than their owner and group may read."""
        if task.module.rpartition(".")[2] not in WRITERS:
            return
        for file in self._entries(task.arguments.get("files", [task.arguments]), task.variables):
            content = [file.get(name) for name in ("content", "src", "block", "line")]
            if any(self._given(task, value) for value in content) and not PRIVATE.fullmatch(str(file.get("mode", ""))):
                yield f"{task}: a file with a secret needs a `mode` that gives others nothing"

    def _entries(self, files: Any, variables: dict) -> Iterator[dict]:
        """Entries of `files`: its own, or those of variables that it is made of; a secret beside these is a file of any mode."""
        if isinstance(files, list):
            yield from files
            return
        names = {name.name for name in parse(files).find_all(nodes.Name)}
        if self._node(parse(files), dict.fromkeys(names, "")):
            yield {"content": files}
        for name in names:
            value = variables.get(name, self._variables.get(name, []))
            if isinstance(value, list | str):
                yield from self._entries(value, {key: inner for key, inner in variables.items() if key != name})

    def _given(self, task: Task, value: Any) -> bool:
        if task.module.endswith("template") and isinstance(value, str) and value in self._files:
            return True
        return self.is_secret(value, task.variables)


def _named(name: str, value: Any) -> bool:
    """Whether an argument, or one inside it, is a secret by its name; an empty one is none."""
    if isinstance(value, dict):
        return any(_named(key, inner) for key, inner in value.items())
    return bool(SECRET_NAME.search(name)) and value not in (None, "", False)


def marked_parameters(source: str) -> set[str]:
    """Parameters of a module or action that its argument spec marks with no_log, from its source."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(value, ast.Dict) and "'no_log': True" in ast.unparse(value):
                    found.add(ast.literal_eval(key))
    return found


def template_of(path: Path) -> str:
    """A template for Jinja2. In one of Go's the expressions are Go's, and Ansible's stand in [[ ]]."""
    text = path.read_text()
    if path.suffix == ".ctmpl":
        text = re.sub(r"{{.*?}}", "", text, flags=re.DOTALL).replace("[[", "{{").replace("]]", "}}")
    return text


def collection(root: Path) -> tuple[Flow, list[Task], dict[str, set[str]]]:
    """The flow, the tasks, and the marked parameters by module, of a collection."""
    files = [*root.glob("roles/*/tasks/**/*.yml"), *root.glob("roles/*/handlers/*.yml"), *root.glob("playbooks/**/*.yml")]
    documents = {str(path.relative_to(root)): parse_yaml(path.read_text()) for path in sorted(files)}
    tasks = [task for name, document in documents.items() for task in tasks_of(name, document)]
    defined = [*root.glob("roles/*/defaults/main.yml"), *root.glob("roles/*/vars/main.yml"), *root.glob("playbooks/vars/*.yml")]
    variables: dict[str, Any] = {}
    for path in sorted(defined):
        variables |= parse_yaml(path.read_text()) or {}
    secrets = set()
    for path in root.glob("roles/*/meta/argument_specs.yml"):
        for entry in parse_yaml(path.read_text())["argument_specs"].values():
            secrets |= {name for name, option in (entry.get("options") or {}).items() if option.get("no_log")}
    templates = {path.name: template_of(path) for path in root.glob("roles/*/templates/**/*") if path.is_file()}
    marked: dict[str, set[str]] = {}
    for path in [*root.glob("plugins/modules/*.py"), *root.glob("plugins/action/*.py")]:
        marked.setdefault(f"fewnodes.discovery.{path.stem}", set()).update(marked_parameters(path.read_text()))
    return Flow(variables, secrets, templates, tasks), tasks, marked
