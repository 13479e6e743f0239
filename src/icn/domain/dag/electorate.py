"""Who counts behind a block, and which removals of members do: by blocks that no fork touches (semantics §2).

Both are functions of the set of blocks. A **removal** is a record that says how many blocks of a member's feed are
accepted; it is right or wrong by its own ancestry alone, in which the votes stand. Where it is right the member's feed
is cut there, for everybody, whatever else was built on what the member signed meanwhile.

Two members can be removed at the same time, each by a block that the removal of the other does not accept:

```
 R1 removes X, by V ──┐           V and X had not heard of each other's block. Neither removal can be in the feed that
 R2 removes V, by X ──┘           the other one ends, so one of them counts: the one whose block has the lower name.
```

A removal that no other one touches counts first, and what it ends counts no more; the name decides only what is left.

What lies above a cut is passed on only where somebody else has built on it. So a node may have heard of R2 before it
heard of R1, and everybody else only of R1. A removal that nobody below every cut has built on is therefore heard last:
where one that all have, or will have, ends it, it does not count.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from icn.domain.dag.feeds import NEVER, Clock
from icn.kernel.ids import Cid, Did
from icn.kernel.limits import REMOVALS_SAID_MAX


class VouchingKind(Enum):
    """What a record does for whom it names."""

    FOUNDS = "founds"
    """It is the genesis."""
    ADMITS = "admits"
    VOTES = "votes"
    COUNTS = "counts"
    """It says that more than half of the members have voted."""
    LEAVES = "leaves"
    VOTES_OUT = "votes out"
    REMOVES = "removes"
    """It says that more than half of the members have voted to remove the node."""


@dataclass(frozen=True, slots=True)
class Vouching:
    """A record by which a node became a voter, or one of several, or ceased to be one."""

    kind: VouchingKind
    by: Did
    sequence: int
    nodes: tuple[Did, ...]
    clock: Clock
    """Of the block it stands in: all that is behind it, what a removal has ended since included."""
    block: Cid | None = None
    """Of a removal: the block it stands in."""
    accepted: int = 0
    """Of a removal: how many blocks of the node it accepts."""


@dataclass(frozen=True, slots=True)
class RemovalFound:
    """A removal that its author was entitled to."""

    node: Did
    accepted: int | None
    """None where that is not below the number at which the node forked: then the fork says what counts of its feed."""
    by: Did
    sequence: int
    block: Cid

    def ends(self, other: "RemovalFound") -> bool:
        """Whether the other one is in what this one does not accept."""
        return self.accepted is not None and other.by == self.node and other.sequence >= self.accepted


@dataclass(slots=True)
class Electorate:
    """Takes the records that make members and end them, ancestors first. Any such order gives the same.

    Of an author that forked only what lies below its fork is heard: there all branches are the same.
    """

    forks: Mapping[Did, int]
    _is_founded: bool = False
    _valid: dict[Did, dict[Did, int]] = field(default_factory=dict)
    """By node, and by who has founded with it, admitted it or counted votes for it: the first block that says so."""
    _votes: dict[Did, dict[Did, int]] = field(default_factory=dict)
    """By node, and by who has voted to admit it: with which block first."""
    _out_votes: dict[Did, dict[Did, int]] = field(default_factory=dict)
    """The same of votes to remove it."""
    _removals: list[RemovalFound] = field(default_factory=list)
    _heard: dict[Cid, dict[Did, int]] = field(default_factory=dict)
    """By block of a removal, and by author, the first of its blocks that has it behind it."""
    _said: dict[tuple[Did, Did], int] = field(default_factory=dict)
    """By author and node, how often it has said that the node is removed, rightly or not."""
    _left: dict[Did, int] = field(default_factory=dict)

    def take(self, each: Vouching) -> None:
        """The next record. One that its author was not entitled to changes nothing."""
        is_genesis = each.kind is VouchingKind.FOUNDS and not self._is_founded
        self._is_founded = True  # the genesis is behind everything: whatever founds later founds nothing
        if each.sequence >= self.forks.get(each.by, NEVER):
            return
        if each.kind is VouchingKind.REMOVES and not self._may_say(each.by, each.nodes[0]):
            return
        if each.kind is VouchingKind.LEAVES:
            if each.nodes == (each.by,):
                self._left.setdefault(each.by, each.sequence)  # where a record does not fit more may follow
            return
        if not is_genesis and (each.kind is VouchingKind.FOUNDS or not self._is_admitted(each.by, each.clock)):
            return
        if each.kind is VouchingKind.VOTES:
            _say(self._votes, each)
        elif each.kind is VouchingKind.VOTES_OUT:
            if each.by not in each.nodes and self._is_known(each.nodes[0], each.clock):
                _say(self._out_votes, each)
        elif each.kind is VouchingKind.REMOVES:
            self._take_removal(each)
        elif each.kind is not VouchingKind.COUNTS or (
            each.by not in self._valid.get(each.nodes[0], ()) and self._is_carried(each, self._votes)
        ):
            _say(self._valid, each)

    def admitted(self, behind: Clock) -> tuple[Did, ...]:
        """The nodes that count in the ancestry with this clock, sorted."""
        counting = self._counting_behind(behind)
        removed, ends = [one.node for one in counting], ends_of(counting)
        return tuple(
            node for node in sorted(self._valid) if node not in removed and self._is_vouched_for(node, behind, ends)
        )

    def _is_admitted(self, node: Did, behind: Clock) -> bool:
        """Whether one node counts there, without a look at all others."""
        counting = self._counting_behind(behind)
        return all(node != one.node for one in counting) and self._is_vouched_for(node, behind, ends_of(counting))

    def _is_vouched_for(self, node: Did, behind: Clock, ends: Mapping[Did, int]) -> bool:
        has_left = behind.get(node, 0) > self._left.get(node, NEVER)
        return not has_left and any(
            sequence < min(behind.get(by, 0), ends.get(by, NEVER)) for by, sequence in self._valid.get(node, {}).items()
        )

    def note(self, author: Did, sequence: int, behind: Clock) -> None:
        """Any block, this author's number `sequence`: what it has built on is spread by it."""
        for one in self._removals:
            if behind.get(one.by, 0) > one.sequence:
                heard = self._heard.setdefault(one.block, {})
                heard[author] = min(sequence, heard.get(author, NEVER))

    @property
    def contested(self) -> tuple[RemovalFound, ...]:
        """Those that another one ends: whether they count depends on which blocks were noted from theirs on."""
        return tuple(one for one in self._removals if any(other.ends(one) for other in self._removals))

    def reach(self) -> dict[Did, int]:
        """By author, the number from which on a block may be known to some and never come to others: the lowest that
        any removal of it does not accept, and where it forked.
        """
        reach = ends_of(self._removals)
        for author, sequence in self.forks.items():
            reach[author] = min(sequence, reach.get(author, NEVER))
        return reach

    def spread(self) -> tuple[RemovalFound, ...]:
        """Those that everybody has, or will have: a block that nothing keeps from others has built on them."""
        reach = self.reach()
        return tuple(
            one
            for one in self._removals
            if any(number < reach.get(by, NEVER) for by, number in self._heard.get(one.block, {}).items())
        )

    def removals(self) -> tuple[RemovalFound, ...]:
        """Those that count of all that were taken, by the blocks that were noted."""
        return counting(self._removals, self.spread())

    def _is_known(self, node: Did, behind: Clock) -> bool:
        """Whether the node has begun its feed there, or was admitted; it may have gone since."""
        return behind.get(node, 0) > 0 or any(
            behind.get(by, 0) > sequence for by, sequence in self._valid.get(node, {}).items()
        )

    def _may_say(self, by: Did, node: Did) -> bool:
        said = self._said[by, node] = self._said.get((by, node), 0) + 1
        return said <= REMOVALS_SAID_MAX

    def _take_removal(self, each: Vouching) -> None:
        node = each.nodes[0]
        # Where the node forked a clock says nothing above that number, and what counts there is not for it to say.
        forked = self.forks.get(node, NEVER)
        fits = min(each.accepted, forked) == min(each.clock.get(node, 0), forked)
        has_left = each.clock.get(node, 0) > self._left.get(node, NEVER)
        if (
            each.by != node
            and fits
            and not has_left
            and all(node != one.node for one in self._counting_behind(each.clock))
            and self._is_carried(each, self._out_votes)
            and each.block is not None
        ):
            accepted = each.accepted if each.accepted < forked else None
            self._removals.append(RemovalFound(node, accepted, each.by, each.sequence, each.block))

    def _counting_behind(self, behind: Clock) -> tuple[RemovalFound, ...]:
        """What counts in an ancestry of its own is what would, were there nothing else."""
        return chosen(one for one in self._removals if behind.get(one.by, 0) > one.sequence)

    def _is_carried(self, counting: Vouching, votes: Mapping[Did, Mapping[Did, int]]) -> bool:
        """Whether more than half of the members have voted behind the record that says so."""
        cast = votes.get(counting.nodes[0], {})
        heard = dict.fromkeys(by for by, sequence in cast.items() if counting.clock.get(by, 0) > sequence)
        if not heard:
            return False  # whoever says so for nothing has nobody look for all members
        members = self.admitted(counting.clock)
        return sum(1 for member in members if member in heard) > len(members) // 2


