"""The page of the night: what it shows of a site that is well, and of one that is not."""

import pytest
from tests.support.playbook import status_page
from tests.support.token_rights import send
from tests.support.wait import eventually, everywhere


def test_status_of_a_healthy_site(site, settled, load, show):
    # A balancer's last sync may be of before the site was healthy.
    everywhere(site.balancers, lambda balancer: balancer.run("discovery-balancer status"), 60)
    with load.planned("status"):
        text, code = status_page(site, "-e", "status_strict=true")
    assert code == 0, text
    leader = next(node for node in site.servers if site.leader() == f"{node.address}:8300")
    assert "nothing wrong" in text
    assert f"{leader.name} ({leader.address}:8300)" in text
    secrets = [path.read_text().strip() for path in site.secrets.rglob("*") if path.is_file()]
    assert not [secret for secret in secrets if 20 < len(secret) < 60 and secret in text]
    lines = text[text.index(site.datacenter + " at") :].split("\n\n\n")[0].rstrip().splitlines()
    show(f"{len(lines)} lines")
    assert len(lines) <= 40, text


def test_x4_status_names_a_false_instance_one_that_was_taken_out_and_one_that_was_changed(site, settled, show):
    """With the registrator's token of another host, which Consul lets do all of it: also to give an instance other tags, which
    are another place at the load balancers."""
    node, thief = site.docker_hosts[:2]
    token = (site.secrets / "tokens" / f"registrator-{thief.name}").read_text().strip()
    good = f"{node.name}:{site.container_of('httpfront', node)}:8080"
    (changed,) = (
        service
        for service in site.consul().get(f"/v1/catalog/node-services/{node.name}")["Services"]
        if service["ID"] == f"{node.name}:{site.container_of('httpbackend', node)}:8081"
    )
    fields = ("ID", "Service", "Address", "Port", "Meta")
    other_tags = {field: changed[field] for field in fields} | {"Tags": ["x4"], "Weights": {"Passing": 7, "Warning": 1}}
    false = {"ID": "x4-false", "Service": "httpfront", "Address": thief.address, "Port": 18199}
    requests = {
        "false": ("own", "PUT", "/v1/catalog/register", {
            "Node": "{other}", "Address": "{other_address}", "SkipNodeUpdate": True, "Service": false}),
        "changed": ("own", "PUT", "/v1/catalog/register", {
            "Node": "{other}", "Address": "{other_address}", "SkipNodeUpdate": True, "Service": other_tags}),
        "good": ("own", "PUT", "/v1/catalog/deregister", {"Node": "{other}", "ServiceID": good}),
    }  # fmt: skip
    unknown = "no container and no declared service stands for this entry of the catalog"
    differing = "the catalog has another entry than its container or declaration"

    def named() -> bool:
        """An agent compares itself with the catalog every minute or two, and soon after its start, and repairs both: then once
        more."""
        assert send(site, thief, node, token, "", requests) == dict.fromkeys(requests, True)
        text, code = status_page(site)
        assert code == 0, "it is no failure unless it shall be strict"
        show("\n".join(line.strip() for line in text.splitlines() if "  ! " in line))
        assert f"{node.name}: {unknown}: httpfront (x4-false) at {thief.address}:18199" in text
        assert f"{node.name}: {differing}: httpbackend ({changed['ID']}) at {node.address}:8081, with tags x4, not" in text
        assert ", not no tags, with weight 7, not 1" in text
        assert f"{node.name}: not in the catalog: httpfront ({good}) at {node.address}:" in text
        return True

    try:
        eventually(named, 120)
    finally:
        site.consul().send("PUT", "/v1/catalog/deregister", {"Node": node.name, "ServiceID": "x4-false"})
        for service in ("httpfront", "httpbackend"):  # registers them anew, so the agent syncs them at once
            node.run(f"docker restart {site.container_of(service, node)}")


@pytest.mark.more
def test_status_without_any_consul(site, settled):
    for node in site.servers:
        node.run("systemctl stop consul")
    try:
        text, code = status_page(site)
        assert code == 0 and "Consul has no leader" in text, text
    finally:
        for node in site.servers:
            node.run("systemctl start --no-block consul")


@pytest.mark.more
def test_w38_status_names_an_agent_whose_token_the_cluster_does_not_know(site, settled):
    """It answers as ever, and nothing that changes on its host comes into the catalog."""
    ill = site.servers[0]
    site.consul(ill).send("PUT", "/v1/agent/token/agent", {"Token": "00000000-1111-2222-3333-444444444444"})
    try:
        eventually(lambda: "the cluster refuses what its agent reports" in status_page(site)[0], 90)
        assert f"{ill.name}: the cluster refuses what its agent reports" in status_page(site)[0]
    finally:
        ill.run("systemctl restart consul")
        site.settle()
