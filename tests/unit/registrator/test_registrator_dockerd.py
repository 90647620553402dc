"""What dockerd is asked for: the configuration of an image once, however often containers are read; and all events of places."""

import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from dockerd_server import dockerd_at
from registrator.dockerd import Dockerd
from registrator.inspection import IMAGE
from registrator.loop import CONNECTED, Loop
from registrator.options import Options
from registrator_cases import HOST

CONFIG = {"Labels": {"SERVICE_NAME": "x"}, "Env": ["A=b"], "Cmd": ["sh"]}


class Recorded(Dockerd):
    """Answers from a dict of paths, and keeps what was asked."""

    def __init__(self, answers, **more):
        super().__init__("unix:///nowhere", **more)
        self.answers, self.asked = answers, []

    def _get(self, connection, path, gone_is_none=False):
        self.asked.append(path)
        assert gone_is_none or path in self.answers, path
        return self.answers.get(path)


def dockerd(images=("sha256:1", "sha256:1", "sha256:2"), **more):
    listed = [{"Id": f"c{number}", "ImageID": image} for number, image in enumerate(images)]
    return Recorded({
        "/containers/json?all=0": listed,
        **{f"/containers/{one['Id']}/json": {"Id": one["Id"], "Image": one["ImageID"]} for one in listed},
        "/images/sha256:1/json": {"Config": CONFIG},
        "/images/sha256:2/json": {"Config": None},
    }, **more)  # fmt: skip


def configs(engine):
    return [one.get(IMAGE, "-") for one in engine.containers(stopped=False)]


def about_images(engine):
    return [path for path in engine.asked if path.startswith("/images/")]


def test_an_images_configuration_is_asked_for_once():
    engine = dockerd()
    expected = [{"Labels": {"SERVICE_NAME": "x"}, "Env": ["A=b"]}] * 2 + [{"Labels": None, "Env": None}]
    assert configs(engine) == expected == configs(engine)
    assert about_images(engine) == ["/images/sha256:1/json", "/images/sha256:2/json"]


def test_a_gone_image_is_none_and_asked_for_again():
    engine = dockerd(images=["sha256:gone"])
    assert configs(engine) == [None] == configs(engine)
    assert len(about_images(engine)) == 2


def test_an_image_without_containers_is_forgotten():
    engine = dockerd()
    configs(engine)
    engine.answers["/containers/json?all=0"] = []
    assert configs(engine) == [] and engine._images == {}


@pytest.mark.parametrize("image", [None, 7])
def test_an_odd_image_is_not_asked_for(image):
    assert configs(dockerd(images=[image])) == ["-"]


def test_with_image_labels_no_image_is_asked_for():
    engine = dockerd(with_images=False)
    assert configs(engine) == ["-"] * 3 and about_images(engine) == []


@pytest.mark.parametrize("options", [Options(ip="192.0.2.1"), Options(internal=True)])
def test_w11_the_loop_hears_of_networks_whatever_it_registers(tmp_path, options):
    """A container that is connected again publishes other ports, with -internal or without."""
    connected = {"Type": "network", "Action": "connect", "Actor": {"ID": "n", "Attributes": {"container": "c1"}}}
    with dockerd_at(tmp_path / "socket", lambda _: (200, json.dumps(connected).encode() + b"\n")) as (address, asked):
        loop = Loop(options, Dockerd(address), agent=None, host=HOST)
        threading.Thread(target=loop.watch, daemon=True).start()
        assert [loop.events.get(timeout=30) for _ in range(2)] == [CONNECTED, connected]
    wanted = json.loads(parse_qs(urlsplit(asked[0][1]).query)["filters"][0])
    assert set(wanted["type"]) == {"container", "network"} and {"connect", "disconnect"} <= set(wanted["event"])
