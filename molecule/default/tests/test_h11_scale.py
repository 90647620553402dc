"""H11: a service is scaled over all docker hosts under load, and back."""

import pytest
from tests.support.scaling import remove, up_and_down


@pytest.mark.more  # S7 does the same on the overlay network of this site
def test_h11_one_to_many_to_one_under_load(site, settled, tmp_path, show):
    try:
        up_and_down(site, site.docker_hosts, len(site.docker_hosts), tmp_path, show)
    finally:
        remove(site.docker_hosts)
