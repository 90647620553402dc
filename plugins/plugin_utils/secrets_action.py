"""What actions on the secrets of the site have in common."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from .secrets import SecretError, Secrets, site_secrets

PLACES = {"directory": {"type": "path"}, "vault_password_file": {"type": "path"}}


class SecretsAction(ActionBase):
    """Works on the controller, whichever host the task is for: secrets and keys stay in this process.

    :cvar arguments: those of the action, beside PLACES, as an argument spec
    """

    arguments: Mapping[str, dict]

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        given = self.validate_argument_spec({**self.arguments, **PLACES})[1]
        try:
            places = given["directory"], given["vault_password_file"]
            secrets = site_secrets(task_vars or {}, self._templar.template, self._loader, *places)
            return result | self.act(secrets, given, task_vars or {})
        except SecretError as error:
            raise AnsibleActionFail(str(error)) from None
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or given['directory']}: {error.strerror}") from None

    def act(self, secrets: Secrets, given: dict, variables: Mapping) -> dict:
        """Do what the task asks for.

        :param given: arguments of the task, those that it lacks as None or their default
        :param variables: of the host
        :returns: changed and the rest of the result
        :raises SecretError: becomes the task's message
        """
        raise NotImplementedError
