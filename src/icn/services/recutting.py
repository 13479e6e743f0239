"""The state made anew because of a fork: what counts, a replay of the journal under that, the rows that differ.

```
 a lower cut, or acknowledgements that change what is kept
    └─> contest (domain.dag.forks) ─> replay from the genesis ─> feed index, clocks, rows: what differs, for one commit
```

It happens at most once for each number at which an author is found to have forked, and each time that a block from
there on becomes confirmed; it takes as long as a deep verification, and as much memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.domain.dag.forks import Contest, Cut, Link, Vouching, VouchingKind, voters_behind
from icn.domain.federation.events import (
    AdmissionCounted,
    EquivocationProven,
    FederationFounded,
    InvitationRedeemed,
    NodeAdmitted,
    NodeLeft,
)
from icn.domain.federation.model import JoinPolicy
from icn.domain.records import EVENT_NAMES, Record, read_record
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import Cid, Did
from icn.services import acceptance, rows
from icn.services.replay import Replay
from icn.services.state import State
from icn.stores import blocks, keyspace
from icn.stores.kv import Batch, Reader, StoreCorrupt

_VOUCHING = [
    EVENT_NAMES[kind] for kind in (FederationFounded, NodeAdmitted, AdmissionCounted, InvitationRedeemed, NodeLeft)
]
NEVER = 2**63
"""Beyond every arrival number."""


@dataclass(frozen=True, slots=True)
class Recut:
    """A state under another choice of what counts."""

    state: State
    changed: Batch
    """What differs from the rows, clocks and feeds that are stored."""


def link_of(block: Block) -> Link:
    """A block, as far as forks are concerned."""
    header = block.header
    return Link(block.cid, header.author, header.sequence, acceptance.links(header), acceptance.proofs_of(block))


def contest_of(reader: Reader, cuts: Mapping[Did, int]) -> Contest:
    """Who acknowledged what of the authors that forked, as far as the journal goes."""
    first = _first_arrival(reader, cuts)
    contest = Contest(dict(cuts), _voters(reader, cuts))
    for arrival, block in _blocks_with(reader, EVENT_NAMES[EquivocationProven]):
        if arrival < first:
            contest.note_proofs(link_of(block))
    if first < NEVER:
        for _, cid in blocks.journal(reader, after=first - 1):
            contest.take(link_of(_stored(reader, cid)))
    return contest


def recut(reader: Reader, contest: Contest) -> Recut:
    """The state under the cuts and acknowledgements of `contest`, which has taken all of the journal.

    Raises:
        StoreCorrupt: a block of the journal is missing, or could never have been accepted.
    """
    state, counted = cut_state(contest)
    first = _first_arrival(reader, contest.cuts)
    clocks: dict[tuple[Did, int], Clock] = {}
    ancestors: dict[Cid, tuple[Place, Clock]] = {}

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
        try:
            if arrival >= first:
                is_side = replay.is_side(block)
                due = acceptance.clock_from_links(block, ancestor_of, is_side=is_side)
                if due != clock:
                    blocks.put_meta(changed, block, arrival, due)
                clock = due
                ancestors[cid] = place, clock
                if not is_side:
                    clocks[place.author, place.sequence] = clock
            replay.take(block, clock, arrival)
        except (PeerViolation, EventRefused) as error:
            raise StoreCorrupt(f"block {cid}, number {arrival} of the journal, cannot be taken: {error}") from error
    require(state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
    for author, cut in contest.cuts.items():
        _put_feed(reader, changed, author, cut, contest.kept(author))
    _put_rows(reader, changed, replay.rows())
    return Recut(state, changed)


def cut_state(contest: Contest) -> tuple[State, frozenset[Cid]]:
    """A state before the first block, with the cuts, and the blocks of cut authors that count nevertheless."""
    state = State()
    counted: list[Cid] = []
    for author, sequence in sorted(contest.cuts.items()):
        kept = contest.kept(author)
        state.cuts[author] = Cut(author, sequence, len(kept), kept[-1] if kept else None)
        counted += kept
    return state, frozenset(counted)


def blocks_at(reader: Reader, author: Did, sequence: int) -> list[Cid]:
    """The blocks of the author with this number that are here, in the journal or as evidence, sorted."""
    here = blocks.cid_at(reader, author, sequence)
    found = [] if here is None else [here]
    prefix = author.public_key + keyspace.u64(sequence)
    found += [row.cid for _, row in rows.SIDES.rows(reader, prefix=prefix)]
    for cid in blocks.evidence(reader):
        place = _stored(reader, cid).place
        if (place.author, place.sequence) == (author, sequence):
            found.append(cid)
    return sorted(dict.fromkeys(found))


def _first_arrival(reader: Reader, cuts: Mapping[Did, int]) -> int:
    """Number of the first block in the journal that a cut touches."""
    found = [NEVER]
    for author, sequence in sorted(cuts.items()):
        here = blocks.cid_at(reader, author, sequence)
        prefix = author.public_key + keyspace.u64(sequence)
        touched = [] if here is None else [here]
        touched += [row.cid for _, row in rows.SIDES.rows(reader, prefix=prefix)]
        found += [meta.arrival for cid in touched if (meta := blocks.get_meta(reader, cid)) is not None]
    return min(found)


def _voters(reader: Reader, cuts: Mapping[Did, int]) -> dict[Did, tuple[Did, ...]]:
    found: dict[int, Block] = {}
    for name in _VOUCHING:
        found |= dict(_blocks_with(reader, name))
    federation = rows.load_federation(reader)
    by_vote = federation is not None and federation.policy.join_policy is JoinPolicy.VOTE
    in_order: list[Vouching] = []
    for _, block in sorted(found.items()):
        records = [read_record(data) for data in block.records]
        in_order += vouchings_of(block.place, records, _ancestor(reader, block.cid)[1], by_vote=by_vote)
    voters: dict[Did, tuple[Did, ...]] = {}
    for author, sequence in sorted(cuts.items()):
        if sequence and blocks.cid_at(reader, author, sequence - 1) is not None:
            voters[author] = voters_behind(blocks.clock_at(reader, author, sequence - 1), in_order, cuts)
    return voters


def vouchings_of(place: Place, records: Sequence[Record], clock: Clock, *, by_vote: bool) -> Iterator[Vouching]:
    """What the records of a block do for who counts. `by_vote`: it takes more than half of the members to admit."""
    for record in records:
        event = record.event
        match event:
            case FederationFounded():
                kind, nodes = VouchingKind.FOUNDS, event.founders
            case NodeAdmitted():
                kind, nodes = VouchingKind.VOTES if by_vote else VouchingKind.ADMITS, (event.node,)
            case AdmissionCounted():
                kind, nodes = VouchingKind.COUNTS, (event.node,)
            case InvitationRedeemed():
                kind, nodes = VouchingKind.ADMITS, (event.node,)
            case NodeLeft():
                kind, nodes = VouchingKind.LEAVES, (event.node,)
            case _:
                continue
        yield Vouching(kind, place.author, place.sequence, nodes, clock)


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


def _put_feed(reader: Reader, changed: Batch, author: Did, cut: int, kept: tuple[Cid, ...]) -> None:
    due = {keyspace.feed_entry(author, cut + offset): cid.data for offset, cid in enumerate(kept)}
    after = keyspace.feed_entry(author, cut - 1) if cut else None
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
