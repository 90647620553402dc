"""One page about a site, problems first.

A host may lie in what it reports: its answer is read by one schema, or not at all (module_utils/site_answer.py), and where
several hosts report the same thing, most of them count. So a host changes its own rows only.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from ..module_utils.site_answer import Malformed, parts_of
from .consul_settings import servers_warning
from .floating_address import canonical
from .status_needs import RECENT, clock_problems, needs_problems

DAY = 86400
HOST_DAYS = 30  # a certificate that ends sooner is a problem (it is renewed 60 days before by any run of site.yml)
CA_DAYS = 180
OLD = 90  # seconds after which a balancer has not synced for too long
MAX_CLOCK_SKEW = 5  # seconds, the default of discovery_max_clock_skew
GIVEN_UP = -254  # of a load balancer that does not answer (floating_address/judge.py)
TITLE = 13  # width of the first column
# Differences between the catalog and a host (module_utils/catalog_entries.py), and services that containers ask for in vain
# (registrator/listing.py), as problems.
CATALOG = {
    "unknown": "no container and no declared service stands for this entry of the catalog",
    "differing": "the catalog has another entry than its container or declaration",
    "missing": "not in the catalog",
    "lost": "a service that a container asks for is not registered",
}


def status_page(nodes: Mapping[str, object], site: Mapping) -> dict:
    """The page, and its problems.

    :param nodes: host to the result of the action site_facts, which for a dead host has `msg`, but no `parts`; {} for a host
        that was not asked. Any value of JSON: a host that answers anything else is reported as such
    :param site: datacenter, now (seconds since 1970), hosts, servers, docker_hosts and balancers (names), secrets_dir and
        backup_dir on the controller, and files in them (path to time of change); other_services, names that programs of the
        site register by themselves; max_clock_skew (seconds, else MAX_CLOCK_SKEW); floating_addresses
    :returns: lines (the page) and problems (texts), both without secrets
    """
    now = site["now"]
    asked = {name: answer for name, answer in nodes.items() if answer != {}}
    found, refused = _read(asked, site)
    problems = list(refused.values())
    # Parts that only the agent has are missing because the agent is down: reported once.
    away = {name for name, facts in found.items() if _part(facts, "consul", {"unit": "active"})["unit"] != "active"}
    parts = [
        (name, part, value)
        for name, facts in found.items()
        for part, value in facts.items()
        if not (name in away and part in ("cluster", "services"))
    ]
    problems += [f"{name}: {part}: {value['error']}" for name, part, value in parts if _lost(value)]
    leader, cluster = _cluster(found, site)
    body = [
        *_leader(leader, cluster, site, problems),
        *_hosts(asked, found, refused, cluster, leader, site, problems),
        *_gossip(cluster, problems),
        *_needs(asked, found, site, problems),
        *_certificates(found, site, now, problems),
        *_secrets(site, now, problems),
        *_backups(found, site, now, problems),
        *_balancers(found, site, now, problems),
        *_floating(found, site, problems),
        *_templates(found, problems),
        *_services(asked, found, cluster, site, now, problems),
    ]
    count = f"{len(problems)} thing{'s' * (len(problems) != 1)} wrong" if problems else "nothing wrong"
    head = f"{site['datacenter']} at {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(now))} UTC: {count}"
    lines = [head, *(f"  ! {problem}" for problem in problems), "", *body]
    return {"lines": [_printable(line) for line in lines], "problems": [_printable(problem) for problem in problems]}


def _read(asked: Mapping[str, object], site: Mapping) -> tuple[dict[str, dict], dict[str, str]]:
    """The parts of each host's answer, and of each host that has none the problem."""
    found, refused = {}, {}
    for name, answer in asked.items():
        message = answer.get("msg", "") if isinstance(answer, Mapping) and "parts" not in answer else ""
        if isinstance(message, str) and message:
            refused[name] = f"{name} does not answer: {message}"[:150]
            continue
        try:
            found[name] = parts_of(answer, cluster=name in site["servers"])
        except Malformed as problem:
            refused[name] = f"{name}: its answer is not used, because {problem}"
    return found, refused


def age(seconds: float) -> str:
    """About how long: 42 min, 5 h, 3 d."""
    if seconds < 2 * 3600:
        return f"{max(0, seconds) // 60:.0f} min"
    return f"{seconds // 3600:.0f} h" if seconds < 2 * DAY else f"{seconds // DAY:.0f} d"


