"""What is served, what is skipped, and why."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service, plan

OPTIONS = Options(domain="hospital.example")


def instance(address="10.0.0.1", port=8080, tags=("http",), **more):
    return {"id": "i", "node": "n", "address": address, "port": port, "tags": list(tags), "weight": 1, **more}


def catalog(**services):
    """catalog(name=[instances]); underscores in names are kept."""
    entries = [{"name": name, "instances": instances} for name, instances in services.items()]
    return {"consul": 3, "services": entries, "skipped": []}


def tcp(name, *instances):
    return {"name": name, "instances": list(instances) or [instance(tags=["tcp"])]}


def reasons(result):
    return dict(result.skipped)


def test_http_service_is_served():
    result = plan(catalog(web=[instance("10.0.0.2"), instance("10.0.0.1")]), OPTIONS)
    instances = (Instance("10.0.0.1", 8080), Instance("10.0.0.2", 8080))
    assert result == Plan(http=(Service("web", instances, hosts=("web.hospital.example",)),))


def test_tcp_service_listens_on_the_port_that_ends_its_name():
    result = plan({"services": [tcp("my-tcp-9998")]}, OPTIONS)
    assert [(s.name, s.port) for s in result.tcp] == [("my-tcp-9998", 9998)]


@pytest.mark.parametrize(("port", "served"), [(9989, False), (9990, True), (9999, True), (10000, False)])
def test_tcp_service_must_be_among_the_published_ports(port, served):
    options = dataclasses.replace(OPTIONS, tcp_ports=(9990, 9999))
    result = plan({"services": [tcp(f"echo-{port}")]}, options)
    left = {} if served else {f"echo-{port}": f"port {port} is not one of the balancer's published ports 9990-9999"}
    assert ([s.port for s in result.tcp], reasons(result)) == ([port] if served else [], left)


def test_service_with_both_tags_is_served_twice():
    result = plan({"services": [tcp("app-9000", instance(tags=["http", "tcp"]))]}, OPTIONS)
    assert ([s.name for s in result.http], [s.name for s in result.tcp]) == (["app-9000"], ["app-9000"])


def test_only_tagged_instances_are_served():
    result = plan(catalog(web=[instance("10.0.0.1"), instance("10.0.0.2", tags=[])]), OPTIONS)
    assert [i.address for i in result.http[0].instances] == ["10.0.0.1"]


OURS = {"registrator": "n", "registrator-engine": "e"}
DATAGRAMS = {
    "by its id": {"id": "n:syslog:9999:udp", "meta": OURS},
    "by our mark": {"id": "mine", "meta": OURS | {"registrator-protocol": "udp"}},
    "by the id that another registrator gives": {"id": "n:syslog:9999:udp", "meta": None},
    "by the tag of another program": {"id": "mine", "meta": None},
}


@pytest.mark.parametrize("kind", ["http", "tls", "tcp"])
@pytest.mark.parametrize("how", DATAGRAMS)
def test_w3_a_udp_port_is_never_balanced_as_tcp(kind, how):
    """A service on both protocols of a container's port has one name and one tag."""
    good = instance("10.0.0.1", 32900, [kind], id="n:syslog:9999", meta=OURS)
    other = instance("10.0.0.1", 32901, [kind, "udp"], **DATAGRAMS[how])
    options = dataclasses.replace(OPTIONS, tls_port=443)
    result = plan({"services": [{"name": "syslog-9992", "instances": [good, other]}]}, options)
    (served,) = result.http + result.tls + result.tcp
    assert served.instances == (Instance("10.0.0.1", 32900),)
    assert result.skipped == (("syslog-9992", f"instance {other['id']} on n: it is a UDP port, and {kind} is TCP"),)


def test_w3_a_service_on_udp_alone_is_skipped_and_claims_nothing():
    """Nor does it keep a port of a balancer from another service, and settings of it do not count."""
    mute = instance("10.0.0.1", 9992, ["tcp", "udp"], id="n:a:9992:udp", meta=OURS | {"balancer_read_timeout": "1s"})
    options = dataclasses.replace(OPTIONS, addresses=("10.0.0.1",))
    entries = [{"name": "a-9992", "instances": [mute], "failing": [mute]}, tcp("b-9992", instance("10.0.0.2", 9000, ["tcp"]))]
    result = plan({"services": entries}, options)
    assert [s.name for s in result.tcp] == ["b-9992"] and result.owners.get("tcp 9992") == "b-9992"
    assert [reason for _, reason in result.skipped] == [
        "instance n:a:9992:udp on n: it is a UDP port, and tcp is TCP", "no usable instance",
    ]  # fmt: skip


