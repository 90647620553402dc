"""A changed unit of nginx's container: only another container is a restart, which clients notice."""

from pathlib import Path

import pytest
from tests.yaml_text import parse_yaml

from printed import printed

ROOT = Path(__file__).parents[3]
HANDLER = next(
    one for one in parse_yaml((ROOT / "roles/nginx/handlers/main.yml").read_text())
    if one["name"] == "Restart nginx in its container"
)  # fmt: skip
UNIT = f"lookup('ansible.builtin.template', '{ROOT}/roles/nginx/templates/nginx.service.j2', template_vars=%s)"
# Name of a change to the text before it.
BEFORE = {
    "nothing": UNIT % {},
    "comments, Description and ExecStartPost": UNIT % {} + " | replace('load balancer', 'site') | replace(' sync ', ' apply ')",
    "image": UNIT % {"nginx_image": "nginx:1.0"},
    "network": UNIT % {"balancer_network": "other"},
    "port": UNIT % {"balancer_http_port": 81},
    "no unit": "''",
}


@pytest.fixture(scope="module")
def restarts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unit")
    handled = HANDLER["vars"] | {
        "__nginx_unit_file": {"diff": [{"before": "{{ item.value }}", "after": "{{ %s }}" % (UNIT % {})}]}
    }
    found = printed(
        folder,
        {"change": "{{ item.key }}", "restart": "{{ " + HANDLER["when"][0] + " }}"},
        {"balancer_deployment": "overlay", "balancer_address": "192.0.2.1"},
        loop="{{ %s | dict2items }}" % ("{" + ", ".join(f"{name!r}: {text}" for name, text in BEFORE.items()) + "}"),
        loop_control={"label": "{{ item.key }}"},
        vars=handled,
    )
    return {one["change"]: one["restart"] for one in found}


@pytest.mark.parametrize("change", BEFORE)
def test_only_another_container_is_a_restart(restarts, change):
    assert restarts[change] == (change in ("image", "network", "port", "no unit"))
