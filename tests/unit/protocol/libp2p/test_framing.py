import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid, PeerViolation
from icn.protocol.libp2p.framing import MessageReader, framed


@given(st.lists(st.binary(max_size=300), max_size=10), st.integers(1, 50))
def test_messages_arrive_whole_whatever_the_pieces(messages, step):
    data = b"".join(map(framed, messages))
    reader = MessageReader(300)
    got = [m for at in range(0, len(data), step) for m in reader.receive(data[at : at + step])]
    assert got == messages
    assert reader.held == 0


def test_too_long_a_message_is_refused_by_its_length_alone():
    with pytest.raises(PeerViolation, match="301 bytes"):
        MessageReader(300).receive(framed(bytes(301))[:2])


def test_messages_before_a_bad_length_count_for_nothing():
    with pytest.raises(Invalid):
        MessageReader(300).receive(framed(b"good") + b"\x80\x00")


@given(st.lists(st.binary(max_size=60)))
def test_nothing_but_violations_comes_of_garbage(chunks):
    reader = MessageReader(50)
    try:
        for chunk in chunks:
            assert all(len(message) <= 50 for message in reader.receive(chunk))
            assert reader.held <= 60
    except (PeerViolation, Invalid):
        pass
