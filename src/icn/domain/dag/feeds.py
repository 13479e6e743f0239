"""Every feed's newest block, the frontier of the DAG, and who has seen what.

A block's **clock** says, for each author, how many blocks of that author are in its ancestry, itself included: a vector
clock, so "is X in the ancestry of Y" is one comparison. The **frontier** is the set of blocks nobody has built on; its
hash is the DAG root, equal on two nodes exactly when they have the same blocks.

Where an author forked (`domain.dag.forks`) its **side blocks** are in no feed: no clock counts them, no frontier holds
them. What builds on one has behind it what is behind that block. Nodes with one root have the same side blocks, but for
those that nobody has built on.

Where an author was removed, what its removal does not accept is beside its feed as well. But there it has one history,
so clocks go on counting: what it had seen, and whoever had built on it, stays as it was.

**Confirmed** (semantics §2): blocks by a quorum of the voting nodes have it in their ancestry.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType

from icn.domain.dag.block import Block, Place
from icn.kernel.errors import require
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import PARENTS_MAX
from icn.kernel.making import maker

RECENT_BLOCKS_MAX = 1024
"""Blocks that are known without asking the store: what new ones name and confirm is hardly ever older."""

NEVER = 2**64
"""Beyond every number of a block: 64 bits hold those, and whoever signs blocks writes what he likes into them."""

Clock = Mapping[Did, int]
"""Author to the number of that author's blocks in the ancestry (the highest sequence plus one)."""

ClockOf = Callable[[Did, int], Clock]
"""The clock of the block (author, sequence), which must be known."""

_TEXT = attrgetter("text")
_DATA = attrgetter("data")
"""What gives DIDs and CIDs their order: quicker to compare than they are."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block of one feed."""

    cid: Cid
    sequence: int
    time: Instant
    clock: Clock
    news_count: int
    """How many blocks the feed has up to its newest one with records: what lies beyond only acknowledges."""


_head = maker(Head)


