"""DAG-PB: what an IPFS block links to, and which bytes are no such block."""

import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.kernel import dag_pb
from icn.kernel.errors import Invalid
from icn.kernel.ids import RAW, Cid, ForeignCid

LEAF = Cid.of(b"leaf", RAW)
OLD = ForeignCid(b"\x12\x20" + hashlib.sha256(b"old").digest())


def field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2, len(value))) + value


def link(cid: bytes, name: bytes = b"name", size: bytes = b"\x05") -> bytes:
    return field(2, field(1, cid) + field(2, name) + b"\x18" + size)


def test_links_come_in_the_order_of_the_block_whether_data_stand_before_or_behind_them() -> None:
    both = link(LEAF.data) + link(OLD.data)
    assert dag_pb.links(both + field(1, b"data")) == (LEAF, OLD)
    assert dag_pb.links(field(1, b"data") + both) == (LEAF, OLD)
    assert dag_pb.links(b"") == ()


def test_a_size_may_have_all_of_its_64_bits() -> None:
    assert dag_pb.links(link(LEAF.data, size=b"\xff" * 9 + b"\x01")) == (LEAF,)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (link(LEAF.data) + field(1, b"") + link(LEAF.data), "links stand together"),
        (field(1, b"") + field(1, b""), "twice"),
        (field(3, b""), "nothing else"),
        (b"\x08\x01", "nothing else"),
        (field(2, field(2, b"name")), "has a hash"),
        (field(2, field(2, b"name") + field(1, LEAF.data)), "in this order"),
        (field(2, field(1, LEAF.data) * 2), "in this order"),
        (field(2, field(1, LEAF.data) + field(4, b"")), "in this order"),
        (field(2, field(1, LEAF.data) + b"\x10\x05"), "wire type"),
        (link(LEAF.data, name=b"\xff"), "UTF-8"),
        (link(b""), "cid"),
        (link(LEAF.data, size=b"\xff" * 10 + b"\x01"), "64 bits"),
        (field(1, b"data")[:-1], "behind the block"),
        (b"\x0a\x80", "inside a number"),
    ],
)
def test_what_is_no_dag_pb_block_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        dag_pb.links(data)


def test_the_number_of_links_is_bounded() -> None:
    bare = field(2, field(1, b"\x01\x55\x00\x00"))
    assert len(dag_pb.links(bare * dag_pb.LINKS_MAX)) == dag_pb.LINKS_MAX
    with pytest.raises(Invalid, match="more than"):
        dag_pb.links(bare * (dag_pb.LINKS_MAX + 1))


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_being_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        dag_pb.links(data)
