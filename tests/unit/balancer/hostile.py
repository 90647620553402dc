"""Catalogs as somebody could make them who may register services: hostile values everywhere, among services that must be
served whatever stands beside them. The same seed makes the same catalog.

Also imported by the tests of the running site.
"""

import re
from dataclasses import dataclass
from random import Random

from discovery_balancer.settings import GUARDS, PARSERS, PREFIX

# Every key of meta that the balancer reads: a new one is fuzzed from the day it is there.
KEYS = ["version", *(PREFIX + key for key in sorted(PARSERS)), PREFIX + "unknown"]
# Good services are asked in clear, so none of them redirects.
FINE = {
    "allow": "0.0.0.0/0, ::/0", "basic_auth": "false", "client_ca": "false", "access_log": "false", "proxy_protocol": "false",
    "connect_timeout": "2s", "gzip": "true", "header_size": "16k", "hosts": "{name}.hospital.example, {name}.example.org",
    "hsts": "600", "https_redirect": "false", "max_body_size": "2g", "path": "/", "protocol": "http", "rate_limit": "20, 100",
    "read_timeout": "1m",
    "rewrite": "/", "response_headers": "X-Frame-Options: DENY | Content-Security-Policy: default-src 'self'; img-src *",
    "responses": "1", "sticky": "cookie", "strip": "false", "unbuffered": "true", "weight": "7",
}  # fmt: skip

# Each of these makes a value that no setting may take: none belongs into a name, an address, a path or a number.
BREAKING = (
    ";", "{", "}", '"', "'", "\n", "\r\n", "\0", "\x1b[2J", "\u2028", "\x85", "`reboot`", "$(reboot)", " # ", "$host", "${x}",
    "; return 200 evil; #", "; }\nserver { listen 666; }\n", '";\n} include /etc/shadow; #', " { return 200 evil; } #", "\\\n",
    " backup", "\\", "\U0001f4a5", "{{ key }}", "<script>", "|", "^~", "~* .",
)  # fmt: skip
# These may be part of a good value, too.
ODD = (
    "", " ", "\t", "#", "$", "*", "_", "-", ".", "..", "/", ",", ":", "~", "%", "%0a", "@", "?", "=", "ｗ", "٩", "é", "\ufeff",
    "\ud800", "a" * 64, "a." * 140, "9" * 30, "unix:/run/x", "*.example.org", "~^.*$", "localhost", "include", "--", "\\x3b",
)  # fmt: skip
NAMES = ("web", "shop", "WEB", "my_app", "x", "a.b", "http_web", "0", "con", "default_server", "a" * 63)
TCP_NAMES = ("echo-7777", "db-5432", "a-{port}", "b-{port}", "A-{port}", "x-22", "x-65536", "x-0999", "-{port}", "x-", "x-٩٩٩٩")
ADDRESSES = (
    "10.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "::1", "2001:DB8::1", "fe80::1%eth0", "::ffff:10.0.0.1",
    "010.0.0.1", "127.0.0.1", "1.2.3", "10.0.0.1:80", "web.example", "", "[::1]", "10.0.0.1 ", "１０.0.0.1", "0x7f.1",
    "2130706433", "1:2:3:4:5:6:7:8/64",
)  # fmt: skip
# Of the KV store: nothing that moves what it should not, whoever's name it stands under.
SHARES = (
    None, "", "{}", "[]", "null", "x", '{"shares": {"v1.0.0": 101}}', '{"shares": {"": -1}}', '{"shares": {"gone": 10}}',
    {"shares": {"gone; }": 100}}, {"shares": []}, {"shares": {"v1": "1; return 200"}}, [1], 7, "[" * 5000,
    {"shares": {"x" * 10**5: 5}},
)  # fmt: skip
PORTS = 8  # of one catalog: five for services that must be served, the others for conflicts
TAGGED = (["http"], ["tcp"], ["tls"], ["udp"], ["http", "tcp"], ["tcp", "tls"], ["tcp", "udp"], ["http", "tcp", "tls"])
NUMBERS = (0, -1, 65536, 10**20, 1.5, True, None, "80", "80;", float("inf"))
# Good and nearly good values, whatever the setting is.
VALUES = (
    "a.hospital.example", "a.hospital.example,b.example.org", "*.hospital.example", "A.Example.ORG.", "hospital.example",
    "xn--bcher-kva.example", "{good}.hospital.example", "0.hospital.example", "a.example." + "b" * 300, "a", "10.0.0.1",
    "/", "/api", "/api/", "/a/../b", "//", "/a b", "/%2e%2e/", "/api;v=1", "/ä", "/~x", "/" + "a/" * 200,
    "1", "10", "0", "-1", "1e3", "007", "100000", "+5", "5s", "30", "5m", "500ms", "0s", "1d", "5 s", "99999999999s", "1h30m",
    "http", "https", "HTTP", "h2c", "grpc", "tls", "tcp", "ftp", "true", "false", "on", "off", "v1.0.0", "1.2.3", "2",
    "cookie", "Cookie", "address", "2g", "101g", "102400M", "104857601k", "1t", "4k", "64K", "65k", "0k", "007k", "1m", "16 k",
    "301", "308", "302", "31536000", "20,100", "20,", "1,10001", "10000 ,1",
    "0.0.0.0/0", "10.0.0.0/8, 2001:db8::/32", "10.0.0.1/8", "::/0", "fe80::1%eth0", "staff", "staff/../x", "staff,optional",
)  # fmt: skip


