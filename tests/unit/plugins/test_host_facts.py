import subprocess

from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT, host_facts


def test_a_report_is_read():
    program = "program b7c0  /opt/consul/1.22.7/consul\n"
    parts = "template templates\npart overlay\npart balancer\npart balancer\n"
    found = host_facts(f"user root\nuser consul\npackage nginx\n{program}{parts}package_tool\n")
    assert found == {
        "packages": ["nginx"],
        "users": ["root", "consul"],
        "programs": {"/opt/consul/1.22.7/consul": "b7c0"},
        "configurations": {},
        "consul_template": ["templates"],
        "parts": ["balancer", "overlay"],
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
        "resolvers": [],
        "package_tool": False,
    }


def test_the_report_of_this_machine_names_its_users():
    report = subprocess.run(["sh", "-c", REPORT], capture_output=True, text=True, check=True).stdout
    assert "root" in host_facts(report)["users"]
