"""Where the certificates of virtual hosts come from: files that the site provides, or the site's CA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .certificates import name_problems

SOURCES = ("files", "site_ca")
# Of what the site's CA signs; the status tells by it what renews a certificate.
DIRECTORY = "/etc/discovery-balancer-certificates"


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
    stem = f"{DIRECTORY}/{str(one['names'][0]).replace('*', '_')}"
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
