"""Every message between nodes: numbered, frozen, fixed fields. A number is never reused; a retired one stays listed.

Three protocols carry them, each with its version in its name. Messages are not domain events: the wire may evolve
without touching stored history. What is signed inside a message (blocks, bids, assignments, receipts) travels as bytes
and is verified as received.

Delivery: a connection keeps order but may end at any moment, and what was under way is lost. Messages with a `number`
come from the sender's outbox, arrive at least once and are answered with `Acknowledged`.
"""

from dataclasses import dataclass
from typing import Any

from icn.domain.mesh.model import JobSpec
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.limits import KIB

OUTPUT_INLINE_BYTES_MAX = 16 * KIB
"""Most outputs are small, and a round trip saved is a job settled sooner."""

FEED_PROTOCOL = "/icn/feed/1"
MESH_PROTOCOL = "/icn/mesh/1"
CONTENT_PROTOCOL = "/icn/content/1"


@dataclass(frozen=True, slots=True)
class FeedCount:
    """How many blocks of one feed the sender has."""

    author: Did
    count: int


@dataclass(frozen=True, slots=True)
class Hello:
    """First on every connection: who speaks, and for which federation."""

    agent: str
    federation: Cid | None
    """None: not in one yet, asks to be told."""
    counts: tuple[FeedCount, ...]
    root: str
    executes: bool
    """Whether this node takes jobs; a home need not wait for the bid of one that does not."""


@dataclass(frozen=True, slots=True)
class Heads:
    """What the sender has now. Sent after changes and from time to time: whoever lacks something asks for it."""

    counts: tuple[FeedCount, ...]
    root: str


@dataclass(frozen=True, slots=True)
class Want:
    """Send me what I lack beyond these counts."""

    counts: tuple[FeedCount, ...]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Part of an answer to `Want`, ancestors first. `more` says that another `Want` would bring more."""

    blocks: tuple[bytes, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Announce:
    """New blocks, ancestors first, unasked."""

    blocks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WantNamed:
    """Send me these signed blocks: others name them, and no count tells of them. Answered with `Blocks`."""

    cids: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class InvitationPresented:
    """Let me in: a sealed invitation, shown to its issuer. Repeated with the next connection until it is answered."""

    invitation: bytes


@dataclass(frozen=True, slots=True)
class InvitationAnswered:
    """What its issuer says of an invitation."""

    invitation: bytes
    """Its id."""
    code: str
    """Empty: the sender of the invitation is admitted. Else that of the refusal."""
    detail: str
    """For people."""


@dataclass(frozen=True, slots=True)
class JobAnnounced:
    """Who will run this? Bids are taken for `window_ms` from the sending."""

    job: JobId
    attempt: int
    window_ms: int
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class BidOffered:
    """A sealed bid."""

    bid: bytes


@dataclass(frozen=True, slots=True)
class BidDeclined:
    """No bid will come from here for this attempt; no need to wait."""

    job: JobId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class AssignmentSent:
    """Run this: a sealed assignment."""

    number: int
    assignment: bytes


@dataclass(frozen=True, slots=True)
class ExecutionBegun:
    """The assignment is accepted and durable."""

    number: int
    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class AssignmentRefused:
    """The assignment cannot be accepted after all."""

    number: int
    job: JobId
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutputPledged:
    """With redundancy: SHA-256(output CID ‖ nonce ‖ DID), before anybody shows an output."""

    number: int
    job: JobId
    attempt: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class ReceiptSent:
    """A sealed receipt. A short output comes with it; a longer one can be fetched from the sender."""

    number: int
    receipt: bytes
    output: bytes
    """Up to `OUTPUT_INLINE_BYTES_MAX`; empty where the receipt names a longer one, or none."""


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    """Stop: nobody will pay for this attempt any more."""

    number: int
    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The message of this number is durable here."""

    number: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send me this content from `offset` on."""

    cid: Cid
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a content block. Believed only when the whole has its name."""

    cid: Cid
    offset: int
    total: int
    data: bytes


@dataclass(frozen=True, slots=True)
class NotHere:
    """The sender does not have it."""

    cid: Cid


FeedMessage = Hello | Heads | Want | Blocks | Announce | WantNamed
InvitationMessage = InvitationPresented | InvitationAnswered
MeshMessage = (
    JobAnnounced
    | BidOffered
    | BidDeclined
    | AssignmentSent
    | ExecutionBegun
    | AssignmentRefused
    | OutputPledged
    | ReceiptSent
    | ExecutionCancelled
    | Acknowledged
)
ContentMessage = Fetch | Chunk | NotHere
Message = FeedMessage | InvitationMessage | MeshMessage | ContentMessage

NUMBERS: dict[type[Any], int] = {
    Hello: 1,
    Heads: 2,
    Want: 3,
    Blocks: 4,
    Announce: 5,
    WantNamed: 6,
    InvitationPresented: 10,
    InvitationAnswered: 11,
    JobAnnounced: 20,
    BidOffered: 21,
    BidDeclined: 22,
    AssignmentSent: 23,
    ExecutionBegun: 24,
    AssignmentRefused: 25,
    OutputPledged: 26,
    ReceiptSent: 27,
    ExecutionCancelled: 28,
    Acknowledged: 29,
    Fetch: 40,
    Chunk: 41,
    NotHere: 42,
}


def protocol_of(message: Message) -> str:
    """The protocol a message travels on."""
    number = NUMBERS[type(message)]
    return FEED_PROTOCOL if number < 20 else MESH_PROTOCOL if number < 40 else CONTENT_PROTOCOL