def test_w3_a_tcp_port_of_a_container_with_the_tag_udp_is_served():
    """SERVICE_TAGS are those of all its ports."""
    one = instance("10.0.0.1", 32900, ["tcp", "udp"], id="n:syslog:9999", meta=OURS)
    assert [s.port for s in plan({"services": [tcp("syslog-9992", one)]}, OPTIONS).tcp] == [9992]


@pytest.mark.parametrize("instances", [[], [instance(tags=[])], None])
def test_service_without_instances_never_appears(instances):
    assert plan(catalog(web=instances), OPTIONS) == Plan()


@pytest.mark.parametrize("name", ["my_app", "-web", "web-", "a.b", "", "a" * 64, "web;", "web\n", "ｗeb", "web}"])
def test_http_name_must_be_a_dns_label(name):
    result = plan(catalog(**{name: [instance()]}), OPTIONS)
    assert (result.http, "DNS label" in reasons(result)[name]) == ((), True)


def test_http_name_is_served_in_lower_case():
    assert plan(catalog(Web=[instance()]), OPTIONS).http[0].name == "web"


def test_of_two_names_that_differ_in_case_the_lowest_is_served():
    result = plan(catalog(web=[instance("10.0.0.1")], WEB=[instance("10.0.0.2")]), OPTIONS)
    assert result.http[0].instances[0].address == "10.0.0.2"
    assert "already taken" in reasons(result)["web"]


@pytest.mark.parametrize("name", ["tcpfront", "9999", "tcp-0999", "tcp-", "tcp-99999999", "a;b-9999", "tcp-9999\n", "tcp-٩"])
def test_tcp_name_without_a_port_is_skipped(name):
    result = plan({"services": [tcp(name)]}, OPTIONS)
    assert (result.tcp, "no port to listen on" in reasons(result)[name]) == ((), True)


@pytest.mark.parametrize("port", [22, 53, 80, 443, 2376, 8300, 8301, 8500, 8501])
def test_reserved_port_is_refused(port):
    result = plan({"services": [tcp(f"x-{port}")]}, OPTIONS)
    assert (result.tcp, reasons(result)) == ((), {f"x-{port}": f"port {port} is reserved"})


def test_the_port_of_the_virtual_hosts_is_reserved():
    options = dataclasses.replace(OPTIONS, http_port=8080)
    assert reasons(plan({"services": [tcp("x-8080")]}, options)) == {"x-8080": "port 8080 is reserved"}


def test_port_above_the_highest_is_refused():
    assert reasons(plan({"services": [tcp("x-65536")]}, OPTIONS)) == {"x-65536": "65536 is not a port"}


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:DB8::1"])
def test_port_of_an_instance_on_this_host_is_left_to_it(address):
    """Listening there would keep that instance from starting after a reboot."""
    options = dataclasses.replace(OPTIONS, addresses=("10.0.0.1", "2001:db8::1"))
    entries = [tcp("x-9999", instance(address, 9999, ["tcp"]), instance("10.0.0.2", 9999, ["tcp"]))]
    assert "belongs to its instance" in reasons(plan({"services": entries}, options))["x-9999"]


def test_same_port_on_another_host_is_served():
    options = dataclasses.replace(OPTIONS, addresses=("10.0.0.1",))
    result = plan({"services": [tcp("x-9999", instance("10.0.0.2", 9999, ["tcp"]))]}, options)
    assert [s.port for s in result.tcp] == [9999]


def test_balancer_does_not_balance_itself():
    options = dataclasses.replace(OPTIONS, addresses=("10.0.0.1",))
    result = plan(catalog(web=[instance("10.0.0.1", 80), instance("10.0.0.2", 80)]), options)
    assert [i.address for i in result.http[0].instances] == ["10.0.0.2"]
    assert reasons(result) == {"web": "instance i on n: 10.0.0.1 port 80 is a load balancer"}


@pytest.mark.parametrize("order", [("a-9999", "b-9999"), ("b-9999", "a-9999")])
def test_the_lowest_name_keeps_a_port_that_two_claim(order):
    result = plan({"services": [tcp(name) for name in order]}, OPTIONS)
    assert [s.name for s in result.tcp] == ["a-9999"]
    assert reasons(result) == {"b-9999": "tcp 9999 is already taken by the service a-9999"}


