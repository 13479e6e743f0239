import socket
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.wasm import bounds, frames
from icn.adapters.wasm.frames import Frame, Kind, WorkerGarbled, WorkerGone


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Ends = tuple[socket.socket, socket.socket]


def test_a_frame_arrives_as_it_was_sent(ends: Ends) -> None:
    frames.send(ends[0], Kind.RUN, b"what")
    frames.send(ends[0], Kind.STARTED)
    assert frames.receive(ends[1]) == Frame(Kind.RUN, b"what")
    assert frames.receive(ends[1]) == Frame(Kind.STARTED, b"")


def test_a_closed_end_is_noticed_on_both_sides(ends: Ends) -> None:
    ends[0].sendall(b"\0\0")
    ends[0].close()
    with pytest.raises(WorkerGone):
        frames.receive(ends[1])
    with pytest.raises(WorkerGone):
        frames.send(ends[1], Kind.RUN)


@pytest.mark.parametrize("header", [struct.pack(">IB", bounds.FRAME_BYTES_MAX + 1, 1), struct.pack(">IB", 0, 200)])
def test_a_frame_that_no_worker_sends_is_not_read(ends: Ends, header: bytes) -> None:
    ends[0].sendall(header)
    with pytest.raises(WorkerGarbled):
        frames.receive(ends[1])


def test_a_deadline_holds_for_the_whole_frame(ends: Ends) -> None:
    ends[0].sendall(struct.pack(">IB", 100, 1) + b"some")
    with pytest.raises(TimeoutError):
        frames.receive(ends[1], deadline=time.monotonic() + 0.01)
    with pytest.raises(TimeoutError):
        frames.send(ends[0], Kind.LOAD, bytes(10**7), deadline=time.monotonic() + 0.01)
    with pytest.raises(TimeoutError):
        frames.receive(ends[0], deadline=time.monotonic() - 1)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_fields_read_back(fields: list[bytes]) -> None:
    packed = frames.pack(*fields)
    assert frames.unpack_all(packed) == fields
    assert frames.unpack(packed, len(fields)) == fields
    with pytest.raises(WorkerGarbled):
        frames.unpack(packed, len(fields) + 1)


@given(st.binary(max_size=40))
def test_garbage_is_read_or_refused(payload: bytes) -> None:
    try:
        fields = frames.unpack_all(payload)
    except WorkerGarbled:
        return
    assert len(frames.pack(*fields)) <= len(payload) + 4


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(WorkerGarbled):
        frames.unpack_all(bytes(4 * (bounds.FIELDS_MAX + 1)))


def test_numbers_read_back() -> None:
    assert frames.numbers(frames.number(0) + frames.number(2**64 - 1), 2) == (0, 2**64 - 1)
    with pytest.raises(WorkerGarbled):
        frames.numbers(bytes(9), 1)
