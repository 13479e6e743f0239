"""Members are removed by the votes of more than half of them; a vote is given once and is final."""

from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import Context, EventRefused
from icn.domain.federation.commands import (
    AdmitNode,
    CountRemoval,
    FederationCommand,
    FoundFederation,
    IssueInvitation,
    JoinFederation,
    LeaveFederation,
    VoteRemoval,
)
from icn.domain.federation.events import FederationEvent, NodeRemoved, RemovalVoted
from icn.domain.federation.model import JoinPolicy
from icn.domain.federation.refusals import (
    AlreadyVotedToRemove,
    NobodyRemovesItself,
    NodeHasLeft,
    NodeIsRemoved,
    NotEntitledToAdmit,
    NotInFederation,
    RemovalVotesMissing,
    TooFewToRemove,
    UnknownNode,
)
from icn.domain.federation.rules import check, decide
from icn.domain.federation.state import FederationState, apply
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.kernel.instant import later, seconds
from icn.kernel.limits import REMOVAL_REASON_CHARS_MAX
from support import builders

A, B, C, D, E = (builders.did(n) for n in (1, 2, 3, 4, 5))
COUNTS = {A: 9, B: 9, C: 9, D: 7}


def at(number: int, sequence: int = 3, counts: dict[Did, int] | None = None) -> Context:
    behind = COUNTS if counts is None else counts
    return builders.context(number, sequence=sequence, ancestry=builders.Knows(behind, {}))


def run(state: FederationState, command: FederationCommand, context: Context) -> list[FederationEvent]:
    """Decide, then check and apply as every replica does."""
    before = deepcopy(state)
    events = decide(state, command, context)
    assert state == before, "decide changes nothing"
    for event in events:
        check(state, event, context)
        apply(state, event, context)
    return events


@pytest.fixture
def four() -> FederationState:
    state = FederationState()
    run(state, FoundFederation("demo", tuple(sorted((A, B, C, D))), builders.policy()), builders.context(1, sequence=0))
    for number in (2, 3, 4):
        run(state, JoinFederation("icn/1"), builders.context(number, sequence=0))
    return state


def test_enough_votes_remove_a_member_with_the_blocks_that_are_behind_the_record(four: FederationState) -> None:
    run(four, VoteRemoval(D, "silent"), at(1))
    with pytest.raises(RemovalVotesMissing, match=r"1 members have voted .* 3 are needed"):
        decide(four, CountRemoval(D), at(1))
    run(four, VoteRemoval(D, ""), at(2))
    run(four, VoteRemoval(D, ""), at(3))
    assert run(four, CountRemoval(D), at(2, 4)) == [NodeRemoved(D, 7)]
    assert four.is_removed(D, at(3).ancestry)
    assert not four.is_removed(D, at(3, counts={**COUNTS, B: 4}).ancestry), "in that ancestry nobody has said so"
    assert four.voters(at(3).ancestry) == sorted([A, B, C])
    assert four.was_removed(D)
    assert four.has_ended(D)
    assert not four.has_joined(D)
    assert four.silent_about(D) == {A: 3, B: 3, C: 3}


def test_a_member_votes_once_about_another_that_is_there(four: FederationState) -> None:
    run(four, VoteRemoval(D, ""), at(1))
    for command, context, refusal in (
        (VoteRemoval(D, ""), at(1, 4), AlreadyVotedToRemove),
        (VoteRemoval(A, ""), at(1, 4), NobodyRemovesItself),
        (VoteRemoval(E, ""), at(1, 4), UnknownNode),
        (VoteRemoval(D, ""), at(5, 4), NotEntitledToAdmit),
        (VoteRemoval(B, "x" * (REMOVAL_REASON_CHARS_MAX + 1)), at(1, 4), Invalid),
    ):
        with pytest.raises(refusal):
            decide(four, command, context)
    with pytest.raises(NotInFederation):
        decide(FederationState(), VoteRemoval(D, ""), at(1))
    run(four, LeaveFederation(), at(3, 5))
    with pytest.raises(NodeHasLeft):
        decide(four, VoteRemoval(C, ""), at(1, 5))


