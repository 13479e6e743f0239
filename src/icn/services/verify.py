"""Is what is stored what it claims to be? Every finding is reported, not the first.

| | shallow | deep, besides |
|---|---|---|
| blocks, content | every name fits its bytes; lengths | signatures |
| journal, feeds, indexes | each leads to the others, no gaps | links lead to earlier blocks; clocks follow from links |
| references | of content | of records |
| index of jobs | | leads to every record of a job and every receipt, and to nothing else |
| rows of the state | | equal, byte for byte, to those that a full replay of the journal gives; the supply identity |

The replay takes each block through `services.acceptance`, as replication did when it came. It ends at the first block
that would be refused today, for a state behind a forbidden record means nothing; the rest is still checked by itself.

Reads only. Not here: repairing (there is nothing to repair a signed history with but another copy of it).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.domain.dag.forks import ForksShown
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation
from icn.kernel.ids import RAW, Cid, Did
from icn.services import acceptance, rows
from icn.services.block_names import Beside, NamedBlock, Walk, named_blocks
from icn.services.findings import FINDINGS_MAX, Checked, Finding, Report
from icn.services.recutting import Kept, blocks_at, contest_of, cut_state
from icn.services.replay import Replay
from icn.services.state import State
from icn.stores import blocks, contents, job_index, keyspace, many, references
from icn.stores.contents import ContentMeta
from icn.stores.kv import Batch, Reader, StoreCorrupt
from icn.stores.schema import owner_of

Value = TypeVar("Value")

PLACES_KEPT_MAX = 4096


def verify(reader: Reader, did: Did | None = None, *, deep: bool, walk: Walk = named_blocks) -> Report:
    """Check everything in `reader`; with `did`, also that it is this node's store. Changes nothing.

    `walk`: reads and names all blocks, here or elsewhere.
    """
    run = _Run(reader, walk)
    if did is not None and owner_of(reader) != did.text:
        run.note("store", f"belongs to {owner_of(reader) or 'nobody'}, not to {did}")
    before, run.findings = run.findings, []
    run.check_journal()  # a walk that goes on elsewhere is on its way meanwhile
    run.check_feeds()
    run.check_index()
    behind, run.findings = run.findings, before
    run.check_names()  # whose findings are told before those
    run.findings = [*run.findings, *behind][:FINDINGS_MAX]
    run.check_changes()
    if deep:
        run.check_signatures()
        run.check_replay()
    checked = Checked(run.block_count, run.content_count)
    return Report(not run.total, deep, checked, tuple(run.findings), run.total)


@dataclass(slots=True)
class _Run:
    reader: Reader
    walk: Walk
    findings: list[Finding] = field(default_factory=list)
    total: int = 0
    block_count: int = 0
    content_count: int = 0
    journal_count: int = 0
    indexed_count: int = 0
    forks: ForksShown = field(default_factory=ForksShown)
    """By the blocks of the journal."""
    changes_count: int = 0
    """Content that stands among the changes where it says that it does."""
    kept: Kept | None = None
    """What is kept to prove forks; None: nothing was asked of it yet."""
    job_entries: int = 0
    job_correlations: dict[bytes, bytes | None] = field(default_factory=dict)

    def note(self, where: str, what: str) -> None:
        self.total += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(where, what))

    # Names

    def check_names(self) -> None:
        """Every block of either kind has the name of its bytes, and something that keeps it."""
        for placed in many.groups(self._content(), many.SMALL_AT_ONCE):
            changes = self.reader.get_many([keyspace.content_change(meta.changed) for _, meta in placed])
            for (cid, meta), named in zip(placed, changes, strict=True):
                self.changes_count += named == cid.data and meta.arrival <= meta.changed

    def _content(self) -> Iterator[tuple[Cid, ContentMeta]]:
        """Content that is kept, on a walk that looks at all blocks."""
        signed, content = Beside(self.reader, keyspace.BLOCK_META), Beside(self.reader, keyspace.CONTENT_META)
        for block in self.walk(self.reader):
            name, cid, wrong, size, fits, _ = block
            self._note_bare(signed.below(name), "a signed block")
            self._note_bare(content.below(name), "content")
            meta, kept = signed.take(name), content.take(name)
            if cid is None:
                self.note(f"block {name.hex()}", f"is stored under what is no name: {wrong}")
                continue
            if not fits:
                self.note(f"block {cid}", "its bytes have another name")
            self.block_count += meta is not None
            if kept is not None:
                how = self._kept_as(cid, kept, size)
                if how is not None:
                    yield cid, how
                if cid.codec != RAW:  # bytes that link to nothing
                    due = Batch()
                    references.put_links(due, cid, self._bytes_of(block))
                    self._check_references(f"content {cid}", due)
            elif meta is None and not self._is_evidence(self._bytes_of(block)):
                self.note(f"block {cid}", "is neither in a feed, nor content, nor evidence of a fork")
        self._note_bare(signed.below(None), "a signed block")
        self._note_bare(content.below(None), "content")

    def _bytes_of(self, block: NamedBlock) -> bytes:
        if block.data is not None:
            return block.data
        return self.reader.get(keyspace.BLOCK + block.name) or b""

    def _note_bare(self, names: Iterator[bytes], what: str) -> None:
        for name in names:
            self.note(f"block {_named(name)}", f"is listed as {what}, and its bytes are missing")

    def _kept_as(self, cid: Cid, kept: bytes, length: int) -> ContentMeta | None:
        try:
            meta = contents.read_content_meta(kept)
        except Invalid as error:
            self.note(f"content {cid}", f"how long it is kept cannot be read: {error}")
            return None
        self.content_count += 1
        if meta.size != length:
            self.note(f"block {cid}", f"has {length} bytes where {meta.size} were stored")
        return meta

    def _check_references(self, where: str, due: Batch) -> None:
        """What is referred to is known as such, or pruning would remove it. An entry too many only keeps something."""
        for key in due.operations:
            if self.reader.get(key) != b"":
                self.note(where, f"is not known to refer to {references.target_of(key)}")

    def _is_evidence(self, data: bytes) -> bool:
        """One of two blocks with one author and sequence: kept to prove that their author forked."""
        try:
            block = parse_block(data)
        except Invalid:
            return False
        if self.kept is None:
            self.kept = Kept(self.reader)
        here = blocks_at(self.reader, block.header.author, block.header.sequence, self.kept)
        return any(cid != block.cid for cid in here) and block.is_genuine()

    # Journal, feeds, index

    def check_journal(self) -> None:
        """Arrival numbers have no gaps, and each leads to a block that leads back."""
        for arrival, cid in blocks.journal(self.reader):
            where = f"journal {arrival}"
            if arrival != self.journal_count:
                self.note(where, f"follows {self.journal_count - 1}: entries are missing")
                self.journal_count = arrival
            self.journal_count += 1
            meta = self._meta(cid)
            if meta is None or meta[0] != arrival:
                self.note(where, f"block {cid} is not listed as having come as this number")
            block = self._block(cid, where)
            if block is None:
                continue
            header = block.header
            if meta is not None and meta[2] != block.place:
                self.note(where, f"block {cid} is listed with a place that is not its own")
            is_aside = self.reader.get(rows.side_row(header.author, header.sequence, cid)) is not None
            if (blocks.cid_at(self.reader, header.author, header.sequence) == cid) == is_aside:
                self.note(where, f"block {cid} is not in its author's feed at {header.sequence}")
            self.forks.take(header.author, header.sequence, acceptance.proofs_of(block))
            names = acceptance.event_names(block)
            self.indexed_count += len(names)
            for name in names:
                if self.reader.get(keyspace.event_type(name) + keyspace.u64(arrival)) != b"":
                    self.note(where, f"the index of events does not know its {name}, or not as such")
        position = self._readable("row position", rows.load_position)
        if position is not None and (position.arrival, position.block_count) != (
            self.journal_count - 1,
            self.journal_count,
        ):
            self.note("journal", f"the state is as of {position.arrival}, the journal goes to {self.journal_count - 1}")

    def check_feeds(self) -> None:
        """Sequences have no gaps, and feeds and journal hold the same blocks."""
        expected: dict[bytes, int] = {}
        total = 0
        for key, value in self.reader.scan(keyspace.FEED):
            author, sequence = key[1:33], int.from_bytes(key[33:], "big")
            total += 1
            if sequence != expected.get(author, 0):
                missing = f"{expected.get(author, 0)} to {sequence - 1}"
                self.note(f"feed of {Did.from_public_key(author)}", f"blocks {missing} are missing")
            expected[author] = sequence + 1
            if self._meta(Cid(value)) is None:
                self.note(f"feed of {Did.from_public_key(author)}", f"block {sequence} is not in the journal")
        total += sum(1 for _ in self.reader.scan(rows.SIDES.prefix))
        if total != self.journal_count:
            self.note("feeds", f"hold {total} blocks, the journal {self.journal_count}")
        listed = sum(1 for _ in self.reader.scan(keyspace.BLOCK_META))
        if listed != self.journal_count:
            self.note("blocks", f"{listed} are listed as signed, the journal has {self.journal_count}")

    def check_index(self) -> None:
        """Nothing is in the index that is not in the journal."""
        total = sum(1 for _ in self.reader.scan(keyspace.EVENT_TYPE))
        if total != self.indexed_count:
            self.note("index of events", f"has {total} entries, the journal gives {self.indexed_count}")

    def check_changes(self) -> None:
        """Every content block stands once among the changes, under its newest one.

        Each was looked up with its bytes. Where all stood right and there are no other changes, nothing is wrong.
        """
        last = contents.next_change(self.reader.get) - 1
        rows, newest = 0, -1
        for number, _ in contents.changes(self.reader):
            rows, newest = rows + 1, number
        if rows == self.changes_count == self.content_count and newest <= last:
            return
        due = 0
        for number, cid in contents.changes(self.reader):
            try:
                meta = contents.get_content_meta(self.reader, cid)
            except Invalid:
                continue  # noted under its name
            due += meta is not None and meta.changed == number
            if meta is None or meta.changed != number:
                self.note(f"change {number}", f"names content {cid}, which did not last change as this number")
            elif not meta.arrival <= number <= last:
                self.note(f"change {number}", f"is out of order: {cid} came as {meta.arrival}, numbers go to {last}")
        listed = sum(1 for _ in self.reader.scan(keyspace.CONTENT_META))
        if listed != due:
            self.note("changes of content", f"tell of {due} blocks, {listed} are kept")

    # Deep

    def check_signatures(self) -> None:
        """Every block is its author's."""
        for arrival, cid in blocks.journal(self.reader):
            block = self._block(cid, None)
            if block is not None and not block.is_genuine():
                self.note(f"journal {arrival}", f"block {cid} is not signed by its author {block.header.author}")

    def check_replay(self) -> None:
        """The journal, replayed, gives the rows."""
        genesis = next((cid for _, cid in blocks.journal(self.reader)), None)  # nothing is accepted before it
        try:
            proof = _Proof(self.reader, genesis, self.forks.found)
        except (StoreCorrupt, Invalid, InvariantBroken) as error:
            self.note("forks", str(error))
            return
        stopped = False
        for arrival, cid in blocks.journal(self.reader):
            block = self._block(cid, None)
            if block is None:
                stopped = True  # already noted
                continue
            try:
                clock = proof.clock(block, arrival)
            except (PeerViolation, InvariantBroken, Invalid) as error:
                self.note(f"journal {arrival}", f"block {cid}: {error}")
                stopped = True
                continue
            meta = self._meta(cid)
            if meta is not None and meta[1] != clock:
                self.note(f"journal {arrival}", f"block {cid}: its stored clock is not that of its links")
            if not stopped:
                stopped = not self._replay_one(proof.replay, block, clock, arrival)
        if stopped:
            self.note("rows", "were not compared: the replay could not be finished")
            return
        self._check_job_index()
        if not proof.replay.state.ledger.supply.is_balanced:
            self.note("ledger", "mana was created or lost outside a named record")
        for where, what in _differences(self.reader, proof.replay.rows()):
            self.note(where, what)

    def _replay_one(self, replay: Replay, block: Block, clock: Clock, arrival: int) -> bool:
        try:
            records = replay.take(block, clock, arrival)
        except (PeerViolation, EventRefused, InvariantBroken) as error:
            self.note(f"journal {arrival}", f"block {block.cid} of {block.header.author} is against the rules: {error}")
            return False
        due = Batch()
        references.put_records(due, records)
        self._check_references(f"journal {arrival}", due)
        told = Batch()
        job_index.put_records(told, arrival, records)
        for key, value in told.operations.items():
            if key.startswith(keyspace.JOB_CORRELATION):
                self.job_correlations[key] = value  # the newest counts
                continue
            self.job_entries += 1
            if self.reader.get(key) != value:
                self.note(f"journal {arrival}", f"the index of jobs does not know its {key.hex()}, or not as such")
        return True

    def _check_job_index(self) -> None:
        """Nothing is in the index of jobs that the journal does not tell."""
        entries = sum(1 for prefix in (keyspace.JOB_EVENT, keyspace.RECEIPT) for _ in self.reader.scan(prefix))
        if entries != self.job_entries:
            self.note("index of jobs", f"has {entries} entries, the journal gives {self.job_entries}")
        if dict(self.reader.scan(keyspace.JOB_CORRELATION)) != self.job_correlations:
            self.note("index of jobs", "names other requests as those that opened jobs than the journal does")

    # Reading

    def _readable(self, where: str, read: Callable[[Reader], Value]) -> Value | None:
        try:
            return read(self.reader)
        except Invalid as error:
            self.note(where, f"cannot be read: {error}")
            return None

    def _meta(self, cid: Cid) -> tuple[int, Clock, Place] | None:
        try:
            meta = blocks.get_meta(self.reader, cid)
        except Invalid:
            return None
        return None if meta is None else (meta.arrival, blocks.clock_of_entries(meta.clock), meta.place)

    def _block(self, cid: Cid, where: str | None) -> Block | None:
        """The block, read; None, noted under `where`, when it cannot be."""
        data = blocks.get_bytes(self.reader, cid)
        if data is None:
            if where is not None:
                self.note(where, f"block {cid} is missing")
            return None
        try:
            return parse_block(data)
        except Invalid as error:
            if where is not None:
                self.note(where, f"block {cid} is not a block: {error}")
            return None


