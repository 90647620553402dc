import http.server
import json
import os
import subprocess

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import consul_host_checks
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_host_checks import (
    OTHERS,
    state,
    state_problems,
    version_key,
)
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_host_checks import REPORT as COMMAND
from tests.support.authority import Authority, serving

MEMBERS = [
    {"Name": "a", "Addr": "192.0.2.1", "Status": 1, "Tags": {"id": "id-a", "build": "1.22.7:9b0b2f1d", "role": "consul"}},
    {"Name": "d", "Addr": "192.0.2.4", "Status": 1, "Tags": {"id": "id-d", "build": "1.22.6:", "role": "node"}},
    {"Name": "gone", "Addr": "192.0.2.9", "Status": 4, "Tags": {"id": "id-g", "build": "1.22.7:", "role": "consul"}},
]
REPORT = f"""time 1000.5
free /var/lib 512000 4096
free /opt 25600 4096
node_id id-a
installed /opt/consul/1.22.7/consul
running /opt/consul/1.22.6/consul (deleted)
http_user /etc/docker/daemon.json
http_user /usr/local/sbin/registrator-clear
members {json.dumps(MEMBERS)}
time 1000.7
"""
BARE = "time 1000.5\nfree /var/lib 512000 4096\nfree /opt 25600 4096\nnode_id \ninstalled \ntime 1000.7\n"
SETTINGS = {
    "version": "1.22.7", "addresses": ["192.0.2.1"], "min_free_disk_mb": 1024, "max_clock_skew": 5, "server": True,
    "old_node": "",
}  # fmt: skip
A = {"name": "a", "address": "192.0.2.1", "id": "id-a", "version": "1.22.7", "server": True}


def host(offset=0.0, unsure=0.05, **changes):
    """A state without fault."""
    return {
        "clock_offset": offset,
        "clock_uncertainty": unsure,
        "free_mb": {"/var/lib": 5000, "/opt": 6000},
        "node_id": "id-a",
        "installed": "1.22.7",
        "running": "1.22.7",
        "members": [],
        "leaderless": False,
    } | changes


def other(offset=0.0, unsure=0.05, **changes):
    """A state without fault of another host than `host`."""
    return host(offset, unsure, node_id="id-other", **changes)


def problems(name="a", states=None, **settings):
    return state_problems(name, states or {"a": host()}, SETTINGS | {"node": name} | settings)


def one(found, *parts):
    assert len(found) == 1, found
    assert [part for part in parts if part not in found[0]] == [], found[0]


def test_a_report_is_read():
    found = state(REPORT, 1000.0, 1000.4)
    assert found["free_mb"] == {"/var/lib": 2000, "/opt": 100}
    assert (found["node_id"], found["installed"], found["running"]) == ("id-a", "1.22.7", "1.22.6")
    assert found["http_users"] == ["/etc/docker/daemon.json", "/usr/local/sbin/registrator-clear"]
    assert found["members"][0] == A
    assert [member["name"] for member in found["members"]] == ["a", "d"], "only those that are alive"


