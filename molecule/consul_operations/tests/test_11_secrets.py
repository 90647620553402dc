"""K11: a controller that has lost the secrets of a running site makes none of them anew."""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.cluster import alive, members
from tests.support.playbook import play, state_of
from tests.support.reboot import lab_container
from tests.support.site import ROOT
from tests.support.wait import eventually, side_by_side

FILES = ["gossip_key", "ca.key", "ca.pem", "management_token"]


@pytest.fixture
def lost(site, tmp_path) -> Path:
    """A copy of the secrets, to lose something of."""
    return Path(shutil.copytree(site.secrets, tmp_path / "secrets"))


def with_secrets(folder: Path) -> tuple[str, str]:
    return "-e", f"discovery_secrets_dir={folder}"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_k11_a_controller_without_its_secrets_stops_and_names_the_recovery(site, tmp_path):
    def run(playbook: str):
        return play(site, playbook, *with_secrets(tmp_path / "empty"))[0]

    before = state_of(site)
    for done in side_by_side(functools.partial(run, playbook) for playbook in ("site.yml", "playbooks/consul.yml")):
        output = " ".join(done.stdout.split())
        assert done.returncode != 0 and "changed=0" in output and "changed=1" not in output, output[-3000:]
        words = [str(tmp_path / "empty"), *FILES, site.servers[0].name, "playbooks/recover_secrets.yml"]
        assert [word for word in words if word not in output] == [], output[-3000:]
    assert not (tmp_path / "empty").exists(), "something was made"
    assert state_of(site) == before


@pytest.mark.more
@pytest.mark.parametrize("name", FILES)
def test_k11_each_missing_secret_is_reported(site, lost, name):
    (lost / name).unlink()
    before, state = contents(lost), state_of(site)
    done, _ = play(site, "playbooks/consul.yml", *with_secrets(lost), "--limit", site.servers[-1].name)
    output = " ".join(done.stdout.split())
    assert done.returncode != 0 and f"has no {name}, but" in output and "recover_secrets.yml" in output, output[-3000:]
    assert contents(lost) == before, "nothing is made"
    assert state_of(site) == state


@pytest.mark.more
def test_k11_a_lost_token_is_adopted_from_the_cluster(site, load, lost):
    first, last = site.servers[0].name, site.servers[-1].name
    names = [f"agent-{first}", f"dns-{last}", f"registrator-{last}", "ui", "operations"]
    for name in names:
        (lost / "tokens" / name).unlink()
    state = state_of(site)
    with load.planned("a run without some tokens"):
        done, _ = play(site, "playbooks/consul.yml", *with_secrets(lost))
        assert done.returncode == 0, done.stdout[-3000:]
    assert contents(lost) == contents(site.secrets)
    assert state_of(site) == state


@pytest.mark.more
def test_k11_the_secrets_are_recovered_from_the_site(site, load, tmp_path, show):
    """Everything of Consul's is lost: tokens and gossip key come back the same, and a new CA takes over."""
    kept = Path(shutil.copytree(site.secrets, tmp_path / "kept"))
    gossip, tokens, old = (kept / "gossip_key").read_text(), contents(kept / "tokens"), (kept / "ca.pem").read_text()
    state = state_of(site)
    for name in FILES:
        (site.secrets / name).unlink()
    shutil.rmtree(site.secrets / "tokens")
    with load.planned("recovery of the secrets"):
        done, seconds = play(site, "playbooks/recover_secrets.yml")
        assert done.returncode == 0, done.stdout[-3000:]
        assert (site.secrets / "ca.old.pem").read_text().strip() == old.strip()
        assert "run playbooks/rotate_certificates.yml" in " ".join(done.stdout.split())
        renewed, _ = play(site, "playbooks/rotate_certificates.yml")
        assert renewed.returncode == 0, renewed.stdout[-3000:]
        site.settle()
    show(f"gossip key and {len(tokens)} tokens in {seconds:.0f} s")
    assert (site.secrets / "gossip_key").read_text() == gossip
    assert contents(site.secrets / "tokens") == tokens
    assert site.ca.read_text() != old and not (site.secrets / "ca.old.pem").exists()
    assert {token["SecretID"].encode() for token in site.consul().get("/v1/acl/tokens")} >= set(tokens.values())
    after = state_of(site)
    assert {key: after[key] for key in after if key != "catalog"} == {key: state[key] for key in state if key != "catalog"}
    assert not [secret for secret in tokens.values() if secret.decode() in done.stdout]
    play(site, "playbooks/rotate_tokens.yml", "-e", "rotate_management=true", "-e", "rotate_component=management")
    assert (kept / "management_token").read_text() not in {t["SecretID"] for t in site.consul().get("/v1/acl/tokens")}


@pytest.fixture
def newcomer(site):
    """A fourth host, whose name sorts before all others: a bare node, in the inventory as long as the test runs."""
    name, extra = "archive-1", site.inventory / "archive.yml"
    taken = {int(node.address.rsplit(".", 1)[1]) for node in site.nodes.values()}
    address = f"{site.servers[0].address.rsplit('.', 1)[0]}.{max(taken) + 1}"
    extra.write_text(json.dumps({"all": {"children": {"consul_clients": {"hosts": {name: {"ansible_host": address}}}}}}))
    container = lab_container(site.servers[0], name)
    try:
        subprocess.run([sys.executable, "-m", "lab", "up", site.inventory], cwd=ROOT, check=True)
        yield name, address
    finally:
        extra.unlink()
        assert play(site, "playbooks/firewall.yml")[0].returncode == 0  # none of the others knows it any more
        subprocess.run(["podman", "rm", "-f", "-t", "0", "-v", container], check=True)
        subprocess.run(["podman", "volume", "rm", "-f", f"{container}-docker"], check=True)
        site.consul().send("PUT", f"/v1/agent/force-leave/{name}?prune")
        eventually(lambda: name not in members(site), 60)
        for path in (site.secrets / "tokens").glob(f"*-{name}"):
            path.unlink()
        for token in site.consul().get("/v1/acl/tokens"):
            if token["Description"].endswith(f" on {name}"):
                site.consul().send("DELETE", f"/v1/acl/token/{token['AccessorID']}")


@pytest.mark.more
def test_k11_a_new_node_whose_name_sorts_first_joins_with_the_existing_key(site, load, newcomer, lost):
    name, address = newcomer
    before = contents(site.secrets)
    (lost / "gossip_key").unlink()
    done, _ = play(site, "playbooks/consul.yml", *with_secrets(lost), "--limit", name)
    assert done.returncode != 0 and "has no gossip_key, but" in " ".join(done.stdout.split()), done.stdout[-3000:]
    done, _ = play(site, "site.yml", "--limit", name)
    output = " ".join(done.stdout.split())
    assert done.returncode != 0 and f"blocks host {name} ({address}) at port 8301" in output, output[-3000:]
    assert "changed=0" in done.stdout, done.stdout[-3000:]
    done, _ = play(site, "playbooks/firewall.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    with load.planned("a new node"):
        done, _ = play(site, "playbooks/consul.yml", "--limit", name)
        assert done.returncode == 0, done.stdout[-3000:]
        assert members(site)[name]["Addr"] == address and alive(site, name)
        assert {n["Node"] for n in site.consul().get("/v1/catalog/nodes")} == {name, *(n.name for n in site.servers)}
    after = contents(site.secrets)
    assert {key: after[key] for key in before} == before, "what was there is the same"
    assert set(after) - set(before) == {f"tokens/agent-{name}", f"tokens/dns-{name}"}
