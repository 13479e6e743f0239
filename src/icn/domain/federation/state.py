"""Membership as the DAG tells it, and `apply`, the only place it changes."""

from dataclasses import dataclass, field, replace
from typing import assert_never

from icn.domain.context import Ancestry, Context
from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationEvent,
    FederationFounded,
    InvitationIssued,
    InvitationRedeemed,
    InvitationRevoked,
    NodeAdmitted,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
    RemovalVoted,
)
from icn.domain.federation.model import Admission, Federation, Invitation, JoinPolicy, Member, Removal
from icn.kernel.errors import require
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant


@dataclass(slots=True)
class FederationState:
    """No federation until a genesis block is here."""

    federation: Federation | None = None
    members: dict[Did, Member] = field(default_factory=dict)
    proven: dict[tuple[Did, Did], int] = field(default_factory=dict)
    """(accused, who proved it): the lowest number that it has proved two blocks for."""
    touched: dict[Did, None] = field(default_factory=dict)
    """Members changed since the last commit, in the order of change."""
    invitations: dict[tuple[Did, bytes], Invitation] = field(default_factory=dict)
    """By issuer and id; used and revoked ones too, so that none is used twice."""
    unspent: dict[tuple[Did, bytes], None] = field(default_factory=dict, compare=False, repr=False)
    """Which of them were neither used nor revoked, and had not expired when their issuer last issued one."""
    touched_invitations: dict[tuple[Did, bytes], None] = field(default_factory=dict)
    """The same of invitations."""
    touched_proven: dict[tuple[Did, Did], None] = field(default_factory=dict)

    def is_admitted(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether `node` is an admitted member in that ancestry."""
        member = self.members.get(node)
        if member is None or not any(ancestry.has(a.by, a.sequence) for a in member.admissions):
            return False
        return not _has_gone(member, ancestry)

    def is_known(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether `node` has begun its feed in that ancestry, or was admitted there; it may have gone since."""
        member = self.members.get(node)
        admissions = () if member is None else member.admissions
        return ancestry.count(node) > 0 or any(ancestry.has(a.by, a.sequence) for a in admissions)

    def has_joined(self, node: Did) -> bool:
        """Whether the feed of `node` in this federation has begun and not ended, as far as is known here."""
        member = self.members.get(node)
        return member is not None and member.joined and not member.has_ended

    def is_member(self, node: Did) -> bool:
        """Whether `node` has joined or was admitted, and has not gone since, as far as is known here."""
        member = self.members.get(node)
        return member is not None and (member.joined or bool(member.admissions)) and not member.has_ended

    def gives_content_to(self, node: Did) -> bool:
        """Whether a connected node is given content: not while it only waits to be let in, as far as is known here.

        Where whoever asks may join, asking is enough.
        """
        is_open = self.federation is None or self.federation.policy.join_policy is JoinPolicy.OPEN
        return is_open or self.is_member(node)

    def has_left(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether `node` has left in that ancestry."""
        member = self.members.get(node)
        return member is not None and member.left_at is not None and ancestry.has(node, member.left_at)

    def is_removed(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether members have removed `node` in that ancestry."""
        member = self.members.get(node)
        return member is not None and any(ancestry.has(one.by, one.sequence) for one in member.removals)

    def has_gone(self, node: Did, ancestry: Ancestry) -> bool:
        """Whether `node` has left or was removed in that ancestry."""
        member = self.members.get(node)
        return member is not None and _has_gone(member, ancestry)

    def has_ended(self, node: Did) -> bool:
        """Whether `node` has left or was removed, as far as is known here."""
        member = self.members.get(node)
        return member is not None and member.has_ended

    def was_removed(self, node: Did) -> bool:
        """Whether members have removed `node`, as far as is known here."""
        member = self.members.get(node)
        return member is not None and bool(member.removals)

    def voters(self, ancestry: Ancestry) -> list[Did]:
        """The admitted nodes in that ancestry, sorted: those that count towards a quorum."""
        return [node for node in sorted(self.members) if self.is_admitted(node, ancestry)]

    def votes_for(self, node: Did, ancestry: Ancestry) -> list[Did]:
        """The members in that ancestry who voted there for the admission of `node`, sorted."""
        member = self.members.get(node)
        votes = () if member is None else member.votes
        voted = dict.fromkeys(vote.by for vote in votes if ancestry.has(vote.by, vote.sequence))
        return [by for by in voted if self.is_admitted(by, ancestry)]

    def votes_needed(self, ancestry: Ancestry) -> int:
        """How many votes admit a node in that ancestry, or remove one: more than half of the members.

        Who is concerned by a removal is one of the members, though it has no vote: two groups that have no member in
        common can never both have enough (ADR 21).
        """
        return len(self.voters(ancestry)) // 2 + 1

    def removal_votes(self, node: Did, ancestry: Ancestry) -> list[Did]:
        """The members in that ancestry who voted there to remove `node`, which has no vote itself; sorted."""
        member = self.members.get(node)
        votes = () if member is None else member.removal_votes
        voted = dict.fromkeys(vote.by for vote in votes if ancestry.has(vote.by, vote.sequence))
        return [by for by in voted if by != node and self.is_admitted(by, ancestry)]

    def removals_of(self, node: Did) -> tuple[Removal, ...]:
        """The records that remove `node`, as far as is known here."""
        member = self.members.get(node)
        return () if member is None else member.removals

    def silent_about(self, node: Did) -> dict[Did, int]:
        """Who has voted to remove `node`, and with which block: nothing after it confirms a block of that node."""
        member = self.members.get(node)
        return {} if member is None else {vote.by: vote.sequence for vote in member.removal_votes}

    def open_invitations(self, issuer: Did, now: Instant) -> int:
        """How many invitations of `issuer` can be used."""
        return sum(1 for key in self.unspent if key[0] == issuer and self.invitations[key].is_open(now))


def apply(state: FederationState, event: FederationEvent, context: Context) -> None:
    """Change membership as `event` says."""
    match event:
        case FederationFounded(name, founders, policy):
            require(state.federation is None, "a store holds one federation")
            # The id is the CID of the block this record stands in: it has none yet while the founder decides, and
            # gets it from `name_genesis` when the block is sealed or, on other nodes, was received.
            state.federation = Federation(None, name, policy, context.author)
            for node in founders:
                admission = Admission(context.author, context.sequence)
                _put(state, Member(node, (admission,), joined=node == context.author))
        case NodeJoined(node):
            _put(state, replace(_known(state, node), joined=True))
        case NodeAdmitted(node) if _votes(state):
            _put(state, replace(_known(state, node), votes=_with(_known(state, node).votes, context)))
        case NodeAdmitted(node) | AdmissionCounted(node):
            _admit(state, node, context)
        case NodeLeft(node):
            _put(state, replace(_known(state, node), left_at=context.sequence))
        case RemovalVoted(node):
            _put(state, replace(_known(state, node), removal_votes=_with(_known(state, node).removal_votes, context)))
        case NodeRemoved(node, accepted):
            known = _known(state, node)
            removals = {*known.removals, Removal(context.author, context.sequence, accepted)}
            _put(state, replace(known, removals=tuple(sorted(removals))))
        case InvitationIssued(id_, expires_at, for_node, note):
            for key in [key for key in state.unspent if key[0] == context.author]:
                if not state.invitations[key].is_open(context.time):
                    state.unspent.pop(key)  # nor will it be again: a feed's time does not run backwards
            issued = Invitation(context.author, id_, context.time, expires_at, for_node, note)
            _put_invitation(state, issued)
        case InvitationRevoked(id_):
            _put_invitation(state, replace(state.invitations[context.author, id_], is_revoked=True))
        case InvitationRedeemed(id_, node):
            used = state.invitations[context.author, id_]
            _put_invitation(state, replace(used, redeemed_by=node, redeemed_at=context.time))
            _admit(state, node, context)
        case EquivocationProven(accused, sequence):
            state.proven[accused, context.author] = sequence
            state.touched_proven[accused, context.author] = None
        case _:
            assert_never(event)


def name_genesis(state: FederationState, genesis: Cid) -> None:
    """Give the federation its id, which is the name of the block that founded it."""
    require(state.federation is not None and state.federation.id is None, "a genesis is named once")
    if state.federation is not None:
        state.federation = replace(state.federation, id=genesis)


def skip(state: FederationState, event: FederationEvent) -> None:
    """A record without effect, because a fork made it void: whose feed began with it is known by name, and no more.

    Such a node was taken for a member in good faith, and others built on it: its blocks must be taken by everybody.
    """
    if isinstance(event, NodeJoined) and event.node not in state.members:
        _put(state, Member(event.node, (), joined=False))


def _has_gone(member: Member, ancestry: Ancestry) -> bool:
    has_left = member.left_at is not None and ancestry.has(member.node, member.left_at)
    return has_left or any(ancestry.has(one.by, one.sequence) for one in member.removals)


def _votes(state: FederationState) -> bool:
    return state.federation is not None and state.federation.policy.join_policy is JoinPolicy.VOTE


def _known(state: FederationState, node: Did) -> Member:
    return state.members.get(node, Member(node, (), joined=False))


def _with(places: tuple[Admission, ...], context: Context) -> tuple[Admission, ...]:
    """Whoever has an author's second word behind it has the first as well: that one is enough."""
    if any(place.by == context.author for place in places):
        return places
    return tuple(sorted((*places, Admission(context.author, context.sequence))))


def _admit(state: FederationState, node: Did, context: Context) -> None:
    known = _known(state, node)
    _put(state, replace(known, admissions=_with(known.admissions, context)))


def _put_invitation(state: FederationState, invitation: Invitation) -> None:
    key = (invitation.issuer, invitation.id)
    state.invitations[key] = invitation
    if invitation.is_open(invitation.issued_at):
        state.unspent[key] = None
    else:
        state.unspent.pop(key, None)
    state.touched_invitations[key] = None


def _put(state: FederationState, member: Member) -> None:
    state.members[member.node] = member
    state.touched[member.node] = None
