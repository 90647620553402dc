"""Pure: the owner of each name and port that several services may ask for.

The register is one key of Consul's KV store, so it is the same for every balancer, also for one that restarts or joins:

    {"http portal.example /api": ["portal-api", 0], "tcp 9999": ["echo-9999", 1795993200]}

A claim is "http <host> <path>", "tls <host>", "tcp <port>" or "name <kind> <name>"; its entry names the owner, and since when
no instance of that asks for it (0: it does). The first balancer that serves a service for a claim records it; a balancer never
serves another service for it. It is removed when the owner has been gone for the grace period: a restarted container keeps it.

The register is bounded, so that nobody fills it until Consul refuses it and it stays as it is for all. What has no room in it is
served as if there were no register.
"""

import json
from collections import Counter

KEY = "discovery/owners/balancers"
LATEST = 1 << 33  # seconds since 1970, in the year 2242
DIGITS = 20  # of a number that is read; Python refuses the whole text for one of some thousands
# Consul refuses a value above 512 KiB (kv_max_value_size), and each change is sent to every balancer. Half of it has room for
# some 3,000 services of one host each.
MOST_BYTES = 256 * 1024
# Of one service's claims to hosts and paths, and as many to TLS: 64 hosts (settings.MOST_HOSTS) of 100 characters each.
MOST_BYTES_OF_SERVICE = 8 * 1024
ENTRY_BYTES = 24  # of an entry beside claim and service: punctuation, and when its owner went


class Claims:
    """The owners during one plan: those of the register, and those that the plan adds."""

    def __init__(self, register, asking):
        """
        :param register: {claim: (service, gone since)}
        :param asking: {(claim, kind, service)} of all services in the catalog, also of those without a healthy instance
        """
        self.owners = {claim: service for claim, (service, _gone) in register.items()}
        self.asking, self._asks = asking, {(claim, service) for claim, _kind, service in asking}
        self._bytes = Counter()  # {(service, "http" or another first word): of its claims}
        for claim, service in self.owners.items():
            self._count(claim, service)

    def _count(self, claim, service):
        self._bytes[service, claim.partition(" ")[0]] += len(claim)

    def room(self, claim, service) -> bool:
        """Whether a service may have a claim beside those that it has, which stay."""
        return claim in self.owners or self._bytes[service, claim.partition(" ")[0]] + len(claim) <= MOST_BYTES_OF_SERVICE

    def free(self, claim, service) -> bool:
        """Whether a service may have it."""
        return self.owners.get(claim, service) == service

    def take(self, claim, service) -> str:
        """The owner, which is this service when there was none."""
        if claim not in self.owners:
            self._count(claim, service)
        return self.owners.setdefault(claim, service)

    def here(self, claim) -> bool:
        """Whether the owner still asks for it; else it is kept for a moment."""
        return (claim, self.owners.get(claim)) in self._asks


def register_text(catalog):
    """The text of the key as consul-template has read it, None where there is none."""
    found = ((catalog or {}).get("owners") or {}).get(KEY.rpartition("/")[2])
    return found if isinstance(found, str) else None


def register_of(text) -> dict:
    """{claim: (service, gone since)} from the text of the key; what is malformed is left out.

    :param text: of the KV store, None without the key
    """
    try:
        entries = json.loads(text or "{}", parse_int=_whole)
    except (ValueError, TypeError, RecursionError):
        return {}
    found = {}
    for claim, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and _is_moment(entry[1]):
            found[claim] = (entry[0], entry[1])
    return found


def owners_of(text, host) -> list:
    """The services that have a host, a path of it or TLS for it.

    :param text: of the KV store, None without the key
    """
    claims = ((claim.split(" "), service) for claim, (service, _gone) in register_of(text).items())
    return sorted({service for words, service in claims if words[:2] in (["http", host], ["tls", host])})


def updated(text, plan, now, grace) -> str:
    """The text of the key as it should be after a plan; the same text when nothing changes.

    :param text: of the key, None without it
    :param plan: of the catalog that was read last
    :param now: seconds since 1970
    :param grace: seconds for which a claim is kept after its owner has gone
    """
    before = register_of(text)
    asks = {(claim, service) for claim, _kind, service in plan.asking}
    after = {}
    for claim, (service, gone) in before.items():
        if (claim, service) in asks:
            after[claim] = (service, 0)
        elif not gone or 0 <= now - gone < grace:
            after[claim] = (service, gone or int(now))
    new = [(claim, service) for claim, service in plan.owners.items() if (claim, service) in asks and claim not in before]
    room = MOST_BYTES - sum(_size(claim, service) for claim, (service, _gone) in after.items()) if new else 0
    for claim, service in _by_turns(new):
        room -= _size(claim, service)
        if room < 0:
            break
        after[claim] = (service, 0)
    return text if after == before else json.dumps(after, sort_keys=True)


def _whole(digits):
    return int(digits) if len(digits) <= DIGITS else None


def without_owner(text, plan) -> list:
    """The services that are served for a claim that is not in the register, because it is full.

    :param text: of the key after the plan
    """
    known, asks = register_of(text), {(claim, service) for claim, _kind, service in plan.asking}
    return sorted({service for claim, service in plan.owners.items() if (claim, service) in asks and claim not in known})


def _by_turns(claims) -> list:
    """First one claim of each service, then the second ones: who asks for many does not go before who asks for one."""
    turns = Counter()
    return sorted(claims, key=lambda one: (turns.update([one[1]]) or turns[one[1]], one))


def _size(claim, service) -> int:
    return len(json.dumps(claim)) + len(json.dumps(service)) + ENTRY_BYTES


def _is_moment(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LATEST
