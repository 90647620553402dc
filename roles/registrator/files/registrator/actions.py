"""Computes the actions from the wanted services and the agent's entries. Pure: no clock, no network."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

from .marker import HASH, PROTOCOL, Owner, described, is_ours, is_own_check, is_predecessors, mark, stands_for
from .wanted import Service, Skipped, Wanted


@dataclass(frozen=True)
class Deregister:
    service: str
    about: dict  # for the log: name, address and port
    reason: str


@dataclass(frozen=True)
class Register:
    service: str
    payload: dict
    health: tuple[str, str] | None  # written after it: only an updated state outlives a restart of the agent
    reason: str


@dataclass(frozen=True)
class DropCheck:
    service: str
    check: str
    about: dict
    reason: str


@dataclass(frozen=True)
class SetHealth:
    service: str
    check: str
    status: str
    output: str
    about: dict


Action = Deregister | Register | DropCheck | SetHealth


def line(action: Action) -> tuple[str, dict[str, object]]:
    """The event and the fields of the one log line of a change."""
    match action:
        case Deregister(service, about, reason):
            return "deregistered", {"id": service, **about, "reason": reason}
        case Register(service, payload, health, reason):
            fields = {"tags": payload["Tags"], "status": health[0] if health else "", "reason": reason}
            return "registered", {"id": service, **described(payload, "Name"), **fields}
        case DropCheck(service, check, about, reason):
            return "check-dropped", {"id": service, **about, "check": check, "reason": reason}
        case SetHealth(service, _, status, output, about):
            reason = output or "it runs"
            return "health", {"id": service, **about, "status": status, "reason": reason}


def plan(
    wanted: Wanted,
    services: dict[str, dict],
    checks: dict[str, dict],
    owner: Owner,
    cleanup: bool,
    renamed: frozenset[str] = frozenset(),
) -> tuple[list[Action], list[Skipped]]:
    """The actions that make the agent's services and checks the wanted ones, and the conflicts.

    :param wanted: services of the containers
    :param services: the agent's answer to GET /v1/agent/services: id to entry
    :param checks: the agent's answer to GET /v1/agent/checks: id to check
    :param owner: identifies our own entries
    :param cleanup: also remove entries that a registrator without our marker left on this host
    :param renamed: new names of containers that have another name since the last plan, and are the same processes
    :returns: actions in the order to do them, and services whose id somebody else holds

    Entries go before others come, so that a port which changes hands is never served under its old name. Where only the id
    changes, as with `docker rename`, the new entry comes first: of the only instance of a service one is always there. Not where
    several containers take each other's names between two plans: their entries begin anew. Containers with few services come
    before those with many.
    """
    targets = {service.id: service for service in wanted.services}
    checks_of: dict[str, dict[str, dict]] = {}
    for check_id, check in sorted(checks.items()):
        checks_of.setdefault(check["ServiceID"], {})[check_id] = check
    new_ids = {
        _endpoint(registration(service, owner), "Name"): service_id
        for service_id, service in targets.items()
        if service_id not in services
    }
    actions: list[Action] = []
    last: list[Action] = []
    replaced: dict[str, str] = {}  # new id to the old one
    conflicts: list[Skipped] = []
    for service_id, entry in sorted(services.items()):
        if service_id in targets or not (is_ours(entry, owner) or (cleanup and is_predecessors(entry, owner))):
            continue
        if service_id in wanted.kept:
            actions += _fade(service_id, wanted.kept[service_id], checks, described(entry))
        elif new_id := new_ids.get(_endpoint(entry)):
            replaced.setdefault(new_id, service_id)
            last.append(Deregister(service_id, described(entry), f"it is {new_id} now"))
        else:
            reason = "no container offers it" if is_ours(entry, owner) else "left by an earlier registrator"
            actions.append(Deregister(service_id, described(entry), reason))
    many = Counter(service.container for service in wanted.services)
    for service_id, service in sorted(targets.items(), key=lambda one: (many[one[1].container], one[0])):
        entry = services.get(service_id)
        if entry is None or is_ours(entry, owner) or _adopted(entry, service, owner, cleanup):
            status = ""
            if service.container in renamed and service_id in replaced:
                old = replaced[service_id]
                status = checks_of.get(old, {}).get(_check_id(old, service), {}).get("Status", "")
            actions += _service_actions(service, entry, checks_of.get(service_id, {}), owner, status)
        else:
            reason = "another program registered this id"
            conflicts.append(Skipped(service_id, f"service {service.name}", reason))
    return actions + last, conflicts


def _endpoint(entry: dict, name: str = "Service") -> tuple:
    """The name and where it is, of an agent's entry or a payload."""
    udp = (entry.get("Meta") or {}).get(PROTOCOL, "")
    return entry.get(name), entry.get("Address") or "", entry.get("Port") or 0, udp


