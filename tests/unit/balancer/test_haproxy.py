"""A real HAProxy that is changed while it runs: what needs a reload and what does not, and what a sync that fails leaves."""

import ctypes
import os
import re
import signal
import socket
import ssl
import stat
import struct
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
from tests.support.wait import eventually

import real_nginx
import standins
from discovery_balancer import __main__ as command
from discovery_balancer.backends.haproxy import backend, changes
from discovery_balancer.backends.haproxy.backend import Haproxy
from discovery_balancer.backends.haproxy.render import HOSTS, MAPS, MARKER
from discovery_balancer.backends.haproxy.runtime import Runtime
from discovery_balancer.options import Options
from discovery_balancer.plan import Plan
from discovery_balancer.store import Store
from instances import apply, catalog, certificate, entry
from real_haproxy import SPARE, Balancer
from real_nginx import DOMAIN
from test_l7_handover import Websocket

SECONDS = 60  # for a condition
WAITS = standins.WAITS["haproxy"]


@pytest.fixture(scope="module")
def running():
    with Balancer(balancer_read_timeout="1h") as balancer:
        balancer.sync(catalog())
        balancer.start()
        yield balancer


@pytest.fixture
def balancer(running):
    """It serves nothing."""
    apply(running)
    return running


@pytest.fixture
def websocket(balancer):
    made = Websocket(balancer)
    yield made
    made.close()


def served(balancer, section="http_web") -> dict:
    """{address: weight} of the servers that take connections, as HAProxy reports."""
    with Runtime(balancer.options.backend["socket"]) as runtime:
        found = balancer.backend._running(runtime).servers.get(section, {})
    return {f"{s.address}:{s.port}": s.weight for s in found.values() if not s.maintained}


def servers(balancer, section="http_web") -> set:
    """Names of all its servers, also of those that take no connection any more."""
    with Runtime(balancer.options.backend["socket"]) as runtime:
        return set(balancer.backend._running(runtime).servers.get(section, {}))


def place(one) -> str:
    return f"127.0.71.2:{one.port}"


def test_d2_instances_of_a_known_service_come_and_go_without_a_reload(balancer, instance):
    """Under load, and no request fails."""
    one, two, three = instance(name="one"), instance(name="two"), instance(name="three")
    before = apply(balancer, web=[entry(one.port)])
    master, workers = balancer.backend.master(), balancer.workers()
    failed, asked, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            answer = balancer.ask("web")
            asked.append(1)
            if answer[0] != 200:
                failed.append(answer)

    client = threading.Thread(target=ask)
    client.start()
    try:
        for entries in ([one, two], [two, three], [three], [one, two, three], [one]) * 4:
            status = apply(balancer, web=[entry(i.port) for i in entries])
            assert status["reloads"] == before["reloads"]
            assert served(balancer) == {place(i): 1 for i in entries}
            enough = len(asked) + 2  # one of them was asked after the change
            eventually(lambda enough=enough: len(asked) >= enough, SECONDS, every=0.001)
    finally:
        stop.set()
        client.join()
    assert failed == []
    assert balancer.backend.master() == master and balancer.workers() <= workers


def test_a_service_without_instances_comes_back_without_a_reload(balancer, instance):
    one = instance(name="one")
    before = apply(balancer, web=[entry(one.port)])
    assert apply(balancer)["reloads"] == before["reloads"]
    assert balancer.ask("web")[0] == 503
    assert apply(balancer, web=[entry(one.port)])["reloads"] == before["reloads"]
    assert balancer.ask("web")[0] == 200


def test_hosts_of_a_known_service_change_without_a_reload(balancer, instance):
    one = instance()
    before = apply(balancer, web=[entry(one.port)])
    after = apply(balancer, web=[entry(one.port, hosts="web.hospital.example, other.hospital.example")])
    assert (after["reloads"], balancer.ask("other")[0]) == (before["reloads"], 200)


def test_a_new_service_is_one_reload(balancer, instance):
    before = apply(balancer)
    after = apply(balancer, new=[entry(instance().port)])
    assert (after["reloads"], balancer.ask("new")[0]) == (before["reloads"] + 1, 200)


def buffer_size(balancer) -> int:
    """As the running HAProxy reports it."""
    with Runtime(balancer.options.backend["socket"]) as runtime:
        return int(re.search(r"Pool buffer \((\d+) bytes\)", runtime.ask("show pools")[0])[1])


