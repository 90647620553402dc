"""Method of a resolver, refused settings, and what files and the kernel tell about it."""

import subprocess
from pathlib import Path

import jinja2
import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.module_utils import dns_question, resolv_conf
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT, host_facts
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.variables import as_list
from tests.yaml_text import parse_yaml

FILTERS = FilterModule().filters()
resolver_method, resolver_problems, found_resolvers = (
    FILTERS[name] for name in ("resolver_method", "resolver_problems", "found_resolvers")
)


def seen(**other):
    """A bare host with a plain resolv.conf."""
    found = {
        "servers": ["192.0.2.53"], "search": [], "options": [], "ours": "", "leads_to": "/etc/resolv.conf", "writer": "",
        "packages": [], "dhcp": [], "networkd": {}, "listeners": [],
    }  # fmt: skip
    return found | other


STUB = {"servers": ["127.0.0.53"], "leads_to": "/run/systemd/resolve/stub-resolv.conf", "packages": ["systemd-resolved"]}
RESOLVCONF = {"leads_to": "/run/resolvconf/resolv.conf", "packages": ["resolvconf"]}
AUTO = {
    "bare": ({}, "dnsmasq"),
    "stub of systemd-resolved": (STUB, "systemd_resolved"),
    "servers of systemd-resolved, past the stub": ({"leads_to": "/run/systemd/resolve/resolv.conf"}, "systemd_resolved"),
    "the stub in a plain file": ({"servers": ["127.0.0.53", "192.0.2.53"]}, "systemd_resolved"),
    "systemd-resolved that nobody asks": ({"packages": ["systemd-resolved"]}, "dnsmasq"),
    "resolvconf": (RESOLVCONF, "resolvconf"),
    "resolvconf, whose record came from dhclient": (RESOLVCONF | {"dhcp": ["dhclient"]}, "resolvconf"),
    "NetworkManager": ({"writer": "NetworkManager"}, ""),
    "dhclient": ({"dhcp": ["dhclient"]}, ""),
    "openresolv": ({"writer": "openresolv", "packages": ["openresolv"]}, ""),
    "ours, dnsmasq beside resolvconf": ({"ours": "dnsmasq", "servers": ["127.0.0.2"], "packages": ["resolvconf"]}, "dnsmasq"),
    "ours, dnsmasq on a host with dhclient": ({"ours": "dnsmasq", "dhcp": ["dhclient"]}, "dnsmasq"),
    "ours, systemd-resolved": ({"ours": "systemd_resolved", "servers": ["127.0.0.53"]}, "systemd_resolved"),
}


@pytest.mark.parametrize("case", AUTO)
def test_auto(case):
    found, method = AUTO[case]
    assert resolver_method(seen(**found)) == method


@pytest.mark.parametrize("asked", ["resolvconf", "systemd_resolved", "dnsmasq"])
@pytest.mark.parametrize("case", AUTO)
def test_a_named_method_wins(case, asked):
    assert resolver_method(seen(**AUTO[case][0]), asked) == asked


def problems(asked="auto", resolvers=("192.0.2.53",), options=("timeout:1",), **found):
    return resolver_problems("h", seen(**found), asked, resolvers, options, "192.0.2.1")


def held(address, process, protocol="udp"):
    return {"address": address, "protocol": protocol, "process": process}


FINE = {
    "bare": {},
    "resolvconf named over the stub": {"asked": "resolvconf", **STUB},
    "dnsmasq named on a host with dhclient": {"asked": "dnsmasq", "dhcp": ["dhclient"]},
    "NetworkManager that writes for resolvconf": {"asked": "resolvconf", "writer": "NetworkManager"},
    "Consul is there": {"listeners": [held("192.0.2.1", "consul"), held("127.0.0.1", "consul", "tcp")]},
    "all is there": {"listeners": [held("127.0.0.1", "consul"), held("127.0.0.2", "dnsmasq")]},
    "stub of systemd-resolved": {**STUB, "listeners": [held(a, "systemd-resolve") for a in ("127.0.0.53", "127.0.0.54")]},
    "dnsmasq of virtual machines": {"listeners": [held("192.168.122.1", "dnsmasq")]},
    "a name server whose address moves between hosts, and is here now": {"resolvers": ["192.0.2.99"]},
    "127.0.0.2, with another method": {"asked": "resolvconf", "listeners": [held("127.0.0.2", "named")]},
}


@pytest.mark.parametrize("case", FINE)
def test_fine(case):
    assert problems(**FINE[case]) == []


