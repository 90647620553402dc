"""Action running_units; its documentation is that of the module of this name."""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ..plugin_utils.running_units import all_run, look

# What ansible.builtin.systemd_service says of a unit that does not exist.
MISSING = "Could not find the requested service"


class ActionModule(ActionBase):
    """One command on the host, and the module for each unit only where one of them does not run."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        _unused, given = self.validate_argument_spec(
            {"units": {"type": "list", "elements": "str", "required": True}, "restarted": {"type": "bool", "default": False}}
        )
        units, restarted = given["units"], given["restarted"]
        if not restarted:
            answer = self._low_level_execute_command(look(units))
            if all_run(units, answer["rc"], answer["stdout"]):
                return result | {"changed": False, "units": []}
        changed: list[str] = []
        for unit in units:
            done = self._started(unit, restarted, task_vars)
            if done.get("failed") and not (self._task.check_mode and MISSING in str(done.get("msg"))):
                return result | done | {"changed": bool(changed), "units": changed, "msg": f"{unit}: {done.get('msg')}"}
            if done.get("changed"):
                changed.append(unit)
        return result | {"changed": bool(changed), "units": changed}

    def _started(self, unit: str, restarted: bool, task_vars) -> dict:
        state = {"state": "restarted", "daemon_reload": True} if restarted else {"state": "started"}
        arguments = {"name": unit, "enabled": True, **state}
        return self._execute_module(module_name="ansible.builtin.systemd_service", module_args=arguments, task_vars=task_vars)
