"""Pure: settings of services from their meta, `balancer_…`, as typed values.

A label SERVICE_BALANCER_PATH of a container is `balancer_path` here. Invalid settings are reported and ignored;
everything in Settings is safe to print into a configuration file.
"""

import dataclasses
import ipaddress
import re
from collections import Counter

from . import headers
from .patterns import CLIENT_CA, MAX_AGE, REDIRECT, USERS
from .times import seconds

PREFIX = "balancer_"
HOST = re.compile(r"(?=.{1,253}\Z)((?!-)[a-z0-9-]{1,63}(?<!-)\.)+(?!-)(?=[a-z0-9-]*[a-z])[a-z0-9-]{1,63}(?<!-)")
MOST_HOSTS = 64
SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._~-]+")
LONGEST_PATH = 200
TIME = re.compile(r"[1-9][0-9]{0,5}(ms|s|m|h)")
LONGEST_TIME = 24 * 3600  # seconds
PROTOCOLS = ("http", "https", "grpc")
STICKY = ("cookie",)
RESPONSES = re.compile(r"0|[1-9][0-9]?|100")
HIGHEST_WEIGHT = 1000
SIZE = re.compile(r"([1-9][0-9]{0,5})([kmg])")
LARGEST_BODY = 100 * 2**30  # bytes
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
HEADER_SIZE = re.compile(r"([4-9]|[1-5][0-9]|6[0-4])k")
RATE = re.compile("([1-9][0-9]{0,4})( *, *([1-9][0-9]{0,4}))?")
MOST_NETWORKS = 64
# Settings that keep clients away. Who asks for one and cannot have it is not served: it would be open to everybody.
GUARDS = ("allow", "basic_auth", "client_ca")
OPTIONAL = ",optional"  # behind the name of a CA: clients without a certificate get in, too
HIGHEST_RATE = 10_000  # requests a second of one address, and at once
LONGEST_TEXT = 100


class Rejected(Exception):
    """Something that cannot be served, and why."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a whole service; only a weight belongs to an instance."""

    hosts: tuple = ()  # full names; empty: <name>.<domain>
    path: str = ""  # begins with "/" and does not end with it; empty: everything
    strip: bool = False  # whether instances see paths without it
    protocol: str = "http"
    read_timeout: str = ""  # such as 500ms or 30s; empty: the site's
    connect_timeout: str = ""
    unbuffered: bool = False  # whether bodies pass as they come, both ways
    max_body_size: str = ""  # of a request, such as 2g; empty: the site's
    header_size: str = ""  # of an answer, such as 64k; empty: the site's
    responses: str = ""  # datagrams that answer one of a client; empty: any number
    sticky: str = ""  # by what a client keeps its instance; empty: it does not
    response_headers: tuple = ()  # (name, value) that are added to answers, beside the site's
    gzip: str = ""  # true or false, whether answers of text are compressed; empty: the site's
    rate_limit: tuple = ()  # requests a second of one address, and those at once; empty: the site's alone
    https_redirect: str = ""  # status, or false; empty: the site's
    hsts: str = ""  # max-age in seconds; empty: the site's
    allow: tuple = ()  # networks whose clients are let in; empty: the site's
    basic_auth: str = ""  # name of a list of users, or false; empty: the site's
    client_ca: str = ""  # name of a CA that signs certificates of clients, with OPTIONAL or without; empty: none is asked for
    proxy_protocol: bool = False  # whether instances get the client's address in front of each connection
    rewrite: str = ""  # path that instances see in place of the service's own
    access_log: bool = True  # whether requests and connections have a line in the log
    bad_path: bool = False  # a path was asked for that cannot be had

    @property
    def ca(self) -> str:
        """The name of the CA whose clients' certificates are asked for; "" for none."""
        return self.client_ca.partition(",")[0]

    @property
    def needs_certificate(self) -> bool:
        """Whether clients without a certificate do not get in."""
        return bool(self.client_ca) and not self.client_ca.endswith(OPTIONAL)


