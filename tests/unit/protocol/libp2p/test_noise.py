import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import InvariantBroken, PeerViolation
from icn.protocol.libp2p.noise import PROTOCOL_NAME, Role, XXHandshake
from support.vectors import vector_json


def both(prologue: bytes = b"") -> tuple[XXHandshake, XXHandshake]:
    return (
        XXHandshake(Role.INITIATOR, static=b"a" * 32, ephemeral=b"b" * 32, prologue=prologue),
        XXHandshake(Role.RESPONDER, static=b"c" * 32, ephemeral=b"d" * 32, prologue=prologue),
    )


def test_the_published_transcripts_of_xx_come_out_byte_for_byte():
    vectors = vector_json("p2p/noise/noise_25519_ChaChaPoly_SHA256.json")["vectors"]
    ours = [vector for vector in vectors if vector["protocol_name"].encode() == PROTOCOL_NAME]
    assert len(ours) == 2
    for vector in ours:
        value = {
            key: bytes.fromhex(text)
            for key, text in vector.items()
            if isinstance(text, str) and "_" in key and key not in {"protocol_name", "_src"}
        }
        writer = XXHandshake(
            Role.INITIATOR,
            static=value["init_static"],
            ephemeral=value["init_ephemeral"],
            prologue=value["init_prologue"],
        )
        reader = XXHandshake(
            Role.RESPONDER,
            static=value["resp_static"],
            ephemeral=value["resp_ephemeral"],
            prologue=value["resp_prologue"],
        )
        messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
        for payload, ciphertext in messages[:3]:
            assert writer.write(payload) == ciphertext
            assert reader.read(ciphertext) == payload
            writer, reader = reader, writer
        assert writer.hash == reader.hash
        if "handshake_hash" in value:
            assert writer.hash == value["handshake_hash"]
        sides = [writer.split(), reader.split()]  # the responder writes next
        for payload, ciphertext in messages[3:]:
            assert sides[0][0].encrypt(payload) == ciphertext
            assert sides[1][1].decrypt(ciphertext) == payload
            sides.reverse()


def test_both_sides_learn_the_other_static_key():
    one, two = both()
    two.read(one.write(b""))
    one.read(two.write(b"from two"))
    assert two.read(one.write(b"from one")) == b"from one"
    assert (one.remote_static, two.remote_static) == (two.static_public, one.static_public)


def test_another_prologue_is_another_session():
    one = both(b"x")[0]
    two = both(b"y")[1]
    two.read(one.write(b""))
    with pytest.raises(PeerViolation, match="decrypt"):
        one.read(two.write(b""))


def test_messages_out_of_turn_are_bugs_of_ours():
    one, two = both()
    with pytest.raises(InvariantBroken):
        two.write(b"")
    with pytest.raises(InvariantBroken):
        one.read(bytes(32))
    with pytest.raises(InvariantBroken):
        one.split()


def test_a_point_of_low_order_is_refused():
    _, two = both()
    two.read(bytes(32))
    with pytest.raises(PeerViolation, match="low order"):
        two.write(b"")


def test_a_message_decrypts_once_and_in_order():
    one, two = both()
    two.read(one.write(b""))
    one.read(two.write(b""))
    two.read(one.write(b""))
    sending, receiving = one.split()[0], two.split()[1]
    first, second = sending.encrypt(b"1"), sending.encrypt(b"2")
    assert receiving.decrypt(first) == b"1"
    with pytest.raises(PeerViolation):
        receiving.decrypt(first)
    # The nonce went on, so the failure has cost its place: the connection is over anyway.
    with pytest.raises(PeerViolation):
        receiving.decrypt(second)


@given(st.binary(max_size=200), st.integers(0, 2))
def test_nothing_but_violations_comes_of_garbage(message, after):
    one, two = both()
    try:
        if after == 0:
            two.read(message)
            two.write(b"")
        elif after == 1:
            one.write(b"")
            one.read(message)
        else:
            two.read(one.write(b""))
            two.write(b"")
            two.read(message)
    except PeerViolation:
        pass
