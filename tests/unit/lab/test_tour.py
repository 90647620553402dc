"""The text at the end of `make demo`: its commands work on a fresh machine, and name the site's own addresses."""

import json
import re
import subprocess

from lab import tour as module

LISTED = {
    "_meta": {
        "hostvars": {
            "a": {"ansible_host": "192.0.2.1", "discovery_domain": "site.example"},
            "b": {"ansible_host": "192.0.2.2", "discovery_domain": "site.example"},
        }
    },
    "consul_servers": {"hosts": ["a"]},
    "docker_hosts": {"hosts": ["a", "b"]},
    "load_balancers": {"hosts": ["b"]},
}


def test_commands_need_nothing_that_a_fresh_machine_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "run", lambda *_: json.dumps(LISTED))
    text = module.tour(tmp_path)
    first = re.findall(r"^  (?:virtual hosts|tcp service|names|every node|then) +(.+?)(?:, and .*)?$", text, re.MULTILINE)
    assert len(first) == 5
    for command in first:
        assert command.split()[0] in ("exec", ".venv/bin/ansible"), command
        assert subprocess.run(["bash", "-n", "-c", command], check=False).returncode == 0, command
    assert "/dev/tcp/192.0.2.2/9999" in text and "tcp://192.0.2.1:2376" in text and "ansible -i" in text
    assert r"HTTP/1.0\r\nHost: httpfront.site.example\r\n" in text
