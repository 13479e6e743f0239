"""Blocks that come in, from peers and from files: checked, applied, kept, or refused (semantics §2).

One path for every block, wherever it comes from: size and form, name, signature, membership, sequence and previous,
parents (else it waits in a bounded quarantine and the sender is asked), time, then every record against the rules. A
block whose records its author was not entitled to is refused whole and remembered as such.

The single checks are those of `services.acceptance`. Not here: what peers say to each other beside blocks
(`services.replication`), and passing blocks on (`services.announcing`).
"""

from collections import deque
from dataclasses import dataclass, field

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.kernel import limits
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import DAG_CBOR, Cid, Did
from icn.protocol.messages import Want
from icn.services import acceptance
from icn.services.authorship import Authorship
from icn.services.peers import Peers, PeerView, feed_counts
from icn.services.quarantine import Quarantine, Waiting
from icn.services.work import UnitOfWork
from icn.stores import blocks, keyspace

REFUSED_REMEMBERED_MAX = 4096
EQUIVOCATIONS_PER_AUTHOR_MAX = 4
"""Proofs kept against one author; the first would do."""


class RecordsRefused(PeerViolation):
    """A block with a record against the rules was partly applied: the batch must be done again without it."""

    def __init__(self, cid: Cid, author: Did, rule: str) -> None:
        self.cid = cid
        self.author = author
        super().__init__(f"block {cid} of {author} is against the rules: {rule}")


