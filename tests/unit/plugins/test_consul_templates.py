"""A user's own templates: what is refused before a host changes, and what a unit runs with."""

import grp
import json
import os
import pwd
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.fewnodes.discovery.plugins.modules import consul_template as module
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.consul_templates import (
    PLATFORM,
    destination_advice,
    template_config,
    template_problems,
)
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
ME = pwd.getpwuid(os.getuid())


@pytest.fixture
def template(tmp_path):
    (tmp_path / "shop.ctmpl").write_text('{{ key "config/shop" }}\n')
    return {"name": "shop", "source": str(tmp_path / "shop.ctmpl"), "destination": "/etc/shop/settings.json"}


def problems(*templates, prefixes=("config/",), users=("root", "app")):
    return template_problems("a", templates, prefixes, users)


def test_d6_a_good_template_has_no_problem(template):
    assert problems(template) == []
    assert problems(template | {"mode": "0640", "command": "systemctl reload shop", "user": "root"}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "Shop"}, "consul_template_templates[0].name is 'Shop' on a: set it to at most 40"),
        ({"name": "shop.service"}, "name"),
        ({"name": "a" * 41}, "name"),
        ({"source": "/no/such/file"}, "source is '/no/such/file' on a: the controller has no such file"),
        ({"destination": "settings.json"}, "destination is 'settings.json' on a: set the absolute path"),
        ({"destination": "/etc/shop/../consul.d/x"}, "destination"),
        ({"destination": "/etc/shop/a b"}, "destination"),
        ({"destination": "/etc/shop/%i"}, "destination"),
        ({"destination": "/etc/consul.d/more.json"}, "/etc/consul.d is the platform's"),
        ({"destination": "/etc/nginx/discovery/http.conf"}, "/etc/nginx is the platform's"),
        ({"destination": "/etc/motd"}, "is the platform's or the system's; use a directory beside it"),
        ({"destination": "/home/app/settings"}, "the sandbox of the unit hides /home"),
        ({"destination": "/run/shop/settings"}, "a boot empties it"),
        ({"mode": 0o644}, "mode is 420 on a: put it between quotes"),
        ({"mode": "rw-"}, "mode is 'rw-' on a: set it to octal digits"),
        ({"mode": "4755"}, "mode"),
        ({"command": "a\nb"}, "command"),
        ({"user": "nobody-here"}, "user is 'nobody-here' on a: the host has no such user"),
    ],
)
def test_d6_a_mistake_is_named(template, change, expected):
    found = problems(template | change)
    assert len(found) == 1 and expected in found[0], found


def test_d6_names_and_destinations_stand_once(template):
    assert problems(template, template | {"destination": "/etc/shop/other"}) == [
        "consul_template_templates has name 'shop' more than once on a: give each template its own"
    ]
    assert "destination" in problems(template, template | {"name": "other"})[0]


@pytest.mark.parametrize("prefix", ["", "/config/", "a b", 'x" { policy = "write" } key_prefix "'])
def test_d6_a_prefix_of_keys_is_no_rule(template, prefix):
    assert len(problems(template, prefixes=[prefix])) == 1


def test_d6_no_directory_of_the_architecture_is_a_destination():
    """Every directory that docs/architecture.md gives to a role."""
    text = (ROOT / "docs/architecture.md").read_text().partition("## Files on the hosts")[2].partition("\n## ")[0]
    first = [line.split("|")[1].split("`")[1].partition("{")[0] for line in text.splitlines() if line.startswith("| `/")]
    folders = [path.rpartition("/")[0] for path in first]
    folders = [path for path in folders if path.count("/") > 1 or path.startswith("/run")]
    assert "/etc/consul.d" in folders and len(folders) > 9
    assert [path for path in folders if not destination_advice(f"{path}/file")] == []
    assert all(destination_advice(f"{path}/file") for path in PLATFORM)


