"""One unit of work: what the inputs of one batch decide, until it is committed whole.

Records are checked as other nodes will check them, applied to the live state at once, so that the next input of the
batch is decided on top of them, and gathered into the node's next block. Nothing leaves before the commit: effects and
answers are collected here. When the commit fails, the live state is ahead of the disk and the engine loads it anew.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from icn.domain.context import Context, EventRefused
from icn.domain.dag.block import BLOCK_OVERHEAD_BYTES_MAX, FORMAT_VERSION, Block, Header, Place, sign_encoded
from icn.domain.dag.feeds import Clock, merged_clock
from icn.domain.federation.events import FederationFounded
from icn.domain.federation.state import name_genesis
from icn.domain.mesh.events import JobSubmitted
from icn.domain.records import Envelope, Event, Record, encode_record
from icn.kernel import limits
from icn.kernel.encoding import encode
from icn.kernel.errors import InvariantBroken, Kind, require
from icn.kernel.ids import CID_BYTES, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.kernel.making import maker
from icn.kernel.signing import Signer
from icn.protocol.codec import encode_message
from icn.protocol.messages import Message
from icn.services import rows
from icn.services.acceptance import keep
from icn.services.ancestry import BlockAncestry, stored_clock
from icn.services.answers import Answer, Done, Refused, Reply
from icn.services.effects import Committed, Effect, RunJob, Send
from icn.services.inputs import Request
from icn.services.state import Pairing, State, apply_event, check_event
from icn.stores import blocks, keyspace
from icn.stores.job_index import correlation_of, job_of
from icn.stores.kv import Batch, Reader
from icn.stores.outbox import Outbox
from icn.stores.replies import Replies, StoredReply

_LINK_BYTES = CID_BYTES + 8
_RECORD_SPACE = limits.BLOCK_BYTES_MAX - BLOCK_OVERHEAD_BYTES_MAX - limits.PARENTS_MAX * _LINK_BYTES

NODE_ITSELF = Envelope(None, None, "", "", None)
"""The envelope of what the node does of its own accord."""


@dataclass(slots=True)
class _Pending:
    """An answer that waits for the commit, and for the CID of the block it is in."""

    request: Request
    answer: Answer
    block_index: int | None


@dataclass(slots=True)
class UnitOfWork:
    """See the module's docstring. Made by the engine, one per batch."""

    state: State
    store: Reader
    signer: Signer
    outbox: Outbox
    replies: Replies
    now: Instant
    """The time of every record of this batch: not before any block this one will build on."""
    wall: Instant
    """What the clock says; time limits are measured by it."""
    batch: Batch = field(default_factory=Batch)
    effects: list[Effect] = field(default_factory=list)
    starting: dict[tuple[JobId, int], RunJob] = field(default_factory=dict)
    """Those of `effects` that begin an execution which this node has accepted, by job and attempt."""
    local: deque[Message] = field(default_factory=deque)
    """Messages to this node itself; they are taken in the same batch."""
    accepted: list[tuple[Block, Did | None]] = field(default_factory=list)
    """Blocks that are new in this batch, with the peer that sent them (None: our own), for announcing."""
    may_author: bool = True
    """False while the node is held (`services.authorship`), and once it has left: nothing is recorded or signed."""
    violations: list[tuple[Did, str]] = field(default_factory=list)
    """Peers that broke the protocol, and how."""
    _records: list[tuple[Record, bytes]] = field(default_factory=list)
    _record_bytes: int = 0
    _pairing: Pairing = field(default_factory=Pairing)
    _pending: list[_Pending] = field(default_factory=list)
    _by_key: dict[tuple[Did, str], _Pending] = field(default_factory=dict)
    _sealed: list[Cid] = field(default_factory=list)
    _opened: dict[JobId, str] = field(default_factory=dict)
    """Jobs opened in this batch, with the correlation id of the request."""
    _clocks: dict[tuple[Did, int], Clock] = field(default_factory=dict)
    _context: Context | None = None
    _context_at: int = -1
    """The block count the cached context belongs to."""

    did: Did = field(init=False)
    """This node."""

    def __post_init__(self) -> None:
        self.did = self.signer.did

    def get(self, key: bytes) -> bytes | None:
        """A value as it will be after the commit."""
        if key in self.batch.operations:
            return self.batch.operations[key]
        return self.store.get(key)

    def clock_of(self, author: Did, sequence: int) -> Clock:
        """The clock of a block that is stored or comes with this batch."""
        return _clock_of(self.state, self.store, self._clocks, author, sequence)

    def has_block(self, cid: Cid) -> bool:
        """Whether a signed block is in its feed here, or comes with this batch."""
        return cid in self.state.feeds.recent or self.get(keyspace.block_meta(cid)) is not None

    def context(self) -> Context:
        """The context of this node's next record: everything known is in its ancestry."""
        feeds = self.state.feeds
        if self._context is None or self._context_at != feeds.block_count:
            sequence = feeds.next_sequence(self.did)
            clock = merged_clock(self.did, sequence, feeds.clocks_behind(self.did))
            self._context = self.context_of(self.did, sequence, self.now, clock)
            self._context_at = feeds.block_count
        return self._context

    def context_of(self, author: Did, sequence: int, time: Instant, clock: Clock) -> Context:
        """The context of the block (author, sequence) with this clock."""
        state, store, clocks = self.state, self.store, self._clocks

        def clock_of(who: Did, number: int) -> Clock:
            # Without this unit of work, which keeps a context: nobody else would ever let go of either.
            return clock if (who, number) == (author, sequence) else _clock_of(state, store, clocks, who, number)

        return _context(author, sequence, time, BlockAncestry(clock, self.state.federation, clock_of))

    def record(self, events: Sequence[Event], envelope: Envelope = NODE_ITSELF) -> None:
        """Put `events` into this node's next block, together, and apply them.

        What the node does of its own accord about a job belongs to the request that opened the job.
        """
        require(self.may_author, "a node that is held records nothing")
        if envelope is NODE_ITSELF:
            envelope = self._about_job(events)
        records = [Record(envelope, event) for event in events]
        written = [(record, encode_record(record)) for record in records]
        size = sum(len(encoded) for _, encoded in written)
        require(size <= _RECORD_SPACE, "what one command records fits a block")
        full = len(self._records) + len(written) > limits.RECORDS_PER_BLOCK_MAX
        if full or self._record_bytes + size > _RECORD_SPACE:
            self.seal()
        context = self.context()
        for event in events:
            self.apply(event, context, self._pairing)
            if isinstance(event, JobSubmitted):
                self._opened[event.job] = envelope.correlation
        self._records += written
        self._record_bytes += size

    def _about_job(self, events: Sequence[Event]) -> Envelope:
        """The node's own envelope, with the correlation id of the job that `events` tell of, on any node."""
        for event in events:
            job = job_of(event)
            if job is not None:
                correlation = self._opened.get(job) or self._correlation_of(job)
                return _envelope(None, None, "", correlation, None) if correlation else NODE_ITSELF
        return NODE_ITSELF

    def _correlation_of(self, job: JobId) -> str:
        known = self.state.correlations.get(job) or ""
        if not known and (known := correlation_of(self.get, job)):
            self.state.correlations.put(job, known)  # it never changes
        return known

    def apply(self, event: Event, context: Context, pairing: Pairing) -> None:
        """Check one of our own records as others will, and apply it."""
        try:
            check_event(self.state, event, context, pairing)
        except EventRefused as error:
            raise InvariantBroken(f"other nodes would refuse our own {type(event).__name__}: {error}") from error
        apply_event(self.state, event, context)

    def seal(self, *, acknowledge: bool = False) -> None:
        """Make a block of the records gathered; of none, when it is to acknowledge what was seen."""
        if not self._records and not acknowledge:
            return
        # What was gathered was recorded while the node might: a node that leaves records that last.
        require(self.may_author or bool(self._records), "a node that is held signs no block")
        require(self._pairing.is_complete, "the records of a block owe each other nothing")
        feeds = self.state.feeds
        head = feeds.heads.get(self.did)
        federation = self.state.federation.federation
        header = Header(
            version=FORMAT_VERSION,
            federation=federation.id if federation is not None else None,
            author=self.did,
            sequence=feeds.next_sequence(self.did),
            previous=head.cid if head is not None else None,
            parents=feeds.parents_for(self.did),
            time=self.now,
        )
        block = sign_encoded(header, [encoded for _, encoded in self._records], self.signer)
        records = [record for record, _ in self._records]
        if records and isinstance(records[0].event, FederationFounded):
            name_genesis(self.state.federation, block.cid)
        clock = merged_clock(self.did, header.sequence, feeds.clocks_behind(self.did))
        self.admit(block, clock, records, source=None)
        self._sealed.append(block.cid)
        self._records, self._record_bytes, self._pairing = [], 0, Pairing()

    def ancestor(self, cid: Cid) -> tuple[Place, Clock]:
        """Where a block that is here stands, and what is behind it."""
        place = self.state.feeds.recent.get(cid)
        if place is not None:
            return place, self.clock_of(place.author, place.sequence)
        meta = blocks.read_meta(self.get(keyspace.block_meta(cid)) or b"")
        return meta.place, blocks.clock_of_entries(meta.clock)

    def admit(
        self,
        block: Block,
        clock: Clock,
        records: list[Record],
        *,
        source: Did | None,
        is_side: bool = False,
        is_branch: bool = False,
    ) -> None:
        """Take a block whose records are applied into feeds, store and journal (`acceptance.keep`)."""
        state = self.state
        header = block.header
        keep(state, self.batch, block, clock, records, is_side=is_side, is_branch=is_branch)
        if not is_branch:
            self._clocks[header.author, header.sequence] = clock
        if (is_side or state.cuts) and self.get(keyspace.evidence(block.cid)) is not None:
            self.batch.delete(keyspace.evidence(block.cid))  # it is kept in the journal now
        self.accepted.append((block, source))
        for index, record in enumerate(records):
            if isinstance(record.event, JobSubmitted) and record.envelope.correlation:
                state.correlations.put(record.event.job, record.envelope.correlation)
            self.effects.append(_committed(state.last_arrival, index, block.cid, header.author, header.time, record))

    def send(self, peer: Did, message: Message) -> None:
        """To a peer, after the commit; to this node itself, within this batch."""
        if peer == self.did:
            self.local.append(message)
        else:
            self.effects.append(_send(peer, message))

    def post(self, peer: Did, number: int, message: Message) -> None:
        """To a peer through the outbox, under a number reserved before."""
        if peer == self.did:
            self.local.append(message)
            return
        if self.state.federation.has_ended(peer):
            return  # it has left: nobody would ever acknowledge it
        data = encode_message(message)
        self.outbox.add(self.batch, peer, number, data)
        self.effects.append(Send(peer, message, data))

    def answer(self, request: Request, answer: Answer, *, recorded: bool) -> None:
        """Answer after the commit. `recorded`: the answer's records are in the block being gathered."""
        index = len(self._sealed) if recorded and self._records else None
        pending = _Pending(request, answer, index)
        self._pending.append(pending)
        if request.key:
            self._by_key[request.principal, request.key] = pending

    def answer_given(self, request: Request) -> tuple[bytes, Answer] | None:
        """Digest and answer of an earlier request of this batch with the same key."""
        pending = self._by_key.get((request.principal, request.key))
        return None if pending is None else (pending.request.digest, pending.answer)

    def answer_again(self, request: Request, answer: Answer) -> None:
        """Give an answer that is stored, or not to be stored: block and all, as to the first of this batch."""
        first = self._by_key.get((request.principal, request.key))
        index = first.block_index if first is not None and first.answer is answer else None
        self._pending.append(_Pending(replace(request, key=""), answer, index))

    def finish(self) -> list[Reply]:
        """Seal, write rows and stored answers into the batch; the replies to give once it is committed."""
        self.seal()
        require(self.state.ledger.supply.is_balanced, "mana is neither created nor lost outside a named record")
        if self.accepted:
            rows.forget_ended(self.state, self.batch, self.store)
            rows.save(self.state, self.batch)
        given: list[Reply] = []
        for pending in self._pending:
            answer = pending.answer
            if isinstance(answer, Done) and pending.block_index is not None:
                answer = Done(answer.body | {"block": str(self._sealed[pending.block_index])})
            if pending.request.key and not _may_change(answer):
                self._keep(pending.request, answer)
            given.append(Reply(pending.request.token, answer))
        return given

    def _keep(self, request: Request, answer: Answer) -> None:
        if isinstance(answer, Done):
            stored = StoredReply(request.digest, self.now, "", encode(answer.body))
        else:
            body = {"code": answer.code, "message": answer.message, "fields": dict(answer.fields)}
            stored = StoredReply(request.digest, self.now, answer.kind.value, encode(body))
        self.replies.add(self.batch, str(request.principal), request.key, stored)


_committed = maker(Committed)
_context = maker(Context)
_send = maker(Send)
_envelope = maker(Envelope)


def _clock_of(
    state: State, store: Reader, clocks: Mapping[tuple[Did, int], Clock], author: Did, sequence: int
) -> Clock:
    """`UnitOfWork.clock_of`. `clocks`: of blocks that come with the batch."""
    place = (author, sequence)
    pending = state.feeds.recent_clocks.get(place) or clocks.get(place)
    return pending if pending is not None else stored_clock(store, state.feeds, author, sequence)


def _may_change(answer: Answer) -> bool:
    """Refusals of load and authentication are not stored: the same request may succeed in a moment."""
    return isinstance(answer, Refused) and answer.kind in {Kind.TOO_MANY, Kind.UNAUTHENTICATED, Kind.UNAVAILABLE}
