"""Consul's servers as objects of Kubernetes: what is applied, what it keeps to, and what is never in it."""

import base64
import copy
import json
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils import kubernetes_manifests as made
from kubernetes_settings import DIGEST, GOLDEN, golden, settings
from restricted_pods import violations
from tests.support.kubernetes_schemas import KIND, Schemas, documents
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
HOST = parse_yaml((ROOT / "roles/consul/vars/main.yml").read_text())
EVERYTHING = settings(
    servers=5,
    image_pull_secrets=["registry"],
    storage_class="fast",
    client_namespaces=["shop"],
    host_networks=["192.168.0.0/24"],
    write_networks=["10.8.0.0/24"],
    extra_config={"telemetry": {"prometheus_retention_time": "24h"}},
    certificate_digest="0" * 64,
)


def all_of(given) -> list[dict]:
    files = {"gossip": {"gossip.json": "{}"}, "tls": {"ca.pem": "x"}, "tokens": {"a.json": "{}"}}
    secrets = [made.secret(given, part, content) for part, content in files.items()]
    return [made.namespace(given), *secrets, *made.manifests(given)]


def of_kind(kind: str, given=None) -> list[dict]:
    return [one for one in all_of(given or settings()) if one["kind"] == kind]


def stateful_set(given=None) -> dict:
    return of_kind("StatefulSet", given)[0]["spec"]


def container(given=None) -> dict:
    (one,) = stateful_set(given)["template"]["spec"]["containers"]
    return one


def test_golden_manifests():
    """To see what a change does to them: `python -m tests.unit.kubernetes.write_golden` writes the file anew."""
    assert GOLDEN.read_text() == golden(settings())


def test_same_settings_same_text():
    shuffled = dict(reversed(settings(write_networks=["10.8.0.0/24", "10.9.0.0/24"]).items()))
    turned = settings(write_networks=["10.9.0.0/24", "10.8.0.0/24"])
    assert json.dumps(made.manifests(shuffled)) == json.dumps(made.manifests(turned))


@pytest.mark.parametrize(("name", "value"), [("image", None), ("unknown", 1)])
def test_a_setting_that_is_missing_or_unknown_is_an_error(name, value):
    given = settings()
    given.pop(name, None) if value is None else given.update({name: value})
    with pytest.raises(ValueError, match=name):
        made.manifests(given)


VERSIONS = documents()


NONE = pytest.param("none", marks=pytest.mark.skip("no schemas on this machine"))
GIVEN = {"default": settings(), "everything": EVERYTHING, "one server": settings(servers=1)}


@pytest.mark.parametrize("version", sorted(VERSIONS) or [NONE])
@pytest.mark.parametrize("given", GIVEN.values(), ids=list(GIVEN))
def test_manifests_fit_the_schemas(version, given):
    schemas = Schemas.read(VERSIONS[version])
    assert [problem for one in all_of(given) for problem in schemas.problems(one)] == []


TEXT = {"type": "string"}
SMALL = Schemas({"definitions": {
    "a": {"type": "object", "required": ["spec"], KIND: [{"group": "apps", "version": "v1", "kind": "A"}],
          "properties": {"apiVersion": TEXT, "kind": TEXT, "spec": {"$ref": "#/definitions/s"}}},
    "s": {"type": "object", "properties": {
        "port": {"type": "string", "format": "int-or-string"}, "labels": {"type": "object", "additionalProperties": TEXT},
        "list": {"type": "array", "items": {"type": "integer", "format": "int32"}}}},
}})  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"port": 1, "labels": {"x": "y"}, "list": [1]}, ""),
        ({"port": 1.5}, "A.spec.port is 1.5"),
        ({"labels": {"x": 1}}, "A.spec.labels.x is 1"),
        ({"list": ["1"]}, "A.spec.list[0] is '1'"),
        ({"lisst": []}, "A.spec has 'lisst', which nothing reads"),
    ],
)
def test_schemas_find_what_an_api_refuses(spec, problem):
    found = SMALL.problems({"apiVersion": "apps/v1", "kind": "A", "spec": spec})
    assert bool(found) == bool(problem) and problem in "".join(found)


def test_schemas_find_kinds_that_are_not_there_and_fields_that_are_missing():
    assert SMALL.problems({"apiVersion": "apps/v2", "kind": "A"}) == ["there is no apps/v2 A"]
    assert SMALL.problems({"apiVersion": "apps/v1", "kind": "A"}) == ["A has no spec"]


@pytest.mark.parametrize("given", [settings(), EVERYTHING], ids=["default", "everything"])
def test_pods_are_restricted(given):
    assert violations(stateful_set(given)["template"]["spec"]) == []