def test_d6_the_command_comes_after_the_destination_and_marks_its_end():
    """Both are rendered from one source: consul-template renders equal ones together, in their order."""
    given = {"name": "shop", "destination": "/etc/shop/a", "command": "reload # now", "mode": "0600"}
    config = json.loads(template_config(given, "127.0.0.1:8501", "5s"))
    file, marker = config["template"]
    assert (file["source"], file["destination"], file["perms"]) == (marker["source"], "/etc/shop/a", "0600")
    assert "command" not in file and marker["command"][2] == "( reload # now\n) && : > /run/discovery-template-shop/done"
    assert config["consul"]["token_file"] == "/run/discovery-template-shop/token" and config["consul"]["ssl"]["verify"]
    assert "token" not in config["consul"]


def test_d6_keys_default_to_the_same_in_role_and_playbooks():
    role = parse_yaml((ROOT / "roles/consul_template/defaults/main.yml").read_text())["consul_template_keys"]
    assert f"map('default', {role!r})" in parse_yaml((ROOT / "playbooks/vars/consul.yml").read_text())["consul_template_readers"]


# --- the module


class Ended(Exception):
    """The end of a module that fails."""


class Host:
    """systemctl, and what a module tells."""

    check_mode = False

    def __init__(self, **state):
        empty = {"ActiveState": "inactive", "NRestarts": "0", "MainPID": "1", "UnitFileState": "", "NeedDaemonReload": "no"}
        self.state = empty | state
        self.calls, self.warnings = [], []

    def run_command(self, command, check_rc=False):
        if command[1] == "show":
            return 0, "".join(f"{name}={self.state[name]}\n" for name in command[2].partition("=")[2].split(",")), ""
        self.calls.append(" ".join(command[1:]))
        if command[1] == "restart":
            self.started(command[2].removesuffix(".service"))
        return 0, "", ""

    def started(self, unit):
        self.state |= {"ActiveState": "active", "UnitFileState": "enabled"}
        run = Path(module.RUN, unit)
        run.mkdir(exist_ok=True)
        for copy, file in module.copies_of(unit.removeprefix(module.PREFIX)).items():
            Path(copy).write_text(Path(file).read_text())
        (run / "ca.pem").write_text(Path(module.CA).read_text())
        (run / "done").touch()

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Directories of a host, and a consul-template that accepts what does not say broken, and waits for what says waits."""
    for name, folder in {"FILES": "etc", "UNITS": "units", "RUN": "run"}.items():
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(module, name, str(tmp_path / folder))
    for name, file in {"TOKEN": "etc/token", "CA": "etc/ca.pem"}.items():
        (tmp_path / file).write_text(certificate("one"))
        monkeypatch.setattr(module, name, str(tmp_path / file))
    monkeypatch.setattr(module, "write", lambda path, content, mode=0o644, owner=(): Path(path).write_bytes(content))
    monkeypatch.setattr(module.os, "chown", lambda *_: None)
    monkeypatch.setattr(module.os, "readlink", lambda path: str(tmp_path / "program"))
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\nfolder=$(dirname \"${1#-config=}\"); grep -q '\"'$folder'/token' ${1#-config=} || exit 9\n"
        "grep -q broken $folder/template.ctmpl && { echo \"x [ERR] (cli) $folder/template.ctmpl: parse: bad\" >&2; exit 14; }\n"
        "grep -q waits $folder/template.ctmpl && exec sleep 60\necho the secret content\n"
    )
    program.chmod(0o755)
    return tmp_path


def certificate(text):
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"


def options(host, **changes):
    config = template_config({"name": "shop", "destination": "/etc/shop/a"}, "127.0.0.1:8501", "5s")
    return {
        "name": "shop", "source": "one\n", "config": config.replace("/run/", f"{host}/run/"), "unit": "[Service]\n",
        "destination": str(host / "shop/a"), "user": ME.pw_name, "program": str(host / "program"), "wait": 60,
    } | changes  # fmt: skip


def test_d6_a_template_is_tried_written_and_started_once(host):
    systemd = Host()
    assert module.present(systemd, options(host)) == ["shop"]
    assert systemd.calls[0] == "daemon-reload" and "restart discovery-template-shop.service" in systemd.calls
    assert (host / "shop").is_dir() and (host / "etc/shop.ctmpl").read_text() == "one\n"
    systemd.calls.clear()
    assert module.present(systemd, options(host)) == [] and systemd.calls == [] and systemd.warnings == []


def test_d6_a_broken_source_is_refused_and_the_one_before_goes_on(host):
    systemd = Host()
    module.present(systemd, options(host))
    systemd.calls.clear()
    with pytest.raises(module.Refused, match="nothing of it was changed: template.ctmpl: parse: bad"):
        module.present(systemd, options(host, source="broken\n"))
    assert (host / "etc/shop.ctmpl").read_text() == "one\n" and systemd.calls == []


def test_d6_a_source_that_waits_is_accepted_with_a_warning(host):
    systemd = Host()
    assert module.present(systemd, options(host, source="waits\n", wait=0.3)) == ["shop"]
    assert systemd.warnings == ["the file or the command of the template shop waits: a key or a service is not there yet"]


def test_d6_a_unit_that_fails_is_an_error(host):
    systemd = Host()
    systemd.started = lambda unit: systemd.state.update(ActiveState="activating")
    with pytest.raises(module.Refused, match="it fails, alone"):
        module.present(systemd, options(host))


@pytest.mark.parametrize("file", ["etc/token", "etc/shop.ctmpl", "etc/shop.json"])
def test_d6_a_unit_that_was_started_with_another_file_is_restarted(host, file):
    systemd = Host()
    module.present(systemd, options(host))
    assert module.restarted(systemd, str(host / "program")) == []
    (host / file).write_text("another")
    assert module.restarted(systemd, str(host / "program")) == ["shop"]


def test_d6_another_program_restarts_a_unit(host, tmp_path):
    systemd = Host()
    module.present(systemd, options(host))
    assert module.runs_with_other("shop", "1", str(tmp_path / "newer"))


def test_d6_a_new_ca_restarts_and_one_that_has_gone_does_not(host):
    systemd = Host()
    module.present(systemd, options(host))
    (host / "etc/ca.pem").write_text(certificate("one") + certificate("two"))
    assert module.restarted(systemd, str(host / "program")) == ["shop"]
    (host / "etc/ca.pem").write_text(certificate("two"))
    assert module.restarted(systemd, str(host / "program")) == []


def test_d6_what_is_not_listed_goes(host):
    systemd = Host()
    module.present(systemd, options(host))
    (host / "etc/half.json").write_text("{}")  # of an interrupted run
    assert module.absent(systemd, ["shop"]) == ["half"]
    assert module.absent(systemd, []) == ["shop"]
    assert sorted(path.name for path in (host / "etc").iterdir()) == ["ca.pem", "token"]
    assert list((host / "units").iterdir()) == [] and "disable --now discovery-template-shop.service" in systemd.calls


def test_d6_check_mode_changes_nothing(host):
    systemd = Host()
    systemd.check_mode = True
    assert module.present(systemd, options(host)) == ["shop"] and systemd.calls == []
    assert not (host / "shop").exists() and not (host / "etc/shop.ctmpl").exists()


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "expected"),
    [(0o755, 1, {1}, True), (0o755, 2, {2}, False), (0o775, 2, {1}, True), (0o577, 1, {1}, False), (0o757, 2, {2}, True)],
)
def test_d6_who_may_write_into_a_directory(mode, uid, groups, expected):
    """Root's capabilities do not count: the unit has none."""
    status = SimpleNamespace(st_mode=stat.S_IFDIR | mode, st_uid=1, st_gid=1)
    assert module.may_write(status, uid, groups) == expected


def test_d6_a_directory_of_another_user_is_refused(tmp_path):
    user = next(one for one in pwd.getpwall() if one.pw_uid not in (0, os.getuid()) and grp.getgrgid(one.pw_gid))
    tmp_path.chmod(0o755)
    with pytest.raises(module.Refused, match=f"set user to {ME.pw_name}"):
        module.check_directory(str(tmp_path), user)
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(module.Refused, match="is a link"):
        module.check_directory(str(tmp_path / "link"), ME)
    with pytest.raises(module.Refused, match="is a link"):
        module.check_directory(str(tmp_path / "link/new"), ME)


def test_d6_nothing_that_is_rendered_is_shown(host, capfd):
    assert module.tried(str(host / "program"), "shop", "one\n", options(host)["config"], ME, 5) == ""
    assert "secret" not in "".join(capfd.readouterr())