def _lost(found) -> bool:
    return isinstance(found, Mapping) and set(found) == {"error"}


def _part(facts: Mapping, name: str, empty):
    """A part of a host's facts, or `empty` where it was not to be had."""
    found = facts.get(name)
    return empty if found is None or _lost(found) else found


def _most(values: Iterable, empty):
    """The value that most reported; of equally many the first."""
    counted = Counter(json.dumps(value, sort_keys=True) for value in values)
    return json.loads(counted.most_common(1)[0][0]) if counted else empty


def _cluster(found: Mapping[str, Mapping], site: Mapping) -> tuple[str, Mapping]:
    """The leader's address, and the cluster, with the members, as most servers that name this leader report them."""
    leaders = {name: _part(facts, "consul", {}).get("leader", "") for name, facts in found.items()}
    servers = [address for name, address in leaders.items() if address and name in site["servers"]]
    leader = _most(servers or filter(None, leaders.values()), "")
    given = [_part(facts, "cluster", {}) for name, facts in found.items() if leaders[name] == leader]
    answers = list(filter(None, given))
    if not answers:
        return leader, {}
    cluster = {key: _most((answer[key] for answer in answers), None) for key in answers[0]}
    members = {}
    for name in {name: True for answer in answers for name in answer["members"]}:
        if member := _most((answer["members"].get(name) for answer in answers), None):
            members[name] = member
    return leader, {**cluster, "members": members}


def _row(title: str, rows: Iterable[str]) -> list[str]:
    """Lines with the title before the first."""
    return [f"{title if number == 0 else '':{TITLE}}{row}".rstrip() for number, row in enumerate(rows)]


def _leader(leader, cluster, site, problems) -> list[str]:
    if not leader:
        problems.insert(0, "Consul has no leader: nothing can be written; names and balancers keep what they have")
        return _row("leader", ["none"])
    members = cluster.get("members", {})
    name = next((name for name, m in members.items() if m["address"] == leader.rpartition(":")[0]), "?")
    voters = sum(server["voter"] for server in cluster.get("servers", {}).values())
    if cluster and not cluster["healthy"]:
        ill = [n for n, server in cluster["servers"].items() if not server["healthy"]]
        problems.append(f"autopilot: {', '.join(ill) or 'the cluster'} not healthy")
    if voters and voters != len(site["servers"]):
        problems.append(f"{voters} servers vote, the inventory has {len(site['servers'])}")
    survives = cluster.get("tolerance", 0)
    state = f"{voters} voters, {survives} may fail" if cluster else "the rest is unknown: no agent answers"
    warning = servers_warning(site["servers"])
    return _row("leader", [f"{name} ({leader}); {state}", *([f"warning: {warning}"] if warning else [])])


def _state(members: Mapping[str, Mapping], name: str) -> str:
    return members.get(name, {}).get("state", "-")


def _hosts(asked, found, refused, cluster, leader, site, problems) -> list[str]:
    rows = [f"{'host':<16}{'kind':<8}{'unit':<10}{'member':<9}{'installed':<11}running"]
    versions = set()
    for name in asked:
        own = _part(found.get(name, {}), "consul", {})
        member = _state(cluster.get("members", {}), name)
        installed, running = own.get("installed", ""), own.get("running", "")
        versions |= {running} - {""}
        if own and own["unit"] != "active":
            left = ", stopped or after 'consul leave': site.yml starts it again" if own["unit"] == "inactive" else ""
            problems.append(f"{name}: consul is {own['unit']}{left}")
        elif own and own.get("problem"):
            problems.append(f"{name}: consul: {own['problem']}")
        elif own and leader and own["leader"] != leader:
            problems.append(f"{name} names {own['leader'] or 'no leader'}, others {leader}")
        problems += [
            f"{name}: the cluster refuses what its agent reports: {line}. Run 'systemctl restart consul' there, which gives it"
            " the tokens of its file; if that does not help, playbooks/rotate_tokens.yml"
            for line in own.get("blocked", [])[-1:]
        ]
        if running and running != installed:
            problems.append(f"{name}: Consul {running} runs, {installed or 'none'} is installed")
        if member not in ("alive", "-"):
            problems.append(f"{name} is {member} for the others")
        elif cluster and member == "-":
            problems.append(f"{name} is no member of the cluster")
        others = _part(found.get(name, {}), "cluster", {}).get("members", {})
        problems += [
            f"{name} sees {other} as {_state(others, other)}, most servers as {_state(cluster.get('members', {}), other)}"
            for other in (site["hosts"] if others and cluster else [])
            if other != name and _state(others, other) != _state(cluster.get("members", {}), other)
        ]
        kind = "server" if name in site["servers"] else "client"
        if name in refused:
            rows.append(f"{name:<16}{kind:<8}{'?':<10}{member:<9}{refused[name].removeprefix(name).lstrip(': ')}")
            continue
        rows.append(f"{name:<16}{kind:<8}{own.get('unit', '?'):<10}{member:<9}{installed or '-':<11}{running or '-'}")
    stay = {name for name, member in cluster.get("members", {}).items() if member["state"] != "left"}
    unknown = sorted(stay - set(site["hosts"]))
    problems += [
        f"{name} is a member, but not in the inventory: playbooks/remove_node.yml -e remove_host={name} removes a dead one,"
        f" playbooks/rename_node.yml -e rename_from={name} the old name of a host"
        for name in unknown
    ]
    if len(versions) > 1:
        problems.append(f"Consul runs in different versions: {', '.join(sorted(versions))}")
    return _row("agents", rows)


