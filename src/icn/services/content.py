"""Content blocks: stored here, served to peers, fetched from them by name and believed only when the name fits.

Our own disk is believed no more than a peer: bytes that leave the store are checked against their name, and damaged
ones are never given to anybody (services.mending gets better ones).

A fetch asks one source at a time, chunk by chunk, and goes on to the next source when one does not have it, sends what
cannot be, falls silent or leaves; the next goes on where the one before stopped, and so does a later fetch. Whoever
waits is told once. How much is in memory is bounded, however many fetches there are.
"""

from dataclasses import dataclass, field

from icn.kernel import limits
from icn.kernel.errors import Invalid, Kind, PeerViolation, Refusal
from icn.kernel.ids import DAG_CBOR, Cid, Did
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import Chunk, ContentMessage, Fetch, NotHere
from icn.services.damage import Damage
from icn.services.fetching import Fetching, KeptParts, Part, Waiter
from icn.services.work import UnitOfWork
from icn.stores import contents, keyspace, references
from icn.stores.archive_parts import ContentLine
from icn.stores.contents import ContentMeta

SERVED_PER_BATCH_BYTES = 8 * limits.MIB
"""Whole chunks for this much in one batch; who asks for more gets short ones, and goes on asking from there."""
CHUNK_BYTES_SHORT = 16 * limits.KIB
CONTENT_GRACE = Duration(86_400_000)
"""Content that was stored without a lifetime, and that nobody refers to, is kept for this long."""


class ContentNotFound(Refusal):
    """Neither here nor at a connected peer."""

    code = "dag.not_found"
    kind = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"{cid} is neither here nor at a connected peer")


class ContentDamaged(Refusal):
    """Here, but not as it was stored."""

    code = "dag.damaged"
    kind = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"the bytes of {cid} on this node's disk are damaged, and no connected peer has better ones")


class NotContent(Refusal):
    """A signed block cannot be pinned: none is ever pruned."""

    code = "dag.signed_block"
    kind = Kind.CONFLICT

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"{cid} is a signed block: those are always kept, only content has pins")


def kept_until(meta: ContentMeta) -> Instant:
    """When the time of content that is not pinned is over."""
    return meta.expires_at if meta.expires_at is not None else later(meta.stored_at, CONTENT_GRACE)


