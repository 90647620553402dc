"""Names of container images, as far as they can be checked before one is pulled."""

from __future__ import annotations

import re
from collections.abc import Mapping

# The grammar of distribution/reference, for a tag or a digest. Not both: docker_image_pull does not find such an image again.
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
REFERENCE = re.compile(rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}}|@sha256:[0-9a-f]{{64}})?")


def image_problems(images: Mapping[str, str], host: str) -> list[str]:
    """Malformed names of images, one message each.

    :param images: variable to the name that it holds; '' is not checked
    :param host: inventory name
    :returns: [] when nothing is wrong
    """
    return [
        f"{variable} is {name} on {host}: set it to an image by its tag, name:tag, or pinned by its digest, name@sha256: with 64"
        " hexadecimal digits and without a tag"
        for variable, name in images.items()
        if name and not REFERENCE.fullmatch(name)
    ]
