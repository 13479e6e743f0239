"""What the engine asks the outside to do, after the commit that caused it. Reading this union is learning all of it."""

from dataclasses import dataclass, field
from enum import Enum

from icn.domain.mesh.execution import ExecutionRequest
from icn.domain.records import Record
from icn.kernel.ids import Cid, Did, JobId
from icn.kernel.instant import Duration, Instant
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.messages import Announce, Message


@dataclass(frozen=True, slots=True)
class Send:
    """To a connected peer. May be lost; what must not be lost waits in the outbox."""

    peer: Did
    message: Message
    data: bytes | None = field(default=None, compare=False, repr=False)
    """The message's bytes, where they were made already: it waits in the outbox."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Take what is published on this topic from now on, and no other. Said again after every start; once is enough."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """To everybody who is subscribed to the topic, over whomever it takes. May be lost, like what is sent."""

    topic: str
    message: Announce


@dataclass(frozen=True, slots=True)
class Judge:
    """What becomes of a publication that came: whether it travels on, and what is thought of who brought it."""

    token: bytes
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Dial:
    """Keep a node connected that this one was told of: its multiaddr."""

    address: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A peer broke the protocol."""

    peer: Did
    reason: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """Start an execution; its outcome comes back as the input `Executed`."""

    request: ExecutionRequest
    module: bytes
    """The module's bytes; empty for the built-in."""


@dataclass(frozen=True, slots=True)
class StopJob:
    """End an execution if it is still under way."""

    job: JobId
    attempt: int


@dataclass(frozen=True, slots=True)
class Committed:
    """One record became durable: for metrics, audit and the event stream."""

    arrival: int
    index: int
    """Position in its block; (arrival, index) orders all records of this store."""
    cid: Cid
    author: Did
    time: Instant
    record: Record


@dataclass(frozen=True, slots=True)
class ContentPruned:
    """A round of pruning ended."""

    blocks: int
    size: int
    """Bytes of content."""


@dataclass(frozen=True, slots=True)
class BlockDamaged:
    """A block's bytes are not what its name says."""

    cid: Cid


@dataclass(frozen=True, slots=True)
class BlockMended:
    """A damaged block has its right bytes again."""

    cid: Cid


StoreNotice = ContentPruned | BlockDamaged | BlockMended
"""For metrics and logs; nothing else follows from it."""


class BidOutcome(Enum):
    """What an announcement was answered. The values are labels of a metric."""

    OFFERED = "offered"
    PRICE = "price"
    """The job pays less than is asked here."""
    CAPABILITY = "capability"
    MEMORY = "memory"
    """It may take more than all jobs share here."""
    BUSY = "busy"
    """No place or memory is free; it waits for its turn."""
    CROWDED = "crowded"
    """The same, and there is no room to wait."""
    STRAINED = "strained"
    """This node is short of something, and takes no jobs meanwhile."""
    UNPAID = "unpaid"
    """The home owes for earlier jobs."""


@dataclass(frozen=True, slots=True)
class BidAnswered:
    """An announcement was answered."""

    outcome: BidOutcome


class ExecutionPhase(Enum):
    """A part of a job's way through its executor. The values are labels of a metric."""

    WAIT = "wait"
    """From the announcement to the offer."""
    FETCH = "fetch"
    """From the assignment until module and input are here."""
    RUN = "run"
    """Until the outcome, with what the sandbox makes it wait."""
    SETTLE = "settle"
    """From the receipt until its home has recorded it."""


@dataclass(frozen=True, slots=True)
class PhaseEnded:
    """A part of a job's way is over."""

    phase: ExecutionPhase
    took: Duration


ExecutorNotice = BidAnswered | PhaseEnded
"""For metrics; nothing else follows from it."""


class Finding(Enum):
    """What running a job again said of its result. The values are labels of a metric."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    """Another result, and proof of it: a dispute was raised."""
    UNCONFIRMED = "unconfirmed"
    """It could not be run here, or what came proves nothing: not paid, and nobody accused."""


@dataclass(frozen=True, slots=True)
class Rechecked:
    """This home ran a job again before paying for it. For metrics; nothing else follows from it."""

    finding: Finding


Gossip = Subscribe | Publish | Judge
"""What the gossip is asked to do."""

Effect = Send | Gossip | Dial | Disconnect | RunJob | StopJob | Committed | StoreNotice | ExecutorNotice | Rechecked
