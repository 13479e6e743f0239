"""Invitations are issued by members, used once before they expire, and decided by their issuer alone."""

from copy import deepcopy
from dataclasses import replace

import pytest

from icn.domain.context import Context, EventRefused
from icn.domain.federation.commands import (
    AdmitNode,
    FederationCommand,
    FoundFederation,
    IssueInvitation,
    JoinFederation,
    RedeemInvitation,
    RevokeInvitation,
)
from icn.domain.federation.events import FederationEvent, InvitationIssued, InvitationRedeemed, InvitationRevoked
from icn.domain.federation.invitation_refusals import (
    InvitationExpired,
    InvitationForAnother,
    InvitationTakenBack,
    InvitationUnknown,
    InvitationUsed,
    MembersVote,
    TooManyInvitations,
)
from icn.domain.federation.invitation_rules import INVITATION_LIFE_MAX
from icn.domain.federation.model import Invitation, JoinPolicy
from icn.domain.federation.refusals import AlreadyAdmitted, NotEntitledToAdmit, NotInFederation
from icn.domain.federation.rules import check, decide
from icn.domain.federation.state import FederationState, apply
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant, later, seconds
from icn.kernel.limits import INVITATION_NOTE_CHARS_MAX, INVITATIONS_OPEN_MAX
from support import builders

A, B, C, D = (builders.did(n) for n in (1, 2, 3, 4))
DAY = seconds(86_400)
TOMORROW = later(builders.START, DAY)
ONE, OTHER = bytes(16), bytes(range(16))
ISSUE = IssueInvitation(ONE, TOMORROW, None, "")


def at(number: int, sequence: int = 3, *, after: int = 0, **changes: object) -> Context:
    context = builders.context(number, sequence=sequence)
    return replace(context, time=Instant(context.time + after), **changes)  # type: ignore[arg-type]  # a context's fields


def run(state: FederationState, command: FederationCommand, context: Context) -> list[FederationEvent]:
    """Decide, then check and apply as every replica does."""
    before = deepcopy(state)
    events = decide(state, command, context)
    assert state == before, "decide changes nothing"
    for event in events:
        check(state, event, context)
        apply(state, event, context)
    return events


def founded(policy: JoinPolicy = JoinPolicy.INVITE) -> FederationState:
    state = FederationState()
    found = FoundFederation("demo", tuple(sorted((A, B))), builders.policy(join_policy=policy))
    run(state, found, builders.context(1, sequence=0))
    run(state, JoinFederation("icn"), builders.context(2, sequence=0))
    return state


def invited(**changes: object) -> FederationState:
    state = founded()
    run(state, replace(ISSUE, **changes), at(1))  # type: ignore[arg-type]  # a command's fields
    return state


def test_an_invitation_admits_whoever_presents_it() -> None:
    state = invited()
    assert run(state, RedeemInvitation(ONE, C), at(1, 4)) == [InvitationRedeemed(ONE, C)]
    assert state.is_admitted(C, builders.Knows({A: 5}, {}))
    assert not state.is_admitted(C, builders.Knows({A: 4}, {}))
    run(state, JoinFederation("icn"), builders.context(3, sequence=0))
    used = state.invitations[A, ONE]
    assert (used.redeemed_by, used.redeemed_at) == (C, builders.START)


def test_it_is_used_once() -> None:
    state = invited()
    run(state, RedeemInvitation(ONE, C), at(1, 4))
    with pytest.raises(InvitationUsed):
        decide(state, RedeemInvitation(ONE, D), at(1, 5))
    with pytest.raises(EventRefused, match="once"):
        check(state, InvitationRedeemed(ONE, D), at(1, 5))
    with pytest.raises(AlreadyAdmitted):
        decide(state, RedeemInvitation(ONE, C), at(1, 5))
    with pytest.raises(InvitationUsed):
        decide(state, RevokeInvitation(ONE), at(1, 5))


def test_its_last_millisecond_is_good_and_the_next_is_not() -> None:
    state = invited()
    assert decide(state, RedeemInvitation(ONE, C), at(1, 4, after=DAY))
    late = at(1, 4, after=DAY + 1)
    with pytest.raises(InvitationExpired):
        decide(state, RedeemInvitation(ONE, C), late)
    with pytest.raises(EventRefused, match="expires"):
        check(state, InvitationRedeemed(ONE, C), late)


def test_it_may_be_for_one_node() -> None:
    state = invited(for_node=C)
    with pytest.raises(InvitationForAnother):
        decide(state, RedeemInvitation(ONE, D), at(1, 4))
    with pytest.raises(EventRefused, match="for"):
        check(state, InvitationRedeemed(ONE, D), at(1, 4))
    run(state, RedeemInvitation(ONE, C), at(1, 4))


def test_it_can_be_taken_back() -> None:
    state = invited()
    run(state, RevokeInvitation(ONE), at(1, 4))
    with pytest.raises(InvitationTakenBack):
        decide(state, RedeemInvitation(ONE, C), at(1, 5))
    for event in (InvitationRedeemed(ONE, C), InvitationRevoked(ONE)):
        with pytest.raises(EventRefused):
            check(state, event, at(1, 5))


