"""The proof of a fork as a file: anybody believes it, and nothing else passes for one."""

from dataclasses import replace

import pytest

from icn.domain.dag.block import Block, parse_block, sign_block
from icn.services.evidence import NotEvidence, read_evidence, write_evidence
from icn.stores import car
from support import builders

GENESIS = builders.cid("genesis")


def block(author: int = 1, **changes: object) -> Block:
    facts: dict[str, object] = {"federation": GENESIS, "sequence": 3, "previous": builders.cid("before"), **changes}
    return builders.block(author, **facts)  # type: ignore[arg-type]  # facts of a header


ONE, OTHER = block(), block(time=builders.START + 1)


def file_of(*blocks: Block) -> bytes:
    return car.encode_header([each.cid for each in blocks]) + b"".join(
        car.encode_section(each.cid, each.data) for each in blocks
    )


def test_two_blocks_with_one_number_are_a_proof_in_any_order() -> None:
    for data in (write_evidence(ONE.data, OTHER.data), write_evidence(OTHER.data, ONE.data), file_of(OTHER, ONE)):
        proved = read_evidence(data)
        assert (proved.author, proved.sequence, proved.federation) == (builders.did(1), 3, GENESIS)
        assert (proved.first, proved.second) == tuple(sorted((ONE.cid, OTHER.cid)))


def _unsigned() -> Block:
    data = bytearray(OTHER.data)
    data[-1] ^= 1
    return parse_block(bytes(data))


WRONG = {
    "one block": lambda: file_of(ONE),
    "three blocks": lambda: file_of(ONE, OTHER, block(time=builders.START + 2)),
    "the same block twice": lambda: file_of(ONE, ONE),
    "another author": lambda: file_of(ONE, block(2)),
    "another number": lambda: file_of(ONE, block(sequence=4)),
    "another federation": lambda: file_of(ONE, block(federation=builders.cid("elsewhere"))),
    "not signed": lambda: file_of(ONE, _unsigned()),
    "no CAR": lambda: b"evidence",
    "cut": lambda: file_of(ONE, OTHER)[:-1],
    "empty": lambda: b"",
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_proves_nothing(what: str) -> None:
    with pytest.raises(NotEvidence):
        read_evidence(WRONG[what]())


def test_what_proves_nothing_is_not_written() -> None:
    with pytest.raises(NotEvidence):
        write_evidence(ONE.data, block(2).data)
    forged = sign_block(replace(ONE.header, author=builders.did(2)), ONE.records, builders.signer(2))
    with pytest.raises(NotEvidence):
        write_evidence(ONE.data, forged.data)
