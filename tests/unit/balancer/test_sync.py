"""One run after the other: generations, the link, roll-back, rate, status. The balancer is a stand-in."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.ports import free_port
from tests.yaml_text import parse_yaml

from discovery_balancer import __main__ as command
from discovery_balancer import backends, resident, store, sync
from discovery_balancer.options import Options
from discovery_balancer.status import page
from discovery_balancer.store import Store
from standins import Site


def at(path):
    """Arguments of the command: everything under this path."""
    return ["--options", str(path / "none"), "--state", str(path), "--spare", str(path / "spare.json")]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_first_run_without_a_catalog_makes_an_empty_generation(site):
    status = site.run()
    assert (site.store.current().number, status["http"]) == (1, {})
    assert status["reason"] == "consul-template has not written a catalog yet"


def test_change_is_loaded(site):
    site.catalog("web")
    status = site.run()
    assert (status["state"], status["http"], status["reloads"]) == ("ok", {"web": 1}, 1)
    assert site.balancer.loaded == site.store.current().marker


def test_unchanged_catalog_is_not_loaded_again(site):
    site.catalog("web")
    site.run()
    site.run()
    assert (site.balancer.reloads, site.balancer.checks, site.store.current().number) == (1, 1, 1)


def test_a_catalog_that_others_could_read_is_closed_though_it_does_not_change(site):
    """consul-template leaves a file alone as long as its content stays."""
    site.catalog("web")
    (site.store.root / "catalog.json").chmod(0o644)
    site.run()
    assert (site.store.root / "catalog.json").stat().st_mode & 0o777 == 0o640


def test_unreadable_catalog_is_never_installed(site):
    site.catalog("web")
    site.run()
    site.catalog(consul=0)
    status = site.run()
    assert "web" in site.served()
    assert (status["state"], status["reason"][:18], status["http"]) == ("failed", "catalog unreadable", {"web": 1})


@pytest.mark.parametrize("tags", [["http"], ["tcp"], ["tls"]])
@pytest.mark.parametrize("consul", [0, None, "", []])
@pytest.mark.parametrize("names", [(), ("other-9998",)])
def test_catalog_without_the_service_consul_changes_no_service_of_any_kind(site, tags, consul, names):
    """A listener that stands in for the agent may answer anything; also the register of owners stays."""
    site.catalog("web-9999", tags=tags)
    site.run()
    before = site.store.current()
    site.catalog(*names, consul=consul, tags=tags)
    asked = []
    status = sync.sync(site.store, lambda: site.options, lambda options: site.balancer, site.clock, record=asked.append)
    assert (status["reason"], site.store.current(), site.balancer.loaded) == (sync.UNREADABLE, before, before.marker)
    assert (status[tags[0]], asked) == ({"web-9999": 1}, [])


def test_empty_catalog_that_sees_consul_is_installed(site):
    site.catalog("web")
    site.run()
    site.catalog()
    assert (site.run()["state"], site.served()) == ("ok", "()")


def test_r1_catalog_that_may_be_of_the_past_is_not_installed(site):
    """A server that has just started, and hears no leader, shows consul-template a catalog from before."""
    site.catalog("web", "new")
    site.run()
    site.catalog("web")
    done = sync.once(site.store, lambda: site.options, lambda options: site.balancer, site.clock, refresh=lambda options: "past")
    assert ("new" in site.served(), done.waiting, done.status["reason"]) == (True, True, "past")
    assert done.status["http"] == {"new": 1, "web": 1}


def test_h15_the_start_of_the_balancer_waits_for_a_leader(site, monkeypatch):
    """At a boot: what served before may be other services now."""
    answers = ["past", "past", ""]
    monkeypatch.setattr(resident, "refresh", lambda store, source: answers.pop(0))
    monkeypatch.setattr(resident, "source_of", lambda chosen: None)
    monkeypatch.setattr(resident, "LOOK_SECONDS", 0)
    assert (command._refresh(site.store, site.options), answers) == ("", [])


def test_catalog_that_may_be_of_the_past_is_better_than_none(site):
    site.catalog("web")
    done = sync.once(site.store, lambda: site.options, lambda options: site.balancer, site.clock, refresh=lambda options: "past")
    assert ("web" in site.served(), done.waiting, done.status["reason"]) == (True, False, "")


def test_truncated_catalog_keeps_the_last_good_generation(site):
    site.catalog("web")
    site.run()
    (site.store.root / "catalog.json").write_text('{"consul": 3, "ser')
    assert (site.run()["state"], "web" in site.served()) == ("failed", True)


def test_rejected_configuration_leaves_everything_as_it_was(site):
    site.catalog("web")
    site.run()
    site.catalog("web", "new")
    site.balancer.problem = "unknown directive"
    status = site.run()
    assert "unknown directive" in status["reason"]
    assert (site.store.current().number, len(site.store.generations()), site.balancer.reloads) == (1, 1, 1)


def test_rejected_configuration_heals_when_the_cause_is_gone(site):
    site.catalog("web")
    site.balancer.problem = "unknown directive"
    site.run()
    site.balancer.problem = ""
    assert site.run()["state"] == "ok"


def test_link_goes_back_when_the_balancer_does_not_take_over(site):
    site.catalog("web")
    site.run()
    site.catalog("new")
    site.balancer.obeys = False
    status = site.run()
    assert "did not load" in status["reason"]
    assert ("web" in site.served(), len(site.store.generations())) == (True, 1)


def test_a_worker_of_before_that_still_answers_does_not_undo_the_reload(site):
    """While nginx reloads, old and new workers listen on the same socket: after the new marker the old one may come again."""
    site.catalog("web")
    site.run()
    site.catalog("new")
    old, answers = site.balancer.loaded, []

    def running():
        answers.append(site.balancer.loaded)
        return old if len(answers) % 2 else site.balancer.loaded

    site.balancer.running = running
    assert (site.run()["state"], "new" in site.served()) == ("ok", True)


def test_balancer_that_ends_while_it_reloads_is_not_waited_for(site):
    site.catalog("web")
    site.run()
    site.catalog("new")
    site.balancer.reload = lambda: setattr(site.balancer, "pid", 0)
    begin = site.clock.now
    assert ("did not load" in site.run()["reason"], "web" in site.served()) == (True, True)
    assert site.clock.now - begin == site.options.reload_interval


def test_balancer_that_has_just_been_started_may_take_its_time(site):
    """Asked too early, the sync would report that it does not run, until the timer's next run."""
    site.catalog("web")
    site.run()
    loaded, up_at = site.balancer.loaded, site.clock.now + 2
    site.balancer.running = lambda: loaded if site.clock.now >= up_at else ""
    assert site.run(patience=10)["state"] == "ok"
    assert site.clock.now == pytest.approx(up_at, abs=0.1)


