"""The other load balancer by one variable on a standing site, and back: one host after the other, and nothing is left."""

import re

import pytest
from tests.support.balancer import BACKENDS, status
from tests.support.http_load import http_load
from tests.support.playbook import assert_unchanged, play
from tests.support.wait import eventually

AWAY = 15  # seconds for which one balancer may be away; its long connections have 5 of them
NOTHING = "ls -d {paths} 2>/dev/null || true"


def outages(samples, address: str) -> list[tuple[float, float]]:
    """From the last success before to the first one after, for each stretch of failures at a balancer."""
    found, last, failing = [], 0.0, False
    for one in sorted((one for one in samples if one.address == address), key=lambda one: one.ended):
        if one.ok:
            found += [(last, one.ended)] if failing else []
            last, failing = one.ended, False
        else:
            failing = True
    return found + ([(last, float("inf"))] if failing else [])


def assert_left(node, name: str) -> None:
    """The package stays, with its own configuration, and does not run."""
    backend = BACKENDS[name]
    assert node.unit(name, "ActiveState", "UnitFileState") == ["inactive", "disabled"]
    own = [path for path in backend.managed if path != backend.main]
    paths = " ".join([*own, f"/etc/systemd/system/{name}.service.d", *backend.memory])
    assert node.run(NOTHING.format(paths=paths)) == ""
    changed = node.tries(f"dpkg --verify {backend.package}").stdout
    assert [line for line in changed.splitlines() if " c /etc/" in line] == []


def assert_serves(node, name: str) -> None:
    shown = node.run("discovery-balancer status")
    assert re.search(rf"^generation \d+ of {name}, ", shown, re.MULTILINE), shown
    assert node.unit(name, "ActiveState", "UnitFileState") == ["active", "enabled"]
    about = node.run("cat /var/lib/discovery-balancer/generations/*/about.json")
    assert re.findall(r'"balancer": "(\w*)"', about) == [name] * about.count("marker")
    assert status(node)["skipped"] == []


@pytest.mark.more
def test_the_other_balancer_and_back(site, settled, tmp_path, show):
    first = site.balancer
    (other,) = set(BACKENDS) - {first}
    for name, before in ((other, first), (first, other)):
        (tmp_path / name).mkdir()
        with http_load(site, site.front, tmp_path / name, every=0.05) as requests:
            done, seconds = play(site, "site.yml", "-e", f"discovery_balancer={name}")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
        away = {balancer.name: outages(requests.samples, balancer.address) for balancer in site.balancers}
        took = {host: [round(end - start, 2) for start, end in found] for host, found in away.items()}
        show(f"{before} to {name} in {seconds:.0f} s; away (s): {took}; {requests}")
        site.settle()
        for balancer in site.balancers:
            eventually(lambda b=balancer, n=name: assert_serves(b, n) is None, 30)
            assert_left(balancer, before)
        spans = sorted(span for found in away.values() for span in found)
        assert all(end - start <= AWAY for start, end in spans)
        assert all(first[1] <= second[0] for first, second in zip(spans, spans[1:], strict=False)), "two were away at once"
        assert_unchanged(play(site, "site.yml", "-e", f"discovery_balancer={name}")[0])
