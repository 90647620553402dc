"""D6: a user's own templates. A key changes, and the file follows; a broken one is refused or fails alone."""

import json
import time
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.consul import Consul
from tests.support.playbook import assert_unchanged, play
from tests.support.wait import eventually

FOLLOWED = 1.0  # seconds from the write of a key to the file and the end of its command
AGAIN = 20.0  # seconds until a unit that has failed runs again: it starts every 2 s
ASKED = "systemd-tmpfiles-clean.service"  # what a command of root has systemd start
COMMAND = f"systemctl start {ASKED}"
OTHERS = ("discovery-balancer", "consul-template")


@dataclass
class Templates:
    """Two templates of the host, and the ways to change them."""

    site: object
    node: object
    folder: Path
    secret: Path = field(init=False)

    def __post_init__(self):
        self.secret = self.site.secrets / "tokens" / f"templates-{self.node.name}"

    def write(self, name: str, text: str) -> None:
        (self.folder / f"{name}.ctmpl").write_text(text)

    def key(self, name: str, value: str) -> float:
        """Write a key; the time before."""
        before = time.time()
        self.site.consul().send("PUT", f"/v1/kv/config/d6/{name}", value.encode())
        return before

    def run(self, *playbooks: str, listed: bool = True):
        """Run playbooks with the templates in the inventory, or without them; the last one's end."""
        note = {"name": "d6-note", "destination": "/srv/d6/d6-note", "mode": "0640", "command": "date +%s.%N >> /srv/d6/ran #"}
        port = {"name": "d6-json", "destination": "/srv/d6-root/d6-json", "user": "root", "command": COMMAND}
        listing = [one | {"source": str(self.folder / f"{one['name']}.ctmpl")} for one in (note, port)]
        given = ["-e", json.dumps({"consul_template_templates": listing})] if listed else []
        for playbook in playbooks:
            done, _ = play(self.site, f"playbooks/{playbook}.yml", *given)
        return done

    def states(self) -> dict:
        """Which processes run: nothing else may restart."""
        return {unit: self.node.unit(unit, "ActiveState", "MainPID") for unit in (*OTHERS, "discovery-template-d6-note")}

    def note(self) -> str:
        return self.node.run("cat /srv/d6/d6-note").strip()

    def follows(self, value: str, seconds: float) -> None:
        self.key("note", value)
        eventually(lambda: self.note() == value, seconds)


@pytest.fixture(scope="module")
def templates(site, tmp_path_factory):
    node = site.servers[0]
    made = Templates(site, node, tmp_path_factory.mktemp("templates"))
    made.write("d6-note", '{{ key "config/d6/note" }}\n')
    made.write("d6-json", '{{ with key "config/d6/json" | parseJSON }}{{ .port }}{{ end }}\n')
    made.key("note", "zero")
    made.key("json", '{"port": 1}')
    done = made.run("consul", "templates")
    assert done.returncode == 0, done.stdout[-4000:]
    yield made
    if made.secret.exists():
        made.run("consul", "templates", listed=False)
    node.run("rm -rf /srv/d6 /srv/d6-root")
    site.consul().send("DELETE", "/v1/kv/config/d6/?recurse")


def test_d6_a_key_changes_and_the_file_follows(templates, show):
    """The file is there with its mode and owner, and its command has ended."""
    node, took = templates.node, []
    for value in ("one", "two", "three"):
        before = templates.key("note", value)
        eventually(lambda value=value: templates.note() == value, FOLLOWED + 4)
        eventually(lambda before=before: float(node.run("tail -n 1 /srv/d6/ran")) > before, FOLLOWED + 4)
        written, ran = float(node.run("stat -c %.9Y /srv/d6/d6-note")), float(node.run("tail -n 1 /srv/d6/ran"))
        took.append((written - before, ran - before))
    show("; ".join(f"file {1000 * file:.0f} ms, command {1000 * command:.0f} ms" for file, command in took))
    assert max(max(pair) for pair in took) <= FOLLOWED
    assert node.run("stat -c '%a %U' /srv/d6/d6-note").split() == ["640", "consul-template"]
    assert node.run("stat -c '%a %U' /srv/d6-root/d6-json").split() == ["644", "root"]


def test_d6_a_command_of_root_asks_systemd(templates):
    (before,) = templates.node.unit(ASKED, "ExecMainStartTimestampMonotonic")
    templates.key("json", '{"port": 2}')
    eventually(lambda: templates.node.unit(ASKED, "ExecMainStartTimestampMonotonic") != [before], 10)


def test_d6_a_second_run_changes_nothing(templates):
    assert_unchanged(templates.run("templates"))


def test_d6_the_token_reads_its_keys_and_no_other(templates, site):
    own = Consul(templates.node.address, site.ca, templates.secret.read_text().strip())
    assert own.get("/v1/kv/config/d6/note")
    for path in ("/v1/kv/discovery/owners/balancers", "/v1/acl/tokens"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            own.get(path)
        assert refused.value.code == 403, path
    assert templates.node.run("stat -c '%a %U' /etc/discovery-templates/token").split() == ["600", "root"]


def test_d6_a_broken_template_is_refused(templates):
    """The one before goes on, and so does everything else."""
    before = templates.states()
    templates.write("d6-note", '{{ key "config/d6/note" \n')
    try:
        done = templates.run("templates")
    finally:
        templates.write("d6-note", '{{ key "config/d6/note" }}\n')
    assert done.returncode == 2 and "its new version is refused" in done.stdout, done.stdout[-3000:]
    assert templates.states() == before
    templates.follows("four", 5)


def test_d6_a_template_that_fails_fails_alone(templates, site, show):
    """status.yml names it; a good value of the key repairs it."""
    before = templates.states()
    templates.key("json", "no JSON")
    eventually(lambda: templates.node.unit("discovery-template-d6-json", "ActiveState") != ["active"], 10)
    done, _ = play(site, "playbooks/status.yml")
    named = [line for line in done.stdout.splitlines() if "the template d6-json" in line]
    assert done.returncode == 0 and named, done.stdout[-3000:]
    show(named[0].strip())
    assert templates.states() == before
    templates.follows("five", 5)
    templates.key("json", '{"port": 3}')
    eventually(lambda: templates.node.run("cat /srv/d6-root/d6-json").strip() == "3", AGAIN)


def test_d6_removal_leaves_nothing(templates, site):
    """Unit, token and sources go; the balancer's program and the written file stay."""
    before = {unit: state for unit, state in templates.states().items() if unit in OTHERS}
    done = templates.run("consul", "templates", listed=False)
    assert done.returncode == 0, done.stdout[-4000:]
    left = "ls -d /etc/systemd/system/discovery-template-* /etc/discovery-templates /run/discovery-template-*"
    assert templates.node.tries(left).stdout == ""
    assert not templates.secret.exists()
    tokens = {token["Description"] for token in site.consul().get("/v1/acl/tokens")}
    policies = {policy["Name"] for policy in site.consul().get("/v1/acl/policies")}
    assert f"templates on {templates.node.name}" not in tokens and f"templates-{templates.node.name}" not in policies
    assert {unit: state for unit, state in templates.states().items() if unit in OTHERS} == before
    assert templates.note() == "five"
    assert_unchanged(templates.run("templates", listed=False))
