"""The cluster of a lab: what its nodes are given before they start, and what is applied when its API answers."""

import base64
import json
import tempfile
import zipfile
from pathlib import Path

from lab import images, releases
from lab import site as site_services
from lab.images import KUBERNETES, PREFIX
from lab.inventory import Site
from lab.kubernetes import files, objects, programs
from lab.kubernetes.certificates import Authority
from lab.shell import step, succeeds, wait_for

IMAGES = Path(__file__).parent / "images"
KUBECONFIG = "kubeconfig"


class Cluster:
    """The cluster of a lab whose inventory has hosts with `lab_suite: kubernetes`.

    :param state: folder of the lab's keys
    """

    def __init__(self, site: Site, state: Path):
        self.site, self.folder = site, state / "kubernetes"
        self.nodes = {host: address for host, address in site.addresses.items() if site.suites.get(host) == KUBERNETES}
        self.registry = f"{site.services}:5000"
        self.kubeconfig = self.folder / KUBECONFIG
        self.image: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.nodes)

    def prepare(self) -> None:
        """Programs, images in the lab's registry, certificates: all that nodes need at their first start.

        :raises LabError: something cannot be had
        """
        built = programs.provide()
        tags = {
            "pause": images.sample(IMAGES / "pause", ""),
            "coredns": images.of_program("coredns", built / "coredns", built.name),
            "consul": _consul(),
        }
        for name, tag in tags.items():
            digest = site_services.offer(str(self.site.services), f"{name}:lab", tag)
            self.image[name] = f"{self.registry}/library/{name}@{digest}"
        self.authority = Authority(self.folder)
        admin, ca = self.authority.issue(files.ADMIN, files.ADMINS), self.authority.pair
        first = next(iter(self.nodes.values()))
        encoded = (base64.b64encode(text.encode()).decode() for text in (ca.certificate, admin.certificate, admin.key))
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(files.portable_kubeconfig(first, *encoded))

    def node_files(self, host: str) -> dict[str, str | Path]:
        """The files of a host beside those of every node; none for one that is not of the cluster."""
        if host not in self.nodes:
            return {}
        return files.node_files(host, self.nodes, self.registry, self.image["pause"], self.authority)

    def volumes(self, host: str) -> dict[Path, str]:
        """What a host mounts: the programs, which all share."""
        return {programs.folder(): f"{files.PROGRAMS}:ro"} if host in self.nodes else {}

    def variables(self) -> dict[str, str]:
        """By what the product reaches the cluster, for the lab's file in the inventory."""
        return {"consul_kubernetes_kubeconfig": str(self.kubeconfig), "consul_kubernetes_image": self.image["consul"]}

    def start(self) -> None:
        """Wait for the API and the nodes, and apply what every cluster has.

        :raises LabError: it does not come up
        """
        with step(f"starting Kubernetes {programs.VERSION}"):
            ask = (programs.folder() / "kubectl", "--kubeconfig", self.kubeconfig)
            wait_for(lambda: succeeds(*ask, "get", "--raw", "/readyz"), 180, "the API of Kubernetes")
            wait_for(lambda: succeeds(*ask, "get", "namespace", "kube-system"), 60, "the namespaces of Kubernetes")
            if not succeeds(*ask, "-n", "kube-system", "get", "configmap", "coredns"):
                self.kubectl("create", "-f", "-", manifests=[objects.corefile()])
            self.kubectl("apply", "-f", "-", manifests=objects.manifests(self.nodes, self.image["coredns"]))
            wait_for(self._complete, 300, "the nodes of Kubernetes and its DNS")

    def kubectl(self, *arguments: str, manifests: list[dict] | None = None) -> str:
        """As `programs.kubectl`, for this cluster."""
        return programs.kubectl(self.kubeconfig, *arguments, manifests=manifests)

    def _complete(self) -> bool:
        """Whether all nodes are ready, and both pods of the DNS."""
        nodes = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        states = [(state["type"], state["status"]) for one in nodes for state in one["status"]["conditions"]]
        names = json.loads(self.kubectl("-n", "kube-system", "get", "deployment", "coredns", "-o", "json"))
        return (
            states.count(("Ready", "True")) == len(self.nodes)
            and names["status"].get("readyReplicas") == names["spec"]["replicas"]
        )


def _consul() -> str:
    """An image with the newest release of Consul that the lab has, whose archive is the one of its checksums."""
    version = next(iter(releases.RELEASES["consul"]))
    archive = releases.archive("consul", version)
    tag = f"{PREFIX}/consul"
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as zipped:
        program = Path(zipped.extract("consul", scratch))
        program.chmod(0o755)
        return images.of_program("consul", program, f"{tag} {version}")
