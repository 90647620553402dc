"""Names of images that preflight refuses before one is pulled."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.filter.filters import FilterModule

image_problems = FilterModule().filters()["image_problems"]
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nginx",
        "nginx:1.26",
        "library/python:3.13-slim",
        "registry.hospital.example:5000/a/b__c:V1.0_x",
        "localhost:5000/python",
        f"python@sha256:{DIGEST}",
        f"registry.hospital.example:5000/python@sha256:{DIGEST}",
    ],
)
def test_an_image_by_tag_or_digest_is_accepted(name):
    assert image_problems({"nginx_image": name}, "h") == []


@pytest.mark.parametrize(
    "name",
    [
        f"nginx:1.26@sha256:{DIGEST}",
        f"nginx@sha256:{DIGEST[:-1]}",
        f"nginx@sha256:{DIGEST.upper()}",
        f"nginx@sha512:{DIGEST}",
        f"nginx@{DIGEST}",
        f"@sha256:{DIGEST}",
        "nginx:",
        "Nginx:1.26",
        "nginx:1.26 --privileged",
        "https://registry.hospital.example/nginx",
    ],
)
def test_a_malformed_image_is_named(name):
    (message,) = image_problems({"nginx_image": name, "registrator_image": ""}, "h")
    assert message.startswith(f"nginx_image is {name} on h: set it to") and "name@sha256:" in message
