"""X2, the last test of each scenario: after all that its plays and tests have done, no secret stands outside of its own file."""

import os
import uuid

import pytest
from tests.support.secret_search import ROOT, exposed, in_text, misplaced, note, on_hosts, patterns

PLANTED = "planted"
PLANT = """
umask 022
cat >/tmp/x2-planted
base64 </tmp/x2-planted >/tmp/x2-planted.base64
logger -t x2 </tmp/x2-planted
systemd-run --quiet --collect --unit=x2-planted sh -c 'PLANTED=$(cat /tmp/x2-planted) exec sleep "$@"' sleep 600
systemd-run --quiet --collect --unit=x2-argument sh -c 'exec sh -c "sleep 600; :" "$(cat /tmp/x2-planted)"'
"""


@pytest.fixture(scope="module")
def planted(site):
    """A text that is no secret, in each kind of place of one host."""
    node, value = next(iter(site.nodes.values())), f"planted-{uuid.uuid4()}"
    node.run(f"value={value}; printf %s $value | (" + PLANT.strip().replace("\n", " && ") + ")")
    yield value
    node.run("systemctl stop x2-planted x2-argument; rm -f /tmp/x2-planted /tmp/x2-planted.base64")


@pytest.fixture(scope="module")
def wanted(site, planted) -> dict[str, str]:
    """Every secret that the site had in this scenario, and the planted text."""
    secrets = note(site)
    assert {"gossip_key", "management_token", "ca.key", "docker-ca.key"} <= set(secrets)
    return patterns(secrets | {PLANTED: [planted]})


@pytest.fixture(scope="module")
def found(site, wanted):
    """One search through all hosts."""
    return on_hosts(site, wanted)


def test_x2_no_secret_outside_its_file(found, show):
    own = {host: [one for one in listed if one[0] != PLANTED] for host, listed in found.items()}
    show(f"secrets in their own places: {', '.join(f'{host} {len(listed)}' for host, listed in own.items())}")
    assert all(own.values()), "a host without any secret was not searched"
    wrong = misplaced(own)
    assert wrong == [], "\n".join(wrong)


def test_x2_the_search_finds_what_was_planted(site, found):
    """Else the search proves nothing."""
    first, *others = site.nodes
    places = {place: everybody for name, place, everybody in found[first] if name == PLANTED}
    assert {"/tmp/x2-planted", "/tmp/x2-planted.base64", "the journal", "arguments of sh", "environment of sleep"} <= set(places)
    assert places["/tmp/x2-planted"] and not places["environment of sleep"]
    assert not any(name == PLANTED for host in others for name, _, _ in found[host])


def test_x2_no_play_has_printed_a_secret(wanted, show):
    """The whole output of the scenario up to here. What plays print that tests run, `play` of tests/support checks itself."""
    log = ROOT / os.environ.get("SCENARIO_LOGS", ".cache") / f"{os.environ.get('MOLECULE_SCENARIO_NAME', '')}.log"
    if not log.exists():
        pytest.skip("the scenario has no log: tests/scenarios writes one")
    text = log.read_text(errors="replace")
    show(f"{len(text.splitlines())} lines of output searched")
    assert in_text(text, wanted) == []


def test_x2_only_the_owner_reads_secrets_and_snapshots_of_the_controller(site):
    backups = site.secrets.parent / ".backups"
    assert exposed(site.secrets) + (exposed(backups) if backups.is_dir() else []) == []


def test_x2_only_root_reads_snapshots_of_the_hosts(site):
    for node in site.servers:
        open_ = node.run("[ ! -d /var/backups/consul ] || find /var/backups/consul -perm /077")
        assert open_ == "", f"{node.name}: {open_}"