@pytest.mark.parametrize(
    "bad",
    [
        {"address": "web.example"}, {"address": ""}, {"address": None}, {"address": "10.0.0.1; evil"},
        {"address": "fe80::1%eth0;"}, {"address": "0.0.0.0"}, {"address": "::"}, {"address": "224.0.0.1"},
        {"address": "127.0.0.1"}, {"address": "127.9.9.9"}, {"address": "::1"}, {"address": "::ffff:127.0.0.1"},
        {"address": "169.254.169.254"}, {"address": "::ffff:169.254.169.254"}, {"address": "fe80::1"}, {"address": "ff02::1"},
        {"address": "0.0.0.7"}, {"address": "255.255.255.255"},
        {"port": 0}, {"port": 65536}, {"port": "80"}, {"port": True}, {"port": 1.5}, {"port": None},
        {"weight": 0}, {"weight": -1}, {"weight": "2"}, {"weight": 65536},
    ],
)  # fmt: skip
def test_bad_instance_is_skipped_and_the_others_are_served(bad):
    result = plan(catalog(web=[instance(), {**instance("10.0.0.2"), **bad}]), OPTIONS)
    assert [i.address for i in result.http[0].instances] == ["10.0.0.1"]
    assert reasons(result)["web"].startswith("instance i on n: the ")


def test_service_with_bad_instances_only_is_skipped():
    result = plan(catalog(web=[instance("x")]), OPTIONS)
    assert (result.http, result.skipped[-1]) == ((), ("web", "no usable instance"))


def test_same_address_and_port_count_once():
    assert len(plan(catalog(web=[instance(), instance()]), OPTIONS).http[0].instances) == 1


def test_ipv6_address_is_bracketed():
    assert plan(catalog(web=[instance("2001:DB8::1")]), OPTIONS).http[0].instances[0].address == "[2001:db8::1]"


def test_services_skipped_by_consul_template_are_reported():
    result = plan({"services": [], "skipped": [{"name": "a.b", "reason": "odd name"}]}, OPTIONS)
    assert reasons(result) == {"a.b": "odd name"}


def test_one_bad_service_does_not_hurt_the_others():
    result = plan(catalog(**{"bad name": [instance()], "web": [instance()]}), OPTIONS)
    assert [s.name for s in result.http] == ["web"]


def test_without_ports_moves_services_to_the_skipped():
    full = plan({"services": [tcp("a-9998"), tcp("b-9999")]}, OPTIONS)
    less = full.without_ports({9998: "taken"})
    assert ([s.name for s in less.tcp], less.skipped) == (["b-9999"], (("a-9998", "taken"),))


def labelled(address="10.0.0.1", tags=("http",), port=8080, **settings):
    """An instance with settings in its meta."""
    return instance(address, port, tags, meta={f"balancer_{key}": value for key, value in settings.items()})


def reported(result):
    return dict(result.warnings)


CERTIFICATE = {"names": ["*.hospital.example"], "certificate": "/etc/c.pem", "key": "/etc/k.pem"}
ENDING_TLS = dataclasses.replace(OPTIONS, certificates=(CERTIFICATE,))


def test_hosts_of_its_own_replace_the_default():
    result = plan(catalog(my_app=[labelled(hosts="portal.example.org, hospital.example")]), OPTIONS)
    assert [(s.name, s.hosts) for s in result.http] == [("my_app", ("hospital.example", "portal.example.org"))]


def test_bad_hosts_leave_the_default():
    result = plan(catalog(web=[labelled(hosts="a;b")]), OPTIONS)
    assert (result.http[0].hosts, result.skipped) == (("web.hospital.example",), ())
    assert "balancer_hosts" in reported(result)["web"]


def test_services_share_a_host_by_path():
    result = plan(catalog(api=[labelled(hosts="p.example", path="/api")], web=[labelled(hosts="p.example")]), OPTIONS)
    assert [(s.name, *s.hosts, s.settings.path) for s in result.http] == [("api", "p.example", "/api"), ("web", "p.example", "")]


@pytest.mark.parametrize("path", ["", "/api"])
def test_of_two_that_claim_host_and_path_the_lowest_name_is_served(path):
    result = plan(catalog(b=[labelled(hosts="p.example", path=path)], a=[labelled(hosts="p.example", path=path)]), OPTIONS)
    assert [s.name for s in result.http] == ["a"]
    assert reasons(result) == {"b": f"http p.example {path}".strip() + " is already taken by the service a"}


