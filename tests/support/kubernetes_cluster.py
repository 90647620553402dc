"""The Kubernetes cluster of a lab, as tests see it: its objects by kubectl, Consul in its pods, and a client that writes."""

import base64
import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.kubernetes import programs

from tests.support import pod_writer
from tests.support.consul import Consul
from tests.support.wait import eventually

NAMESPACE, SERVERS = "consul", "consul-server"
READY = 240  # seconds until replaced servers are ready again, on a slow machine
ELSEWHERE = "elsewhere"  # a namespace of somebody else's


class KubernetesCluster:
    """The cluster.

    :param kubeconfig: of its administrator
    :param secrets: directory of the site's secrets
    :param image: with Python, for pods of tests
    """

    def __init__(self, kubeconfig: Path, secrets: Path, image: str):
        self.kubeconfig, self.secrets, self.image = kubeconfig, secrets, image

    def kubectl(self, *arguments: str, manifests: list[dict] | None = None) -> str:
        """Run kubectl; what it printed.

        :raises RuntimeError: it ended with another code than 0, which `eventually` takes for "not yet"
        """
        try:
            return programs.kubectl(self.kubeconfig, *arguments, manifests=manifests)
        except LabError as error:
            raise RuntimeError(str(error)) from None

    def get(self, *arguments: str) -> dict:
        """An object of the cluster, or a list of them."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def pods(self) -> list[dict]:
        """Those of the servers."""
        return self.get("-n", NAMESPACE, "pods", "-l", "app.kubernetes.io/component=server")["items"]

    def ready(self) -> int:
        """How many servers are ready."""
        return sum(is_ready(pod) for pod in self.pods())

    def token(self) -> str:
        """The management token."""
        return (self.secrets / "management_token").read_text().strip()

    @contextlib.contextmanager
    def consul(self, pod: str = f"{SERVERS}-0", token: str | None = "") -> Iterator[Consul]:
        """Consul in a pod, by a forwarded port; its certificate is verified.

        :param token: '' for the management token, None for an anonymous caller
        """
        command = [str(programs.folder() / "kubectl"), "--kubeconfig", str(self.kubeconfig)]
        command += ["-n", NAMESPACE, "port-forward", f"pod/{pod}", ":8501"]
        forward = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = forward.stdout.readline()
            assert (port := re.search(r"127\.0\.0\.1:(\d+)", line)), f"kubectl port-forward: {line!r}"
            consul = Consul("localhost", self.secrets / "ca.pem", self.token() if token == "" else token)
            consul.base = f"https://localhost:{port[1]}"
            yield consul
        finally:
            forward.kill()
            forward.wait()

    def healthy(self) -> bool:
        """Whether all servers are ready, and autopilot holds all of them healthy voters."""
        pods = self.pods()
        if len(pods) < 3 or not all(is_ready(pod) for pod in pods):
            return False
        with self.consul() as consul:
            health = consul.health()
        voters = [server for server in health["Servers"] if server["Healthy"] and server["Voter"]]
        return health["Healthy"] and len(voters) == len(pods)

    def settle(self) -> float:
        """Wait until the servers are healthy; the seconds."""
        return eventually(self.healthy, READY, every=2)[1]

    def leader(self) -> str:
        """The pod that leads."""
        with self.consul() as consul:
            found = consul.get("/v1/operator/raft/configuration")["Servers"]
        return next(server["Node"] for server in found if server["Leader"])

    def node_of(self, pod: str) -> str:
        """The node on which a pod runs."""
        return self.get("-n", NAMESPACE, "pod", pod)["spec"]["nodeName"]

    def run_python(self, namespace: str, name: str, program: str, seconds: float = 120) -> str:
        """Run a program in a pod of its own; what it printed."""
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": self.image, "command": ["python3", "-c", program]}],
            },
        }  # fmt: skip
        self.kubectl("-n", namespace, "delete", "pod", name, "--ignore-not-found", "--wait=true", "--grace-period=0", "--force")
        self.kubectl("create", "-f", "-", manifests=[pod])

        def ended() -> str:
            phase = self.get("-n", namespace, "pod", name)["status"]["phase"]
            return phase if phase in ("Succeeded", "Failed") else ""

        phase, _ = eventually(ended, seconds, every=1)
        printed = self.kubectl("-n", namespace, "logs", name)
        assert phase == "Succeeded", printed
        self.kubectl("-n", namespace, "delete", "pod", name, "--grace-period=0", "--force")
        return printed

    def namespace(self, name: str) -> None:
        """Make sure that there is a namespace."""
        self.kubectl("apply", "-f", "-", manifests=[{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])

    @contextlib.contextmanager
    def writer(self, node: str) -> Iterator["Writer"]:
        """A pod that writes into the KV store while the block runs; it stays when its node is drained."""
        self.namespace(ELSEWHERE)
        meta = {"name": "writer", "namespace": ELSEWHERE}
        data = {"token": self.token(), "ca.pem": (self.secrets / "ca.pem").read_text()}
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        labels = {"app": "writer"}
        spec = {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": self.image, "command": ["python3", "/program/pod_writer.py"],
                "env": [{"name": "CONSUL", "value": f"consul.{NAMESPACE}.svc"}],
                "volumeMounts": [{"name": "secret", "mountPath": "/secret"}, {"name": "program", "mountPath": "/program"}],
            }],
            "volumes": [
                {"name": "secret", "secret": {"secretName": "writer"}}, {"name": "program", "configMap": {"name": "writer"}},
            ],
        }  # fmt: skip
        template = {"metadata": {"labels": labels}, "spec": spec}
        manifests = [
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded},
            {
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta,
                "data": {"pod_writer.py": Path(pod_writer.__file__).read_text()},
            },
            {
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta,
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            },
        ]  # fmt: skip
        self.kubectl("apply", "--server-side", "-f", "-", manifests=manifests)
        try:
            writer = Writer(self)
            eventually(writer.acknowledged, 120, every=1)
            yield writer
        finally:
            self.kubectl("-n", ELSEWHERE, "delete", "daemonset,configmap,secret", "writer", "--wait=true")


class Writer:
    """What the writing pod has printed."""

    def __init__(self, cluster: KubernetesCluster):
        self.cluster = cluster

    def acknowledged(self) -> list[tuple[float, int]]:
        """Time and number of each acknowledged write."""
        printed = self.cluster.kubectl("-n", ELSEWHERE, "logs", "-l", "app=writer", "--tail=-1")
        return [(float(moment), int(number)) for moment, number in (line.split() for line in printed.splitlines())]

    def gap(self) -> float:
        """The longest time between two acknowledgements, or since the last one, in seconds. Nodes have this machine's clock."""
        now = time.time()
        times = [moment for moment, _ in self.acknowledged()]
        assert len(times) > 10, "the writer has hardly written"
        times.append(max(now, times[-1]))
        return max(after - before for before, after in zip(times, times[1:], strict=False))

    def lost(self) -> list[int]:
        """Acknowledged writes that are not in the store."""
        numbers = [number for _, number in self.acknowledged()]
        assert numbers == list(range(1, len(numbers) + 1)), "the writer has started anew"
        with self.cluster.consul() as consul:
            found = {
                int(pair["Key"].rpartition("/")[2]): pair for pair in consul.get("/v1/kv/writer/?recurse=true&consistent=true")
            }
        held = {key: int(base64.b64decode(pair["Value"])) for key, pair in found.items()}
        last = numbers[-pod_writer.KEYS :]
        return [number for number in last if held.get(number % pod_writer.KEYS, 0) < number]


def is_ready(pod: dict) -> bool:
    """Whether a pod is ready, and not about to end."""
    states = (pod.get("status") or {}).get("conditions") or []
    return not pod["metadata"].get("deletionTimestamp") and any(
        state["type"] == "Ready" and state["status"] == "True" for state in states
    )
