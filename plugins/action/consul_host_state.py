"""Action consul_host_state; its documentation is that of the module of this name."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..plugin_utils.consul_host_checks import REPORT, state

# A slow answer makes the clock uncertain: it is read again while it is uncertain by more than this many seconds.
GOOD_ENOUGH = 0.5
ATTEMPTS = 3


class ActionModule(ActionBase):
    """One command on the host, without a module."""

    _VALID_ARGS = frozenset()
    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        states = []
        for _unused in range(ATTEMPTS):
            states.append(self._state())
            if states[-1]["clock_uncertainty"] <= GOOD_ENOUGH:
                break
        best = min(states, key=lambda found: found["clock_uncertainty"])
        return result | {"changed": False, "state": best}

    def _state(self) -> dict:
        asked = time.time()
        answer = self._low_level_execute_command(REPORT)
        answered = time.time()
        try:
            return state(answer["stdout"], asked, answered)
        except ValueError as error:
            raise AnsibleActionFail(f"consul_host_state: {error}; {answer['stderr']}") from error
