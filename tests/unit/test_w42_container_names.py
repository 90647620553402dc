"""W42: a site may have containers wait long enough for dockerd's own DNS to ask the second name server."""

from pathlib import Path

from tests.yaml_text import parse_yaml

ROLE = Path(__file__).parents[2] / "roles/dockerd"


def test_w42_the_options_reach_daemon_json():
    config = parse_yaml((ROLE / "vars/main.yml").read_text())["__dockerd_base_config"]
    assert config["dns-opts"] == "{{ dockerd_dns_options | fewnodes.discovery.as_list }}"


def test_w42_a_lost_packet_costs_no_more_than_on_the_host():
    """As long as a site does not ask for it."""
    assert parse_yaml((ROLE / "defaults/main.yml").read_text())["dockerd_dns_options"] == []
