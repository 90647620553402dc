"""K6: new tokens on the running site. The naive way freezes the health of every service: the catalog would go on saying
"passing" for an application that is dead."""

import time
import urllib.error
import uuid

import pytest
from tests.support.consul import Consul
from tests.support.playbook import play
from tests.support.wait import eventually

APP = "k6-app"
ROTATE = "playbooks/rotate_tokens.yml"


def secrets_of(site) -> dict[str, str]:
    """Every token as the controller keeps it: name to SecretID."""
    files = [site.secrets / "management_token", *sorted((site.secrets / "tokens").iterdir())]
    return {path.name: path.read_text().strip() for path in files}


def known_to(site) -> set[str]:
    """The SecretIDs that the cluster knows."""
    return {token["SecretID"] for token in site.consul().get("/v1/acl/tokens")}


def status_in_catalog(site, asked) -> set[str]:
    """The application's checks in another node's catalog."""
    found = site.consul(asked).get(f"/v1/health/service/{APP}")
    return {check["Status"] for entry in found for check in entry["Checks"] if check["ServiceID"]}


def refusals(site, since: float) -> str:
    """Refused tokens in the journals, but for two harmless things: a play asks for an accessor before it makes
    the token, and an agent keeps the views that the old consul-template read for 20 minutes (submatview.Store)."""
    words = "ACL not found|[Pp]ermission denied|blocked by ACLs|lacks permission"
    asked = f"journalctl --no-pager -q --since @{since:.0f} -u consul -u consul-template -u docker"
    found = f"{asked} | grep -E '{words}' | grep -v -e 'method=GET url=/v1/acl/token/' -e 'rpcclient.health: subscribe call'"
    return "".join(f"{node.name}: {node.tries(found).stdout}" for node in site.nodes.values() if node.tries(found).stdout)


@pytest.fixture
def app(site, start_container):
    """An application whose health the agent checks over HTTP, registered by registrator."""
    node = site.docker_hosts[-1]
    options = [f"-e SERVICE_NAME={APP}", "-e SERVICE_CHECK_HTTP=/", "-e SERVICE_CHECK_INTERVAL=1s", "-p 18081:8081"]
    start_container(node, APP, "httpbackend:v1.0.0", *options)
    eventually(lambda: status_in_catalog(site, site.servers[0]) == {"passing"}, 60)
    return node


def test_k6_tokens_are_rotated_and_health_is_not_frozen(site, load, app, show):
    before = secrets_of(site)
    with load.planned("rotation of all tokens"):
        done, seconds = play(site, ROTATE, "-e", "rotate_management=true")
        assert done.returncode == 0, done.stdout[-3000:]
    after = secrets_of(site)
    assert after.keys() == before.keys()
    assert {name for name in before if before[name] == after[name]} == set(), "every token is a new one"
    assert set(after.values()) <= known_to(site)
    assert not set(before.values()) & known_to(site), "an old token still exists"
    assert not [secret for secret in {*before.values(), *after.values()} if secret in done.stdout + done.stderr]
    show(f"{len(after)} tokens rotated in {seconds:.0f} s")

    asked = site.servers[0]
    try:
        app.run(f"docker kill -s STOP {APP}")
        _, took = eventually(lambda: status_in_catalog(site, asked) == {"critical"}, 30)
        show(f"the application hangs: critical in the catalog of {asked.name} after {took:.1f} s")
    finally:
        app.run(f"docker kill -s CONT {APP}")
    eventually(lambda: status_in_catalog(site, asked) == {"passing"}, 30)


@pytest.mark.more
def test_k6_nobody_is_refused_after_a_rotation(site, settled):
    since = time.time()
    done, _ = play(site, ROTATE)
    assert done.returncode == 0, done.stdout[-3000:]
    time.sleep(65)  # longer than a full synchronisation of every agent
    assert refusals(site, since) == ""


@pytest.mark.more
def test_k6_a_token_in_use_is_not_deleted_and_the_next_run_goes_on(site, load, app):
    """Somebody has registered a service of his own with the registrator's token."""
    name = f"registrator-{app.name}"
    before = secrets_of(site)
    own = Consul(app.address, site.ca, before[name])
    own.send("PUT", "/v1/agent/service/register", {"Name": "k6-external", "Port": 9})
    only = ("-e", "rotate_component=registrator")
    with load.planned("a rotation that stops, and the next"):
        done, _ = play(site, ROTATE, *only, "-e", "consul_rotate_timeout=40")
        assert done.returncode != 0
        assert "k6-external" in done.stdout and app.name in done.stdout, done.stdout[-3000:]
        middle = secrets_of(site)
        changed = {key for key in before if before[key] != middle[key]}
        assert changed == {f"registrator-{node.name}" for node in site.docker_hosts}, "only one component was asked for"
        assert {before[key] for key in changed} <= known_to(site), "an old token was deleted while it was in use"
        own.send("PUT", "/v1/agent/service/deregister/k6-external")
        done, _ = play(site, ROTATE, *only)
        assert done.returncode == 0, done.stdout[-3000:]
    assert secrets_of(site) == middle, "the second run went on with the tokens of the first"
    assert not {before[key] for key in changed} & known_to(site)


@pytest.mark.more
def test_k6_a_run_that_died_before_the_new_tokens_were_used_is_continued(site, load):
    """What such a run leaves: a next secret on the controller."""
    name = f"dns-{site.servers[0].name}"
    before, following = secrets_of(site), str(uuid.uuid4())
    path = site.secrets / "tokens" / f"{name}.next"
    path.touch(mode=0o600)
    path.write_text(following)
    with load.planned("a rotation that goes on"):
        done, _ = play(site, ROTATE, "-e", "rotate_component=dns", "--limit", site.servers[0].name)
        assert done.returncode == 0, done.stdout[-3000:]
    after = secrets_of(site)
    assert {key for key in before if before[key] != after[key]} == {name} and after[name] == following
    assert following in known_to(site) and before[name] not in known_to(site)


def test_k6_an_old_token_is_refused(site):
    """That the tests above can fail: a token that nobody made is not accepted either."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        Consul(site.servers[0].address, site.ca, str(uuid.uuid4())).get("/v1/agent/self")
    assert refused.value.code == 403
