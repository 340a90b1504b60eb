"""EGP: whole links, their frames carried by hand.  Requirements: protocols/egp.toml."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from link_lab import DELAY, ESTIMATE, PURPOSE, LinkLab, Way
from machine_pair import Faults

A, B, STATION, LINK = 1, 2, 9, 5
ONE = [Way(LINK, A, B, STATION)]
SECOND = 1_000_000_000_000


def finished(lab: LinkLab, number: int = 1) -> None:
    """Run until every request has ended, at most a second, and a while longer; then check."""
    lab.run(until=lab.now + SECOND)
    lab.run()
    lab.check()


@pytest.mark.parametrize("asker", [A, B])
def test_pairs_for_either_node(asker: int) -> None:
    lab = LinkLab(ONE)
    create_id = lab.create(asker, LINK, number=5)
    finished(lab)
    for node in (A, B):
        story = lab.story(node, LINK, asker, create_id)
        assert [ok.link_sequence for ok in story.oks] == [0, 1, 2, 3, 4]
        assert {ok.directionality for ok in story.oks} == {int(node != asker)}
        assert {(ok.purpose_id, ok.goodness, ok.remote) for ok in story.oks} == {(PURPOSE, ESTIMATE, A + B - node)}
        assert story.errs == []


lossy = st.builds(
    Faults,
    loss=st.floats(0, 0.3),
    duplicate=st.floats(0, 0.3),
    jitter_ps=st.sampled_from([0, DELAY // 4, 3 * DELAY]),
)


@given(lossy, st.integers(0, 2**32), st.integers(1, 3), st.floats(0.05, 1))
@settings(max_examples=40)
def test_every_request_ends_alike_at_both_nodes_under_loss(
    faults: Faults, seed: int, qubits: int, p: float
) -> None:
    lab = LinkLab(ONE, qubits, p=p, faults=faults, seed=seed)
    chance = random.Random(seed)
    wanted = {}
    for _ in range(6):
        lab.run(until=lab.now + chance.randrange(30 * DELAY))
        node, number = chance.choice([A, B]), chance.randint(1, 4)
        wanted[node, lab.create(node, LINK, number)] = number
    finished(lab)
    for (origin, create_id), number in wanted.items():
        assert lab.ended(A, LINK, origin, create_id, number)
        assert lab.ended(B, LINK, origin, create_id, number)
