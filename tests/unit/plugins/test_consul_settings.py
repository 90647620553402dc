import base64

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_settings import servers_warning, settings_problems

KEY = base64.b64encode(bytes(32)).decode()
GOOD = {
    "datacenter": "dc1",
    "domain": "consul",
    "name_problems": [],
    "servers": ["a", "b", "c"],
    "bootstrap_expect": 3,
    "allow_even_servers": False,
    "deployment": "container",
    "extra_config": {"telemetry": {}, "ports": {"https": 8501}, "tls": {"https": {"verify_incoming": False}}},
    "write_networks": ["10.8.0.0/24", "192.0.2.1", "2001:db8::/32", "10.1.2.3/8"],
    "gossip_keys": {"consul_gossip_key": "", "gossip_key": KEY},
    "declared_services": {"a": ["modem-9998", "scanner-*"], "b": []},
    "declared_by_host": {"a": {"a": ["modem-9998"]}, "b": {"a": ["modem-9998"]}, "c": {"a": ["modem-9998"]}},
    "agents": ["a", "b", "c"],
}


def test_good_settings():
    assert settings_problems("a", GOOD) == []
    assert settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": "", "gossip_key": ""}}) == []
    assert settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": KEY, "gossip_key": KEY}}) == []


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"bootstrap_expect": 5}, ["consul_bootstrap_expect", "5", "lists 3"]),
        ({"servers": ["a", "b"], "bootstrap_expect": 2}, ["consul_servers", "2 servers", "consul_allow_even_servers"]),
        ({"servers": [], "bootstrap_expect": 0}, ["consul_servers is empty"]),
        ({"servers": ["a", "b", "b"]}, ["consul_servers lists b 2 times"]),
        ({"extra_config": {"enable_script_checks": True}}, ["enable_script_checks", "consul_deployment"]),
        ({"extra_config": {"enable_local_script_checks": True}}, ["enable_local_script_checks", "consul_deployment"]),
        ({"extra_config": {"node_name": "x"}}, ["consul_extra_config", "node_name", "'x'"]),
        ({"extra_config": {"ports": {"https": 443}}}, ["consul_extra_config", "ports.https", "443", "8501"]),
        ({"extra_config": {"tls": {"https": {"verify_incoming": True}}}}, ["consul_extra_config", "tls.https.verify_incoming"]),
        ({"extra_config": {"http_config": {"allow_write_http_from": ["10.0.0.0/8"]}}}, ["10.0.0.0/8", "consul_write_networks"]),
        ({"write_networks": ["10.8.0.0/24", "office"]}, ["consul_write_networks", "'office'", "10.1.0.0/16"]),
        ({"gossip_keys": {"consul_gossip_key": KEY[:20] + "MTI="}}, ["consul_gossip_key", "17 bytes", "32 bytes"]),
        ({"gossip_keys": {"consul_gossip_key": "no key!"}}, ["consul_gossip_key", "no base64"]),
        (
            {"gossip_keys": {"consul_gossip_key": base64.b64encode(bytes([1] * 32)).decode(), "gossip_key": KEY}},
            ["differ", "unset consul_gossip_key"],
        ),
    ],
)
def test_names_variable_host_and_value(change, parts):
    found = settings_problems("a", GOOD | change)
    assert len(found) == 1, found
    for part in ["host a", *parts]:
        assert part in found[0]


@pytest.mark.parametrize(
    ("declared", "parts"),
    [
        ({"d": ["web"]}, ["'d'", "no Consul agent", "choose among a, b, c"]),
        ({"a": "web"}, ["host a", "'web'", "set it to a list"]),
        ({"a": ["we b"]}, ["host a", "we b", "set it to a list"]),
        ({"a": ["Consul"]}, ["host a", "consul is Consul's own"]),
        ({"a": None}, ["host a", "None"]),
    ],
)
def test_w18_rights_of_declared_services_are_checked(declared, parts):
    (problem,) = settings_problems("a", GOOD | {"declared_services": declared})
    assert problem.startswith("consul_declared_services ") and all(part in problem for part in parts)