@dataclass(slots=True)
class Arrivals:
    """Owns the quarantine, and what is known to be against the rules."""

    peers: Peers
    authorship: Authorship
    quarantine: Quarantine = field(default_factory=Quarantine)
    refused: dict[Cid, None] = field(default_factory=dict)
    """Blocks found to be against the rules, newest last."""
    target: Cid | None = None
    """The federation this node is joining, while it has no genesis."""
    is_pinned: bool = False
    """The target is where a head mark says that this node has a feed: no other federation will do."""
    equivocations: dict[tuple[Did, int], tuple[Cid, Cid]] = field(default_factory=dict)
    """Seen: (author, sequence) to the two blocks. Both are kept as evidence."""

    def release(self, work: UnitOfWork) -> None:
        """Take blocks whose time has come."""
        self._accept_all(work, self.quarantine.release(None, work.wall, self.peers))

    def take(self, work: UnitOfWork, view: PeerView, encoded: tuple[bytes, ...]) -> bool:
        """Whether any of them was news."""
        before = work.state.feeds.block_count
        for data in encoded:
            cid = Cid.of(data, DAG_CBOR)
            if cid in self.quarantine.waiting or work.has_block(cid):
                continue  # known: not worth parsing
            try:
                block = parse_block(data)
            except Invalid as error:
                raise PeerViolation(f"malformed block: {error}") from error
            if view.quarantined >= limits.QUARANTINE_PER_PEER_MAX and self._first_missing(work, block) is not None:
                break  # no room for it, nor for what follows and builds on it: not worth reading, let alone verifying
            self._note_sender_has(view, block)
            self._accept(work, view, block)
        return work.state.feeds.block_count > before

    def want(self, work: UnitOfWork, view: PeerView) -> None:
        """Ask for everything beyond what is here, what waits in quarantine included: it need not come again."""
        view.wanted_at = work.wall
        have = work.state.feeds.clock()
        held = {(e.block.header.author, e.block.header.sequence) for e in self.quarantine.waiting.values()}
        for author, _ in sorted(held):
            while (author, have.get(author, 0)) in held:
                have[author] = have.get(author, 0) + 1
        work.send(view.did, Want(feed_counts(have)))

    @staticmethod
    def _note_sender_has(view: PeerView, block: Block) -> None:
        author, count = block.header.author, block.header.sequence + 1
        if author in view.counts or len(view.counts) < limits.CLOCK_ENTRIES_MAX:
            view.counts[author] = max(view.counts.get(author, 0), count)

    def _accept(self, work: UnitOfWork, view: PeerView, block: Block) -> None:
        if self._accept_one(work, view, block):
            self._accept_all(work, self.quarantine.release(block.cid, work.wall, self.peers))

    def _accept_all(self, work: UnitOfWork, released: list[Waiting]) -> None:
        """Take blocks that waited. One that is wrong counts against who sent it, not who brought what it waited for."""
        pending = deque(released)  # bounded: by the quarantine it is filled from
        while pending:
            entry = pending.popleft()
            sender = self.peers.views.get(entry.sender)
            if sender is None:
                continue
            try:
                accepted = self._accept_one(work, sender, entry.block)
            except RecordsRefused:
                raise
            except PeerViolation as violation:
                work.violations.append((entry.sender, str(violation)))
                continue
            if accepted:
                pending += self.quarantine.release(entry.block.cid, work.wall, self.peers)

    def _accept_one(self, work: UnitOfWork, view: PeerView, block: Block) -> bool:
        """Whether the block is new and in. Raises `PeerViolation` when it can never be."""
        header, feeds = block.header, work.state.feeds
        expected = feeds.next_sequence(header.author)
        if header.sequence < expected and work.has_block(block.cid):
            return False
        if block.cid in self.refused:
            raise PeerViolation(f"block {block.cid} was refused before")
        federation = work.state.federation.federation
        acceptance.check_federation(block, federation.id if federation is not None else self.target)
        if not block.is_genuine():
            raise PeerViolation("a block is signed by its author")
        if header.sequence < expected:
            self._note_equivocation(work, block)
            return False
        if header.author == work.did:
            self.authorship.see_own(block, view.did)
        if header.time > work.wall + limits.CLOCK_AHEAD_MS_MAX:
            self.quarantine.add(Waiting(block, view.did, None), view)
            return False
        missing = self._first_missing(work, block)
        if missing is not None:
            # An ancestor will come with the answer to Want; until then the block may wait, if there is room.
            self.quarantine.add(Waiting(block, view.did, missing), view)
            if view.wanted_at is None:
                self.want(work, view)
            return False
        acceptance.check_follows(block, feeds)

        clock = acceptance.clock_from_links(block, lambda cid: _place_of(work, cid), work.clock_of)
        self._apply(work, view, block, clock)
        return True

    def take_imported(self, work: UnitOfWork, encoded: tuple[bytes, ...], federation: Cid | None = None) -> list[str]:
        """Take blocks from a file, ancestors first: for each `new`, `known`, or why not. Nothing waits for its parents.

        `federation`: which one this node is to be in by them, where it is in none and seeks no other.

        Raises:
            RecordsRefused: the batch must be done again without a block.
        """
        if federation is not None and work.state.federation.federation is None and not self.is_pinned:
            self.target = federation
        # Nobody to be asked for what is missing, and no room in the quarantine.
        file = PeerView(work.did, wanted_at=work.wall, quarantined=limits.QUARANTINE_PER_PEER_MAX)
        return [self._take_imported(work, file, data) for data in encoded]

    def _take_imported(self, work: UnitOfWork, file: PeerView, data: bytes) -> str:
        cid = Cid.of(data, DAG_CBOR)
        if work.has_block(cid):
            return "known"
        try:
            block = parse_block(data)
            if self._accept_one(work, file, block):
                self._accept_all(work, self.quarantine.release(cid, work.wall, self.peers))
                return "new"
            missing = self._first_missing(work, block)
        except RecordsRefused:
            raise
        except (Invalid, PeerViolation) as error:
            return str(error)
        return "it is dated too far ahead" if missing is None else f"its ancestor {missing} is not here"

    @staticmethod
    def _first_missing(work: UnitOfWork, block: Block) -> Cid | None:
        links = acceptance.links(block.header)
        return next((cid for cid in links if not work.has_block(cid)), None)

    def _apply(self, work: UnitOfWork, view: PeerView, block: Block, clock: Clock) -> None:
        header, state = block.header, work.state
        try:
            records = acceptance.records_of(block, state.federation)
        except PeerViolation:
            self.refuse(block.cid)
            raise
        context = work.context_of(header.author, header.sequence, header.time, clock)
        try:
            acceptance.apply_records(state, block, records, context)
        except EventRefused as error:
            self.refuse(block.cid)
            raise RecordsRefused(block.cid, header.author, str(error)) from error
        work.now = max(work.now, header.time)
        work.admit(block, clock, records, source=view.did)
        if header.author == work.did:
            self.authorship.take_back(work, block, records)
        author = self.peers.views.get(header.author)
        if author is not None:  # what it built on, it has
            for who, count in clock.items():
                author.counts[who] = max(count, author.counts.get(who, 0))

    def refuse(self, cid: Cid) -> None:
        """Remember that a block is against the rules."""
        self.refused[cid] = None
        while len(self.refused) > REFUSED_REMEMBERED_MAX:
            del self.refused[next(iter(self.refused))]

    def _note_equivocation(self, work: UnitOfWork, block: Block) -> None:
        header = block.header
        found = work.get(keyspace.feed_entry(header.author, header.sequence))
        ours = None if found is None else Cid(found)
        if ours is None or ours == block.cid:
            return
        key = (header.author, header.sequence)
        known = sum(author == header.author for author, _ in self.equivocations)
        room = known < EQUIVOCATIONS_PER_AUTHOR_MAX and len(self.equivocations) < REFUSED_REMEMBERED_MAX
        if key not in self.equivocations and room:
            self.equivocations[key] = (ours, block.cid)
        if self.equivocations.get(key) == (ours, block.cid):
            blocks.put_evidence(work.batch, block)
        raise PeerViolation(f"{header.author} signed two blocks with sequence {header.sequence}")


def _place_of(work: UnitOfWork, cid: Cid) -> Place:
    """Where a block that is here stands."""
    recent = work.state.feeds.recent.get(cid)
    if recent is not None:
        return recent
    return blocks.read_meta(work.get(keyspace.block_meta(cid)) or b"").place
