"""X7: a virtual host, a path of it, TLS for it or a port that is in use stays with its owner, on every balancer alike."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery_balancer import owners, sync
from discovery_balancer.options import Options
from discovery_balancer.plan import plan
from test_plan import ENDING_TLS, OPTIONS, instance, labelled, reasons, reported
from test_sync import Site

GRACE = 10


def catalog(register=None, failing=None, **services):
    entries = [{"name": name, "instances": found} for name, found in services.items()]
    entries += [{"name": name, "instances": [], "failing": found} for name, found in (failing or {}).items()]
    return {"consul": 3, "services": entries, "owners": {} if register is None else {"balancers": register}}


class Cluster:
    """The register in Consul's KV store, and balancers that each read and write it."""

    def __init__(self, options=OPTIONS):
        self.options, self.text, self.now = options, None, 1000

    def plan(self, failing=None, **services):
        """One sync of a balancer."""
        made = plan(catalog(self.text, failing, **services), self.options)
        self.text = owners.updated(self.text, made, self.now, GRACE)
        return made

    def later(self, seconds, **services):
        """Some syncs of a balancer, the last two of them then."""
        for passed in (1, seconds - 1, 0):
            self.now += passed
            made = self.plan(**services)
        return made


def served(made):
    return [service.name for service in made.http + made.tls + made.tcp]


EACH = {
    "host": (lambda: labelled(hosts="p.example"), lambda: labelled(hosts="p.example"), ("b", "a"), "http p.example"),
    "path": (
        lambda: labelled(hosts="p.example", path="/api"), lambda: labelled(hosts="p.example", path="/api"), ("b", "a"),
        "http p.example /api",
    ),
    "tls": (
        lambda: labelled(tags=["tls"], hosts="p.example"), lambda: labelled(tags=["tls"], hosts="p.example"), ("b", "a"),
        "tls p.example",
    ),
    "port": (lambda: labelled(tags=["tcp"]), lambda: labelled(tags=["tcp"]), ("b-9999", "a-9999"), "tcp 9999"),
    "name": (lambda: labelled(), lambda: labelled(hosts="b.hospital.example"), ("b", "a"), "http b.hospital.example"),
    "another's name": (
        lambda: labelled(hosts="a.hospital.example"), lambda: labelled(), ("b", "a"), "http a.hospital.example",
    ),
}  # fmt: skip


@pytest.fixture(params=EACH, ids=EACH)
def case(request):
    """Two services that claim the same: the first is served, the second would go before it without an owner, or not."""
    first, second, names, claim = EACH[request.param]
    return {names[0]: [first()]}, {names[1]: [second()]}, names, claim


def test_x7_who_has_it_keeps_it(case):
    has, wants, (owner, other), claim = case
    site = Cluster()
    assert served(site.plan(**has)) == [owner]
    for made in (site.plan(**has, **wants), site.plan(**wants, **has), site.later(100, **has, **wants)):
        assert (served(made), reasons(made)) == ([owner], {other: f"{claim} is already taken by the service {owner}"})


def test_x7_a_balancer_that_joins_serves_the_same(case):
    """It has seen both services at once; so has one that restarts."""
    has, wants, (owner, _other), _claim = case
    site = Cluster()
    site.plan(**has)
    assert served(plan(catalog(site.text, **wants, **has), OPTIONS)) == [owner]


def test_x7_a_service_that_fails_keeps_it(case):
    has, wants, (owner, other), claim = case
    site = Cluster()
    site.plan(**has)
    for made in (site.plan(failing=has, **wants), site.later(100, failing=has, **wants)):
        assert (served(made), reasons(made)) == ([], {other: f"{claim} is already taken by the service {owner}"})
    assert served(site.plan(**has, **wants)) == [owner]


def test_x7_a_restarted_service_has_it_again(case):
    has, wants, (owner, other), claim = case
    site = Cluster()
    site.plan(**has)
    made = site.later(GRACE - 1, **wants)
    assert reasons(made) == {other: f"{claim} is kept for a moment for the service {owner}, which has gone"}
    for _ in range(3):  # again and again
        assert served(site.later(GRACE - 1, **has, **wants)) == [owner]
        site.later(GRACE - 1, **wants)


def test_x7_it_is_free_when_its_owner_has_gone(case):
    has, wants, (owner, other), claim = case
    site = Cluster()
    site.plan(**has)
    assert served(site.later(GRACE + 2, **wants)) == [other]
    assert served(site.plan(**has, **wants)) == [other]
    assert reasons(site.plan(**has, **wants)) == {owner: f"{claim} is already taken by the service {other}"}


