"""Which blocks of an author that signed two histories still count: a function of the set of blocks (semantics §2).

```
        ┌─ A6 ─ A7 ─ A8       the cut is at 6: the lowest number under which two blocks of the author exist.
  4 ─ 5 ┤                     Blocks below it count. From it on only what is kept does: the longest chain, beginning
        └─ B6 ─ B7            there, of blocks that a quorum acknowledged before it knew better. The rest are side
                              blocks: stored, served and linked, but their records are void and no clock counts them.
```

An author that was **removed** (`domain.dag.electorate`) is cut where its removal ends its feed, and nothing from there
on is kept. Where it had forked below that, its removal ends nothing more than the fork does: of what is kept, that
counts which is behind each record that removes it.

**Voters** are the nodes admitted behind the last block before the cut, by blocks that no cut touches: the same for
every branch, so that quorums over branches intersect.

**Acknowledging.** A voter acknowledges, for one number of the author, at most one block: the first that its feed, in
order, has in its ancestry; none, where one block of the voter brings in two at once. What it builds on after it has
itself recorded a proof of the fork acknowledges nothing. A voter that is cut itself is heard up to its own cut only,
and an author never acknowledges itself. So with fewer than a third of the voters dishonest, at most one branch is kept;
where more are, and two are, the block with the lower name is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from icn.domain.dag.electorate import RemovalFound
from icn.domain.dag.feeds import NEVER, quorum
from icn.kernel.ids import Cid, Did


@dataclass(frozen=True, slots=True)
class Cut:
    """Where an author's feed ends, as far as it counts without being kept."""

    author: Did
    sequence: int
    """The lower of the two below."""
    kept: int
    """How many blocks from there on count nevertheless."""
    head: Cid | None
    """The last of those."""
    forked_at: int | None
    """The lowest number under which two blocks of the author exist; None: it has not forked."""
    removed_at: int | None
    """The lowest number that a removal of the author does not accept; None: no removal ends its feed."""


@dataclass(frozen=True, slots=True)
class Link:
    """One block, as far as forks are concerned."""

    cid: Cid
    author: Did
    sequence: int
    links: tuple[Cid, ...]
    """Its previous block first, where it has one, then its parents."""
    proofs: tuple[tuple[Did, int], ...] = ()
    """The forks it proves: author and number."""


def lowest(cuts: dict[Did, int], author: Did, sequence: int) -> bool:
    """Note that `author` forked at `sequence`. Whether that is news."""
    known = cuts.get(author)
    if known is not None and known <= sequence:
        return False
    cuts[author] = sequence
    return True


