"""A federation's policy and its members."""

from dataclasses import dataclass
from enum import Enum

from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana


class JoinPolicy(Enum):
    """How a node becomes a member."""

    OPEN = "open"
    """By saying so. Such a member neither counts towards a quorum nor has mana minted for it until it is admitted."""
    INVITE = "invite"
    """By an invitation, or when one member admits it."""
    VOTE = "vote"
    """When more than half of the members have voted for it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the members agreed on. Federation state: recorded in the genesis, the same on every node."""

    join_policy: JoinPolicy
    initial_grant: Mana
    """Minted once for the own account of each founding or admitted node."""
    mana_cap: Mana
    regeneration_per_hour: int
    grants_per_node_max: int
    """How many accounts a node may open that receive the grant and regenerate."""


@dataclass(frozen=True, slots=True, order=True)
class Admission:
    """Which block admitted a member, or voted for it: whoever leans on it must have that block behind it."""

    by: Did
    sequence: int


@dataclass(frozen=True, slots=True, order=True)
class Removal:
    """Which block says that a member is removed, and how many blocks of its feed that leaves."""

    by: Did
    sequence: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the federation."""

    node: Did
    admissions: tuple[Admission, ...]
    """Sorted. Founders are admitted by the genesis; who joined through an open policy is not until a member vouches;
    several may do so at the same time."""
    joined: bool
    """Whether its feed in this federation has begun. A founder named in the genesis may not have come yet."""
    votes: tuple[Admission, ...] = ()
    """Sorted. Who voted for it and where, under the policy `vote`."""
    left_at: int | None = None
    """The sequence of the block with which it left; None: it has not."""
    removal_votes: tuple[Admission, ...] = ()
    """Sorted. Who voted to remove it, and where."""
    removals: tuple[Removal, ...] = ()
    """Sorted. Several members may have counted the votes at the same time."""

    @property
    def is_admitted(self) -> bool:
        """Whether it counts, as far as is known here. In one block's ancestry: `FederationState.is_admitted`."""
        return bool(self.admissions) and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether it has left or was removed, as far as is known here."""
        return self.left_at is not None or bool(self.removals)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What became of an invitation. Named by its issuer and its id; only the issuer's own feed changes it."""

    issuer: Did
    id: bytes
    issued_at: Instant
    expires_at: Instant
    """Whoever comes later than this is too late."""
    for_node: Did | None
    note: str
    redeemed_by: Did | None = None
    redeemed_at: Instant | None = None
    is_revoked: bool = False

    def is_open(self, now: Instant) -> bool:
        """Whether it can be used."""
        return self.redeemed_by is None and not self.is_revoked and now <= self.expires_at


@dataclass(frozen=True, slots=True)
class Federation:
    """The federation as its genesis describes it."""

    id: Cid | None
    """CID of the genesis block; none only while that block is being made."""
    name: str
    policy: Policy
    founder: Did
