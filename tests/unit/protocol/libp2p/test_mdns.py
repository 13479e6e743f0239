import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid
from icn.protocol.libp2p.mdns import ADDRESSES_MAX, DATAGRAM_BYTES_MAX, Heard, Mdns, MdnsSettings, answer, decode, query
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_pair import Pair

OURS, THEIRS = Pair.peer_of(1), Pair.peer_of(2)
NAME = b"a" * 32
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/7000")
MY = (HERE.with_peer(OURS),)
SERVICE = b"\x04_p2p\x04_udp\x05local\x00"


def node() -> Mdns:
    return Mdns(OURS, NAME)


def said(*texts: bytes, name: bytes = b"\x01x" + SERVICE, flags: int = 0x8400) -> bytes:
    """An answer with one TXT record."""
    strings = b"".join(bytes((len(text),)) + text for text in texts)
    header = bytes(2) + flags.to_bytes(2, "big") + bytes(7) + b"\x01"
    return header + name + b"\x00\x10\x80\x01\x00\x00\x00\x78" + len(strings).to_bytes(2, "big") + strings


def test_the_layout_is_that_of_the_specification():
    assert query() == bytes(5) + b"\x01" + bytes(6) + SERVICE + b"\x00\x0c\x00\x01"
    text = b"dnsaddr=" + str(MY[0]).encode()
    pointer = SERVICE + b"\x00\x0c\x00\x01\x00\x00\x00\x78" + b"\x00\x32" + b"\x20" + NAME + SERVICE
    record = b"\x20" + NAME + SERVICE + b"\x00\x10\x00\x01\x00\x00\x00\x78"
    strings = bytes((len(text),)) + text
    expected = b"\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x01" + pointer + record
    assert answer(NAME, MY) == expected + len(strings).to_bytes(2, "big") + strings


def test_a_question_is_answered_with_our_addresses_and_an_answer_heard():
    reply, heard = node().receive(query(), MY, 0)
    assert heard == []
    assert Mdns(THEIRS, b"b").receive(reply, (), 0) == (None, [Heard(OURS, (HERE,))])
    assert node().receive(reply, MY, 0) == (None, []), "our own voice"


def test_answers_go_to_the_group_and_not_more_often_than_once_a_second():
    machine = node()
    replies = [machine.receive(query(), MY, ms)[0] is not None for ms in (0, 500, 999, 1000)]
    assert replies == [True, False, False, True]


def test_questions_come_a_few_times_and_then_at_intervals():
    machine, every = node(), MdnsSettings().every_ms
    asked = [ms for ms in range(0, 150_000, 500) if machine.tick(ms)]
    assert asked == [0, 1_000, 3_000, 3_000 + every, 3_000 + 2 * every]


def test_what_is_of_no_use_in_an_answer_is_left_out():
    good = b"dnsaddr=" + str(HERE.with_peer(THEIRS)).encode()
    others = (b"x=y", b"dnsaddr=/ip4/1.2.3.4/udp/1/quic-v1", b"dnsaddr=\xff", b"dnsaddr=" + str(HERE).encode())
    assert node().receive(said(*others, good), MY, 0) == (None, [Heard(THEIRS, (HERE,))])
    assert node().receive(said(good, name=b"\x01x\x05_http\x04_tcp\x05local\x00"), MY, 0) == (None, [])
    assert node().receive(said(good, flags=0), MY, 0) == (None, []), "a question tells nothing"
    assert node().receive(said(good, name=b"\x01x\x04_P2P\x04_Udp\x05LOCAL\x00"), MY, 0)[1]


def test_questions_for_something_else_are_not_ours_to_answer():
    other = query().replace(b"\x04_p2p", b"\x04_xyz")
    assert node().receive(other, MY, 0) == (None, [])
    assert node().receive(query(), (), 0) == (None, []), "nothing to tell"


def test_compressed_names_are_read_and_circles_refused():
    good = b"dnsaddr=" + str(HERE.with_peer(THEIRS)).encode()
    header = bytes(2) + b"\x84\x00" + b"\x00\x01" + bytes(5) + b"\x01"
    question = SERVICE + b"\x00\x0c\x00\x01"
    record = b"\x01x\xc0\x0c" + b"\x00\x10\x00\x01\x00\x00\x00\x78" + (len(good) + 1).to_bytes(2, "big")
    data = header + question + record + bytes((len(good),)) + good
    assert node().receive(data, MY, 0) == (None, [Heard(THEIRS, (HERE,))])
    for pointer in (b"\xc0\x0c", b"\xc0\xff"):
        with pytest.raises(Invalid):
            decode(header + pointer + b"\x00\x0c\x00\x01")


def test_what_is_told_of_is_bounded():
    many = tuple(Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}").with_peer(OURS) for port in range(1, 100))
    [heard] = Mdns(THEIRS, b"b").receive(answer(NAME, many), (), 0)[1]
    assert len(heard.addresses) == ADDRESSES_MAX


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(DATAGRAM_BYTES_MAX + 1),
        bytes(4) + b"\xff\xff" + bytes(6),
        said(b"x")[:-1],
        said()[:-2] + b"\x00\x05",
        said(b"x")[:-2] + b"\x09x",
        query()[:-3],
        bytes(5) + b"\x01" + bytes(6) + b"\x40" + bytes(70),
        bytes(5) + b"\x01" + bytes(6) + (b"\x3f" + b"a" * 63) * 5 + bytes(5),
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(Invalid):
        decode(data)


@given(st.binary(max_size=300))
def test_nothing_but_refusals_comes_of_garbage(data):
    for message in (data, said(data[:200]), query() + data):
        with contextlib.suppress(Invalid):
            node().receive(message, MY, 0)