@pytest.mark.parametrize("tag", ["http", "tls"])
def test_nobody_takes_the_name_that_a_service_has_by_itself(tag):
    result = plan(catalog(a=[labelled(tags=[tag], hosts="web.hospital.example")], web=[labelled(tags=[tag])]), OPTIONS)
    assert [s.name for s in result.http + result.tls] == ["web"]
    assert reasons(result) == {"a": f"{tag} web.hospital.example is already taken by the service web"}


def test_services_are_sorted_by_name_however_they_chose():
    result = plan(catalog(a=[labelled(hosts="p.example")], b=[labelled()], c=[labelled(hosts="q.example")]), OPTIONS)
    assert [s.name for s in result.http] == ["a", "b", "c"]


def test_reports_stay_short():
    long = "x" * 10**5
    odd = [instance(long, id=long, node=long), instance(port=long), labelled(hosts=f"{long} " * 50, path=long, strip=long)]
    result = plan({"services": [{"name": long, "instances": odd}], "skipped": [{"name": long, "reason": long}]}, OPTIONS)
    assert sum(len(name) + len(text) for name, text in result.skipped + result.warnings) < 5000


def test_shares_are_made_by_turns_not_by_connections():
    versions = [instance(tags=["tcp"], meta={"version": "v1"}), instance("10.0.0.2", tags=["tcp"], meta={"version": "v2"})]
    entries = {"services": [tcp("x-9999", *versions)], "traffic": {"x-9999": {"v2": 10}}}
    assert plan(entries, OPTIONS).tcp[0].shifted


def test_a_service_keeps_the_hosts_that_nobody_else_has():
    result = plan(catalog(a=[labelled(hosts="p.example")], b=[labelled(hosts="p.example,q.example")]), OPTIONS)
    assert [s.hosts for s in result.http] == [("p.example",), ("q.example",)]
    assert (reasons(result), reported(result)) == ({}, {"b": "http p.example is already taken by the service a"})


def test_a_service_without_a_usable_instance_claims_nothing():
    result = plan(catalog(a=[labelled("x", hosts="p.example")], b=[labelled(hosts="p.example")]), OPTIONS)
    assert [s.name for s in result.http] == ["b"]


def test_a_bad_path_never_takes_a_host_that_may_be_shared():
    entries = {"a": [labelled(hosts="p.example", path="api")], "b": [labelled(hosts="p.example")], "c": [labelled(path="api")]}
    result = plan(catalog(**entries), OPTIONS)
    assert ([s.name for s in result.http], "balancer_path" in reasons(result)["a"]) == (["b", "c"], True)


def test_weight_of_an_instance_goes_before_consuls():
    result = plan(catalog(web=[labelled(weight="4"), labelled("10.0.0.2", weight="x")]), OPTIONS)
    assert ([i.weight for i in result.http[0].instances], list(reported(result))) == ([4, 1], ["web"])


@pytest.mark.parametrize(("most", "size"), [(64, "64k"), (63, ""), (16, "")])
def test_w8_a_longer_header_than_the_backend_can_hold_is_refused_by_name(most, size):
    options = dataclasses.replace(OPTIONS, balancer="haproxy", most_header_size=most)
    result = plan(catalog(web=[instance(meta={"balancer_header_size": "64k"})]), options)
    assert result.http[0].settings.header_size == size
    refused = f"balancer_header_size '64k' is more than haproxy can hold here, {most}k; the site's applies"
    assert result.warnings == ((("web", refused),) if not size else ())


def test_tls_service():
    result = plan(catalog(web=[labelled(tags=["tls"])], other=[labelled(tags=["tls"], hosts="a.example,b.example")]), OPTIONS)
    assert [(s.name, s.hosts) for s in result.tls] == [("other", ("a.example", "b.example")), ("web", ("web.hospital.example",))]
    assert (result.tls_port, result.ports, result.skipped) == (443, {443}, ())


def test_http_and_tls_of_one_name_do_not_meet():
    result = plan(catalog(web=[labelled(tags=["http", "tls"])]), OPTIONS)
    assert ([s.name for s in result.http], [s.name for s in result.tls]) == (["web"], ["web"])


def test_of_two_tls_services_of_one_host_the_lowest_name_is_served():
    result = plan(catalog(b=[labelled(tags=["tls"], hosts="p.example")], a=[labelled(tags=["tls"], hosts="p.example")]), OPTIONS)
    assert ([s.name for s in result.tls], reasons(result)) == (["a"], {"b": "tls p.example is already taken by the service a"})