class _Proof:
    """A replay that believes nothing but the blocks: not even which clocks the store keeps beside them."""

    def __init__(self, reader: Reader, genesis: Cid | None, cuts: dict[Did, int]) -> None:
        """Raises `StoreCorrupt` where it cannot be told who forked."""
        self._reader = reader
        self._places: dict[Cid, Place] = {}
        self._clocks: dict[tuple[Did, int], Clock] = {}
        self._side_clocks: dict[Cid, Clock] = {}
        contest = contest_of(reader, cuts)
        state, kept = cut_state(contest) if contest.cuts else (State(), frozenset())
        self.replay = Replay(state, genesis, self._clock_of, kept)

    def clock(self, block: Block, arrival: int) -> dict[Did, int]:
        """What the block's links make its clock. Raises `PeerViolation` for links that cannot be."""

        def ancestor_of(cid: Cid) -> tuple[Place, Clock]:
            place = self._places.get(cid)
            if place is None:
                place = self._earlier(cid, arrival)
            aside = self._side_clocks.get(cid)
            return place, self._clock_of(place.author, place.sequence) if aside is None else aside

        is_side = self.replay.is_side(block)
        is_branch = is_side and self.replay.state.is_branch(block.header.author, block.header.sequence)
        clock = acceptance.clock_from_links(block, ancestor_of, is_branch=is_branch)
        self._places[block.cid] = block.place
        if len(self._places) > PLACES_KEPT_MAX:
            del self._places[next(iter(self._places))]
        if is_side:
            self._side_clocks[block.cid] = clock
        if not is_branch:
            self._clocks[block.header.author, block.header.sequence] = clock
        return clock

    def _clock_of(self, author: Did, sequence: int) -> Clock:
        return self._clocks.get((author, sequence), {})

    def _earlier(self, cid: Cid, arrival: int) -> Place:
        meta = blocks.get_meta(self._reader, cid)
        data = blocks.get_bytes(self._reader, cid)
        if meta is None or data is None or meta.arrival >= arrival:
            raise PeerViolation(f"it names {cid}, which did not come before it")
        return parse_block(data).place


def _differences(reader: Reader, replayed: Batch) -> Iterator[tuple[str, str]]:
    """Rows that are not what the replay gives. Rows of an empty state are never written, so none may be stored."""
    expected = {
        key: value
        for key, value in replayed.operations.items()
        if value is not None and key.startswith(keyspace.PROJECTION)
    }
    for key, value in reader.scan(keyspace.PROJECTION):
        if keyspace.is_local(key):
            continue
        due = expected.pop(key, None)
        if due is None:
            yield _row(key), "is stored, and the journal does not give it"
        elif due != value:
            yield _row(key), "is not what the journal gives"
    for key in expected:
        yield _row(key), "is missing: the journal gives it"


def _row(key: bytes) -> str:
    table, _, rest = key[1:].partition(b"\0")
    return f"row {table.decode(errors='replace')} {rest.hex()}"


def _named(data: bytes) -> str:
    try:
        return str(Cid.from_bytes(data))
    except Invalid:
        return data.hex()