def test_patience_ends(site):
    site.catalog("web")
    site.balancer.pid = 0
    assert "not running" in site.run(patience=10)["reason"]
    assert site.clock.now == pytest.approx(1010, abs=0.1)


def test_run_that_was_killed_before_the_reload_is_finished_by_the_next(site):
    site.catalog("web")
    site.run()
    site.balancer.loaded = "something older"
    assert (site.run()["state"], site.balancer.loaded) == ("ok", site.store.current().marker)


def test_balancer_that_does_not_run_gets_its_configuration(site):
    site.catalog("web")
    site.balancer.pid = 0
    status = site.run()
    assert ("web" in site.served(), site.balancer.reloads) == (True, 0)
    assert "not running" in status["reason"]


def test_reload_holds_the_caller_for_the_interval(site):
    site.catalog("web")
    site.run()
    assert site.clock.now == 1001.0


def test_nothing_to_do_holds_nobody(site):
    site.catalog("web")
    site.run()
    site.run()
    assert site.clock.now == 1001.0


def test_many_changes_reload_once_an_interval(site):
    for number in range(50):
        site.catalog(f"web{number}")
        site.run()
    assert (site.balancer.reloads, site.clock.now) == (50, 1050.0)


def test_old_generations_are_removed(site):
    for number in range(6):
        site.catalog(f"web{number}")
        site.run()
    assert [g.number for g in site.store.generations()] == [4, 5, 6]


