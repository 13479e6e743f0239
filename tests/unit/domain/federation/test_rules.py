"""Who may found, join and admit, judged by ancestry alone (semantics §3, §8)."""

from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import Context, EventRefused
from icn.domain.federation.commands import (
    AdmitNode,
    CountVotes,
    FederationCommand,
    FoundFederation,
    IssueInvitation,
    JoinFederation,
    LeaveFederation,
)
from icn.domain.federation.events import (
    AdmissionCounted,
    FederationEvent,
    FederationFounded,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
)
from icn.domain.federation.model import Admission, JoinPolicy, Policy
from icn.domain.federation.refusals import (
    AdmissionNeeded,
    AlreadyAdmitted,
    AlreadyFounded,
    AlreadyVoted,
    LastMember,
    NodeHasLeft,
    NodeIsRemoved,
    NotEntitledToAdmit,
    NotInFederation,
    UnknownNode,
    VotesMissing,
)
from icn.domain.federation.rules import AGENT_CHARS_MAX, FOUNDERS_MAX, NAME_CHARS_MAX, check, decide
from icn.domain.federation.state import FederationState, apply, name_genesis
from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.mana import MANA_MAX, Mana
from support import builders

A, B, C, D = (builders.did(n) for n in (1, 2, 3, 4))


def first(number: int) -> Context:
    return builders.context(number, sequence=0)


def run(state: FederationState, command: FederationCommand, context: Context) -> list[FederationEvent]:
    """Decide, then check and apply as every replica does."""
    before = deepcopy(state)
    events = decide(state, command, context)
    assert state == before, "decide changes nothing"
    for event in events:
        check(state, event, context)
        apply(state, event, context)
    return events


def founded(policy: Policy | None = None, *founders: Did) -> FederationState:
    state = FederationState()
    everybody = tuple(sorted(founders or (A,)))
    run(state, FoundFederation("demo", everybody, policy or builders.policy()), first(1))
    return state


def test_founders_are_admitted_and_join_when_they_come() -> None:
    state = founded(builders.policy(join_policy=JoinPolicy.INVITE), A, B)
    assert state.members[A].joined
    assert not state.members[B].joined
    assert state.is_admitted(B, builders.EVERYTHING)
    assert not state.is_admitted(B, builders.NOTHING)
    run(state, JoinFederation("icn"), first(2))
    assert state.members[B].joined


def test_open_lets_anybody_join_and_count_only_after_admission() -> None:
    state = founded()
    run(state, JoinFederation("icn"), first(2))
    assert state.has_joined(B)
    assert state.voters(builders.EVERYTHING) == [A]
    with pytest.raises(NotEntitledToAdmit):
        decide(state, AdmitNode(C), builders.context(2))
    run(state, AdmitNode(B), builders.context(1))
    assert state.voters(builders.EVERYTHING) == sorted([A, B])


def test_otherwise_admission_comes_first() -> None:
    state = founded(builders.policy(join_policy=JoinPolicy.INVITE))
    with pytest.raises(AdmissionNeeded):
        decide(state, JoinFederation("icn"), first(2))
    with pytest.raises(EventRefused, match="joins"):
        check(state, NodeJoined(B, "icn"), first(2))
    run(state, AdmitNode(B), builders.context(1, sequence=7))
    with pytest.raises(EventRefused, match="joins"):
        check(state, NodeJoined(B, "icn"), replace(first(2), ancestry=builders.Knows({A: 7}, {})))
    check(state, NodeJoined(B, "icn"), replace(first(2), ancestry=builders.Knows({A: 8}, {})))


