"""Members that are removed for good: the order of the requests, so that none joins again with a token that it kept."""

from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.docker_api import DockerError
from ansible_collections.fewnodes.discovery.plugins.modules import swarm_nodes

SPEC = {"Name": "default", "CAConfig": {"NodeCertExpiry": 7776000000000000}}


class Swarm:
    """A manager's API, with three members. The host of the last one joins again, as it was, as often as it has a valid token.

    :param hostile: its part
    :param joins: how often it does
    """

    def __init__(self, hostile: str = "manager", joins: int = 0):
        self.parts = {"A": "manager", "B": "manager", "C": hostile}
        self.hostile, self.joins, self.knows, self.version = hostile, joins, True, 1
        self.log: list[str] = []

    def address(self, key):
        return f"192.0.2.{ord(key[0]) - 64}"

    def get(self, path):
        if path == "/swarm":
            return {"Version": {"Index": self.version}, "Spec": SPEC, "JoinTokens": {"Worker": "w", "Manager": "m"}}
        if path != "/nodes":
            return self.entry(path.rpartition("/")[2])
        found = [self.entry(key) for key in self.parts]
        self.join()
        return found

    def join(self):
        if self.knows and self.joins:
            self.joins -= 1
            self.parts[f"C{self.joins}"] = self.hostile

    def entry(self, key):
        managing = {"ManagerStatus": {"Addr": f"{self.address(key)}:2377", "Reachability": "reachable"}}
        return {
            "ID": key, "Spec": {"Role": self.parts[key]}, "Version": {"Index": 1}, "Description": {"Hostname": key.lower()},
            "Status": {"State": "ready", "Addr": self.address(key)},
        } | (managing if self.parts[key] == "manager" else {})  # fmt: skip

    def post(self, path, body=None):
        parts = urlsplit(path)
        if parts.path == "/swarm/update":
            query = {key: value[0] for key, value in parse_qs(parts.query).items()}
            assert (query.pop("version"), body) == (str(self.version), SPEC)
            assert query == {"rotateWorkerToken": "true", "rotateManagerToken": "true"}
            self.knows = any(
                part == "manager" and key[0] == "C" for key, part in self.parts.items()
            )  # a manager reads the new ones
            self.log.append("rotate")
        else:
            key = parts.path.split("/")[2]
            self.parts[key] = body["Role"]
            self.log.append(f"{key} {body['Role']}")

    def delete(self, path):
        key = urlsplit(path).path.rpartition("/")[2]
        assert self.parts.pop(key) == "worker"
        self.log.append(f"{key} removed")


@pytest.mark.parametrize("joins", [0, 1, 2])
@pytest.mark.parametrize("hostile", ["manager", "worker"])
def test_x6_a_removed_member_of_the_swarm_does_not_join_again(hostile, joins):
    swarm = Swarm(hostile, joins)
    done = swarm_nodes.run(swarm, {}, ["192.0.2.3"], True, 5, False)
    swarm.join()
    assert set(swarm.parts) == {"A", "B"}, "nothing is left at its address"
    assert max(n for n, one in enumerate(swarm.log) if one == "rotate") < min(
        n for n, one in enumerate(swarm.log) if "removed" in one
    )
    assert "new tokens for joining" in done and done[-1].endswith(": remove")


def test_a_host_that_is_a_manager_again_and_again_ends_the_run():
    swarm = Swarm("manager", 10**6)
    with pytest.raises(DockerError, match=r"still managers at 192\.0\.2\.3"):
        swarm_nodes.run(swarm, {}, ["192.0.2.3"], True, 0.05, False)


def test_a_removal_of_which_nothing_is_left_is_resumed_with_new_tokens():
    swarm = Swarm()
    del swarm.parts["C"]
    assert swarm_nodes.run(swarm, {}, ["192.0.2.3"], True, 5, False) == ["new tokens for joining"]


def test_check_mode_reports_the_same_and_does_nothing():
    swarm = Swarm()
    assert swarm_nodes.run(swarm, {}, ["192.0.2.3"], True, 5, True) == ["c: worker", "c: remove", "new tokens for joining"]
    assert (swarm.log, set(swarm.parts)) == ([], {"A", "B", "C"})


def test_without_a_rotation_tokens_stay():
    swarm = Swarm()
    assert swarm_nodes.run(swarm, {"B": "worker"}, ["192.0.2.3"], False, 5, False) == ["c: worker", "c: remove", "b: worker"]
    assert "rotate" not in swarm.log


def test_a_rotation_that_somebody_else_forestalled_is_tried_again(monkeypatch):
    swarm, answers = Swarm(), [DockerError(500, "update out of sequence"), None]
    post = swarm.post
    monkeypatch.setattr(swarm_nodes.time, "sleep", lambda _seconds: None)

    def refused(path, body):
        if error := answers.pop(0):
            swarm.version += 1
            raise error
        post(path, body)

    swarm.post = refused
    swarm_nodes.rotate_tokens(swarm, 5)
    assert swarm.log == ["rotate"]
