"""Blocks in and out: greet, compare, ask for what is missing, verify, apply, pass on (semantics §2).

```
 PeerUp ──> Hello ──> (same federation?) ──> counts compared ──> Want ──> Blocks … until nothing is missing
 a commit ─> Announce to every peer that has not sent the block itself; who lacks its ancestors asks with Want
 now and then ─> Heads, which repairs whatever was lost on the way
```

One path for every block, wherever it comes from: size and form, name, signature, membership, sequence and previous,
parents (else it waits in a bounded quarantine and the sender is asked), time, then every record against the rules. A
block whose records its author was not entitled to is refused whole and remembered as such.
"""

from collections import deque
from dataclasses import dataclass, field

from icn.domain.context import EventRefused
from icn.domain.dag.block import Block, Place, parse_block
from icn.domain.dag.feeds import Clock
from icn.kernel import limits
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import DAG_CBOR, Cid, Did
from icn.kernel.instant import Instant, later
from icn.protocol.messages import Announce, Blocks, FeedMessage, Heads, Hello, Want
from icn.services import acceptance
from icn.services.authorship import Authorship
from icn.services.damage import Damage
from icn.services.peers import Peers, PeerView, clock_of_counts, feed_counts
from icn.services.settings import NodeTerms
from icn.services.work import UnitOfWork
from icn.stores import blocks, keyspace

REFUSED_REMEMBERED_MAX = 4096
WANTS_PER_BATCH_MAX = 8
"""Answers to `Want` in one batch. An answer is large and its question small, so the others wait for the next batch."""
EQUIVOCATIONS_PER_AUTHOR_MAX = 4
"""Proofs kept against one author; the first would do."""


class RecordsRefused(PeerViolation):
    """A block with a record against the rules was partly applied: the batch must be done again without it."""

    def __init__(self, cid: Cid, author: Did, rule: str) -> None:
        self.cid = cid
        self.author = author
        super().__init__(f"block {cid} of {author} is against the rules: {rule}")


@dataclass(slots=True)
class _Waiting:
    block: Block
    sender: Did
    missing: Cid | None
    """None: it waits for its own time."""


@dataclass(frozen=True, slots=True)
class _Mark:
    waiting: dict[Cid, _Waiting]
    size: int
    views: dict[Did, tuple[int, Instant | None]]
    """By peer: how many of its blocks wait, and since when an answer of it is awaited."""


@dataclass(slots=True)
class Quarantine:
    """Blocks whose ancestors are not here yet, or whose time has not come. Bounded in number, bytes and per peer."""

    waiting: dict[Cid, _Waiting] = field(default_factory=dict)
    size: int = 0

    def add(self, entry: _Waiting, view: PeerView) -> bool:
        """Whether there was room."""
        if (
            entry.block.cid in self.waiting
            or len(self.waiting) >= limits.QUARANTINE_BLOCKS_MAX
            or self.size + len(entry.block.data) > limits.QUARANTINE_BYTES_MAX
            or view.quarantined >= limits.QUARANTINE_PER_PEER_MAX
        ):
            return False
        self.waiting[entry.block.cid] = entry
        self.size += len(entry.block.data)
        view.quarantined += 1
        return True

    def release(self, arrived: Cid | None, wall: Instant, peers: Peers) -> list[_Waiting]:
        """Take out what waited for the block `arrived`, or (None) for a time that has come."""
        ready = [
            entry
            for entry in self.waiting.values()
            if (entry.missing == arrived if arrived is not None else _time_has_come(entry, wall))
        ]
        for entry in ready:
            del self.waiting[entry.block.cid]
            self.size -= len(entry.block.data)
            view = peers.views.get(entry.sender)
            if view is not None:
                view.quarantined -= 1
        return ready

    def drop_sender(self, sender: Did) -> None:
        """Forget what a peer that left had sent; whoever has it will send it again."""
        for cid in [cid for cid, entry in self.waiting.items() if entry.sender == sender]:
            self.size -= len(self.waiting.pop(cid).block.data)


def _time_has_come(entry: _Waiting, wall: Instant) -> bool:
    return entry.missing is None and entry.block.header.time <= wall + limits.CLOCK_AHEAD_MS_MAX