@dataclass(slots=True)
class ForksShown:
    """Which forks a stream of blocks shows, ancestors first: two blocks with one number, or a proof of such."""

    found: dict[Did, int] = field(default_factory=dict)
    """By author, the lowest number."""
    _newest: dict[Did, int] = field(default_factory=dict)

    def take(self, author: Did, sequence: int, proofs: Iterable[tuple[Did, int]]) -> None:
        """The next block, and the forks that it proves."""
        newest = self._newest.get(author, -1)
        if sequence <= newest:  # ancestors come first, so there is another one with this number
            lowest(self.found, author, sequence)
        self._newest[author] = max(sequence, newest)
        for accused, number in proofs:
            lowest(self.found, accused, number)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A block of a cut author from its cut on."""

    author: Did
    sequence: int
    previous: Cid | None


@dataclass(slots=True)
class Contest:
    """Follows who acknowledged which branch, block by block, ancestors first. Any such order gives the same result."""

    cuts: Mapping[Did, int]
    voters: Mapping[Did, tuple[Did, ...]]
    """By author that forked."""
    ends: Mapping[Did, int] = field(default_factory=dict)
    """By author that was removed: the lowest number that is not accepted."""
    forks: Mapping[Did, int] = field(default_factory=dict)
    """By author that forked: where."""
    removals: tuple[RemovalFound, ...] = ()
    """Those that count."""
    candidates: dict[Cid, _Candidate] = field(default_factory=dict)
    seen: dict[Cid, tuple[Cid, ...]] = field(default_factory=dict)
    """By block: the newest candidates behind it, itself included. Blocks that have none are left out."""
    acknowledged: dict[tuple[Did, Did], dict[int, Cid | None]] = field(default_factory=dict)
    """By (cut author, voter): under each number, what the voter acknowledged; None: two at once."""
    proved: dict[tuple[Did, Did], int] = field(default_factory=dict)
    """By (cut author, voter): the lowest number at which the voter has proved the fork."""

    has_news: bool = True
    """Whether `kept` may give something else than when it was last asked."""

    def take(self, block: Link) -> None:
        """The next block; those that it links to were taken before, or have no candidates behind them."""
        tips = self._behind(block)
        is_certain = block.sequence < self.cuts.get(block.author, block.sequence + 1)
        if is_certain:
            self.note_proofs(block)
            self._acknowledge(block.author, tips)
        else:
            previous = block.links[0] if block.sequence else None
            self.candidates[block.cid] = _Candidate(block.author, block.sequence, previous)
            tips = (*(tip for tip in tips if not self._is_behind(tip, block.cid)), block.cid)
        if tips:
            self.seen[block.cid] = tips

    def note_proofs(self, block: Link) -> None:
        """The same for a block that came before all candidates."""
        if block.sequence >= self.cuts.get(block.author, block.sequence + 1):
            return
        for accused, sequence in block.proofs:
            known = self.proved.get((accused, block.author), sequence)
            self.proved[accused, block.author] = min(known, sequence)

    @property
    def is_decided(self) -> bool:
        """Whether every voter has proved every fork: nothing more can be acknowledged, whatever comes."""
        return all(
            self.proved.get((author, voter), cut + 1) <= cut
            for author, cut in self.cuts.items()
            for voter in self.voters.get(author, ())
            if voter != author
        )

    def cut(self, author: Did) -> Cut:
        """What counts of an author that is cut."""
        kept = self.kept(author)
        head = kept[-1] if kept else None
        return Cut(author, self.cuts[author], len(kept), head, self.forks.get(author), self.ends.get(author))

    def kept(self, author: Did) -> tuple[Cid, ...]:
        """The blocks of `author` from its cut on that count, in order."""
        voters = self.voters.get(author, ())
        if not voters:
            return ()
        self.has_news = False
        votes: dict[Cid, int] = {}
        for voter in voters:
            for cid in self.acknowledged.get((author, voter), {}).values():
                if cid is not None:
                    votes[cid] = votes.get(cid, 0) + 1
        enough = sorted(cid for cid, count in votes.items() if count >= quorum(len(voters)))
        chain: list[Cid] = []
        while True:
            sequence = self.cuts[author] + len(chain)
            fitting = [
                cid
                for cid in enough
                if self.candidates[cid].sequence == sequence
                and (not chain or self.candidates[cid].previous == chain[-1])
            ]
            if not fitting or sequence >= self.ends.get(author, NEVER) or not self._is_accepted(author, fitting[0]):
                return tuple(chain)
            chain.append(fitting[0])

    def _is_accepted(self, author: Did, cid: Cid) -> bool:
        """Whether each record that removes the author has the candidate behind it."""
        removing = [one.block for one in self.removals if one.node == author]
        return all(any(self._is_behind(cid, tip) for tip in self.seen.get(block, ())) for block in removing)

    def _behind(self, block: Link) -> tuple[Cid, ...]:
        found = [seen for link in block.links if (seen := self.seen.get(link))]
        if not found:
            return ()
        if all(seen == found[0] for seen in found):
            return found[0]
        tips = list(dict.fromkeys(tip for seen in found for tip in seen))
        newest = [tip for tip in tips if not any(other != tip and self._is_behind(tip, other) for other in tips)]
        return tuple(sorted(newest))

    def _is_behind(self, older: Cid, newer: Cid) -> bool:
        """Whether a candidate is `newer`, or before it in the same branch."""
        target, at = self.candidates[older], self.candidates.get(newer)
        found: Cid | None = newer
        while found is not None and at is not None and at.author == target.author and at.sequence > target.sequence:
            found = at.previous
            at = None if found is None else self.candidates.get(found)
        return found == older

    def _acknowledge(self, voter: Did, tips: tuple[Cid, ...]) -> None:
        found: dict[tuple[Did, int], list[Cid]] = {}
        for tip in tips:
            author = self.candidates[tip].author
            if voter == author or voter not in self.voters.get(author, ()):
                continue
            known = self.acknowledged.setdefault((author, voter), {})
            stopped = self.proved.get((author, voter))
            # Whoever has a block behind it has those before it: below the first known number all are known.
            cid: Cid | None = tip
            while cid is not None and cid in self.candidates and self.candidates[cid].sequence not in known:
                at = self.candidates[cid]
                heard = found.setdefault((author, at.sequence), [])
                if stopped is None or at.sequence < stopped:
                    heard.append(cid)
                cid = at.previous
        for (author, sequence), cids in found.items():
            distinct = tuple(dict.fromkeys(cids))
            self.acknowledged[author, voter][sequence] = distinct[0] if len(distinct) == 1 else None
            self.has_news = True
