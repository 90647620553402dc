"""The lab's decisions: what it reads from an inventory, what it refuses, what it derives."""

import ctypes
import io
import ipaddress
import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from lab import __main__ as command_line
from lab import containers, images, machine, nodes
from lab import inventory as inventories
from lab import site as site_services
from lab.containers import put_files
from lab.errors import LabError
from lab.images import SUITES
from lab.inventory import LAB_FILE, Site, derive, keep_shadowed, name_of, remove_lab_file
from lab.shell import run

HOSTS = """
all:
  hosts:
    a: {ansible_host: 10.200.7.11}
    b: {ansible_host: 10.200.7.254}
"""


@pytest.fixture(scope="module")
def known() -> dict:
    """What ansible-inventory has answered, by the content of the inventory."""
    return {}


@pytest.fixture(autouse=True)
def _equal_inventories_are_listed_once(monkeypatch, known):
    """ansible-inventory takes half a second, and lists equal files equally wherever they are."""
    real = inventories.run

    def run(program, option, path, *more):
        content = tuple((str(one.relative_to(path)), one.read_bytes()) for one in sorted(path.rglob("*")) if one.is_file())
        key = (program, option, content, *more)
        if key not in known:
            known[key] = real(program, option, path, *more)
        return known[key]

    monkeypatch.setattr(inventories, "run", run)


def inventory(folder: Path, text: str = HOSTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(text)
    return folder


def test_a_site_is_read_from_any_inventory(tmp_path):
    site = Site.read(inventory(tmp_path / "ward"))
    assert site.name == "ward"
    assert {host: str(address) for host, address in site.addresses.items()} == {"a": "10.200.7.11", "b": "10.200.7.254"}
    assert str(site.subnet) == "10.200.7.0/24"


def test_gateway_and_services_take_the_highest_free_addresses(tmp_path):
    site = Site.read(inventory(tmp_path / "ward"))
    assert (str(site.gateway), str(site.services)) == ("10.200.7.253", "10.200.7.252")


def test_external_hosts_have_free_addresses(tmp_path):
    site = Site.read(inventory(tmp_path / "ward"))
    found = {site.external_host(suite) for suite in SUITES}
    assert len(found) == len(SUITES) and found.isdisjoint({site.gateway, site.services, *site.addresses.values()})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("all: {hosts: {a: {ansible_host: somewhere}}}", "host a: ansible_host is 'somewhere'"),
        ("all: {hosts: {a: {ansible_host: 10.1.1.1}, b: {ansible_host: 10.1.1.1}}}", "10.1.1.1"),
        ("all: {hosts: {a: {ansible_host: 10.1.1.1}, b: {ansible_host: 10.1.2.1}}}", "several networks"),
        ("all: {hosts: {}}", "no hosts"),
        ("all: {hosts: {a: {ansible_host: 10.1.1.1, lab_suite: sarge}}}", "sarge.*bullseye, bookworm, trixie, ubuntu-shaped"),
    ],
)
def test_an_impossible_inventory_is_refused(tmp_path, text, says):
    with pytest.raises(LabError, match=says):
        Site.read(inventory(tmp_path / "ward", text))


def test_a_missing_inventory_is_named():
    with pytest.raises(LabError, match="there is no inventory nowhere"):
        Site.read(Path("nowhere"))


def test_the_name_is_that_of_the_folder(tmp_path):
    assert name_of(inventory(tmp_path / "Ward_3" / "inventory") / "hosts.yml") == "ward-3"


def test_derive_moves_every_address_and_leaves_the_secrets(tmp_path):
    source = inventory(tmp_path / "ward")
    (source / ".secrets").mkdir()
    (source / "group_vars/all").mkdir(parents=True)
    (source / "group_vars/all/zz_lab.yml").write_text("ansible_user: admin\n")
    (source / "group_vars/all/site.yml").write_text("first: 10.200.7.11\nother: 110.200.7.11\nnet: 10.200.70.1\n")
    assert str(derive(source, tmp_path / "copy", "10.201.0.0/24")) == "10.201.0.0/24"
    assert str(Site.read(tmp_path / "copy").addresses["a"]) == "10.201.0.11"
    moved = (tmp_path / "copy/group_vars/all/site.yml").read_text()
    assert moved == "first: 10.201.0.11\nother: 110.200.7.11\nnet: 10.200.70.1\n"
    assert not (tmp_path / "copy/.secrets").exists()
    assert not (tmp_path / "copy/group_vars/all/zz_lab.yml").exists()


