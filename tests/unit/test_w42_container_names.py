"""W42: containers wait long enough for dockerd's own DNS to ask the second name server, and no longer than promised."""

from pathlib import Path

from tests.yaml_text import parse_yaml

ROLE = Path(__file__).parents[2] / "roles/dockerd"
DOCKERD_WAITS = 4  # seconds for a name server (extIOTimeout in resolver.go of moby v20.10.5 to v26.1.5)
PROMISED = 6


def test_w42_a_program_waits_for_the_answer_of_the_second_server():
    """One of glibc, in all of its tries. On the default bridge it asks the second server itself, after a single one: so
    much a lost packet costs, too."""
    options = dict(option.split(":") for option in parse_yaml((ROLE / "defaults/main.yml").read_text())["dockerd_dns_options"])
    timeout, attempts = int(options["timeout"]), int(options["attempts"])
    assert timeout == 1 and DOCKERD_WAITS < timeout * attempts < PROMISED


def test_w42_the_options_reach_daemon_json():
    config = parse_yaml((ROLE / "vars/main.yml").read_text())["__dockerd_base_config"]
    assert config["dns-opts"] == "{{ dockerd_dns_options }}"