def test_the_namespace_takes_restricted_pods_only():
    (one,) = of_kind("Namespace")
    labels = one["metadata"]["labels"]
    assert {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == dict.fromkeys(
        ("enforce", "audit", "warn"), "restricted"
    )


BREAKS = [
    (("securityContext", "runAsNonRoot"), None, "may run as root"),
    (("securityContext", "runAsUser"), 0, "runs as root"),
    (("securityContext", "seccompProfile"), {}, "seccomp"),
    (("hostNetwork",), True, "hostNetwork"),
    (("containers", 0, "securityContext", "allowPrivilegeEscalation"), None, "gain privileges"),
    (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "capabilities"),
    (("containers", 0, "securityContext", "privileged"), True, "privileged"),
    (("containers", 0, "ports", 0, "hostPort"), 8501, "host port"),
    (("volumes", 0), {"name": "config", "hostPath": {"path": "/"}}, "hostPath"),
]


@pytest.mark.parametrize(("path", "value", "violation"), BREAKS, ids=[row[2] for row in BREAKS])
def test_the_check_of_restricted_pods_finds(path, value, violation):
    spec = copy.deepcopy(stateful_set()["template"]["spec"])
    place = spec
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert violation in " ".join(violations(spec))


def test_beyond_the_standard_nothing_is_writable_but_data_and_tmp():
    one = container()
    assert one["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["name"] for mount in one["volumeMounts"] if not mount.get("readOnly")] == ["data", "tmp"]
    spec = stateful_set()["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False


def test_secrets_are_files_of_secrets_and_nowhere_else():
    """No manifest but a Secret is made of one; a container gets their names of files, and no variable from them."""
    one = container()
    assert [entry["valueFrom"] for entry in one["env"]] == [
        {"fieldRef": {"fieldPath": "metadata.name"}},
        {"fieldRef": {"fieldPath": "status.podIP"}},
    ]
    assert "envFrom" not in one and "lifecycle" in one
    config = made.agent_config(EVERYTHING)
    assert "encrypt" not in config and "tokens" not in config["acl"]
    volumes = {v["name"]: v["secret"] for v in stateful_set()["template"]["spec"]["volumes"] if "secret" in v}
    assert {name: volume["secretName"] for name, volume in volumes.items()} == {
        part: f"consul-server-{part}" for part in made.SECRETS
    }
    assert {volume["defaultMode"] for volume in volumes.values()} == {0o440}
    mounted = {mount["mountPath"] for mount in one["volumeMounts"]}
    files = [word.partition("=")[2] for word in one["args"] if "file=" in word]
    assert all(file.rpartition("/")[0] in mounted for file in files) and len(files) == 3


def test_probes_need_no_secret_and_ask_for_a_leader():
    one = container()
    probes = {name: one[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert {tuple(probe["httpGet"]) for probe in probes.values()} == {("path", "port", "scheme")}
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startup": "/v1/status/leader",  # answers with and without a leader
        "liveness": "/v1/status/leader",
        "readiness": "/v1/catalog/services",  # an error without one
    }
    assert {probe["httpGet"]["scheme"] for probe in probes.values()} == {"HTTPS"}


def test_servers_find_each_other_before_there_is_a_leader():
    spec = stateful_set()
    (headless,) = [one["spec"] for one in of_kind("Service") if one["metadata"]["name"] == spec["serviceName"]]
    assert (headless["clusterIP"], headless["publishNotReadyAddresses"]) == ("None", True)
    assert spec["podManagementPolicy"] == "Parallel"
    assert made.agent_config(settings())["retry_join"] == [
        f"consul-server-{number}.consul-server.consul.svc" for number in range(3)
    ]
    assert made.agent_config(settings())["bootstrap_expect"] == 3


def test_a_pod_that_ends_does_not_leave():
    assert container()["lifecycle"] == {"preStop": {"sleep": {"seconds": 3}}}
    assert made.agent_config(settings())["leave_on_terminate"] is False


def test_a_volume_outlives_everything():
    spec = stateful_set(EVERYTHING)
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    assert "storageClassName" not in stateful_set()["volumeClaimTemplates"][0]["spec"]


@pytest.mark.parametrize(("servers", "stay"), [(3, 2), (5, 4)])
def test_a_drain_takes_one_server_at_a_time(servers, stay):
    (budget,) = of_kind("PodDisruptionBudget", settings(servers=servers))
    assert budget["spec"]["minAvailable"] == stay
    assert of_kind("PodDisruptionBudget", settings(servers=1)) == []


def test_each_server_is_on_a_node_of_its_own():
    affinity = stateful_set()["template"]["spec"]["affinity"]["podAntiAffinity"]
    (rule,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"].items() <= stateful_set()["template"]["metadata"]["labels"].items()


def test_selectors_choose_the_pods():
    labels = stateful_set()["template"]["metadata"]["labels"].items()
    chosen = [one["spec"]["selector"] for one in of_kind("Service")]
    fields = {"StatefulSet": "selector", "PodDisruptionBudget": "selector", "NetworkPolicy": "podSelector"}
    chosen += [one["spec"][field]["matchLabels"] for kind, field in fields.items() for one in of_kind(kind)]
    assert len(chosen) == 6 and all(one.items() <= labels for one in chosen)


def reaches(port: int, protocol: str = "TCP", given=None) -> list:
    """From where the servers are reached."""
    (policy,) = of_kind("NetworkPolicy", given)
    assert policy["spec"]["policyTypes"] == ["Egress", "Ingress"]
    return [
        source
        for rule in policy["spec"]["ingress"] if {"protocol": protocol, "port": port} in rule["ports"]
        for source in rule["from"]
    ]  # fmt: skip


@pytest.mark.parametrize(("port", "protocol"), [(8300, "TCP"), (8301, "TCP"), (8301, "UDP")])
def test_rpc_and_gossip_are_for_servers_and_hosts(port, protocol):
    servers = {"podSelector": {"matchLabels": made._selector(settings())}}
    assert reaches(port, protocol) == [servers]
    assert reaches(port, protocol, EVERYTHING) == [servers, {"ipBlock": {"cidr": "192.168.0.0/24"}}]


@pytest.mark.parametrize(("port", "protocol"), [(8501, "TCP"), (8600, "UDP"), (8600, "TCP")])
def test_api_and_dns_are_for_the_given_namespaces(port, protocol):
    assert reaches(port, protocol) == [{"namespaceSelector": {}}]
    selector, host = reaches(port, protocol, EVERYTHING)
    assert selector["namespaceSelector"]["matchExpressions"] == [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["consul", "kube-system", "shop"]}
    ]
    assert host == {"ipBlock": {"cidr": "192.168.0.0/24"}}


def test_the_configuration_is_that_of_a_host_s_server():
    """Where the two differ, this list says so."""
    host = HOST["__consul_agent_config"] | HOST["__consul_server_config"]
    pod = made.agent_config(settings())
    assert set(host) ^ set(pod) == {"node_name", "bind_addr", "advertise_addr", "addresses", "encrypt", "recursors"}
    literal = {key for key in set(host) & set(pod) if "{{" not in json.dumps(host[key])}
    assert {key for key in literal if host[key] != pod[key]} == {"client_addr", "data_dir"}
    assert {name for name in pod["ports"] if host["ports"][name] != pod["ports"][name]} == {"dns", "http"}
    assert pod["ports"]["http"] == -1
    assert list(made.CIPHER_SUITES) == HOST["__consul_cipher_suites"]
    for part in ("internal_rpc", "https"):
        assert host["tls"][part] == pod["tls"][part]
    for name in ("verify_outgoing", "tls_min_version"):
        assert host["tls"]["defaults"][name] == pod["tls"]["defaults"][name]
    for name in ("only_passing", "enable_truncate", "node_ttl"):
        assert host["dns_config"][name] == pod["dns_config"][name]
    defaults = parse_yaml((ROOT / "roles/consul/defaults/main.yml").read_text())
    assert pod["limits"]["http_max_conns_per_client"] == defaults["consul_http_max_conns_per_client"]
    assert pod["limits"]["request_limits"] == defaults["consul_request_limits"]


def test_extra_settings_are_merged():
    config = made.agent_config(settings(extra_config={"tls": {"https": {"verify_incoming": True}}, "log_json": True}))
    assert config["tls"]["https"] == {"verify_incoming": True} and config["tls"]["internal_rpc"]["verify_incoming"] is True
    assert config["log_json"] is True


def test_a_change_of_configuration_or_certificate_replaces_the_pods():
    def annotations(**changes):
        return stateful_set(settings(**changes))["template"]["metadata"]["annotations"]

    assert annotations() == annotations()
    assert annotations(log_level="debug") != annotations()
    assert annotations(certificate_digest="1" * 64) != annotations()


def test_names_of_the_certificate():
    names = made.certificate_names(settings(servers=1))
    assert names == [
        "DNS:server.dc1.consul", "DNS:consul-server-0", "DNS:consul-server-0.consul-server.consul.svc", "DNS:consul",
        "DNS:consul.consul", "DNS:consul.consul.svc", "DNS:localhost", "IP:127.0.0.1",
    ]  # fmt: skip


def test_token_files_are_what_the_pods_read():
    pods = made.pods(settings())
    files = made.token_files({pod: f"agent of {pod}" for pod in pods}, {pod: f"dns of {pod}" for pod in pods})
    assert list(files) == [f"{pod}.json" for pod in pods]
    assert json.loads(files["consul-server-1.json"]) == {
        "acl": {"tokens": {"agent": "agent of consul-server-1", "dns": "dns of consul-server-1"}}
    }


def test_a_secret_holds_files():
    one = made.secret(settings(), "tls", {"b": "ü\n", "a": "1"})
    assert one["metadata"]["name"] == "consul-server-tls" and list(one["data"]) == ["a", "b"]
    assert base64.b64decode(one["data"]["b"]).decode() == "ü\n"
    with pytest.raises(ValueError, match="choose among gossip, tls, tokens"):
        made.secret(settings(), "other", {})


def test_the_image_is_pinned():
    assert container()["image"].endswith(DIGEST)
