"""The action and the lookup `secret`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleActionFail, AnsibleLookupError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.fewnodes.discovery.plugins.action.secret import ActionModule
from ansible_collections.fewnodes.discovery.plugins.lookup.secret import LookupModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.secrets import Secrets

ROOT = Path(__file__).parents[3]
PLAY = """
- hosts: all
  gather_facts: false
  connection: local
  vars:
    site: {site}
    discovery_secrets_dir: "{{{{ site }}}}/secrets"
  tasks:
    - fewnodes.discovery.secret: {{names: [gossip_key, tokens/a], generate: uuid}}
      register: created
    - ansible.builtin.debug:
        msg:
          created: "{{{{ created }}}}"
          read: "{{{{ query('fewnodes.discovery.secret', ['gossip_key', 'tokens/a'], default='none') }}}}"
"""


@pytest.fixture
def site(tmp_path):
    return tmp_path


def act(site, check_mode=False, variables=None, **arguments):
    variables = variables or {"inventory_dir": str(site)}
    loader = DataLoader()
    task = Mock(args=arguments, check_mode=check_mode, async_val=0, diff=False)
    action = ActionModule(
        task=task,
        connection=Mock(),
        play_context=SimpleNamespace(check_mode=check_mode, diff=False),
        loader=loader,
        templar=Templar(loader=loader, variables=variables),
        shared_loader_obj=Mock(),
    )
    action._load_name = "secret"
    return action.run(task_vars=variables)


def look(site, *names, check_mode=False, **options):
    loader = DataLoader()
    variables = {"inventory_dir": str(site), "ansible_check_mode": check_mode}
    lookup = LookupModule(loader=loader, templar=Templar(loader=loader, variables=variables))
    lookup._load_name = "fewnodes.discovery.secret"
    lookup._redirected_names = []
    unset = ("directory", "vault_password_file", "host", "missing", "default", "check_mode_default")
    options = dict.fromkeys(unset) | options
    lookup.set_options = lambda **_: None
    lookup.get_option = options.get
    return lookup.run(list(names))


def test_the_result_names_secrets_and_never_has_their_content(site):
    result = act(site, names=["ca.key"], value="top secret")
    assert (result["changed"], result["created"]) == (True, ["ca.key"])
    assert "top secret" not in json.dumps(result)
    assert look(site, "ca.key") == ["top secret"]


def test_a_second_run_changes_nothing(site):
    act(site, names=["ca.key"], value="first")
    result = act(site, names=["ca.key"], value="second")
    assert (result["changed"], result["created"]) == (False, [])
    assert look(site, "ca.key") == ["first"]


def test_check_mode_predicts_and_writes_nothing(site):
    result = act(site, check_mode=True, names=["ca.key"], value="x")
    assert (result["changed"], result["created"]) == (True, ["ca.key"])
    assert not (site / ".secrets").exists()


def test_a_missing_secret_is_refused_with_the_text_of_the_caller(site):
    with pytest.raises(AnsibleActionFail, match="run that first"):
        act(site, names=["management_token"], value="x", refuse="run that first")
    assert not (site / ".secrets").exists()


def test_check_mode_does_not_refuse_what_an_earlier_task_would_have_created(site):
    result = act(site, check_mode=True, names=["management_token"], refuse="run that first")
    assert (result["changed"], result["created"]) == (False, [])


def test_nothing_is_refused_when_nothing_is_missing(site):
    act(site, names=["management_token"], value="x")
    assert act(site, names=["management_token"], refuse="no")["changed"] is False


def test_the_next_value_takes_the_place_once(site):
    act(site, names=["gossip_key"], value="old")
    act(site, names=["gossip_key.next"], value="new")
    assert act(site, check_mode=True, names=["gossip_key"], state="replaced")["replaced"] == ["gossip_key"]
    assert look(site, "gossip_key") == ["old"]
    assert act(site, names=["gossip_key"], state="replaced")["replaced"] == ["gossip_key"]
    assert look(site, "gossip_key", "gossip_key.next", default="-") == ["new", "-"]
    assert act(site, names=["gossip_key"], state="replaced")["changed"] is False


def test_a_secret_is_removed(site):
    act(site, names=["ca.old.key"], value="x")
    assert act(site, check_mode=True, names=["ca.old.key"], state="absent")["removed"] == ["ca.old.key"]
    assert look(site, "ca.old.key") == ["x"]
    assert act(site, names=["ca.old.key"], state="absent")["removed"] == ["ca.old.key"]
    assert act(site, names=["ca.old.key"], state="absent")["changed"] is False


def test_the_directory_comes_from_the_site_s_variables(site):
    variables = {"inventory_dir": "/nowhere", "discovery_secrets_dir": str(site / "elsewhere")}
    act(site, variables=variables, names=["ca.key"], value="x")
    assert Secrets(str(site / "elsewhere")).read("ca.key") == "x"


def test_a_password_file_that_is_not_there_is_refused_by_name_also_in_check_mode(site):
    for check_mode in (True, False):
        with pytest.raises(AnsibleActionFail, match="discovery_vault_password_file is .*/no-such-file"):
            act(site, check_mode, names=["ca.key"], value="x", vault_password_file=f"{site}/no-such-file")
    assert not (site / ".secrets").exists()


def test_a_missing_secret_is_read_as_an_error_that_names_directory_and_file(site):
    with pytest.raises(AnsibleLookupError, match=f"{site}/.secrets has no tokens/ui: set discovery_secrets_dir"):
        look(site, "tokens/ui")
    with pytest.raises(AnsibleLookupError, match="^make it first$"):
        look(site, "tokens/ui", missing="make it first")
    assert look(site, "tokens/ui", default="") == [""]


def test_x1_a_secret_for_a_host_is_a_token_of_its_own(site):
    act(site, names=["management_token", "tokens/registrator-h1"], value="t")
    assert look(site, "tokens/registrator-h1", host="h1") == ["t"]
    for name, default in (("management_token", None), ("tokens/registrator-h2", "")):
        with pytest.raises(AnsibleLookupError, match=f"h1 is not given the secret {name}"):
            look(site, name, host="h1", default=default)


def test_check_mode_has_a_default_of_its_own(site):
    assert look(site, "tokens/ui", check_mode=True, check_mode_default="none") == ["none"]
    with pytest.raises(AnsibleLookupError, match="make it first"):
        look(site, "tokens/ui", check_mode_default="none", missing="make it first")
    with pytest.raises(AnsibleLookupError, match="has no tokens/ui"):
        look(site, "tokens/ui", check_mode=True)
    act(site, names=["tokens/ui"], value="t")
    assert look(site, "tokens/ui", check_mode=True, check_mode_default="none") == ["t"]


@pytest.mark.parametrize("check", [False, True], ids=["run", "check"])
def test_hosts_in_parallel_agree(site, check):
    """In a real run of ansible-playbook: templates in the site's variables, several forks, check mode."""
    play = site / "play.yml"
    play.write_text(PLAY.format(site=site))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "a,b,c,d", *(["--check"] if check else []), str(play)]
    settings = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(part[: part.index("\n}") + 2]) for part in done.stdout.split(" => ")[1:]]
    read = {tuple(one["msg"]["read"]) for one in found if "msg" in one}
    created = [one["msg"]["created"]["created"] for one in found if "msg" in one]
    assert len(created) == 4 and len(read) == 1
    if check:
        assert read == {("none", "none")} and not (site / "secrets").exists()
    else:
        assert sorted(sum(created, [])) == ["gossip_key", "tokens/a"], "each was created by one host"
