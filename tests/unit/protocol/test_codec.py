"""Messages are read as they were written; a peer's mistakes are violations, never anything worse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icn.kernel import limits
from icn.kernel.encoding import encode
from icn.kernel.errors import InvariantBroken, PeerViolation
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX, decode_message, encode_message
from icn.protocol.messages import (
    CONTENT_PROTOCOL,
    FEED_PROTOCOL,
    MESH_PROTOCOL,
    NUMBERS,
    Announce,
    Chunk,
    FeedCount,
    Heads,
    NotHere,
    protocol_of,
)
from support import builders
from support.shapes import values_of

PROTOCOLS = (FEED_PROTOCOL, MESH_PROTOCOL, CONTENT_PROTOCOL)
NOT_HERE = NotHere(builders.cid("x"))


@pytest.mark.parametrize("kind", list(NUMBERS), ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(st.data())
def test_every_message_reads_as_it_was_written(kind: type, data: st.DataObject) -> None:
    message = data.draw(values_of(kind))
    encoded = encode_message(message)
    assert decode_message(protocol_of(message), encoded) == message
    for other in PROTOCOLS:
        if other != protocol_of(message):
            with pytest.raises(PeerViolation):
                decode_message(other, encoded)


@given(st.sampled_from([*PROTOCOLS, "/icn/none/1"]), st.binary(max_size=200))
def test_noise_is_a_violation_and_nothing_worse(protocol: str, noise: bytes) -> None:
    with pytest.raises(PeerViolation):
        decode_message(protocol, noise)


@given(st.integers(-(2**64), 2**64 - 1).filter(lambda number: number not in NUMBERS.values()))
def test_an_unknown_number_is_a_violation(number: int) -> None:
    with pytest.raises(PeerViolation, match="not known"):
        decode_message(FEED_PROTOCOL, encode([number, {}]))


@pytest.mark.parametrize("value", [[], [1], [True, {}], ["1", {}], {"1": {}}, [42, {}, 0], [42, []], [42, None], None])
def test_a_message_is_a_number_and_fields(value: object) -> None:
    with pytest.raises(PeerViolation):
        decode_message(CONTENT_PROTOCOL, encode(value))


def test_bounds_bind_on_both_sides() -> None:
    for protocol, most in PROTOCOL_MESSAGE_BYTES_MAX.items():
        with pytest.raises(PeerViolation, match="too large"):
            decode_message(protocol, bytes(most + 1))
    with pytest.raises(InvariantBroken):
        encode_message(Chunk(builders.cid("x"), 0, 1, bytes(limits.CHUNK_BYTES_MAX + limits.KIB)))
    many = tuple(FeedCount(builders.did(1), n) for n in range(limits.CLOCK_ENTRIES_MAX + 1))
    with pytest.raises(PeerViolation, match="feeds"):
        decode_message(FEED_PROTOCOL, encode_message(Heads(many, "")))
    with pytest.raises(PeerViolation, match="blocks"):
        decode_message(FEED_PROTOCOL, encode_message(Announce((b"",) * (limits.CATCHUP_BLOCKS_MAX + 1))))


def test_a_full_chunk_fits() -> None:
    full = Chunk(builders.cid("x"), 2**40, 2**40, bytes(limits.CHUNK_BYTES_MAX))
    assert decode_message(CONTENT_PROTOCOL, encode_message(full)) == full


def test_a_message_written_another_way_is_refused() -> None:
    data = encode_message(NOT_HERE)
    assert data[:1] == b"\x82"
    for loose in (b"\x98\x02" + data[1:], data + b"\x00", b"\x9f" + data[1:] + b"\xff"):
        with pytest.raises(PeerViolation):
            decode_message(CONTENT_PROTOCOL, loose)
