"""Filters of the role consul_kubernetes; each has its documentation beside it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ..plugin_utils import cluster_secrets, kubernetes_checks, kubernetes_dns, kubernetes_manifests


def _guarded(name, function):
    """A filter whose mistakes in its input are errors of Ansible."""

    def checked(*arguments, **options):
        try:
            return function(*arguments, **options)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = error if isinstance(error, ValueError) else repr(error)
            raise AnsibleFilterError(f"fewnodes.discovery.{name}: {what}") from error

    return checked


class FilterModule:
    def filters(self):
        found = {
            "kubernetes_certificate_names": kubernetes_manifests.certificate_names,
            "kubernetes_cluster_problems": kubernetes_checks.cluster_problems,
            "kubernetes_corefile": kubernetes_dns.with_consul,
            "kubernetes_manifests": kubernetes_manifests.manifests,
            "kubernetes_namespace": kubernetes_manifests.namespace,
            "kubernetes_pods": kubernetes_manifests.pods,
            "kubernetes_rights": kubernetes_checks.needed_rights,
            "kubernetes_secret": kubernetes_manifests.secret,
            "kubernetes_secrets_problems": cluster_secrets.cluster_secrets_problems,
            "kubernetes_settings_problems": kubernetes_checks.settings_problems,
            "kubernetes_token_files": kubernetes_manifests.token_files,
        }
        return {name: _guarded(name, function) for name, function in found.items()}
