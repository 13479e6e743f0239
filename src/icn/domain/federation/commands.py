"""What may be asked of a federation."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.kernel.ids import Did


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
    """Vouch for a node that joined."""

    node: Did


FederationCommand = FoundFederation | JoinFederation | AdmitNode
