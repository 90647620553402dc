"""The switch of an overlay network: what runs with which inventory, and that the site is afterwards what it was."""

from types import SimpleNamespace

import pytest
import yaml
from tests.support import overlay_switch
from tests.support.overlay_switch import SETTINGS, switched_on

HOSTS = {"all": {"vars": {"own": 1}, "children": {"docker_hosts": {"hosts": {"a": {}}}}}}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site of one host that notes what is run, and with which network it is then."""
    inventory = tmp_path / "three_nodes"
    inventory.mkdir()
    (inventory / "hosts.yml").write_text(yaml.safe_dump(HOSTS))
    node = SimpleNamespace(name="a", variables={"kept": True})
    site = SimpleNamespace(inventory=inventory, network="", datacenter="dc1", nodes={"a": node}, docker_hosts=[node], notes=[])
    site.settle = lambda: site.notes.append(("settle", site.network))
    node.run = lambda command: None

    def converged(site, *options, playbook="site.yml", inventory=None):
        used = inventory or site.inventory
        site.notes.append((playbook, options[1], yaml.safe_load((used / "hosts.yml").read_text())["all"]["vars"]))

    monkeypatch.setattr(overlay_switch, "converged", converged)
    return site


def test_on_and_off(site, tmp_path):
    plain = site.inventory
    with pytest.raises(RuntimeError), switched_on(site, tmp_path / "folder"):
        assert (site.network, site.inventory.name) == ("discovery", plain.name)
        assert site.nodes["a"].variables == {"kept": True} | SETTINGS
        raise RuntimeError("a test that fails")
    assert (site.network, site.inventory, site.nodes["a"].variables) == ("", plain, {"kept": True})
    plays = [note for note in site.notes if note[0].endswith(".yml")]
    assert plays == [
        ("site.yml", "firewall,registrator,load_balancer,overlay", {"own": 1} | SETTINGS),
        ("site.yml", "firewall,registrator,load_balancer", {"own": 1}),
        ("playbooks/reset.yml", "reset_scope=overlay", {"own": 1} | SETTINGS),
    ]
    assert [note for note in site.notes if note[0] == "settle"] == [("settle", "discovery"), ("settle", "")]
