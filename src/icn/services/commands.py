"""What a caller may ask of the node. Surfaces build these; `services.dispatch` answers them."""

from dataclasses import dataclass

from icn.domain.federation.model import Policy
from icn.domain.mesh.model import JobSpec
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.mana import Mana


@dataclass(frozen=True, slots=True)
class Found:
    """Found a federation with this node's DID among the founders."""

    name: str
    founders: tuple[Did, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Admit:
    """Vouch for a node."""

    node: Did


@dataclass(frozen=True, slots=True)
class OpenAccountFor:
    """Keep an account for a member here."""

    owner: Did


@dataclass(frozen=True, slots=True)
class Pay:
    """Transfer mana from the principal's account."""

    payee: Did
    amount: Mana
    note: str


@dataclass(frozen=True, slots=True)
class PutContent:
    """Store a content block."""

    data: bytes
    codec: int
    """`ids.RAW` or `ids.DAG_CBOR`; the latter is checked."""
    pinned: bool
    lifetime_ms: int | None


@dataclass(frozen=True, slots=True)
class FetchContent:
    """Have a block here, from a peer if need be."""

    cid: Cid


@dataclass(frozen=True, slots=True)
class Submit:
    """Open a job, paid from the principal's account. A long `input` is stored as content on the way."""

    spec: JobSpec
    input: bytes
    """Standard input; goes inline or by CID as its size demands. Empty where `spec.input_cid` names it."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a job."""

    job: JobId


@dataclass(frozen=True, slots=True)
class ResumeAuthoring:
    """The operator's word that no block of this node exists that is not here: a held node authors again."""


NodeCommand = Found | Admit | OpenAccountFor | Pay | PutContent | FetchContent | Submit | Cancel | ResumeAuthoring
