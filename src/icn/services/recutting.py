"""The state made anew because of a fork or a removal: what counts, a replay under that, the rows that differ.

```
 a lower cut, a removal, or acknowledgements that change what is kept
    └─> contest (domain.dag.forks) ─> replay from the genesis ─> feed index, clocks, rows: what differs, for one commit
```

It happens at most once for each number at which an author is found to have forked, each time that a block from there on
becomes confirmed, and each time that other records than before remove members; it takes as long as a deep verification,
and as much memory. A member's record can be one that removes another at most once for each of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.electorate import Electorate, RemovalFound, Vouching, VouchingKind, ends_of
from icn.domain.dag.feeds import NEVER, Clock, merged_clock
from icn.domain.dag.forks import Contest, Link
from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationFounded,
    InvitationRedeemed,
    NodeAdmitted,
    NodeLeft,
    NodeRemoved,
    RemovalVoted,
)
from icn.domain.federation.model import JoinPolicy
from icn.domain.records import EVENT_NAMES, Record, read_record
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import Cid, Did
from icn.kernel.limits import REMOVAL_REASON_CHARS_MAX
from icn.services import acceptance, rows
from icn.services.replay import Replay
from icn.services.state import State
from icn.stores import blocks, keyspace
from icn.stores.kv import Batch, Reader, StoreCorrupt

_ADMITTING = [EVENT_NAMES[FederationFounded], *acceptance.ADMITTING]
_VOUCHING = [*_ADMITTING, *(EVENT_NAMES[kind] for kind in (NodeLeft, RemovalVoted, NodeRemoved))]


@dataclass(frozen=True, slots=True)
class Recut:
    """A state under another choice of what counts."""

    state: State
    changed: Batch
    """What differs from the rows, clocks and feeds that are stored."""


@dataclass(slots=True)
class Removals:
    """Which records remove members, and what would change that. Who owns it notes what is built on the unspread."""

    counting: tuple[RemovalFound, ...] = ()
    unspread: dict[Cid, None] = field(default_factory=dict)
    """Blocks with a record that another one ends and others may never hear of, and what was built on them, which they
    may not hear of either. A block below `reach` that builds on one of them spreads it."""
    reach: dict[Did, int] = field(default_factory=dict)
    """By author, the number from which on a block may stay unheard: the lowest that any removal of it does not accept,
    and where it forked."""


def link_of(block: Block) -> Link:
    """A block, as far as forks are concerned."""
    header = block.header
    return Link(block.cid, header.author, header.sequence, acceptance.links(header), acceptance.proofs_of(block))


def contest_of(reader: Reader, forks: Mapping[Did, int]) -> Contest:
    """Who is cut where, and who acknowledged what of the authors that forked, as far as the journal goes."""
    raw = _Raw(reader)
    electorate = raw.electorate(forks)
    removals = raw.removals(electorate).counting
    ends = ends_of(removals)
    voters = {
        author: electorate.admitted(raw.clock_at(author, sequence - 1))
        for author, sequence in sorted(forks.items())
        if sequence and blocks.cid_at(reader, author, sequence - 1) is not None
    }
    cuts = {**ends, **{author: min(sequence, ends.get(author, NEVER)) for author, sequence in forks.items()}}
    contest = Contest(cuts, voters, ends, dict(forks), removals)
    if not forks:
        return contest
    first = _first_arrival(reader, forks)
    for arrival, block in _blocks_with(reader, EVENT_NAMES[EquivocationProven]):
        if arrival < first:
            contest.note_proofs(link_of(block))
    if first < NEVER:
        for _, cid in blocks.journal(reader, after=first - 1):
            contest.take(link_of(_stored(reader, cid)))
    return contest


def removals_in(reader: Reader, forks: Mapping[Did, int]) -> Removals:
    """The records that remove members, as far as the journal goes: read from the first side block on."""
    raw = _Raw(reader)
    return raw.removals(raw.electorate(forks))


def vouched_for(reader: Reader) -> dict[Did, None]:
    """Whoever may ever have counted: named by the genesis, or by a record of somebody who is, whatever became of it."""
    found: dict[int, Block] = {}
    for name in _ADMITTING:
        found |= dict(_blocks_with(reader, name))
    named: dict[Did, None] = {}
    for _, block in sorted(found.items()):
        note_vouched_for(named, block)
    return named


def namings(reader: Reader) -> dict[Did, dict[Cid, int]]:
    """By node, the blocks with a record that admits it or votes for it, each with its number in the journal."""
    found: dict[int, Block] = {}
    for name in acceptance.ADMITTING:
        found |= dict(_blocks_with(reader, name))
    made: dict[Did, dict[Cid, int]] = {}
    for arrival, block in sorted(found.items()):
        note_namings(made, block, arrival)
    return made


def note_namings(made: dict[Did, dict[Cid, int]], block: Block, arrival: int) -> None:
    """The next block."""
    for node in acceptance.vouched_for_in(block):
        made.setdefault(node, {})[block.cid] = arrival


def note_vouched_for(named: dict[Did, None], block: Block) -> None:
    """The next block. None of them named yet: it is the genesis."""
    if named and block.header.author not in named:
        return
    for event in acceptance.events_of(block, _ADMITTING):
        if isinstance(event, FederationFounded):
            if not named:
                named |= dict.fromkeys(event.founders)
        elif isinstance(event, NodeAdmitted | AdmissionCounted | InvitationRedeemed):
            named[event.node] = None


def removals_said(reader: Reader) -> dict[tuple[Did, Did], int]:
    """By author and node, how many records in the journal say that the node is removed."""
    said: dict[tuple[Did, Did], int] = {}
    for _, block in _blocks_with(reader, EVENT_NAMES[NodeRemoved]):
        note_removals_said(said, block)
    return said


def note_removals_said(said: dict[tuple[Did, Did], int], block: Block) -> None:
    """The next block."""
    for _, removal in acceptance.removals_of(block):
        pair = block.header.author, removal.node
        said[pair] = said.get(pair, 0) + 1


def recut(reader: Reader, contest: Contest) -> Recut:
    """The state under the cuts and acknowledgements of `contest`, which has taken all of the journal.

    Raises:
        StoreCorrupt: a block of the journal is missing, or could never have been accepted.
    """
    state, counted = cut_state(contest)
    changing = _changing(reader, contest)
    first = _first_arrival(reader, changing)
    clocks: dict[tuple[Did, int], Clock] = {}
    ancestors: dict[Cid, tuple[Place, Clock]] = {}
    feeds: dict[Did, dict[int, Cid]] = {author: {} for author in changing}

    def clock_of(author: Did, sequence: int) -> Clock:
        known = clocks.get((author, sequence))
        return blocks.clock_at(reader, author, sequence) if known is None else known

    def ancestor_of(cid: Cid) -> tuple[Place, Clock]:
        known = ancestors.get(cid)
        return _ancestor(reader, cid) if known is None else known

    genesis = next((cid for _, cid in blocks.journal(reader)), None)
    replay = Replay(state, genesis, clock_of, counted)
    changed = Batch()
    for arrival, cid in blocks.journal(reader):
        block = _stored(reader, cid)
        place, clock = _ancestor(reader, cid)
        is_side = replay.is_side(block)
        try:
            if arrival >= first:
                is_branch = is_side and state.is_branch(place.author, place.sequence)
                due = acceptance.clock_from_links(block, ancestor_of, is_branch=is_branch)
                if due != clock:
                    blocks.put_meta(changed, block, arrival, due)
                clock = due
                ancestors[cid] = place, clock
                if not is_branch:
                    clocks[place.author, place.sequence] = clock
            if not is_side and place.sequence >= changing.get(place.author, NEVER):
                feeds[place.author][place.sequence] = cid
            replay.take(block, clock, arrival)
        except (PeerViolation, EventRefused) as error:
            raise StoreCorrupt(f"block {cid}, number {arrival} of the journal, cannot be taken: {error}") from error
    require(state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
    state.removals = None  # from now on what comes is judged by its own ancestry again
    for author, sequence in changing.items():
        _put_feed(reader, changed, author, sequence, feeds[author])
    _put_rows(reader, changed, replay.rows())
    return Recut(state, changed)


def cut_state(contest: Contest) -> tuple[State, frozenset[Cid]]:
    """A state before the first block, with the cuts, and the blocks of cut authors that count nevertheless."""
    state = State()
    counted: list[Cid] = []
    for author in sorted(contest.cuts):
        state.cuts[author] = contest.cut(author)
        counted += contest.kept(author)
    state.removals = {(one.by, one.sequence, one.node): None for one in contest.removals}
    return state, frozenset(counted)


@dataclass(slots=True, init=False)
class Kept:
    """The blocks that are kept to prove forks, by author and number. Read once: a member decides how many there are."""

    _found: dict[Did, dict[int, dict[Cid, None]]]

    def __init__(self, reader: Reader) -> None:
        self._found = {}
        for cid in blocks.evidence(reader):
            block = blocks.get_block(reader, cid)
            if block is not None:  # one that is damaged proves nothing; whoever scans the store finds it
                self._note(block)

    def put(self, batch: Batch, block: Block) -> None:
        """One more."""
        blocks.put_evidence(batch, block)
        self._note(block)

    def at(self, author: Did, sequence: int) -> list[Cid]:
        """Those of an author with one number."""
        return list(self._found.get(author, {}).get(sequence, ()))

    def of(self, author: Did) -> list[Cid]:
        """All of an author."""
        return [cid for cids in self._found.get(author, {}).values() for cid in cids]

    def places(self) -> list[tuple[Did, int]]:
        """Authors and numbers, each once."""
        return [(author, sequence) for author, numbers in self._found.items() for sequence in numbers]

    def _note(self, block: Block) -> None:
        numbers = self._found.setdefault(block.header.author, {})
        numbers.setdefault(block.header.sequence, {})[block.cid] = None


def blocks_at(reader: Reader, author: Did, sequence: int, kept: Kept) -> list[Cid]:
    """The blocks of the author with this number that are here, in the journal or as evidence (`kept`), sorted."""
    here = blocks.cid_at(reader, author, sequence)
    found = [] if here is None else [here]
    prefix = author.public_key + keyspace.u64(sequence)
    found += [row.cid for _, row in rows.SIDES.rows(reader, prefix=prefix)]
    found += kept.at(author, sequence)
    return sorted(dict.fromkeys(found))


def _changing(reader: Reader, contest: Contest) -> dict[Did, int]:
    """By author, from where on its feed may be another one than before: what is cut, and what was put aside."""
    changing = dict(contest.cuts)
    for _, side in rows.SIDES.rows(reader):
        author = side.place.author
        changing[author] = min(side.place.sequence, changing.get(author, NEVER))
    return changing


def _first_arrival(reader: Reader, cuts: Mapping[Did, int]) -> int:
    """Number of the first block in the journal that a cut touches."""
    found = [NEVER]
    for author, sequence in sorted(cuts.items()):
        here = blocks.cid_at(reader, author, sequence)
        touched = [] if here is None else [here]
        touched += [
            row.cid for _, row in rows.SIDES.rows(reader, prefix=author.public_key) if row.place.sequence >= sequence
        ]
        found += [meta.arrival for cid in touched if (meta := blocks.get_meta(reader, cid)) is not None]
    return min(found)


class Aside:
    """What is behind blocks beside what their clocks say: side blocks, which no clock counts."""

    def __init__(self) -> None:
        self._behind: dict[Cid, Mapping[Did, int]] = {}
        """Blocks that have none behind them are left out."""

    def take(self, block: Block, *, is_side: bool) -> None:
        """The next block, ancestors first."""
        header = block.header
        behind = [seen for link in acceptance.links(header) if (seen := self._behind.get(link))]
        if is_side:
            self._behind[block.cid] = merged_clock(header.author, header.sequence, behind)
        elif behind:
            first = behind[0]  # mostly all are the same: one map for many blocks
            self._behind[block.cid] = first if all(seen == first for seen in behind) else merged_clock(None, 0, behind)

    def with_clock(self, cid: Cid, clock: Clock) -> Clock:
        """Everything behind a block, `clock` being its own."""
        aside = self._behind.get(cid)
        return clock if aside is None else merged_clock(None, 0, (clock, aside))


class _Raw:
    """Ancestries as the links have them, whatever was cut since: what a removal is judged by."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._aside = Aside()
        sides = dict.fromkeys(row.cid for _, row in rows.SIDES.rows(reader))
        arrivals = [meta.arrival for cid in sides if (meta := blocks.get_meta(reader, cid)) is not None]
        if arrivals:
            for _, cid in blocks.journal(reader, after=min(arrivals) - 1):
                self._aside.take(_stored(reader, cid), is_side=cid in sides)

    def electorate(self, forks: Mapping[Did, int]) -> Electorate:
        """All records of the journal that make members or end them."""
        found: dict[int, Block] = {}
        for name in _VOUCHING:
            found |= dict(_blocks_with(self._reader, name))
        electorate, by_vote = Electorate(forks), False
        for arrival, block in sorted(found.items()):
            records = [read_record(data) for data in block.records]
            if arrival == min(found):
                by_vote = founds_by_vote(records)
            for each in vouchings_of(block, records, self._clock(block.cid), by_vote=by_vote):
                electorate.take(each)
        return electorate

    def removals(self, electorate: Electorate) -> Removals:
        """Those that count. Where one ends another one the journal is read from there on, for what others have."""
        contested, reach = electorate.contested, electorate.reach()
        upon: dict[Cid, Clock] = {}
        for _, cid in blocks.journal(self._reader, after=self._first_of(one.block for one in contested) - 1):
            place, clock = _ancestor(self._reader, cid)[0], self._clock(cid)
            electorate.note(place.author, place.sequence, clock)
            if place.sequence >= reach.get(place.author, NEVER):
                upon[cid] = clock
        spread = electorate.spread()
        waiting = [one for one in contested if one not in spread]
        unspread = {
            cid: None for cid, clock in upon.items() if any(clock.get(one.by, 0) > one.sequence for one in waiting)
        }
        return Removals(electorate.removals(), unspread, reach)

    def _first_of(self, cids: Iterable[Cid]) -> int:
        arrivals = [meta.arrival for cid in cids if (meta := blocks.get_meta(self._reader, cid)) is not None]
        return min(arrivals, default=NEVER)

    def clock_at(self, author: Did, sequence: int) -> Clock:
        """Of a block that is in its feed."""
        cid = blocks.cid_at(self._reader, author, sequence)
        return {} if cid is None else self._clock(cid)

    def _clock(self, cid: Cid) -> Clock:
        return self._aside.with_clock(cid, _ancestor(self._reader, cid)[1])


