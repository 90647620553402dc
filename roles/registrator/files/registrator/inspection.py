"""A container's inspection in one form, whatever fields the version of dockerd leaves out or adds. Pure.

Everything after it can rely on types: no answer of dockerd (API 1.40 to 1.52 and later) and nothing that somebody
writes into labels or environment raises an error here or later.

Python 3.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

PORT = re.compile(r"0*([0-9]{1,5})(?:/([a-z]+))?")
IMAGE = "ImageConfig"  # key that Dockerd adds: Config of the container's image; None: the image is gone
PREFIX = "SERVICE_"
OF_IMAGE, OF_ENVIRONMENT = "comes with the image: set it at the container", "in the environment: use a label"


class Port(NamedTuple):
    number: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


class Binding(NamedTuple):
    address: str  # of the host; empty: all
    port: int


@dataclass(frozen=True)
class Container:
    id: str
    name: str
    image: str
    running: bool  # or paused
    paused: bool
    health: str  # of its HEALTHCHECK: none, starting, healthy, unhealthy
    failed: int  # exit code of what ended by itself and not well, else 0
    mode: str  # of its network: bridge, host, container:<id>, or a network's name
    attributes: dict[str, str] = field(default_factory=dict)  # its own environment and labels; labels win
    labels: dict[str, str] = field(default_factory=dict)
    exposed: frozenset[Port] = frozenset()
    published: dict[Port, tuple[Binding, ...]] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)  # its address in each that has given it one
    odd: tuple[str, ...] = ()  # keys of ports that are none
    ignored: tuple[tuple[str, str], ...] = ()  # keys of labels and environment that do not apply, and why
    image_gone: bool = False  # so what came with it applies


def read(inspection: dict, labels_only: bool = False) -> Container:
    """The container that an answer to GET /containers/{id}/json describes; missing or odd parts count as empty.

    dockerd merges labels and environment of the image into those of the container. With the image's (IMAGE), what equals
    them is not the word of whoever started the container, and is left out.

    :param labels_only: leave out the environment, too
    """
    config, state = _dict(inspection.get("Config")), _dict(inspection.get("State"))
    network = _dict(inspection.get("NetworkSettings"))
    mode = _text(_dict(inspection.get("HostConfig")).get("NetworkMode")) or "default"
    exposed, published = _dict(config.get("ExposedPorts")), _dict(network.get("Ports"))
    identity = _text(inspection.get("Id"))
    attributes, labels, ignored = _attributes(config, inspection, labels_only)
    return Container(
        id=identity,
        name=_text(inspection.get("Name")).removeprefix("/") or identity[:12],
        image=_text(config.get("Image")),
        running=state.get("Status") in ("running", "paused"),
        paused=bool(state.get("Paused")),
        health=_text(_dict(state.get("Health")).get("Status")) or "none",
        failed=_failed(state),
        mode="bridge" if mode == "default" else mode,
        attributes=attributes,
        labels=labels,
        exposed=frozenset(filter(None, map(_port, exposed))),
        published={port: _bindings(value) for key, value in published.items() if (port := _port(key))},
        networks=_networks(network),
        odd=tuple(sorted(repr(key) for key in {*exposed, *published} if not _port(key))),
        ignored=ignored,
        image_gone=IMAGE in inspection and inspection[IMAGE] is None,
    )


def _attributes(
    config: dict, inspection: dict, labels_only: bool
) -> tuple[dict[str, str], dict[str, str], tuple[tuple[str, str], ...]]:
    """Environment and labels in one, labels alone, and what is ignored, with the reason."""
    image = _dict(inspection.get(IMAGE))
    labels, environment = _texts(config.get("Labels")), _environment(config)
    own_labels = dict(labels.items() - _texts(image.get("Labels")).items())
    own = dict(environment.items() - _environment(image).items())
    reasons = dict.fromkeys((labels.keys() | environment.keys()) - own_labels.keys() - own.keys(), OF_IMAGE)
    if labels_only:
        reasons |= dict.fromkeys({key for key in own if key.startswith(PREFIX)} - own_labels.keys(), OF_ENVIRONMENT)
        own = {}
    return own | own_labels, own_labels, tuple(sorted(reasons.items()))


def _environment(config: dict) -> dict[str, str]:
    pairs = (_text(text).partition("=") for text in _list(config.get("Env")))
    return {key: value for key, equals, value in pairs if equals}


def _failed(state: dict) -> int:
    """Exit code of a failure; an exit by a signal (bit 7) is none."""
    code = _number(state.get("ExitCode"))
    return code if state.get("Status") in ("exited", "dead") and not code & 128 else 0


def _port(key: object) -> Port | None:
    found = PORT.fullmatch(key) if isinstance(key, str) else None
    number = int(found[1]) if found else 0
    return Port(number, found[2] or "tcp") if 0 < number < 65536 else None


def _bindings(value: object) -> tuple[Binding, ...]:
    found = (Binding(_text(one.get("HostIp")), _number(one.get("HostPort"))) for one in map(_dict, _list(value)))
    return tuple(binding for binding in found if 0 <= binding.port < 65536)


def _networks(settings: dict) -> dict[str, str]:
    networks = _dict(settings.get("Networks")).items()
    found = {_text(name): _text(_dict(network).get("IPAddress")) for name, network in networks}
    return {name: address for name, address in found.items() if address}


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    """Valid Unicode, because Consul would store other text differently."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _texts(value: object) -> dict[str, str]:
    return {_text(key): _text(text) for key, text in _dict(value).items() if isinstance(text, str)}


def _number(value: object) -> int:
    """A whole number, also one written as text; 0 when it is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else 0
    return value if isinstance(value, int) else 0