@dataclass(slots=True)
class Feeds:
    """The shape of the DAG as far as this node has it. Changed only by `advance`."""

    heads: dict[Did, Head] = field(default_factory=dict)
    frontier: dict[Cid, Did] = field(default_factory=dict)
    """Blocks nobody has built on, with their authors."""
    sides: dict[Cid, Place] = field(default_factory=dict)
    """Blocks that are here and in no feed, because their author forked or was removed."""
    unaccepted: dict[tuple[Did, int], Cid] = field(default_factory=dict, compare=False, repr=False)
    """Those of them that clocks count, by author and number: a removal does not accept them, and no fork is below."""
    aside: dict[Did, None] = field(init=False, compare=False, repr=False)
    """Their authors."""
    _root: str = field(default="", init=False, compare=False, repr=False)
    """Empty where it is to be made anew: every message of a peer is compared with it."""
    shunned: dict[Did, None] = field(default_factory=dict, compare=False, repr=False)
    """Authors found to have forked a moment ago: the block that says so is not to build on them."""
    block_count: int = 0
    recent: dict[Cid, Place] = field(default_factory=dict, compare=False, repr=False)
    """Where the newest blocks stand, by name; of older ones the store knows."""
    recent_clocks: dict[tuple[Did, int], Clock] = field(default_factory=dict, compare=False, repr=False)
    """Clocks of the same blocks, by author and sequence."""

    def __post_init__(self) -> None:
        self.aside = {place.author: None for place in self.sides.values()}

    def next_sequence(self, author: Did) -> int:
        """The sequence of the next block of `author`."""
        head = self.heads.get(author)
        return 0 if head is None else head.sequence + 1

    def clock(self) -> dict[Did, int]:
        """How much of every feed is here."""
        heads = self.heads
        return {author: heads[author].sequence + 1 for author in sorted(heads, key=_TEXT)}

    def root(self) -> str:
        """SHA-256 over the sorted frontier, in hexadecimal."""
        if not self._root:
            self._root = hashlib.sha256(b"".join(sorted([cid.data for cid in self.frontier]))).hexdigest()
        return self._root

    def parents_for(self, author: Did) -> tuple[Cid, ...]:
        """The frontier but for `author`'s own head: what its next block names, as far as a block has room."""
        left_out = {**self.shunned, author: None}
        parents = [cid for cid, by in self.frontier.items() if by not in left_out]
        return tuple(sorted(parents, key=_DATA))[:PARENTS_MAX]

    def clocks_behind(self, author: Did) -> list[Clock]:
        """The clocks of the blocks that the next block of `author` names: its own head and its parents."""
        heads = [self.heads[self.frontier[parent]] for parent in self.parents_for(author)]
        own = self.heads.get(author)
        return [head.clock for head in ([own, *heads] if own is not None else heads)]

    def latest_time(self) -> Instant:
        """The highest time on the frontier: the next block must not be before it."""
        return max((self.heads[by].time for by in self.frontier.values()), default=Instant(0))

    def advance(self, block: Block, clock: Clock) -> None:
        """Take in a block whose previous and parents are here."""
        header, self._root = block.header, ""
        require(header.sequence == self.next_sequence(header.author), "blocks of a feed are taken in order")
        if header.previous is not None:
            self.frontier.pop(header.previous, None)
        for parent in header.parents:
            self.frontier.pop(parent, None)
        self.frontier[block.cid] = header.author
        news_count = header.sequence + 1
        if block.is_acknowledgement:
            known = self.heads.get(header.author)
            news_count = 0 if known is None else known.news_count
        self.heads[header.author] = _head(block.cid, header.sequence, header.time, clock, news_count)
        if self.sides:  # a block may have others behind it by way of a side block, which takes nobody off the frontier
            self.frontier = {
                cid: by
                for cid, by in self.frontier.items()
                if by == header.author or clock.get(by, 0) <= self.heads[by].sequence
            }
        self.block_count += 1
        self._remember(block, clock)

    def put_aside(self, block: Block, *, is_branch: bool) -> None:
        """Take in a block of an author that forked or was removed, which no feed has.

        `is_branch`: its author forked there or below, so no clock counts it. Its own clock does not tell: what others
        have built on may have another block with its number behind it, one that is kept.
        """
        self.sides[block.cid] = block.place
        self.aside[block.header.author] = None
        if not is_branch:
            self.unaccepted[block.header.author, block.header.sequence] = block.cid
        self.block_count += 1

    def _remember(self, block: Block, clock: Clock) -> None:
        if len(self.recent) >= RECENT_BLOCKS_MAX:
            oldest = self.recent.pop(next(iter(self.recent)))
            del self.recent_clocks[oldest.author, oldest.sequence]
        self.recent[block.cid] = block.place
        self.recent_clocks[block.header.author, block.header.sequence] = clock


def merged_clock(author: Did | None, sequence: int, ancestors: Iterable[Clock]) -> dict[Did, int]:
    """The clock of the block (author, sequence) with these ancestors; without an author, of what is behind it."""
    clocks = iter(ancestors)
    merged = dict(next(clocks, ()))
    for clock in clocks:
        for who, count in clock.items():
            if count > merged.get(who, 0):
                merged[who] = count
    if author is not None:
        merged[author] = sequence + 1
    return merged


def quorum(voters: int) -> int:
    """How many of `voters` nodes confirm: more than half below four, more than two thirds from four on.

    Below four a node may be down but none dishonest; from four on, fewer than a third may be dishonest.
    """
    return voters // 2 + 1 if voters < 4 else 2 * voters // 3 + 1


def confirmed_count(author: Did, voters: Iterable[Did], seen_by: Callable[[Did], Clock | None]) -> int:
    """How many blocks of `author` are confirmed, where `seen_by(voter)` is the clock of the voter's newest block."""
    counts = sorted(((seen_by(voter) or {}).get(author, 0) for voter in voters), reverse=True)
    return counts[quorum(len(counts)) - 1] if counts else 0


def is_confirmed_at(
    author: Did,
    sequence: int,
    *,
    clock: Clock,
    voters: Iterable[Did],
    clock_of: ClockOf,
    silent: Mapping[Did, int] = MappingProxyType({}),
) -> bool:
    """Whether (author, sequence) is confirmed in the ancestry that `clock` describes. A function of ancestry alone.

    `silent`: voters that have voted to remove `author`, and with which of their blocks: later ones do not confirm it.
    """

    def seen_by(voter: Did) -> Clock | None:
        count = min(clock.get(voter, 0), silent.get(voter, NEVER) + 1)
        return clock_of(voter, count - 1) if count else None

    return confirmed_count(author, voters, seen_by) > sequence