def founds_by_vote(records: Sequence[Record]) -> bool:
    """Whether these records, of the first block there is, found a federation whose members vote on admissions."""
    event = records[0].event if records else None
    return isinstance(event, FederationFounded) and event.policy.join_policy is JoinPolicy.VOTE


def vouchings_of(block: Block, records: Sequence[Record], clock: Clock, *, by_vote: bool) -> Iterator[Vouching]:
    """What the records of a block do for who counts. `by_vote`: it takes more than half of the members to admit."""
    for record in records:
        event, accepted = record.event, 0
        match event:
            case FederationFounded():
                kind, nodes = VouchingKind.FOUNDS, event.founders
            case NodeAdmitted():
                kind, nodes = VouchingKind.VOTES if by_vote else VouchingKind.ADMITS, (event.node,)
            case AdmissionCounted():
                kind, nodes = VouchingKind.COUNTS, (event.node,)
            case InvitationRedeemed() if not by_vote:
                # Whether there was such an invitation is not asked: a member could as well admit the node by its word.
                kind, nodes = VouchingKind.ADMITS, (event.node,)
            case NodeLeft():
                kind, nodes = VouchingKind.LEAVES, (event.node,)
            case RemovalVoted() if len(event.reason) <= REMOVAL_REASON_CHARS_MAX:
                kind, nodes = VouchingKind.VOTES_OUT, (event.node,)
            case NodeRemoved():
                kind, nodes, accepted = VouchingKind.REMOVES, (event.node,), event.accepted
            case _:
                continue
        yield Vouching(kind, block.header.author, block.header.sequence, nodes, clock, block.cid, accepted)


