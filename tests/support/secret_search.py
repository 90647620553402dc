"""Where secrets of a site stand outside of their own files: on its hosts, on the controller, in the outputs of plays.

A secret is looked for as it is, in base64 at each of its three alignments, URL-quoted, and as a JSON string. Secrets that a
rotation has replaced are looked for as well: every test notes those that it finds.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.site import Node, Site

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("secret_search_host.py")
NOTING = threading.Lock()
SHORTEST = 16  # characters; a shorter line is no secret
# Where a host keeps secrets, by their names on the controller. None of these files may be readable for everybody.
PLACES = [
    ("gossip_key", r"/etc/consul\.d/consul\.json|/run/consul/.+|/var/lib/consul(\.removed)?/serf/.+"),
    ("tokens/(agent|dns)-.+", r"/etc/consul\.d/tokens\.json|/run/consul/.+"),
    ("tokens/backup-.+", r"/etc/consul\.d/backup\.token"),
    ("tokens/hand_over-.+", r"/etc/consul\.d/hand-over\.token"),
    ("tokens/registrator-.+", "/etc/registrator/token"),
    ("tokens/registrator_clear-.+", "/etc/registrator-clear/token"),
    ("tokens/consul_template-.+", "/etc/consul-template/token"),
    ("tokens/templates-.+", "/etc/discovery-templates/token|/run/discovery-template-[^/]+/token"),  # each unit has its own copy
    # dehydrated needs it beside what it knows of the account.
    ("acme_account.key", r"/etc/discovery-acme/account\.key|/var/lib/discovery-acme/account/.+"),
    ("tokens/docker-.+", r"/etc/docker/consul\.env|environment of (dockerd|docker-proxy)"),
    ("tokens/.+|management_token", r"/var/lib/consul(\.removed)?/.+|/var/backups/consul/.+\.snap"),
]


def values(text: str) -> list[str]:
    """The secret lines of a secret's file. The last line of a key in PEM is a part of the public key, which certificates show; a
    certificate has no secret."""
    if "BEGIN CERTIFICATE" in text:
        return []
    lines = [line for line in text.splitlines() if len(line) >= SHORTEST and not line.startswith("-----")]
    return lines[:-1] if "PRIVATE KEY-----" in text else lines


def forms(value: str) -> list[str]:
    """What a secret may look like. Of base64 only the characters that do not depend on its neighbours."""
    raw = value.encode()
    found = {value, urllib.parse.quote(value, safe=""), json.dumps(value)[1:-1]}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        end = (len(raw) + before) // 3 * 4
        found.add(encoded[(4 if before else 0) : end].decode())
    return sorted(found)


def belongs(name: str, place: str) -> bool:
    """Whether a secret has its place there.

    :param name: on the controller, such as `tokens/agent-consul-1`
    :param place: a path, or where else it was found
    """
    name = name.removesuffix(".next")
    return any(re.fullmatch(names, name) and re.fullmatch(places, place) for names, places in PLACES)


def secrets_of(site: Site) -> dict[str, list[str]]:
    """The values of each secret, by its name; one that this inventory has no vault password for is left out."""
    from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import SecretError

    found = {}
    for path in site.secrets.rglob("*"):
        with contextlib.suppress(SecretError, OSError):
            found[str(path.relative_to(site.secrets))] = values(site.secret(str(path.relative_to(site.secrets))))
    return {name: listed for name, listed in found.items() if listed}


def note(site: Site) -> dict[str, list[str]]:
    """Note the secrets of now, and give all values that were ever noted for this site; plays may end at the same time."""
    with NOTING:
        return _noted(site)


def _noted(site: Site) -> dict[str, list[str]]:
    path = ROOT / ".cache/secrets" / f"{site.inventory.resolve().name}.json"
    if not site.secrets.is_dir():  # a test may have moved it away
        return json.loads(path.read_text())["values"] if path.exists() else {}
    folder = site.secrets.stat().st_ino
    before = json.loads(path.read_text()) if path.exists() else {}
    known = before["values"] if before.get("folder") == folder else {}
    now = secrets_of(site)
    every = {name: sorted({*known.get(name, []), *now.get(name, [])}) for name in known | now}
    if every != known:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            json.dump({"folder": folder, "values": every}, file)
        new.replace(path)
    return every


def patterns(secrets: dict[str, list[str]]) -> dict[str, str]:
    """The name of the secret for each text to look for."""
    return {form: name for name, listed in secrets.items() for value in listed for form in forms(value)}


def on_host(node: Node, wanted: dict[str, str]) -> list[tuple[str, str, bool]]:
    """The (name, place, readable for everybody) of each secret on a host. The texts are in no argument of a process."""
    program = f"PLAN = {json.dumps(wanted)!r}\n{PROGRAM.read_text()}"
    done = subprocess.run(
        [*ssh(node), "sudo -n python3 -"], input=program, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{node.name}: {done.stderr[-2000:]}"
    return sorted({(name, place, open_) for name, place, open_ in json.loads(done.stdout)})


def ssh(node: Node) -> list[str]:
    """The command line of a connection to a host, up to the remote command."""
    wanted = node.variables
    options = wanted.get("ansible_ssh_common_args", "").split()
    if key := wanted.get("ansible_ssh_private_key_file"):
        options += ["-i", key]
    user = f"{wanted['ansible_user']}@" if "ansible_user" in wanted else ""
    return ["ssh", "-o", "BatchMode=yes", "-p", str(wanted.get("ansible_port", 22)), *options, f"{user}{wanted['ansible_host']}"]


def on_hosts(site: Site, wanted: dict[str, str]) -> dict[str, list[tuple[str, str, bool]]]:
    """The same for all hosts, side by side."""
    with ThreadPoolExecutor(len(site.nodes)) as pool:
        found = pool.map(lambda node: on_host(node, wanted), site.nodes.values())
        return dict(zip(site.nodes, found, strict=True))


def misplaced(found: dict[str, list[tuple[str, str, bool]]]) -> list[str]:
    """What is wrong among the findings on hosts, a line each."""
    return [
        f"{host}: {name} is in {place}{', which everybody may read' if open_ else ''}"
        for host, listed in found.items()
        for name, place, open_ in listed
        if open_ or not belongs(name, place)
    ]


def in_text(text: str, wanted: dict[str, str]) -> list[str]:
    """Names of the secrets in a text."""
    return sorted({name for form, name in wanted.items() if form in text})


def exposed(folder: Path, public: str = r".*\.pem|\.gitignore") -> list[str]:
    """Files below a folder of the controller that others than their owner may read, those with public content aside."""
    found = [path for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077]
    return [str(path) for path in found if path.is_dir() or not re.fullmatch(public, path.name) or path.name == "key.pem"]
