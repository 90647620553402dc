"""Headers that a site or a service has added to answers: what may be one. The collection's preflight reads this file on the
controller, too.

Values stand in double quotes in a configuration, where neither nginx nor HAProxy takes one of their characters for anything else.
"""

import re

NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")  # a longer one does not fit into nginx's table of those that it hides
CHARACTERS = r"[A-Za-z0-9 !&'()*+,./:;<=>?@_~-]"
VALUE = re.compile(rf"(?! ){CHARACTERS}+(?<! )")
# HAProxy keeps 1,024 bytes of its buffer for what is added to an answer: those of the site and of a service fit together.
MOST, LONGEST = 8, 400  # headers; characters of all together
# Those of the connection, of the message, of a page of the balancer, and those that an application alone can know.
RESERVED = frozenset(
    (
        "accept-ranges", "age", "alt-svc", "connection", "content-encoding", "content-length", "content-range", "content-type",
        "date", "etag", "keep-alive", "last-modified", "location", "retry-after", "server", "set-cookie", "status",
        "strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade", "vary", "www-authenticate",
    )
)  # fmt: skip
RESERVED_BEGINNINGS = ("proxy-", "x-accel-")


def problem(name: str, value: str) -> str:
    """Why this is no header to add, "" when it is one."""
    if not NAME.fullmatch(name):
        return "a name has letters, digits and hyphens, at most 40, and begins with a letter"
    if name.lower() in RESERVED or name.lower().startswith(RESERVED_BEGINNINGS):
        return f"{name} is not a header to add"
    if not VALUE.fullmatch(value):
        return "a value has letters, digits, blanks within it and !&'()*+,./:;<=>?@_~-"
    return ""


def bounded(headers: tuple) -> tuple:
    """As many of these headers, from the first on, as may be added."""
    kept, length = [], 0
    for name, value in headers[:MOST]:
        length += len(name) + len(value)
        if length > LONGEST:
            break
        kept.append((name, value))
    return tuple(kept)


def merged(*several) -> tuple:
    """(name, value) of several groups of headers, each name once and in a fixed order; a later group goes before."""
    found = {name.lower(): (name, value) for headers in several for name, value in headers}
    return tuple(found[key] for key in sorted(found))
