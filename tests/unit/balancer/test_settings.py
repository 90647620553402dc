"""Settings of services from their meta."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.settings import PARSERS, Settings, settings, unguarded, weight

DOCS = Path(__file__).parents[3] / "docs/balancer.md"


def meta(**values):
    return {"meta": {f"balancer_{key}": value for key, value in values.items()}}


def one(**values):
    return settings([meta(**values)])


def test_docs_list_every_setting():
    rows = re.findall(r"^\| `(SERVICE_BALANCER_\w+)` \| `(balancer_\w+)` \|", DOCS.read_text(), re.M)
    assert sorted(rows) == sorted((f"SERVICE_BALANCER_{key.upper()}", f"balancer_{key}") for key in PARSERS)


def test_without_settings_the_defaults_apply():
    assert settings([{}, {"meta": None}, {"meta": {"version": "1"}}]) == (Settings(), [])


def test_all_settings():
    values = one(
        hosts="b.example, A.example.", path="/api/", strip="True", protocol="HTTPS", read_timeout="5m", connect_timeout="500ms",
        unbuffered="TRUE", header_size="64K", max_body_size="2G", sticky="Cookie", responses="1",
        https_redirect="False", hsts="31536000", rate_limit="20, 100", gzip="False",
        response_headers="X-B: 2 | x-a: 'self' https:; x=1", allow="10.1.0.0/16 10.0.0.0/8,2001:DB8::1",
        basic_auth="staff", client_ca="staff , optional", proxy_protocol="true", rewrite="/v2/", access_log="false",
    )  # fmt: skip
    sizes = "2g", "64k"
    https = "false", "31536000"
    headers = ("x-a", "'self' https:; x=1"), ("X-B", "2")
    expected = Settings(
        ("a.example", "b.example"), "/api", True, "https", "5m", "500ms", True, *sizes, "1", "cookie", headers, "false",
        (20, 100), *https, allow=("10.0.0.0/8", "2001:db8::1/128"), basic_auth="staff", client_ca="staff,optional",
        proxy_protocol=True, rewrite="/v2", access_log=False,
    )  # fmt: skip
    assert values == (expected, [])


@pytest.mark.parametrize("path", ["/", "///", ""])
def test_the_whole_host_is_no_path(path):
    assert one(path=path) == (Settings(), [])


@pytest.mark.parametrize(
    "host",
    ["intranet", "default", "10.0.0.1", "a.1", "a_b.example", "-a.example", "a..example", "*.example", "a.example;", "ä.example",
     "\u212a.example", "a." * 130 + "example", "{", '"', "a.example\x00", "hostnames", "~x.example"],
)  # fmt: skip
def test_a_host_that_is_no_full_name_is_reported_and_the_others_count(host):
    chosen, problems = one(hosts=f"good.example,{host}")
    assert (chosen.hosts, len(problems)) == (("good.example",), 1)


@pytest.mark.parametrize(
    "path", ["api", "/a b", "/a;b", "/a/../b", "/./a", "/a//b", "/%41", "/ä", "/a\n", "/a{", "/$x", "/" + "a" * 200]
)
def test_a_bad_path_is_reported(path):
    chosen, problems = one(path=path)
    assert (chosen.path, chosen.bad_path, len(problems)) == ("", True, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("strip", "yes"), ("rewrite", "v2"), ("rewrite", "/a/../b"), ("rewrite", "/$1"), ("rewrite", "/a b"),
      ("unbuffered", "1"), ("sticky", "true"), ("sticky", "cookie;"), ("responses", "101"), ("responses", "01"),
     ("max_body_size", "0"), ("max_body_size", "101g"), ("max_body_size", "100"), ("max_body_size", "1m;"),
     ("protocol", "ftp"), ("read_timeout", "5"), ("read_timeout", "0s"), ("read_timeout", "25h"),
     ("read_timeout", "5s;"), ("connect_timeout", "٣s"), ("weight", "0"), ("weight", "1001"), ("weight", "-1"), ("weight", "1\n"),
     ("weight", "٣"), ("header_size", "65k"), ("header_size", "3k"), ("header_size", "64"), ("header_size", "1m"),
     ("header_size", "8k;"), ("gzip", "on"), ("gzip", "1"),
     ("rate_limit", "0"), ("rate_limit", "20,0"), ("rate_limit", "10001"), ("rate_limit", "20,10001"), ("rate_limit", "20r/s"),
     ("rate_limit", "20,"), ("rate_limit", "20 30"), ("rate_limit", "20,30,40"),
     ("rate_limit", "٣"), ("rate_limit", "20;"),
     ("https_redirect", "302"), ("https_redirect", "true"), ("https_redirect", "301;"),
     ("hsts", "-1"), ("hsts", "1y"), ("hsts", "007"), ("hsts", "100000000"), ("hsts", "٣"), ("color", "blue"), ("", "x")],
)  # fmt: skip
def test_a_bad_value_is_reported_and_the_default_applies(key, value):
    chosen, problems = one(**{key: value, "path": "/api"})
    assert (chosen, len(problems)) == (Settings(path="/api"), 1)
    assert f"balancer_{key}" in problems[0]


@pytest.mark.parametrize(
    "value",
    ["", " ", "office", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8;", "10.0.0.0/8 all", "!10.0.0.0/8", "-f /etc/x", "fe80::1%eth0",
     "10.0.0.0/8\0", "１0.0.0.1", "10.0.0.٣", ", ".join(f"10.{n}.0.0/24" for n in range(65))],
)  # fmt: skip
def test_p1_an_instance_that_would_be_open_is_not_usable(value):
    """An allow list that is none is no reason to let everybody in."""
    assert unguarded(meta(allow=value)).startswith("balancer_allow ")
    assert unguarded(meta(allow="10.0.0.0/8")) == unguarded(meta(strip="x")) == unguarded({}) == ""


def test_p1_an_instance_without_an_allow_list_does_not_open_the_others():
    chosen, problems = settings([meta(allow="10.0.0.0/8"), {}, meta()])
    assert (chosen.allow, len(problems)) == (("10.0.0.0/8",), 0)
    chosen, problems = settings([meta(allow="10.0.0.0/8"), {}, meta(allow="10.0.0.1"), meta(allow="10.0.0.1")])
    assert (chosen.allow, len(problems)) == (("10.0.0.1/32",), 1)


def test_p1_an_instance_with_a_larger_allow_list_does_not_open_the_others():
    """Of as many, and those that have the site's list because they say nothing."""
    assert settings([meta(allow="0.0.0.0/0"), meta(allow="10.0.0.0/8")])[0].allow == ("10.0.0.0/8",)
    assert settings([meta(allow="::/0"), meta(allow="10.0.0.0/8, 10.0.0.0/9")])[0].allow == ("10.0.0.0/8",)
    chosen, problems = settings([meta(allow="0.0.0.0/0, ::/0"), {}], ("10.0.0.0/8",))
    assert (chosen.allow, len(problems), "more than the site's" in problems[0]) == ((), 1, True)
    for others, applies in (([{}], ("10.1.0.0/16",)), ([meta(allow="0.0.0.0/0")] * 2, ("0.0.0.0/0",))):
        assert settings([meta(allow="10.1.0.0/16"), *others], ("10.0.0.0/8",))[0].allow == applies


