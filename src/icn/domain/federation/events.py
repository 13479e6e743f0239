"""What happens to a federation."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant


@dataclass(frozen=True, slots=True)
class FederationFounded:
    """The genesis: first record of the first block; its block's CID is the federation's id."""

    name: str
    founders: tuple[Did, ...]
    """Founding nodes, the author among them, sorted."""
    policy: Policy


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """First record of a node's feed in this federation (the founder's own feed begins with the genesis)."""

    node: Did
    agent: str
    """Program and version, for people."""


@dataclass(frozen=True, slots=True)
class NodeAdmitted:
    """A member vouches for a node: from here on it counts, and mana may be minted for it.

    Where the policy is `vote` it is one member's vote, and `AdmissionCounted` says that they were enough.
    """

    node: Did


@dataclass(frozen=True, slots=True)
class AdmissionCounted:
    """More than half of the members voted for the node, in the ancestry of this record: from here on it counts."""

    node: Did


@dataclass(frozen=True, slots=True)
class InvitationIssued:
    """Whoever presents the paper of this id to its issuer is admitted, once. The issuer alone decides."""

    id: bytes
    expires_at: Instant
    for_node: Did | None
    """The only node that may use it; None: whoever has it."""
    note: str
    """For the issuer's operator. Everybody in the federation can read it."""


@dataclass(frozen=True, slots=True)
class InvitationRevoked:
    """Nobody may use it any more."""

    id: bytes


@dataclass(frozen=True, slots=True)
class InvitationRedeemed:
    """It was used: from here on the node counts, as after `NodeAdmitted`."""

    id: bytes
    node: Did


@dataclass(frozen=True, slots=True)
class NodeLeft:
    """The last record of a node's feed in this federation: it neither counts nor authors from here on."""

    node: Did


@dataclass(frozen=True, slots=True)
class RemovalVoted:
    """A member's vote to remove a node. Nothing that its author signs later confirms a block of that node."""

    node: Did
    reason: str
    """For people. Everybody in the federation can read it."""


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """More than half of the members voted, in the ancestry of this record: the node is no member from here on.

    Of its feed the first `accepted` blocks count, which are those behind this record, and no other.
    """

    node: Did
    accepted: int


@dataclass(frozen=True, slots=True)
class EquivocationProven:
    """Its author holds two different blocks that `accused` signed with one number: anybody can tell from their bytes.

    In the feed of each node that found it. Whoever takes the block fetches both.
    """

    accused: Did
    sequence: int
    first: Cid
    """The lower of the two names."""
    second: Cid


FederationEvent = (
    FederationFounded
    | NodeJoined
    | NodeAdmitted
    | AdmissionCounted
    | InvitationIssued
    | InvitationRevoked
    | InvitationRedeemed
    | NodeLeft
    | RemovalVoted
    | NodeRemoved
    | EquivocationProven
)
