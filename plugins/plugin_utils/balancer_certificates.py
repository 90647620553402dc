"""Where the certificates of virtual hosts come from: files that the site provides, the site's CA, or a CA by ACME."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping

from .certificates import name_problems, public_numbers

SOURCES = ("files", "site_ca", "acme")
# Of what the site's CA signs, and of what is ordered by ACME; the status tells by it what renews a certificate.
DIRECTORY, ORDERED = "/etc/discovery-balancer-certificates", "/etc/discovery-balancer-acme"
HOUR = 3600  # seconds; each load balancer looks once in it whether a certificate is due


def certificates(given: Iterable[Mapping], default: str, domain: str, source: str = "") -> list[dict]:
    """The certificates of a load balancer, each with names, certificate and key, as its program takes them.

    :param given: balancer_certificates
    :param default: balancer_certificates_from; with site_ca all names below the domain have one, unless an entry has them
    :param domain: balancer_domain
    :param source: only those of this source; '' for all
    """
    entries = list(given)
    below = f"*.{domain}"
    if default == "site_ca" and not any(below in one["names"] for one in entries):
        entries.append({"names": [below], "from": "site_ca"})
    found = [(source_of(one, default), one) for one in entries]
    return [_files(kind, one) for kind, one in found if source in ("", kind)]


def source_of(one: Mapping, default: str) -> str:
    """Where the certificate of an entry comes from: its own word, else files where it names some, else the site's word."""
    return one.get("from") or ("files" if one.get("certificate") or one.get("key") else default)


def _files(source: str, one: Mapping) -> dict:
    if source == "files":
        return {"names": one["names"], "certificate": one.get("certificate"), "key": one.get("key")}
    stem = f"{ORDERED if source == 'acme' else DIRECTORY}/{str(one['names'][0]).replace('*', '_')}"
    return {"names": one["names"], "certificate": f"{stem}.pem", "key": f"{stem}.key"}


def signed_name_problems(host: str, names: Iterable[str], hostvars: Mapping) -> list[str]:
    """Names of balancer_certificates that the site's CA signs for no balancer, one message each: those of another host, and those
    that would make the balancer an agent of Consul for the others, whose certificates the same CA signs.

    :param host: inventory name of the load balancer
    :param names: host names, or *.domain
    :param hostvars: Ansible's, of every host of the inventory
    """
    names = list(names)
    if not names:  # most sites: no look at each host of the inventory
        return []
    wanted = [f"DNS:{name}" for name in names]
    return [*_of_consul(host, names, hostvars), *name_problems(wanted, host, hostvars, wanted)]


def _of_consul(host: str, names: Iterable[str], hostvars: Mapping) -> Iterator[str]:
    variables = hostvars[host]
    domain = str(variables.get("consul_domain") or "consul").lower().strip(".")
    datacenter = str(variables.get("consul_datacenter") or variables.get("discovery_datacenter") or "dc1").lower()
    for name in names:
        if any(f".{name}".endswith(f".{one}.{domain}") for one in (datacenter, "node")):
            yield (
                f"balancer_certificates has the name {name} on {host}, which is below those of Consul's agents ({domain}), whose"
                " certificates the site's CA signs as well: leave it out, or set certificate and key to files from elsewhere"
            )


def acme_slot(host: str, hosts: Iterable[str]) -> dict[str, int]:
    """When a load balancer looks whether a certificate is due: each has a part of the hour of its own, so that two of them never
    begin an order at the same time, and begins at a random time of the first half of it.

    :param host: inventory name
    :param hosts: the load balancers of the site
    :returns: minute of the hour, and delay: the longest random one, in seconds
    """
    known = sorted({*hosts, host})
    part = HOUR / len(known)
    return {"minute": int(known.index(host) * part // 60), "delay": int(part // 2)}


def thumbprint(key: str) -> str:
    """The thumbprint of an account, as RFC 7638 has it; '' without a key. It is no secret: any client may ask for it.

    :param key: the private RSA key of the account, as PEM
    """
    if not key:
        return ""
    numbers = public_numbers(key)
    return thumbprint_of(numbers.n, numbers.e)


def thumbprint_of(n: int, e: int) -> str:
    """The thumbprint of an RSA key by the numbers of its public half."""
    fields = {"e": _base64(e), "kty": "RSA", "n": _base64(n)}
    text = json.dumps(fields, separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(text.encode()).digest())


def _base64(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