@pytest.mark.parametrize(
    "value",
    ["", "Staff", "a b", "../x", "x" * 33, "a;", "False", "staff,", "staff,Optional", "staff,optional,optional", ",optional"],
)
def test_p1_a_ca_that_is_none_is_not_usable(value):
    assert unguarded(meta(client_ca=value)).startswith("balancer_client_ca ")
    assert unguarded(meta(client_ca="false")) == unguarded(meta(client_ca="staff, optional")) == ""


@pytest.mark.parametrize(
    ("values", "applies"),
    [
        (("a", "", "false"), "a"), (("a", "a,optional", "a,optional"), "a"), (("a,optional", "", ""), "a,optional"),
        (("b", "a,optional", "a"), "a"), (("b,optional", "a,optional"), "a,optional"), (("", "false"), ""),
    ],
)  # fmt: skip
def test_p1_an_instance_that_asks_for_no_certificate_does_not_open_the_others(values, applies):
    chosen = settings([meta(client_ca=value) if value else {} for value in values])[0]
    assert (chosen.client_ca, chosen.ca, chosen.needs_certificate) == (applies, applies[:1], len(applies) == 1)


@pytest.mark.parametrize("value", ["", "Staff", "a b", "../x", "-x", "x" * 33, "a;", "False", "true\n"])
def test_p1_a_list_of_users_that_is_none_is_not_usable(value):
    assert unguarded(meta(basic_auth=value)).startswith("balancer_basic_auth ")


