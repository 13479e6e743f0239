"""Records that a dishonest member is not entitled to, and accusations of keys that it has made up.

Before anybody knows of a fork the block of such a record is refused, by all and for good; afterwards the record is void
and its block stays. An accusation holds, and must cost nobody anything.
"""

from collections.abc import Sequence
from random import Random

from icn.domain.dag.block import FORMAT_VERSION, Block, Header, sign_block
from icn.domain.federation.events import (
    EquivocationProven,
    FederationFounded,
    NodeJoined,
    NodeLeft,
    NodeRemoved,
)
from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.ledger.events import AccountEndowed, TransferDeclined, TransferReceived, Transferred
from icn.domain.ledger.model import TransferNumber
from icn.domain.records import Event
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.kernel.signing import SeedSigner
from icn.sim.faults import Chance

POLICY = Policy(JoinPolicy.OPEN, Mana(1), Mana(1), 1, 1)


class Mischief:
    """What a forger does beside signing several histories."""

    def __init__(self, seed: str, did: Did, owners: Sequence[Did], unfit: int) -> None:
        """`unfit`: the chance for each block, in ten thousand."""
        self._seed = seed
        self._did = did
        self._owners = owners
        self._unfit = unfit
        self._chance = Chance(Random(f"{seed}/forger/mischief"))
        self._accused = 0
        self._evidence: dict[tuple[Cid, Cid], tuple[Block, Block]] = {}

    def made_worse(self, events: list[Event], sequence: int, federation: Cid) -> list[Event]:
        """The events of a block, now and then with one more that does not fit."""
        if not sequence or not self._chance.happens(self._unfit):
            return events
        rng = self._chance.rng
        other, number = rng.choice(self._owners), TransferNumber(rng.choice((0, 1, 2**63, 2**64 - 1)))
        bad: list[Event] = [
            NodeJoined(self._did, "again"),
            NodeJoined(other, "for another"),
            NodeLeft(other),
            NodeRemoved(other, 0),
            FederationFounded("mine", (self._did,), POLICY),
            AccountEndowed(self._did, Mana(9), 9, Mana(9)),
            Transferred(number, self._did, other, Mana(1), ""),
            TransferReceived(other, number, self._did, Mana(1)),
            TransferDeclined(other, number, "no"),
            self._accuse(federation),
        ]
        chosen = bad[rng.randrange(len(bad))]
        return [chosen, *events] if rng.random() < 0.5 else [*events, chosen]

    def evidence_for(self, block: Block) -> tuple[Block, ...]:
        """The two blocks that a block's accusation names."""
        found: list[Block] = []
        for names, pair in self._evidence.items():
            if all(name.data in block.data for name in names):
                found += pair
        return tuple(found)

    def _accuse(self, federation: Cid) -> EquivocationProven:
        self._accused += 1
        signer = SeedSigner(f"{self._seed}/{self._accused}".encode().ljust(32, b".")[:32])
        pair = [
            sign_block(Header(FORMAT_VERSION, federation, signer.did, 0, None, (), Instant(time)), (), signer)
            for time in (1, 2)
        ]
        first, second = sorted(pair, key=lambda each: each.cid)
        self._evidence[first.cid, second.cid] = first, second
        return EquivocationProven(signer.did, 0, first.cid, second.cid)
