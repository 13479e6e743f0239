"""What happens to a federation."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.kernel.ids import Did


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
    """A member vouches for a node that joined: from here on it counts, and mana may be minted for it."""

    node: Did


FederationEvent = FederationFounded | NodeJoined | NodeAdmitted