def test_derive_never_overwrites_what_it_did_not_make(tmp_path):
    source, target = inventory(tmp_path / "ward"), inventory(tmp_path / "mine")
    with pytest.raises(LabError, match="was not made by 'derive'"):
        derive(source, target, "10.201.0.0/24")
    assert (target / "hosts.yml").read_text() == HOSTS


@pytest.mark.parametrize("subnet", ["10.201.0.0/16", "10.201.0.7/24", "ten"])
def test_derive_refuses_what_is_no_slash_24(tmp_path, subnet):
    with pytest.raises(LabError, match="--subnet"):
        derive(inventory(tmp_path / "ward"), tmp_path / "copy", subnet)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("subnet", "expected"),
    [
        ("192.168.0.0/24", "192.168.0.0/16 on eth0"),
        ("192.168.0.0/15", "192.168.0.0/16 on eth0"),
        ("192.169.0.0/24", None),
    ],
)
def test_a_route_that_would_be_shadowed_is_found(monkeypatch, subnet, expected):
    monkeypatch.setattr(machine, "routes", lambda: [(ipaddress.IPv4Network("192.168.0.0/16"), "eth0")])
    assert machine.overlapping_route(ipaddress.IPv4Network(subnet)) == expected


def test_the_first_free_subnet_is_taken(monkeypatch):
    monkeypatch.setattr(machine, "routes", lambda: [(ipaddress.IPv4Network("10.129.0.0/24"), "eth0")])
    monkeypatch.setattr(machine, "podman_subnets", lambda: [ipaddress.IPv4Network("10.129.1.0/24")])
    assert str(machine.free_subnet()) == "10.129.2.0/24"


@pytest.fixture
def no_lab_yet(monkeypatch):
    monkeypatch.setattr(nodes.machine, "check", lambda: None)
    monkeypatch.setattr(nodes, "succeeds", lambda *command: False)
    monkeypatch.setattr(machine, "podman_subnets", list)
    monkeypatch.setattr(machine, "routes", lambda: [(ipaddress.IPv4Network("10.200.0.0/16"), "eth0")])


def test_a_taken_subnet_stops_with_the_way_out(no_lab_yet, tmp_path):
    site = Site.read(inventory(tmp_path / "ward"))
    with pytest.raises(LabError, match=r"10\.200\.7\.0/24 overlaps 10\.200\.0\.0/16 on eth0.*derive"):
        nodes.up(site)


def test_a_taken_subnet_places_the_lab_in_a_copy(no_lab_yet, tmp_path):
    source, copy = inventory(tmp_path / "ward"), tmp_path / "copy"
    assert nodes.place(source, copy) == copy
    assert str(Site.read(copy).addresses["a"]) == "10.129.0.11"
    (copy / ".secrets").mkdir()
    assert nodes.place(source, copy) == copy
    assert (copy / ".secrets").exists(), "the copy of a lab that is up was made anew"


def test_a_free_subnet_places_the_lab_where_it_is(no_lab_yet, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "routes", list)
    source = inventory(tmp_path / "ward")
    assert nodes.place(source, tmp_path / "copy") == source
    assert not (tmp_path / "copy").exists()


def test_another_checkouts_lab_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(nodes, "_exists", lambda lab: True)
    monkeypatch.setattr(nodes, "_owner", lambda lab: str(tmp_path))
    with pytest.raises(LabError, match=f"was made from {tmp_path}"):
        nodes.down(inventory(tmp_path / "ward"))


def test_without_root_nothing_starts(monkeypatch):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="root"):
        machine.check()


def test_without_podman_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine.shutil, "which", lambda program: None)
    with pytest.raises(LabError, match="podman is not installed; 'make system'"):
        machine.check()


def test_too_little_disk_is_told_with_the_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(machine, "run", lambda *command: f"{tmp_path}\n")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: machine.shutil._ntuple_diskusage(10e9, 9e9, 1e9))
    with pytest.raises(LabError, match=r"1\.0 GB free; the lab needs 8 GB"):
        machine.check()


@pytest.mark.parametrize(("count", "fits"), [(2, True), (3, False)])
def test_nodes_whose_systemd_would_not_start_are_refused_with_the_setting(monkeypatch, tmp_path, count, fits):
    """Beside other labs the kernel's limit of inotify instances is reached first; a node then ends at once or hangs."""
    limit = tmp_path / "max_user_instances"
    limit.write_text("128\n")
    monkeypatch.setattr(machine, "INOTIFY_LIMIT", limit)
    monkeypatch.setattr(machine, "inotify_instances", lambda: 105)
    if fits:
        machine.check_inotify(count)
        return
    with pytest.raises(LabError, match=r"105 of 128 .*sysctl -w fs\.inotify\.max_user_instances="):
        machine.check_inotify(count)


