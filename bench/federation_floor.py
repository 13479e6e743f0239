"""What a job lifecycle cannot do without: signatures, hashes and syncs, timed by themselves in the same run.

Of a lifecycle in a federation of one home and two executors, which all keep every block:

| what | made | verified |
|---|---|---|
| bids, one of each executor, to the home | 2 | 2 |
| assignment: by the executor, and by the third node in the executor's record | 1 | 2 |
| receipt: by the home, and by the third node in the executor's record | 1 | 2 |
| blocks, which many lifecycles share: each by the two others | b | 2 b |

A node does not verify what it signed itself. The floor is that of nodes that share nothing, also where those of one
process do (`bench_federation --apart` says what that saves). Every byte that is stored is hashed once by each node that
gets it. Each block is a commit at three nodes, and each commit a sync; a disk does one at a time, while the cores do
the rest. The floor is the slower of the two: processor time over both cores, or syncs.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from icn.kernel import encoding, signing
from icn.kernel.fields import Shape
from icn.kernel.ids import Did
from icn.kernel.signing import SeedSigner

CORES = 2
NODES = 3
SIGNED = 4
VERIFIED = 6
MESSAGE_BYTES = 400
BLOCK_BYTES_PER_LIFECYCLE = 6000
"""Of all three feeds together, as measured."""
SYNC_BYTES = 4096
ROUNDS = 300


def did_of(number: int) -> Did:
    """Of the node with this number."""
    return SeedSigner(bytes([number]) * 32).did


@dataclass(slots=True)
class Work:
    """How often the costly things were done, by all nodes of this process."""

    signed: int = 0
    verified: int = 0
    encoded: int = 0
    decoded: int = 0

    def counts(self) -> dict[str, int]:
        return {
            "signatures_made": self.signed,
            "signatures_verified": self.verified,
            "encodings": self.encoded,
            "decodings": self.decoded,
        }


@contextlib.contextmanager
def counting() -> Iterator[Work]:
    """Count while this is open. A count may miss a few where two threads count at once."""
    work = Work()

    def counted(inner: Callable[..., object], name: str) -> Callable[..., object]:
        def outer(*arguments: object, **named: object) -> object:
            setattr(work, name, getattr(work, name) + 1)
            return inner(*arguments, **named)

        return outer

    places = (
        (SeedSigner, "sign", "signed"),
        (signing, "_verify", "verified"),
        (Shape, "encode", "encoded"),
        (encoding.cbor2, "dumps", "encoded"),
        (encoding.cbor2, "loads", "decoded"),
    )
    with contextlib.ExitStack() as stack:
        for owner, attribute, name in places:
            inner = getattr(owner, attribute)
            setattr(owner, attribute, counted(inner, name))
            stack.callback(setattr, owner, attribute, inner)
        yield work


def _seconds_each(do: Callable[[int], object]) -> float:
    begun = time.perf_counter()
    for number in range(ROUNDS):
        do(number)
    return (time.perf_counter() - begun) / ROUNDS


def floor(folder: Path, *, blocks: float) -> dict[str, float]:
    """`blocks`: commits of all nodes per lifecycle, as measured."""
    signer = SeedSigner(b"\x07" * 32)
    messages = [number.to_bytes(4, "big") * (MESSAGE_BYTES // 4) for number in range(ROUNDS)]
    signatures = [signer.sign(signing.BID, message) for message in messages]
    sign = _seconds_each(lambda number: signer.sign(signing.BID, messages[number]))
    key = signer.did.public_key
    verify = _seconds_each(lambda number: signing._verify(key, signing.BID + messages[number], signatures[number]))
    data = bytes(BLOCK_BYTES_PER_LIFECYCLE)
    digest = _seconds_each(lambda _: hashlib.sha256(data).digest())
    with (folder / "floor").open("wb", buffering=0) as file:

        def append(_: int) -> None:
            file.write(bytes(SYNC_BYTES))
            os.fdatasync(file.fileno())

        sync = _seconds_each(append)
    made = blocks / NODES  # each commit of a busy node has a block of its own, and takes those of the two others
    processor = (SIGNED + made) * sign + (VERIFIED + 2 * made) * verify + NODES * digest
    disk = blocks * sync
    return {
        "sign_us": round(sign * 1e6, 1),
        "verify_us": round(verify * 1e6, 1),
        "sha256_us_per_lifecycle": round(NODES * digest * 1e6, 1),
        "sync_us": round(sync * 1e6, 1),
        "commits_per_lifecycle": round(blocks, 3),
        "processor_ms_per_lifecycle": round(processor * 1000, 3),
        "lifecycles_per_second": round(1 / max(processor / CORES, disk), 1),
    }
