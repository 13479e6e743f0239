"""A node's history, written as a node writes it: through the engine, signed block by signed block."""

import random
from collections.abc import Iterator
from itertools import count

from icn.adapters.clock import SystemClock
from icn.adapters.entropy import SystemEntropy
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel import signing
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.kernel.memo import Memo
from icn.kernel.signing import SeedSigner
from icn.services.answers import Refused
from icn.services.commands import Found, NodeCommand, OpenAccountFor, Pay, PutContent
from icn.services.engine import Engine
from icn.services.inputs import Request
from icn.services.opening import open_engine
from icn.services.ports import HeadMarker
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms
from icn.stores.kv import KeyValueStore

SIGNER = SeedSigner(b"\x11" * 32)
PAYEE = SeedSigner(b"\x22" * 32).did
TERMS = NodeTerms(
    "bench/1", MeshTerms(Duration(1000), 5), ExecutorTerms(0, Rates(1, 1)), ReplicationTerms(), joins=False
)
FOUNDING = Found("bench", (SIGNER.did,), Policy(JoinPolicy.OPEN, Mana(10**12), Mana(10**12), 10, 100))
RAW = 0x55
"""The codec of content that is bytes and no more."""
CONTENTS_PER_COMMIT = 50


def engine_over(store: KeyValueStore, marker: HeadMarker | None = None) -> Engine:
    """The node of this history over `store`."""
    return open_engine(
        store=store, clock=SystemClock(), entropy=SystemEntropy(), signer=SIGNER, terms=TERMS, marker=marker
    )


def forget_signatures() -> None:
    """As in a process that has not verified any yet."""
    signing._GOOD = Memo(signing.GOOD_REMEMBERED_MAX)


class Author:
    """Asks an engine and accepts no refusal."""

    def __init__(self, store: KeyValueStore) -> None:
        self._engine = engine_over(store)
        self._tokens: Iterator[int] = count()

    def found(self) -> None:
        """The first two signed blocks."""
        self._ask(FOUNDING)
        self._ask(OpenAccountFor(PAYEE))

    def pay(self, blocks: int, transfers: int) -> None:
        """Signed blocks of so many transfers each."""
        for _ in range(blocks):
            self._ask(*(Pay(PAYEE, Mana(1), "x") for _ in range(transfers)))

    def keep(self, contents: int, size: int, seed: int) -> None:
        """Pinned content blocks of random bytes; other ones for another seed."""
        source = random.Random(seed)
        for start in range(0, contents, CONTENTS_PER_COMMIT):
            number = min(CONTENTS_PER_COMMIT, contents - start)
            self._ask(*(PutContent(source.randbytes(size), RAW, True, None) for _ in range(number)))

    def _ask(self, *commands: NodeCommand) -> None:
        asked = [Request(next(self._tokens), command, SIGNER.did, "", b"d", "bench") for command in commands]
        for reply in self._engine.handle(asked).replies:
            if isinstance(reply.answer, Refused):
                raise SystemExit(f"the history cannot be written: {reply.answer}")
