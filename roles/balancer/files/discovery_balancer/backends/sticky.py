"""Pure: the cookies of services that keep a client at one instance.

A value names an instance of one service for every load balancer of the site, nginx or HAProxy. It is long enough for instances to
differ, and too short to find out an address by trying all. Who makes one up gets an instance that he could get anyway.
"""

import hashlib

NAME_DIGITS = 16  # nobody finds another service with the same ones
DIGITS = 4  # of a value


def key(service) -> str:
    """What stands for a service in the names of cookies: 16 hexadecimal digits."""
    return hashlib.sha256(service.name.encode()).hexdigest()[:NAME_DIGITS]


def cookie(service) -> str:
    """The name of its cookie: two services of one host have different ones."""
    return f"sticky_{key(service)}"


def values(service) -> dict:
    """{value: instance}, the same on every load balancer: of two instances whose first digits are alike, the latter has the next
    ones.

    :param service: with instances in a fixed order, each address and port once
    """
    found = {}
    for instance in service.instances:
        digits = hashlib.sha256(f"{service.name} {instance.address}:{instance.port}".encode()).hexdigest()
        pieces = (digits[at : at + DIGITS] for at in range(0, len(digits), DIGITS))
        if value := next((piece for piece in pieces if piece not in found), ""):
            found[value] = instance
    return found
