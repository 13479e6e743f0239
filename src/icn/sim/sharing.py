"""Work that is the same for all simulated nodes, done once for all of them: reading blocks, and what gossip carries.

What the same bytes are read as is the same for everybody, so sharing it cannot hide a fault: what differs in one bit is
read anew, and what cannot be read is refused anew. What a node makes of it is each node's own affair. A test compares a
run with sharing and one without.

Signatures and papers need nothing here: the core remembers by itself which it found good (kernel.signing).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from icn.domain.dag.block import Block, parse_block
from icn.domain.records import Record
from icn.protocol.libp2p.gossipsub import rpc, signing
from icn.services import acceptance


@contextmanager
def shared_reading() -> Iterator[None]:
    """While this lasts, the same bytes are read once. One run's worth is remembered: not for longer."""
    records: dict[bytes, list[Record]] = {}
    read_records = acceptance.read_records

    def read_once(block: Block) -> list[Record]:
        found = records.get(block.data)
        if found is None:
            found = records[block.data] = read_records(block)
        return found

    shared: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        one.__name__: (one, once)
        for one, once in (
            (parse_block, _once(parse_block)),
            (read_records, read_once),
            (rpc.decode, _once(rpc.decode)),
            (signing.read, _once(signing.read)),
        )
    }
    with ExitStack() as stack:
        # Wherever a module has it under its name: who reads is not listed here.
        for module in [module for name, module in sys.modules.items() if name.startswith("icn.")]:
            for name, (one, once) in shared.items():
                if vars(module).get(name) is one:
                    stack.callback(setattr, module, name, one)
                    setattr(module, name, once)
        yield


def _once(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    known: dict[bytes, Any] = {}  # bounded: by the run, which ends

    def read_once(data: bytes) -> Any:
        found = known.get(data)
        if found is None:
            found = known[data] = read(data)
        return found

    return read_once