def test_admissions_at_the_same_time_commute() -> None:
    one, other = founded(None, A, B), founded(None, A, B)
    admits = [(NodeAdmitted(C), builders.context(1, sequence=5)), (NodeAdmitted(C), builders.context(2, sequence=9))]
    joins = (NodeJoined(C, "icn"), first(3))
    for event, context in (*admits, joins):
        apply(one, event, context)
    for event, context in (joins, *reversed(admits)):
        apply(other, event, context)
    assert one.members == other.members
    assert one.members[C].admissions == tuple(sorted((Admission(A, 5), Admission(B, 9))))
    assert one.is_admitted(C, builders.Knows({B: 10}, {}))
    assert one.is_admitted(C, builders.Knows({A: 6}, {}))
    assert not one.is_admitted(C, builders.Knows({A: 5, B: 9}, {}))


def voting(*founders: Did) -> FederationState:
    state = founded(builders.policy(join_policy=JoinPolicy.VOTE), *founders)
    for number in range(2, 1 + len(founders)):
        run(state, JoinFederation("icn"), first(number))
    return state


def test_where_members_vote_more_than_half_of_them_admit() -> None:
    state = voting(A, B, C)
    run(state, AdmitNode(D), builders.context(1, sequence=4))
    assert not state.is_admitted(D, builders.EVERYTHING), "one vote of three admits nobody"
    with pytest.raises(VotesMissing):
        decide(state, CountVotes(D), builders.context(1, sequence=5))
    with pytest.raises(EventRefused, match="more than half"):
        check(state, AdmissionCounted(D), builders.context(1, sequence=5))
    run(state, AdmitNode(D), builders.context(2, sequence=6))
    run(state, CountVotes(D), builders.context(2, sequence=6))
    assert state.is_admitted(D, builders.EVERYTHING)
    assert not state.is_admitted(D, builders.Knows({A: 9, B: 6}, {}))
    with pytest.raises(AlreadyAdmitted):
        decide(state, AdmitNode(D), builders.context(3))


def test_half_is_not_more_than_half() -> None:
    state = voting(A, B)
    run(state, AdmitNode(D), builders.context(1, sequence=4))
    with pytest.raises(VotesMissing):
        decide(state, CountVotes(D), builders.context(1, sequence=5))


def test_votes_are_counted_in_the_ancestry_of_the_record_that_counts_them() -> None:
    state = voting(A, B, C)
    run(state, AdmitNode(D), builders.context(1, sequence=4))
    run(state, AdmitNode(D), builders.context(2, sequence=4))
    sees_one = replace(builders.context(1, sequence=5), ancestry=builders.Knows({A: 6, B: 4}, {}))
    with pytest.raises(EventRefused, match="more than half"):
        check(state, AdmissionCounted(D), sees_one)
    check(state, AdmissionCounted(D), replace(sees_one, ancestry=builders.Knows({A: 6, B: 5}, {})))


@pytest.mark.parametrize(("gone", "refusal"), [(NodeLeft(D), NodeHasLeft), (NodeRemoved(D, 1), NodeIsRemoved)])
def test_votes_for_who_has_gone_are_not_counted_again(
    gone: NodeLeft | NodeRemoved, refusal: type[NodeHasLeft | NodeIsRemoved]
) -> None:
    state = voting(A)
    run(state, AdmitNode(D), builders.context(1, sequence=4))
    run(state, CountVotes(D), builders.context(1, sequence=4))
    run(state, JoinFederation("icn"), first(4))
    apply(state, gone, builders.context(4 if isinstance(gone, NodeLeft) else 1, sequence=5))
    with pytest.raises(refusal):
        decide(state, CountVotes(D), builders.context(1, sequence=6))


def test_a_member_votes_once_and_only_members_vote() -> None:
    state = voting(A, B, C)
    run(state, AdmitNode(D), builders.context(1, sequence=4))
    with pytest.raises(AlreadyVoted):
        decide(state, AdmitNode(D), builders.context(1, sequence=5))
    apply(state, NodeAdmitted(D), builders.context(1, sequence=5))
    apply(state, NodeAdmitted(D), builders.context(4, sequence=5))
    assert state.votes_for(D, builders.EVERYTHING) == [A], "nobody counts twice, and no stranger at all"
    with pytest.raises(EventRefused, match="member"):
        check(state, NodeAdmitted(D), builders.context(4, sequence=5))
    with pytest.raises(EventRefused, match="member"):
        check(state, AdmissionCounted(D), builders.context(4, sequence=5))


