"""What the next run would change, without changing anything (D3)."""

import dataclasses
import json
import sys

import pytest

from discovery_balancer import __main__ as command
from discovery_balancer import preview
from discovery_balancer.backends.nginx.backend import Nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import plan
from discovery_balancer.store import Store


@pytest.fixture
def site(tmp_path):
    (tmp_path / "nginx.conf").write_text("# main\n")
    options = Options(domain="hospital.example", backend={"config": str(tmp_path / "nginx.conf")})
    (tmp_path / "options.json").write_text(json.dumps({"domain": options.domain}))
    (tmp_path / "options-nginx.json").write_text(json.dumps(options.backend))
    return tmp_path, Store(tmp_path / "state"), options


def catalog(*names, consul=3):
    entry = {"id": "i", "node": "n", "address": "10.0.0.1", "port": 80, "tags": ["http"]}
    return {"consul": consul, "services": [{"name": name, "instances": [entry]} for name in names], "traffic": {}}


def prints(text, code=0):
    """A stand-in for consul-template: prints this, whatever its arguments."""
    return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]


def dry(made):
    return prints("> /var/lib/discovery-balancer/catalog.json\n" + json.dumps(made))


def tree(path):
    return {str(one): one.stat().st_mtime_ns for one in path.rglob("*")}


def test_d3_preview_shows_what_would_change_and_writes_nothing(site):
    path, store, options = site
    store.root.mkdir()
    files, marker = Nginx(options).files(plan(catalog("old"), options))
    store.point(store.write(files, marker, ()))
    before = tree(path)
    text, code = preview.preview(store, options, dry(catalog("old", "new;\n")))
    assert (code, "skipped: new;\\n: " in text, "+" in text) == (0, True, False)
    text, code = preview.preview(store, options, dry(catalog("new")))
    assert (code, "+upstream http_new {" in text, "-upstream http_old {" in text) == (0, True, True)
    assert tree(path) == before


def test_d3_preview_of_another_backend(site):
    """Files of the one before have other names."""
    path, store, options = site
    store.root.mkdir()
    files, marker = Nginx(options).files(plan(catalog("web"), options))
    store.point(store.write(files, marker, ()))
    text, code = preview.preview(store, dataclasses.replace(options, balancer="haproxy"), dry(catalog("web")))
    assert (code, "+backend http_web" in text, "+web.hospital.example/ web" in text) == (0, True, True)


@pytest.mark.parametrize("template", [dry(catalog("web")), prints("", 0)[:2] + ["pass"]])
def test_d3_preview_of_nothing_new(site, template):
    """consul-template prints nothing when its file is as it would write it."""
    _, store, options = site
    store.root.mkdir()
    (store.root / "catalog.json").write_text(json.dumps(catalog("web")))
    files, marker = Nginx(options).files(plan(catalog("web"), options))
    store.point(store.write(files, marker, ()))
    assert preview.preview(store, options, template) == ("nothing would change", 0)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (dry(catalog(consul=0)), "unreadable"),
        (prints("no such template", 1), "consul-template"),
        (prints("> /x\n{"), "Expecting"),
        (["/none/consul-template"], "/none/consul-template"),
    ],
)
def test_d3_preview_reports_problems(site, template, words):
    _, store, options = site
    text, code = preview.preview(store, options, template)
    assert (code, text.startswith("failed: "), words in text) == (1, True, True)


def test_d3_command_preview(site, capsys):
    path, store, _ = site
    where = ["--options", str(path / "options.json"), "--state", str(store.root), "--spare", str(path / "spare.json")]
    template = path / "template"
    template.write_text(f"#!/bin/sh\necho '> /x'\necho '{json.dumps(catalog('web'))}'\n")
    template.chmod(0o755)
    assert command.main([*where, "preview", "--template", str(template)]) == 0
    assert "+    server_name web.hospital.example;" in capsys.readouterr().out
    assert not store.root.exists()


def test_p1_preview_shows_no_hash_of_a_password(site):
    path, store, _options = site
    users, main = path / "staff", path / "haproxy.cfg"
    users.write_text("anna:$5$abcdefgh$" + "x" * 43 + "\n")
    main.write_text("# main\n")
    options = Options(
        domain="hospital.example", balancer="haproxy", htpasswd={"staff": str(users)}, backend={"config": str(main)}
    )
    text, code = preview.preview(store, options, dry(catalog("new")))
    assert (code, "+    user anna password ...\n" in text + "\n", "$5$" in text) == (0, True, False)
