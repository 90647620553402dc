"""A Kubernetes cluster by the kubeconfig of the user: requests to its API, and Consul in one of its pods.

The Python package `kubernetes` is needed on the controller, and by nothing else of the collection.
"""

from __future__ import annotations

import functools
import http.client
import json
import socket
import ssl
import urllib.request
from collections.abc import Callable, Mapping

from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import Api

try:
    import kubernetes
    import kubernetes.dynamic
    import kubernetes.stream
except ImportError:
    kubernetes = None

MISSING = (
    "the controller's Python has no package kubernetes, which Ansible's collection kubernetes.core needs, too: install it"
    " there, for example with python3 -m pip install kubernetes"
)
CONSUL = 8501


class ClusterError(Exception):
    """The cluster cannot be asked; a message for the user.

    :ivar status: of the answer, 0 for none
    """

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


class Cluster:
    """One cluster.

    :param kubeconfig: file, '' for the user's (KUBECONFIG, else ~/.kube/config)
    :param context: of the file, '' for its current one
    :param timeout: seconds for one request
    :raises ClusterError: the package is missing, or there is no such file or context
    """

    def __init__(self, kubeconfig: str = "", context: str = "", timeout: float = 20):
        if kubernetes is None:
            raise ClusterError(MISSING)
        self.timeout = timeout
        try:
            self.client = kubernetes.config.new_client_from_config(kubeconfig or None, context or None)
        except Exception as error:  # a file of another kind raises whatever its parser raises
            raise ClusterError(
                f"the kubeconfig {kubeconfig or '(KUBECONFIG, else ~/.kube/config)'} cannot be used"
                f"{f' with context {context}' if context else ''}: {error}. Set consul_kubernetes_kubeconfig and"
                " consul_kubernetes_context"
            ) from None

    def get(self, path: str):
        """GET a path such as /version: the decoded JSON, None for what is not there.

        :raises ClusterError: another answer of 400 or more, or none
        """
        try:
            return self._ask("GET", path)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    def post(self, path: str, body: Mapping):
        """POST a JSON body. Returns and raises as `get`, but for what is not there."""
        return self._ask("POST", path, body)

    def connect(self, namespace: str, pod: str, port: int = CONSUL) -> socket.socket:
        """A connection to a port of a pod, by way of the cluster's API.

        :raises OSError: there is none
        """
        core = kubernetes.client.CoreV1Api(self.client)
        try:
            forward = kubernetes.stream.portforward(
                core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port), _request_timeout=self.timeout
            )
        except Exception as error:  # of the client's websocket
            raise OSError(f"pod {pod} of namespace {namespace}: {error}") from None
        # One end of a pair; the client's thread carries what is written to it. What the client wraps it in cannot do TLS.
        connection = socket.socket(fileno=forward.socket(port).detach())
        connection.settimeout(self.timeout)
        return connection

    def _ask(self, method: str, path: str, body=None):
        # Of the client's interfaces the one that is the same in its versions 24 to 37; it looks up no kinds.
        requests = kubernetes.dynamic.DynamicClient(self.client, discoverer=lambda *_: None)
        try:
            answer = requests.request(method, path, body=body, serialize=False, _request_timeout=self.timeout)
            return json.loads(answer.data)
        except kubernetes.dynamic.exceptions.DynamicApiError as error:
            raise ClusterError(f"{method} {path}: {error.status} {error.reason}", error.status) from None
        except Exception as error:  # of the client's HTTP library: no route, another CA, a proxy
            raise ClusterError(f"{method} {path}: {error}") from None


class PodApi(Api):
    """The HTTPS API of Consul in a pod. The pod proves itself by a certificate of the site's CA, for the name of a server, before
    it gets a token: neither the cluster's network nor its API is trusted with one.

    :param connect: gives a connection to the pod
    :param server: name that the certificate must have, server.<datacenter>.<domain>
    :param ca_pem: the site's CA as PEM
    """

    def __init__(self, connect: Callable[[], socket.socket], server: str, ca_pem: str, token: str = "", timeout: float = 10):
        super().__init__(token, timeout, f"https://{server}")
        self.connect = connect
        self.ca_pem = ca_pem

    def _opener(self) -> urllib.request.OpenerDirector:
        """As its parent's, with connections of this object."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), _Handler(self.connect, context))


class _Handler(urllib.request.HTTPSHandler):
    def __init__(self, connect: Callable[[], socket.socket], context: ssl.SSLContext):
        super().__init__(context=context)
        self.connection = functools.partial(_Connection, connect, context)

    def https_open(self, req):
        return self.do_open(self.connection, req)


class _Connection(http.client.HTTPSConnection):
    def __init__(self, connect: Callable[[], socket.socket], context: ssl.SSLContext, host: str, **options):
        super().__init__(host, context=context, **options)
        self.given, self.verifying = connect, context

    def connect(self) -> None:
        self.sock = self.verifying.wrap_socket(self.given(), server_hostname=self.host)