def _gossip(cluster, problems) -> list[str]:
    rows = []
    for ring in cluster.get("rings", []):
        size, have, use = ring["members"], ring["have"], ring["use"]
        rows.append(f"{len(have)} key{'s' * (len(have) != 1)}; used by {max(use, default=0)} of {size} members")
        if have != [size] or use != [size]:
            problems.append(f"gossip: {len(have)} keys, on {'/'.join(map(str, have))} of {size} members: a rotation is not over")
    return _row("gossip", rows or ["-"])


def _needs(asked, found, site, problems) -> list[str]:
    """What hosts lack, as problems; no row."""
    most = site.get("max_clock_skew", MAX_CLOCK_SKEW)
    for name, facts in found.items():
        times = [asked[name].get(key) for key in ("asked", "answered")]
        clock = _part(facts, "clock", None)
        # The action has written them; whatever else stands there is of a host that was read without it.
        if clock and all(isinstance(moment, (int, float)) and math.isfinite(moment) for moment in times):
            problems += clock_problems(name, clock, *times, most)
        # dockerd of a host that has left docker_hosts keeps its settings, which are its owner's now.
        foreign = {"dockerd"} if name not in site["docker_hosts"] else set()
        parts = {part: value for part, value in facts.items() if part not in foreign and not _lost(value)}
        problems += needs_problems(name, parts, {"now": site["now"]})
    return []


def _certificates(found, site, now, problems) -> list[str]:
    rows, ends = [], {}
    for name, facts in found.items():
        texts = []
        for kind, dates in _part(facts, "certificates", {}).items():
            sort, _unused, what = kind.partition(" ")
            left = (dates["end"] - now) // DAY
            if sort == "ca":
                ends[what] = min(ends.get(what, dates["end"]), dates["end"])
                continue
            texts.append(f"{what} {left} d left, {age(now - dates['written'])} old")
            if what == "docker" and name not in site["docker_hosts"]:
                texts[-1] += " (not in docker_hosts: reset.yml --limit HOST -e reset_scope=docker removes the settings)"
            elif left < HOST_DAYS:
                problems.append(f"{name}: the certificate of {what} ends in {left} d: run site.yml")
        if of_clients := [dates["end"] for dates in _part(facts, "client_certificates", {}).values() if dates]:
            texts.append(f"{len(of_clients)} for clients {(min(of_clients) - now) // DAY} d left")
        rows.append(f"{name:<16}{'; '.join(texts) or '-'}")
    for what, end in ends.items():
        if (end - now) // DAY < CA_DAYS:
            problems.append(f"the CA of {what} ends in {(end - now) // DAY} d: see playbooks/rotate_certificates.yml")
    if ends:
        rows.append(f"{'CAs':<16}" + "; ".join(f"{what} {(end - now) // DAY} d left" for what, end in ends.items()))
    return _row("certificates", rows)