def test_inotify_instances_are_counted():
    descriptor = ctypes.CDLL(None).inotify_init()
    try:
        assert machine.inotify_instances() >= 1
    finally:
        os.close(descriptor)


def test_an_old_release_may_come_from_elsewhere(monkeypatch):
    monkeypatch.setattr(images, "debian_mirrors", lambda: {"Debian": "http://here", "Debian-Security": "http://fixes"})
    assert images._sources("bullseye") == [
        "deb http://here bullseye main",
        "deb http://here bullseye-updates main",
        "deb http://fixes bullseye-security main",
    ]
    monkeypatch.setenv("DISCOVERY_LAB_MIRROR_BULLSEYE", "http://archive")
    assert images._sources("bullseye") == ["deb http://archive bullseye main"]
    assert images._sources("trixie")[0] == "deb http://here trixie main"


def test_each_host_may_be_of_another_release(tmp_path):
    text = "all: {hosts: {a: {ansible_host: 10.1.1.1, lab_suite: bullseye}, b: {ansible_host: 10.1.1.2}}}"
    assert Site.read(inventory(tmp_path / "ward", text)).suites == {"a": "bullseye", "b": "trixie"}


UBUNTU = "all: {hosts: {a: {ansible_host: 10.1.1.1, lab_suite: ubuntu-shaped}, b: {ansible_host: 10.1.1.2}}}"


def test_an_ubuntu_shaped_node_has_its_network_by_netplan(tmp_path, monkeypatch):
    """Its resolv.conf stays the link to systemd-resolved that the image has."""
    monkeypatch.setattr(nodes, "CACHE", tmp_path)
    site = Site.read(inventory(tmp_path / "ward", UBUNTU))
    nodes._key(nodes._state(site.name) / "id_ed25519", "lab")
    shaped, plain = nodes._node_files(site, "a"), nodes._node_files(site, "b")
    (path,) = set(shaped) - set(plain)
    assert set(plain) - set(shaped) == {"etc/resolv.conf"}
    found = json.loads(shaped[path])["network"]["ethernets"]["eth0"]
    assert path == "etc/netplan/50-cloud-init.yaml"
    assert found["addresses"] == ["10.1.1.1/24"] and found["nameservers"]["addresses"] == [str(site.services)]
    assert found["routes"] == [{"to": "default", "via": str(site.gateway)}]
    archives = []
    monkeypatch.setattr(containers, "run", lambda *command, stdin: archives.append(stdin))
    put_files("a", shaped)
    with tarfile.open(fileobj=io.BytesIO(archives[0])) as archive:
        modes = {member.name: member.mode for member in archive}
    assert modes[path] == modes["etc/ssh/ssh_host_ed25519_key"] == 0o600 and modes["etc/hosts"] == 0o644