def registration(service: Service, owner: Owner) -> dict:
    """The payload that registers a service."""
    payload = {
        "ID": service.id,
        "Name": service.name,
        "Address": service.address,
        "Port": service.port,
        "Tags": list(service.tags),
        "Check": {"CheckID": _check_id(service.id, service), **service.check},
    }
    content = json.dumps([payload, owner.token], sort_keys=True)
    payload["Meta"] = service.meta | mark(owner, service.container, service.udp)
    payload["Meta"][HASH] = hashlib.sha256(content.encode()).hexdigest()[:16]
    if service.health:
        payload["Check"]["Status"] = service.health[0]
    return payload


def _adopted(entry: dict, service: Service, owner: Owner, cleanup: bool) -> bool:
    return is_predecessors(entry, owner) or (cleanup and stands_for(entry, service.name, service.address))


def _service_actions(
    service: Service, entry: dict | None, checks: dict[str, dict], owner: Owner, status: str = ""
) -> list[Action]:
    """:param status: of the same check under another id; else a new one would be critical until its first run"""
    payload = registration(service, owner)
    if status == "passing":
        payload["Check"]["Status"] = status
    about, check_id = described(payload, "Name"), payload["Check"]["CheckID"]
    actions: list[Action] = []
    if reason := _difference(entry, payload, owner) or ("" if check_id in checks else "check missing"):
        actions.append(Register(service.id, payload, service.health, reason))
    elif service.health and (checks[check_id]["Status"], checks[check_id]["Output"]) != service.health:
        actions.append(SetHealth(service.id, check_id, *service.health, about))
    for old in checks:
        if old != check_id and is_own_check(old, service.id):
            actions.append(DropCheck(service.id, old, about, "not of this service any more"))
    return actions


def _difference(entry: dict | None, payload: dict, owner: Owner) -> str:
    """Reason to write an entry; empty: none."""
    if entry is None:
        return "new"
    if not is_ours(entry, owner):
        return "adopted"
    pairs = {"Service": "Name", "Address": "Address", "Port": "Port", "Tags": "Tags"}
    differ = [key.lower() for field, key in pairs.items() if (entry.get(field) or type(payload[key])()) != payload[key]]
    present, new = dict(entry["Meta"]), dict(payload["Meta"])
    hashes = present.pop(HASH, ""), new.pop(HASH)
    if present != new:
        differ.append("meta")
    elif not differ and hashes[0] != hashes[1]:
        differ.append("check or token")  # only the hash in our marker shows it
    return ", ".join(differ) + " changed" if differ else ""


def _check_id(service_id: str, service: Service) -> str:
    """One id for each kind: under one id Consul lets the check of the old kind run on."""
    return f"service:{service_id}:{service.check['Name']}"


def _fade(service_id: str, why: str, checks: dict[str, dict], about: dict) -> list[Action]:
    """A failed container's service stays, and its `health` check, if it has one, is critical."""
    check_id = f"service:{service_id}:health"
    check = checks.get(check_id)
    if check is None or (check["Status"], check["Output"]) == ("critical", why):
        return []
    return [SetHealth(service_id, check_id, "critical", why, about)]