def test_without_tls_nothing_listens_for_it():
    assert plan(catalog(web=[instance()]), OPTIONS).ports == frozenset()


def test_tls_service_without_a_port_is_skipped():
    options = dataclasses.replace(OPTIONS, tls_port=0)
    assert reasons(plan(catalog(web=[labelled(tags=["tls"])]), options)) == {"web": "this balancer has no port for TLS"}


def test_tls_port_is_not_the_balancers_own_instance():
    options = dataclasses.replace(OPTIONS, addresses=("10.0.0.1",))
    result = plan(catalog(web=[labelled(tags=["tls"], port=443)]), options)
    assert result.skipped == (
        ("web", "instance i on n: 10.0.0.1 port 443 is a load balancer"), ("web", "no usable instance"),
    )  # fmt: skip


def test_tls_port_is_reserved():
    options = dataclasses.replace(OPTIONS, tls_port=8443)
    assert reasons(plan({"services": [tcp("x-8443")]}, options)) == {"x-8443": "port 8443 is reserved"}


def test_tls_port_that_is_taken_leaves_http_alone():
    full = plan(catalog(web=[labelled(tags=["http", "tls"])]), ENDING_TLS)
    less = full.without_ports({443: "taken"})
    assert ([s.name for s in less.http], less.tls, less.tls_port, less.skipped) == (["web"], (), 0, (("web", "taken"),))


def test_with_certificates_tls_is_listened_for():
    result = plan(catalog(web=[instance()]), ENDING_TLS)
    assert (result.ports, result.without_ports({443: "taken"}).skipped) == ({443}, (("TLS", "taken"),))


def test_tls_that_ends_here_for_another_service_is_not_passed_through():
    result = plan(catalog(a=[labelled()], b=[labelled(tags=["tls"], hosts="a.hospital.example")]), ENDING_TLS)
    assert (result.tls, reasons(result)) == ((), {"b": "TLS for a.hospital.example ends here, for the service a"})


def test_tls_that_a_lower_name_has_does_not_end_here():
    asked = {"a": [labelled(tags=["tls"], hosts="x.hospital.example")], "b": [labelled(hosts="x.hospital.example")]}
    result = plan(catalog(**asked), ENDING_TLS)
    assert ([s.name for s in result.http], [s.name for s in result.tls]) == (["b"], ["a"])
    assert reported(result) == {"b": "TLS for x.hospital.example goes through to the service a"}


def test_p1_hosts_for_which_tls_ends_here():
    """Not the one whose connections go to another service."""
    result = plan(
        catalog(
            web=[labelled(hosts="a.hospital.example,b.hospital.example,c.example", https_redirect="308", hsts="600")],
            a=[instance(port=443, tags=["tls"])],
        ),
        ENDING_TLS,
    )
    assert result.http[0].encrypted == ("b.hospital.example",)
    ignored = "has no effect for a.hospital.example, c.example: TLS for it does not end here"
    assert result.warnings[-2:] == (("web", f"balancer_https_redirect {ignored}"), ("web", f"balancer_hsts {ignored}"))


def test_p1_no_word_about_what_the_site_wants():
    options = dataclasses.replace(OPTIONS, https_redirect="308", hsts="600")
    result = plan(catalog(web=[labelled(https_redirect="false")], api=[instance()]), options)
    assert (result.warnings, [service.encrypted for service in result.http]) == ((), [(), ()])


def test_p1_no_service_decides_hsts_for_the_other_paths_of_a_host():
    result = plan(catalog(web=[instance()], api=[labelled(hosts="web.hospital.example", path="/api", hsts="0")]), ENDING_TLS)
    assert [service.settings.hsts for service in result.http] == ["", ""]
    assert result.warnings == (("api", "balancer_hsts is of a whole host, and it has a path: ignored"),)


@pytest.mark.parametrize(("port", "age", "kept"), [(443, "600", "600"), (8443, "600", ""), (8443, "0", "0")])
def test_p1_no_hsts_where_browsers_find_no_port(port, age, kept):
    """They ask for https://<host> without a port then, RFC 6797, 8.3: nobody would reach it for as long as they keep it."""
    result = plan(catalog(web=[labelled(hsts=age)]), dataclasses.replace(ENDING_TLS, tls_port=port))
    assert result.http[0].settings.hsts == kept
    ignored = (("web", "balancer_hsts sends browsers to port 443, and balancer_tls_port is 8443: ignored"),)
    assert result.warnings == (() if kept == age else ignored)