def _say(said: dict[Did, dict[Did, int]], each: Vouching) -> None:
    """Whoever has the same said once more behind it has the first time behind it as well."""
    for node in each.nodes:
        said.setdefault(node, {}).setdefault(each.by, each.sequence)


def chosen(removals: Iterable[RemovalFound]) -> tuple[RemovalFound, ...]:
    """Those that count of what all have: none of them is in what another of them does not accept."""
    found: list[RemovalFound] = []
    rest = sorted(removals, key=lambda one: (one.block, one.node))
    while rest:
        untouched = [one for one in rest if not any(other.ends(one) for other in rest)]
        counting = untouched or rest[:1]
        found += counting
        rest = [
            one
            for one in rest
            if one not in counting and not any(other.ends(one) or one.ends(other) for other in counting)
        ]
    return tuple(found)


def counting(removals: Collection[RemovalFound], spread: Collection[RemovalFound]) -> tuple[RemovalFound, ...]:
    """Those that count. `spread`: those that everybody has, or will have, if another one ends them."""
    heard = [one for one in removals if one in spread or not any(other.ends(one) for other in removals)]
    found = chosen(heard)
    while True:
        more = [one for one in removals if one not in heard and not any(other.ends(one) for other in found)]
        if not more:
            return found
        heard += more
        found = chosen(heard)


def ends_of(removals: Iterable[RemovalFound]) -> dict[Did, int]:
    """By removed author, the lowest number that is not accepted; without those whose fork says more."""
    ends: dict[Did, int] = {}
    for one in removals:
        if one.accepted is not None:
            ends[one.node] = min(one.accepted, ends.get(one.node, NEVER))
    return ends


def voters_behind(clock: Clock, vouchings: Iterable[Vouching], forks: Mapping[Did, int]) -> tuple[Did, ...]:
    """The nodes admitted behind a block with this clock, by blocks that no fork touches, sorted.

    `vouchings`: in an order in which ancestors come first.
    """
    electorate = Electorate(forks)
    for each in vouchings:
        electorate.take(each)
    return electorate.admitted(clock)
