"""Pure: from what a HAProxy runs and what is wanted of it to the commands of the runtime API that make it so.

Servers and maps change while it runs; all else needs a reload, for which there is a reason. A server that is not wanted gets no
connection any more and finishes those that it has (state maint); it is deleted when it has none.
"""

import typing

from .render import MAPS, MARKER, SPARE, STRUCTURE, Layout, Server

ADDS_SERVERS = (2, 6)  # the first version that can; those before have spare servers instead
KINDS = ("http_", "tls_", "tcp_")  # prefixes of the sections of services
KEY = "marker"
# Of srv_admin_state (management.txt, "show servers state"): forced, or inherited. That the configuration has it disabled is
# another bit, which stays when the server is made ready.
MAINTENANCE = 0x01 | 0x02


class State(typing.NamedTuple):
    """A server of a running HAProxy."""

    address: str
    port: int
    weight: int
    maintained: bool  # takes no connection


class Running(typing.NamedTuple):
    """What a HAProxy runs, as it reports by itself."""

    version: tuple
    structure: dict  # as in Layout
    maps: dict  # file to {key: value}
    servers: dict  # section to {name: State}


class Changes(typing.NamedTuple):
    """Commands in their order; or why only a reload can make what is wanted."""

    commands: tuple = ()
    reason: str = ""


def questions(files) -> list:
    """The commands whose answers `running` reads.

    :param files: of maps
    """
    return ["show info", "show servers state", *(f"show map {MAPS}{file}" for file in (STRUCTURE, *files))]


def running(answers, files) -> Running:
    """What runs, from the answers to `questions`.

    :raises ValueError: they are not of a HAProxy with this program's configuration
    """
    info, servers, structure, *maps = answers
    return Running(_version(info), _map(structure), dict(zip(files, map(_map, maps))), _servers(servers))  # noqa: B905  Python 3.9


def changes(now: Running, wanted: Layout) -> Changes:
    """The commands, in an order in which no request meets a section without servers that had or gets some: servers come, names
    come, names go, servers go."""
    if reason := _reason(now.structure, wanted.structure):
        return Changes(reason=reason)
    come, go = [], []
    for section in sorted(now.servers):
        if section.startswith(KINDS) and section not in wanted.sections:
            go += _leave(section, now.servers[section], ())
    for section, there in wanted.sections.items():
        have = now.servers.get(section, {})
        commands = _join(section, have, there, now.version)
        if commands is None:
            return Changes(reason=f"{section} has no spare server, and this HAProxy can add none")
        come += commands
        go += _leave(section, have, there.servers)
    names_come, names_go = [], []
    for file, entries in wanted.maps.items():
        added, removed = _map_changes(MAPS + file, now.maps[file], entries)
        names_come += added
        names_go += removed
    return Changes((*come, *names_come, *names_go, *go))


def mark(marker) -> str:
    """The command after which a HAProxy reports this marker."""
    return f"set map {MAPS}{MARKER} {KEY} {marker}"


def deletions(now: Running) -> list:
    """Commands that delete the servers that take no connection; HAProxy refuses it while one has some."""
    return [
        f"del server {section}/{name}"
        for section, servers in sorted(now.servers.items())
        for name, server in servers.items()
        if server.maintained and section.startswith(KINDS) and now.version >= ADDS_SERVERS
    ]


def marker_of(answer) -> str:
    """The marker in the answer to `show map` for it, "" for none."""
    return _map(answer).get(KEY, "")


def _reason(now, wanted) -> str:
    """Why these sections need a reload. Sections of services that have gone may stay: no name leads to them."""
    if now.get("common") != wanted["common"]:
        return "listeners or settings of the site changed"
    have, want = int(now.get("stop", 0)), int(wanted["stop"])
    if have != want and have and (want > have or not want):
        return "old workers may finish their connections for longer"
    if int(wanted["buffer"]) > int(now.get("buffer", 0)):
        return "a service has longer headers than its buffers hold"
    new = [key for key in wanted if key.startswith("backend:") and now.get(key) != wanted[key]]
    return f"{new[0].partition(':')[2]} is new, or its settings changed" if new else ""


def _join(section, have, wanted, version):
    """Commands for the servers that come, or whose weight changes; None when one cannot be added."""
    by_place = {(state.address, state.port): name for name, state in have.items()}
    spare = [name for name, state in have.items() if state.maintained and state.address == SPARE]
    commands = []
    for server in wanted.servers:
        name = by_place.get((server.address, server.port))
        if name:
            here, state = f"{section}/{name}", have[name]
            commands += [f"set server {here} weight {server.weight}"] if state.weight != server.weight else []
            commands += [f"set server {here} state ready"] if state.maintained else []
        elif version >= ADDS_SERVERS:
            commands += _add(section, server, wanted.keywords)
        elif spare and not wanted.named:
            here = f"{section}/{spare.pop(0)}"
            commands.append(f"set server {here} addr {server.address} port {server.port}")
            commands += [f"set server {here} weight {server.weight}", f"set server {here} state ready"]
        else:
            return None
    return commands


def _add(section, server: Server, keywords):
    here = f"{section}/{server.name}"
    checked = [f"enable health {here}"] if " check " in keywords else []
    return [f"add server {here} {server.place} weight {server.weight}{keywords}", *checked, f"enable server {here}"]


def _leave(section, have, wanted):
    places = {(server.address, server.port) for server in wanted}
    return [
        f"set server {section}/{name} state maint"
        for name, state in have.items()
        if not state.maintained and (state.address, state.port) not in places
    ]


def _map_changes(file, have, wanted):
    """(commands for keys that come or change, commands for those that go)"""
    come = [
        f"{'set' if key in have else 'add'} map {file} {key} {value}"
        for key, value in sorted(wanted.items())
        if have.get(key) != value
    ]
    return come, [f"del map {file} {key}" for key in sorted(have) if key not in wanted]


def _version(info) -> tuple:
    for line in info.splitlines():
        key, _unused, value = line.partition(": ")
        if key == "Version":
            return tuple(int(part) for part in value.split("-")[0].split(".")[:2] if part.isdecimal())
    raise ValueError("HAProxy does not report its version")


def _map(answer) -> dict:
    """A map, from lines of reference, key and value."""
    found = {}
    for line in answer.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[0].startswith("0x"):
            found[words[1]] = words[2]
    return found


def _servers(answer) -> dict:
    """The servers of each section, from a table whose columns are named in its first line that begins with #."""
    found, columns = {}, None
    for line in answer.splitlines():
        words = line.split()
        if line.startswith("#"):
            columns = {name: place for place, name in enumerate(words[1:])}
        elif columns and len(words) > columns["srv_port"]:
            address = words[columns["srv_addr"]]
            state = State(
                address if address != "-" else "",
                int(words[columns["srv_port"]]),
                int(words[columns["srv_uweight"]]),
                bool(int(words[columns["srv_admin_state"]]) & MAINTENANCE),
            )
            found.setdefault(words[columns["be_name"]], {})[words[columns["srv_name"]]] = state
    return found
