"""L5: two versions of a service, shares of its traffic by one command, and back by one command."""

import time
from collections import Counter

import pytest
from tests.support.clients import http_get
from tests.support.http_load import await_served, http_load
from tests.support.playbook import play
from tests.support.wait import eventually

SERVICE, PORT, IMAGE = "test-shift-9995", 9995, "httpbackend:v1.0.0"
OPTIONS = f"-e SERVICE_NAME={SERVICE} -e VERSION={SERVICE} -e SERVICE_TAGS=http,tcp"
REQUESTS, TOLERANCE = 1000, 0.03


@pytest.fixture
def versions(site, settled, start_container) -> dict[str, str]:
    """The version by the name that an instance answers with: v1 on each docker host, v2 on the first."""
    wanted = [(node, "v1") for node in site.docker_hosts] + [(site.docker_hosts[0], "v2")]
    found = {}
    for node, version in wanted:
        name = f"test-shift-{version}"
        start_container(node, name, IMAGE, f"{OPTIONS} -e SERVICE_VERSION={version}")
        found[node.hostname_of(name)] = version
    eventually(lambda: len(site.passing(SERVICE)) == len(wanted), 30)
    await_served(site, site.backend(SERVICE))
    yield found
    site.consul().send("DELETE", f"/v1/kv/discovery/traffic/{SERVICE}")


def shift(site, **given):
    """Run shift_traffic.yml with these shift_… variables; how it ended."""
    options = [f"-eshift_{name}={value}" for name, value in {"service": SERVICE, **given}.items()]
    return play(site, "playbooks/shift_traffic.yml", *options)[0]


def shifted(site, **given) -> None:
    ended = shift(site, **given)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]


def refused(site, words: str, **given) -> None:
    """It ends with these words, and nothing was written."""
    ended = shift(site, **given)
    assert ended.returncode != 0 and words in " ".join(ended.stdout.split()), ended.stdout[-3000:]
    assert f"discovery/traffic/{SERVICE}" not in site.consul().get("/v1/kv/discovery/?keys")


def share(site, versions, balancer, port=80, beside=None) -> float:
    """What part of the requests through a balancer version v2 answers.

    :param beside: load on the same balancer at that time. It counts as well: instances take turns, and whether v2's are the
        load's or the test's is chance, or worse, the pace of both.
    """
    begin = time.time()
    answers = [http_get(balancer.address, site.host_of(SERVICE), port) for _ in range(REQUESTS)]
    assert {answer.status for answer in answers} == {200}
    names = [answer.headers["X-Instance"] for answer in answers]
    names += [one.instance for one in beside.sent_since(begin) if one.address == balancer.address] if beside else []
    count = Counter(versions[name] for name in names if name)
    return count["v2"] / count.total()


def test_l5_shift_and_roll_back(site, versions, tmp_path, show):
    by_weight = 1 / len(versions)
    refused(site, f"shift_version is 'v9', which no instance of {SERVICE} has: choose among v1", version="v9", percent=10)
    with http_load(site, site.backend(SERVICE), tmp_path) as requests:
        for given, expected in (({"version": "v2", "percent": 10}, 0.1), ({"undo": "true"}, by_weight)):
            shifted(site, **given)
            for balancer in site.balancers:
                observed = share(site, versions, balancer, beside=requests)
                show(f"{given} on {balancer.name}: {observed:.1%} of {REQUESTS} and more to v2, {expected:.1%} asked for")
                assert abs(observed - expected) <= TOLERANCE
        show(f"meanwhile {requests}")
        requests.assert_served()


@pytest.mark.more
def test_l5_a_malformed_value_is_reported_and_ignored(site, versions, show):
    balancer = site.balancers[0]
    site.consul().put(f"/v1/kv/discovery/traffic/{SERVICE}", {"shares": {"v2": "a lot"}})
    _, seconds = eventually(lambda: "is no number from 0 to 100" in balancer.run("discovery-balancer status"), 30)
    answers = Counter(versions[http_get(balancer.address, site.host_of(SERVICE)).headers["X-Instance"]] for _ in range(40))
    show(f"reported after {seconds:.1f} s; {dict(answers)} of 40")
    assert set(answers) == {"v1", "v2"}


@pytest.mark.more
def test_l5_shares_of_0_and_100_percent_are_exact(site, versions, show):
    """HTTP and TCP alike; 0 is not one request."""
    for percent in (0, 33, 100):
        shifted(site, version="v2", percent=percent)
        for balancer in site.balancers:
            observed = share(site, versions, balancer), share(site, versions, balancer, PORT)
            show(f"{percent} % on {balancer.name}: http {observed[0]:.1%}, tcp {observed[1]:.1%}")
            exact = percent in (0, 100)
            assert all(abs(part - percent / 100) <= (0 if exact else TOLERANCE) for part in observed)
    shifted(site, end="true")


@pytest.mark.more
def test_l5_share_of_a_version_that_died_goes_to_the_others(site, versions, show):
    shifted(site, version="v2", percent=50)
    site.docker_hosts[0].run("docker stop test-shift-v2")
    for balancer in site.balancers:
        eventually(lambda b=balancer: "its share goes to the others" in b.run("discovery-balancer status"), 30)
        observed = share(site, versions, balancer)
        show(f"v2 stopped, {balancer.name}: {observed:.1%} to v2, all others 200")
        assert observed == 0
    site.docker_hosts[0].run("docker start test-shift-v2")
    eventually(lambda: len(site.passing(SERVICE)) == len(versions), 30)
    eventually(lambda: "goes to the others" not in site.balancers[0].run("discovery-balancer status"), 30)


@pytest.mark.more
def test_l5_invalid_shares_are_rejected_before_any_change(site, versions):
    for given, words in (
        ({"service": "nobody", "version": "v1", "percent": 10}, "choose among httpfront"),
        ({"version": "v2", "percent": 101}, "shift_percent is '101'"),
        ({"undo": "true"}, "nothing to undo"),
    ):
        refused(site, words, **given)
