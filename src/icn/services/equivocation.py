"""Forks of others: noticed, proved in this node's own feed, followed until it is decided what counts (semantics §2).

```
 a second block with a number ─> evidence kept ─> EquivocationProven, in a block of its own ─┐
 a proof of another node ─> both blocks fetched ─> the same ─────────────────────────────────┼─> `recutting`
 acknowledgements that were under way ─> a block of the fork becomes kept ───────────────────┘
```

What is found about this node's own feed is never proved here: it ends its authorship (`services.authorship`).
"""

from dataclasses import dataclass, field

from icn.domain.dag.block import Block
from icn.domain.dag.forks import Contest, lowest
from icn.domain.federation.commands import ProveFork
from icn.domain.federation.rules import decide
from icn.kernel.ids import Cid, Did
from icn.services.recutting import Recut, blocks_at, contest_of, link_of, recut
from icn.services.state import State
from icn.services.work import NODE_ITSELF, UnitOfWork
from icn.stores import blocks
from icn.stores.kv import Reader
from icn.stores.overlay import Overlay

EVIDENCE_PER_AUTHOR_MAX = 16
"""Blocks kept as evidence against one author, beside those that others name; two would do."""
SIGNED_TWO = "it signed two blocks with number {sequence}"


@dataclass(slots=True)
class Equivocations:
    """Soft: everything follows from the store."""

    did: Did
    cuts: dict[Did, int] = field(default_factory=dict)
    """By author, the lowest number for which two blocks are known to the journal."""
    pairs: dict[Did, tuple[int, Cid, Cid]] = field(default_factory=dict)
    """By author: the lowest number for which this node holds two blocks and has not said so, and the two."""
    contest: Contest | None = None
    """Who acknowledged what, while it may still change what counts."""
    own_fork: int | None = None
    """The lowest number for which somebody has shown two blocks with this node's own signature."""
    _is_lower: bool = False
    """A cut is lower than the state knows."""

    def load(self, reader: Reader, state: State) -> None:
        """As the store has it."""
        self.cuts = {author: cut.sequence for author, cut in state.cuts.items()}
        self.pairs.clear()
        self._is_lower = False
        self.own_fork = self.cuts.get(self.did)
        places = dict(self.cuts)
        for cid in blocks.evidence(reader):
            block = blocks.get_block(reader, cid)
            if block is not None:
                lowest(places, block.header.author, block.header.sequence)
        for author, sequence in sorted(places.items()):
            self._hold(state, author, sequence, blocks_at(reader, author, sequence))
        contest = contest_of(reader, self.cuts) if self.cuts else None
        self.contest = None if contest is None or contest.is_decided else contest

    def see(self, work: UnitOfWork, block: Block) -> None:
        """A genuine block that is not in the journal, beside another one: keep it as evidence."""
        header = block.header
        beside = self._beside(work, header.author, header.sequence, block.cid)
        if beside is None:
            return
        held, cut = self.pairs.get(header.author), self.cuts.get(header.author)
        lowest_known = min((number for number in (held and held[0], cut) if number is not None), default=None)
        if lowest_known is not None and header.sequence >= lowest_known and not self._has_room(work, header.author):
            return  # it is proved already, and whoever signs blocks for nothing is not to fill disks with them
        blocks.put_evidence(work.batch, block)
        self._hold(work.state, header.author, header.sequence, sorted((beside, block.cid)))

    def take(self, work: UnitOfWork, block: Block) -> None:
        """A block is in the journal now."""
        header = block.header
        link = link_of(block)
        for accused, sequence in link.proofs:
            if lowest(self.cuts, accused, sequence):
                self._is_lower = True
            held = blocks_at(Overlay(work.store, work.batch), accused, sequence)
            self._hold(work.state, accused, sequence, held)
        if block.cid in work.state.feeds.sides and lowest(self.cuts, header.author, header.sequence):
            self._is_lower = True
        if self.contest is not None:
            self.contest.take(link)

    def is_due(self, work: UnitOfWork) -> bool:
        """Whether there is something to prove, or something else counts now than before."""
        if self._is_lower or (self.pairs and self._may_prove(work)):
            return True
        if self.contest is None or not self.contest.has_news:
            return False
        return any(
            (cut.kept, cut.head) != _length_and_last(self.contest.kept(author))
            for author, cut in work.state.cuts.items()
        )

    def prove(self, work: UnitOfWork) -> None:
        """Say what was found, in a block of its own that builds on nobody who is accused in it."""
        if not self._may_prove(work):
            return
        for author, (sequence, one, other) in sorted(self.pairs.items()):
            work.state.feeds.shunned[author] = None
            work.record(
                decide(work.state.federation, ProveFork(author, sequence, one, other), work.context()), NODE_ITSELF
            )
            lowest(self.cuts, author, sequence)
        work.seal()
        self.pairs.clear()

    def recut(self, work: UnitOfWork) -> Recut:
        """The state under what is known now, and what it changes in the store beside what `work` writes."""
        reader = Overlay(work.store, work.batch)
        contest = contest_of(reader, self.cuts)
        made = recut(reader, contest)
        self.contest = None if contest.is_decided else contest
        self._is_lower = False
        return made

    def why_banned(self, state: State, peer: Did) -> str | None:
        """Why nothing is to be had from a peer; None where it has not forked."""
        cut = state.cuts.get(peer)
        return None if cut is None else SIGNED_TWO.format(sequence=cut.sequence)

    def _hold(self, state: State, author: Did, sequence: int, held: list[Cid]) -> None:
        if len(held) < 2:
            return
        if author == self.did:
            self.own_fork = sequence if self.own_fork is None else min(self.own_fork, sequence)
            return
        said = state.federation.proven.get((author, self.did))
        known = self.pairs.get(author)
        if (said is None or sequence < said) and (known is None or sequence < known[0]):
            self.pairs[author] = sequence, held[0], held[1]

    def _beside(self, work: UnitOfWork, author: Did, sequence: int, cid: Cid) -> Cid | None:
        """Another block of the author with this number."""
        reader = Overlay(work.store, work.batch)
        others = blocks_at(reader, author, sequence)
        return next((each for each in others if each != cid), None)

    def _has_room(self, work: UnitOfWork, author: Did) -> bool:
        reader = Overlay(work.store, work.batch)
        held = (blocks.get_block(reader, cid) for cid in blocks.evidence(reader))
        return sum(block is not None and block.header.author == author for block in held) < EVIDENCE_PER_AUTHOR_MAX

    def _may_prove(self, work: UnitOfWork) -> bool:
        member = work.state.federation.members.get(self.did)
        return work.may_author and member is not None and member.joined


def _length_and_last(kept: tuple[Cid, ...]) -> tuple[int, Cid | None]:
    return len(kept), kept[-1] if kept else None
