"""A host that serves something of its own is refused by name, before anything changes; what is ours or the package's is not."""

import subprocess
from pathlib import Path

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.host_facts import REPORT, host_facts
from tests.yaml_text import parse_yaml

ROOT = Path(__file__).parents[3]
server_problems = FilterModule().filters()["server_problems"]
PACKAGE, OWN = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


def found(*lines: str) -> dict[str, str]:
    return host_facts("\n".join(["user root", f"conffile {PACKAGE}", *lines]))["configurations"]


def test_w13_a_file_is_ours_the_packages_or_another():
    lines = (
        f"server {PACKAGE} other /etc/nginx/nginx.conf", f"server {OWN} other /etc/nginx/conf.d/intranet.conf",
        f"server {OWN} ours /etc/haproxy/haproxy.cfg",
    )  # fmt: skip
    assert found(*lines) == {
        "/etc/nginx/nginx.conf": "package", "/etc/nginx/conf.d/intranet.conf": "other", "/etc/haproxy/haproxy.cfg": "ours",
    }  # fmt: skip


FINE = {
    "no nginx": {},
    "as the package has it": {"/etc/nginx/nginx.conf": "package", "/etc/nginx/sites-enabled/default": "package"},
    "ours, beside what our nginx.conf does not include": {"/etc/nginx/nginx.conf": "ours", "/etc/nginx/conf.d/x.conf": "other"},
    "sites of a package that was removed": {"/etc/nginx/conf.d/x.conf": "other"},
    "another server": {"/etc/haproxy/haproxy.cfg": "other"},
}
REFUSED = {
    "a site in conf.d": ({"/etc/nginx/nginx.conf": "package", "/etc/nginx/conf.d/own.conf": "other"}, "conf.d/own.conf"),
    "a changed nginx.conf": ({"/etc/nginx/nginx.conf": "other"}, "/etc/nginx/nginx.conf"),
    "a changed default site": (
        {"/etc/nginx/nginx.conf": "package", "/etc/nginx/sites-enabled/default": "other"}, "sites-enabled/default",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FINE)
def test_w13_nothing_is_lost(case):
    assert server_problems(FINE[case], "n1", "/etc/nginx/nginx.conf") == []


@pytest.mark.parametrize("case", REFUSED)
def test_w13_what_would_be_lost_is_named_with_the_way_out(case):
    files, named = REFUSED[case]
    (problem,) = server_problems(files, "n1", "/etc/nginx/nginx.conf")
    assert "n1 serves something of its own" in problem and named in problem
    assert "load_balancers" in problem and "container" in problem


def test_w13_haproxy_is_checked_likewise():
    assert "haproxy.cfg" in server_problems({"/etc/haproxy/haproxy.cfg": "other"}, "n1", "/etc/haproxy/haproxy.cfg")[0]


def test_w13_the_report_reads_a_host(tmp_path):
    """The command of the host, with its files below another root."""
    nginx = tmp_path / "etc/nginx"
    (nginx / "conf.d").mkdir(parents=True)
    (nginx / "sites-enabled").mkdir()
    (nginx / "nginx.conf").write_text("events {}\n")
    (nginx / "conf.d/intranet.conf").write_text("server {}\n")
    (nginx / "default").write_text("server {}\n# package\n")
    (nginx / "sites-enabled/default").symlink_to("../default")
    sums = {
        path: subprocess.check_output(["md5sum", path], text=True).split()[0]
        for path in (nginx / "nginx.conf", nginx / "default")
    }
    (tmp_path / "status").write_text(
        "Package: nginx-common\nStatus: install ok installed\nConffiles:\n"
        + "".join(f" /etc/nginx/{path.name} {checksum}\n" for path, checksum in sums.items())
    )
    report = REPORT.replace("/etc/nginx", str(nginx)).replace("/etc/haproxy", str(tmp_path / "none"))
    report = report.replace("/var/lib/dpkg/status", str(tmp_path / "status")).replace(rf"^ \{nginx}", "^ /etc/nginx")
    facts = host_facts(subprocess.run(["sh", "-c", report], capture_output=True, text=True, check=True).stdout)
    kinds = {path.removeprefix(str(nginx)): kind for path, kind in facts["configurations"].items()}
    assert kinds == {"/nginx.conf": "package", "/conf.d/intranet.conf": "other", "/sites-enabled/default": "package"}
    (nginx / "nginx.conf").write_text("http { include discovery/http.conf; }\n")
    facts = host_facts(subprocess.run(["sh", "-c", report], capture_output=True, text=True, check=True).stdout)
    assert facts["configurations"][str(nginx / "nginx.conf")] == "ours"


@pytest.mark.parametrize(("role", "main"), [("nginx", "/etc/nginx/nginx.conf"), ("haproxy", "/etc/haproxy/haproxy.cfg")])
def test_w13_the_preflight_of_each_server_asks(role, main):
    text = (ROOT / f"roles/{role}/tasks/preflight.yml").read_text()
    assert f"common_host.configurations | fewnodes.discovery.server_problems(inventory_hostname, '{main}')" in text
    assert parse_yaml(text)
