"""A client of a service with the label `sticky` keeps its instance: with the distribution's servers, as in test_answers.py."""

import collections
import json
import re
import time

import pytest

import real_haproxy
import real_nginx
from discovery_balancer.backends import sticky
from discovery_balancer.plan import Instance, Service
from instances import ADDRESS, apply, catalog, entry, running
from real_nginx import DOMAIN

HOST = f"web.{DOMAIN}"
COOKIE = re.compile(r"(sticky_[0-9a-f]{16})=([0-9a-f]{4}); Path=/; HttpOnly")


@pytest.fixture(scope="module", params=[real_nginx, real_haproxy], ids=["nginx", "haproxy"])
def balancer(request):
    with running(request.param) as balancer:
        yield balancer


@pytest.fixture
def browser(balancer):
    """Clients that keep their cookies."""
    return lambda: Browser(balancer)


class Browser:
    """A client that keeps its cookies, like a browser that is closed after each page."""

    def __init__(self, balancer, **cookies):
        self.balancer, self.cookies, self.answer = balancer, cookies, None

    def ask(self, path="/", method="GET", host=HOST) -> str:
        """The name of the instance that answers, or the status; and what came with it is in `answer`."""
        headers = {"Host": host, "Connection": "close"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = real_nginx.http.client.HTTPConnection(real_nginx.ADDRESS, self.balancer.http_port, timeout=10)
        connection.request(method, path, headers=headers)
        self.answer = connection.getresponse()
        body = self.answer.read()
        connection.close()
        for text in self.answer.headers.get_all("Set-Cookie", []):
            match = COOKIE.fullmatch(text)
            assert match, text
            self.cookies[match[1]] = match[2]
        return json.loads(body)[0] if self.answer.status == 200 else str(self.answer.status)

    def asks(self, times=6, **named) -> set:
        return {self.ask(**named) for _ in range(times)}


def stuck(one, **settings) -> dict:
    return entry(one.port, sticky="cookie", **settings)


def test_p1_a_client_keeps_its_instance(balancer, browser, instance):
    places = [instance(name=name) for name in "abc"]
    apply(balancer, web=[stuck(one) for one in places])
    clients = [browser() for _ in range(9)]
    assert collections.Counter(client.ask() for client in clients) == {"a": 3, "b": 3, "c": 3}
    for client in clients:
        assert client.answer.headers["Set-Cookie"] and client.answer.headers["Cache-Control"] == "private"
        assert str(ADDRESS) not in client.answer.headers["Set-Cookie"]
        assert len(client.asks()) == 1
        assert (client.answer.headers["Set-Cookie"], client.answer.headers["Cache-Control"]) == (None, None)


def test_p1_without_the_label_nobody_gets_a_cookie(balancer, browser, instance):
    apply(balancer, web=[entry(instance().port)], kept=[stuck(instance())])
    client = browser()
    client.ask()
    assert client.cookies == {}


@pytest.mark.parametrize("answer", ["gone", "close", 503, "refuses"])
def test_p1_another_instance_takes_over_for_good(balancer, browser, instance, answer):
    """Gone from the catalog, also by maintenance; or not known yet to be gone. The client stays where it is then."""
    bad, good = instance(200 if answer in ("gone", "refuses") else answer, name="bad"), instance(name="good")
    port = bad.port
    apply(balancer, web=[stuck(bad), stuck(good)])
    (value,) = (v for v, i in sticky.values(_service(port, good.port)).items() if i.port == port)
    client = Browser(balancer, **{sticky.cookie(_service()): value})
    if answer == "gone":
        assert client.ask() == "bad"
        apply(balancer, web=[stuck(good)])
    if answer == "refuses":
        bad.close()
    assert client.ask() == "good" and client.cookies[sticky.cookie(_service())] != value
    if answer == "gone":
        apply(balancer, web=[stuck(bad), stuck(good)])
    assert client.asks() == {"good"}


@pytest.mark.parametrize(("answer", "status"), [("close", "502"), ("refuses", "good")])
def test_p1_a_post_goes_to_another_instance_only_while_nothing_of_it_was_sent(balancer, instance, answer, status):
    bad, good = instance(answer, name="bad"), instance(name="good")
    apply(balancer, web=[stuck(bad), stuck(good)])
    (value,) = (v for v, i in sticky.values(_service(bad.port, good.port)).items() if i.port == bad.port)
    if answer == "refuses":
        bad.close()
    assert Browser(balancer, **{sticky.cookie(_service()): value}).ask(method="POST") == status
    assert len(bad.asked) + len(good.asked) == 1


def test_p1_a_new_instance_takes_no_client_of_another(balancer, browser, instance):
    first = instance(name="first")
    apply(balancer, web=[stuck(first)])
    client = browser()
    assert client.ask() == "first"
    second = instance(name="second")
    status = apply(balancer, web=[stuck(first), stuck(second)])
    assert client.asks() == {"first"}
    others = [browser() for _ in range(6)]
    assert {other.ask() for other in others} == {"first", "second"}
    assert all(len(other.asks(4)) == 1 for other in others)
    if isinstance(balancer, real_haproxy.Balancer) and not real_haproxy.SPARE:
        assert status["last_reload"] != status["time"], "it was changed while it runs"


@pytest.mark.parametrize("value", ["", "0000", "x" * 4000, "{other}", "abcd;", '"', "127.0.0.1:80", "%s", "{other}, {other}"])
def test_p1_a_forged_cookie_gets_an_instance_of_the_service(balancer, instance, value):
    """And none of another service, whose values mean nothing here."""
    mine, others = instance(name="mine"), instance(name="others")
    apply(balancer, web=[stuck(mine)], shop=[stuck(others)])
    (other,) = sticky.values(Service("shop", (Instance(ADDRESS, others.port),)))
    client = Browser(balancer, **{sticky.cookie(_service()): value.replace("{other}", other)})
    assert client.ask() == "mine" and others.asked == []
    assert client.cookies[sticky.cookie(_service())] in sticky.values(_service(mine.port))


def test_p1_two_services_of_one_host_have_their_own_cookies(balancer, browser, instance):
    fronts, apis = [instance(name=f"front{n}") for n in range(3)], [instance(name=f"api{n}") for n in range(3)]
    at = {"hosts": HOST, "path": "/a.pi", "strip": "true"}
    apply(balancer, front=[stuck(one, hosts=HOST) for one in fronts], api=[stuck(one, **at) for one in apis])
    client = browser()
    front, api = client.ask(), client.ask("/a.pi")
    assert (front[:-1], api[:-1], len(client.cookies)) == ("front", "api", 2)
    paths = ["/a.pi", "/a.pi/", "/a.pi/x/y%20z?q=1"]
    assert (client.asks(), {client.ask(path) for path in paths}) == ({front}, {api})
    asked = [path for one in apis for _method, path, _headers in one.asked]
    assert asked == ["/", "/", "/", "/x/y%20z?q=1"]


def test_p1_an_instance_may_hand_a_request_to_another_service_of_its_host(balancer, browser, instance):
    """By X-Accel-Redirect, which only nginx knows. The client gets a cookie of the service that answers."""
    first, files = instance(name="first", accel="/files/x"), [instance(name=f"files{n}") for n in range(2)]
    apply(balancer, first=[stuck(first, hosts=HOST)], files=[stuck(one, hosts=HOST, path="/files") for one in files])
    client = browser()
    if isinstance(balancer, real_haproxy.Balancer):
        assert client.asks() == {"first"}
        return
    answered = client.ask()
    assert answered in ("files0", "files1") and client.asks() == {answered}
    assert {path for one in files for _method, path, _headers in one.asked} == {"/files/x"}
    assert len(first.asked) == 7 and len(client.cookies) == 1


def test_p1_a_version_without_a_share_gets_nobody_and_a_canary_its_share(balancer, browser, instance):
    old, new = instance(name="old"), instance(name="new")
    services = {"web": [stuck(old), stuck(new)]}
    for one, version in zip(services["web"], ("v1", "v2"), strict=True):
        one["meta"]["version"] = version

    def shift(percent):
        wanted = catalog(**services) | {"traffic": {"web": json.dumps({"shares": {"v2": percent}})}}
        before, status = balancer.workers(), balancer.sync(wanted)
        assert status["state"] == "ok", status
        deadline = time.monotonic() + 20
        while status["last_reload"] == status["time"] and before & balancer.workers():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    shift(20)
    clients = [browser() for _ in range(10)]
    assert collections.Counter(client.ask() for client in clients) == {"old": 8, "new": 2}
    assert all(len(client.asks(3)) == 1 for client in clients)
    shift(0)
    assert {client.ask() for client in clients} == {"old"}


def test_p1_an_error_of_the_application_comes_with_the_cookie(balancer, browser, instance):
    """Its first page may be a refusal, such as a login."""
    apply(balancer, web=[stuck(instance(401))])
    client = browser()
    assert (client.ask(), len(client.cookies)) == ("401", 1)


def _service(*ports):
    return Service("web", tuple(sorted(Instance(ADDRESS, port) for port in ports)))


def test_values_are_short_and_differ():
    many = Service("web", tuple(Instance("10.0.0.1", port) for port in range(1, 3001)))
    found = sticky.values(many)
    assert len(set(found)) == len(set(found.values())) == 3000
    assert all(re.fullmatch("[0-9a-f]{4}", value) for value in found)
    assert found == sticky.values(many)
    assert set(sticky.values(Service("shop", many.instances[:3]))) != set(list(found)[:3])
