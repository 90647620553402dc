"""dockerd-overlay-heal: when dockerd is started once more without its local file."""

import json

import pytest
from programs import load

heal = load("docker_cluster_store/files/dockerd-overlay-heal")

ERROR = 'network sandbox join failed: could not get network sandbox (oper true): failed get network namespace ""'


def container(name: str, error: str = "", running: bool = False) -> dict:
    return {"Name": f"/{name}", "State": {"Error": error, "Running": running}}


@pytest.mark.parametrize(
    "containers",
    [
        [],
        [container("a", running=True)],
        [container("a", "no such image")],
        [container("a", ERROR, running=True)],
        [container("a", f'OCI runtime create failed: starting container process caused: exec: "{ERROR}": not found: unknown')],
        [container("a", "network sandbox join failed: could not get network sandbox: of another version")],
        [container("a", f"x\n{ERROR}")],
    ],
)
def test_nothing_is_wrong(containers):
    assert heal.advice(containers, ["bridge", "mine"], done=False) == ""


def test_dockerd_with_a_broken_overlay_starts_once_more():
    text = heal.advice([container("b", ERROR), container("a", ERROR), container("c")], sorted(heal.BUILT_IN), done=False)
    assert text.startswith("starting") and "a, b cannot join" in text


def test_the_form_after_a_restore():
    """dockerd says it twice there: https://github.com/moby/libnetwork/issues/2322"""
    assert heal.advice([container("a", f"network sandbox join failed: {ERROR}")], [], done=False).startswith("starting")


def test_networks_of_this_host_are_not_lost():
    text = heal.advice([container("a", ERROR)], ["bridge", "mine"], done=False)
    assert not text.startswith("starting") and "lose the networks mine" in text


def test_once_a_boot():
    assert "did not help" in heal.advice([container("a", ERROR)], [], done=True)


def test_the_file_is_moved_away_from_dockerd_s_directory(tmp_path):
    config, file = tmp_path / "daemon.json", tmp_path / "network/files/local-kv.db"
    assert str(heal.state_file(config)) == "/var/lib/docker/network/files/local-kv.db"
    config.write_text(json.dumps({"data-root": str(tmp_path)}))
    file.parent.mkdir(parents=True)
    file.write_text("x")
    heal.move_away(heal.state_file(config))
    assert [path.name for path in file.parent.iterdir()] == ["local-kv.db.before-crash"]
    heal.move_away(heal.state_file(config))
