"""Feeds that end early: forks of others, noticed, proved and followed, and members that are removed (semantics §2).

```
 a second block with a number ─> evidence kept ─> EquivocationProven, in a block of its own ─┐
 a proof of another node ─> both blocks fetched ─> the same ─────────────────────────────────┼─> `recutting`
 acknowledgements that were under way ─> a block of the fork becomes kept ───────────────────┤
 votes that are enough ─> NodeRemoved, in a block of its own; the same of another node ──────┘
```

What is found about this node's own feed is never proved here: it ends its authorship (`services.authorship`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from icn.domain.dag.block import Block
from icn.domain.dag.electorate import RemovalFound
from icn.domain.dag.feeds import NEVER, Clock
from icn.domain.dag.forks import Contest, Cut, lowest
from icn.domain.federation.commands import CountRemoval, ProveFork
from icn.domain.federation.rules import decide
from icn.kernel.ids import Cid, Did
from icn.kernel.limits import PROOFS_PER_BLOCK_MAX, REMOVALS_SAID_MAX
from icn.services import acceptance, rows
from icn.services.recutting import (
    Kept,
    Recut,
    Removals,
    blocks_at,
    contest_of,
    link_of,
    namings,
    note_namings,
    note_removals_said,
    note_vouched_for,
    recut,
    removals_in,
    removals_said,
    vouched_for,
)
from icn.services.state import State
from icn.services.work import NODE_ITSELF, UnitOfWork
from icn.stores import blocks
from icn.stores.kv import Batch, Reader
from icn.stores.overlay import Overlay

EVIDENCE_PER_AUTHOR_MAX = 16
"""Blocks kept as evidence against one author, beside those that others name; two would do."""
SIGNED_TWO = "it signed two blocks with number {sequence}"
RemovalPlace = tuple[Did, int, Did]
"""Author and number of the block with a record that removes a member, and that member."""
REMOVED = "it was removed from the federation by its members"


@dataclass(slots=True)
class Equivocations:
    """Soft: everything follows from the store."""

    did: Did
    cuts: dict[Did, int] = field(default_factory=dict)
    """By author, the lowest number for which two blocks are known to the journal."""
    pairs: dict[Did, tuple[int, Cid, Cid]] = field(default_factory=dict)
    """By author: the lowest number for which this node holds two blocks and has not said so, and the two."""
    ends: dict[Did, int] = field(default_factory=dict)
    """By author whose feed a removal ends, the lowest number that is not accepted."""
    counting: tuple[RemovalPlace, ...] = ()
    """Sorted. The records that remove a member, as the state has them."""
    removals: Removals = field(default_factory=Removals)
    """Which removals others may never hear of, and what would tell that they do."""
    contest: Contest | None = None
    """Who acknowledged what, while it may still change what counts."""
    own_fork: int | None = None
    """The lowest number for which somebody has shown two blocks with this node's own signature."""
    _is_lower: bool = False
    """A cut is lower than the state knows, or other records remove members than it knows."""
    has_to_say: bool = False
    """The next batch begins with proving a fork, or with saying that votes are enough to remove a member."""
    _counted: dict[Did, None] = field(default_factory=dict)  # bounded: by the members
    """Whose removal this process has counted: once, whatever becomes of that record."""
    _vouched: dict[Did, None] | None = field(default=None, compare=False)  # bounded: by whom members have named
    """Whose records may remove somebody; None: not looked up yet."""
    _said: dict[tuple[Did, Did], int] | None = field(default=None, compare=False)  # bounded: by the journal
    """By author and node, how often the one has said that the other is removed; None: not looked up yet."""
    _judged: tuple[Cid, tuple[RemovalPlace, ...]] | None = field(default=None, compare=False, repr=False)
    """A block that is being taken, and which records remove members with it."""
    _namings: dict[Did, dict[Cid, int]] | None = field(default=None, compare=False, repr=False)
    """By node, the blocks that admit it or vote for it, with their numbers; None: not looked up yet."""

    _accused: dict[Did, int] = field(default_factory=dict, compare=False)  # bounded: by what feeds say
    """By author, the lowest number of which a block in a feed says that it forked there: all have that, or will."""
    _kept: Kept | None = field(default=None, compare=False, repr=False)
    """What is kept as evidence; None: not looked up yet."""

    @property
    def is_lenient(self) -> bool:
        """Whether a record that does not fit is void and its block stays: from the first cut on."""
        return bool(self.cuts or self.ends)

    def is_cut(self, author: Did, sequence: int) -> bool:
        """Whether a block counts only where it is kept, by all that is known, this very batch included."""
        return sequence >= min(self.cuts.get(author, NEVER), self.ends.get(author, NEVER))

    def load(self, reader: Reader, state: State) -> None:
        """As the store has it."""
        cuts = state.cuts.values()
        self.cuts = {cut.author: cut.forked_at for cut in cuts if cut.forked_at is not None}
        self.ends = {cut.author: cut.removed_at for cut in cuts if cut.removed_at is not None}
        members = state.federation.members.values()
        removals = {(one.by, one.sequence, member.node) for member in members for one in member.removals}
        self.counting = tuple(sorted(removals))
        self._vouched = self._namings = self._said = self._judged = None
        kept = self._kept = Kept(reader)
        self.removals = self._removals_in(reader, state)
        self.pairs.clear()
        self._counted.clear()  # perhaps that was not committed
        self._is_lower = False
        self.own_fork = self.cuts.get(self.did)
        self._accused = _accused_in(state)
        places = dict(self.cuts)
        for author, sequence in kept.places():
            lowest(places, author, sequence)
        for author, sequence in sorted(places.items()):
            self._hold(state, author, sequence, blocks_at(reader, author, sequence, kept))
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
        self.keep(work, block)
        self._hold(work.state, header.author, header.sequence, sorted((beside, block.cid)))

    def keep(self, work: UnitOfWork, block: Block) -> None:
        """Keep a genuine block as evidence."""
        self._all_kept(work).put(work.batch, block)

    def take(self, work: UnitOfWork, block: Block) -> None:
        """A block is in the journal now."""
        header = block.header
        link = link_of(block)
        for accused, sequence in link.proofs:
            if lowest(self.cuts, accused, sequence):
                self._cut(work, accused, sequence)
            if block.cid not in work.state.feeds.sides:
                lowest(self._accused, accused, sequence)
            held = self._held_at(work, accused, sequence)
            self._hold(work.state, accused, sequence, held)
        if block.cid in work.state.feeds.sides and self._beside(work, header.author, header.sequence, block.cid):
            self._is_lower |= lowest(self.cuts, header.author, header.sequence)
        if self._vouched is not None:
            note_vouched_for(self._vouched, block)
        if self._namings is not None:
            note_namings(self._namings, block, blocks.arrival_of(Overlay(work.store, work.batch), block.cid))
        self._take_removals(work, block)
        self._take_spreading(work, block)
        if header.sequence + 1 == self.cuts.get(header.author) and not self._is_lower:
            # The fork was shown before the feed was here: only now is it known who may acknowledge a branch.
            self.contest = contest_of(Overlay(work.store, work.batch), self.cuts)
        elif self.contest is not None:
            self.contest.take(link)

    def namings_of(self, work: UnitOfWork, node: Did) -> dict[Cid, int]:
        """The blocks of the journal that admit a node, or vote for it, have they an effect or not; with their numbers.

        Looked up once, for strangers ask for it.
        """
        if self._namings is None:
            self._namings = namings(Overlay(work.store, work.batch))
        return self._namings.get(node, {})

    def is_due(self, work: UnitOfWork) -> bool:
        """Whether there is something to prove, or something else counts now than before."""
        if self._is_lower or (self._may_prove(work) and (self.pairs or self._countable(work))):
            return True
        if self.contest is None or not self.contest.has_news:
            return False
        return any(
            (cut.kept, cut.head) != _length_and_last(self.contest.kept(author))
            for author, cut in work.state.cuts.items()
        )

    def prove(self, work: UnitOfWork) -> None:
        """Say what was found, in a block of its own that builds on nobody who is accused in it.

        That a member is removed stands in one of its own as well: what follows is decided on the state without it.
        """
        if not self._may_prove(work):
            return
        while countable := self._countable(work):
            node = countable[0]  # whoever is removed by it has no vote on the next one
            self._counted[node] = None
            work.record(decide(work.state.federation, CountRemoval(node), work.context()), NODE_ITSELF)
            work.seal()
        work.state.feeds.shunned |= dict.fromkeys(self.pairs)
        for index, (author, (sequence, one, other)) in enumerate(sorted(self.pairs.items())):
            if index % PROOFS_PER_BLOCK_MAX == 0:
                work.seal()
            work.record(
                decide(work.state.federation, ProveFork(author, sequence, one, other), work.context()), NODE_ITSELF
            )
            lowest(self.cuts, author, sequence)
        work.seal()
        self.pairs.clear()

    def unsaid(self, work: UnitOfWork) -> dict[Did, tuple[int, Cid, Cid]]:
        """As `pairs`, where this node may not prove what it found: it has not joined, or is held."""
        return {} if self._may_prove(work) else self.pairs

    def recut(self, work: UnitOfWork) -> Recut:
        """The state under what is known now, and what it changes in the store beside what `work` writes."""
        reader = Overlay(work.store, work.batch)
        contest = contest_of(reader, self.cuts)
        made = recut(reader, contest)
        self.contest = None if contest.is_decided else contest
        self.ends = dict(contest.ends)
        self.counting = _places(contest.removals)
        self.removals = self._removals_in(reader, made.state)
        self._is_lower = False
        self._accused = _accused_in(made.state)
        for author, sequence in sorted(self.cuts.items()):
            if self._accused.get(author, NEVER) > sequence:  # whoever said so is in no feed any more
                self._hold(made.state, author, sequence, self._held_at(work, author, sequence))
        return made

    def why_banned(self, state: State, peer: Did) -> str | None:
        """Why nothing is to be had from a peer; None where it has neither forked nor been removed."""
        cut = state.cuts.get(peer)
        if cut is None:
            return None
        return REMOVED if cut.forked_at is None else SIGNED_TWO.format(sequence=cut.forked_at)

    def look_ahead(self, work: UnitOfWork) -> None:
        """At the end of a batch: whether its votes are enough, or this node has joined by it and may prove what it knew
        before, so that another one is wanted at once.
        """
        self.has_to_say = self._may_prove(work) and bool(self.pairs or self._countable(work))

    def _countable(self, work: UnitOfWork) -> list[Did]:
        """Members for whose removal enough have voted, this node among them, and nobody has said so behind it."""
        federation = work.state.federation
        voted = [
            member.node
            for member in federation.members.values()
            if member.removal_votes and not member.has_ended and member.node not in self._counted
        ]
        if not voted:
            return []
        ancestry = work.context().ancestry
        needed = federation.votes_needed(ancestry)
        return [
            node
            for node in voted
            if self.did in (votes := federation.removal_votes(node, ancestry))
            and len(votes) >= needed
            and not federation.has_gone(node, ancestry)
        ]

    def judge(self, work: UnitOfWork, block: Block, clock: Clock) -> Mapping[RemovalPlace, None] | None:
        """The records that remove members and count with this block, which is about to be applied; None: it has none.

        What counts for the rules alone, because of a vote that is kept of a fork, is void by this, and costs no replay.
        """
        if not acceptance.removals_of(block):
            return None
        with_it = Batch()
        names = tuple(record.name for record in acceptance.read_records(block))
        blocks.put_block(with_it, block, work.state.last_arrival + 1, clock, names)
        places = self._counting_with(work, block, Overlay(Overlay(work.store, work.batch), with_it))
        self._judged = block.cid, places
        return dict.fromkeys(places)

    def _take_removals(self, work: UnitOfWork, block: Block) -> None:
        """What a block says of removals matters where it changes which of them count."""
        if not acceptance.removals_of(block):
            return
        cid, places = self._judged or (None, ())
        if cid != block.cid:
            places = self._counting_with(work, block, Overlay(work.store, work.batch))
        if places == self.counting:
            return
        self._is_lower = True
        for one in self.removals.counting:
            if one.accepted is not None:
                lowest(self.ends, one.node, one.accepted)

    def _counting_with(self, work: UnitOfWork, block: Block, reader: Reader) -> tuple[RemovalPlace, ...]:
        """Which records remove members once a block is in the journal that says so; `reader` has it.

        Of who was never admitted it costs nothing; of others a look at who has voted, `REMOVALS_SAID_MAX` times.
        """
        if self._vouched is None:
            self._vouched = vouched_for(reader)
        vouched = self._vouched
        named = [removal.node for _, removal in acceptance.removals_of(block)]
        known = [node for node in named if node in vouched or _has_blocks(work.state, node)]
        if block.header.author not in vouched or not self._may_say(block, reader, known):
            return self.counting
        self.removals = removals_in(reader, self.cuts)
        return _places(self.removals.counting)

    def _may_say(self, block: Block, reader: Reader, nodes: list[Did]) -> bool:
        """Whether the block may be heard about any of the nodes (`domain.dag.electorate`)."""
        if self._said is None:
            self._said = removals_said(reader)
        else:
            note_removals_said(self._said, block)
        author = block.header.author
        return any(self._said.get((author, node), 0) < REMOVALS_SAID_MAX + nodes.count(node) for node in nodes)

    def _cut(self, work: UnitOfWork, author: Did, sequence: int) -> None:
        """A fork is news. Of who has no feed here nothing is void by it, and nothing is made anew.

        But for the first one: from then on what does not fit is void, and was refused before.
        """
        state = work.state
        if not state.cuts or author in self.ends or _has_blocks(state, author):
            self._is_lower = True
            return
        state.cuts[author] = Cut(author, sequence, 0, None, sequence, None)
        rows.save_cut(work.batch, state.cuts[author])
        if self.contest is not None:
            self.contest.cuts = {**self.contest.cuts, author: sequence}
            self.contest.forks = {**self.contest.forks, author: sequence}

    def _take_spreading(self, work: UnitOfWork, block: Block) -> None:
        """A removal that others might never have heard of is spread by a block that all will have."""
        known, header = self.removals, block.header
        if not known.unspread or not any(link in known.unspread for link in acceptance.links(header)):
            return
        if header.sequence >= known.reach.get(header.author, NEVER):
            known.unspread[block.cid] = None
            return
        self.removals = removals_in(Overlay(work.store, work.batch), self.cuts)
        self._is_lower |= _places(self.removals.counting) != self.counting

    def _removals_in(self, reader: Reader, state: State) -> Removals:
        """Of two that end each other one is in a side block: without any there is nothing to be told apart."""
        for cid, place in state.feeds.sides.items():
            if place.author in self.ends:
                block = blocks.get_block(reader, cid)
                if block is not None and acceptance.removals_of(block):
                    return removals_in(reader, self.cuts)
        return Removals()

    def _hold(self, state: State, author: Did, sequence: int, held: list[Cid]) -> None:
        if len(held) < 2:
            return
        if author == self.did:
            self.own_fork = sequence if self.own_fork is None else min(self.own_fork, sequence)
            return
        if self._accused.get(author, NEVER) <= sequence and not is_heard_of(state, author):
            return  # it is said already, and nobody can have built on what it signs
        said = state.federation.proven.get((author, self.did))
        known = self.pairs.get(author)
        if (said is None or sequence < said) and (known is None or sequence < known[0]):
            self.pairs[author] = sequence, held[0], held[1]

    def _beside(self, work: UnitOfWork, author: Did, sequence: int, cid: Cid) -> Cid | None:
        """Another block of the author with this number."""
        return next((each for each in self._held_at(work, author, sequence) if each != cid), None)

    def _has_room(self, work: UnitOfWork, author: Did) -> bool:
        reader = Overlay(work.store, work.batch)
        return sum(blocks.is_evidence(reader, cid) for cid in self._all_kept(work).of(author)) < EVIDENCE_PER_AUTHOR_MAX

    def _held_at(self, work: UnitOfWork, author: Did, sequence: int) -> list[Cid]:
        return blocks_at(Overlay(work.store, work.batch), author, sequence, self._all_kept(work))

    def _all_kept(self, work: UnitOfWork) -> Kept:
        if self._kept is None:
            self._kept = Kept(Overlay(work.store, work.batch))
        return self._kept

    def _may_prove(self, work: UnitOfWork) -> bool:
        member = work.state.federation.members.get(self.did)
        return work.may_author and member is not None and member.joined


def _accused_in(state: State) -> dict[Did, int]:
    accused: dict[Did, int] = {}
    for (author, _), sequence in state.federation.proven.items():
        lowest(accused, author, sequence)
    return accused


def is_heard_of(state: State, author: Did) -> bool:
    """Whether an author has blocks here, or may have them elsewhere."""
    return author in state.federation.members or _has_blocks(state, author)


def _has_blocks(state: State, author: Did) -> bool:
    return author in state.feeds.heads or author in state.feeds.aside


def _places(removals: Iterable[RemovalFound]) -> tuple[RemovalPlace, ...]:
    return tuple(sorted({(one.by, one.sequence, one.node) for one in removals}))


def _length_and_last(kept: tuple[Cid, ...]) -> tuple[int, Cid | None]:
    return len(kept), kept[-1] if kept else None