def test_x7_instances_may_change(case):
    """An update replaces every container of the owner, one by one."""
    has, wants, (owner, _other), _claim = case
    site = Cluster()
    site.plan(**has)
    replaced = {owner: [{**one, "address": "10.0.0.9", "id": "new"} for one in has[owner]]}
    for found in ({owner: has[owner] + replaced[owner]}, replaced):
        assert served(site.plan(**found, **wants)) == [owner]


def test_x7_a_name_in_another_case_takes_nothing():
    site = Cluster()
    site.plan(web=[labelled()])
    made = site.plan(web=[labelled()], WEB=[labelled("10.0.0.2")])
    assert [i.address for i in made.http[0].instances] == ["10.0.0.1"]
    assert reasons(made) == {"WEB": "http web is already taken by another service of that name"}


def test_x7_tls_that_ends_here_is_not_led_away():
    site = Cluster(ENDING_TLS)
    site.plan(b=[labelled(hosts="x.hospital.example")])
    made = site.plan(b=[labelled(hosts="x.hospital.example")], a=[labelled(tags=["tls"], hosts="x.hospital.example")])
    assert (made.tls, reasons(made)) == ((), {"a": "TLS for x.hospital.example ends here, for the service b"})


def test_x7_tls_that_goes_through_does_not_end_here():
    site = Cluster(ENDING_TLS)
    site.plan(b=[labelled(tags=["tls"], hosts="x.hospital.example")])
    made = site.plan(b=[labelled(tags=["tls"], hosts="x.hospital.example")], a=[labelled(hosts="x.hospital.example")])
    assert [s.name for s in made.tls] == ["b"]
    assert reported(made) == {"a": "TLS for x.hospital.example goes through to the service b"}


def test_x7_a_host_that_may_no_longer_offer_it_keeps_nothing():
    site = Cluster()
    site.plan(b=[{**labelled(hosts="p.example"), "node": "c2"}])
    site.options = dataclasses.replace(OPTIONS, service_hosts={"p.example": ["c1"]})
    found = {"b": [{**labelled(hosts="p.example"), "node": "c2"}], "c": [{**labelled(hosts="p.example"), "node": "c1"}]}
    assert served(site.later(GRACE + 2, **found)) == ["c"]


def test_x7_without_a_register_the_lowest_name_is_first():
    assert served(plan(catalog(b=[labelled(hosts="p.example")], a=[labelled(hosts="p.example")]), OPTIONS)) == ["a"]


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", "7", '{"http p.example": "b"}', '{"http p.example": ["b"]}', '{"http p.example": [1, 0]}',
     '{"http p.example": ["b", -1]}', '{"http p.example": ["b", true]}', '{"http p.example": {"b": 0}}', "[" * 5000],
)  # fmt: skip
def test_x7_a_damaged_register_is_made_anew(text):
    made = plan(catalog(text, a=[labelled(hosts="p.example")]), OPTIONS)
    assert served(made) == ["a"]
    assert json.loads(owners.updated(text, made, 1, GRACE))["http p.example"] == ["a", 0]


@pytest.mark.parametrize("register", [7, ["x"], {"x": 1}])
def test_x7_a_register_that_is_no_text_is_none(register):
    assert served(plan(catalog(register, a=[instance()]), OPTIONS)) == ["a"]


def test_x7_nothing_changes_in_a_register_that_is_right():
    site = Cluster()
    site.plan(a=[instance()])
    before = site.text
    site.later(5, a=[instance()])
    assert site.text is before


def test_x7_a_clock_that_went_back_keeps_nothing_for_ever():
    made = plan(catalog(None, b=[instance()]), OPTIONS)
    assert json.loads(owners.updated('{"tcp 9999": ["a-9999", 2000]}', made, 1000, GRACE)).keys() == {
        "http b.hospital.example", "name http b",
    }  # fmt: skip


def test_x7_of_two_that_write_at_once_the_first_has_it():
    """Two balancers, each of which has seen one of the services only; the register is read anew before it is written."""
    first, second = (plan(catalog(**{name: [labelled(hosts="p.example")]}), OPTIONS) for name in ("b", "a"))
    text = owners.updated(owners.updated(None, first, 1, GRACE), second, 1, GRACE)
    assert json.loads(text)["http p.example"] == ["b", 1]  # the second has not seen the first service: soon it will
    both = catalog(text, a=[labelled(hosts="p.example")], b=[labelled(hosts="p.example")])
    assert served(plan(both, OPTIONS)) == ["b"]


