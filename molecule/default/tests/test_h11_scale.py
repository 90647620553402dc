"""H11: a service is scaled over all docker hosts under load, and back."""

from tests.support.scaling import remove, up_and_down


def test_h11_one_to_many_to_one_under_load(site, settled, tmp_path, show):
    try:
        up_and_down(site, site.docker_hosts, len(site.docker_hosts), tmp_path, show)
    finally:
        remove(site.docker_hosts)