def _secrets(site, now, problems) -> list[str]:
    """Ages of the secrets' files: a file is written when its secret is created or replaced."""
    folder = site["secrets_dir"] + "/"
    times = {path.removeprefix(folder): moment for path, moment in site["files"].items() if path.startswith(folder)}
    for name in ("management_token", "gossip_key", "ca.key"):
        if name not in times:
            problems.append(f"the controller has no {name}: put the secrets back from their backup")
    if "rotation_due" in times:
        problems.append(
            "a host was removed, and what it knew is not rotated: run playbooks/remove_node.yml again, or rotate_gossip_key.yml"
            f" and rotate_tokens.yml -e rotate_management=true, and delete {folder}rotation_due"
        )
    tokens = sorted((moment, name) for name, moment in times.items() if name.startswith("tokens/"))
    texts = [f"{name.replace('_', ' ')} {age(now - times[name])}" for name in ("management_token", "gossip_key") if name in times]
    if tokens:
        texts.append(f"{len(tokens)} tokens {age(now - tokens[-1][0])} to {age(now - tokens[0][0])} (oldest: {tokens[0][1][7:]})")
    return _row("secrets", [f"{'age':<16}{', '.join(texts) or '-'}"])


def _backups(found, site, now, problems) -> list[str]:
    rows = []
    for name, facts in found.items():
        if name not in site["servers"]:
            continue
        own = _part(facts, "backups", {})
        newest = f"{age(now - own['newest'])} ago, {own['count']} kept" if own.get("newest") else "none yet"
        rows.append(f"{name:<16}{newest}{'' if own.get('timer') == 'active' else '; no timer'}")
        if own.get("result", "success") != "success":
            problems.append(f"{name}: the last backup failed ({own['result']}): journalctl -u consul-backup")
    snapshots = {path: moment for path, moment in site["files"].items() if path.endswith(".snap")}
    kept = [moment for path, moment in snapshots.items() if path.startswith(site["backup_dir"] + "/")]
    newest = f"{age(now - max(kept))} ago, {len(kept)} kept" if kept else "none"
    return _row("backups", [*rows, f"{'controller':<16}{newest}"])


def _balancers(found, site, now, problems) -> list[str]:
    rows = []
    for name in site["balancers"]:
        status = _part(found.get(name, {}), "balancer", {})
        if not status:
            rows.append(f"{name:<16}-")
            if name in found:
                problems.append(f"{name}: the balancer has no status")
            continue
        # Both by the host's own clock, where it gives that.
        old = _part(found[name], "clock", {"end": now})["end"] - status["time"]
        served = f"{status['balancer']}, " if status.get("balancer") else ""
        served += f"generation {status['generation']}, {status['state']}"
        rows.append(f"{name:<16}{served}, checked {max(0, old):.0f} s before")
        rows += [f"{'':<16}skipped: {entry['name']}: {entry['reason']}" for entry in status.get("skipped", [])]
        if status["state"] != "ok" or status["reason"]:
            problems.append(f"{name}: balancer {status['state']}: {status['reason']}")
        if turned_away := status.get("turned_away", 0):
            problems.append(
                f"{name}: nginx has closed {turned_away} connections of clients in {RECENT} s, because others hold all that it"
                " may have: 'ss -tn' there shows who they are. Refuse them, or set nginx_worker_connections higher"
            )
        if old > OLD:
            problems.append(f"{name}: the balancer has not synced for {age(old)}")
        if old < -OLD:
            problems.append(
                f"{name}: the balancer's last sync is {age(-old)} in the future: the host's clock was set back, and it is not"
                " known whether the balancer syncs ('discovery-balancer status' there)"
            )
    problems += [
        f"{name} still runs a load balancer, but is not in load_balancers: site.yml removes it and its token"
        for name, facts in found.items()
        if name not in site["balancers"] and _part(facts, "balancer", {})
    ]
    return _row("balancers", rows)