def test_who_is_admitted_by_votes_votes_on_the_next() -> None:
    state = voting(A)
    run(state, AdmitNode(B), builders.context(1, sequence=4))
    run(state, CountVotes(B), builders.context(1, sequence=4))
    run(state, JoinFederation("icn"), first(2))
    assert state.votes_needed(builders.EVERYTHING) == 2
    run(state, AdmitNode(C), builders.context(1, sequence=5))
    with pytest.raises(VotesMissing):
        decide(state, CountVotes(C), builders.context(1, sequence=5))
    run(state, AdmitNode(C), builders.context(2, sequence=1))
    run(state, CountVotes(C), builders.context(2, sequence=1))
    assert state.is_admitted(C, builders.EVERYTHING)


def test_who_has_left_counts_no_more_where_its_leaving_is_known() -> None:
    state = founded(None, A, B, C)
    for number in (2, 3):
        run(state, JoinFederation("icn"), first(number))
    run(state, LeaveFederation(), builders.context(2, sequence=7))
    assert state.voters(builders.EVERYTHING) == sorted([A, C])
    before = builders.Knows({A: 9, B: 7, C: 9}, {})
    assert state.voters(before) == sorted([A, B, C]), "in an ancestry without that block it is a member still"
    assert not state.has_joined(B)
    with pytest.raises(NodeHasLeft):
        decide(state, AdmitNode(B), builders.context(1))
    with pytest.raises(NotInFederation):
        decide(state, LeaveFederation(), builders.context(2, sequence=8))
    with pytest.raises(EventRefused, match="after it has joined"):
        check(state, NodeLeft(B), builders.context(2, sequence=8))
    apply(state, NodeAdmitted(B), builders.context(1, sequence=9))
    assert not state.is_admitted(B, builders.EVERYTHING), "a feed that has ended is not begun again"


def test_a_node_leaves_for_itself() -> None:
    state = founded(None, A, B)
    with pytest.raises(EventRefused, match="for itself"):
        check(state, NodeLeft(A), builders.context(2))
    with pytest.raises(EventRefused, match="joined"):
        check(state, NodeLeft(B), builders.context(2))
    with pytest.raises(NotInFederation):
        decide(state, LeaveFederation(), builders.context(2))
    assert decide(state, LeaveFederation(), builders.context(1)) == [NodeLeft(A)], "nobody else has come"


def test_the_last_member_does_not_leave_others_without_anybody_who_admits() -> None:
    state = founded()
    run(state, JoinFederation("icn"), first(2))
    with pytest.raises(LastMember):
        decide(state, LeaveFederation(), builders.context(1))
    assert decide(state, LeaveFederation(), builders.context(2)), "who is not admitted may go"
    run(state, AdmitNode(B), builders.context(1))
    run(state, LeaveFederation(), builders.context(1))
    assert state.voters(builders.EVERYTHING) == [B]


def test_what_is_refused() -> None:
    state = founded()
    for command, number, refusal in (
        (FoundFederation("again", (A,), builders.policy()), 1, AlreadyFounded),
        (JoinFederation("icn"), 1, AlreadyFounded),
        (AdmitNode(D), 1, UnknownNode),
        (AdmitNode(A), 1, AlreadyAdmitted),
        (AdmitNode(A), 2, NotEntitledToAdmit),
    ):
        with pytest.raises(refusal):
            decide(state, command, first(number))
    with pytest.raises(UnknownNode, match=r"icn-cli federation status.*say it again"):
        decide(state, AdmitNode(D), first(1))  # who has just been started is known a moment later
    for command in (JoinFederation("icn"), AdmitNode(A)):
        with pytest.raises(NotInFederation):
            decide(FederationState(), command, first(1))


