"""Difference between a running agent and its files, the order of restarts, and when an agent is healthy again."""

import functools
import http.server
import threading

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_agent import (
    CLIENT,
    FOLLOWER,
    LEADER,
    UNHEALTHY,
    Agent,
    not_yet,
    passing,
    pending,
    quorum_risk,
    restart_order,
    without,
)
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import (
    SECONDS_TO_ACCEPT,
    Api,
    ApiError,
    refusal,
    wait_until,
)
from ansible_collections.fewnodes.discovery.plugins.modules import consul_agent as shell
from hypothesis import given
from hypothesis import strategies as st
from tests.support.authority import Authority, tls
from tests.support.clock import Clock

CONFIG = {"server": True, "log_level": "info", "encrypt": "k1", "limits": {"http_max_conns_per_client": 4096}}
PROGRAM = "/opt/consul/1.22.7/consul"


def agent(config=None, started=None, loaded=None, **changes) -> Agent:
    facts = {"active": True, "program": PROGRAM, "running": PROGRAM} | changes
    started = CONFIG if started is None else started
    return Agent(config=CONFIG if config is None else config, started=started, loaded=loaded or started, **facts)


def test_an_agent_that_is_what_its_files_say_is_left_alone():
    assert pending(agent()) == ("none", [])


def test_a_stopped_agent_is_started():
    assert pending(Agent(active=False))[0] == "start"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"running": "/opt/consul/1.22.6/consul"}, "/opt/consul/1.22.6/consul runs, /opt/consul/1.22.7/consul is installed"),
        ({"running": ""}, "an unknown program runs, /opt/consul/1.22.7/consul is installed"),
        ({"newer_unit": True}, "the unit is newer than the start"),
        ({"config": CONFIG | {"server": False}}, "server changed"),
        ({"config": CONFIG | {"datacenter": "dc2"}}, "datacenter changed"),
        ({"started": CONFIG | {"leave_on_terminate": True}}, "leave_on_terminate changed"),
        ({"config": CONFIG | {"limits": {"http_max_conns_per_client": 1, "txn_max_req_len": 1}}}, "limits changed"),
    ],
)
def test_what_an_agent_reads_at_its_start_only_needs_a_restart(change, reason):
    assert pending(agent(**change)) == ("restart", [reason])


@pytest.mark.parametrize("lost", ["config", "started"])
def test_without_a_record_the_agent_is_restarted(lost):
    facts = {"config": CONFIG, "started": CONFIG, "loaded": CONFIG} | {lost: None}
    action, reasons = pending(Agent(active=True, program=PROGRAM, running=PROGRAM, **facts))
    assert (action, reasons) == ("restart", ["it is not known what the agent was started with"])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (CONFIG | {"log_level": "debug"}, "log_level changed"),
        (CONFIG | {"recursors": ["192.0.2.1"]}, "recursors changed"),
        (CONFIG | {"limits": {"http_max_conns_per_client": 200}}, "limits changed"),
        (CONFIG | {"acl": {"tokens": {"agent": "secret"}}}, "acl changed"),
    ],
)
def test_what_sighup_applies_needs_no_restart(config, reason):
    assert pending(agent(config=config)) == ("reload", [reason])


def test_a_newer_token_or_certificate_needs_a_reload():
    assert pending(agent(newer_files=("tokens.json",))) == ("reload", ["tokens.json is newer"])


def test_a_change_that_was_reloaded_before_is_done():
    config = CONFIG | {"log_level": "debug"}
    assert pending(agent(config=config, loaded=config)) == ("none", [])


@pytest.mark.parametrize("key", ["encrypt", "retry_join", "bootstrap_expect", "autopilot"])
def test_what_counts_at_the_next_start_only_needs_nothing(key):
    assert pending(agent(config=CONFIG | {key: "new"})) == ("none", [])


