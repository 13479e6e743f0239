"""Two blocks that prove a fork, as a file that proves it to anybody: a CAR whose roots are the two.

Nothing else is needed to believe it: who signed, under which number and in which federation stands in the blocks.
"""

from dataclasses import dataclass
from typing import ClassVar

from icn.domain.dag.block import Block, parse_block
from icn.kernel.errors import Invalid, Kind, Refusal
from icn.kernel.ids import Cid, Did
from icn.stores import car


class NotEvidence(Refusal):
    """A file does not prove that anybody signed two histories."""

    code: ClassVar[str] = "dag.not_evidence"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"it proves no fork: {why}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What two blocks prove."""

    author: Did
    """Who signed both."""
    sequence: int
    """The number that both have."""
    federation: Cid | None
    first: Cid
    second: Cid


def write_evidence(one: bytes, other: bytes) -> bytes:
    """The file of two signed blocks. Raises `NotEvidence`."""
    blocks = sorted((_read(data) for data in (one, other)), key=lambda block: block.cid)
    _judge(blocks)
    sections = [car.encode_section(block.cid, block.data) for block in blocks]
    return car.encode_header([block.cid for block in blocks]) + b"".join(sections)


def read_evidence(data: bytes) -> Evidence:
    """What a file from anywhere proves. Raises `NotEvidence`."""
    try:
        blocks = [_read(block) for _, block in car.CarReader(_reading(data)).blocks()]
    except Invalid as error:
        raise NotEvidence(str(error)) from error
    return _judge(blocks)


def _reading(data: bytes) -> car.Read:
    rest = memoryview(data)

    def read(count: int) -> bytes:
        nonlocal rest
        piece, rest = rest[:count], rest[count:]
        return bytes(piece)

    return read


def _read(data: bytes) -> Block:
    try:
        return parse_block(data)
    except Invalid as error:
        raise NotEvidence(str(error)) from error


def _judge(blocks: list[Block]) -> Evidence:
    if len(blocks) != 2:
        raise NotEvidence(f"two blocks are needed, it holds {len(blocks)}")
    one, other = blocks
    here, there = one.header, other.header
    if one.cid == other.cid:
        raise NotEvidence("both blocks are the same")
    if (here.author, here.sequence) != (there.author, there.sequence):
        raise NotEvidence("the blocks have different authors or numbers")
    if here.federation != there.federation:
        raise NotEvidence("the blocks belong to different federations")
    for block in blocks:
        if not block.is_genuine():
            raise NotEvidence(f"block {block.cid} is not signed by {block.header.author}")
    first, second = sorted((one.cid, other.cid))
    return Evidence(here.author, here.sequence, here.federation, first, second)
