import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel.errors import Invalid
from icn.protocol.libp2p.gossipsub.rpc import Graft, IHave, IWant, Prune, Rpc, Subscription, decode, encode
from icn.protocol.libp2p.gossipsub.settings import ADVERTISED_IDS_MAX, MESSAGE_ID_BYTES_MAX
from icn.protocol.libp2p.protobuf import bytes_field, number_field

TOPICS = st.text(min_size=1, max_size=40)
IDS = st.lists(st.binary(min_size=1, max_size=50), max_size=5).map(tuple)
RPCS = st.builds(
    Rpc,
    st.lists(st.builds(Subscription, TOPICS, st.booleans()), max_size=4).map(tuple),
    st.lists(st.binary(max_size=100), max_size=4).map(tuple),
    st.tuples(
        st.lists(st.builds(IHave, TOPICS, IDS), max_size=2),
        st.lists(st.builds(IWant, IDS), max_size=2),
        st.lists(st.builds(Graft, TOPICS), max_size=2),
        st.lists(st.builds(Prune, TOPICS, st.none() | st.integers(0, 2**40)), max_size=2),
    ).map(lambda kinds: tuple(one for kind in kinds for one in kind)),
)


@given(RPCS)
def test_what_is_written_is_read(rpc):
    assert decode(encode(rpc)) == rpc


def test_all_that_was_asked_for_may_come_in_one_rpc():
    """As another implementation sends it: it bounds an RPC by its bytes."""
    rpc = Rpc(messages=tuple(b"%d" % number for number in range(ADVERTISED_IDS_MAX)), controls=(Graft("topic"),))
    assert decode(encode(rpc)) == rpc


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_an_rpc_or_invalid(data):
    with contextlib.suppress(Invalid):
        decode(data)


@given(RPCS, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_an_rpc_with_a_few_bytes_changed_is_an_rpc_or_invalid(rpc, changes):
    data = bytearray(encode(rpc) or b"\0")
    for place, value in changes:
        data[place % len(data)] = value
    with contextlib.suppress(Invalid):
        decode(bytes(data))


def test_the_bytes_are_those_of_the_specification():
    rpc = Rpc(
        (Subscription("t", subscribe=True),), (b"m",), (IHave("t", (b"i",)), IWant((b"w",)), Graft("t"), Prune("t", 60))
    )
    subscription, message = "0a050801120174", "12016d"
    ihave, iwant, graft, prune = "0a060a0174120169", "12030a0177", "1a030a0174", "22050a0174183c"
    assert encode(rpc).hex() == subscription + message + "1a19" + ihave + iwant + graft + prune


def control(*parts: bytes) -> bytes:
    return bytes_field(3, b"".join(parts))


@pytest.mark.parametrize(
    "data",
    [
        bytes_field(1, number_field(1, 1)),
        bytes_field(1, bytes_field(2, b"")),
        bytes_field(1, bytes_field(2, b"\xff\xfe")),
        bytes_field(1, bytes_field(2, b"x" * 257)),
        bytes_field(1, number_field(2, 1)),
        number_field(2, 1),
        control(bytes_field(3, b"")),
        control(bytes_field(1, bytes_field(1, b"t") + bytes_field(2, b""))),
        control(bytes_field(1, bytes_field(1, b"t") + bytes_field(2, bytes(MESSAGE_ID_BYTES_MAX + 1)))),
        control(bytes_field(1, bytes_field(2, b"id"))),
        control(bytes_field(4, bytes_field(1, b"t") + bytes_field(3, b"soon"))),
        control(bytes_field(2, bytes_field(1, b"i") * (ADVERTISED_IDS_MAX + 1))),
    ],
)
def test_what_no_honest_peer_sends_is_invalid(data):
    with pytest.raises(Invalid):
        decode(data)


def test_fields_that_are_not_known_are_passed_over_and_so_are_the_peers_in_a_prune():
    prune = bytes_field(1, b"t") + bytes_field(2, bytes_field(1, b"somebody")) + number_field(3, 7)
    assert decode(control(bytes_field(4, prune), bytes_field(5, b"later")) + bytes_field(9, b"new")) == Rpc(
        controls=(Prune("t", 7),)
    )


def test_a_prune_of_1_0_has_no_backoff():
    assert decode(control(bytes_field(4, bytes_field(1, b"t")))).controls == (Prune("t", None),)
    assert encode(Rpc(controls=(Prune("t"),))) == control(bytes_field(4, bytes_field(1, b"t")))


def test_ids_beyond_the_limit_are_not_read():
    most = tuple(number.to_bytes(2, "big") for number in range(ADVERTISED_IDS_MAX))
    rpc = decode(encode(Rpc(controls=(IHave("t", most), IHave("t", most), IWant(most)))))
    assert rpc.controls == (IHave("t", most),)