def _floating(found, site, problems) -> list[str]:
    """Who holds each of the floating addresses; nothing where there is none."""
    addresses = list(map(canonical, site.get("floating_addresses", [])))
    if not addresses:
        return []
    parts = {name: _part(found.get(name, {}), "floating_addresses", {}) for name in site["balancers"]}
    known = {name: part for name, part in parts.items() if part}
    rows = []
    for address in addresses:
        holders = [name for name, part in known.items() if address in part["held"]]
        rows.append(f"{address:<16}{', '.join(holders) or 'nobody'}")
        if len(holders) > 1:
            problems.append(
                f"{address} is held by {' and '.join(holders)} at the same time: VRRP (IP protocol 112) does not pass between"
                " them. Look for a firewall or a switch that drops it"
            )
        elif not holders and known:
            silent = [name for name, part in parts.items() if not part]
            problems.append(
                f"nobody holds the floating address {address}, as far as {', '.join(known)} report"
                f"{' (not ' + ', '.join(silent) + ')' if silent else ''}: see 'systemctl status discovery-floating-address'"
            )
    for name, part in parts.items():
        if not part and name in found:
            problems.append(f"{name}: it has no part in the floating addresses: run playbooks/load_balancer.yml")
        if part and part.get("balancers", {}) != site["balancer_addresses"]:
            problems.append(
                f"{name}: it shares the floating addresses with {_named(part.get('balancers', {}))}, but the load balancers are"
                f" {_named(site['balancer_addresses'])}: run playbooks/load_balancer.yml without --limit, or two hold an address"
            )
        for unit, what in (("unit", ""), ("check", "-check")):
            if part and part[unit] != "active":
                problems.append(f"{name}: discovery-floating-address{what} is {part[unit]}: see its journal")
        if part and part["drained"]:
            rows.append(f"{name} is drained and holds none until playbooks/undrain.yml -e drain_host={name}")
        elif part and part["priority"] == GIVEN_UP:
            problems.append(f"{name}: its load balancer does not answer, so it holds no floating address")
    return _row("addresses", rows)


def _named(addresses: Mapping) -> str:
    return ", ".join(f"{name} ({address})" for name, address in sorted(addresses.items())) or "nobody"


def _templates(found, problems) -> list[str]:
    """A user's own templates; nothing where no host has any."""
    rows = []
    for host, facts in found.items():
        own = _part(facts, "templates", {})
        rows += [f"{host:<16}{', '.join(own)}"] if own else []
        for name, one in own.items():
            if one["state"] != "active":
                problems.append(f"{host}: the template {name} is {one['state']}: journalctl -u discovery-template-{name}")
            elif not one["done"]:
                problems.append(f"{host}: the template {name} waits for a key, a service or its command")
    return _row("templates", rows)


def _services(asked, found, cluster, site, now, problems) -> list[str]:
    compared, plain, hung = [], [], []
    for name, facts in found.items():
        services, containers = _part(facts, "services", {}), _part(facts, "containers", None)
        if name in site["docker_hosts"] and not (containers or {}).get("registrator"):
            problems.append(f"{name}: registrator does not run: new containers are not registered")
        if name not in site["docker_hosts"] and (containers or {}).get("registrator"):
            problems.append(
                f"{name} still runs a registrator, but is not in docker_hosts: site.yml removes it, its entries and tokens"
            )
        problems += [
            f"{name}: dockerd could not start the container {container}: run 'docker start {container}' there"
            for container in (containers or {}).get("failed", [])
        ]
        watch = (containers or {}).get("watch") or {"restarts": 0, "problem": ""}
        problems += [f"{name}: registrator: {watch['problem']}"] if watch["problem"] else []
        if watch["restarts"]:
            ago = age(now - watch["last"])
            hung.append(f"{name}: registrator hung and was restarted: {watch['restarts']} since boot, last {ago} ago")
        problems += [
            f"{name}: {text}: {entry}"
            for kind, text in CATALOG.items()
            for entry in services.get(kind, [])
            # Only what nothing stands for may be of another program: a difference is one, whatever name the catalog gives it.
            if kind != "unknown" or entry.partition(" ")[0] not in site.get("other_services", [])
        ]
        compared += [name] if services else []
        plain += [name] if services and not services["settings"] else []
    members, nodes = cluster.get("members", {}), cluster.get("nodes", [])
    problems += [f"{node} is a node in the catalog, but no member of the cluster" for node in nodes if node not in members]
    checks, unhealthy = cluster.get("checks", []), cluster.get("unhealthy", 0)
    problems += [f"{c['node']}: {c['service'] or 'the host'}: check {c['check']!r} is {c['status']}" for c in checks]
    problems += [f"{unhealthy - len(checks)} more checks are unhealthy"] if unhealthy > len(checks) else []
    rows = [f"{cluster['services']} names, {unhealthy} unhealthy checks" if cluster else "-"]
    if compared:
        rows.append("the catalog is compared with what each host itself reports, which root there can forge")
    if missing := [name for name in asked if name not in compared]:
        rows.append(f"not compared with the catalog: {', '.join(missing)}")
    if plain:
        rows.append(f"without tags and meta of containers, which another registrator registers: {', '.join(plain)}")
    return _row("services", [*rows, *hung])


def _printable(text: str) -> str:
    """Names come from the catalog: nothing in them may act on a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
