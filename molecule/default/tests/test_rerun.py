"""A second run changes nothing, and proves it."""

import re

from plays import play, state_of

RECAP = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def assert_unchanged(done) -> None:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    recap = RECAP.findall(done.stdout)
    told = "\n".join(line for line in done.stdout.splitlines() if line.startswith(("TASK", "RUNNING", "changed:")))
    assert recap, "ansible-playbook printed no recap"
    assert all(counts == ["0", "0", "0"] for _, *counts in recap), told


def test_h13_rerun_changes_nothing(site, settled, show):
    before = state_of(site)
    done, seconds = play(site, "site.yml")
    show(f"no-op run of site.yml: {seconds:.0f} s")
    assert_unchanged(done)
    assert state_of(site) == before
    assert seconds <= 90


def test_h13_rerun_of_the_sample_services_changes_nothing(site, settled):
    before = state_of(site)
    done, _ = play(site, "playbooks/sample_services.yml")
    assert_unchanged(done)
    assert state_of(site) == before