EVERY = "resolvconf, systemd_resolved, dnsmasq"
WRONG = {
    "no method": ({"asked": "bind9"}, ["consul_dns_method is 'bind9' on h", EVERY]),
    "auto and NetworkManager": (
        {"writer": "NetworkManager"}, ["'auto'", "NetworkManager writes /etc/resolv.conf of h", "discovery_dns_method"]
    ),
    "auto and dhclient": ({"dhcp": ["dhclient"]}, ["dhclient writes /etc/resolv.conf of h", EVERY]),
    "dnsmasq and NetworkManager": ({"asked": "dnsmasq", "writer": "NetworkManager"}, ["NetworkManager writes", "resolvconf"]),
    "openresolv": ({"asked": "resolvconf", "packages": ["openresolv"]}, ["openresolv", "remove this package"]),
    "no server": ({"resolvers": []}, ["consul_dns_resolvers is [] on h", "Set discovery_resolvers"]),
    "loopback": ({"resolvers": ["127.0.0.53"]}, ["127.0.0.53", "not the host itself"]),
    "itself": ({"resolvers": ["192.0.2.53", "192.0.2.1"]}, ["192.0.2.1", "not the host itself"]),
    "rotate": ({"options": ["rotate"]}, ["consul_dns_options has rotate on h", "Take it out"]),
    "dnsmasq everywhere": (
        {"listeners": [held("0.0.0.0", "dnsmasq")]}, ["dnsmasq holds port 53/udp of 0.0.0.0 on h", "bind-interfaces"]
    ),
    "named, IPv6": (
        {"asked": "resolvconf", "listeners": [held("::", "named", "tcp")]}, ["named holds port 53/tcp of ::", "stop it"]
    ),
    "the node's address": ({"listeners": [held("192.0.2.1", "unbound")]}, ["unbound holds port 53/udp of 192.0.2.1"]),
    "loopback held": ({"listeners": [held("127.0.0.1", "")]}, ["a process holds port 53/udp of 127.0.0.1"]),
    "127.0.0.2": ({"listeners": [held("127.0.0.2", "named")]}, ["named holds port 53/udp of 127.0.0.2"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong(case):
    given, words = WRONG[case]
    (problem,) = problems(**given)
    assert [word for word in words if word not in problem] == []


def of_host(*nameservers):
    return {"all_ipv4_addresses": ["192.0.2.1", "192.0.2.99"], "dns": {"nameservers": list(nameservers)}}


@pytest.mark.parametrize(("nameservers", "recorded", "expected"), [
    (["192.0.2.53", "192.0.2.54", "192.0.2.55"], [], ["192.0.2.53", "192.0.2.54"]),
    (["127.0.0.53"], [], []),
    (["192.0.2.99", "192.0.2.53"], [], ["192.0.2.53"]),  # the host itself
    (["127.0.0.2", "127.0.0.1", "192.0.2.53"], ["192.0.2.53", "192.0.2.54"], ["192.0.2.53", "192.0.2.54"]),
    (["127.0.0.1"], ["192.0.2.53"], ["192.0.2.53"]),  # somebody has written over it
    (["127.0.0.2", "127.0.0.1", "192.0.2.53"], ["192.0.2.99", "192.0.2.53"], ["192.0.2.99", "192.0.2.53"]),  # it has moved here
    (["192.0.2.60", "192.0.2.53"], ["192.0.2.53", "192.0.2.54"], ["192.0.2.60", "192.0.2.53"]),  # another one
])  # fmt: skip
def test_name_servers_as_a_host_has_them(nameservers, recorded, expected):
    assert found_resolvers(of_host(*nameservers), recorded) == expected


def test_without_facts_there_are_the_recorded_ones():
    assert found_resolvers({}, ["192.0.2.53"]) == ["192.0.2.53"] and found_resolvers({}) == []


ROLE = Path(__file__).parents[3] / "roles/consul_dns"


def written(folder, method, servers):
    """The files that a run writes, below a directory; what facts have of resolv.conf then."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.ChainableUndefined
    )
    environment.filters |= {"comment": "# {}".format, "fewnodes.discovery.unit_sandbox": str}
    environment.filters["fewnodes.discovery.as_list"] = as_list
    spec = parse_yaml((ROLE / "vars/main.yml").read_text())["__consul_dns_methods"][method.partition(", ")[0]]
    resolved = {
        "/etc/systemd/network/10-eth0.network.d/10-discovery.conf" if "networkd" in method
        else "/etc/systemd/system/discovery-resolved-link.service": "10-discovery.conf.j2" if "networkd" in method
        else "discovery-resolved-link.service.j2"
    }  # fmt: skip
    files = spec["files"] if isinstance(spec["files"], dict) else resolved
    values = {
        "__consul_dns_site": servers, "__consul_dns_spec": spec, "__consul_dns_interface": "eth0", "consul_dns_domain": "consul",
        "consul_dns_address": "192.0.2.1", "__consul_dns_others": ["192.0.2.2"],
    }  # fmt: skip
    for path, template in files.items():
        (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / path[1:]).write_text(environment.get_template(template).render(values))
    if "link" in spec:
        return ["127.0.0.1", *servers]
    return resolv_conf.parse_resolv_conf(environment.get_template("resolv.conf.j2").render(values))["servers"]


@pytest.mark.parametrize("method", ["dnsmasq", "resolvconf", "systemd_resolved", "systemd_resolved, networkd"])
@pytest.mark.parametrize("servers", [["192.0.2.53"], ["192.0.2.53", "2001:db8::53"]])
def test_a_second_run_finds_the_name_servers_of_the_first(tmp_path, method, servers):
    """resolv.conf has room for three, of which two are ours with dnsmasq and systemd-resolved."""
    named = written(tmp_path, method, servers)
    report = REPORT.replace("/etc/", f"{tmp_path}/etc/")
    done = subprocess.run(["sh", "-c", report], capture_output=True, text=True, check=False)
    recorded = host_facts(done.stdout)["resolvers"]
    assert recorded == servers
    assert found_resolvers(of_host(*named), recorded) == servers


def test_a_host_without_our_files_has_no_record(tmp_path):
    (tmp_path / "etc/resolvconf/resolv.conf.d").mkdir(parents=True)
    (tmp_path / "etc/resolvconf/resolv.conf.d/base").write_text("nameserver 192.0.2.53\n")
    done = subprocess.run(
        ["sh", "-c", REPORT.replace("/etc/", f"{tmp_path}/etc/")], capture_output=True, text=True, check=False
    )
    assert host_facts(done.stdout)["resolvers"] == []


def test_parse():
    text = (
        "# what we wrote\n; nameserver 1.1.1.1\nnameserver 127.0.0.2 # ours\n\tnameserver\n"
        "search a.example b.example\ndomain c.example\noptions timeout:1 rotate\noptions attempts:2\n"
        "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
    )
    assert resolv_conf.parse_resolv_conf(text) == {
        "servers": ["127.0.0.2", "192.0.2.1", "192.0.2.2"],
        "search": ["c.example"],
        "options": ["timeout:1", "rotate", "attempts:2"],
    }


@pytest.mark.parametrize("text, name", [
    ("# Generated by NetworkManager\nnameserver 192.0.2.1\n", "NetworkManager"),
    ("# Generated by dhcpcd from eth0.dhcp\n", "dhcpcd"),
    ("# Generated by resolvconf\n", "openresolv"),
    ("nameserver 192.0.2.1\n# Generated by NetworkManager is what this is not\n", "NetworkManager"),
    ("# Dynamic resolv.conf(5) file for glibc resolver(3) generated by resolvconf(8)\n", ""),
    ("nameserver 192.0.2.1\n", ""),
    ("", ""),
])  # fmt: skip
def test_writer(text, name):
    assert resolv_conf.writer(text) == name


@pytest.mark.parametrize("text, words", [
    ("nameserver 127.0.0.1\nnameserver 192.0.2.53\n", []),
    ("nameserver 192.0.2.53\nnameserver 127.0.0.1\n", ["must ask 127.0.0.1 first"]),
    ("", ["it asks nobody", "192.0.2.53"]),
    ("nameserver 127.0.0.1\n", ["none of the site's name servers (192.0.2.53)"]),
    ("nameserver 127.0.0.1\nnameserver 192.0.2.7\nnameserver 192.0.2.8\nnameserver 192.0.2.53\n", ["none of the site's"]),
    ("nameserver 127.0.0.1\nnameserver 192.0.2.53\noptions rotate\n", ["rotate"]),
])  # fmt: skip
def test_wrong_with(text, words):
    found = resolv_conf.resolv_conf_problems(text, ["127.0.0.1"], ["192.0.2.53"])
    assert len(found) == len(words)
    assert all(word in " ".join(found) for word in words)


@pytest.mark.parametrize(("text", "domains"), [
    ("Global: ~consul\nLink 2 (eth0): site.example ~.\n", ["~consul"]),
    ("Global:\nLink 2 (eth0): ~consul\n", []),
    ("Global: one.example ~two.example\n        ~consul\nLink 2 (eth0):\n        three.example\n",
     ["one.example", "~two.example", "~consul"]),
    ("", []),
])  # fmt: skip
def test_domains_of_systemd_resolved_itself(text, domains):
    assert resolv_conf.global_domains(text) == domains


def test_listening():
    udp = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
        "  316: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   107        0 24371 2 0 0\n"
        "  400: 0200000A:0035 0300000A:1234 01 00000000:00000000 00:00000000 00000000   107        0 24372 2 0 0\n"
        "  401: 0100007F:0277 00000000:0000 07 00000000:00000000 00:00000000 00000000   107        0 24373 2 0 0\n"
    )
    assert resolv_conf.listening(udp, "udp") == [{"address": "127.0.0.1", "protocol": "udp", "inode": "24371"}]
    tcp6 = "head\n   0: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 99 1\n"
    assert resolv_conf.listening(tcp6, "tcp") == [{"address": "::", "protocol": "tcp", "inode": "99"}]


def test_question_and_answer():
    packet = dns_question.question("intranet.site.example", 4711)
    assert packet == b"\x12\x67\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08intranet\x04site\x07example\x00\x00\x01\x00\x01"
    assert dns_question.question("", 1, 2)[12:] == b"\x00\x00\x02\x00\x01"
    assert dns_question.answer(b"\x12\x67\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00", 4711) == ("NOERROR", 2)
    assert dns_question.answer(b"\x12\x67\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00", 4711) == ("NXDOMAIN", 0)
    assert dns_question.answer(b"\x12\x67\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00", 4712) is None
    assert dns_question.answer(packet, 4711) is None  # a question
    assert dns_question.answer(b"", 4711) is None