def settings(entries, site_allow=()) -> tuple:
    """The settings of a service, from the meta of its instances, and the problems in it.

    :param entries: instances as in the catalog: {"meta": {key: value}, …}; nothing in them is trusted
    :param site_allow: networks whose clients are let in where an instance names none
    :returns: (Settings, problems as text); where instances differ, the value of most of them, then the lowest, of networks the
        smallest
    """
    read, problems = [], []
    for entry in entries:
        values, wrong = _read(entry)
        read.append(Settings(**values))
        problems += wrong
    if len(set(read)) == 1:  # of most services, which need no vote on each setting
        return read[0], list(dict.fromkeys(problems))
    chosen = {}
    for field in dataclasses.fields(Settings):
        able = [one for one in read if not one.bad_path] or read if field.name in ("path", "bad_path") else read
        votes = Counter(getattr(one, field.name) for one in able)
        # One that asks for more than the site's list does not open those that have it.
        if field.name == "allow" and () in votes and site_allow:
            for value in [value for value in votes if not _within(value, site_allow)]:
                problems.append(f"{PREFIX}allow {shown(value)} is more than the site's, which its other instances have: ignored")
                del votes[value]
        if field.name in GUARDS:  # one that asks for none, or for less, does not open the others
            for open_ in ("false", field.default):
                if len(votes) > 1:
                    votes.pop(open_, None)
            optional = [value for value in votes if str(value).endswith(OPTIONAL)]
            if len(optional) < len(votes):
                for value in optional:
                    del votes[value]
        ranked = sorted((-votes[value], _size(value) if field.name == "allow" else 0, value) for value in votes)
        chosen[field.name] = ranked[0][-1] if ranked else field.default
        if len(votes) > 1:
            listed = ", ".join(f"{shown(value)} ({votes[value]})" for value in sorted(votes, key=str)[:5])
            problems.append(f"its instances differ in {PREFIX}{field.name}: {listed}; {shown(chosen[field.name])} applies")
    return Settings(**chosen), list(dict.fromkeys(problems))


def weight(entry):
    """The weight that an instance gives itself, or None; settings() reports an invalid one."""
    try:
        return _weight(meta(entry)[PREFIX + "weight"])
    except (KeyError, Rejected):
        return None


def unguarded(entry) -> str:
    """Why an instance is not served: it asks to keep clients away in a way that there is not. "" when it does not."""
    for key in GUARDS:
        if (value := meta(entry).get(PREFIX + key)) is not None:
            try:
                PARSERS[key](value)
            except Rejected as rejected:
                return f"{PREFIX}{key} {shown(value)}: {rejected}, and without it everybody would get in"
    return ""


def _read(entry):
    values, wrong = {}, []
    for key, value in sorted(meta(entry).items()):
        if not key.startswith(PREFIX):
            continue
        name = key[len(PREFIX) :]
        try:
            if name not in PARSERS:
                raise Rejected(f"there is no such setting; there are {', '.join(sorted(PARSERS))}")
            if name in ("hosts", "response_headers"):
                values[name], bad = PARSERS[name](value)
                wrong += [f"{key}: {reason}" for reason in bad[:5]]
            elif name == "weight":
                _weight(value)
            else:
                values[name] = PARSERS[name](value)
        except Rejected as rejected:
            wrong.append(f"{shown(key)} {shown(value)}: {rejected}")
            if name == "path":
                values["bad_path"] = True
    return values, wrong


def meta(entry) -> dict:
    """The meta of an instance, texts only; Consul has no other."""
    values = entry.get("meta")
    return {k: v for k, v in values.items() if isinstance(k, str) and isinstance(v, str)} if isinstance(values, dict) else {}


def shown(value) -> str:
    """A value of the catalog for people; however long it is, a reason stays short."""
    return "not set" if value in ("", ()) else cut(repr(value))


def cut(text) -> str:
    """The same text, or its beginning."""
    text = str(text)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


def _hosts(value):
    """Names between commas or blanks, lower-cased, sorted; those that DNS could not carry are reported one by one."""
    good, bad = set(), []
    for word in re.split(r"[,\s]+", value.strip()):
        host = word.lower().rstrip(".") if word.isascii() else word
        if HOST.fullmatch(host):
            good.add(host)
        else:
            bad.append(f"{shown(word)} is not a full DNS name, such as app.hospital.example")
    if len(good) > MOST_HOSTS:
        bad.append(f"{len(good)} names are more than {MOST_HOSTS}; the first are used")
    return tuple(sorted(good)[:MOST_HOSTS]), bad


def _response_headers(value):
    """Headers between "|", sorted by name; those that cannot be added are reported one by one."""
    good, bad = {}, []
    for part in value.split("|"):
        name, _unused, text = (piece.strip(" ") for piece in part.partition(":"))
        if reason := headers.problem(name, text) or (f"{name} stands there twice" if name.lower() in good else ""):
            bad.append(f"{shown(part)}: {reason}")
        else:
            good[name.lower()] = (name, text)
    found = headers.merged(good.values())
    kept = headers.bounded(found)
    if kept != found:
        bad.append(f"they are more than {headers.MOST} headers or {headers.LONGEST} characters; the first are used")
    return kept, bad


