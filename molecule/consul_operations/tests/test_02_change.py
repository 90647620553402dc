"""K2: changes of the configuration on the running site, and what happens when one goes wrong."""

import json
import time

import pytest
from tests.support.cluster import Leaders, leading, starts
from tests.support.playbook import play
from tests.support.wait import eventually

STOPPED_GAP = 0.5  # seconds without an acknowledged write when the leader's unit is stopped
RESTART = {"consul_extra_config": {"telemetry": {"disable_hostname": True}}}


def pids(site) -> dict[str, str]:
    return {node.name: node.unit("consul", "MainPID")[0] for node in site.servers}


def change(site, *options: str):
    done, seconds = play(site, "playbooks/consul.yml", *options)
    assert done.returncode == 0, done.stdout[-3000:]
    return done, seconds


@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.more)], ids=["leader", "everywhere"])
def test_k2_what_consul_can_reload_restarts_nobody(site, load, everywhere):
    """Of the leader alone: K4 to K6 make every agent reload, and none restart."""
    changed = site.servers if everywhere else [node for node in site.servers if node.name == leading(site)]
    before, limit = pids(site), ("--limit", ",".join(node.name for node in changed))
    with load.planned("reload"):
        change(site, *limit, "-e", "consul_log_level=debug")
        levels = {site.consul(node).get("/v1/agent/self")["DebugConfig"]["Logging"]["LogLevel"] for node in changed}
        assert levels == {"debug"}
        change(site, *limit)  # and back, the same way
    assert pids(site) == before


@pytest.mark.more  # K3's upgrade restarts all agents in the same way
def test_k2_a_rolling_restart_takes_the_leader_last(site, load):
    before = starts(site)
    with load.planned("rolling restart"), Leaders(site) as leaders:
        change(site, "-e", json.dumps(RESTART))
        site.settle()
    after = starts(site)
    assert all(after[name] > before[name] for name in before), "every agent restarts once"
    leaders.assert_last(after)
    change(site)
    site.settle()


@pytest.mark.more
def test_k2_a_limited_run_restarts_its_hosts_and_the_next_one_the_rest(site, load):
    names = [node.name for node in site.servers]
    before = pids(site)
    with load.planned("limited runs"):
        change(site, "-e", json.dumps(RESTART), "--limit", f"{names[2]},{names[1]}")
        middle = pids(site)
        assert {name for name in names if middle[name] != before[name]} == {names[1], names[2]}
        change(site, "-e", json.dumps(RESTART))
        after = pids(site)
        assert {name for name in names if after[name] != middle[name]} == {names[0]}
        change(site)
        site.settle()


@pytest.mark.more
def test_k2_an_agent_that_does_not_return_stops_the_play(site, load):
    """The address is not on the hosts, which `consul validate` cannot know."""
    before = pids(site)
    with load.planned("a change that breaks the agent"):
        done, _ = play(site, "playbooks/consul.yml", "-e", json.dumps({"consul_https_addresses": ["203.0.113.9"]}))
        assert done.returncode != 0
        assert "did not start" in done.stdout and "The hosts after it were not touched" in done.stdout, done.stdout[-3000:]
        changed = [name for name, pid in pids(site).items() if pid != before[name]]
        assert len(changed) == 1, f"{changed} were restarted"
        change(site)
        site.settle()
    assert len([name for name, pid in pids(site).items() if pid != before[name]]) == 1


@pytest.mark.more
def test_k2_no_server_is_restarted_while_another_is_down(site, load):
    """With one of three down, a restart of a second would cost the quorum: the play waits, then stops."""
    ill = next(node for node in site.servers if node.name != leading(site))
    others = [node for node in site.servers if node is not ill]
    before = pids(site)
    with load.planned("a change while one server is down"):
        ill.run("systemctl stop consul && systemctl mask --runtime consul")
        options = ["-e", json.dumps(RESTART | {"consul_wait_timeout": 5}), "--limit", ",".join(n.name for n in others)]
        eventually(lambda: not site.consul(others[0]).health()["Healthy"], 30)
        done, _ = play(site, "playbooks/consul.yml", *options)
        assert done.returncode != 0 and "without" in done.stdout and "voters would be left" in done.stdout, done.stdout[-3000:]
        assert all(pids(site)[node.name] == before[node.name] for node in others), "nobody was restarted"
        ill.run("systemctl unmask --runtime consul && systemctl start consul")
        change(site)
        site.settle()


def test_w39_a_leader_that_is_stopped_by_hand_hands_its_lead_over(site, load):
    """`systemctl stop`, as somebody does it who knows no playbook."""
    leader = next(node for node in site.servers if node.name == leading(site))
    other = next(node for node in site.servers if node is not leader)
    with load.within("the leader's unit is stopped by hand", STOPPED_GAP, 1):
        leader.run("systemctl stop consul")
        eventually(lambda: site.consul(other).get("/v1/status/leader") not in ("", f"{leader.address}:8300"), 10)
        eventually(lambda: ":8300 leads" in leader.run("journalctl -q --no-pager -n 20 -u consul -t consul-hand-over"), 10)
        leader.run("systemctl start consul")
        site.settle()


def test_h17_writes_go_on_soon_after_the_leader_is_killed(site, load):
    leader = next(node for node in site.servers if node.name == leading(site))
    with load.crash("kill -9 of the leader"):
        leader.run("systemctl kill --signal=KILL consul")
        time.sleep(1)  # the load has to meet it
        site.settle()
