"""R4 on a node: labels that are rejected are reported, and all other services are registered."""

import shlex

from tests.support.catalog_diff import agrees
from tests.support.wait import eventually

NAME = "test-hostile"
# Each label, and a word of the reason that registrator gives for it. Ports tell the services of the container apart.
REFUSED = {
    "SERVICE_8001_NAME=two words": "two words",
    "SERVICE_8002_NAME=under_score": "under_score",
    f"SERVICE_8003_NAME={'x' * 64}": "x" * 64,
    "SERVICE_8004_NAME=consul": "consul",
    "SERVICE_8005_ID=sl/ash": "sl/ash",
    "SERVICE_8006_a.b=1": "a.b",
    f"SERVICE_8007_{'k' * 129}=1": "k" * 129,
    f"SERVICE_8008_long={'v' * 513}": "long",
    "SERVICE_8009_registrator=me": "registrator",
    "SERVICE_8010_consul-x=1": "consul-x",
    "SERVICE_8011_TAGS=good,b\x01ad": "ad",
    "SERVICE_8012_CHECK_SCRIPT=rm -rf /": "check_script",
    "SERVICE_8013_CHECK_CMD=/bin/true": "check_cmd",
    "SERVICE_8014_CHECK_SORCERY=1": "check_sorcery",
    "SERVICE_8015_CHECK_HTTP=/a b": "check_http",
    "SERVICE_8016_CHECK_TTL=often": "check_ttl",
    "SERVICE_8017_CHECK_INTERVAL=often": "check_interval",
    "SERVICE_8018_CHECK_INITIAL_STATUS=splendid": "check_initial_status",
}
WITHOUT_SERVICE = range(8001, 8006)  # names and ids; of the others only the label itself is skipped
CHECKED = {"SERVICE_8017_CHECK_TCP": "true", "SERVICE_8018_CHECK_TCP": "true"}  # settings of a check need one


def test_r4_hostile_labels_are_reported_and_skipped(site, settled, start_container, show):
    node = site.docker_hosts[-1]
    begin = node.run("date +%s").strip()
    pairs = [*REFUSED, *(f"{key}={value}" for key, value in CHECKED.items())]
    labels = [f"--label {shlex.quote(pair)}" for pair in pairs]
    ports = [f"--expose {port}" for port in range(8001, 8001 + len(REFUSED))]
    start_container(node, NAME, "python:3.13-slim sleep infinity", "--init", *ports, *labels)
    start_container(node, "test-modest", "httpbackend:v1.0.0", "-e SERVICE_NAME=test-modest")
    eventually(lambda: len(site.passing("test-modest")) == 1, 30)
    wanted = set(range(8001, 8001 + len(REFUSED))) - set(WITHOUT_SERVICE)

    def ids() -> set[str]:
        """Of the container's services in the catalog, to which the agent sends one after the other, in any order."""
        services = site.consul().get(f"/v1/catalog/node-services/{node.name}")["Services"]
        return {one["ID"] for one in services if f":{NAME}:" in one["ID"]}

    eventually(lambda: len(ids()) >= len(wanted), 30)
    logged = [line for line in node.run(f"docker logs --since {begin} registrator 2>&1").splitlines() if "skipped" in line]
    for label, word in REFUSED.items():
        port = label.split("_")[1]
        assert [line for line in logged if NAME in line and word in line and port in line], f"{label[:60]!r}: not in {logged}"
    assert {int(one.split(":")[2]) for one in ids()} == wanted
    show(f"{len(REFUSED)} labels refused, {len(logged)} lines about them, {len(wanted)} services of the container registered")
    node.run(f"docker rm -f {NAME}")
    eventually(lambda: agrees(site), 30)


def test_r4_labels_and_environment_of_an_image_do_not_apply(site, settled, start_container):
    """An image claims the name, tags and id of another service; whoever started the container gave it none."""
    node, image = site.docker_hosts[-1], "test-claims:1"
    lines = ["FROM httpbackend:v1.0.0", "LABEL SERVICE_NAME=httpfront SERVICE_TAGS=http", "ENV SERVICE_ID=test-claims"]
    begin = node.run("date +%s").strip()
    node.run(f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} | docker build -q -t {image} -")
    try:
        start_container(node, "test-claims", image)
        start_container(node, "test-own", image, "-l SERVICE_NAME=test-own")
        eventually(lambda: len(site.passing("test-claims")) == len(site.passing("test-own")) == 1, 30)
        services = site.consul().get(f"/v1/catalog/node-services/{node.name}")["Services"]
        found = {one["ID"]: (one["Service"], one["Tags"] or []) for one in services if ":test-" in one["ID"]}
        ids = [f"{node.name}:{name}:8081" for name in ("test-claims", "test-own")]
        assert found == {ids[0]: ("test-claims", []), ids[1]: ("test-own", [])}
        logged = node.run(f"docker logs --since {begin} registrator 2>&1")
        for key in ("SERVICE_ID", "SERVICE_NAME", "SERVICE_TAGS"):
            assert f'skipped container=test-claims item={key} reason="comes with the image' in logged, logged
    finally:
        node.run("docker rm -f test-claims test-own")
        node.run(f"docker rmi {image}")