SERVICES = st.dictionaries(
    st.sampled_from(["a", "b", "B", "c-9999", "d-9999"]),
    st.lists(
        st.builds(
            lambda tags, hosts, path, node: {**labelled(tags=tags, hosts=hosts, path=path), "node": node},
            st.lists(st.sampled_from(["http", "tls", "tcp"]), min_size=1, max_size=3),
            st.sampled_from(["", "p.example", "p.example,q.hospital.example", "a.hospital.example"]),
            st.sampled_from(["", "/x"]),
            st.sampled_from(["c1", "c2"]),
        ),
        min_size=1,
        max_size=2,
    ),
    max_size=4,
)


def owner_of(made):
    """What is served, and by whom."""
    found = {}
    for kind in ("http", "tls", "tcp"):
        for service in getattr(made, kind):
            places = [f"tcp {service.port}"] if kind == "tcp" else [f"{kind} {h} {service.settings.path}" for h in service.hosts]
            found |= {place: service.name for place in places}
    return found


@settings(max_examples=60)
@given(SERVICES, SERVICES, st.sampled_from([OPTIONS, ENDING_TLS]))
def test_x7_no_newcomer_takes_anything(there, newcomers, options):
    """Whatever registers beside services that are served: each of them keeps all that it has."""
    site = Cluster(options)
    site.plan(**there)
    before = owner_of(site.plan(**there))
    both = {**newcomers, **there}
    for made in (site.plan(**both), site.later(30, **both), plan(catalog(site.text, **both), options)):
        assert owner_of(made).items() >= before.items()


@settings(max_examples=60)
@given(SERVICES, SERVICES, st.integers(0, 30))
def test_x7_the_register_settles(before, after, seconds):
    """It is not written again and again, and what it has then is what is served."""
    site = Cluster()
    site.plan(**before)
    site.later(seconds, **after) if seconds else None
    for _ in range(3):
        site.later(GRACE + 3, **after)
    text = site.text
    made = site.later(3, **after)
    assert site.text == text
    assert owner_of(made) == owner_of(plan(catalog(text, **dict(sorted(after.items(), reverse=True))), OPTIONS))


def test_x7_sync_records_what_it_serves_and_asks_only_when_that_changes(tmp_path):
    site, written = Site(tmp_path), []

    def record(change):
        written.append(change(written[-1] if written else None))
        return ""

    def run():
        return sync.sync(site.store, lambda: site.options, lambda options: site.balancer, site.clock, record=record)

    def write(**services):
        register = written[-1] if written else None
        (tmp_path / "catalog.json").write_text(json.dumps(catalog(register, **services)))

    write(b=[labelled(hosts="p.example")])
    run()
    assert json.loads(written[-1]) == {"http p.example": ["b", 0], "name http b": ["b", 0]}
    for _ in range(2):
        write(b=[labelled(hosts="p.example")], a=[labelled(hosts="p.example")])
        assert list(run()["http"]) == ["b"]
    assert len(written) == 1


@pytest.mark.parametrize(
    "moment",
    [
        "1" + "0" * 400, "1" + "0" * 5000, "8589934593", "-1", "-" + "1" * 400, "1.5", "1e400", "NaN", "Infinity",
        "-Infinity", "true", "null", '"1"', "[1]",
    ],
)  # fmt: skip
def test_x7_an_entry_without_a_moment_is_left_out_alone(moment):
    """Whoever may write the key chose it; a balancer goes on with the other entries."""
    text = f'{{"http a": ["x", {moment}], "http b": ["y", 1000], "tcp 9": ["z", 0]}}'
    assert owners.register_of(text) == {"http b": ("y", 1000), "tcp 9": ("z", 0)}
    made = plan(catalog(text), OPTIONS)
    assert json.loads(owners.updated(text, made, 1005.5, GRACE)) == {"http b": ["y", 1000], "tcp 9": ["z", 1005]}


def test_x7_a_register_that_cannot_be_written_is_reported_and_hurts_nobody(tmp_path):
    site = Site(tmp_path)
    site.catalog("web")
    status = sync.sync(site.store, lambda: site.options, lambda o: site.balancer, site.clock, record=lambda change: "403 denied")
    assert (status["state"], status["http"]) == ("ok", {"web": 1})
    assert status["warnings"] == [{"name": "owners", "reason": "owners of names and ports cannot be recorded: 403 denied"}]


def test_x7_the_grace_period_is_an_option_of_the_site():
    assert (Options(domain="x.example").owner_grace, Options(domain="x.example", owner_grace=60).owner_grace) == (10, 60)


LONG = "a" * 60 + "." + "b" * 60 + "." + "c" * 60 + "." + "d" * 50