def test_generations_of_another_backend_go_when_the_new_one_serves(site):
    """Those without a name are of an earlier version, and go by their number."""
    for name in ("", "other"):
        site.store.point(site.store.write({}, "before", (), name))
    site.catalog("web")
    status = site.run()
    assert [(one.number, one.balancer) for one in site.store.generations()] == [(1, ""), (3, "nginx")]
    assert status["balancer"] == "nginx" and "generation 3 of nginx, " in page(status, status["time"])[0]


def test_the_current_generation_stays_whichever_backend_it_is_for(site):
    site.store.point(site.store.write({}, "before", (), "other"))
    site.store.prune(3, "nginx")
    assert [one.balancer for one in site.store.generations()] == ["other"]


def test_generations_do_not_pile_up_while_the_balancer_is_down(site):
    site.balancer.pid = 0
    for number in range(6):
        site.catalog(f"web-{number}")
        site.run()
    assert [generation.number for generation in site.store.generations()] == [4, 5, 6]


def test_taken_port_skips_that_service_until_it_is_free(site):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        name = f"echo-{other.getsockname()[1]}"
        site.catalog(name, tags=["tcp"])
        status = site.run()
        assert (status["tcp"], "taken by another process" in status["skipped"][0]["reason"]) == ({}, True)
    assert site.run()["tcp"] == {name: 1}


def test_own_port_is_not_a_taken_port(site):
    port = free_port()
    site.catalog(f"echo-{port}", tags=["tcp"])
    site.run()
    with socket.socket() as itself:
        itself.bind(("0.0.0.0", port))
        itself.listen()
        assert site.run()["tcp"] == {f"echo-{port}": 1}


def test_port_taken_while_the_balancer_was_down_is_skipped(site):
    port = free_port()
    site.catalog(f"echo-{port}", tags=["tcp"])
    site.run()
    site.balancer.pid, site.balancer.loaded = 0, ""
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        assert site.run()["tcp"] == {}


def test_silent_balancer_keeps_its_ports(site):
    """One that is too busy to answer must not lose its listeners."""
    port = free_port()
    site.catalog(f"echo-{port}", tags=["tcp"])
    site.run()
    site.balancer.loaded = ""
    with socket.socket() as itself:
        itself.bind(("0.0.0.0", port))
        itself.listen()
        assert site.run()["tcp"] == {f"echo-{port}": 1}


def test_bad_options_are_a_reason_not_a_crash(site):
    def broken():
        raise ValueError("domain: '' is not a DNS name in lower case")

    status = sync.sync(site.store, broken, backends.make, site.clock)
    assert "domain" in status["reason"]


def test_full_disk_keeps_the_last_good_generation(site, monkeypatch):
    site.catalog("web")
    site.run()
    site.catalog("web", "new")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status = site.run()
    assert "No space left" in status["reason"]
    assert (site.store.current().number, len(site.store.generations())) == (1, 1)


def test_command_sync_always_ends_with_0(tmp_path, capsys):
    assert command.main([*at(tmp_path), "sync"]) == 0
    assert "failed" in capsys.readouterr().out


def test_full_disk_is_reported_from_another_one(tmp_path, monkeypatch):
    """The status itself cannot be written then."""
    site = Site(tmp_path / "state")
    site.store = Store(tmp_path / "state", tmp_path / "spare" / "status.json")
    (tmp_path / "spare").mkdir()
    site.store.root.mkdir()
    site.balancer.store = site.store
    site.catalog("web")
    assert (site.run()["state"], site.store.spare.exists()) == ("ok", False)
    write_text = Path.write_text

    def full(path, text):
        write_text(path, text[:10])
        if site.store.root in path.parents:
            raise OSError(28, "No space left on device")
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(os, "fsync", lambda *_: full(site.store.root / "x", "x"))
    (site.store.root / "catalog.json").unlink()
    write_text(site.store.root / "catalog.json", json.dumps({"consul": 3, "services": []}))
    site.run()
    status = site.store.status()
    assert (status["state"], "No space left" in status["reason"], "web" in site.served()) == ("failed", True, True)
    assert not list(site.store.root.glob("status.new"))
    monkeypatch.undo()
    assert (site.run()["state"], site.store.status()["state"], site.store.spare.exists()) == ("ok", "ok", False)