@dataclass(frozen=True)
class Good:
    """A service that must be served under its name by these instances."""

    kind: str  # http, tls or tcp
    name: str
    places: frozenset  # "address:port"
    port: int = 0


@dataclass(frozen=True)
class Hostile:
    """A catalog and what in it must be served."""

    seed: int
    catalog: dict
    good: tuple

    @property
    def alone(self) -> dict:
        """The same catalog without anything hostile beside the good services."""
        names = {service.name for service in self.good}
        return {**self.catalog, "skipped": [], "services": [e for e in self.catalog["services"] if e["name"] in names]}


class Maker:
    """Makes one catalog.

    :param seed: the same one makes the same catalog
    :param places: (address, port) of instances that answer
    :param tls_places: the same for services tagged tls; by default the same
    :param ports: free ports for tcp services; seeds that follow each other take others, because a old worker may hold
        the ones of its generation for a moment
    :param kinds: of the services that must be served
    """

    def __init__(self, seed: int, places, ports, tls_places=None, kinds=("http", "http", "tcp", "tls")):
        self.seed, self.random = seed, Random(seed)
        first = seed * PORTS % (len(ports) - PORTS)
        self.kinds = kinds
        self.places, self.tls_places = list(places), list(tls_places or places)
        self.ports = list(ports)[first : first + PORTS]
        self.good_names = []

    def catalog(self) -> Hostile:
        good, services = [], []
        for number in range(self.random.randint(2, 5)):
            made, entry = self.good(number)
            good.append(made)
            services.append(entry)
        names = {service.name for service in good}
        for _ in range(self.random.randint(2, 8)):
            entry = self.bad()
            if entry["name"] not in names:  # Consul has each name once
                names.add(entry["name"])
                services.append(entry)
        self.random.shuffle(services)
        skipped = [{"name": self.twisted(NAMES), "reason": "odd"} for _ in range(self.random.randint(0, 2))]
        traffic = {self.random.choice(services)["name"]: self.random.choice(SHARES) for _ in range(2)}
        catalog = {"consul": 3, "services": services, "skipped": skipped, "traffic": traffic}
        return Hostile(self.seed, catalog, tuple(good))

    def good(self, number: int):
        """A service whose name is lower than any other, so that no claim of another goes before its own."""
        kind = self.random.choice(self.kinds)
        port = self.ports[number] if kind == "tcp" else 0
        name = f"0{'abcdef'[number]}-{port or self.random.choice(NAMES[:2])}"
        self.good_names.append(name)
        able = self.tls_places if kind == "tls" else self.places
        places = self.random.sample(able, self.random.randint(1, len(able)))
        fine = self.random.random() < 0.3
        instances = [
            self.instance(kind, address=a, port=p, weight=self.random.choice((1, 1, 3)))
            | {"meta": self.fine(name) if fine else self.meta(broken=True)}
            for a, p in places
        ]
        for _ in range(self.random.randint(0, 2)):  # instances of the same name that nobody can call
            wrong = self.random.choice(({"address": self.broken(ADDRESSES[:1])}, {"port": self.random.choice(NUMBERS[:3])}))
            instances.append(self.instance(kind, address=places[0][0], port=places[0][1]) | wrong)
        made = Good(kind, name, frozenset(f"{a}:{p}" for a, p in places), port)
        return made, {"name": name, "instances": instances}

    def bad(self) -> dict:
        """A service in which anything may be wrong, or nothing."""
        name = self.twisted(NAMES + TCP_NAMES).replace("{port}", str(self.random.choice(self.ports[5:])))
        return {"name": name, "instances": [self.any_instance() for _ in range(self.random.randint(0, 4))]}

    def any_instance(self) -> dict:
        kinds = self.random.choice(TAGGED)
        address, port = self.random.choice(self.places)
        made = self.instance(*kinds, address=address, port=port) | {"meta": self.meta()}
        if self.random.random() < 0.3:
            made["address"] = self.twisted(ADDRESSES)
        if self.random.random() < 0.2:
            made["port"] = self.random.choice((*NUMBERS, 1, 80, 8500, 65535))
        if self.random.random() < 0.2:
            made["weight"] = self.random.choice((*NUMBERS, 0, 65535))
        return made

    def instance(self, *tags, address, port, weight=1) -> dict:
        """An instance whose texts nobody should rely on are hostile."""
        extra = [self.twisted(("a",)) for _ in range(self.random.randint(0, 2))]
        extra = [tag for tag in extra if tag not in ("http", "tcp", "tls", "udp")]
        return {
            "id": self.twisted(NAMES), "node": self.twisted(NAMES), "address": address, "port": port,
            "tags": [*extra, *tags], "meta": None, "weight": weight,
        }  # fmt: skip

    def meta(self, broken=False):
        """Settings, or nothing; `broken`: each value is one that no setting can take."""
        if self.random.random() < 0.3:
            return self.random.choice(({}, None))
        keys = self.random.sample(KEYS, self.random.randint(0, min(4, len(KEYS)))) + [self.twisted(("note",))]
        if broken:  # an instance that cannot be guarded as it wants is not served
            keys = [key for key in keys if key.removeprefix(PREFIX) not in GUARDS]
        make = self.broken if broken else self.twisted
        values = {key: make(VALUES) for key in keys}
        for key, value in values.items():
            values[key] = value.replace("{good}", self.random.choice(self.good_names or ["0"]))
            if broken and key == PREFIX + "hosts":  # one word: of several the good ones would count
                values[key] = re.sub(r"[,\s]+", ";", values[key])
        return values

    def fine(self, name: str) -> dict:
        """Every setting there is, with values that leave the service under its own name."""
        return {PREFIX + key: FINE[key].replace("{name}", name) for key in PARSERS}

    def twisted(self, texts) -> str:
        """One of the texts as it is, or with something put into it, or something else altogether, now and then very long."""
        text, how = self.random.choice(texts), self.random.random()
        if how < 0.4:
            return text
        if how < 0.65:
            return self.put(text, self.random.choice(BREAKING))
        if how < 0.85:
            return self.put(text, self.random.choice(ODD))
        if how < 0.97:
            return "".join(chr(self.random.choice(CODES)) for _ in range(self.random.randint(0, 12)))
        return self.put(text, self.random.choice(BREAKING + ODD)) * self.random.choice((100, 2000))

    def broken(self, texts) -> str:
        """One of the texts with something in it that must not be there."""
        text = self.put(self.random.choice(texts), self.random.choice(BREAKING))
        return text * 500 if self.random.random() < 0.03 else text

    def put(self, text: str, piece: str) -> str:
        at = self.random.choice((0, len(text), self.random.randint(0, len(text))))
        return text[:at] + piece + text[at:]


CODES = [*range(0x20), *range(0x20, 0x7F), *range(0x7F, 0x100), 0x2028, 0xFF1B, 0xFF5B, 0x661, 0x1F4A5, 0x10FFFF, 0xFEFF]
