"""The federation as the DAG tells it: policy, members, how far this node is, and what its members have confirmed.

A view of everything that is stored, not of one block's ancestry: what a rule may lean on is `services.ancestry`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from icn.domain.dag.feeds import Clock, confirmed_count, quorum
from icn.domain.federation.confirming import settled_count
from icn.domain.federation.model import Admission, Invitation, JoinPolicy, Member, Removal
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.services import rows
from icn.stores import joining
from icn.stores.blocks import clock_at, clock_of_entries
from icn.stores.kv import Reader


class Membership(Enum):
    """How far this node is in becoming a member."""

    MEMBER = "member"
    FOUNDING = "founding"
    """It has no federation and founds its own."""
    WAITING_TO_JOIN = "waiting to join"
    """It needs a peer that is a member, and all of that peer's blocks."""
    WAITING_FOR_ADMISSION = "waiting for admission"
    """A member must admit it."""
    LEFT = "left"
    """Its feed has ended; it may found or join another federation."""
    REMOVED = "removed"
    """More than half of the members have voted it out; it may found or join another federation."""


@dataclass(frozen=True, slots=True)
class PolicyView:
    """What the members agreed on."""

    join_policy: JoinPolicy
    initial_grant: int
    mana_cap: int
    regeneration_per_hour: int
    grants_per_node_max: int


@dataclass(frozen=True, slots=True)
class MemberView:
    """A node of the federation."""

    did: Did
    admitted: bool
    joined: bool
    left: bool
    """Whether it has left: its feed has ended."""
    removed: bool
    """Whether members have removed it: its feed has ended."""
    votes: int
    """Members that have voted for it, where members vote on admissions. Who has gone since counts no more."""
    removal_votes: int
    """Members that have voted to remove it, without those that have gone since."""
    sequence: int | None
    """Of its newest block here."""


@dataclass(frozen=True, slots=True)
class FederationView:
    """The federation this node belongs to, or waits for."""

    id: Cid | None
    name: str | None
    policy: PolicyView | None
    state: Membership
    members: tuple[MemberView, ...]
    quorum: int
    """How many admitted members confirm a block."""
    next_step: str | None
    """What the operator of a member types to admit this node; None where it does not wait for that."""
    waiting_for: str | None
    """In a sentence, what this node waits for before it is a full member; None where it is one."""


@dataclass(frozen=True, slots=True)
class MembersView:
    """The nodes of the federation."""

    items: tuple[MemberView, ...]


class InvitationState(Enum):
    """What has become of an invitation."""

    OPEN = "open"
    USED = "used"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class InvitationView:
    """An invitation that this node issued. Its line is shown once, when it is issued."""

    id: str
    state: InvitationState
    issued_at: Instant
    expires_at: Instant
    for_node: Did | None
    note: str
    used_by: Did | None
    used_at: Instant | None


@dataclass(frozen=True, slots=True)
class InvitationsView:
    """Oldest first."""

    items: tuple[InvitationView, ...]


def federation(reader: Reader, here: Did, *, joins: bool, waiting_for: str | None = None) -> FederationView:
    """The federation as node `here` has it.

    `joins`: whether a node without one waits for its peers'. `waiting_for`: `services.joining` says it.
    """
    stored = rows.load_federation(reader)
    listed = members(reader)
    state = membership(reader, here, joins=joins)
    policy = None if stored is None else stored.policy
    return FederationView(
        id=None if stored is None else stored.id,
        name=None if stored is None else stored.name,
        policy=None
        if policy is None
        else PolicyView(
            join_policy=policy.join_policy,
            initial_grant=policy.initial_grant,
            mana_cap=policy.mana_cap,
            regeneration_per_hour=policy.regeneration_per_hour,
            grants_per_node_max=policy.grants_per_node_max,
        ),
        state=state,
        members=listed.items,
        quorum=quorum(sum(1 for member in listed.items if member.admitted)),
        next_step=admission_line(here) if state is Membership.WAITING_FOR_ADMISSION else None,
        waiting_for=waiting_for,
    )