def test_w8_buffers_are_larger_only_while_a_service_has_long_headers(balancer, instance):
    """They have one size, and HAProxy copies two whole ones for each request that it may send again."""
    one = instance()
    before = apply(balancer, web=[entry(one.port)])
    usual = buffer_size(balancer)
    after = apply(balancer, web=[entry(one.port, header_size="64k")])
    assert (usual, buffer_size(balancer), after["reloads"]) == (45056, 69632, before["reloads"] + 1)
    apply(balancer, web=[entry(one.port)])
    assert buffer_size(balancer) == 69632, "that alone is no reload"
    apply(balancer, web=[entry(one.port)], small=[entry(one.port)])
    assert buffer_size(balancer) == 45056


@pytest.mark.skipif(SPARE, reason="this HAProxy deletes no server")
def test_d2_a_websocket_outlives_the_removal_of_its_instance(balancer, instance):
    one, two = instance(name="one"), instance(name="two")
    apply(balancer, web=[entry(one.port)])
    open_one = Websocket(balancer)
    for _ in range(3):  # each sync tries to delete the server
        apply(balancer, web=[entry(two.port)])
        assert open_one.echoes() and served(balancer) == {place(two): 1}
    assert place(one) in servers(balancer)
    apply(balancer, web=[entry(one.port), entry(two.port)])  # it comes back while it drains
    assert served(balancer) == {place(one): 1, place(two): 1} and open_one.echoes()
    apply(balancer, web=[entry(two.port)])
    open_one.close()
    deadline = time.monotonic() + SECONDS
    while place(one) in servers(balancer):
        assert time.monotonic() < deadline
        apply(balancer, web=[entry(two.port)])