def _blocks_with(reader: Reader, event_name: str) -> list[tuple[int, Block]]:
    """The blocks of the journal that hold such a record. Those that are asked for are few."""
    prefix = keyspace.event_type(event_name)
    found: list[tuple[int, Block]] = []
    for key, _ in reader.scan(prefix):
        arrival = int.from_bytes(key[len(prefix) :], "big")
        cid = reader.get(keyspace.journal_entry(arrival))
        require(cid is not None, "what the index names is in the journal")
        if cid is not None:
            found.append((arrival, _stored(reader, Cid(cid))))
    return found


def _put_feed(reader: Reader, changed: Batch, author: Did, first: int, feed: Mapping[int, Cid]) -> None:
    due = {keyspace.feed_entry(author, sequence): cid.data for sequence, cid in feed.items()}
    after = keyspace.feed_entry(author, first - 1) if first else None
    for key, value in reader.scan(keyspace.feed(author), after=after):
        wanted = due.pop(key, None)
        if wanted is None:
            changed.delete(key)
        elif wanted != value:
            changed.put(key, wanted)
    for key, value in due.items():
        changed.put(key, value)


def _put_rows(reader: Reader, changed: Batch, replayed: Batch) -> None:
    due = {key: value for key, value in replayed.operations.items() if value is not None}
    for key, value in reader.scan(keyspace.PROJECTION):
        if keyspace.is_local(key):
            continue
        wanted = due.pop(key, None)
        if wanted is None:
            changed.delete(key)
        elif wanted != value:
            changed.put(key, wanted)
    for key, value in due.items():
        changed.put(key, value)


def _ancestor(reader: Reader, cid: Cid) -> tuple[Place, Clock]:
    meta = blocks.get_meta(reader, cid)
    if meta is None:
        raise StoreCorrupt(f"block {cid} of the journal is not listed as signed: restore a backup")
    return meta.place, blocks.clock_of_entries(meta.clock)


def _stored(reader: Reader, cid: Cid) -> Block:
    data = blocks.get_bytes(reader, cid)
    if data is None:
        raise StoreCorrupt(f"block {cid} is missing: restore a backup")
    try:
        return parse_block(data)
    except Invalid as error:
        raise StoreCorrupt(f"block {cid} is damaged: {error}") from error
