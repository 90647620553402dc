"""Action site_facts: the module of this name, and the controller's clock around it."""

from __future__ import annotations

import time

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """A host's own word about the time is compared with the controller's, which no answer replaces."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        asked = time.time()
        result |= self._execute_module(task_vars=task_vars)
        return result | {"asked": asked, "answered": time.time()}