@pytest.mark.parametrize(
    ("peers", "leaders", "leaderless"),
    [
        (["192.0.2.1:8300", "192.0.2.2:8300"], [""], True),
        (["192.0.2.1:8300", "192.0.2.2:8300"], ["", "192.0.2.2:8300"], False),  # between two leaders
        (["192.0.2.1:8300"], ["192.0.2.1:8300"], False),
        ([], [""], False),  # the first servers of a site wait for each other
        (["192.0.2.1:8300"], [None], False),  # the agent knows no server: nothing is known
    ],
)
def test_d5_a_running_agent_is_asked_whether_its_cluster_has_a_leader(tmp_path, peers, leaders, leaderless):
    """The command of the host, with its files elsewhere and without its pauses."""
    site, left = Authority(tmp_path / "site"), list(leaders)

    class Agent(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            answers = {
                "/v1/agent/members": lambda: MEMBERS, "/v1/status/peers": lambda: peers,
                "/v1/status/leader": lambda: left.pop(0) if len(left) > 1 else left[0],
            }  # fmt: skip
            found = answers[self.path]() if self.headers["X-Consul-Token"] == "of-dns" else None
            text = json.dumps(found) if found is not None else "No known Consul servers"
            self.send_response(500 if found is None else 200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    (tmp_path / "tokens.json").write_text(json.dumps({"acl": {"tokens": {"dns": "of-dns"}}}))
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho {os.getpid()}\n")
    (tmp_path / "systemctl").chmod(0o755)
    with serving(site, Agent) as port:
        report = consul_host_checks.REPORT.replace("/etc/consul.d/tokens.json", str(tmp_path / "tokens.json"))
        report = report.replace("/etc/consul.d/tls/ca.pem", site.ca).replace("8501", str(port)).replace("sleep(1)", "sleep(0)")
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", report], env={"PATH": path}, capture_output=True, text=True, check=True)
    found = state(done.stdout, 0.0, 0.0)
    assert ([member["name"] for member in found["members"]], found["leaderless"]) == (["a", "d"], leaderless)


def test_a_bare_host_has_no_consul():
    found = state(BARE, 1000.0, 1000.4)
    assert (found["node_id"], found["installed"], found["running"], found["members"], found["http_users"]) == (
        "", "", "", [], []
    )  # fmt: skip


def test_the_clock_is_known_to_half_of_the_time_on_the_way():
    """0.4 s in all, 0.2 s of it on the host; the host's clock is 0.4 s ahead."""
    found = state(REPORT, 1000.0, 1000.4)
    assert found["clock_offset"] == pytest.approx(0.4)
    assert found["clock_uncertainty"] == pytest.approx(0.1)


@pytest.mark.parametrize("report", ["", "time 1.0\n", "sudo: a password is required\n"])
def test_an_incomplete_report_is_an_error(report):
    with pytest.raises(ValueError, match="time"):
        state(report, 1.0, 2.0)


def test_a_good_host():
    assert problems() == []
    assert problems(states={"a": host(members=[A]), "b": other(4.9), "c": host(2.0, node_id="id-c")}) == []
    assert problems(states={"a": state(BARE, 1000.0, 1000.4)}, min_free_disk_mb=100) == []


def test_too_little_disk():
    one(problems(states={"a": host(free_mb={"/var/lib": 5000, "/opt": 300})}), "host a", "300 MB", "/opt", "is 1024")


@pytest.mark.parametrize(
    ("older", "newer"),
    [("1.22.6", "1.22.7"), ("1.9.9", "1.22.0"), ("1.22.7", "2.0.0"), ("2.0.0-rc1", "2.0.0"), ("1.22.6", "1.22.7+ent")],
)
def test_versions_are_ordered(older, newer):
    assert version_key(older) < version_key(newer)


@pytest.mark.parametrize("version", ["latest", "v1.22.7", "1.22", ""])
def test_what_is_no_version(version):
    assert version_key(version) is None
    one(problems(version=version), "consul_version of host a", repr(version))


def test_a_downgrade_of_what_runs():
    one(problems(version="1.22.6"), "consul_version of host a is 1.22.6", "this host runs 1.22.7", "backup")
    assert problems(version="1.22.8") == []


def test_what_runs_counts_before_what_is_linked():
    """An upgrade that died between the link and the restart can be taken back."""
    assert problems(version="1.22.6", states={"a": host(running="1.22.6")}) == []


def test_an_installed_program_counts_when_it_left_data():
    one(problems(version="1.22.6", states={"a": host(running="")}), "this host has data of 1.22.7")
    assert problems(version="1.22.6", states={"a": host(running="", node_id="")}) == []


def test_a_new_host_joins_with_no_older_version_than_the_servers():
    new = host(running="", installed="", node_id="", members=[A])
    one(problems("b", {"b": new}, version="1.22.6", addresses=["192.0.2.2"]), "host b", "server a runs 1.22.7")


def test_a_client_s_version_does_not_bind_others():
    client = A | {"name": "d", "id": "id-d", "server": False, "version": "1.23.0"}
    assert problems(states={"a": host(members=[client])}) == []


@pytest.mark.parametrize("name", ["b", "B"])
def test_a_name_that_another_machine_holds(name):
    other = {"name": name, "address": "192.0.2.77", "id": "id-other", "version": "1.22.7", "server": True}
    found = problems("b", {"b": host(node_id="", running=""), "a": host(members=[other])}, addresses=["192.0.2.2"])
    one(found, "host b", f"node {name} ", "192.0.2.77", "192.0.2.2", "ansible_host")


@pytest.mark.parametrize("same", [{"id": "id-a"}, {"address": "192.0.2.1"}])
def test_a_host_whose_address_changes_or_whose_disk_is_new_is_the_same_machine(same):
    member = {"name": "a", "address": "192.0.2.77", "id": "id-other", "version": "1.22.7", "server": True} | same
    assert problems(states={"a": host(members=[member])}, old_node=member["name"]) == []


def test_a_clock_that_is_off_is_told_once_by_the_host_that_is_off():
    states = {"a": host(0.1), "b": other(9.1), "c": host(0.0, node_id="id-c")}
    one(problems("b", states), "clock of host b is 9.1 s", "ahead of that of host c", "is 5 s", "time synchronisation")
    assert problems("a", states) == problems("c", states) == []
    one(problems("c", {"a": host(), "c": other(-7)}, max_clock_skew=6) + problems("a", {"a": host(), "c": other(-7)}), "7.0 s")


def test_what_is_not_sure_does_not_count():
    assert problems("b", {"a": host(), "b": other(5.5, unsure=0.5)}) == []
    one(problems("b", {"a": host(unsure=0.1), "b": other(5.8, unsure=0.1), "c": host(node_id="id-c")}), "5.8 s", "±0.2")


def test_w29_a_name_is_taken_when_the_node_has_it():
    """The inventory may call the host otherwise."""
    taken = A | {"name": "web-1", "address": "192.0.2.99", "id": "another"}
    one(problems(states={"a": host(members=[taken])}, node="web-1"), "the name of host a is taken", "node web-1", "192.0.2.99")
    assert problems(states={"a": host(members=[taken])}, node="a") == []


def test_w14_a_server_that_leaves_consul_servers_is_refused_with_the_way():
    """A voter that restarts as a client never answers again."""
    states = {"a": host(members=[A])}
    one(problems(states=states, server=False), "host a is not in consul_servers", "playbooks/remove_node.yml -e remove_host=a")
    assert problems(states=states) == []
    assert problems(states={"a": host(members=[A | {"server": False}])}, server=False) == []
    assert problems(states={"a": host(node_id="", members=[A])}, server=False) == [], "removed before: it comes back as a client"


def test_d5_a_new_host_of_a_cluster_without_a_leader_is_refused_with_the_way():
    """It would get neither a vote nor tokens. That of others, and of a host that was there before, is left alone."""
    bare = host(node_id="", running="", installed="")
    states = {"a": host(leaderless=True), "b": bare}
    one(problems("b", states, addresses=["192.0.2.2"]), "host b is new", "no leader", "host a", "playbooks/recover_quorum.yml")
    assert problems("b", states | {"a": host()}, addresses=["192.0.2.2"]) == []
    assert problems("a", states) == [], "it serves on, and site.yml may repair it"


def test_w55_two_hosts_with_one_node_id_are_refused_naming_both_and_the_way():
    """Before the first agent starts, too: a template of machines on which Consul had run once."""
    states = {"a": host(), "b": host(), "c": host(node_id="id-c")}
    one(problems("a", states), "host a", "host b", "id-a", "rm -rf /var/lib/consul")
    one(problems("b", states, addresses=["192.0.2.2"]), "host b", "host a", "id-a", "rm -rf /var/lib/consul")
    assert problems("c", states, addresses=["192.0.2.3"]) == []


def test_w55_all_copies_are_named():
    states = {"a": host(), "b": host(), "c": host()}
    one(problems("c", states, addresses=["192.0.2.3"]), "host c", "host a and host b")


def test_w55_a_copy_of_a_host_outside_of_this_run_is_known_by_the_members():
    """With --limit the state of the other is not gathered."""
    states = {"b": host(running=""), "c": host(node_id="id-c", members=[A])}
    one(problems("b", states, addresses=["192.0.2.2"]), "host b", "node a (192.0.2.1)", "id-a")


def test_w55_hosts_without_data_are_no_copies():
    bare = host(node_id="", running="", installed="")
    assert problems("a", {"a": bare, "b": dict(bare)}) == []


@pytest.mark.parametrize("member", [A, A | {"name": "old"}, A | {"address": "192.0.2.77"}, A | {"name": "A"}])
def test_w55_a_host_is_no_copy_of_itself(member):
    """With a new name, or a new address, until its agent has been restarted."""
    assert problems(states={"a": host(members=[member])}, old_node=member["name"]) == []


def test_w28_a_renamed_host_is_refused_with_the_way():
    states = {"a": host(members=[A | {"name": "old"}])}
    one(
        problems(states=states), "host a is node old in the running cluster, and would become a",
        "playbooks/rename_node.yml -e rename_from=old -e rename_host=a", "discovery_node_name: old",
    )  # fmt: skip
    assert problems(states=states, old_node="old") == [], "the operation itself"
    assert problems(states={"a": host(members=[A | {"name": "A"}])}) == [], "for Consul the same name"
    assert problems(states={"a": host(node_id="", members=[A | {"name": "old", "id": ""}])}) == []


OURS = "[Unit]\nConditionFileNotEmpty=/etc/consul.d/consul.json\n"
PACKAGED = "[Unit]\nConditionFileNotEmpty=/etc/consul.d/consul.hcl\n"
UNIT, PACKAGE, PROGRAM = "/etc/systemd/system/consul.service", "/usr/lib/systemd/system/consul.service", "/usr/local/bin/consul"


@pytest.mark.parametrize(
    ("files", "others"),
    [
        ({}, []),
        ({UNIT: OURS, PACKAGE: PACKAGED, PROGRAM: "elf"}, []),  # a site that is up goes on
        ({PACKAGE: PACKAGED}, [PACKAGE]),
        ({UNIT: PACKAGED, PACKAGE: PACKAGED, PROGRAM: "elf"}, [UNIT, PROGRAM]),
        ({PROGRAM: "elf"}, [PROGRAM]),
    ],
)
def test_w13_a_consul_of_others_is_found(tmp_path, files, others):
    """By the command of the host, with its files below another root."""
    for path, content in files.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_text(content)
    command = OTHERS
    for path in (UNIT, PACKAGE, PROGRAM):
        command = command.replace(f" {path}", f" {tmp_path}{path}")
    command = command.replace(" /lib/", f" {tmp_path}/lib/")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout.replace(str(tmp_path), "").splitlines(), done.stderr) == ([f"other {path}" for path in others], "")
    assert OTHERS in COMMAND


def test_w13_a_link_to_a_release_is_ours(tmp_path):
    (tmp_path / "consul").symlink_to("/bin/sh")
    command = OTHERS.replace(PROGRAM, str(tmp_path / "consul")).replace("/etc/systemd", "/none").replace("/lib/systemd", "/none")
    assert subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout == ""


def test_w13_a_consul_of_others_is_refused_with_the_way():
    found = state(BARE.replace("installed", f"other {PACKAGE}\nother {PROGRAM}\ninstalled"), 1000.0, 1000.4)
    assert found["others"] == [PACKAGE, PROGRAM]
    one(
        problems(states={"a": found | {"free_mb": {"/opt": 9000}}}), "host a has a Consul that this collection has not set up",
        f"{PACKAGE}, {PROGRAM}", "consul leave", "consul_clients",
    )  # fmt: skip
    assert problems(states={"a": host(), "b": other(others=[PROGRAM])}) == [], "said by the host itself"