def members(reader: Reader) -> MembersView:
    """The nodes of the federation, in order of their keys."""
    heads = {row.author: row.sequence for _, row in rows.HEADS.rows(reader)}
    stored = [member for _, member in rows.MEMBERS.rows(reader)]
    voters = {member.node: None for member in stored if member.is_admitted}
    return MembersView(
        tuple(
            MemberView(
                did=member.node,
                admitted=member.is_admitted,
                joined=member.joined,
                left=member.left_at is not None,
                removed=bool(member.removals),
                removal_votes=_count(member.removal_votes, voters),
                votes=_count(member.votes, voters),
                sequence=heads.get(member.node),
            )
            for member in stored
        )
    )


def _count(votes: tuple[Admission, ...], voters: Mapping[Did, None]) -> int:
    return len(dict.fromkeys(vote.by for vote in votes if vote.by in voters))


def removed_count(reader: Reader) -> int:
    """How many members the others have voted out."""
    return sum(1 for _, member in rows.MEMBERS.rows(reader) if member.removals)


def invitations(reader: Reader, here: Did, now: Instant) -> InvitationsView:
    """Those that node `here` has issued."""
    own = [one for _, one in rows.INVITATIONS.rows(reader, prefix=here.public_key)]
    return InvitationsView(
        tuple(
            InvitationView(
                id=one.id.hex(),
                state=_state_of(one, now),
                issued_at=one.issued_at,
                expires_at=one.expires_at,
                for_node=one.for_node,
                note=one.note,
                used_by=one.redeemed_by,
                used_at=one.redeemed_at,
            )
            for one in sorted(own, key=lambda one: (one.issued_at, one.id))
        )
    )


def _state_of(invitation: Invitation, now: Instant) -> InvitationState:
    if invitation.redeemed_by is not None:
        return InvitationState.USED
    if invitation.is_revoked:
        return InvitationState.REVOKED
    return InvitationState.OPEN if invitation.is_open(now) else InvitationState.EXPIRED


def membership(reader: Reader, here: Did, *, joins: bool) -> Membership:
    """How far node `here` is (semantics §3)."""
    stored = rows.load_federation(reader)
    if stored is None:
        seeks = joins or joining.aim_of(reader) is not None
        return Membership.WAITING_TO_JOIN if seeks else Membership.FOUNDING
    member = rows.MEMBERS.get(reader, here.public_key)
    admitted = member is not None and member.is_admitted
    if member is not None and member.left_at is not None:
        return Membership.LEFT
    if member is not None and member.removals:
        return Membership.REMOVED
    if member is not None and member.joined:
        return Membership.MEMBER if admitted else Membership.WAITING_FOR_ADMISSION
    may_join = admitted or stored.policy.join_policy is JoinPolicy.OPEN
    return Membership.WAITING_TO_JOIN if may_join else Membership.WAITING_FOR_ADMISSION


@dataclass(frozen=True, slots=True)
class Confirmations:
    """What a quorum of the admitted members has built on, as far as this store knows (semantics §2)."""

    voters: tuple[Did, ...]
    clocks: Mapping[Did, Clock]
    """Of each feed's newest block."""
    silent: Mapping[tuple[Did, Did], Clock] = field(default_factory=dict)
    """By author and who has voted to remove it: the clock of that vote's block. Later ones confirm nothing of it."""
    removals: Mapping[Did, tuple[Removal, ...]] = field(default_factory=dict)

    def count(self, author: Did) -> int:
        """How many blocks of `author`, from the first, are confirmed."""
        settled = settled_count(self.removals.get(author, ()), self.voters, self.clocks.get)
        if settled is not None:
            return settled

        def seen_by(voter: Did) -> Clock | None:
            return self.silent.get((author, voter)) or self.clocks.get(voter)

        return confirmed_count(author, self.voters, seen_by)


def confirmations(reader: Reader) -> Confirmations:
    """Of everything stored."""

    def admitted(member: Member) -> bool:
        return member.is_admitted

    members = [member for _, member in rows.MEMBERS.rows(reader)]
    voters = tuple(member.node for member in members if admitted(member))
    silent = {
        (member.node, vote.by): clock_at(reader, vote.by, vote.sequence)
        for member in members
        for vote in member.removal_votes
    }
    clocks = {row.author: clock_of_entries(row.clock) for _, row in rows.HEADS.rows(reader)}
    removals = {member.node: member.removals for member in members if member.removals}
    return Confirmations(voters, clocks, silent, removals)


def admission_line(did: Did) -> str:
    """What the operator of a member types to admit this node."""
    return f"icn-cli federation admit {did}"