def test_only_its_issuer_decides() -> None:
    state = invited()
    for command in (RedeemInvitation(ONE, C), RevokeInvitation(ONE), RedeemInvitation(OTHER, C)):
        with pytest.raises(InvitationUnknown):
            decide(state, command, at(2))
    for event in (InvitationRedeemed(ONE, C), InvitationRevoked(ONE)):
        with pytest.raises(EventRefused, match="issuer"):
            check(state, event, at(2))


def test_only_members_invite() -> None:
    state = invited()
    for command in (ISSUE, RedeemInvitation(ONE, C), RevokeInvitation(ONE)):
        with pytest.raises(NotEntitledToAdmit):
            decide(state, command, at(3))
        with pytest.raises(NotInFederation):
            decide(FederationState(), command, at(1))
    with pytest.raises(EventRefused, match="member"):
        check(state, InvitationIssued(OTHER, TOMORROW, None, ""), at(3))
    with pytest.raises(EventRefused, match="member"):
        check(state, InvitationIssued(OTHER, TOMORROW, None, ""), at(1, ancestry=builders.NOTHING))


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"expires_at": builders.START}, Invalid),
        ({"expires_at": Instant(builders.START + INVITATION_LIFE_MAX + 1)}, Invalid),
        ({"note": "x" * (INVITATION_NOTE_CHARS_MAX + 1)}, Invalid),
        ({"for_node": B}, AlreadyAdmitted),
    ],
)
def test_what_is_not_issued(wrong: dict[str, object], refusal: type[Exception]) -> None:
    state = founded()
    command = replace(ISSUE, **wrong)  # type: ignore[arg-type]  # a command's fields
    with pytest.raises(refusal):
        decide(state, command, at(1))
    event = InvitationIssued(command.id, command.expires_at, command.for_node, command.note)
    if refusal is Invalid:
        with pytest.raises(EventRefused):
            check(state, event, at(1))


def test_an_id_stands_for_one_invitation() -> None:
    state = invited()
    for id_ in (ONE, b"short"):
        with pytest.raises(EventRefused, match="id of its own"):
            check(state, InvitationIssued(id_, TOMORROW, None, ""), at(1, 4))
    check(state, InvitationIssued(ONE, TOMORROW, None, ""), at(2, 4))


def test_open_ones_are_bounded_and_those_that_ended_make_room() -> None:
    state = founded()
    ids = [bytes([number]) * 16 for number in range(INVITATIONS_OPEN_MAX + 1)]
    for number, id_ in enumerate(ids[:-1]):
        run(state, replace(ISSUE, id=id_), at(1, 3 + number))
    with pytest.raises(TooManyInvitations):
        decide(state, replace(ISSUE, id=ids[-1]), at(1, 100))
    with pytest.raises(EventRefused, match="at most"):
        check(state, InvitationIssued(ids[-1], TOMORROW, None, ""), at(1, 100))
    later_on = Instant(TOMORROW + DAY)
    assert decide(state, replace(ISSUE, id=ids[-1], expires_at=later_on), at(1, 100, after=DAY + 1))
    run(state, RevokeInvitation(ids[0]), at(1, 100))
    assert decide(state, replace(ISSUE, id=ids[-1]), at(1, 101))


def test_where_members_vote_nobody_invites() -> None:
    state = founded(JoinPolicy.VOTE)
    with pytest.raises(MembersVote):
        decide(state, ISSUE, at(1))
    with pytest.raises(EventRefused, match="vote"):
        check(state, InvitationIssued(ONE, TOMORROW, None, ""), at(1))


def test_who_was_admitted_otherwise_does_not_use_up_an_invitation() -> None:
    state = invited()
    run(state, AdmitNode(C), at(1, 4))
    with pytest.raises(AlreadyAdmitted):
        decide(state, RedeemInvitation(ONE, C), at(1, 5))
    assert run(state, RedeemInvitation(ONE, D), at(1, 5))


def test_what_became_of_earlier_invitations_costs_later_ones_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    state, looked = founded(), list[Invitation]()
    is_open = Invitation.is_open
    for number in range(1, 301):
        id_ = number.to_bytes(16, "big")
        run(state, replace(ISSUE, id=id_), at(1, after=number))
        run(state, RevokeInvitation(id_), at(1, after=number))
    for number in range(301, 601):
        soon = Instant(builders.START + number + 1)
        apply(state, InvitationIssued(number.to_bytes(16, "big"), soon, None, ""), at(1, after=number))

    def noted(one: Invitation, now: Instant) -> bool:
        looked.append(one)
        return is_open(one, now)

    monkeypatch.setattr(Invitation, "is_open", noted)
    check(state, InvitationIssued(ONE, TOMORROW, None, ""), at(1, after=900))
    assert len(looked) <= INVITATIONS_OPEN_MAX
    assert len(state.invitations) == 600
