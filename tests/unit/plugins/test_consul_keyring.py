"""The rotation of the gossip key: which step comes next, and that no state leads to a member that knows no common key."""

import pytest
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_keyring import ALIVE, FAILED, LEFT, Step, next_step
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW, STRAY = "b2xk", "bmV3", "c3RyYXk="
NODES = ["a", "b", "c"]


def ring(keys: dict, primary: dict, nodes: int = 3, **more) -> dict:
    return {"WAN": False, "Segment": "", "Keys": keys, "PrimaryKeys": primary, "NumNodes": nodes} | more


def members(**status: int) -> list[dict]:
    return [{"Name": name, "Status": value} for name, value in (dict.fromkeys(NODES, ALIVE) | status).items()]


def step(*rings: dict, there=None, new: str = NEW, expected=NODES) -> Step:
    return next_step(rings, members() if there is None else there, OLD, new, expected)


@pytest.mark.parametrize(
    ("keys", "primary", "expected"),
    [
        ({OLD: 3}, {OLD: 3}, Step("install", NEW)),
        ({OLD: 3, NEW: 1}, {OLD: 3}, Step("install", NEW)),
        ({OLD: 3, NEW: 3}, {OLD: 3}, Step("use", NEW)),
        ({OLD: 3, NEW: 3}, {OLD: 2, NEW: 1}, Step("use", NEW)),
        ({OLD: 3, NEW: 3}, {NEW: 3}, Step("remove", OLD)),
        ({OLD: 1, NEW: 3}, {NEW: 3}, Step("remove", OLD)),
        ({NEW: 3, STRAY: 1}, {NEW: 3}, Step("remove", STRAY)),
        ({NEW: 3}, {NEW: 3}, Step("done")),
    ],
)
def test_each_state_has_its_step(keys, primary, expected):
    assert step(ring(keys, primary)) == expected


def test_every_ring_must_be_through_before_the_next_step():
    done, behind = ring({OLD: 3, NEW: 3}, {NEW: 3}), ring({OLD: 3}, {OLD: 3}, WAN=True)
    assert step(done, behind) == Step("install", NEW)
    assert step(done, ring({OLD: 3, NEW: 3}, {OLD: 3}, WAN=True)) == Step("use", NEW)
    assert step(done, ring({OLD: 3, NEW: 3}, {NEW: 3}, WAN=True)) == Step("remove", OLD)
    assert step(ring({NEW: 3}, {NEW: 3}), ring({OLD: 1, NEW: 3}, {NEW: 3}, Segment="s")) == Step("remove", OLD)


@pytest.mark.parametrize("status", [FAILED, LEFT, 0, 2])
@pytest.mark.parametrize("keys", [{OLD: 2}, {OLD: 2, NEW: 2}])
def test_a_member_that_is_away_stops_everything_and_is_named(status, keys):
    found = step(ring(keys, {OLD: 2}, nodes=2), there=members(b=status))
    assert found.kind == "refuse"
    assert found.reason.startswith("b is not alive")
    assert "remove_node" in found.reason


def test_a_node_that_the_inventory_has_and_the_cluster_has_not_stops_everything():
    assert step(ring({OLD: 3}, {OLD: 3}), expected=[*NODES, "d"]).reason.startswith("d is not alive")


def test_a_stranger_that_failed_stops_everything():
    assert step(ring({OLD: 3}, {OLD: 3}), there=members(d=FAILED)).reason.startswith("d is not alive")


def test_a_stranger_that_left_does_not():
    assert step(ring({OLD: 3}, {OLD: 3}), there=members(d=LEFT)) == Step("install", NEW)


def test_errors_of_a_ring_are_told():
    found = step(ring({OLD: 3}, {OLD: 3}, Messages={"b": "no room"}))
    assert (found.kind, found.reason) == ("refuse", "the LAN ring reports a problem (b: no room)")
    assert "2/3" in step(ring({OLD: 2}, {OLD: 2}, Error="2/3 nodes reported success")).reason


def test_another_key_in_use_means_that_the_secrets_are_wrong_and_is_not_told():
    found = step(ring({STRAY: 3}, {STRAY: 3}))
    assert found.kind == "refuse" and "backup" in found.reason and STRAY not in found.reason


def test_a_cluster_without_keys_is_refused():
    assert step().kind == step(ring({}, {})).kind == "refuse"


def test_members_that_do_not_add_up_are_waited_for():
    assert step(ring({OLD: 2}, {OLD: 2}, nodes=2)).kind == "wait"


def test_without_a_new_key_it_only_looks():
    assert step(ring({OLD: 3}, {OLD: 3}), new="") == Step("done")
    assert step(ring({OLD: 3}, {OLD: 3}), new="", there=members(a=FAILED)).kind == "refuse"


# Keyrings of three members, each a list of keys with the primary first, in any mix that partial steps can leave.
keyrings = st.lists(
    st.sets(st.sampled_from([OLD, NEW, STRAY]), min_size=1).flatmap(lambda keys: st.permutations(sorted(keys))),
    min_size=1, max_size=4,
)  # fmt: skip


def keyring(rings: list[list[str]]) -> dict:
    keys, primary = {}, {}
    for own in rings:
        primary[own[0]] = primary.get(own[0], 0) + 1
        for key in own:
            keys[key] = keys.get(key, 0) + 1
    return ring(keys, primary, nodes=len(rings))


def applied(own: list[str], taken: Step) -> list[str]:
    """What a member does with a step, or refuses to (serf: a primary key is not removed, an unknown one not used)."""
    if taken.kind == "install":
        return own if taken.key in own else [*own, taken.key]
    if taken.kind == "use":
        assert taken.key in own, "a member was to use a key that it does not have"
        return [taken.key, *(key for key in own if key != taken.key)]
    assert own[0] != taken.key, "a member was to remove its primary key"
    assert own != [taken.key], "a member was to remove its only key"
    return [key for key in own if key != taken.key]


@given(keyrings, st.lists(st.lists(st.booleans(), min_size=4, max_size=4), max_size=8))
def test_no_state_and_no_partial_failure_takes_a_primary_or_an_only_key(rings, reached):
    """Steps reach some of the members only; it always ends with the new key alone, if it may start at all."""
    there = [{"Name": str(number), "Status": ALIVE} for number in range(len(rings))]
    everyone = [True] * 4
    for hits in [*reached, *[everyone] * 8]:
        taken = next_step([keyring(rings)], there, OLD, NEW, [])
        if taken.kind == "refuse":
            assert any(own[0] == STRAY for own in rings)
            return
        if taken.kind == "done":
            break
        could_talk = all(any(one[0] in other for other in rings) for one in rings)
        after = [applied(own, taken) if hit else own for own, hit in zip(rings, hits, strict=False)]
        if could_talk and all(one[0] in other for one in rings for other in rings):
            assert all(one[0] in other for one in after for other in after), "two members no longer understand each other"
        rings = after
    assert rings == [[NEW]] * len(rings)
