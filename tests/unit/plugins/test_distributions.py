import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule
from ansible_collections.fewnodes.discovery.plugins.plugin_utils.distributions import (
    FAMILIES,
    RELEASES,
    SUPPORTED,
    UNTESTED,
)

FILTERS = FilterModule().filters()
distribution, package_names = FILTERS["distribution"], FILTERS["package_names"]


def facts(release):
    return {"distribution": "Debian", "distribution_major_version": release, "os_family": "Debian"}


def ubuntu(version):
    major = version.split(".")[0]
    return {
        "distribution": "Ubuntu", "distribution_version": version, "distribution_major_version": major, "os_family": "Debian",
    }  # fmt: skip


def test_the_releases():
    assert SUPPORTED == ("Debian 11", "Debian 12", "Debian 13")
    assert UNTESTED == ("Ubuntu 22.04", "Ubuntu 24.04")


@pytest.mark.parametrize("release", RELEASES.values(), ids=RELEASES)
def test_a_row_changes_only_what_its_family_has(release):
    family = FAMILIES[release["family"]]
    assert set(release) - {"family", "tested"} <= set(family)
    for part in ("packages", "users", "paths"):
        assert set(release.get(part, {})) <= set(family[part])


def test_a_supported_release_has_its_row():
    row = distribution(facts("13"))
    assert (row["name"], row["supported"], row["family"]) == ("Debian 13", True, "Debian")
    assert row["packages"]["docker"] == ["docker.io", "docker-cli", "ca-certificates"]
    assert row["users"]["nginx"] == "www-data"


@pytest.mark.parametrize(("version", "resolved"), [("22.04", []), ("24.04", ["systemd-resolved"])])
def test_a_release_that_was_not_tried_has_its_row(version, resolved):
    row = distribution(ubuntu(version))
    assert (row["name"], row["supported"], row["packages"]["systemd_resolved"]) == (f"Ubuntu {version}", False, resolved)
    assert row["packages"]["docker"] == ["docker.io", "ca-certificates"]


@pytest.mark.parametrize("found", [facts("10"), {}, {"distribution": "Fedora", "os_family": "RedHat"}, ubuntu("24.10")])
def test_an_unsupported_release_and_unknown_facts_give_the_family(found):
    row = distribution(found)
    assert (row["supported"], row["family"]) == (False, "Debian")
    assert row["packages"]["docker"] == ["docker.io", "ca-certificates"]


def test_a_need_becomes_its_packages_and_a_name_stays():
    assert package_names(["docker", "curl", "ca-certificates"], facts("12")) == ["docker.io", "ca-certificates", "curl"]


def test_systemd_resolved_of_debian_11_has_no_package_of_its_own():
    assert package_names(["systemd_resolved"], facts("11")) == []
    assert package_names(["systemd_resolved"], facts("12")) == ["systemd-resolved"]


@pytest.mark.parametrize("call", [lambda: distribution("x"), lambda: package_names("a", {}), lambda: package_names([], None)])
def test_wrong_input_is_named(call):
    with pytest.raises(AnsibleFilterError, match="fewnodes.discovery"):
        call()


def test_w64_the_documented_list_takes_every_server_s_package_from_the_timer():
    """unattended-upgrades compares the begin of a name (a regular expression)."""
    text = Path(__file__).parents[3].joinpath("docs/operations.md").read_text()
    patterns = re.findall(r'"([^"]+)";', re.search(r"Package-Blacklist \{(.+?)\};\n", text)[1] + ";")
    rows = [family["packages"] for family in FAMILIES.values()] + [row.get("packages", {}) for row in RELEASES.values()]
    named = {name for row in rows for need in ("docker", "nginx", "haproxy") for name in row.get(need, [])} - {"ca-certificates"}
    missed = [name for name in sorted(named | {"containerd", "runc"}) if not any(re.match(one, name) for one in patterns)]
    assert named and missed == []