@pytest.mark.parametrize(
    ("what", "event", "context"),
    [
        ("a member votes once", RemovalVoted(D, ""), at(1, 4)),
        ("nobody votes on itself", RemovalVoted(B, ""), at(2, 4)),
        ("strangers do not vote", RemovalVoted(D, ""), at(5, 4)),
        ("nobody votes on who is not known", RemovalVoted(E, ""), at(1, 4)),
        ("reasons are short", RemovalVoted(A, "x" * (REMOVAL_REASON_CHARS_MAX + 1)), at(3, 4)),
        ("strangers do not count", NodeRemoved(D, 7), at(5, 4)),
        ("nobody counts about itself", NodeRemoved(D, 7), at(4, 4)),
        ("what is behind it is accepted, and no more", NodeRemoved(D, 8), at(2, 4)),
        ("what is behind it is accepted, and no less", NodeRemoved(D, 6), at(2, 4)),
        ("the votes are behind it", NodeRemoved(D, 7), at(2, 4, {**COUNTS, A: 3})),
        ("who is concerned counts among the members", NodeRemoved(C, 9), at(2, 4)),
    ],
)
def test_records_against_the_rules_are_refused(
    four: FederationState, what: str, event: FederationEvent, context: Context
) -> None:
    run(four, VoteRemoval(D, ""), at(1))
    run(four, VoteRemoval(D, ""), at(2))
    run(four, VoteRemoval(D, "two of four"), at(3, 9))
    for number in (1, 2):
        run(four, VoteRemoval(C, ""), at(number))
    with pytest.raises(EventRefused):
        check(four, event, context)
    assert what


def test_who_was_only_proposed_is_nobody_to_be_removed() -> None:
    state = FederationState()
    policy = replace(builders.policy(), join_policy=JoinPolicy.VOTE)
    run(state, FoundFederation("demo", tuple(sorted((A, B, C))), policy), builders.context(1, sequence=0))
    for number in (2, 3):
        run(state, JoinFederation("icn/1"), builders.context(number, sequence=0))
    run(state, AdmitNode(E), at(1))
    with pytest.raises(UnknownNode):
        decide(state, VoteRemoval(E, ""), at(1, 4))


def test_of_two_members_neither_removes_the_other(four: FederationState) -> None:
    for number in (3, 4):
        run(four, LeaveFederation(), at(number, 5))
    with pytest.raises(TooFewToRemove, match="icn-cli federation leave"):
        decide(four, VoteRemoval(B, ""), at(1, 6))


def test_who_was_removed_is_neither_removed_again_nor_let_in(four: FederationState) -> None:
    for number in (1, 2, 3):
        run(four, VoteRemoval(D, ""), at(number))
    run(four, CountRemoval(D), at(1, 4))
    tomorrow = later(builders.START, seconds(86_400))
    for command in (
        VoteRemoval(D, ""),
        CountRemoval(D),
        AdmitNode(D),
        IssueInvitation(bytes(16), tomorrow, D, ""),
    ):
        with pytest.raises(NodeIsRemoved):
            decide(four, command, at(3, 5))
    with pytest.raises(EventRefused):
        check(four, NodeRemoved(D, 7), at(3, 5))
    with pytest.raises(EventRefused):
        check(four, RemovalVoted(D, ""), at(3, 5))


def test_two_may_count_without_having_heard_of_each_other(four: FederationState) -> None:
    for number in (1, 2, 3):
        run(four, VoteRemoval(D, ""), at(number))
    run(four, CountRemoval(D), at(1, 4, {**COUNTS, A: 5}))
    run(four, CountRemoval(D), at(2, 4, {**COUNTS, A: 4, B: 5, D: 6}))
    assert [(one.by, one.accepted) for one in four.removals_of(D)] == sorted([(A, 7), (B, 6)])


def test_a_vote_of_who_has_left_or_was_removed_does_not_count(four: FederationState) -> None:
    run(four, VoteRemoval(D, ""), at(3))
    run(four, LeaveFederation(), at(3, 5))
    assert four.removal_votes(D, at(1).ancestry) == []
    assert four.votes_needed(at(1).ancestry) == 2, "of the three that are left"