@pytest.mark.parametrize(
    ("values", "applies"),
    [(("staff", "", "false"), "staff"), (("", "false"), ""), (("false", "false"), "false"), (("b", "a"), "a")],
)
def test_p1_an_instance_that_asks_for_no_password_does_not_open_the_others(values, applies):
    assert settings([meta(basic_auth=value) if value else {} for value in values])[0].basic_auth == applies


@pytest.mark.parametrize(("text", "numbers"), [("20", (20, 20)), (" 20 ,5", (20, 5)), ("10000,10000", (10000, 10000))])
def test_rate_limit(text, numbers):
    assert one(rate_limit=text) == (Settings(rate_limit=numbers), [])


def test_of_equally_many_limits_the_lowest_applies():
    """As a number."""
    assert settings([meta(rate_limit="100"), meta(rate_limit="20")])[0].rate_limit == (20, 20)


@pytest.mark.parametrize(
    "bad",
    ["X-A", "X-A:", ": 1", "", " ", "X A: 1", "X_A: 1", "-A: 1", "1A: 1", "X" * 41 + ": 1", "X-Ä: 1",
     'X-A: "1"', "X-A: a\\", "X-A: $host", "X-A: ${x}", "X-A: %[src]", "X-A: a\rb", "X-A: a\nb", "X-A: 1\n",
     "X-A: a\tb", "X-A: a\0", "X-A: {", "X-A: }", "X-A: #", "X-A: `x`", "X-A: ä", "X-A: \u2028",
     "Content-Length: 0", "Transfer-Encoding: chunked", "connection: close", "Set-Cookie: a=b",
     "STRICT-TRANSPORT-SECURITY: max-age=1", "Location: https://evil.example", "Proxy-Authenticate: x",
     "X-Accel-Redirect: /etc/shadow", "Alt-Svc: clear", "x-good: 2"],
)  # fmt: skip
def test_p1_a_header_that_cannot_be_added_is_reported_and_the_others_count(bad):
    chosen, problems = one(response_headers=f"X-Good: 1|{bad}")
    assert (chosen, len(problems)) == (Settings(response_headers=(("X-Good", "1"),)), 1)
    assert "balancer_response_headers" in problems[0]


def test_p1_there_are_not_more_headers_than_haproxy_has_room_for():
    many = one(response_headers="|".join(f"X-{n}: 1" for n in range(9)))
    long = one(response_headers=f"X-A: {'a' * 200}|X-B: {'b' * 200}")
    assert [name for name, _ in many[0].response_headers] == [f"X-{n}" for n in range(8)]
    assert [name for name, _ in long[0].response_headers] == ["X-A"]
    assert "more than 8 headers or 400 characters" in many[1][0] and "more than 8 headers or 400 characters" in long[1][0]


def test_value_of_most_instances_applies():
    chosen, problems = settings([meta(path="/b"), meta(path="/a"), meta(path="/b")])
    assert chosen.path == "/b"
    assert problems == ["its instances differ in balancer_path: '/a' (1), '/b' (2); '/b' applies"]


def test_of_equally_many_values_the_lowest_applies():
    assert settings([meta(path="/b"), meta(path="/a")])[0].path == "/a"


def test_a_bad_path_has_no_vote():
    """Else a service could take the whole of a host that it shares."""
    chosen, problems = settings([meta(path="/b"), meta(path="b")])
    assert (chosen, len(problems)) == (Settings(path="/b"), 1)


def test_the_same_mistake_is_reported_once():
    assert len(settings([meta(strip="x"), meta(strip="x")])[1]) == 1


@pytest.mark.parametrize(("values", "expected"), [({"weight": "7"}, 7), ({"weight": "0"}, None), ({}, None)])
def test_weight(values, expected):
    assert weight(meta(**values)) == expected


values = st.one_of(st.text(max_size=40), st.none(), st.integers(), st.lists(st.text()))
metas = st.one_of(values, st.dictionaries(st.one_of(st.sampled_from([f"balancer_{k}" for k in PARSERS]), st.text()), values))


@given(st.lists(metas, max_size=4), st.randoms())
def test_any_meta_can_be_read_and_its_order_does_not_matter(values, random):
    entries = [{"meta": one} for one in values]
    shuffled = random.sample(entries, len(entries))
    one, other = settings(entries), settings(shuffled)
    assert (one[0], sorted(one[1])) == (other[0], sorted(other[1]))
    assert all(len(problem) < 1000 for problem in one[1])
