"""Work that is the same for all simulated nodes, done once for all of them: reading blocks, and what gossip carries;
and what a signer of this very process made is not verified, but for one signature in `VERIFIED_ONE_IN`.

What the same bytes are read as is the same for everybody, so sharing it cannot hide a fault: what differs in one bit is
read anew, and what cannot be read is refused anew. What a node makes of it is each node's own affair. A test compares a
run with sharing and one without.

A signature is known here by all of its bytes, its key's and what it is over: one in which a bit differs is verified.
Papers need nothing here: the core remembers by itself which it found good (kernel.signing).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from icn.domain.dag.block import Block, parse_block
from icn.domain.records import Record
from icn.kernel.signing import SeedSigner, verify_raw
from icn.protocol.libp2p.gossipsub import rpc, signing
from icn.services import acceptance, arrivals
from icn.sim import gossip

VERIFIED_ONE_IN = 16
"""Of what simulated nodes sign, so much is verified as a stranger's is: by the first byte of the signature."""


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

    made: dict[tuple[bytes, bytes, bytes], None] = {}  # bounded: by the run, which ends
    sign, verify = SeedSigner.sign, verify_raw

    def sign_and_remember(signer: SeedSigner, tag: bytes, message: bytes) -> bytes:
        signature = sign(signer, tag, message)
        if signature[0] % VERIFIED_ONE_IN:
            made[signer.did.public_key, signature, tag + message] = None
        return signature

    def verify_once(public_key: bytes, message: bytes, signature: bytes) -> bool:
        return (public_key, signature, message) in made or verify(public_key, message, signature)

    shared: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        one.__name__: (one, once)
        for one, once in (
            (verify_raw, verify_once),
            (parse_block, _once(parse_block)),
            (read_records, read_once),
            (rpc.decode, _once(rpc.decode)),
            (signing.read, _once(signing.read)),
            (gossip.read_publication, _once(gossip.read_publication)),
            (arrivals.named, _once(arrivals.named)),
        )
    }
    with ExitStack() as stack:
        stack.callback(setattr, SeedSigner, "sign", sign)
        setattr(SeedSigner, "sign", sign_and_remember)  # noqa: B010 - mypy lets no method be assigned
        # Wherever a module has it under its name: who reads is not listed here.
        for module in [module for name, module in sys.modules.items() if name.startswith("icn.")]:
            for name, (one, once) in shared.items():
                if vars(module).get(name) is one:
                    stack.callback(setattr, module, name, one)
                    setattr(module, name, once)
        yield


def _once(read: Callable[..., Any]) -> Callable[..., Any]:
    """`read` with one memory for all. What is given beside the bytes was made of them."""
    known: dict[Any, Any] = {}  # bounded: by the run, which ends

    def read_once(data: Any, *made_of_it: Any) -> Any:
        found = known.get(data)
        if found is None:
            found = known[data] = read(data, *made_of_it)
        return found

    return read_once