def test_reasons_carry_no_values():
    assert "s3cret" not in str(pending(agent(config=CONFIG | {"acl": {"tokens": {"agent": "s3cret"}}})))
    assert "s3cret" not in str(pending(agent(config=CONFIG | {"encrypt_verify_incoming": "s3cret"})))


def test_without_leaves_the_original_alone():
    config = {"acl": {"enabled": True, "tokens": {"agent": "x"}}, "limits": {"rpc_rate": 1}, "a": 1}
    rest = without(config, (("acl", "tokens"), ("limits", "rpc_rate"), "b", ("c", "d")))
    assert rest == {"acl": {"enabled": True}, "a": 1}
    assert config["acl"]["tokens"] == {"agent": "x"}


@pytest.mark.parametrize(
    ("server", "leader", "expected"),
    [
        (False, "192.0.2.1:8300", CLIENT),
        (False, "", CLIENT),
        (True, "", UNHEALTHY),
        (True, "192.0.2.1:8300", LEADER),
        (True, "192.0.2.10:8300", FOLLOWER),
        (True, "192.0.2.2:8300", FOLLOWER),
    ],
)
def test_restart_order(server, leader, expected):
    assert restart_order(server, leader, "192.0.2.1") == expected


def health(**servers: bool) -> dict:
    rows = [{"Name": name, "Voter": True, "Healthy": well} for name, well in servers.items()]
    return {"Healthy": all(servers.values()), "Servers": rows}


@pytest.mark.parametrize(
    ("servers", "node", "safe"),
    [
        ({"a": True, "b": True, "c": True}, "a", True),
        ({"a": True, "b": False, "c": True}, "a", False),
        ({"a": True, "b": False, "c": True}, "b", True),  # the ill one itself
        ({"a": True, "b": False, "c": False}, "b", True),
        ({"a": True}, "a", True),
        ({"a": True, "b": True}, "a", True),  # no quorum to spare in any case
        ({"a": True, "b": True, "c": True, "d": False}, "a", False),
        ({"a": True, "b": True, "c": True, "d": True, "e": False}, "a", True),
        ({"a": True, "b": True, "c": True, "d": False, "e": False}, "a", False),
    ],
)
def test_quorum_risk(servers, node, safe):
    assert (quorum_risk(health(**servers), node) == "") is safe


def test_quorum_risk_names_who_is_ill():
    assert quorum_risk(health(a=True, b=False, c=True), "a").startswith("b not healthy; without a only 1 of 3 voters")


def test_a_server_that_votes_not_yet_is_no_risk():
    cluster = health(a=True, b=True, c=True)
    cluster["Servers"][0]["Voter"] = False
    assert quorum_risk(cluster, "a") == ""


@given(st.dictionaries(st.sampled_from("abcdefg"), st.booleans(), min_size=3), st.data())
def test_a_restart_that_is_allowed_leaves_a_quorum_or_takes_nothing(servers, data):
    node = data.draw(st.sampled_from(sorted(servers)))
    if quorum_risk(health(**servers), node) == "":
        left = sum(servers.values()) - servers[node]
        assert left >= len(servers) // 2 + 1 or not servers[node]


def test_passing_counts_a_service_only_when_all_its_checks_pass():
    checks = {
        "1": {"ServiceID": "web", "Status": "passing"},
        "2": {"ServiceID": "web", "Status": "critical"},
        "3": {"ServiceID": "db", "Status": "passing"},
        "4": {"ServiceID": "", "Status": "critical"},
    }
    assert passing({"web": {}, "db": {}, "bare": {}}, checks) == {"db", "bare"}


BEFORE = {"index": 100, "passing": {"web"}}
WELL = {
    "leader": "192.0.2.2:8300",
    "passing": {"web", "new"},
    "raft": {"state": "Follower", "applied_index": "100"},
    "health": health(a=True, b=True, c=True),
}