def test_catalog_that_is_no_catalog_is_reported(site):
    site.catalog("web")
    site.run()
    for text in ("[]", "7", "<html>", ""):
        (site.store.root / "catalog.json").write_text(text)
        status = site.run()
        assert (status["state"], "template" in status["reason"], "web" in site.served()) == ("failed", True, True)
        assert sync.is_unusable(site.store)
    site.catalog("web")
    assert (site.run()["state"], sync.is_unusable(site.store)) == ("ok", False)


def test_source_that_is_not_followed_is_a_reason_until_it_is(site):
    site.catalog("web")
    status = site.run(source="Consul refuses the token")
    assert (status["state"], status["reason"], status["http"]) == ("failed", "Consul refuses the token", {"web": 1})
    assert site.run()["state"] == "failed"  # a sync by consul-template does not verify it
    assert (site.run(source="")["state"], site.run()["state"]) == ("ok", "ok")


def test_the_same_reason_is_reported_once(site):
    site.run()
    site.catalog(consul=0)
    assert site.run(source=sync.UNREADABLE)["reason"] == sync.UNREADABLE


@pytest.mark.parametrize("text", ["[]", "{", "7", "{}", "[" * 100000])
def test_odd_status_is_like_none(site, text):
    site.store.status_file.write_text(text)
    site.catalog("web")
    assert site.run()["state"] == "ok"


def test_unknown_balancer_is_a_reason(site):
    site.options = dataclasses.replace(site.options, balancer="other")
    status = sync.sync(site.store, lambda: site.options, clock=site.clock)
    assert status["reason"] == "balancer: 'other' is not one of haproxy, nginx"


def test_a_balancer_that_was_changed_while_it_runs_has_not_reloaded(site, monkeypatch):
    """Nothing is retired, and the next sync need not wait."""
    site.catalog("web")
    site.run()
    reload = site.balancer.reload
    monkeypatch.setattr(site.balancer, "reload", lambda: reload() and None)
    before = site.balancer.retired[:]
    site.catalog("web", "shop")
    site.options = dataclasses.replace(site.options, reload_interval=60)
    done = sync.once(site.store, lambda: site.options, lambda options: site.balancer, site.clock)
    assert (done.status["state"], done.status["reloads"], done.pause) == ("ok", 1, 0)
    assert site.balancer.retired == before and "shop" in site.served()


@pytest.mark.parametrize("name", backends.known())
def test_backend_is_a_balancer(name):
    wanted = {name for name in vars(backends.Balancer) if not name.startswith("_")}
    balancer = backends.make(Options(domain="hospital.example", balancer=name))
    assert [name for name in wanted if not callable(getattr(balancer, name, None))] == []


def test_backends_are_those_of_the_role():
    """One package and one row of the role's table each."""
    table = parse_yaml((Path(__file__).parents[3] / "roles/balancer/vars/main.yml").read_text())["__balancer_backends"]
    assert sorted(table) == backends.known()


def test_page_shows_shares_and_warnings(site):
    status = site.run() | {"traffic": {"web": {"v1": 90.0, "": 10.0}}, "warnings": [{"name": "web", "reason": "odd"}]}
    text, _ = page(status, site.clock.now)
    assert ("traffic: web: v1 90 %, no version 10 %" in text, "warning: web: odd" in text) == (True, True)


def test_page_of_an_older_version(site):
    assert page({"state": "ok", "reason": "", "time": 1000}, 1000)[1] == 0


def test_command_sync_ends_with_0_where_nothing_can_be_written(tmp_path):
    assert command.main([*at(tmp_path / "none"), "sync"]) == 0


def test_command_status_ends_with_1_on_failure(tmp_path):
    assert command.main([*at(tmp_path), "status"]) == 1


def test_page_of_a_healthy_balancer(site):
    site.catalog("web")
    text, code = page(site.run(), site.clock.now)
    assert (text.splitlines()[0], code) == ("ok", 0)


def test_page_reports_that_the_sync_has_stopped(site):
    site.catalog("web")
    text, code = page(site.run(), site.clock.now + 1000)
    assert (text.startswith("failed: no sync has ended for"), code) == (True, 1)


