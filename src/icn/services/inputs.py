"""Everything that enters the engine."""

from dataclasses import dataclass
from enum import Enum

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.ids import Did
from icn.protocol.messages import Announce, Message
from icn.services.commands import NodeCommand


@dataclass(frozen=True, slots=True)
class Request:
    """A caller's command. `token` finds the caller again when the answer is there."""

    token: int
    command: NodeCommand
    principal: Did
    key: str
    """The `Idempotency-Key`, or empty."""
    digest: bytes
    """Of the request as the caller made it: the same key with another digest is a conflict."""
    correlation: str


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A peer is connected; its DID is proved by the handshake."""

    peer: Did


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The connection to a peer is gone."""

    peer: Did


@dataclass(frozen=True, slots=True)
class Received:
    """A well-formed message of a connected peer."""

    peer: Did
    message: Message


@dataclass(frozen=True, slots=True)
class Gossiped:
    """Blocks that somebody has published; the effect `Judge` says what becomes of them."""

    token: bytes
    bearer: Did
    """The connected peer that brought them. It has found them valid, or it is not honest."""
    author: Did
    """Who has published them, by its signature."""
    message: Announce


@dataclass(frozen=True, slots=True)
class Executed:
    """An execution of ours ended."""

    request: ExecutionRequest
    outcome: ExecutionOutcome


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: the instant the engine asked to be woken at, or a round of anti-entropy."""


class Strain(Enum):
    """What this node is short of, so that it takes no more jobs. The values are labels of a metric."""

    QUEUE = "queue"
    """More waits for the writer than it soon gets to."""
    DISK = "disk"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the machine, and the backend that executes jobs, allow now. Told when it changes."""

    places: int
    """Executions that the backend can have open at once."""
    strain: Strain | None


Input = Request | PeerUp | PeerDown | Received | Gossiped | Executed | Conditions | Tick
