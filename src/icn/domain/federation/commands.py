"""What may be asked of a federation."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant


@dataclass(frozen=True, slots=True)
class FoundFederation:
    """Begin one. Only where there is none yet."""

    name: str
    founders: tuple[Did, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class JoinFederation:
    """Begin this node's feed in the federation whose genesis is here."""

    agent: str


@dataclass(frozen=True, slots=True)
class AdmitNode:
    """Vouch for a node. Where members vote on admissions, it is this member's vote."""

    node: Did


@dataclass(frozen=True, slots=True)
class CountVotes:
    """Say that enough members have voted for a node."""

    node: Did


@dataclass(frozen=True, slots=True)
class IssueInvitation:
    """Let whoever has its line join, once."""

    id: bytes
    expires_at: Instant
    for_node: Did | None
    note: str


@dataclass(frozen=True, slots=True)
class RevokeInvitation:
    """Take one back that was not used."""

    id: bytes


@dataclass(frozen=True, slots=True)
class RedeemInvitation:
    """A node has presented it."""

    id: bytes
    node: Did


@dataclass(frozen=True, slots=True)
class LeaveFederation:
    """End this node's feed in it."""


@dataclass(frozen=True, slots=True)
class VoteRemoval:
    """Vote to remove a node, for good."""

    node: Did
    reason: str


@dataclass(frozen=True, slots=True)
class CountRemoval:
    """Say that enough members have voted to remove a node."""

    node: Did


@dataclass(frozen=True, slots=True)
class ProveFork:
    """Record that `accused` signed both blocks with one number."""

    accused: Did
    sequence: int
    one: Cid
    other: Cid


FederationCommand = (
    FoundFederation
    | JoinFederation
    | AdmitNode
    | CountVotes
    | IssueInvitation
    | RevokeInvitation
    | RedeemInvitation
    | LeaveFederation
    | VoteRemoval
    | CountRemoval
    | ProveFork
)
