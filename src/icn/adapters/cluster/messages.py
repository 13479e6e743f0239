"""What node and bridge say to each other, and bridge and runner: dataclasses in canonical DAG-CBOR, behind a length.

Strict as everything that is read: what is not exactly one of these is refused, and its connection is over.
"""

import struct
from dataclasses import dataclass
from typing import TypeVar

from icn.adapters.cluster import bounds
from icn.adapters.cluster.settings import TlsFiles
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.errors import Invalid
from icn.kernel.fields import shape_of

# Node to bridge.


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerTerms:
    """What every runner is told once."""

    owner: str
    profile: str
    """Of the node: a machine that would give other results takes no jobs."""
    version: str
    workers_per_machine: int
    cache_path: str
    token_required: bool
    isolation: str
    compile_ms: int
    executions_per_worker: int
    worker_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The first thing a bridge hears."""

    host: str
    port: int
    tls: TlsFiles | None
    terms: RunnerTerms


@dataclass(frozen=True, slots=True)
class Begin:
    """Execute this once."""

    number: int
    """Of this bridge's executions, never used twice."""
    request: ExecutionRequest
    module: bytes


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop it, guest included."""

    number: int


# Bridge to node.


@dataclass(frozen=True, slots=True)
class Alive:
    """Said all the time."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The cluster has taken us in."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """It has not; the bridge ends."""

    why: str


@dataclass(frozen=True, slots=True)
class Looked:
    """Whatever machines were there at first have been heard, or waited for long enough."""

    unheard: tuple[str, ...]
    """Names of those that were waited for in vain."""


@dataclass(frozen=True, slots=True)
class MachineUp:
    """A machine takes jobs."""

    machine: str
    name: str
    places: int
    isolation: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MachineDown:
    """It takes none any more."""

    machine: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class MachineRefused:
    """It cannot take jobs of ours."""

    machine: str
    name: str
    why: str
    lacks: tuple[str, ...]
    """What does not seal its workers though it was asked for; empty where the reason is another."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an execution ended."""

    number: int
    outcome: ExecutionOutcome


# Runner to bridge.


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerState:
    """What a runner says of its machine."""

    places: int
    isolation: tuple[str, ...]
    refusal: str
    """Why it takes no jobs; empty where it does."""
    lacks: tuple[str, ...]


ToBridge = Hello | Begin | Stop
ToNode = Alive | Reached | Unreachable | Looked | MachineUp | MachineDown | MachineRefused | Ended
Message = ToBridge | ToNode

_NUMBERS: dict[type[Message], int] = {
    Hello: 1,
    Begin: 2,
    Stop: 3,
    Alive: 11,
    Reached: 12,
    Unreachable: 13,
    Looked: 14,
    MachineUp: 15,
    MachineDown: 16,
    MachineRefused: 17,
    Ended: 18,
}
_CLASSES = {number: cls for cls, number in _NUMBERS.items()}
_HEADER = struct.Struct(">IB")
HEADER_BYTES = _HEADER.size

T = TypeVar("T")


def framed(message: Message) -> bytes:
    """The message as it is sent."""
    payload = encode(message)
    return _HEADER.pack(len(payload), _NUMBERS[type(message)]) + payload


def header(data: bytes) -> tuple[int, int]:
    """Length and number of the message that follows. Raises `Invalid`."""
    size, number = _HEADER.unpack(data)
    if size > bounds.FRAME_BYTES_MAX or number not in _CLASSES:
        raise Invalid("frame", f"of kind {number} and {size} bytes")
    return size, number


def message_of(number: int, payload: bytes) -> Message:
    """The message. Raises `Invalid`."""
    found: Message = shape_of(_CLASSES[number]).decode(payload)
    return found


def encode(value: object) -> bytes:
    """Any dataclass of this module, or of those it speaks of."""
    return shape_of(type(value)).encode(value)


def decode(cls: type[T], data: bytes) -> T:
    """The reverse. Raises `Invalid`."""
    return shape_of(cls).decode(data)
