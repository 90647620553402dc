"""The tests of a site with an overlay network also run on the three-node site, which gets one for them."""

import pytest
from tests.support.overlay_switch import switched_on


@pytest.fixture(scope="session")
def site(site, tmp_path_factory):
    if site.network:
        yield site
        return
    with switched_on(site, tmp_path_factory.mktemp("overlay")) as switched:
        yield switched
