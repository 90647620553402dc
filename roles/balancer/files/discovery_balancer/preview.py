"""The change that the next sync would make, for people. Writes nothing and runs nothing but `consul-template -once -dry`."""

import json
import re
import subprocess

from . import backends
from .plan import plan
from .sync import usable

TEMPLATE = ["/usr/local/bin/consul-template", "-config=/etc/consul-template/consul-template.hcl"]
SECONDS = 30
PASSWORD = re.compile(r"^(.    user \S+ password )\S+$")  # a hash, in HAProxy's lists of users


def preview(store, options, template) -> tuple:
    """The difference between what serves and what Consul's catalog would make now, as text, and 0; or the problem, and 1.

    :param template: command line of consul-template with its configuration
    """
    import difflib

    try:
        text = rendered(template)
        catalog, problem = usable(json.loads(text) if text else store.catalog())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        catalog, problem = None, str(error)
    if catalog is None:
        return f"failed: {problem}", 1
    balancer = backends.make(options)
    wanted = plan(catalog, options, balancer.addresses())
    files, _unused = balancer.files(wanted)
    current = store.current()
    lines = []
    for name, text in sorted(files.items()):
        file = current and current.path / name
        now = file.read_text() if file and file.exists() else ""  # a backend of before has other files
        lines += difflib.unified_diff(now.splitlines(), text.splitlines(), f"now/{name}", f"next/{name}", n=1, lineterm="")
    lines += [f"skipped: {name}: {reason}" for name, reason in wanted.skipped]
    lines += [f"warning: {name}: {reason}" for name, reason in wanted.warnings]
    return "\n".join(printable(PASSWORD.sub(r"\1...", line)) for line in lines) or "nothing would change", 0


def rendered(template, seconds=SECONDS) -> str:
    """The catalog that consul-template would write: it prints it after a line "> <file>", or nothing when it is unchanged.

    :param template: its command line, with its configuration
    :param seconds: for that
    :raises ValueError: it failed
    """
    command = [*template, "-once", "-dry"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"consul-template has got no answer within {seconds} s") from None
    head, _unused, text = done.stdout.partition("\n")
    if done.returncode or (head and not head.startswith("> ")):
        raise ValueError(f"consul-template: {(done.stderr or done.stdout).strip()[-500:]}")
    return text


def printable(text) -> str:
    """Names come from the catalog: nothing in them may act on a terminal or a log."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
