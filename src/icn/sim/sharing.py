"""Work that is the same for all simulated nodes, done once for all of them: reading a block.

What the same bytes are read as is the same for everybody, so sharing it cannot hide a fault: what differs in one bit is
read anew. Whether a block is accepted is each node's own affair. A test compares a run with sharing and one without.

Signatures and papers need nothing here: the core remembers by itself which it found good (kernel.signing).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType

from icn.domain.dag.block import Block, parse_block
from icn.domain.records import Record
from icn.services import acceptance, arrivals
from icn.sim import checkers


@contextmanager
def shared_reading() -> Iterator[None]:
    """While this lasts, each block is read once. One run's worth is remembered: not for longer."""
    blocks: dict[bytes, Block] = {}
    records: dict[bytes, list[Record]] = {}
    read_records = acceptance.read_records

    def parse_once(data: bytes) -> Block:
        block = blocks.get(data)
        if block is None:
            block = blocks[data] = parse_block(data)
        return block

    def read_once(block: Block) -> list[Record]:
        found = records.get(block.data)
        if found is None:
            found = records[block.data] = read_records(block)
        return found

    readers: list[tuple[ModuleType, str, Callable[..., object]]] = [
        (arrivals, "parse_block", parse_once),
        (checkers, "parse_block", parse_once),
        (acceptance, "read_records", read_once),
    ]
    with ExitStack() as stack:
        for module, name, once in readers:
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, once)
        yield