def test_own_tls_goes_before_the_certificate():
    result = plan(catalog(a=[labelled(tags=["http", "tls"])]), ENDING_TLS)
    assert ([s.name for s in result.tls], result.skipped) == (["a"], ())


@pytest.mark.parametrize(("options", "served"), [(OPTIONS, False), (ENDING_TLS, True)])
def test_grpc_needs_a_certificate(options, served):
    result = plan(catalog(web=[labelled(protocol="grpc")]), options)
    assert ([s.name for s in result.http], "grpc needs TLS" in reasons(result).get("web", "")) == (["web"] * served, not served)


SITE = dataclasses.replace(
    OPTIONS, hosts={"c1": "192.0.2.1", "c2": "192.0.2.2"}, balancers=("192.0.2.1",), addresses=("192.0.2.9",)
)


@pytest.mark.parametrize("address", ["192.0.2.2", "::ffff:192.0.2.2"])
@pytest.mark.parametrize("port", [22, 53, 2376, 4789, 7946, 8300, 8301, 8500, 8501, 8600])
def test_no_instance_is_the_platform_itself(address, port):
    bad, elsewhere = instance(address, port), instance("198.51.100.7", port)
    result = plan(catalog(web=[bad, elsewhere]), SITE)
    assert [i.address for i in result.http[0].instances] == ["198.51.100.7"]
    assert reasons(result) == {"web": f"instance i on n: port {port} of a host of the site belongs to the platform"}


@pytest.mark.parametrize("port", [80, 443])
def test_no_instance_is_a_load_balancer(port):
    """Two of them would hand a request to each other until a header is too long."""
    result = plan(catalog(web=[instance("192.0.2.1", port), instance("192.0.2.2", port)]), SITE)
    assert [i.address for i in result.http[0].instances] == ["192.0.2.2"]
    assert reasons(result) == {"web": f"instance i on n: 192.0.2.1 port {port} is a load balancer"}


def test_a_weight_is_bounded_against_its_siblings():
    """One instance never takes nearly all requests of a service, whatever it says of itself or Consul says of it."""
    found = [labelled(weight="1000"), instance("10.0.0.2", weight=65535), instance("10.0.0.3"), instance("10.0.0.4")]
    result = plan(catalog(web=found), OPTIONS)
    assert [i.weight for i in result.http[0].instances] == [5, 5, 1, 1]
    assert reported(result)["web"] == (
        "the weight of 10.0.0.1:8080, 10.0.0.2:8080 counts as 5: no more than 5 times the lowest of the service"
    )


@pytest.mark.parametrize(("ratio", "weights"), [(0, [1000, 7]), (1, [7, 7]), (200, [1000, 7])])
def test_the_bound_of_weights_is_the_sites(ratio, weights):
    options = dataclasses.replace(OPTIONS, weight_ratio=ratio)
    found = [instance("10.0.0.1", weight=1000), instance("10.0.0.2", weight=7)]
    assert [i.weight for i in plan(catalog(web=found), options).http[0].instances] == weights


def test_bounded_weights_share_within_a_version():
    heavy, light = instance(weight=1000, meta={"version": "v1"}), instance("10.0.0.2", meta={"version": "v1"})
    other = instance("10.0.0.3", meta={"version": "v2"})
    asked = {**catalog(web=[heavy, light, other]), "traffic": {"web": {"shares": {"v2": 50}}}}
    assert [i.weight for i in plan(asked, OPTIONS).http[0].instances] == [5, 1, 6]


LISTED = dataclasses.replace(SITE, service_hosts={"Web": ["c1"], "p.example": ["c2"], "echo-9999": ["c1"]})


def placed(node, address="10.0.0.1", **settings):
    return {**labelled(address, **settings), "node": node}