def _networks(value):
    """Addresses and networks between commas or blanks, in a fixed order, none within another one."""
    found = set()
    for word in re.split(r"[,\s]+", value.strip(", ")):
        try:
            found.add(ipaddress.ip_network(word))
        except ValueError:
            raise Rejected(f"{shown(word)} is no IP address and no network such as 10.1.0.0/16") from None
        if "%" in word:
            raise Rejected(f"{shown(word)} is an address of one link")
    kept = [one for kind in (4, 6) for one in ipaddress.collapse_addresses(net for net in found if net.version == kind)]
    if len(kept) > MOST_NETWORKS:
        raise Rejected(f"it is more than {MOST_NETWORKS} networks")
    return tuple(map(str, kept))


def _size(networks) -> float:
    """A number that grows with the part of all addresses that the largest of some networks has."""
    return -min((one.prefixlen / one.max_prefixlen for one in map(ipaddress.ip_network, networks)), default=0)


def _within(networks, others) -> bool:
    """Whether all addresses of some networks are in other ones."""
    outer = [ipaddress.ip_network(other) for other in others]
    inner = map(ipaddress.ip_network, networks)
    return all(any(one.version == other.version and one.subnet_of(other) for other in outer) for one in inner)


def _basic_auth(value):
    if value != "false" and not USERS.fullmatch(value):
        raise Rejected("it is not the name of a list of users, and not false")
    return value


def _client_ca(value):
    words = [word.strip(" ") for word in value.split(",")]
    if words == ["false"]:
        return ""
    if not CLIENT_CA.fullmatch(words[0]) or words[1:] not in ([], ["optional"]):
        raise Rejected("it is not the name of a CA, alone or with ,optional")
    return ",".join(words)


def _path(value):
    path = value.rstrip("/")
    if path and (path[0] != "/" or len(path) > LONGEST_PATH or not all(map(SEGMENT.fullmatch, path[1:].split("/")))):
        raise Rejected(
            f"a path begins with /, has at most {LONGEST_PATH} characters, and between slashes letters, digits and ._~-"
        )
    return path


def _boolean(value):
    if value.lower() not in ("true", "false"):
        raise Rejected("neither true nor false")
    return value.lower() == "true"


def _switch(value):
    """The same as text, beside which there is none: that of the site."""
    return str(_boolean(value)).lower()


def _protocol(value):
    if value.lower() not in PROTOCOLS:
        raise Rejected(f"not one of {', '.join(PROTOCOLS)}")
    return value.lower()


def _responses(value):
    if not RESPONSES.fullmatch(value):
        raise Rejected("not a number from 0 to 100")
    return value


def _sticky(value):
    if value.lower() not in STICKY:
        raise Rejected(f"not {' or '.join(STICKY)}")
    return value.lower()


def _time(value):
    if not TIME.fullmatch(value) or seconds(value) > LONGEST_TIME:
        raise Rejected("not a time such as 500ms, 30s, 5m or 2h, at most 24h")
    return value


def _header_size(value):
    if not HEADER_SIZE.fullmatch(value.lower()):
        raise Rejected("not a size from 4k to 64k")
    return value.lower()


def _body_size(value):
    match = SIZE.fullmatch(value.lower())
    if not match or int(match[1]) * UNITS[match[2]] > LARGEST_BODY:
        raise Rejected("not a size such as 500k, 20m or 2g, at most 100g")
    return value.lower()


def _rate_limit(value):
    match = RATE.fullmatch(value.strip(" "))
    numbers = (int(match[1]), int(match[3] or match[1])) if match else (HIGHEST_RATE + 1,)
    if max(numbers) > HIGHEST_RATE:
        raise Rejected(f"not a number of requests a second such as 20, or 20,100 for more at once, at most {HIGHEST_RATE}")
    return numbers


def _redirect(value):
    if not REDIRECT.fullmatch(value.lower()):
        raise Rejected("not 301, 308 or false")
    return value.lower()


def _max_age(value):
    if not MAX_AGE.fullmatch(value):
        raise Rejected("not a number of seconds from 0 to 99999999")
    return value


def _weight(value):
    if not re.fullmatch("[1-9][0-9]{0,3}", value) or int(value) > HIGHEST_WEIGHT:
        raise Rejected(f"not a number from 1 to {HIGHEST_WEIGHT}")
    return int(value)


PARSERS = {
    "access_log": _boolean,
    "allow": _networks,
    "basic_auth": _basic_auth,
    "client_ca": _client_ca,
    "connect_timeout": _time,
    "gzip": _switch,
    "header_size": _header_size,
    "hosts": _hosts,
    "hsts": _max_age,
    "https_redirect": _redirect,
    "max_body_size": _body_size,
    "path": _path,
    "protocol": _protocol,
    "proxy_protocol": _boolean,
    "rate_limit": _rate_limit,
    "read_timeout": _time,
    "response_headers": _response_headers,
    "responses": _responses,
    "rewrite": _path,
    "sticky": _sticky,
    "strip": _boolean,
    "unbuffered": _boolean,
    "weight": _weight,
}
