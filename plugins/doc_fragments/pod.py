from __future__ import annotations


class ModuleDocFragment:
    """Option of plugins that ask Consul in a pod."""

    DOCUMENTATION = r"""
options:
  pod:
    description: Consul in a pod of a Kubernetes cluster, asked by way of the cluster's API instead of the agent of the host.
    type: dict
    suboptions:
      kubeconfig: {description: File with the access to the cluster; empty for the user's own., type: str, default: ""}
      context: {description: Context of the file; empty for its current one., type: str, default: ""}
      namespace: {description: Namespace of the pod., type: str, required: true}
      name: {description: Name of the pod., type: str, required: true}
      server: {description: Name that Consul's certificate must have., type: str, required: true}
      ca: {description: The site's CA that must have signed it as PEM., type: str, required: true}
"""
