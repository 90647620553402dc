"""Units that run cost one command; a module runs for each where one does not, in the order given."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible_collections.fewnodes.discovery.plugins.action.running_units import MISSING, ActionModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.running_units import all_run, look

UNITS = ["a.service", "b.timer"]
RUNS = "UnitFileState=enabled\nActiveState=active\n"  # systemd has an order of its own


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (f"{RUNS}\n{RUNS}", True),
        (RUNS, False),
        ("", False),
        (f"{RUNS}\nUnitFileState=disabled\nActiveState=active\n", False),
        (f"{RUNS}\nUnitFileState=\nActiveState=inactive\n", False),
        (f"{RUNS}\nUnitFileState=enabled-runtime\nActiveState=active\n", False),
        (f"{RUNS}\nUnitFileState=enabled\nActiveState=activating\n", False),
        (f"{RUNS}\nUnitFileState=enabled\nActiveState=failed\n", False),
    ],
)
def test_only_what_is_enabled_and_active_runs(answer, expected):
    assert all_run(UNITS, 0, answer) is expected
    assert not all_run(UNITS, 1, answer)


def test_a_terminal_changes_nothing():
    assert all_run(UNITS, 0, f"{RUNS}\n{RUNS}".replace("\n", "\r\n"))
    assert "--no-pager" in look(UNITS)


def test_a_name_is_one_word_of_the_command():
    assert look(["a b.service"]).endswith("-- 'a b.service'")


def action(answer, *results, check_mode=False, **arguments):
    made = ActionModule(
        task=Mock(args={"units": UNITS, **arguments}, async_val=0, check_mode=check_mode, diff=False), connection=Mock(),
        play_context=SimpleNamespace(check_mode=check_mode, diff=False), loader=Mock(), templar=Mock(), shared_loader_obj=Mock(),
    )  # fmt: skip
    made._low_level_execute_command = Mock(return_value={"rc": 0, "stdout": answer, "stderr": ""})
    made._execute_module = Mock(side_effect=results)
    return made


def given(made) -> list[dict]:
    return [call.kwargs["module_args"] for call in made._execute_module.call_args_list]


def test_units_that_run_need_no_module():
    made = action(f"{RUNS}\n{RUNS}")
    assert made.run(task_vars={})["changed"] is False
    assert given(made) == []


def test_each_is_started_where_one_does_not_run():
    made = action(RUNS, {"changed": False}, {"changed": True})
    assert {"changed": True, "units": ["b.timer"]}.items() <= made.run(task_vars={}).items()
    assert given(made) == [{"name": unit, "enabled": True, "state": "started"} for unit in UNITS]


def test_changed_files_restart_them_whatever_runs():
    made = action(f"{RUNS}\n{RUNS}", {"changed": True}, {"changed": True}, restarted=True)
    assert made.run(task_vars={})["units"] == UNITS
    assert given(made) == [{"name": unit, "enabled": True, "state": "restarted", "daemon_reload": True} for unit in UNITS]


def test_the_first_that_fails_ends_it():
    made = action(RUNS, {"failed": True, "msg": "why"}, {"changed": True})
    result = made.run(task_vars={})
    assert result["failed"] and result["msg"] == "a.service: why" and len(given(made)) == 1


@pytest.mark.parametrize(("check_mode", "failed"), [(True, False), (False, True)])
def test_check_mode_passes_over_what_is_not_installed_yet(check_mode, failed):
    missing = {"failed": True, "msg": f"{MISSING} a.service: host"}
    made = action("", missing, missing, check_mode=check_mode)
    assert bool(made.run(task_vars={}).get("failed")) is failed
