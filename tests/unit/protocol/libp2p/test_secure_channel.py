import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.noise import PLAINTEXT_BYTES_MAX, Role
from icn.protocol.libp2p.secure_channel import SecureChannel, peer_of_public_key, public_key_message
from support.libp2p_pair import keys
from support.vectors import vector_json


def channel(role: Role, number: int, expected: PeerId | None = None) -> SecureChannel:
    return SecureChannel(role, keys(number), expected=expected, muxers=("/yamux/1.0.0",), message_bytes_max=4096)


def established(step: int = 1 << 16) -> tuple[SecureChannel, SecureChannel]:
    one, two = channel(Role.INITIATOR, 1), channel(Role.RESPONDER, 2)

    def carry(data: bytes, to: SecureChannel) -> bytes:
        return b"".join(to.handshake(data[at : at + step]) for at in range(0, len(data), step))

    carry(carry(carry(one.start(), two), one), two)
    return one, two


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_both_sides_learn_who_the_other_is_and_what_it_can(step):
    one, two = established(step)
    assert one.established
    assert two.established
    assert one.established.peer == PeerId.of(keys(2).signer.did)
    assert two.established.peer == PeerId.of(keys(1).signer.did)
    assert one.established.muxers == two.established.muxers == ("/yamux/1.0.0",)
    assert one.established.session == two.established.session


class Liar:
    """Signs with its own key for the name of another."""

    def __init__(self) -> None:
        self.did = keys(3).signer.did

    def sign(self, tag: bytes, message: bytes) -> bytes:
        return keys(2).signer.sign(tag, message)


@pytest.mark.parametrize("liar", list(Role))
def test_the_name_of_another_is_refused_on_either_side(liar):
    def side(role: Role) -> SecureChannel:
        if role is not liar:
            return channel(role, 1)
        lying = dataclasses.replace(keys(2), signer=Liar())
        return SecureChannel(role, lying, expected=None, muxers=(), message_bytes_max=4096)

    one, two = side(Role.INITIATOR), side(Role.RESPONDER)
    with pytest.raises(PeerViolation, match="identity signature"):
        two.handshake(one.handshake(two.handshake(one.start())))


def test_another_peer_than_expected_learns_nothing_about_us():
    one = channel(Role.INITIATOR, 1, expected=PeerId.of(keys(3).signer.did))
    two = channel(Role.RESPONDER, 2)
    answer = two.handshake(one.start())
    with pytest.raises(PeerViolation, match="was expected"):
        one.handshake(answer)


@pytest.mark.parametrize("size", [0, 1, PLAINTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX + 1, 300_000])
def test_any_length_arrives_in_pieces_of_any_size(size):
    one, two = established()
    sealed = one.encrypt(bytes(size))
    got = b"".join(b"".join(two.decrypt(sealed[at : at + 1000])) for at in range(0, len(sealed), 1000))
    assert got == bytes(size)


def test_a_changed_bit_ends_it():
    one, two = established()
    sealed = bytearray(one.encrypt(b"hello"))
    sealed[-1] ^= 1
    with pytest.raises(PeerViolation, match="decrypt"):
        two.decrypt(bytes(sealed))


def test_a_long_handshake_message_is_refused_by_its_length():
    with pytest.raises(PeerViolation, match="handshake message of 4097"):
        channel(Role.RESPONDER, 2).handshake(b"\x10\x01")


def test_nothing_is_carried_before_the_handshake():
    with pytest.raises(InvariantBroken):
        channel(Role.INITIATOR, 1).encrypt(b"")


def test_published_keys_are_told_apart():
    published = {
        key["name"]: bytes.fromhex(key["protobuf_hex"]) for key in vector_json("p2p/libp2p/peer-ids.json")["keys"]
    }
    ours = published.pop("ED25519 public key")
    assert public_key_message(peer_of_public_key(ours).did) == ours
    for other in published.values():
        with pytest.raises(PeerViolation, match="not an Ed25519 public key"):
            peer_of_public_key(other)


@given(st.lists(st.binary(max_size=400), max_size=5), st.booleans())
def test_nothing_but_violations_comes_of_garbage(chunks, initiator):
    one = channel(Role.INITIATOR if initiator else Role.RESPONDER, 1)
    one.start()
    try:
        for chunk in chunks:
            one.handshake(len(chunk).to_bytes(2, "big") + chunk)
    except (PeerViolation, Invalid):
        pass


@given(st.binary(max_size=400))
def test_nothing_but_violations_comes_of_a_garbled_stream(data):
    _, two = established()
    with contextlib.suppress(PeerViolation):
        two.decrypt(data)
