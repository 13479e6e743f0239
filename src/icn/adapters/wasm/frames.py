"""Frames between the node and a worker: a length, a kind, and fields of bytes.

Nothing that could be asked to build objects, because the other end may have been taken over by a guest: a frame that
is not exactly what is expected raises `WorkerGarbled`, and the worker is killed.
"""

import socket
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

from icn.adapters.wasm import bounds
from icn.kernel.errors import Fault


class Kind(IntEnum):
    """What a frame says."""

    READY = 1
    """Worker: started and sealed. Field: what seals it."""
    COMPILE = 2
    """Node. Field: the module."""
    COMPILED = 3
    """Worker. Field: the artifact."""
    REFUSED = 4
    """Worker: cannot be compiled. Field: why."""
    LOAD = 5
    """Node. Fields: key, artifact."""
    RUN = 6
    """Node. Fields of `messages.Run`."""
    MISSING = 7
    """Worker: nothing usable is loaded under the key of the run."""
    STARTED = 8
    """Worker: the guest's time begins."""
    ENDED = 9
    """Worker. Fields of `messages.Ended`."""


class WorkerGarbled(Fault):
    """A worker sent something that no worker of ours sends."""

    code = "sandbox.worker_garbled"


class WorkerGone(Fault):
    """A worker's end of the connection is closed: it crashed or was killed."""

    code = "sandbox.worker_gone"


@dataclass(frozen=True, slots=True)
class Frame:
    """A kind and its still encoded fields."""

    kind: Kind
    payload: bytes


_HEADER = struct.Struct(">IB")
_KINDS = frozenset(Kind)


def send(channel: socket.socket, kind: Kind, payload: bytes = b"", *, deadline: float | None = None) -> None:
    """Raises `WorkerGone` when nobody is there any more, `TimeoutError` when it is not taken by `deadline`."""
    _limit(channel, deadline)
    try:
        channel.sendall(_HEADER.pack(len(payload), kind) + payload)
    except ConnectionError as error:
        raise WorkerGone("the worker is gone") from error


def receive(channel: socket.socket, *, deadline: float | None = None) -> Frame:
    """The next frame, complete by `deadline` (of the monotonic clock) or `TimeoutError`.

    Raises `WorkerGone` and `WorkerGarbled`.
    """
    size, kind = _HEADER.unpack(_exactly(channel, _HEADER.size, deadline))
    if size > bounds.FRAME_BYTES_MAX or kind not in _KINDS:
        raise WorkerGarbled(f"a frame of kind {kind} and {size} bytes")
    return Frame(Kind(kind), _exactly(channel, size, deadline))


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size:
        _limit(channel, deadline)
        try:
            got = channel.recv_into(view[filled:])
        except ConnectionError as error:
            raise WorkerGone("the worker is gone") from error
        if got == 0:
            raise WorkerGone("the worker is gone")
        filled += got
    return bytes(data)


def _limit(channel: socket.socket, deadline: float | None) -> None:
    # A worker never sets a time-out: it waits for ever, and its seal leaves it no call to change a descriptor.
    if deadline is not None:
        # Zero would mean "do not wait" to the socket and raise another error; a microsecond raises the right one.
        channel.settimeout(max(1e-6, deadline - time.monotonic()))


def pack(*fields: bytes) -> bytes:
    """Fields behind their lengths."""
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def unpack(payload: bytes, count: int) -> list[bytes]:
    """Exactly `count` fields, or `WorkerGarbled`."""
    fields = unpack_all(payload)
    if len(fields) != count:
        raise WorkerGarbled(f"{len(fields)} fields instead of {count}")
    return fields


def unpack_all(payload: bytes) -> list[bytes]:
    """Every field; `WorkerGarbled` when a length does not fit."""
    fields: list[bytes] = []
    position = 0
    while position < len(payload):
        end = position + 4
        size = int.from_bytes(payload[position:end], "big")
        position = end + size
        if position > len(payload) or len(fields) == bounds.FIELDS_MAX:
            raise WorkerGarbled("a field longer than its frame, or too many")
        fields.append(payload[end:position])
    return fields


def number(value: int) -> bytes:
    """A count of something, as eight bytes."""
    return struct.pack(">Q", value)


def numbers(field: bytes, count: int) -> tuple[int, ...]:
    """The reverse of `number`, `count` times, or `WorkerGarbled`."""
    if len(field) != 8 * count:
        raise WorkerGarbled("a field of numbers with another length")
    return struct.unpack(f">{count}Q", field)