def test_the_image_of_an_ubuntu_shaped_node_follows_its_shape(monkeypatch, tmp_path):
    """A tag that named the program's path would differ between checkouts; one that left out its text would be old for ever."""
    shape, commands = tmp_path / "shape", []
    monkeypatch.setattr(images, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(images, "UBUNTU_SHAPE", shape)
    monkeypatch.setattr(images, "debian_mirrors", lambda: {"Debian": "http://here"})
    monkeypatch.setattr(images, "succeeds", lambda *command: False)
    monkeypatch.setattr(images, "run", lambda *command: commands.append([str(part) for part in command]))
    tags = []
    for text in ("one", "two"):
        shape.write_text(text)
        tags.append(images.node("ubuntu-shaped"))
    assert len(set(tags)) == 2 and all(tag.startswith("localhost/fewnodes/node-ubuntu-shaped:") for tag in tags)
    made = next(command for command in commands if command[0] == "mmdebstrap")
    assert "trixie" in made
    hooks = [part for part in made if part.startswith("--customize-hook=")]
    assert hooks[1] == f"--customize-hook={shape}" and "ssh_host" in hooks[2], "what each node makes for itself is removed last"


def test_the_shape_of_ubuntu_is_a_program():
    assert os.access(images.UBUNTU_SHAPE, os.X_OK)
    subprocess.run(["sh", "-n", images.UBUNTU_SHAPE], check=True)


@pytest.mark.parametrize("line", ["localhost", "localhost ansible_connection=local", "desk ansible_connection=local"])
def test_w29_the_controller_in_an_inventory_gets_no_node(tmp_path, line):
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward/hosts").write_text(f"{line}\n{INI}")
    assert sorted(Site.read(tmp_path / "ward").addresses) == ["DB_01", "web01.haus.example"]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of the lab, and kernel settings, in a folder of their own."""
    found = tmp_path / "user/lab"
    for module in (machine, nodes, site_services):
        monkeypatch.setattr(module, "CACHE", found)
    monkeypatch.setattr(machine, "SYSCTL", tmp_path / "sys")
    for name, value in (("net/ipv4/ip_forward", "0"), ("kernel/pid_max", "32768")):
        (tmp_path / "sys" / name).parent.mkdir(parents=True)
        (tmp_path / "sys" / name).write_text(value)
    return found


class Podman:
    """Networks of labs and their containers, as far as taking labs down goes; every command is kept."""

    def __init__(self, monkeypatch, labs: dict[str, Path]):
        self.labs, self.commands = labs, []
        for module in (nodes, site_services, images):
            monkeypatch.setattr(module, "run", self.run)
            monkeypatch.setattr(module, "succeeds", self.succeeds)

    def succeeds(self, *command) -> bool:
        return command[1:3] == ("network", "exists") and command[3].removeprefix("fewnodes-") in self.labs

    def run(self, *command, **_options) -> str:
        self.commands.append(" ".join(map(str, command)))
        if command[1:3] == ("network", "ls"):
            return "".join(f"fewnodes-{lab}\n" for lab in self.labs) + "fewnodes-site\n"
        if command[1:3] == ("network", "inspect"):
            owner = self.labs[command[3].removeprefix("fewnodes-")]
            return f'[{{"labels": {{"{nodes.INVENTORY_LABEL}": "{owner}"}}}}]'
        if command[1:3] == ("network", "rm"):
            del self.labs[command[3].removeprefix("fewnodes-")]
        return "localhost/fewnodes/node-trixie:1\n" if command[1] == "images" else ""


def lab_at(folder: Path) -> Path:
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "group_vars/all/zz_lab.yml").write_text("ansible_user: admin\n")
    return folder


def test_the_last_lab_gives_the_machine_its_settings_back(monkeypatch, cache, tmp_path, capsys):
    Podman(monkeypatch, {"one": lab_at(tmp_path / "one"), "two": lab_at(tmp_path / "two")})
    forwards = tmp_path / "sys/net/ipv4/ip_forward"
    machine.remember_settings()
    forwards.write_text("1")
    nodes.down(tmp_path / "one")
    assert forwards.read_text() == "1", "another lab needs it"
    nodes.down(tmp_path / "two")
    assert forwards.read_text() == "0"
    assert "net.ipv4.ip_forward = 0" in capsys.readouterr().out
    forwards.write_text("1")
    assert machine.put_back_settings() == [] and forwards.read_text() == "1", "set by somebody else since then"


def test_all_removes_labs_images_and_caches_and_names_the_packages(monkeypatch, cache, tmp_path, capsys):
    podman = Podman(monkeypatch, {"one": lab_at(tmp_path / "one"), "gone": tmp_path / "a checkout that is gone"})
    monkeypatch.delenv("DISCOVERY_LAB_CACHE", raising=False)
    machine.remember_settings()
    (tmp_path / "sys/kernel/pid_max").write_text("4194304")
    (cache / "packages").write_text(" podman runc\n skopeo\n")
    assert command_line.main(["down", "--all"]) == 0
    assert podman.labs == {} and not (tmp_path / "one/group_vars/all/zz_lab.yml").exists()
    assert "podman rmi -f localhost/fewnodes/node-trixie:1" in podman.commands
    assert not cache.parent.exists()
    assert (tmp_path / "sys/kernel/pid_max").read_text() == "32768"
    assert "apt-get remove podman runc skopeo" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["down"], ["down", "--all", "inventories/hospital"]])
def test_down_wants_one_lab_or_all(arguments):
    with pytest.raises(SystemExit):
        command_line.main(arguments)


def test_nobody_else_on_the_machine_reads_or_writes_the_caches(monkeypatch, cache, tmp_path):
    """The services inside have users of their own, whose numbers other users of the machine may have: only root gets there."""
    started = {}
    monkeypatch.setattr(site_services.releases, "provide", lambda: tmp_path)
    monkeypatch.setattr(site_services.images, "samples", dict)
    monkeypatch.setattr(site_services.images, "site", lambda: "site")
    monkeypatch.setattr(site_services, "succeeds", lambda *command: False)
    monkeypatch.setattr(site_services, "create_network", lambda name: None)
    monkeypatch.setattr(site_services, "run", lambda *command: "")
    monkeypatch.setattr(site_services, "attached", lambda: {"lab"})
    monkeypatch.setattr(site_services, "_ready", lambda address: True)
    monkeypatch.setattr(site_services, "start_container", lambda *given: started.update(files=given[4], volumes=given[5]))
    site_services.attach("lab", ipaddress.IPv4Address("192.0.2.1"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (cache, cache / "apt", cache / "registry")}
    assert modes == {"lab": 0o700, "apt": 0o700, "registry": 0o700}
    for folder, service in (("apt", "apt-cacher-ng"), ("registry", "docker-registry")):
        unit = started["files"][f"etc/systemd/system/{service}.service.d/lab.conf"]
        assert f"chown -R {service}: {started['volumes'][cache / folder]}" in unit


class SiteServices:
    """Their container in a state, and what podman can do with it in that state; every command is kept."""

    def __init__(self, monkeypatch, tmp_path, state: str, startable: bool):
        self.state, self.startable, self.commands = state, startable, []
        monkeypatch.setattr(site_services.releases, "provide", lambda: tmp_path)
        monkeypatch.setattr(site_services.images, "samples", dict)
        monkeypatch.setattr(site_services.images, "site", lambda: "site")
        monkeypatch.setattr(site_services, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(site_services, "start_container", self.made)
        monkeypatch.setattr(site_services, "_ready", lambda address: True)
        for name in ("run", "succeeds"):
            monkeypatch.setattr(site_services, name, getattr(self, name))

    def made(self, name, *_):
        assert self.state == "", "the name is taken"
        self.commands.append(f"make {name}")
        self.state = "running"

    def succeeds(self, *command) -> bool:
        if command[1] == "start":
            self.commands.append("start")
            self.state = "running" if self.startable else self.state
            return self.startable
        return command[2] == "exists" and (command[1] == "network" or bool(self.state))

    def run(self, *command, **_options) -> str:
        self.commands += [command[1]] if command[1] == "rm" else []
        if command[1] == "rm":
            assert command[-1] == site_services.NAME
            self.state = ""
        if command[1:3] == ("container", "inspect"):
            networks = {"NetworkSettings": {"Networks": {site_services.NAME: {}, "fewnodes-lab": {}}}}
            return str(self.state == "running").lower() if "--format" in command else json.dumps([networks])
        return ""


@pytest.mark.parametrize(
    ("state", "startable", "commands"),
    [
        ("", False, ["make fewnodes-site"]),
        ("running", True, []),
        ("exited", True, ["start"]),
        ("stopping", False, ["start", "rm", "make fewnodes-site"]),
        ("removing", False, ["start", "rm", "make fewnodes-site"]),
    ],
)
def test_site_services_that_cannot_be_started_are_made_anew(monkeypatch, tmp_path, capsys, state, startable, commands):
    """As after a machine was halted while podman stopped them: it takes no start of them, ever."""
    services = SiteServices(monkeypatch, tmp_path, state, startable)
    site_services.attach("fewnodes-lab", ipaddress.IPv4Address("192.0.2.1"))
    assert (services.commands, services.state) == (commands, "running")
    assert ("made anew" in capsys.readouterr().out) == ("rm" in commands)


def node_that_hangs(monkeypatch, answers: dict[str, str]) -> None:
    """A container that does not come up, with podman's answers by the program that is asked; others raise."""

    def run(*command, timeout):
        program = "inspect" if command[1] == "container" else command[3]
        if program not in answers:
            raise LabError(f"'podman exec' ended with 255:\nno {program} here")
        return answers[program]

    monkeypatch.setattr(containers, "run", run)
    monkeypatch.setattr(containers, "START_SECONDS", 0)


def test_a_node_that_does_not_come_up_says_what_it_does(monkeypatch):
    jobs = "".join(f"{number} unit-{number}.service start waiting\n" for number in range(40))
    journal = "".join(f"[ {number}.0] a systemd[1]: line {number}\n" for number in range(40))
    node_that_hangs(monkeypatch, {"inspect": "running, exit code 0\n", "systemctl": jobs, "journalctl": journal})
    with pytest.raises(LabError) as raised:
        containers.await_start("fewnodes-ward-a", lambda: False, "SSH on a (10.200.7.11)")
    first, *lines = str(raised.value).splitlines()
    assert first == "SSH on a (10.200.7.11) did not come up within 0 s; the container fewnodes-ward-a:"
    assert lines[0] == "  running, exit code 0" and lines[1] == "  0 unit-0.service start waiting"
    assert "  and 35 more jobs" in lines and lines[-1].endswith("line 39") and len(lines) == 15


def test_a_node_that_cannot_be_asked_hides_no_error(monkeypatch):
    node_that_hangs(monkeypatch, {"inspect": "exited, exit code 255\n"})
    with pytest.raises(LabError) as raised:
        containers.await_start("fewnodes-ward-a", lambda: False, "SSH on a")
    lines = str(raised.value).splitlines()
    assert lines[0].startswith("SSH on a did not come up") and lines[1] == "  exited, exit code 255"
    assert lines[2:] == [f"  'podman exec' ended with 255: no {program} here" for program in ("systemctl", "journalctl")]


def test_nodes_and_site_services_have_three_minutes(monkeypatch):
    """Which an idle machine does not need, and a machine that stands still in between does."""
    waited = []
    monkeypatch.setattr(containers, "wait_for", lambda _condition, seconds, _what: waited.append(seconds))
    containers.await_start("fewnodes-ward-a", lambda: True, "SSH on a")
    assert waited == [180]
    for module in (nodes, site_services):
        assert module.await_start is containers.await_start and not hasattr(module, "wait_for")


def test_a_command_that_takes_too_long_is_ended():
    with pytest.raises(LabError, match="'sleep 600 …' did not end within 0 s"):
        run("sleep", "600", timeout=0.05)


def test_the_readme_warns_before_the_first_command():
    text = " ".join((Path(__file__).parents[3] / "README.md").read_text().split())
    assert 0 < text.index("root in a node is root on this machine") < text.index("make demo #")


INI = """
[consul_servers]
web01.haus.example ansible_host=10.200.7.11
DB_01 ansible_host=10.200.7.12
"""


def of_dots(folder: Path) -> Path:
    """An inventory in INI with names of many sites, and its variables in one file."""
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts").write_text(INI)
    (folder / "group_vars/all.yml").write_text("discovery_domain: haus.example\n")
    return folder


def test_w29_names_with_dots_capitals_and_underscores_are_read_and_derived(tmp_path):
    site = Site.read(of_dots(tmp_path / "ward"))
    assert sorted(site.addresses) == ["DB_01", "web01.haus.example"]
    derive(site.inventory, tmp_path / "copy", "10.200.9.0/24")
    assert "10.200.9.11" in (tmp_path / "copy/hosts").read_text() and "10.200.7" not in (tmp_path / "copy/hosts").read_text()


def test_w29_each_node_has_keys_and_a_hostname_of_its_own(tmp_path, monkeypatch):
    """The keys of web.a and web.b were one, and that of web.a had no public half."""
    monkeypatch.setattr(nodes, "CACHE", tmp_path)
    site = Site.read(of_dots(tmp_path / "ward"))
    nodes._key(nodes._state(site.name) / "id_ed25519", "lab")
    found = {host: nodes._node_files(site, host) for host in ("web.a", "web.b", "DB_01")}
    keys = {files["etc/ssh/ssh_host_ed25519_key"] for files in found.values()}
    assert len(keys) == 3 and all("PRIVATE KEY" in key for key in keys)
    assert all(files["etc/ssh/ssh_host_ed25519_key.pub"].startswith("ssh-ed25519 ") for files in found.values())
    assert [files["etc/hostname"] for files in found.values()] == ["web\n", "web\n", "db-01\n"]


def test_w29_variables_in_one_file_count_beside_those_of_the_lab(tmp_path):
    folder = of_dots(tmp_path / "ward")
    site = Site.read(folder)
    nodes._write_lab_file(site)
    (folder / LAB_FILE).write_text("lab_network: here\n")
    command = [Path(sys.executable).parent / "ansible-inventory", "-i", folder, "--host", "DB_01"]
    variables = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (variables["discovery_domain"], variables["lab_network"]) == ("haus.example", "here")
    keep_shadowed(folder)  # a second `make lab`
    remove_lab_file(folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["all.yml", "group_vars", "hosts"]


def test_w29_variables_in_a_file_without_a_suffix_are_refused(tmp_path):
    folder = of_dots(tmp_path / "ward")
    (folder / "group_vars/all.yml").rename(folder / "group_vars/all")
    with pytest.raises(LabError, match="call it all.yml"):
        Site.read(folder)
