"""nginx as the backend checks and finds it, on the host and in a container. Its program and docker are stand-ins."""

import dataclasses
import http.server
import json
import os
import socket
import socketserver
import threading

import pytest

from discovery_balancer import __main__ as command
from discovery_balancer.backends.nginx import deployment
from discovery_balancer.backends.nginx.backend import Nginx
from discovery_balancer.options import Options
from discovery_balancer.plan import Plan
from discovery_balancer.store import Store

TEST = "-e stderr -t -q -c"


@pytest.fixture
def nginx(tmp_path, socket_path):
    """Nginx with a stand-in for its program, which refuses what contains `wrong`."""
    program = tmp_path / "nginx"
    program.write_text(
        "#!/bin/sh\n"
        'for config; do :; done\ncd "$(dirname "$config")" || exit 2\n'
        "if grep -q wrong nginx.conf discovery/http.conf; then echo 'nginx: [emerg] wrong' >&2; exit 1; fi\n"
    )
    program.chmod(0o755)
    config = tmp_path / "nginx.conf"
    config.write_text("good\n")
    paths = {"binary": program, "config": config, "pid_file": tmp_path / "pid", "socket": socket_path}
    return Nginx(Options(domain="hospital.example", backend={name: str(path) for name, path in paths.items()}))


def test_nginx_checks_the_complete_tree(nginx, tmp_path):
    store = Store(tmp_path)
    good = store.write({"http.conf": "good", "stream.conf": ""}, "a", ())
    wrong = store.write({"http.conf": "wrong", "stream.conf": ""}, "b", ())
    assert nginx.check(good.path, store.candidate) == ""
    assert nginx.check(wrong.path, store.candidate) == "nginx: [emerg] wrong"


def test_nginx_marker_covers_the_main_file(nginx, tmp_path):
    before = nginx.files(Plan())[1]
    (tmp_path / "nginx.conf").write_text("other\n")
    assert nginx.files(Plan())[1] != before


def test_nginx_marker_covers_where_it_is_asked_for(nginx):
    """Else a balancer that gave it elsewhere, or nowhere, would not get the new configuration."""
    moved = Nginx(dataclasses.replace(nginx.options, backend=nginx.options.backend | {"socket": "/run/elsewhere"}))
    assert moved.files(Plan())[1] != nginx.files(Plan())[1]


@pytest.mark.parametrize("content", ["", "nonsense", "999999999"])
def test_nginx_without_a_process_is_not_running(nginx, tmp_path, content):
    (tmp_path / "pid").write_text(content)
    assert nginx.master() == 0


def test_nginx_never_signals_another_process(nginx, tmp_path):
    (tmp_path / "pid").write_text(str(os.getpid()))
    assert nginx.master() == 0


def test_command_check_tests_a_main_file_before_it_is_installed(nginx, tmp_path, capsys):
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"domain": nginx.options.domain}))
    (tmp_path / "options-nginx.json").write_text(json.dumps(nginx.options.backend))
    wrong = tmp_path / "new.conf"
    wrong.write_text("wrong\n")
    good = (tmp_path / "nginx.conf").rename(tmp_path / "first.conf")  # there is none yet where no package brings one
    arguments = ["--options", str(options), "--state", str(tmp_path), "check"]
    assert command.main([*arguments, str(good)]) == 0
    assert command.main([*arguments, str(wrong)]) == 1
    assert "[emerg]" in capsys.readouterr().out


@pytest.fixture
def socket_path(tmp_path):
    return tmp_path / "run" / "nginx.sock"


@pytest.fixture
def container(tmp_path, nginx, socket_path, monkeypatch):
    """Nginx in a container; docker records its arguments, and rejects a file that contains `wrong`."""
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\necho "$*" >{tmp_path}/asked\nfor config; do :; done\n'
        "if grep -q wrong \"$config\"; then echo 'nginx: [emerg] wrong' >&2; exit 1; fi\n"
    )
    docker.chmod(0o755)
    monkeypatch.setattr(deployment, "DOCKERD_RUNS", ["true"])
    options = {"container": "nginx", "container_run": ("--read-only", "image"), "docker_binary": str(docker)}
    options |= {"config": nginx.own.config, "socket": str(socket_path)}
    return Nginx(Options(domain="x.example", backend=options))


@pytest.fixture
def listening(socket_path):
    """A program that answers over the socket, as nginx does."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"0123456789abcdef")

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    socket_path.parent.mkdir(exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(socket_path), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield
        server.shutdown()


def test_nginx_reports_its_marker(nginx, listening):
    assert nginx.running() == "0123456789abcdef"


def test_nginx_that_is_down_runs_nothing(nginx):
    assert nginx.running() == ""


def test_nginx_that_was_killed_leaves_a_socket_and_runs_nothing(nginx, container, socket_path):
    socket_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(socket_path))
        stale.listen()
    assert (nginx.running(), container.master()) == ("", 0)


def test_marker_is_given_over_the_socket_only(nginx, socket_path):
    text = nginx.files(Plan())[0]["http.conf"]
    block = text[text.rindex("server {") :]
    assert [line.strip() for line in block.splitlines() if "listen" in line] == [f"listen unix:{socket_path};"]


def test_directory_of_the_socket_is_roots(nginx, tmp_path, socket_path):
    good = Store(tmp_path).write({"http.conf": "good", "stream.conf": ""}, "a", ())
    nginx.check(good.path, tmp_path / "candidate")
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700


def test_container_is_asked_where_it_runs(container, tmp_path, monkeypatch):
    monkeypatch.setattr(container.deployment, "master", lambda: 7)
    good = Store(tmp_path).write({"http.conf": "", "stream.conf": ""}, "a", ())
    assert container.check(good.path, tmp_path / "candidate") == ""
    assert (tmp_path / "asked").read_text() == f"exec nginx nginx {TEST} {tmp_path}/candidate/nginx.conf\n"


def test_container_that_is_down_is_checked_in_one_like_it(container, tmp_path):
    good = Store(tmp_path).write({"http.conf": "", "stream.conf": ""}, "a", ())
    assert container.check(good.path, tmp_path / "candidate") == ""
    asked = f"run --rm --network none --read-only image {TEST} {tmp_path}/candidate/nginx.conf\n"
    assert (tmp_path / "asked").read_text() == asked


def test_container_refuses(container, tmp_path):
    (tmp_path / "nginx.conf").write_text("wrong\n")
    good = Store(tmp_path).write({"http.conf": "", "stream.conf": ""}, "a", ())
    assert container.check(good.path, tmp_path / "candidate") == "nginx: [emerg] wrong"


def test_stopped_dockerd_stays_stopped(container, tmp_path, monkeypatch):
    """A request to docker's socket would start dockerd again."""
    monkeypatch.setattr(deployment, "DOCKERD_RUNS", ["false"])
    good = Store(tmp_path).write({"http.conf": "", "stream.conf": ""}, "a", ())
    assert "not running" in container.check(good.path, tmp_path / "candidate")
    assert not (tmp_path / "asked").exists()


def test_master_in_a_container_is_who_listens(container, listening, monkeypatch):
    monkeypatch.setattr(deployment, "_nginx", lambda pid: pid)
    assert container.master() == os.getpid()


def test_container_never_signals_another_process(container, listening):
    assert container.master() == 0


def test_ports_of_a_container_are_its_own(container, nginx):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        assert ("taken" in nginx.port_taken(port), container.port_taken(port)) == (True, "")