GENESES: dict[str, dict[str, object]] = {
    "no name": {"name": ""},
    "a long name": {"name": "x" * (NAME_CHARS_MAX + 1)},
    "without the founder": {"founders": (B,)},
    "out of order": {"founders": tuple(sorted((A, B), reverse=True))},
    "twice": {"founders": (A, A)},
    "too many": {"founders": tuple(sorted([A, *(builders.did(n) for n in range(10, 10 + FOUNDERS_MAX))]))},
    "a grant above the cap": {"policy": builders.policy(mana_cap=Mana(999))},
    "a cap beyond exactness": {"policy": builders.policy(mana_cap=Mana(MANA_MAX + 1))},
    "a grant below nothing": {"policy": builders.policy(initial_grant=Mana(-1))},
    "endless regeneration": {"policy": builders.policy(regeneration_per_hour=10**9 + 1)},
    "shrinking": {"policy": builders.policy(regeneration_per_hour=-1)},
    "endless grants": {"policy": builders.policy(grants_per_node_max=1001)},
}


@pytest.mark.parametrize("what", GENESES)
def test_a_genesis_is_within_bounds_for_its_founder_and_for_everybody(what: str) -> None:
    event = replace(FederationFounded("demo", (A,), builders.policy()), **GENESES[what])  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(Invalid):
        decide(FederationState(), FoundFederation(event.name, event.founders, event.policy), first(1))
    with pytest.raises(EventRefused, match="genesis"):
        check(FederationState(), event, first(1))


def test_a_genesis_begins_a_federation() -> None:
    event = FederationFounded("demo", (A,), builders.policy())
    for state, context in ((founded(), first(1)), (FederationState(), builders.context(1, sequence=1))):
        with pytest.raises(EventRefused, match="begins"):
            check(state, event, context)


def test_joining_is_for_oneself_first_and_short() -> None:
    state = founded()
    for event, context in (
        (NodeJoined(C, "icn"), first(2)),
        (NodeJoined(B, "icn"), builders.context(2, sequence=1)),
        (NodeJoined(B, "x" * (AGENT_CHARS_MAX + 1)), first(2)),
    ):
        with pytest.raises(EventRefused):
            check(state, event, context)
    long = decide(state, JoinFederation("x" * 500), first(2))
    check(state, long[0], first(2))


def test_a_genesis_is_named_once() -> None:
    state = founded()
    name_genesis(state, builders.cid("genesis"))
    with pytest.raises(InvariantBroken):
        name_genesis(state, builders.cid("genesis"))


def test_a_founder_that_has_not_come_yet_admits_and_invites_nobody() -> None:
    """Found by simulation: its feed began with the admission, and everybody refused it."""
    state = founded(builders.policy(join_policy=JoinPolicy.INVITE), A, B)
    invite = IssueInvitation(bytes(16), Instant(builders.START + 1_000), None, "")
    for command in (AdmitNode(C), invite):
        with pytest.raises(NotInFederation):
            decide(state, command, first(2))
    run(state, JoinFederation("icn"), first(2))
    assert decide(state, AdmitNode(C), builders.context(2))
    assert decide(state, invite, builders.context(2))


def test_a_member_that_admits_a_node_again_adds_nothing() -> None:
    state = FederationState()
    apply(state, FederationFounded("demo", tuple(sorted((A, B))), builders.policy()), builders.context(1, sequence=0))
    for sequence in (3, 5, 7):
        apply(state, NodeAdmitted(C), builders.context(1, sequence=sequence))
    apply(state, NodeAdmitted(B), builders.context(1, sequence=9))
    assert state.members[C].admissions == (Admission(A, 3),)
    assert state.members[B].admissions == (Admission(A, 0),)
