"""Blocks: their form, their name, their signature."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.dag.block import parse_block, sign_block
from icn.kernel import limits, signing
from icn.kernel.encoding import decode
from icn.kernel.errors import Invalid, InvariantBroken
from icn.kernel.ids import DAG_CBOR, Cid
from icn.kernel.sealed import seal
from support import builders

GENESIS = builders.block(1)
NEXT = builders.block(1, federation=GENESIS.cid, sequence=1, previous=GENESIS.cid, parents=(builders.cid("other"),))


def body(**changes: object) -> bytes:
    return seal(builders.signer(1), signing.BLOCK, {**decode(NEXT.data)[0], **changes})


def test_a_block_reads_as_it_was_signed() -> None:
    for block in (GENESIS, NEXT):
        again = parse_block(block.data)
        assert again == block
        assert again.is_genuine()
        assert again.cid == Cid.of(block.data, DAG_CBOR)


@given(st.integers(0, len(NEXT.data) * 8 - 1))
def test_one_changed_bit_is_noticed(bit: int) -> None:
    changed = bytearray(NEXT.data)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        block = parse_block(bytes(changed))
    except Invalid:
        return
    assert block.cid != NEXT.cid
    assert not block.is_genuine()


WRONG: dict[str, dict[str, object]] = {
    "another version": {"version": 2},
    "negative sequence": {"sequence": -1},
    "negative time": {"time": -1},
    "first with a previous": {"sequence": 0},
    "later without a previous": {"previous": None},
    "parents out of order": {"parents": sorted((builders.cid("x"), builders.cid("y")), reverse=True)},
    "a parent twice": {"parents": [builders.cid("x")] * 2},
    "too many parents": {"parents": sorted(builders.cid(f"{n}") for n in range(limits.PARENTS_MAX + 1))},
    "too many records": {"records": [0] * (limits.RECORDS_PER_BLOCK_MAX + 1)},
    "records no list": {"records": {}},
    "a field too many": {"x": 1},
    "an author who is none": {"author": "did:key:zNobody"},
    "a previous that is no link": {"previous": GENESIS.cid.data},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_block(what: str) -> None:
    with pytest.raises(Invalid):
        parse_block(body(**WRONG[what]))


def test_the_records_of_a_block_that_was_made_here_are_those_that_others_read() -> None:
    made = builders.block(1, records=({"a": 1}, [b"x", None]))
    assert made.records == parse_block(made.data).records == ({"a": 1}, [b"x", None])
    assert made == parse_block(made.data)


def test_a_block_is_bounded() -> None:
    with pytest.raises(Invalid, match="bytes"):
        parse_block(body(records=[bytes(limits.BLOCK_BYTES_MAX)]))
    with pytest.raises(InvariantBroken):
        sign_block(NEXT.header, (bytes(limits.BLOCK_BYTES_MAX),), builders.signer(1))


def test_a_block_is_signed_by_its_author() -> None:
    with pytest.raises(InvariantBroken):
        sign_block(NEXT.header, (), builders.signer(2))
    stolen = parse_block(seal(builders.signer(2), signing.BLOCK, decode(NEXT.data)[0]))
    assert not stolen.is_genuine()
    elsewhere = parse_block(seal(builders.signer(1), signing.BID, decode(NEXT.data)[0]))
    assert not elsewhere.is_genuine()


def test_an_acknowledgement_says_nothing() -> None:
    assert GENESIS.is_acknowledgement
    assert not builders.block(1, records=(1,)).is_acknowledgement
