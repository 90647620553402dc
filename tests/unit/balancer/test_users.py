"""The lists of users as the roles write them: hashes for the balancer's group alone."""

from pathlib import Path

import pytest

from printed import ROOT, printed

HASH = "$5$abcdefgh$" + "x" * 43
FOLDERS = {"nginx": "/etc/nginx/discovery-htpasswd", "haproxy": "/etc/haproxy/discovery-htpasswd"}
GROUPS = {"nginx": "www-data", "haproxy": "root"}


@pytest.mark.parametrize("backend", FOLDERS)
def test_p1_lists_of_users_are_not_for_everybody(tmp_path, backend):
    """A list that the site has no more is removed; what is checked before is the content."""
    (tmp_path / "templates").symlink_to(ROOT / "roles" / backend / "templates")
    staff = tmp_path / "staff.htpasswd"
    staff.write_text(f"anna:{HASH}\n")
    value = {
        "files": "{{ lookup('ansible.builtin.template', 'htpasswd.yml.j2') | from_yaml }}",
        "checked": "{{ __balancer_settings.balancer_htpasswd }}",
        "known": f"{{{{ __{backend}_options.htpasswd }}}}",
    }
    given = {"balancer_deployment": "host", "balancer_htpasswd": {"staff": str(staff)}, "__nginx_user": "www-data"}
    settings = {"__balancer_settings": {"balancer_htpasswd": SOURCE}}
    (made,) = printed(tmp_path, value, given | settings | OTHERS)
    folder, group = FOLDERS[backend], GROUPS[backend]
    directory, file = made["files"]
    assert directory == {"path": folder, "state": "directory", "mode": "0750", "group": group, "purge": True}
    assert file == {"path": f"{folder}/staff", "mode": "0640", "group": group, "content": f"anna:{HASH}\n"}
    assert (made["checked"], made["known"]) == ({"staff": f"anna:{HASH}"}, {"staff": f"{folder}/staff"})


@pytest.mark.parametrize("backend", FOLDERS)
def test_p1_cas_of_clients_are_written_where_the_program_looks(tmp_path, backend):
    """None is removed before the sync: the configuration that serves names it, and is tested with the new nginx.conf."""
    (tmp_path / "templates").symlink_to(ROOT / "roles" / backend / "templates")
    (tmp_path / "staff.pem").write_text("-----BEGIN\n")
    value = {
        "files": f"{{{{ __{backend}_client_ca_files }}}}",
        "checked": "{{ __balancer_settings.balancer_client_cas }}",
        "known": f"{{{{ __{backend}_options.client_cas }}}}",
    }
    given = {"balancer_deployment": "host", "balancer_client_cas": {"a-b": str(tmp_path / "staff.pem")}}
    settings = {"__balancer_settings": {"balancer_client_cas": _line(VARIABLES, "balancer_client_cas")}}
    (made,) = printed(tmp_path, value, {"__nginx_user": "www-data"} | given | settings | OTHERS)
    folder = FOLDERS[backend].replace("htpasswd", "client-cas")
    assert made["files"] == [
        {"path": folder, "state": "directory"}, {"path": f"{folder}/a-b.pem", "content": "-----BEGIN\n"},
    ]  # fmt: skip
    assert (made["checked"], made["known"]) == ({"a-b": "-----BEGIN"}, {"a-b": f"{folder}/a-b.pem"})


def _line(file: Path, name: str) -> str:
    """The value of a key in a file of variables, as its template."""
    lines = [line for line in file.read_text().splitlines() if line.startswith(f"  {name}: ")]
    return lines[-1].partition(": ")[2].strip('"')


VARIABLES = ROOT / "roles/balancer/vars/main.yml"
SOURCE = _line(VARIABLES, "balancer_htpasswd")
# What the options of a backend need beside it.
OTHERS = {"balancer_access_log": "off", "balancer_domain": "hospital.example", "discovery_floating_addresses": []}
