"""Action host_facts; its documentation is that of the module of this name."""

from __future__ import annotations

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..plugin_utils.controller import present_controller_problems, tag_problems
from ..plugin_utils.host_facts import REPORT, host_facts
from ..plugin_utils.variables import literal_problems, variable_problems


class ActionModule(ActionBase):
    """One command on the host, without a module."""

    _VALID_ARGS = frozenset({"packages_lock_timeout"})
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        # This is the first that the roles ask a host for, so every role stops here.
        problems = present_controller_problems() + _problems_of_variables(task_vars or {})
        if problems:
            raise AnsibleActionFail("; ".join(problems))
        for problem in tag_problems(context.CLIARGS.get("tags", ["all"]), self._task.tags):
            Display().warning(problem)
        answer = self._low_level_execute_command(REPORT)
        found = host_facts(answer["stdout"])
        if not found["users"]:
            raise AnsibleActionFail(f"host_facts: the host's answer names no user; {answer['stderr']}")
        given = {name: int(value) for name, value in self._task.args.items()}
        return result | {"changed": False} | given | found


def _problems_of_variables(task_vars) -> list[str]:
    """Of inventory and command line, and of a play that calls a role by itself; each once."""
    host, hostvars = task_vars.get("inventory_hostname"), task_vars.get("hostvars")
    found = variable_problems([host], hostvars) if hostvars is not None and host in hostvars else []
    return list(dict.fromkeys([*found, *literal_problems(host, task_vars)]))