def long_hosts(number, count=64):
    return ",".join(f"h{number}-{host}.{LONG}.example"[:250] for host in range(count))


def test_x7_a_service_has_a_bounded_part_of_the_register():
    """The surplus is not served, with the reason; what it has stays, whatever it asks for later."""
    site = Cluster()
    made = site.plan(b=[labelled(hosts=long_hosts(1))])
    had = made.http[0].hosts
    assert 20 < len(had) < 64
    assert sum("one claim too many" in reason for _name, reason in made.warnings) == 64 - len(had)
    assert sum(len(claim) for claim in json.loads(site.text) if claim.startswith("http ")) <= owners.MOST_BYTES_OF_SERVICE
    for hosts in (long_hosts(1), "a.example," + long_hosts(1)):
        assert set(site.plan(b=[labelled(hosts=hosts)]).http[0].hosts) - {"a.example"} == set(had)


@pytest.mark.parametrize("tag", ["http", "tls"])
def test_x7_a_service_of_64_hosts_has_them_all(tag):
    hosts = ",".join(f"{number:02}-{'h' * 40}.{'d' * 40}.example" for number in range(64))
    made = Cluster(ENDING_TLS).plan(b=[labelled(tags=[tag], hosts=hosts)])
    assert (len((made.http + made.tls)[0].hosts), made.warnings) == (64, ())


def test_x7_a_tls_service_is_bounded_as_well():
    made = Cluster().plan(b=[labelled(tags=["tls"], hosts=long_hosts(1))])
    assert len(made.tls[0].hosts) < 64


def test_x7_nobody_fills_the_register_until_consul_refuses_it():
    site = Cluster()
    site.plan(web=[labelled(hosts="p.example")])
    flood = {f"f{number}": [labelled(hosts=long_hosts(number))] for number in range(100)}
    made = site.plan(web=[labelled(hosts="p.example")], other=[labelled(hosts="q.example")], **flood)
    assert len(site.text) <= owners.MOST_BYTES
    register = json.loads(site.text)
    # The one that has its claim keeps it, and one that asks for a host of its own gets it beside those that ask for many.
    assert (register["http p.example"], register["http q.example"]) == (["web", 0], ["other", 0])
    left = owners.without_owner(site.text, made)
    assert left and not {"web", "other"} & set(left)
    again = site.text
    site.plan(web=[labelled(hosts="p.example")], other=[labelled(hosts="q.example")], **flood)
    assert site.text is again  # it is not written again and again
    later = site.later(GRACE + 3, web=[labelled(hosts="p.example")])
    assert (sorted(json.loads(site.text)), owners.without_owner(site.text, later)) == (["http p.example", "name http web"], [])


def test_x7_a_full_register_takes_no_service_away():
    site = Cluster()
    flood = {f"f{number}": [labelled(hosts=long_hosts(number))] for number in range(100)}
    site.plan(**flood)
    made = site.plan(**flood, web=[labelled(hosts="p.example")])
    assert ("web" in served(made), "web" in owners.without_owner(site.text, made)) == (True, True)


def test_x7_the_status_reports_a_full_register(tmp_path, monkeypatch):
    monkeypatch.setattr(owners, "MOST_BYTES", 150)
    site, written = Site(tmp_path), []
    (tmp_path / "catalog.json").write_text(json.dumps(catalog(None, **{f"s{number}": [labelled()] for number in range(9)})))

    def record(change):
        written.append(change(None))
        return ""

    status = sync.sync(site.store, lambda: site.options, lambda options: site.balancer, site.clock, record=record)
    assert len(status["http"]) == 9 and len(written[0]) <= 150
    assert status["warnings"] == [{
        "name": "owners",
        "reason": "the register is full (150 bytes), so names or ports of s0, s1, s2, s3, s4 and 4 more have no owner",
    }]  # fmt: skip


def test_x7_a_path_of_a_host_is_claimed_by_who_may_offer_the_host_only():
    """Without a list of the site anybody may; see docs/security.md."""
    portal, login = {**labelled(hosts="p.example"), "node": "c1"}, labelled("10.0.0.2", hosts="p.example", path="/login")
    site = Cluster()
    site.plan(portal=[portal])
    assert served(site.plan(portal=[portal], evil=[{**login, "node": "c2"}])) == ["evil", "portal"]
    site = Cluster(dataclasses.replace(OPTIONS, service_hosts={"p.example": ["c1"]}))
    made = site.plan(portal=[portal], evil=[{**login, "node": "c2"}])
    assert served(made) == ["portal"]
    assert dict(made.skipped[:1]) == {"evil": "instance i on c2: discovery_service_hosts does not let c2 offer p.example"}
