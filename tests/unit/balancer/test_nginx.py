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
from discovery_balancer.backends.nginx import backend, deployment, workers
from discovery_balancer.backends.nginx.backend import Nginx
from discovery_balancer.backends.nginx.workers import Worker
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
    monkeypatch.setattr(deployment, "dockerd_runs", lambda: True)
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


def test_a_generation_answers_when_one_of_many_workers_has_its_marker(nginx, listening):
    assert (nginx.answers("0123456789abcdef"), nginx.answers("another")) == (True, False)


def test_a_worker_that_is_busy_does_not_delay_the_answer_of_a_new_one(nginx, socket_path, monkeypatch):
    """The first connection is taken and never answered; the second one is."""
    socket_path.parent.mkdir()
    old, new = Worker(1, 11, False), Worker(2, 12, False)
    nginx.before = [old]
    monkeypatch.setattr(workers, "workers", lambda master: [old, new])
    monkeypatch.setattr(backend, "PATIENCE", 60)
    kept = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path))
        listener.listen()

        def serve():
            for number in range(3):
                kept.append(listener.accept()[0])
                if number == 1:
                    kept[-1].recv(1000)
                    kept[-1].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nm")

        threading.Thread(target=serve, daemon=True).start()
        assert nginx.answers("m")


def test_a_generation_is_not_asked_for_before_it_has_a_worker(nginx, listening, monkeypatch):
    """The questions would cost the time in which nginx loads it."""
    old, new = Worker(1, 11, False), Worker(2, 12, False)
    nginx.before = [old]
    monkeypatch.setattr(workers, "workers", lambda master: [old])
    assert not nginx.answers("0123456789abcdef")
    monkeypatch.setattr(workers, "workers", lambda master: [old, new])
    assert nginx.answers("0123456789abcdef")


@pytest.mark.parametrize(
    ("deaf", "heard", "spent", "words"),
    [
        (True, True, (5, 5), "takes no signal"), (False, False, (5, 5), "does not answer"), (False, True, (5, 5), ""),
        (False, False, (5, 6), ""), (True, None, (5, 5), ""),
    ],
)  # fmt: skip
def test_l6_nginx_hangs_when_its_master_is_deaf_or_its_workers_are_silent_and_idle(nginx, monkeypatch, deaf, heard, spent, words):
    """Not while they are busy, and not where it does not listen on our socket: then it has another configuration."""
    nginx.master, moments = (lambda: 7), list(spent)
    monkeypatch.setattr(workers, "deaf", lambda *_: deaf)
    monkeypatch.setattr(workers, "spent", lambda found: moments.pop(0))
    monkeypatch.setattr(nginx, "_heard", lambda: heard)
    found = nginx.hangs()
    assert words in found and bool(found) == bool(words)


@pytest.mark.parametrize(("listens", "heard"), [(None, None), ("refuses", None), ("frozen", False), ("closes", True)])
def test_l6_what_is_heard_of_a_listener(nginx, socket_path, monkeypatch, listens, heard):
    monkeypatch.setattr(backend, "PATIENCE", 0.2 if listens == "frozen" else 60)
    socket_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        if listens:
            listener.bind(str(socket_path))
        if listens in ("frozen", "closes"):
            listener.listen()
        if listens == "closes":
            threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        assert nginx._heard() == heard


def test_l6_nginx_that_does_not_run_does_not_hang(nginx):
    assert nginx.hangs() == ""


def test_l6_workers_that_take_connections_and_answer_nothing_end_the_wait(nginx, socket_path, monkeypatch):
    monkeypatch.setattr(backend, "PATIENCE", 0.2)
    socket_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(socket_path))
        frozen.listen()
        assert (nginx.running(), nginx.answers("m")) == ("", False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shutdown_timeout", "soon"), ("old_workers", 0), ("old_workers", True), ("old_workers", "9"),
        ("client_open_connections", -1), ("client_open_connections", "9"), ("client_requests", True),
    ],
)  # fmt: skip
def test_options_of_nginx_that_cannot_be_rendered(name, value):
    with pytest.raises(ValueError, match=name):
        Nginx(Options(domain="x.example", backend={name: value}))


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
    monkeypatch.setattr(deployment, "dockerd_runs", lambda: False)
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
