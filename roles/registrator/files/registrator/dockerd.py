"""dockerd's API over its local socket: containers, networks and events. Python 3.9."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from urllib.parse import quote

from .inspection import IMAGE
from .unix import UnixConnection

# Events that can change a service. dockerd sends many more: every run of a HEALTHCHECK is three events.
CONTAINER_EVENTS = ["start", "die", "kill", "pause", "unpause", "rename", "destroy", "health_status"]
# Events that change the address of a running container, or its published ports: when it is connected again, -P gives it others.
NETWORK_EVENTS = ["connect", "disconnect"]
TIMEOUT = 30  # seconds


class DockerdError(Exception):
    """dockerd answered with an error."""


class Dockerd:
    def __init__(self, address: str, with_images: bool = True):
        """:param with_images: add the image's configuration to each inspection, under IMAGE"""
        self._path, self._with_images = address.removeprefix("unix://"), with_images
        self._images: dict[str, dict] = {}  # id of an image, which never changes: its labels and environment

    def id(self) -> str:
        """dockerd's id, which survives a new host name."""
        return self._get(self._connect(), "/info").get("ID", "")

    def containers(self, stopped: bool) -> Iterator[dict]:
        """The inspections of all running (or of all) containers, one after the other: together they are large."""
        connection = self._connect()
        listed = self._get(connection, f"/containers/json?all={int(stopped)}")
        used = {item.get("ImageID") for item in listed}
        self._images = {image: config for image, config in self._images.items() if image in used}
        found = (self._inspect(connection, item["Id"]) for item in listed)
        return (self._with_image(connection, container) for container in found if container)

    def container(self, identity: str) -> dict | None:
        return self._inspect(self._connect(), identity)

    def restart(self, identity: str, seconds: int) -> None:
        """End a container, by SIGKILL after so many seconds, and start it again.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerRestart
        """
        self._request(self._connect(), f"/containers/{identity}/restart?t={seconds}", (204,), method="POST").read()

    def overlays(self) -> frozenset[str]:
        """Names of the networks whose addresses the host itself cannot reach."""
        networks = self._get(self._connect(), "/networks")
        return frozenset(network["Name"] for network in networks if network["Driver"] == "overlay")

    def events(self) -> Iterator[dict]:
        """Events of containers and networks from now on. The first one is empty: none is missed from here on."""
        connection = self._connect()
        connection.connect()
        stream = connection.sock
        wanted = {"type": ["container", "network"], "event": CONTAINER_EVENTS + NETWORK_EVENTS}
        answer = self._request(connection, f"/events?filters={quote(json.dumps(wanted))}")
        stream.settimeout(None)
        yield {}
        while text := answer.readline():
            yield json.loads(text)

    def _with_image(self, connection: UnixConnection, container: dict) -> dict:
        """The inspection, and its image's configuration, which dockerd is asked for once; None when the image is gone."""
        image = container.get("Image")
        if not self._with_images or not isinstance(image, str):
            return container
        if image not in self._images:
            found = self._get(connection, f"/images/{quote(image, safe=':')}/json", gone_is_none=True)
            if found is None:
                return container | {IMAGE: None}
            config = found.get("Config") or {}
            self._images[image] = {key: config.get(key) for key in ("Labels", "Env")}
        return container | {IMAGE: self._images[image]}

    def _connect(self) -> UnixConnection:
        return UnixConnection(self._path, TIMEOUT)

    def _inspect(self, connection: UnixConnection, identity: str) -> dict | None:
        return self._get(connection, f"/containers/{identity}/json", gone_is_none=True)

    def _get(self, connection: UnixConnection, path: str, gone_is_none: bool = False):
        answer = self._request(connection, path, (200, 404) if gone_is_none else (200,))
        body = answer.read()
        return json.loads(body) if answer.status == 200 else None

    @staticmethod
    def _request(connection: UnixConnection, path: str, good=(200,), method: str = "GET") -> http.client.HTTPResponse:
        connection.request(method, path)
        answer = connection.getresponse()
        if answer.status not in good:
            text = answer.read(300).decode(errors="replace").strip()
            raise DockerdError(f"{method} {path.partition('?')[0]}: {answer.status} {text}")
        return answer