@pytest.mark.parametrize(
    ("name", "found", "served"),
    [
        ("web", [placed("c1"), placed("c2", "10.0.0.2")], ["10.0.0.1"]),
        ("WEB", [placed("c2")], []),
        ("other", [placed("c2", hosts="web.hospital.example")], []),
        ("other", [placed("c2", hosts="p.example"), placed("c1", "10.0.0.2", hosts="p.example")], ["10.0.0.1"]),
        ("other", [placed("c2", hosts="p.example"), placed("c1", "10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),  # no majority
        ("other", [placed("c1", hosts="p.example"), placed("c1", hosts="p.example"), placed("c2", "10.0.0.2")], ["10.0.0.2"]),
        ("other", [placed("c1"), placed("c9", "10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),
        # Somebody who may register for another host has his instance at his own address.
        ("web", [placed("c1"), placed("c1", "192.0.2.2")], ["10.0.0.1"]),
        ("web", [placed("c1", "192.0.2.1")], ["192.0.2.1"]),
        ("echo-9999", [placed("c1", tags=["tcp"]), placed("c2", "10.0.0.2", tags=["tcp"])], ["10.0.0.1"]),
    ],
)
def test_a_list_of_the_site_says_which_hosts_may_offer_a_name(name, found, served):
    result = plan(catalog(**{name: found}), LISTED)
    assert [i.address for s in result.http + result.tcp for i in s.instances] == served
    missing = len({(i["node"], i["address"]) for i in found}) - len(served)
    assert sum("discovery_service_hosts does not let" in reason for _, reason in result.skipped) >= (missing > 0)


SETTINGS = st.dictionaries(
    st.sampled_from([f"balancer_{key}" for key in ("hosts", "path", "strip", "protocol", "weight", "read_timeout")]),
    st.one_of(st.text(max_size=5), st.sampled_from(["a.example", "b.example", "/a", "/a/b", "true", "grpc", "5", "5s"])),
)
entries = st.lists(
    st.tuples(
        st.one_of(st.text(max_size=70), st.from_regex(r"[a-zA-Z]{1,3}(-[0-9]{1,6})?", fullmatch=True)),
        st.lists(
            st.builds(
                instance,
                address=st.one_of(st.text(), st.ip_addresses().map(str), st.just("10.0.0.1")),
                port=st.one_of(st.integers(), st.integers(1, 2), st.text()),
                tags=st.lists(st.sampled_from(["http", "tcp", "tls", "x"])),
                weight=st.integers(0, 3),
                meta=SETTINGS,
            ),
            max_size=4,
        ),
    ),
    max_size=8,
    unique_by=lambda entry: entry[0],
)


@given(entries, st.randoms())
def test_order_of_the_catalog_does_not_matter(services, random):
    listed = [{"name": name, "instances": instances} for name, instances in services]
    shuffled = [{**entry, "instances": random.sample(entry["instances"], len(entry["instances"]))} for entry in listed]
    random.shuffle(shuffled)
    one, other = plan({"services": listed}, OPTIONS), plan({"services": shuffled}, OPTIONS)
    assert (one.http, one.tls, one.tcp) == (other.http, other.tls, other.tcp)
    assert (sorted(one.skipped), sorted(one.warnings)) == (sorted(other.skipped), sorted(other.warnings))


@given(entries)
def test_every_tagged_service_is_served_or_skipped(services):
    result = plan({"services": [{"name": name, "instances": instances} for name, instances in services]}, OPTIONS)
    served = {s.name for s in result.http + result.tls + result.tcp}
    named = {name for name, _ in result.skipped}
    for name, instances in services:
        if any({"http", "tls", "tcp"} & set(i["tags"]) for i in instances):
            assert name.lower() in served or name in named


def test_p1_an_instance_that_would_be_open_is_skipped_and_the_others_are_served():
    wrong = instance("10.0.0.2", meta={"balancer_allow": "office"})
    right = instance("10.0.0.1", meta={"balancer_allow": "10.0.0.0/8"})
    result = plan(catalog(web=[wrong, right], bad=[wrong]), OPTIONS)
    assert [(s.name, len(s.instances), s.settings.allow) for s in result.http] == [("web", 1, ("10.0.0.0/8",))]
    assert sorted(name for name, _ in result.skipped) == ["bad", "bad", "web"]
    assert "office" in reasons(result)["web"] and reasons(result)["bad"] == "no usable instance"


def test_p1_an_instance_does_not_open_those_with_the_sites_list():
    site = dataclasses.replace(OPTIONS, allow=("10.0.0.0/8",))
    wide = instance("10.0.0.2", meta={"balancer_allow": "0.0.0.0/0"})
    result = plan(catalog(web=[wide, instance("10.0.0.1")], alone=[wide]), site)
    assert {service.name: site.allowed(service) for service in result.http} == {"web": site.allow, "alone": ("0.0.0.0/0",)}
    assert [name for name, reason in result.warnings if "more than the site's" in reason] == ["web"]


def test_p1_a_service_that_asks_for_certificates_is_not_open():
    """Where there is no such CA, no TLS that ends here, and on ports and names whose connections go on as they are."""
    certified = {"names": ["*.hospital.example"], "certificate": "/c", "key": "/k"}
    there = dataclasses.replace(OPTIONS, domain="hospital.example", client_cas={"staff": "/x"}, certificates=(certified,))
    for asked in ("staff", "staff,optional"):
        one = instance(tags=["http", "tls", "tcp"], meta={"balancer_client_ca": asked})
        for changed in ({"client_cas": {}}, {"client_cas": {"other": "/x"}}, {"certificates": ()}):
            result = plan(catalog(**{"web-9999": [one]}), dataclasses.replace(there, **changed))
            assert not (result.http or result.tls or result.tcp) and len(result.skipped) == 3
        result = plan(catalog(**{"web-9999": [one]}), there)
        assert (len(result.http), result.tls, result.tcp, result.client_cas) == (1, (), (), {})  # TLS is asked for by itself
        result = plan(catalog(**{"web-9999": [{**one, "tags": ["http", "tcp"]}]}), there)
        assert (len(result.http), result.tcp) == (1, ())
        assert result.client_cas == {"web-9999.hospital.example": "staff"}
    hosts = "web.hospital.example, web.example.org"
    result = plan(catalog(web=[instance(meta={"balancer_client_ca": "staff", "balancer_hosts": hosts})]), there)
    assert result.http[0].hosts == ("web.hospital.example",) and "web.example.org has no certificate here" in str(result.warnings)


def test_p1_a_host_asks_for_certificates_of_one_ca():
    """The one of the shortest path, whatever the names of the services are."""
    certified = {"names": ["*.hospital.example"], "certificate": "/c", "key": "/k"}
    cas = {"a": "/x", "b": "/y"}
    options = dataclasses.replace(OPTIONS, domain="hospital.example", client_cas=cas, certificates=(certified,))

    def asking(ca, hosts, path=""):
        return [instance(meta={"balancer_client_ca": ca, "balancer_hosts": hosts, "balancer_path": path})]

    both = "one.hospital.example, two.hospital.example"
    result = plan(catalog(
        alone=asking("b", "one.hospital.example", "/b"), first=asking("a", "one.hospital.example"), other=asking("b", both, "/c"),
        same=asking("a,optional", "one.hospital.example", "/a"), free=[instance(meta={"balancer_hosts": "two.hospital.example"})],
    ), options)  # fmt: skip
    assert result.client_cas == {"one.hospital.example": "a", "two.hospital.example": "b"}
    assert [(s.hosts, s.encrypted) for s in result.http if s.name == "other"] == [(("two.hospital.example",),) * 2]
    assert [name for name, _ in result.skipped] == ["alone"] and "of the CA a already" in reasons(result)["alone"]
    assert [name for name, reason in result.warnings if "of the CA a already" in reason] == ["other"]
    short, long = asking("b", "portal.hospital.example", "/z"), asking("a", "portal.hospital.example", "/admin")
    assert plan(catalog(admin=long, z=short), options).client_cas == {"portal.hospital.example": "b"}  # not the alphabet of paths


def test_p1_a_service_that_asks_for_passwords_is_not_open():
    """Where there are no such users, and on ports and names whose connections go on as they are."""
    one = instance(tags=["http", "tls", "tcp"], meta={"balancer_basic_auth": "staff"})
    result = plan(catalog(**{"web-9999": [one]}), OPTIONS)
    assert not (result.http or result.tls or result.tcp) and len(result.skipped) == 3
    assert sum("everybody would get in" in reason for _, reason in result.skipped) == 3
    there = dataclasses.replace(OPTIONS, htpasswd={"staff": "/x"})
    result = plan(catalog(**{"web-9999": [one]}), there)
    assert (len(result.http), result.tls, result.tcp) == (1, (), ()) and "in clear" in result.warnings[0][1]
    result = plan(catalog(web=[instance()]), dataclasses.replace(OPTIONS, basic_auth="staff"))
    assert result.http == () and "no list staff" in reasons(result)["web"]


def test_p1_an_instance_that_waits_for_the_proxy_protocol_gets_it_or_nothing():
    one = instance(tags=["http", "tls"], meta={"balancer_proxy_protocol": "true"})
    result = plan(catalog(web=[one]), OPTIONS)
    assert (len(result.http), result.tls) == (1, ()) and "nginx cannot send the PROXY protocol" in reasons(result)["web"]
    assert dict(result.warnings)["web"] == "balancer_proxy_protocol is of tcp and tls: ignored"
    (service,) = plan(catalog(web=[one]), dataclasses.replace(OPTIONS, balancer="haproxy", tls_proxy_protocol=True)).tls
    assert service.settings.proxy_protocol
