"""A site made by an earlier commit is converged by this checkout under load: no request fails, nothing of before is left over.

Run by hand, it needs two sites in turn on one machine:

    .venv/bin/python -m lab up inventories/hospital            # a fresh site, by this checkout
    .venv/bin/ansible-playbook site.yml playbooks/sample_services.yml -i inventories/hospital
    .venv/bin/python -m tests.support.footprint inventories/hospital >/tmp/fresh.json
    .venv/bin/python -m lab down inventories/hospital

    git worktree add ../before 49f9d57                         # a site by the code of before
    make -C ../before demo
    .venv/bin/pytest tests/migration --ansible-inventory ../before/inventories/hospital --fresh /tmp/fresh.json
"""

import subprocess
import sys

from tests.support.footprint import differences, footprint
from tests.support.playbook import assert_unchanged, play
from tests.support.site import ROOT


def test_converges_under_load(site, load, show):
    # The lab's own variables in the inventory get the names of this checkout.
    subprocess.run([sys.executable, "-m", "lab", "up", site.inventory], cwd=ROOT, check=True)
    with load.planned("migration"):
        done, seconds = play(site, "site.yml")
    show(f"site.yml of this checkout: {seconds:.0f} s")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    site.settle()


def test_a_second_run_changes_nothing(site, show):
    done, seconds = play(site, "site.yml")
    show(f"second run: {seconds:.0f} s")
    assert_unchanged(done)
    done, _ = play(site, "playbooks/sample_services.yml")
    assert_unchanged(done)


def test_nothing_is_left_over(site, fresh):
    assert differences(fresh, footprint(site)) == []


def test_no_unit_failed(site):
    failed = {node.name: node.run("systemctl --failed --no-legend --plain") for node in site.nodes.values()}
    assert not any(failed.values()), failed
