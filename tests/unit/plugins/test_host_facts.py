import subprocess

import pytest
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT, host_facts


def test_a_report_is_read():
    program = "program b7c0  /opt/consul/1.22.7/consul\n"
    parts = "template templates\npart overlay\npart balancer\npart balancer\nbalancer_part nginx\n"
    found = host_facts(f"user root\nuser consul\npackage nginx\n{program}{parts}package_tool\n")
    assert found == {
        "packages": ["nginx"],
        "users": ["root", "consul"],
        "programs": {"/opt/consul/1.22.7/consul": "b7c0"},
        "configurations": {},
        "consul_template": ["templates"],
        "parts": ["balancer", "overlay"],
        "balancer_parts": ["nginx"],
        "resolvers": [],
        "package_tool": True,
    }


def test_a_host_without_python_apt_has_no_package_tool():
    assert host_facts("user root\n") == {
        "packages": [],
        "users": ["root"],
        "programs": {},
        "configurations": {},
        "consul_template": [],
        "parts": [],
        "balancer_parts": [],
        "resolvers": [],
        "package_tool": False,
    }


def test_the_report_of_this_machine_names_its_users():
    report = subprocess.run(["sh", "-c", REPORT], capture_output=True, text=True, check=True).stdout
    assert "root" in host_facts(report)["users"]


def link(top, name, target):
    (top / "usr/local/bin" / name).symlink_to(target)


def program(top, path):
    (top / path).parent.mkdir(parents=True)
    (top / path).write_text("x")
    (top / path).chmod(0o755)


LINKS = {
    "leads to it": (lambda top: link(top, "consul", top / "opt/consul/1.22.7/consul"), True),
    "missing": (lambda top: None, False),
    "leads elsewhere": (lambda top: link(top, "consul", top / "opt/consul/1.22.6/consul"), False),
    "of another name": (lambda top: link(top, "other", top / "opt/consul/1.22.7/consul"), False),
    "leads to its link": (lambda top: link(top, "consul", "../../../opt/consul/1.22.7/consul"), False),
    "a copy": (lambda top: (top / "usr/local/bin/consul").write_text("x"), False),
}


@pytest.mark.parametrize(("edit", "listed"), LINKS.values(), ids=LINKS)
def test_a_program_that_is_listed_is_linked(tmp_path, edit, listed):
    """So the entry point `release` of the role common has no look at the link of a program that is listed."""
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    for version in ("1.22.6", "1.22.7"):
        program(tmp_path, f"opt/consul/{version}/consul")
    edit(tmp_path)
    report = REPORT.replace("/usr/local/bin", f"{tmp_path}/usr/local/bin").replace("/opt/", f"{tmp_path}/opt/")
    done = subprocess.run(["sh", "-c", report], capture_output=True, text=True, check=False)
    assert (f"{tmp_path}/opt/consul/1.22.7/consul" in host_facts(done.stdout)["programs"]) is listed


MARKS = {
    "nothing": ([], []),
    "options of the site": (["etc/discovery-balancer.json"], []),
    "two backends": (["etc/discovery-balancer-haproxy.json", "etc/discovery-balancer-nginx.json"], ["haproxy", "nginx"]),
    "container": (["etc/systemd/system/nginx.service"], ["nginx_container"]),
    "timer": (["etc/systemd/system/discovery-balancer.timer"], ["timer"]),
}


@pytest.mark.parametrize(("files", "expected"), MARKS.values(), ids=MARKS)
def test_parts_of_a_load_balancer_are_listed(tmp_path, files, expected):
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for file in files:
        (tmp_path / file).write_text("ExecStart=/usr/bin/docker run --name=discovery-nginx\n")
    done = subprocess.run(["sh", "-c", REPORT.replace("/etc/", f"{tmp_path}/etc/")], capture_output=True, text=True, check=False)
    assert host_facts(done.stdout)["balancer_parts"] == expected


def test_a_unit_of_another_source_is_no_container_of_ours(tmp_path):
    (tmp_path / "nginx.service").write_text("ExecStart=/usr/sbin/nginx\n")
    report = REPORT.replace("/etc/systemd/system/", f"{tmp_path}/")
    done = subprocess.run(["sh", "-c", report], capture_output=True, text=True, check=False)
    assert host_facts(done.stdout)["balancer_parts"] == []
