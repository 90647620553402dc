"""W32: what the README tells people to try on the demo, run as written, with nothing but a fresh machine's bash."""

import os
import re
import subprocess

import pytest
from tests.support.clients import FRONT_BODY
from tests.support.playbook import play
from tests.support.readme_commands import DEMO, FIVE_MINUTES, README, ROOT, RUN_BY, blocks

ASSIGNED = "I=inventories/hospital; B="


def the_five_minutes(site) -> list[str]:
    """The lines for this site: README and demo name inventory and first address, the lab's copy has others."""
    lines = [line for line in blocks(README.read_text())[DEMO] if RUN_BY[line] == FIVE_MINUTES]
    assert lines[0].startswith(ASSIGNED)
    return [f"I={site.inventory}; B={site.balancers[0].address}", *lines[1:]]


def test_w32_the_five_minutes_on_the_demo(site, settled, show):
    """But for the last line, site.yml, which the test of the second run has. Then the site has its samples again."""
    if site.network or site.domain != "hospital.example" or not {"consul-1", "consul-3"} <= set(site.nodes):
        pytest.skip("the README is about the inventory hospital")
    lines = the_five_minutes(site)
    script = "\n".join(f"printf '\\n=== {number}\\n'\n{line}" for number, line in enumerate(lines))
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
    command = ["/bin/bash", "-e", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        play(site, "playbooks/sample_services.yml")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    # By first and last word; of the two requests the second one, after an instance has gone.
    printed = zip(lines, re.split(r"^=== \d+\n", done.stdout, flags=re.MULTILINE)[1:], strict=True)
    shown = {f"{line.split()[0]} {line.split()[-1]}": text for line, text in printed}
    page = shown["get httpfront.hospital.example"]
    assert re.match(r"HTTP/1\.[01] 200 ", page) and FRONT_BODY in page, page
    assert re.search(r"^\[v1\.0\.0\].+ \[hello\]$", shown["exec <&4"], re.MULTILINE), shown
    assert "consul-3 | CHANGED | rc=0" in shown[".venv/bin/ansible httpfront'"], shown
    status = shown[".venv/bin/ansible status'"]
    assert "consul-1 | CHANGED | rc=0" in status and "http: httpfront (" in status, status
    recap = shown[".venv/bin/ansible-playbook $I"]
    assert re.search(r"^consul-3 +: ok=\d+ +changed=1 .* failed=0 ", recap, re.MULTILINE), recap
    show(f"{len(lines)} lines of the README")