def test_a_server_is_well_again():
    assert not_yet("a", BEFORE, WELL) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leader": ""}, "no leader"),
        ({"raft": {"state": "Candidate", "applied_index": "100"}}, "a is Candidate"),
        ({"raft": {"state": "Follower", "applied_index": "99"}}, "a has applied 99 of 100 log entries"),
        ({"health": health(a=True, b=False, c=True)}, "autopilot: b not healthy"),
        ({"health": {"Healthy": False, "Servers": []}}, "autopilot: the cluster not healthy"),
        ({"health": health(b=True, c=True)}, "a is not a voter"),
        ({"passing": set()}, "services that passed before do not pass: web"),
    ],
)
def test_what_is_missing_after_a_restart(change, message):
    assert not_yet("a", BEFORE, WELL | change) == message


def test_a_client_needs_a_leader_and_its_services():
    now = {"leader": "192.0.2.2:8300", "passing": {"web"}}
    assert not_yet("d", BEFORE, now) == ""
    assert not_yet("d", BEFORE, now | {"passing": set()}) != ""


def test_wait_until_ends_as_soon_as_nothing_is_missing():
    clock, answers = Clock(), ["no", "no", ""]
    assert wait_until(lambda: answers.pop(0), 10, 1, clock.monotonic, clock.sleep) == ""
    assert clock.now == 2


def test_wait_until_tells_what_was_missing_last():
    clock = Clock()
    assert wait_until(lambda: f"at {clock.now}", 3, 1, clock.monotonic, clock.sleep) == "at 4.0"


@pytest.mark.parametrize("error", [OSError("refused"), ApiError(500, "No cluster leader")])
def test_wait_until_counts_an_error_as_missing(error):
    clock, answers = Clock(), [error, ""]

    def probe():
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    assert wait_until(probe, 10, 1, clock.monotonic, clock.sleep) == ""


class Module:
    """AnsibleModule, as far as a reload needs it."""

    params = {"token": "secret", "timeout": 60, "node": "a"}

    def __init__(self):
        self.commands = []

    def run_command(self, command, check_rc=False):
        self.commands.append(command)

    def fail_json(self, msg):
        raise RuntimeError(msg)


@pytest.mark.parametrize("answer", ["a certificate that does not verify", "none"])
def test_a_reload_replaces_a_certificate_that_does_not_verify(tmp_path, monkeypatch, answer):
    """Such as an expired one: the agent's API cannot be asked then, and its files hold a good one."""
    site, other = Authority(tmp_path / "site"), Authority(tmp_path / "other")
    module = Module()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.handle_error = lambda *_: None
        server.socket = tls(other, "127.0.0.1").wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        port = 1 if answer == "none" else server.server_port
        monkeypatch.setattr(shell, "Api", functools.partial(Api, base=f"https://127.0.0.1:{port}", ca=site.ca))
        if answer == "none":
            with pytest.raises(RuntimeError, match="a does not answer"):
                shell.reload(module)
        else:
            shell.reload(module)
        server.shutdown()
    assert module.commands == ([] if answer == "none" else [["systemctl", "reload", "consul"]])


@pytest.mark.parametrize("status, refused", [(403, True), (500, False), (None, False)])
def test_only_an_agent_that_answers_can_refuse_a_token(status, refused):
    """Without agent or leader a restart does no harm, and nothing is waited for."""

    class Asked:
        def get(self, path):
            raise OSError("refused") if status is None else ApiError(status, "ACL not found")

    assert bool(refusal(Asked())) == refused


def test_a_token_that_the_cluster_got_just_now_is_waited_for():
    """Its own agent remembers for a while that there was none."""
    clock, answers = Clock(), [ApiError(403, "ACL not found"), ApiError(403, "ACL not found"), {}]

    class Asked:
        def get(self, path):
            if isinstance(answer := answers.pop(0), Exception):
                raise answer
            return answer

    assert wait_until(lambda: refusal(Asked()), SECONDS_TO_ACCEPT, 1, clock.monotonic, clock.sleep) == ""
    assert clock.now == 2