def test_w29_names_of_nodes_are_checked():
    assert settings_problems("a", GOOD | {"name_problems": ["hosts a.x, a.y would all be the node a"]}) == [
        "hosts a.x, a.y would all be the node a"
    ]


@pytest.mark.parametrize(
    ("value", "suggested"),
    [("Main", "main"), ("haus.nord", "haus-nord"), ("my dc", "my-dc"), ("", "dc1"), ("-a-", "a"), ("b" * 64, "b" * 63),
     ("dc_1_", "dc_1"), (1, "'1'"), (True, "'true'"), (None, "'none'"), ("é", "dc1"), ("dc1\n", "dc1")],
)  # fmt: skip
def test_w22_a_datacenter_that_consul_changes_or_refuses(value, suggested):
    (found,) = settings_problems("a", GOOD | {"datacenter": value})
    assert f"consul_datacenter (discovery_datacenter) of host a is {value!r}" in found and found.endswith(f"such as {suggested}")


@pytest.mark.parametrize("value", ["Consul", ".consul", "consul.", "con sul", "", "-consul", "a..b", 1, None, "consul\n"])
def test_w22_a_domain_that_consul_changes_or_refuses(value):
    (found,) = settings_problems("a", GOOD | {"domain": value})
    assert f"consul_domain of host a is {value!r}" in found and found.endswith("such as consul")


@pytest.mark.parametrize("value", ["local", "consul.local", "consul.localhost", "onion", "my.invalid"])
def test_w58_a_domain_that_no_program_asks_dns_for_is_refused(value):
    (found,) = settings_problems("a", GOOD | {"domain": value})
    assert f"consul_domain of host a is {value!r}" in found and "set it to consul or" in found
    assert ("multicast DNS" in found) == value.endswith("local")


@pytest.mark.parametrize("value", ["local.example", "consul", "hospital-local", "consul.lan"])
def test_w58_domains_that_only_look_like_it_are_taken(value):
    assert settings_problems("a", GOOD | {"domain": value}) == []


@pytest.mark.parametrize("change", [{"datacenter": "dc_1-nord"}, {"datacenter": "1"}, {"domain": "consul.site.example"}])
def test_w22_good_names(change):
    assert settings_problems("a", GOOD | change) == []


@pytest.mark.parametrize("variable", ["datacenter", "domain"])
def test_w22_names_are_not_set_beside_the_variables(variable):
    (found,) = settings_problems("a", GOOD | {"extra_config": {variable: "other"}})
    assert f"sets {variable} to 'other'" in found and found.endswith(f"set consul_{variable} instead")


def test_the_key_itself_is_not_printed():
    assert "secretsecret" not in str(settings_problems("a", GOOD | {"gossip_keys": {"consul_gossip_key": "secretsecret"}}))


@pytest.mark.parametrize("of_c", [{}, {"c": ["modem-9998"]}])
def test_w18_another_host_with_another_value_is_named(of_c):
    """Its agent would have a token without rights, or none: the policies are written with the value of another host."""
    (problem,) = settings_problems("a", GOOD | {"declared_by_host": GOOD["declared_by_host"] | {"c": of_c}})
    assert problem.startswith("consul_declared_services of host a is {'a': ['modem-9998']}, but of host c ")
    assert problem.endswith("such as in group_vars/all")


@pytest.mark.parametrize(("count", "told"), [
    (0, ""), (1, ""), (2, "2 Consul servers (s0, s1) survive no more failures than 1: none may fail. When 1 of them is away"),
    (3, ""), (4, "4 Consul servers (s0, s1, s2, s3) survive no more failures than 3: 1 may fail. When 2 of them are away"),
])  # fmt: skip
def test_an_even_number_is_warned_of(count, told):
    warning = servers_warning([f"s{number}" for number in range(count)])
    assert warning.startswith(told) and bool(warning) is bool(told)


def test_d1_two_servers_need_the_explicit_opt_in():
    two = GOOD | {"servers": ["a", "b"], "bootstrap_expect": 2}
    (problem,) = settings_problems("a", two)
    assert "set consul_allow_even_servers: true" in problem
    assert settings_problems("a", two | {"allow_even_servers": True}) == []