@dataclass(slots=True)
class ContentService:
    """Owns the fetches under way."""

    patience: Duration
    damage: Damage = field(default_factory=Damage)
    _fetches: dict[Cid, Fetching] = field(default_factory=dict)
    _queued: dict[Cid, Fetching] = field(default_factory=dict)
    """Not begun yet, because enough are under way."""
    _kept: KeptParts = field(default_factory=KeptParts)
    _starting: bool = False
    _served: int = 0
    """Bytes served in this batch."""
    _checked: tuple[Cid, bytes] | None = None
    """The content read last: chunks of it are asked for one after the other, and it is checked once."""

    def has(self, work: UnitOfWork, cid: Cid) -> bool:
        """Whether the block is stored, or comes with this batch."""
        return work.get(keyspace.block(cid)) is not None

    def read(self, work: UnitOfWork, cid: Cid) -> bytes | None:
        """The bytes of a block of either kind; None when they are not here, or are damaged, which is noted."""
        if self._checked is not None and self._checked[0] == cid:
            return self._checked[1]
        data = work.get(keyspace.block(cid))
        if data is None:
            return None
        if not cid.names(data):
            self.damage.note(work, cid)
            return None
        self.damage.gone(cid)
        if keyspace.block(cid) not in work.batch.operations:  # what is not committed may never be
            self._checked = cid, data
        return data

    def forget(self, cid: Cid) -> None:
        """The block is removed with this batch."""
        self.damage.gone(cid)
        if self._checked is not None and self._checked[0] == cid:
            self._checked = None

    def meta(self, work: UnitOfWork, cid: Cid) -> ContentMeta | None:
        """Pin and lifetime of content, as of this batch."""
        data = work.get(keyspace.content_meta(cid))
        return None if data is None else contents.read_content_meta(data)

    def pin(self, work: UnitOfWork, cid: Cid, *, pinned: bool) -> ContentMeta:
        """Set or take away the pin of content that is here. Raises `ContentNotFound`, `NotContent`."""
        meta = self.meta(work, cid)
        if meta is None:
            raise NotContent(cid) if work.get(keyspace.block_meta(cid)) is not None else ContentNotFound(cid)
        if meta.pinned == pinned:
            return meta
        return contents.change_content(work.get, work.batch, cid, pinned=pinned, expires_at=meta.expires_at)

    def store(
        self, work: UnitOfWork, data: bytes, codec: int, *, pinned: bool, lifetime: Duration | None = None
    ) -> Cid:
        """Keep a content block.

        One that is here already keeps what it has; a pin or a longer lifetime is added to it, nothing is taken away.
        One whose time is over is as good as gone: it is stored anew.

        Raises:
            Invalid: too large, more links than are kept track of, or not of the form its codec demands.
        """
        if len(data) > limits.CONTENT_BYTES_MAX:
            raise Invalid("content", f"{len(data)} bytes; at most {limits.CONTENT_BYTES_MAX} are stored in one block")
        references.links(codec, data)
        cid = Cid.of(data, codec)
        expires = None if lifetime is None else later(work.wall, lifetime)
        meta = self.meta(work, cid)
        if meta is not None and not meta.pinned and work.wall >= kept_until(meta):
            contents.remove_content(work.get, work.batch, cid)
            meta = None
        if meta is not None or self._has_bytes_or_place(work, cid):
            self.mend(work, cid, data)
        else:
            contents.put_content(
                work.get, work.batch, cid, data, stored_at=work.wall, pinned=pinned, expires_at=expires
            )
        if meta is not None:
            longer = expires if expires is not None and expires > kept_until(meta) else meta.expires_at
            if (meta.pinned or pinned, longer) != (meta.pinned, meta.expires_at):
                keep = meta.pinned or pinned
                contents.change_content(work.get, work.batch, cid, pinned=keep, expires_at=longer)
        return cid

    def put_back(self, work: UnitOfWork, line: ContentLine, data: bytes) -> str:
        """Content of a backup, with the pin and lifetime it had there: `new`, `known`, or why not.

        What is here keeps its own, and gets its right bytes where the disk has others.
        """
        if not line.cid.names(data):
            return "its bytes have another name"
        if self._is_known(work, line.cid):
            self.mend(work, line.cid, data)
            return "known"
        try:
            references.links(line.cid.codec, data)
        except Invalid as error:
            return str(error)
        if len(data) > limits.CONTENT_BYTES_MAX:
            return f"it has {len(data)} bytes; at most {limits.CONTENT_BYTES_MAX} are stored in one block"
        contents.put_content(
            work.get,
            work.batch,
            line.cid,
            data,
            stored_at=min(line.stored_at, work.wall),
            pinned=line.pinned,
            expires_at=line.expires_at,
        )
        return "new"

    def mend(self, work: UnitOfWork, cid: Cid, data: bytes) -> None:
        """Write the right bytes of a block that is known here, where the disk has none or others."""
        if work.get(keyspace.block(cid)) != data:
            work.batch.put(keyspace.block(cid), data)
            self.damage.mended(work, cid)

    def fetch(self, work: UnitOfWork, cid: Cid, sources: list[Did], waiter: Waiter) -> None:
        """Tell `waiter` when the content is here, or cannot be had from `sources`."""
        if self.read(work, cid) is not None:
            waiter(work, True)
            return
        fetching = self._fetches.get(cid)
        if fetching is not None:
            fetching.waiters.append(waiter)
            # Whoever was asked for this is not asked again, or a caller that repeats itself keeps a vain fetch going.
            fetching.sources += [source for source in sources if source not in (*fetching.sources, *fetching.asked)]
            return
        if not self.has_room_for(cid):
            waiter(work, False)
            return
        self._queued.setdefault(cid, Fetching(list(sources), [])).waiters.append(waiter)
        self._start_queued(work)

    def has_room_for(self, cid: Cid) -> bool:
        """Whether `fetch` would ask anybody: so much else may wait for its turn that it would not."""
        return cid in self._fetches or len(self._queued) < limits.FETCHES_QUEUED_MAX

    def receive(self, work: UnitOfWork, peer: Did, message: ContentMessage) -> None:
        """A content message of a peer."""
        match message:
            case Fetch(cid, offset):
                self._serve(work, peer, cid, offset)
            case Chunk():
                self._take(work, peer, message)
            case NotHere(cid):
                fetching = self._fetches.get(cid)
                if fetching is not None and fetching.current == peer:
                    fetching.has_none()
                    self._ask_next(work, cid)

    def peer_gone(self, work: UnitOfWork, peer: Did) -> None:
        """Go on with other sources."""
        for cid in [cid for cid, fetching in self._fetches.items() if fetching.current == peer]:
            self._ask_next(work, cid)

    def tick(self, work: UnitOfWork) -> None:
        """Go on with other sources where the current one fell silent."""
        self._served = 0
        for cid, fetching in list(self._fetches.items()):
            if not fetching.is_paused and work.wall >= later(fetching.heard_at, self.patience):
                self._ask_next(work, cid)

    def wake_at(self) -> Instant | None:
        """When `tick` has something to do."""
        moments = [later(f.heard_at, self.patience) for f in self._fetches.values() if not f.is_paused]
        return min(moments, default=None)

    def _serve(self, work: UnitOfWork, peer: Did, cid: Cid, offset: int) -> None:
        data = self.read(work, cid)
        if data is None or not 0 <= offset <= len(data):
            work.send(peer, NotHere(cid))
            return
        length = limits.CHUNK_BYTES_MAX if self._served < SERVED_PER_BATCH_BYTES else CHUNK_BYTES_SHORT
        chunk = data[offset : offset + length]
        self._served += len(chunk)
        work.send(peer, Chunk(cid, offset, len(data), chunk))

    def _take(self, work: UnitOfWork, peer: Did, chunk: Chunk) -> None:
        fetching = self._fetches.get(chunk.cid)
        if fetching is None or fetching.current != peer or chunk.offset != len(fetching.part.data):
            return  # an answer that comes too late, or twice
        part = fetching.part
        if not 0 <= chunk.total <= limits.CONTENT_BYTES_MAX or len(part.data) + len(chunk.data) > chunk.total:
            raise PeerViolation("a content block is within its bound")
        ends = len(part.data) + len(chunk.data) == chunk.total
        if not ends and len(chunk.data) < CHUNK_BYTES_SHORT:
            raise PeerViolation("a chunk brings something")  # else a place among the fetches is had for very little
        fits = part.total in {None, chunk.total}
        part.brought_by[peer] = None
        part.total = chunk.total
        part.data += chunk.data
        fetching.heard_at = work.wall
        if fits and not part.is_whole:
            fetching.is_paused = not self._may_go_on(fetching)
            if not fetching.is_paused:
                work.send(peer, Fetch(chunk.cid, len(part.data)))
            return
        data = bytes(part.data)
        if not fits or not chunk.cid.names(data):
            if len(part.brought_by) > 1:
                fetching.start_over()
                self._ask_next(work, chunk.cid)
                return
            fetching.part = Part()
            self._ask_next(work, chunk.cid)
            raise PeerViolation("content has the name it is sent under")
        if self._is_known(work, chunk.cid):  # put here while it was fetched: pin and lifetime are the owner's
            self.mend(work, chunk.cid, data)
        else:
            contents.put_content(
                work.get, work.batch, chunk.cid, data, stored_at=work.wall, pinned=False, expires_at=None
            )
        self._end(work, chunk.cid, found=True)

    @staticmethod
    def _is_known(work: UnitOfWork, cid: Cid) -> bool:
        """Whether something here says that the block is, whatever the disk has under its name."""
        return work.get(keyspace.content_meta(cid)) is not None or ContentService._has_bytes_or_place(work, cid)

    @staticmethod
    def _has_bytes_or_place(work: UnitOfWork, cid: Cid) -> bool:
        """Whether there are bytes under this name, or a signed block of it: `_is_known` for what has no meta."""
        return work.get(keyspace.block(cid)) is not None or (cid.codec == DAG_CBOR and work.has_block(cid))

    def _ask_next(self, work: UnitOfWork, cid: Cid) -> None:
        fetching = self._fetches[cid]
        source = fetching.next_source()
        if source is None:
            if fetching.part.data:
                self._kept.keep(cid, fetching.part)
            self._end(work, cid, found=False)
            return
        fetching.heard_at = work.wall
        if not fetching.is_paused:
            work.send(source, Fetch(cid, len(fetching.part.data)))

    def _may_go_on(self, fetching: Fetching) -> bool:
        """Whether all of it may be in memory, beside what others have been allowed."""
        others = [f.part.total or 0 for f in self._fetches.values() if f is not fetching and not f.is_paused]
        return sum(others) + (fetching.part.total or 0) <= limits.FETCHES_BYTES_MAX

    def _start_queued(self, work: UnitOfWork) -> None:
        """Begin what waits. A fetch that ends at once comes back here; the turn under way goes on with the next."""
        if self._starting:
            return
        self._starting = True
        while self._queued and len(self._fetches) < limits.FETCHES_IN_FLIGHT_MAX:
            cid = next(iter(self._queued))
            self._fetches[cid] = fetching = self._queued.pop(cid)
            fetching.part = self._kept.take(cid)
            self._ask_next(work, cid)
        self._starting = False

    def _end(self, work: UnitOfWork, cid: Cid, *, found: bool) -> None:
        for waiter in self._fetches.pop(cid).waiters:
            waiter(work, found)
        self._go_on_with_paused(work)
        self._start_queued(work)

    def _go_on_with_paused(self, work: UnitOfWork) -> None:
        for cid, fetching in self._fetches.items():
            if fetching.is_paused and fetching.current is not None and self._may_go_on(fetching):
                fetching.is_paused, fetching.heard_at = False, work.wall
                work.send(fetching.current, Fetch(cid, len(fetching.part.data)))
