import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.protocol.libp2p.gossipsub.signing import check_signature, read, sign
from icn.protocol.libp2p.protobuf import bytes_field, number_field
from icn.protocol.libp2p.secure_channel import public_key_message
from support.gossip_talk import peer, signer

ANN = signer("ann")
FROM, SEQNO = bytes_field(1, peer("ann").multihash), bytes_field(3, bytes(8))
DATA, TOPIC = bytes_field(2, b"data"), bytes_field(4, b"topic")


def signed(unsigned: bytes, *, key: bytes = b"") -> bytes:
    return unsigned + bytes_field(5, ANN.sign(b"libp2p-pubsub:", unsigned)) + key


def believed(raw: bytes) -> bool:
    try:
        check_signature(read(raw))
    except (Invalid, PeerViolation):
        return False
    return True


def test_a_message_of_ours_is_read_and_believed():
    made = sign(ANN, bytes(range(8)), "topic", b"data")
    assert read(made.raw) == made
    assert made.author == peer("ann")
    assert made.id == peer("ann").multihash + bytes(range(8))
    check_signature(made)
    assert made.raw == signed(FROM + DATA + bytes_field(3, bytes(range(8))) + TOPIC)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_message_or_refused(data):
    believed(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_message_with_one_byte_changed_is_not_believed(place, flip):
    raw = bytearray(signed(FROM + DATA + SEQNO + TOPIC))
    raw[place % len(raw)] ^= flip
    assert not believed(bytes(raw))


def test_the_order_of_the_fields_and_fields_nobody_knows_are_the_senders():
    assert believed(signed(TOPIC + SEQNO + FROM + bytes_field(9, b"new") + number_field(10, 1) + b"\x5d" + bytes(4)))
    assert believed(signed(FROM + SEQNO + TOPIC))
    unsigned = FROM + DATA + SEQNO + TOPIC
    assert believed(signed(unsigned, key=bytes_field(6, public_key_message(ANN.did))))
    assert not believed(signed(unsigned) + bytes_field(9, b"put in later"))


@pytest.mark.parametrize("lacking", [FROM, SEQNO, TOPIC])
def test_every_field_of_the_policy_has_to_be_there(lacking):
    assert not believed(signed((FROM + DATA + SEQNO + TOPIC).replace(lacking, b"")))


@pytest.mark.parametrize("field", [FROM, DATA, SEQNO, TOPIC])
def test_a_field_that_is_there_twice_is_refused(field):
    with pytest.raises(Invalid):
        read(signed(FROM + DATA + SEQNO + TOPIC + field))


def test_a_message_without_a_signature_is_refused():
    with pytest.raises(PeerViolation, match="signature"):
        read(FROM + DATA + SEQNO + TOPIC)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"junk",
        bytes.fromhex("08001201") + b"\0",
        bytes.fromhex("08021221") + bytes(33),
        public_key_message(signer("bob").did),
        public_key_message(ANN.did) + b"\0",
    ],
    ids=["empty", "junk", "RSA", "secp256k1", "another's", "longer"],
)
def test_a_key_that_is_not_the_authors_is_refused(key):
    assert not believed(signed(FROM + DATA + SEQNO + TOPIC, key=bytes_field(6, key)))


@pytest.mark.parametrize(
    "author",
    [
        b"",
        b"junk",
        b"\x12\x20" + bytes(32),
        b"\x00\x25\x08\x02\x12\x21" + bytes(33),
        b"\x00\x24\x08\x01\x12\x20" + bytes(31),
    ],
    ids=["empty", "junk", "hash of a key", "secp256k1", "short"],
)
def test_an_author_whose_key_is_not_an_ed25519_key_in_its_peer_id_is_refused(author):
    with pytest.raises(PeerViolation):
        read(signed(bytes_field(1, author) + DATA + SEQNO + TOPIC))


@pytest.mark.parametrize("length", [0, 7, 9, 1_000])
def test_a_sequence_number_has_eight_bytes(length):
    with pytest.raises(PeerViolation, match="sequence number"):
        read(signed(FROM + DATA + bytes_field(3, bytes(length)) + TOPIC))
