"""Decides and checks invitations: issued, taken back, used (semantics §3).

Only one node decides about an invitation, its issuer, in its own feed: so it is used once, under every interleaving,
and everybody who has the issuer's feed can check that.
"""

from typing import assert_never

from icn.domain.context import Context, entitled
from icn.domain.federation.commands import IssueInvitation, RedeemInvitation, RevokeInvitation
from icn.domain.federation.events import InvitationIssued, InvitationRedeemed, InvitationRevoked
from icn.domain.federation.invitation import INVITATION_ID_BYTES
from icn.domain.federation.invitation_refusals import (
    InvitationExpired,
    InvitationForAnother,
    InvitationTakenBack,
    InvitationUnknown,
    InvitationUsed,
    MembersVote,
    TooManyInvitations,
)
from icn.domain.federation.model import Invitation, JoinPolicy
from icn.domain.federation.refusals import AlreadyAdmitted, NodeHasLeft, NodeIsRemoved
from icn.domain.federation.state import FederationState
from icn.kernel.errors import Invalid
from icn.kernel.instant import Duration, later, seconds
from icn.kernel.limits import INVITATION_DAYS_MAX, INVITATION_NOTE_CHARS_MAX, INVITATIONS_OPEN_MAX

INVITATION_LIFE_MAX: Duration = seconds(INVITATION_DAYS_MAX * 86_400)

InvitationCommand = IssueInvitation | RevokeInvitation | RedeemInvitation
InvitationEvent = InvitationIssued | InvitationRevoked | InvitationRedeemed


def decide(state: FederationState, command: InvitationCommand, context: Context) -> list[InvitationEvent]:
    """What `command` of an admitted member would change. Raises a `Refusal`; changes nothing."""
    match command:
        case IssueInvitation(id_, expires_at, for_node, note):
            if _members_vote(state):
                raise MembersVote
            if not context.time < expires_at <= later(context.time, INVITATION_LIFE_MAX):
                raise Invalid("expires", f"an invitation is good for more than nothing and at most {_DAYS}")
            if len(note) > INVITATION_NOTE_CHARS_MAX:
                raise Invalid("note", f"{len(note)} characters; at most {INVITATION_NOTE_CHARS_MAX} are accepted")
            if for_node is not None and state.has_left(for_node, context.ancestry):
                raise NodeHasLeft(for_node)
            if for_node is not None and state.is_removed(for_node, context.ancestry):
                raise NodeIsRemoved(for_node)
            if for_node is not None and state.is_admitted(for_node, context.ancestry):
                raise AlreadyAdmitted(for_node)
            if state.open_invitations(context.author, context.time) >= INVITATIONS_OPEN_MAX:
                raise TooManyInvitations
            return [InvitationIssued(id_, expires_at, for_node, note)]
        case RevokeInvitation(id_):
            _usable(state, id_, context)
            return [InvitationRevoked(id_)]
        case RedeemInvitation(id_, node):
            if state.has_left(node, context.ancestry):
                raise NodeHasLeft(node)
            if state.is_removed(node, context.ancestry):
                raise NodeIsRemoved(node)
            if state.is_admitted(node, context.ancestry):
                raise AlreadyAdmitted(node)  # its own invitation, presented again, or one that it need not use up
            invitation = _usable(state, id_, context)
            if context.time > invitation.expires_at:
                raise InvitationExpired(id_, invitation.expires_at)
            if invitation.for_node is not None and invitation.for_node != node:
                raise InvitationForAnother(id_, invitation.for_node)
            return [InvitationRedeemed(id_, node)]
        case _:
            assert_never(command)


def check(state: FederationState, event: InvitationEvent, context: Context) -> None:
    """Raise `EventRefused` unless the author was entitled to `event`. All of it is in the author's own feed."""
    author = context.author
    entitled(state.is_admitted(author, context.ancestry), "an admitted member invites others")
    known = state.invitations.get((author, event.id))
    match event:
        case InvitationIssued(id_, expires_at, _, note):
            entitled(not _members_vote(state), "nobody invites where members vote on admissions")
            entitled(known is None and len(id_) == INVITATION_ID_BYTES, "an invitation has an id of its own")
            entitled(
                context.time < expires_at <= later(context.time, INVITATION_LIFE_MAX),
                f"an invitation is good for at most {_DAYS}",
            )
            entitled(len(note) <= INVITATION_NOTE_CHARS_MAX, "an invitation's note is short")
            entitled(
                state.open_invitations(author, context.time) < INVITATIONS_OPEN_MAX,
                f"a node has at most {INVITATIONS_OPEN_MAX} open invitations",
            )
        case InvitationRevoked():
            entitled(_is_unspent(known), "an invitation is revoked by its issuer, before it is used")
        case InvitationRedeemed(_, node):
            entitled(_is_unspent(known), "an invitation is used once, with its issuer, unless it was revoked")
            entitled(known is None or context.time <= known.expires_at, "an invitation is used before it expires")
            entitled(known is None or known.for_node in {None, node}, "an invitation is used by the node it is for")
        case _:
            assert_never(event)


def _usable(state: FederationState, id_: bytes, context: Context) -> Invitation:
    """The invitation, neither used nor revoked. Raises a `Refusal`."""
    invitation = state.invitations.get((context.author, id_))
    if invitation is None:
        raise InvitationUnknown(id_)
    if invitation.is_revoked:
        raise InvitationTakenBack(id_)
    if invitation.redeemed_by is not None:
        raise InvitationUsed(id_, invitation.redeemed_by)
    return invitation


def _is_unspent(known: Invitation | None) -> bool:
    return known is not None and known.redeemed_by is None and not known.is_revoked


def _members_vote(state: FederationState) -> bool:
    return state.federation is not None and state.federation.policy.join_policy is JoinPolicy.VOTE


_DAYS = f"{INVITATION_DAYS_MAX} days"