@dataclass(slots=True)
class ReplicationService:
    """Owns the quarantine and what is under way with peers."""

    terms: NodeTerms
    peers: Peers
    authorship: Authorship
    quarantine: Quarantine = field(default_factory=Quarantine)
    refused: dict[Cid, None] = field(default_factory=dict)
    """Blocks found to be against the rules, newest last."""
    damage: Damage = field(default_factory=Damage)
    """The content service's, where there is one: signed blocks can be damaged as well."""
    target: Cid | None = None
    """The federation this node is joining, while it has no genesis."""
    is_pinned: bool = False
    """The target is where a head mark says that this node has a feed: no other federation will do."""
    wanted: dict[Did, Clock] = field(default_factory=dict)
    """Who waits for an answer to `Want`, and what it has. The newest question of a peer is the one that counts."""
    news_since: Instant | None = None
    """When news came that we have not acknowledged."""
    relay_at: Instant | None = None
    """When peers are to be told of blocks that came from others."""
    heads_sent_at: Instant = Instant(0)
    equivocations: dict[tuple[Did, int], tuple[Cid, Cid]] = field(default_factory=dict)
    """Seen: (author, sequence) to the two blocks. Both are kept as evidence."""

    # Conversation

    def greet(self, work: UnitOfWork, peer: Did) -> None:
        """A peer is connected: say who we are."""
        self.peers.views.pop(peer, None)
        self.authorship.part(peer)
        self.peers.views[peer] = PeerView(peer)
        work.send(peer, self._hello(work))

    def greet_all_again(self, work: UnitOfWork) -> None:
        """This node belongs to a federation now: peers were told otherwise."""
        for peer, view in self.peers.views.items():
            if view.introduced and view.federation is None:
                view.greeted = True  # it asks to be told of a federation, and here is one
            work.send(peer, self._hello(work))

    def part(self, peer: Did) -> None:
        """A peer is gone."""
        self.peers.views.pop(peer, None)
        self.authorship.part(peer)
        self.wanted.pop(peer, None)
        self.quarantine.drop_sender(peer)

    def receive(self, work: UnitOfWork, peer: Did, message: FeedMessage) -> None:
        """A feed message of a peer."""
        view = self.peers.views.get(peer)
        if view is None:
            return  # it left while its message was in the queue
        match message:
            case Hello():
                self._take_hello(work, view, message)
                return
            case _ if not view.introduced:
                return  # said by a peer that had not yet noticed that the connection is another one; its Hello follows
            case _ if not view.greeted:
                return  # it joined a federation since; its next Hello is on the way
            case Heads(counts, root):
                self._note(view, clock_of_counts(counts), root)
                self._ask_if_behind(work, view)
            case Want(counts):
                self.wanted[peer] = clock_of_counts(counts)
            case Blocks(encoded, more):
                progress = self._take_blocks(work, view, encoded)
                if not progress and self.quarantine.waiting:
                    return  # what came waits for its time or for others' blocks; asked at once, it would come again
                view.wanted_at = None
                if more and progress:
                    self._want(work, view)
                else:
                    self._ask_if_behind(work, view, again=progress)
            case Announce(encoded):
                self._take_blocks(work, view, encoded)

    def answer_wants(self, work: UnitOfWork) -> None:
        """Send to some who asked what they lack, the longest waiting first."""
        for peer in list(self.wanted)[:WANTS_PER_BATCH_MAX]:
            have = self.wanted.pop(peer)
            view = self.peers.views.get(peer)
            if view is not None:
                self._answer_want(work, view, have)

    def announce(self, work: UnitOfWork) -> None:
        """Our own new blocks go to every peer at once.

        Of others' blocks we only tell, a little later, who may lack them: most peers have them from their author by
        then, and say so by building on them.
        """
        own = [block for block, source in work.accepted if source is None]
        if len(own) < len(work.accepted) and self.relay_at is None:
            self.relay_at = later(work.wall, self.terms.replication.relay_after)
        for view in self.peers.greeted() if own else ():
            for part in _parts(own):
                work.send(view.did, Announce(tuple(block.data for block in part)))
            view.counts[work.did] = work.state.feeds.next_sequence(work.did)

    def _relay(self, work: UnitOfWork) -> None:
        """Tell those who, for all we know, lack something."""
        feeds = work.state.feeds
        heads = Heads(feed_counts(feeds.clock()), feeds.root())
        for view in self.peers.greeted():
            if any(view.counts.get(author, 0) <= head.sequence for author, head in feeds.heads.items()):
                work.send(view.did, heads)
        self.relay_at = None

    def release(self, work: UnitOfWork) -> None:
        """Take blocks whose time has come."""
        self._accept_all(work, self.quarantine.release(None, work.wall, self.peers))

    def mark(self) -> "_Mark":
        """What a batch may have to go back to."""
        views = {did: (view.quarantined, view.wanted_at) for did, view in self.peers.views.items()}
        return _Mark(dict(self.quarantine.waiting), self.quarantine.size, views)

    def rewind(self, mark: "_Mark") -> None:
        """As if the blocks since `mark` had not been taken."""
        self.quarantine.waiting, self.quarantine.size = dict(mark.waiting), mark.size
        for did, (quarantined, wanted_at) in mark.views.items():
            self.peers.views[did].quarantined, self.peers.views[did].wanted_at = quarantined, wanted_at

    def tick(self, work: UnitOfWork) -> bool:
        """Anti-entropy and impatience. Whether a round of anti-entropy was due."""
        patience = self.terms.replication.answer_patience
        for view in self.peers.greeted():
            if view.wanted_at is not None and work.wall >= later(view.wanted_at, patience):
                view.wanted_at = None
                self._ask_if_behind(work, view)
        if self.relay_at is not None and work.wall >= self.relay_at:
            self._relay(work)
        if work.wall >= later(self.heads_sent_at, self.terms.replication.anti_entropy):
            self.heads_sent_at = work.wall
            feeds = work.state.feeds
            for view in self.peers.greeted():
                work.send(view.did, Heads(feed_counts(feeds.clock()), feeds.root()))
            return True
        return False

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `tick` or `acknowledge` has something to do."""
        moments: list[Instant] = [wall] if self.wanted else []
        if self.peers.views:
            moments.append(later(self.heads_sent_at, self.terms.replication.anti_entropy))
            moments += [
                later(view.wanted_at, self.terms.replication.answer_patience)
                for view in self.peers.views.values()
                if view.wanted_at is not None
            ]
        if self.relay_at is not None:
            moments.append(self.relay_at)
        if self.news_since is not None:
            moments.append(later(self.news_since, self.terms.replication.acknowledge_after))
        if any(entry.missing is None for entry in self.quarantine.waiting.values()):
            moments.append(later(wall, self.terms.replication.anti_entropy))
        return min(moments, default=None)

    def acknowledge(self, work: UnitOfWork) -> None:
        """Author an empty block when news was seen a while ago and nothing else was to be said (semantics §2)."""
        own = work.state.feeds.heads.get(work.did)
        # Who is not admitted has no say in what is confirmed, and must not be woken for it.
        admitted = work.state.federation.is_admitted(work.did, work.context().ancestry)
        if own is None or not admitted or not self._has_news(work, own.clock):
            self.news_since = None
            return
        if self.news_since is None:
            self.news_since = work.wall
        due = later(self.news_since, self.terms.replication.acknowledge_after)
        if work.wall >= due:
            work.seal(acknowledge=True)
            self.news_since = None

    def in_sync(self, root: str) -> bool | None:
        """Whether every peer last reported this root; None when nobody is there to compare with."""
        views = self.peers.greeted()
        return all(view.root == root for view in views) if views else None

    def _hello(self, work: UnitOfWork) -> Hello:
        federation = work.state.federation.federation
        feeds = work.state.feeds
        return Hello(
            agent=self.terms.agent,
            federation=federation.id if federation is not None else None,
            counts=feed_counts(feeds.clock()),
            root=feeds.root(),
            executes=self.terms.executor.capacity > 0,
        )

    def _take_hello(self, work: UnitOfWork, view: PeerView, hello: Hello) -> None:
        federation = work.state.federation.federation
        ours = federation.id if federation is not None else self.target
        view.introduced = True
        view.agent, view.executes, view.federation = hello.agent[:64], hello.executes, hello.federation
        if federation is None and hello.federation is not None and self._may_follow():
            # The first that is offered, for as long as somebody of it is here: whoever offered a federation that turned
            # out to have no genesis must not keep this node from joining another one for ever.
            others = [other for other in self.peers.views.values() if other.greeted and other is not view]
            if ours is None or not others:
                ours = self.target = hello.federation
        if hello.federation is not None and hello.federation != ours:
            raise PeerViolation(f"it belongs to another federation ({hello.federation})")
        view.greeted = hello.federation is not None or federation is not None
        self._note(view, clock_of_counts(hello.counts), hello.root)
        self._ask_if_behind(work, view)

    def _may_follow(self) -> bool:
        """Whether the federation of a peer may become ours. Of one that is held nobody knows whose it was."""
        return not self.is_pinned and (self.terms.joins or self.authorship.is_held)

    def _note(self, view: PeerView, counts: dict[Did, int], root: str) -> None:
        if view.greeted:
            self.authorship.hear(view.did)
        view.counts = counts
        view.root = root[:64]

    def _ask_if_behind(self, work: UnitOfWork, view: PeerView, *, again: bool = True) -> None:
        feeds = work.state.feeds
        behind = any(count > feeds.next_sequence(author) for author, count in view.counts.items())
        if view.greeted and behind and again and view.wanted_at is None:
            self._want(work, view)

    def _want(self, work: UnitOfWork, view: PeerView) -> None:
        """Ask for everything beyond what is here, what waits in quarantine included: it need not come again."""
        view.wanted_at = work.wall
        have = work.state.feeds.clock()
        held = {(e.block.header.author, e.block.header.sequence) for e in self.quarantine.waiting.values()}
        for author, _ in sorted(held):
            while (author, have.get(author, 0)) in held:
                have[author] = have.get(author, 0) + 1
        work.send(view.did, Want(feed_counts(have)))

    def _answer_want(self, work: UnitOfWork, view: PeerView, have: Clock) -> None:
        """Send what is committed beyond `have`, ancestors first, one answer's worth."""
        both = {**view.counts, **have}
        view.counts = both if len(both) <= limits.CLOCK_ENTRIES_MAX else dict(have)
        found: list[bytes] = []
        size = 0
        for cid in blocks.missing_from(work.store, have, list(work.state.feeds.heads)):
            data = blocks.get_bytes(work.store, cid)
            if data is None or not cid.names(data):
                self.damage.note(work, cid)  # what comes behind it is of no use without it
                break
            if found and (size + len(data) > limits.CATCHUP_BYTES_MAX or len(found) >= limits.CATCHUP_BLOCKS_MAX):
                work.send(view.did, Blocks(tuple(found), more=True))
                return
            found.append(data)
            size += len(data)
        work.send(view.did, Blocks(tuple(found), more=False))

    # Acceptance

    def _take_blocks(self, work: UnitOfWork, view: PeerView, encoded: tuple[bytes, ...]) -> bool:
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

    @staticmethod
    def _note_sender_has(view: PeerView, block: Block) -> None:
        author, count = block.header.author, block.header.sequence + 1
        if author in view.counts or len(view.counts) < limits.CLOCK_ENTRIES_MAX:
            view.counts[author] = max(view.counts.get(author, 0), count)

    def _accept(self, work: UnitOfWork, view: PeerView, block: Block) -> None:
        if self._accept_one(work, view, block):
            self._accept_all(work, self.quarantine.release(block.cid, work.wall, self.peers))

    def _accept_all(self, work: UnitOfWork, released: list[_Waiting]) -> None:
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
            self.quarantine.add(_Waiting(block, view.did, None), view)
            return False
        missing = self._first_missing(work, block)
        if missing is not None:
            # An ancestor will come with the answer to Want; until then the block may wait, if there is room.
            self.quarantine.add(_Waiting(block, view.did, missing), view)
            if view.wanted_at is None:
                self._want(work, view)
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

    @staticmethod
    def _has_news(work: UnitOfWork, own: Clock) -> bool:
        """Whether something other than acknowledgements lies beyond our newest block."""
        return any(own.get(author, 0) < head.news_count for author, head in work.state.feeds.heads.items())


def _parts(fresh: list[Block]) -> list[list[Block]]:
    """`fresh` in messages of bounded size."""
    parts: list[list[Block]] = []
    size = 0
    for block in fresh:
        if not parts or size + len(block.data) > limits.ANNOUNCE_BYTES_MAX or len(parts[-1]) >= 256:
            parts.append([])
            size = 0
        parts[-1].append(block)
        size += len(block.data)
    return parts


def _place_of(work: UnitOfWork, cid: Cid) -> Place:
    """Where a block that is here stands."""
    recent = work.state.feeds.recent.get(cid)
    if recent is not None:
        return recent
    return blocks.read_meta(work.get(keyspace.block_meta(cid)) or b"").place
