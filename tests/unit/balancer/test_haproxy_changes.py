"""From what a HAProxy runs and what is wanted to the commands that make it so (pure), on a HAProxy that is made up."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery_balancer.backends.haproxy.changes import (
    KINDS,
    Changes,
    Running,
    State,
    changes,
    deletions,
    mark,
    marker_of,
    questions,
    running,
)
from discovery_balancer.backends.haproxy.options import HaproxyOptions
from discovery_balancer.backends.haproxy.render import HOSTS, MAPS, NAMES, SPARE, STICKY, layout
from discovery_balancer.options import Options
from discovery_balancer.plan import Instance, Plan, Service
from discovery_balancer.settings import Settings

OPTIONS, OWN = Options(domain="x.example"), HaproxyOptions()
OLD, NEW = (2, 2), (2, 6)
ONE, TWO, THREE = (Instance("10.0.0.1", port) for port in (81, 82, 83))
SIX = Instance("[2001:db8::1]", 81)


def web(*instances, name="web", **given):
    return Service(name, instances, hosts=(f"{name}.x.example",), settings=Settings(**given))


def wanted(*services, own=OWN, **plan):
    return layout(Plan(http=services, **plan), OPTIONS, own)


class Fake:
    """A HAProxy that does what it is asked for.

    :param started: the layout of its files
    """

    def __init__(self, started, version=NEW):
        self.version, self.structure = version, started.structure
        self.maps = {file: dict(entries) for file, entries in started.maps.items()}
        self.servers = {
            name: {s.name: State(s.address, s.port, s.weight, False) for s in section.servers}
            | {f"spare-{n}": State(SPARE, 1, 1, True) for n in range(started.spare)}
            for name, section in started.sections.items()
        }
        self.busy = set()  # servers with a connection

    @property
    def running(self):
        return Running(self.version, self.structure, self.maps, self.servers)

    def do(self, *commands):
        for command in commands:
            words = command.split()
            getattr(self, "_".join(words[:2]))(*words[2:])

    def set_server(self, place, what, value, *more):
        section, name = place.split("/")
        state = self.servers[section][name]
        if what == "addr":
            assert state.maintained, "a server that serves gets another address"
            state = state._replace(address=value, port=int(more[1]))
        else:
            change = {"weight": int(value)} if what == "weight" else {"maintained": value == "maint"}
            state = state._replace(**change)
        self.servers[section][name] = state

    def add_server(self, place, address, _weight, weight, *_keywords):
        section, name = place.split("/")
        assert self.version >= NEW and name not in self.servers[section]
        host, _unused, port = address.rpartition(":")
        self.servers[section][name] = State(host.strip("[]"), int(port), int(weight), True)

    def enable_health(self, place):
        assert place.split("/")[1] in self.servers[place.split("/")[0]]

    def enable_server(self, place):
        self.set_server(place, "state", "ready")

    def del_server(self, place):
        section, name = place.split("/")
        assert self.servers[section][name].maintained and self.version >= NEW
        if place not in self.busy:
            del self.servers[section][name]

    def add_map(self, file, key, value):
        entries = self.maps[file.removeprefix(MAPS)]
        assert key not in entries, "HAProxy would have it twice"
        entries[key] = value

    def set_map(self, file, key, value):
        assert key in self.maps[file.removeprefix(MAPS)]
        self.maps[file.removeprefix(MAPS)][key] = value

    def del_map(self, file, key):
        del self.maps[file.removeprefix(MAPS)][key]

    def serves(self) -> dict:
        """{name of a virtual host: {place: weight}} of what takes requests."""
        return {
            host: {(s.address, s.port): s.weight for s in self.servers[f"http_{service}"].values() if not s.maintained}
            for host, service in self.maps[HOSTS].items()
        }


def test_nothing_to_do():
    layout = wanted(web(ONE), web(TWO, name="two"))
    assert changes(Fake(layout).running, layout) == Changes()


def test_an_instance_comes_and_one_goes():
    fake = Fake(wanted(web(ONE, TWO)))
    found = changes(fake.running, wanted(web(TWO, SIX)))
    assert [" ".join(command.split()[:3]) for command in found.commands] == [
        "add server http_web/2001:db8::1:81", "enable health http_web/2001:db8::1:81", "enable server http_web/2001:db8::1:81",
        "set server http_web/10.0.0.1:81",
    ]  # fmt: skip
    assert found.commands[0].startswith("add server http_web/2001:db8::1:81 [2001:db8::1]:81 weight 1 check ")
    assert found.commands[-1] == "set server http_web/10.0.0.1:81 state maint"


def test_an_added_server_has_the_keywords_of_the_others():
    """HAProxy ignores default-server for it."""
    want = wanted(web(ONE, TWO, protocol="https"))
    (command, *_) = changes(Fake(wanted(web(ONE, protocol="https"))).running, want).commands
    assert command.endswith(want.sections["http_web"].keywords) and " ssl verify none " in command


def test_a_weight_changes_in_place():
    found = changes(Fake(wanted(web(ONE, TWO))).running, wanted(web(dataclasses.replace(ONE, weight=3), TWO)))
    assert found.commands == ("set server http_web/10.0.0.1:81 weight 3",)


def test_an_instance_that_comes_back_before_it_was_deleted():
    fake = Fake(wanted(web(ONE, TWO)))
    fake.do(*changes(fake.running, wanted(web(ONE))).commands)
    back = changes(fake.running, wanted(web(ONE, TWO)))
    assert back.commands == ("set server http_web/10.0.0.1:82 state ready",)


def test_a_name_that_goes_is_not_asked_for_before_its_servers_go():
    found = changes(Fake(wanted(web(ONE))).running, wanted())
    assert found.commands == (f"del map {MAPS}{HOSTS} web.x.example/", "set server http_web/10.0.0.1:81 state maint")


def test_a_name_that_comes_back_needs_no_reload():
    fake = Fake(wanted(web(ONE)))
    for want in (wanted(), wanted(web(TWO))):
        fake.do(*changes(fake.running, want).commands, *deletions(fake.running))
    assert fake.serves() == {"web.x.example/": {("10.0.0.1", 82): 1}}


@pytest.mark.parametrize(
    ("want", "reason"),
    [
        (wanted(web(ONE), web(TWO, name="new")), "http_new is new"),
        (wanted(web(ONE, read_timeout="5s")), "http_web is new, or its settings changed"),
        (wanted(web(ONE), tcp=(Service("e-99", (ONE,), 99),)), "listeners"),
        (wanted(web(ONE), tls_port=443), "listeners"),
        (wanted(web(ONE), own=HaproxyOptions(limits={"read_timeout": "5s"})), "settings of the site"),
        (wanted(web(ONE), own=HaproxyOptions(shutdown_timeout="1h")), "for longer"),
        (wanted(web(ONE), own=HaproxyOptions(shutdown_timeout="0")), "for longer"),
        (layout(Plan(http=(web(ONE),)), OPTIONS, OWN, "other"), "settings of the site"),
    ],
)
def test_what_needs_a_reload(want, reason):
    found = changes(Fake(wanted(web(ONE))).running, want)
    assert reason in found.reason and found.commands == ()


def test_old_workers_may_keep_a_longer_time():
    fake = Fake(wanted(web(ONE), own=HaproxyOptions(shutdown_timeout="1h")))
    assert changes(fake.running, wanted(web(ONE))) == Changes()


def test_a_tcp_service_that_has_gone_needs_a_reload_which_closes_its_port():
    fake = Fake(wanted(tcp=(Service("e-99", (ONE,), 99),)))
    assert changes(fake.running, wanted()).reason


def test_w8_longer_headers_of_a_service_are_a_reload_and_shorter_ones_are_none():
    """Larger buffers stay until the next reload, so that a service that restarts alone needs none."""
    less, more = (wanted(web(ONE, header_size=size)) for size in ("", "64k"))
    assert "longer headers" in changes(Fake(less).running, more).reason
    assert changes(Fake(more).running, less) == Changes()


def test_a_haproxy_that_can_add_no_server_has_spare_ones():
    own = HaproxyOptions(spare=2)
    fake = Fake(wanted(web(ONE), own=own), OLD)
    want = wanted(web(TWO, dataclasses.replace(THREE, weight=2)), own=own)
    fake.do(*changes(fake.running, want).commands)
    assert fake.serves() == {"web.x.example/": {("10.0.0.1", 82): 1, ("10.0.0.1", 83): 2}}
    assert deletions(fake.running) == []
    assert "no spare server" in changes(fake.running, wanted(web(SIX, TWO), own=own)).reason
    assert changes(fake.running, wanted(web(ONE, TWO), own=own)).commands == (
        "set server http_web/10.0.0.1:81 state ready",
        "set server http_web/spare-1 state maint",
    )


def test_p1_servers_that_cookies_name_need_a_reload_where_none_can_be_added():
    """A spare one has the wrong name."""
    for own, version, reason in ((HaproxyOptions(spare=2), OLD, "no spare server"), (OWN, NEW, "")):
        fake = Fake(wanted(web(ONE, sticky="cookie"), own=own), version)
        found = changes(fake.running, wanted(web(ONE, TWO, sticky="cookie"), own=own))
        assert reason in found.reason and bool(found.commands) == (not reason)


def test_p1_cookies_are_changed_while_it_runs():
    want = wanted(web(TWO, THREE, sticky="cookie"))
    fake = Fake(wanted(web(ONE, TWO, sticky="cookie")))
    fake.do(*changes(fake.running, want).commands)
    assert fake.maps[STICKY] == want.maps[STICKY] and len(want.maps[STICKY]) == 4


def test_only_servers_that_take_nothing_are_deleted():
    fake = Fake(wanted(web(ONE, TWO)))
    fake.do(*changes(fake.running, wanted(web(TWO))).commands)
    assert deletions(fake.running) == ["del server http_web/10.0.0.1:81"]


def test_sections_of_others_are_left_alone():
    fake = Fake(wanted(web(ONE)))
    fake.servers["discovery_https"] = {"https": State("", 0, 1, False)}
    assert changes(fake.running, wanted(web(ONE))) == Changes() and not "discovery_https".startswith(KINDS)


instances = st.lists(
    st.builds(Instance, st.sampled_from(["10.0.0.1", "10.0.0.2", "[2001:db8::1]"]), st.integers(1, 3), st.integers(1, 4)),
    max_size=5, unique_by=lambda i: (i.address, i.port),
).filter(bool)  # fmt: skip
plans = st.dictionaries(st.sampled_from(["a", "b", "c"]), instances.map(sorted).map(tuple), max_size=3)


@given(st.lists(plans, min_size=2, max_size=6), st.sampled_from([OLD, NEW]))
def test_after_any_changes_exactly_what_is_wanted_is_served(steps, version):
    """Also where deletions wait, and where a reload comes in between."""
    own = HaproxyOptions(spare=2 if version == OLD else 0)
    want = None
    for number, step in enumerate(steps):
        want = wanted(*(web(*found, name=name) for name, found in sorted(step.items())), own=own)
        if number == 0:
            fake = Fake(want, version)
        found = changes(fake.running, want)
        if found.reason:
            fake = Fake(want, version)
        fake.do(*found.commands)
        if number % 2:
            fake.busy = set(itertools.islice((f"{s}/{n}" for s, servers in fake.servers.items() for n in servers), 2))
            fake.do(*deletions(fake.running))
        assert changes(fake.running, want) == Changes()
        expected = Fake(want, version)
        assert fake.serves() == expected.serves()
        assert fake.serves().keys() == {f"{name}.x.example/" for name in step}


INFO = "Name: HAProxy\nVersion: 2.2.9-2+deb11u7\nRelease_date: 2025/04/23\n"
STATE = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port srvrecord\n"
    "4 http_web 1 10.0.0.1:81 10.0.0.1 2 0 3 1 81 -\n4 http_web 2 spare-0 0.0.0.0 0 5 1 1 1 -\n"
    "4 http_web 3 spare-1 10.0.0.2 2 4 1 1 81 -\n"
    "5 discovery_https 1 https - 2 0 1 1 0 -\n"
)


def test_what_runs_is_read_from_answers():
    files = (HOSTS, NAMES)
    assert questions(files)[2:] == [
        "show map discovery/structure.map",
        "show map discovery/hosts.map",
        "show map discovery/names.map",
    ]
    answers = (INFO, STATE, "0x1 common abc\n0x2 stop 5\n", "0x55 web.x.example/a/ web\n", "")
    found = running(answers, files)
    assert found == Running(
        (2, 2), {"common": "abc", "stop": "5"}, {HOSTS: {"web.x.example/a/": "web"}, NAMES: {}},
        {
            "http_web": {
                "10.0.0.1:81": State("10.0.0.1", 81, 3, False),
                "spare-0": State(SPARE, 1, 1, True),
                "spare-1": State("10.0.0.2", 81, 1, False),
            },
            "discovery_https": {"https": State("", 0, 1, False)},
        },
    )  # fmt: skip


def test_what_is_no_haproxy_of_ours_is_not_changed():
    with pytest.raises(ValueError, match="version"):
        running(("Unknown command", "", "", ""), (HOSTS,))
    unknown = "Unknown map identifier. Please use #<id> or <file>.\n"
    assert changes(running((INFO, "1\n", unknown, unknown, unknown), (HOSTS, NAMES)), wanted()).reason


def test_the_marker():
    assert (marker_of("0x1 marker 0123\n"), marker_of("Unknown map identifier.\n"), marker_of("")) == ("0123", "", "")
    assert mark("0123") == "set map discovery/marker.map marker 0123"
