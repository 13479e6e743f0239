"""Seeds in which nodes join late, by a line or a member's word, and one leaves: and what was found by them."""

import pytest

from icn.sim.membership import Comings, draw_comings
from icn.sim.plan import Plan, Run
from icn.sim.tempo import Tempo
from icn.sim.world import World

SECONDS = 12


def run(seed: int) -> Run:
    return World(Plan(seed, seconds=SECONDS, tempo=Tempo.DENSE)).run()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [147, 162, 181, 226])
def test_nobody_is_woken_for_who_has_left_or_for_an_invitation_that_is_spent(seed: int) -> None:
    """Found: woken were a node that had left to acknowledge, one to present its line again, others for an answer."""
    assert draw_comings(seed, 5, SECONDS * 1000) != Comings()
    assert run(seed).finding is None


@pytest.mark.slow
def test_a_receipt_that_a_leaver_could_not_send_is_no_loss() -> None:
    assert run(331).finding is None


@pytest.mark.slow
def test_a_founder_that_has_not_come_yet_writes_nothing_before_its_joining() -> None:
    assert draw_comings(906, 5, SECONDS * 1000).by_votes
    assert run(906).finding is None


@pytest.mark.slow
def test_who_was_admitted_by_votes_and_leaves_is_not_counted_in_again() -> None:
    comings = draw_comings(87, 5, SECONDS * 1000)
    assert comings.by_votes
    assert comings.leaver in comings.newcomers
    assert run(87).finding is None


@pytest.mark.slow
def test_a_member_that_never_says_what_it_has_heard_keeps_open_what_was_sent_to_who_is_removed() -> None:
    assert run(1177).finding is None


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(57, 257), (321, 444)])
def test_a_member_is_removed_while_others_build_on_what_it_signs(seeds: tuple[int, ...]) -> None:
    """Several count its votes at once, and blocks of it are in no feed, with records that leaned on them.

    Which seed brings about the latter changes with everything that nodes do.
    """
    assert all(draw_comings(seed, 5, SECONDS * 1000).removed is not None for seed in seeds)
    found = [run(seed) for seed in seeds]
    assert [each.finding for each in found] == [None] * len(seeds)
    assert any(each.void for each in found)
