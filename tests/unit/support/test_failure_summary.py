"""What tests/scenarios prints at the end of a scenario that failed. The logs have the form and colours of ansible-core 2.19."""

from pathlib import Path

import pytest
from tests.support.failure_summary import LIMIT, failed_task, failed_tests, summary

LOGS = Path(__file__).parent / "scenario_logs"
RECAP = "PLAY RECAP ***\na                          : ok=1    changed=0    unreachable=0    failed={}    skipped=0\n"


def of(name: str) -> list[str]:
    return summary((LOGS / f"{name}.txt").read_text())


def test_the_task_that_failed_its_error_and_what_its_program_wrote():
    lines = of("create")
    assert lines[0] == "TASK [Create the nodes]"
    assert lines[1] == "[ERROR]: Task failed: Module failed: non-zero return code"
    assert "Origin: molecule/shared/create.yml:11:7" in lines and "fatal: [localhost]: FAILED! => " in lines
    assert "    stderr: 'lab: SSH on consul-1 (10.129.1.129) did not come up within 60 s'" in lines
    assert "    msg: non-zero return code" in lines and lines[-1] == "        line 25"
    assert len(lines) <= LIMIT


def test_what_a_play_ignored_or_what_says_nothing_is_left_out():
    text = "\n".join(of("create"))
    left_out = ("Tolerated", "'false'", "delta", "stdout_lines", "changed: true", "Remove the nodes")
    assert not any(word in text for word in left_out)


def test_each_test_that_failed_with_the_task_of_its_playbook():
    assert of("pytest") == [
        "FAILED ../default/tests/test_l2_sync.py::test_l2_damaged_catalog - AssertionError: assert False",
        "   +  where False = says(Node(name='consul-1', address='10.129.1.129'), 'catalog.json is not JSON')",
        "FAILED ../default/tests/test_rerun.py::test_h13_rerun - AssertionError: er | Install the packages] ***",
        "  TASK [consul : service | Wait until the agent answers]",
        "  [ERROR]: Task failed: Module failed: non-zero return code",
        "  Origin: roles/consul/tasks/service.yml:32:3",
        "  fatal: [consul-1]: FAILED! =>",
        "      attempts: 2",
        "      msg: the agent does not answer",
        "  failed: [consul-2] (item=dns) =>",
        "      msg: the names of consul-2 do not resolve",
    ]


def test_the_rest_is_what_molecule_says():
    assert of("neither") == ["CRITICAL Failed to validate molecule/three_nodes/molecule.yml"]
    assert summary("") == [] and summary("a line\n") == []


def test_a_playbook_that_ended_well_has_no_failure():
    task = "TASK [one] ***\nfatal: [a]: FAILED! =>\n    msg: rescued\n\n"
    assert failed_task(task + RECAP.format(0)) == []
    assert failed_task(task + RECAP.format(1)) == ["TASK [one]", "fatal: [a]: FAILED! =>", "    msg: rescued"]
    assert failed_task(task) != []  # it was ended


def test_a_later_play_that_ended_well_hides_nothing():
    failed = "TASK [one] ***\nfatal: [a]: UNREACHABLE! =>\n    msg: no route\n\n" + RECAP.format(1)
    well = "TASK [two] ***\nchanged: [a]\n\n" + RECAP.format(0) + "INFO     x ➜ destroy: Executed: Successful\n"
    assert failed_task(failed + well)[0] == "TASK [one]"


def test_an_error_before_the_first_task_is_shown():
    error = ["[ERROR]: the role 'nowhere' was not found", "Origin: site.yml:3:7"]
    assert failed_task("\n".join(["INFO     x ➜ converge: Executing", *error, "CRITICAL Ansible return code was 4"])) == error


def test_a_long_value_keeps_its_beginning_and_its_end():
    value = [f"        line {number}" for number in range(1, 101)]
    lines = failed_task("\n".join(["TASK [one] ***", "fatal: [a]: FAILED! =>", "    msg: no", "    stderr: |-", *value]))
    assert lines[3:5] == ["    stderr: |-", value[0]] and lines[-1] == value[-1] and len(lines) < LIMIT


@pytest.mark.parametrize("count", [1, 3, 100])
def test_many_failures_are_counted(count):
    tests = "".join(f"FAILED tests/test_a.py::test_{number} - no\n" + " +  where\n" * 100 for number in range(count))
    lines = failed_tests(f"=== short test summary info ===\n{tests}=== {count} failed in 1.00s ===\n")
    assert len(lines) <= LIMIT and lines[0] == "FAILED tests/test_a.py::test_0 - no"
    assert count < 100 or lines[-1].endswith("more lines")


def test_what_a_test_prints_is_no_failure():
    assert failed_tests("FAILED tests/test_a.py::test_b - printed by a test\n=== 1 passed in 1.00s ===\n") == []


def test_a_long_line_is_cut():
    assert summary("CRITICAL " + "x" * 1000)[0].endswith("x …")