def test_page_prints_no_control_characters(site):
    site.catalog("\x1b[2Jweb\nok")
    text, _ = page(site.run(), site.clock.now)
    assert "skipped: \\x1b[2Jweb\\nok: " in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("sync", 0), ("sync --only-sync --agent 127.0.0.1:8501", 0), ("apply", 0), ("serve", 1), ("heal", 1), ("status", 1),
        ("check", 1),
    ],
)  # fmt: skip
def test_command_without_its_program_excuses_callers_that_would_end(tmp_path, words, code):
    """While the program is copied, nginx starts, and consul-template of an earlier version goes on."""
    script = tmp_path / "discovery-balancer"  # away from the package
    script.write_text((Path(__file__).parents[3] / "roles/balancer/files/discovery-balancer").read_text())
    done = subprocess.run([sys.executable, script, *words.split()], capture_output=True, timeout=30, check=False)
    assert done.returncode == code


@pytest.mark.parametrize("words", ["--only-sync --agent 127.0.0.1:8501", "--agent 127.0.0.1:8501 --node n1"])
def test_command_sync_takes_the_call_of_an_earlier_versions_units(tmp_path, words):
    assert command.main([*at(tmp_path), "sync", *words.split()]) == 0


def test_what_served_before_is_retired_when_the_new_generation_answers(site):
    site.catalog("web")
    site.run()
    old = site.balancer.loaded
    site.catalog("new")
    site.run()
    assert site.balancer.retired[-1] == (old, site.store.current().marker)


def test_what_serves_is_never_retired_without_an_answer_of_the_new_generation(site):
    site.catalog("web")
    site.run()
    site.balancer.retired.clear()
    site.catalog("new")
    site.balancer.obeys = False
    site.run()
    assert site.balancer.retired == []


def test_w10_what_the_bound_on_old_workers_ends_is_counted_and_reported(site):
    site.catalog("web")
    site.balancer.trimmed = (3, 0)
    status = site.run()
    assert (status["old_workers"], status["ended_workers"], status["warnings"]) == (3, 0, [])
    assert "old workers that finish their connections: 3" in page(status, site.clock.now)[0]
    site.balancer.trimmed = (2, 1)
    site.run()
    status = site.run()
    reason = "2 workers of earlier configurations were ended with their connections, beyond nginx_old_workers"
    assert (status["ended_workers"], status["warnings"]) == (2, [{"name": "nginx", "reason": reason}])
    assert page(status, site.clock.now)[1] == 0
    site.balancer.trimmed = (0, 0)
    site.clock.now += sync.ENDED_SECONDS
    assert site.run()["warnings"] == []


def test_a_note_and_a_sync_lose_nothing_of_each_other(site):
    """A note does not wait for a sync that hangs, so it comes at any moment of one, also between its reading and its writing."""
    site.catalog("web")
    site.run()
    other, write = Store(site.store.root), site.store.write_status
    noting = threading.Thread(target=sync.note, args=(other, "it hangs", {"restarts": {"x.service": [1, [0]]}}))

    def write_status(status):
        noting.start()
        noting.join(0.2)  # waits for this one, or is done and lost
        write(status)

    site.store.write_status = write_status
    with site.store.locked():
        sync.once(site.store, lambda: site.options, lambda _: site.balancer, site.clock, further={"echo": 7})
    noting.join()
    status = site.store.status()
    assert (status["restarts"], status["echo"], status["source"]) == ({"x.service": [1, [0]]}, 7, "it hangs")


def test_a_status_that_is_held_for_ever_is_reported(site, monkeypatch):
    monkeypatch.setattr(store, "STATUS_SECONDS", 0)
    with Store(site.store.root).status_held():
        assert site.run()["reason"].startswith(f"another sync holds {site.store.root}")
        with pytest.raises(OSError, match="another sync holds"):
            sync.note(site.store, "it hangs", {})


def test_a_note_is_there_without_a_sync_and_goes_with_the_next(site):
    site.catalog("web")
    site.run()
    sync.note(site.store, "it hangs", {"restarts": {"x.service": [1, [site.clock.now]]}})
    status = site.store.status()
    assert (status["state"], status["reason"], status["http"]) == ("failed", "it hangs", {"web": 1})
    assert "restarted because it hung: x.service: 1 times, 0 s ago" in page(status, site.clock.now)[0]
    assert site.run(source="")["state"] == "ok"