def frame(kind, flags, content, stream=1) -> bytes:
    """Of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack(">I", len(content))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + content


@pytest.mark.skipif(SPARE, reason="this HAProxy offers none over HTTP/2")
def test_a_browsers_websocket_over_http_2(tmp_path, instance):
    """HAProxy offers it (RFC 8441), so browsers use it; the instance sees an upgrade. Headers are literals (RFC 7541, 6.2.2)."""
    files = certificate(tmp_path, f"*.{DOMAIN}")
    chosen = [{"names": [f"*.{DOMAIN}"], "certificate": files[0], "key": files[1]}]
    asked = {
        ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/", ":authority": f"web.{DOMAIN}",
        "sec-websocket-version": "13",
    }  # fmt: skip
    block = b"".join(b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in one) for one in asked.items())
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    with Balancer(balancer_certificates=chosen) as balancer:
        balancer.sync(catalog())
        balancer.start()
        apply(balancer, web=[entry(instance().port)])
        plain = socket.create_connection((real_nginx.ADDRESS, balancer.tls_port), SECONDS)
        with plain, context.wrap_socket(plain, server_hostname=f"web.{DOMAIN}") as client:
            received = client.makefile("rb")
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"", 0) + frame(1, 4, block))
            found = {}
            while 0 not in found:
                head = received.read(9)
                assert len(head) == 9, "HAProxy closed the connection"
                kind, content = head[3], received.read(int.from_bytes(head[:3], "big"))
                found[kind] = content
                if kind == 1:
                    assert content[:1] == b"\x88"  # 200, of the static table
                    client.sendall(frame(0, 0, b"echo\n"))
            assert found[0] == b"echo\n"


def test_the_file_is_what_runs(balancer, instance):
    """A start from the files serves the same, with the same marker."""
    one, two = instance(name="one"), instance(name="two")
    apply(balancer, web=[entry(one.port)])
    apply(balancer, web=[entry(one.port), entry(two.port, weight="3")])
    marker, there = balancer.backend.running(), served(balancer)
    assert marker == balancer.store.current().marker
    balancer.process.send_signal(signal.SIGTERM)
    balancer.process.wait(SECONDS)
    balancer.start()
    assert (balancer.backend.running(), served(balancer)) == (marker, there) and there[place(two)] == 3


def test_a_sync_that_was_killed_between_its_commands_is_completed(balancer, instance, monkeypatch):
    one, two = instance(name="one"), instance(name="two")
    before = apply(balancer, web=[entry(one.port)])
    ask = Runtime.ask

    def killed(runtime, *commands):
        if commands and commands[0].startswith(("add server", "set server")):
            ask(runtime, commands[0])
            raise KeyboardInterrupt
        return ask(runtime, *commands)

    monkeypatch.setattr(Runtime, "ask", killed)
    with pytest.raises(KeyboardInterrupt):
        balancer.sync(catalog(web=[entry(two.port)]))
    monkeypatch.undo()
    assert balancer.backend.running() == backend.CHANGING
    after = apply(balancer, web=[entry(two.port)])
    assert (after["state"], after["reloads"], served(balancer)) == ("ok", before["reloads"], {place(two): 1})


@pytest.mark.skipif(SPARE, reason="this HAProxy adds no server")
def test_what_the_runtime_api_refuses_is_loaded_from_the_files(balancer, instance, monkeypatch):
    one, two = instance(name="one"), instance(name="two")
    before = apply(balancer, web=[entry(one.port)])
    ask = Runtime.ask
    monkeypatch.setattr(
        Runtime, "ask", lambda runtime, *given: ask(runtime, *(c for c in given if not c.startswith("add server")))
    )
    after = apply(balancer, web=[entry(two.port)])
    assert (after["state"], after["reloads"], served(balancer)) == ("ok", before["reloads"] + 1, {place(two): 1})


def test_files_that_were_not_tested_are_tested_before_they_are_loaded(balancer, instance, monkeypatch):
    """The runtime API refused, and the file is broken as well: the process of before serves, and the link leads to its files."""
    one, two = instance(name="one"), instance(name="two")
    apply(balancer, web=[entry(one.port)])
    good, master = balancer.store.current(), balancer.backend.master()
    monkeypatch.setattr(Haproxy, "_changed", lambda self: False)
    monkeypatch.setattr(Haproxy, "_test", lambda self, *given: "broken")
    monkeypatch.setattr("discovery_balancer.sync.LOAD_SECONDS", 0.1)
    status = balancer.sync(catalog(web=[entry(two.port)]))
    assert "did not load" in status["reason"]
    assert (balancer.store.current(), balancer.backend.master(), served(balancer)) == (good, master, {place(one): 1})


def test_a_broken_main_file_is_reported_and_the_last_good_one_serves(balancer, instance):
    one, main = instance(name="one"), balancer.config / "haproxy.cfg"
    apply(balancer, web=[entry(one.port)])
    text = main.read_text()
    main.write_text(text + "    nonsense\n")
    try:
        status = balancer.sync(catalog(web=[entry(one.port)]))
        assert "the check rejected" in status["reason"] and "nonsense" in status["reason"]
        assert balancer.ask("web")[0] == 200
        assert "nonsense" in command.check_main_file(balancer.store, balancer.options, main)
    finally:
        main.write_text(text)
    apply(balancer, web=[entry(one.port)])
    assert command.check_main_file(balancer.store, balancer.options, main) == ""


def test_a_main_file_is_tested_where_another_backend_has_served(balancer, tmp_path):
    """Its generation has other files."""
    store = Store(tmp_path)
    store.point(store.write({"http.conf": "", "stream.conf": "", "main.conf": ""}, "marker", ()))
    assert command.check_main_file(store, balancer.options, balancer.config / "haproxy.cfg") == ""


def test_a_changed_main_file_is_a_reload(balancer):
    before, main = balancer.sync(catalog()), balancer.config / "haproxy.cfg"
    text = main.read_text()
    main.write_text(text.replace("maxconn 8192", "maxconn 8000"))
    status = balancer.sync(catalog())
    assert (status["state"], status["reloads"]) == ("ok", before["reloads"] + 1), status["reason"]
    main.write_text(text)
    status = balancer.sync(catalog())
    assert (status["state"], status["reloads"]) == ("ok", before["reloads"] + 2), status["reason"]


def test_no_reload_is_lost_right_after_another(balancer):
    """A new worker answers before its master takes orders."""
    main = balancer.config / "haproxy.cfg"
    text = main.read_text()
    try:
        for number in range(60):
            main.write_text(text.replace("maxconn 8192", f"maxconn {8000 + number}"))
            status = balancer.sync(catalog())
            assert (status["state"], status["reason"]) == ("ok", ""), f"reload {number + 1}"
    finally:
        main.write_text(text)


def test_a_port_that_is_taken_costs_its_service_only(balancer, instance):
    one, echo = instance(name="one"), instance(name="echo")
    port = balancer.ports[7]
    with socket.socket() as other:
        other.bind((real_nginx.ADDRESS, port))
        other.listen()
        status = apply(balancer, web=[entry(one.port)], **{f"echo_{port}": [entry(echo.port, tags=["tcp"])]})
        assert (status["state"], status["tcp"], balancer.ask("web")[0]) == ("ok", {}, 200)
        assert "taken by another process" in status["skipped"][0]["reason"]
    status = apply(balancer, **{f"echo_{port}": [entry(echo.port, tags=["tcp"])]})
    assert (status["tcp"], balancer.ask("echo", port)[0]) == ({f"echo-{port}": 1}, 200)
    apply(balancer)
    deadline = time.monotonic() + SECONDS
    while balancer.ask("echo", port)[0]:
        assert time.monotonic() < deadline
    assert balancer.backend.port_taken(port) == ""


def test_the_runtime_api_is_roots(balancer):
    file = os.stat(balancer.options.backend["socket"])
    assert (stat.S_IMODE(file.st_mode), file.st_uid) == (0o600, os.getuid())


def test_l6_haproxy_hangs_when_its_workers_are_frozen_or_its_master_is(balancer, monkeypatch):
    """One that works has its usual time to answer; only for one that is frozen nobody need wait so long."""
    assert balancer.backend.hangs() == ""
    (worker,) = balancer.taking()
    for pid, words in ((worker, "does not answer"), (balancer.backend.master(), "takes no signal")):
        os.kill(pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as frozen:
                frozen.setattr(backend, "PATIENCE", 0.3)
                eventually(lambda words=words: words in balancer.backend.hangs(), 30, every=0.01)
        finally:
            os.kill(pid, signal.SIGCONT)
    assert balancer.backend.hangs() == ""


@pytest.fixture
def absent(tmp_path):
    """Of a HAProxy that does not run."""
    (tmp_path / "haproxy.cfg").write_text("")
    own = {"config": str(tmp_path / "haproxy.cfg"), "pid_file": str(tmp_path / "pid"), "socket": str(tmp_path / "sock")}
    return Haproxy(Options(domain="x.example", backend=own))


def test_l6_a_silent_haproxy_is_waited_for_as_the_stand_in_is(absent, tmp_path, monkeypatch):
    """With the stand-in, test_resident.py shows that it is noticed in time."""
    waited = []

    class Silent(Runtime):
        def _connect(self):
            waited.append(self.timeout)
            raise TimeoutError

    def seconds(call, *arguments):
        waited.clear()
        call(*arguments)
        return sum(waited)

    monkeypatch.setattr(backend, "Runtime", Silent)
    monkeypatch.setattr(Haproxy, "_test", lambda *_: "")
    absent.files(Plan())
    assert (seconds(absent.running), seconds(absent.trim)) == (standins.PATIENCE, WAITS["trim"])
    assert seconds(absent.reload) == WAITS["reload"]
    assert (seconds(absent.check, tmp_path, tmp_path), seconds(absent.reload)) == (WAITS["check"], 0)


def test_haproxy_that_is_down(absent):
    found = absent
    assert (found.running(), found.master(), found.hangs(), found.trim()) == ("", 0, "", (0, 0))
    found.files(Plan())
    assert (found.reload(), found._reason() != "") == ([], True)


def test_a_master_that_writes_its_file_anew_is_waited_for(balancer, monkeypatch):
    """A worker of the new generation may answer before."""
    file, text = balancer.folder / "run/haproxy.pid", (balancer.folder / "run/haproxy.pid").read_text()
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == backend.PID_LOOKS - 1:
            file.write_text(text)

    file.unlink()
    try:
        with monkeypatch.context() as context:
            context.setattr(backend, "time", SimpleNamespace(sleep=sleep))
            assert balancer.backend.master() == int(text)
    finally:
        file.write_text(text)
    assert pauses == [backend.PID_PAUSE] * (backend.PID_LOOKS - 1)


def test_another_process_is_never_the_master(tmp_path):
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    assert Haproxy(Options(domain="x.example", backend={"pid_file": str(tmp_path / "pid")})).master() == 0


def test_an_answer_that_ends_early(tmp_path):
    file = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(file)
        listener.listen()
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        with pytest.raises(OSError), Runtime(file, 5) as runtime:
            runtime.ask("show info")


def test_commands_are_answered_in_their_order(balancer):
    with Runtime(balancer.options.backend["socket"]) as runtime:
        info, nothing, marker = runtime.ask("show info", f"del map {MAPS}{HOSTS} nobody/", f"show map {MAPS}{MARKER}")
    assert "Version:" in info and "not found" in nothing and changes.marker_of(marker) == balancer.backend.running()


PR_SET_MDWE, REFUSE_GAIN = 65, 1  # as MemoryDenyWriteExecute of a unit; Linux 6.3


def test_a_unit_that_may_not_compile_refuses_every_file(balancer):
    """So the sync program's unit may, with this backend."""
    libc = ctypes.CDLL(None)
    command = [balancer.backend.own.binary, "-c", "-C", balancer.config, "-f", "haproxy.cfg", "-f", "discovery/services.cfg"]
    free = subprocess.run(command, capture_output=True, text=True, check=False)
    assert free.returncode == 0, free.stderr
    closed = subprocess.run(
        ["/usr/bin/env", *command], capture_output=True, text=True, check=False,
        preexec_fn=lambda: libc.prctl(PR_SET_MDWE, REFUSE_GAIN, 0, 0, 0) and os._exit(77),
    )  # fmt: skip
    if closed.returncode == 77:
        pytest.skip("a kernel without PR_SET_MDWE")
    assert closed.returncode == 1 and "jit compilation failed" in closed.stderr
