"""Whether this node may author: not while its own feed may be longer elsewhere than here (semantics §2).

```
 start ── a mark ahead of the store, all marks gone, a restored store, ────────┐
          or one whose engine has it from a dump or lost its last commits      │
 a genuine block of ours that is not here, from anybody ───────────────────────┴─> held ──> caught up, and heard of by
 a member says that it has more of ours than we do ──> held until it shows it,               enough members; or the
                                                       not longer than CLAIM_PATIENCE        operator's word ──> author
```

A held node takes in blocks like any other, its own among them, and answers reads; it signs nothing, founds nothing and
takes no writes. What it may be told and by whom:

- A block needs our signature, so nobody can make up a feed for us. A member can only claim to have one: such a claim
  holds us until it is made good, for `CLAIM_PATIENCE` without a sign of progress and `CLAIM_MS_MAX` altogether, once
  per member and process; then its word about our feed counts no more. Who is not a member is heeded only when it shows
  a block.
- A member can keep a block of ours to itself. Where a head mark names it, we wait for it. Where no mark is left, every
  other member must be heard. Those that are not reached within `ReplicationTerms.reach_within` are done without, as
  long as enough are heard that no block of ours could have been confirmed without one of them.

Not here: keeping the marks (adapters.head_marker), and taking blocks (replication).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from icn.domain.dag.block import Block
from icn.domain.dag.feeds import quorum
from icn.domain.mesh.events import ReceiptIssued
from icn.domain.records import Record
from icn.kernel.encoding import encode
from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import Heads, Hello, ReceiptSent
from icn.services.inputs import Input, Received
from icn.services.peers import Peers
from icn.services.ports import HeadMark, HeadMarker
from icn.services.state import State
from icn.services.work import UnitOfWork
from icn.stores import backups, keyspace, restored, schema
from icn.stores.kv import Batch, Fence, KeyValueStore, Reader
from icn.stores.replies import StoredReply

CLAIM_PATIENCE = Duration(30_000)
"""A member that says it has more of our feed must show it, or bring us nearer to it, within this time."""
CLAIM_MS_MAX = Duration(600_000)
"""However busily it sends: after this it must have shown it."""

RESUME_COMMAND = "icn-cli dag resume --no-newer-blocks"
NO_DIGEST = b""
"""Of a stored answer that was put there after the fact: the request is known by its key alone."""


class NodeHeld(Refusal):
    """The node's own feed may be longer elsewhere; writing now could sign two blocks with one number."""

    code: ClassVar[str] = "node.held"
    kind: ClassVar[Kind] = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"this node does not write at present: {why}")


class AnswerLost(Refusal):
    """The request was carried out before the store was put back; its block is here again, its answer is not."""

    code: ClassVar[str] = "request.answer_lost"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, block: str) -> None:
        self.block = block
        super().__init__(f"this was done, in block {block}; the answer was lost when the store was put back")


@dataclass(slots=True)
class _Claim:
    """A member says that our feed is longer."""

    since: Instant
    moved_at: Instant
    block_count: int
    """Of our store when it last grew."""


@dataclass(slots=True)
class Authorship:
    """Soft but for one row of the store (`stores.restored`) and the head mark."""

    did: Did
    peers: Peers
    reach_within: Duration
    keeps_marks: bool
    """False in memory: nothing is left to be put back."""
    shares_store: bool = False
    """Other machines author from the same store, each with marks of its own: those here may be old, or missing."""
    was_restored: bool = False
    """The store was filled from a backup: marks may be from when the node last lived on this machine."""
    incarnation: str | None = None
    """Of the engine's data, where it can tell: the node last wrote in it, or goes on in it once it is released."""
    why: str = ""
    """Why the node is held until it has caught up; empty where it is not."""
    floor: int = 0
    """Blocks that our feed is known to have somewhere."""
    marks: tuple[HeadMark, ...] = ()
    """Those that were found at the start."""
    heard: dict[Did, None] = field(default_factory=dict)
    """Connected peers that have said since we are held what they have."""
    disbelieved: dict[Did, None] = field(default_factory=dict)  # bounded: by the members of the federation
    """Members that did not make good what they said about our feed."""
    forked_at: int | None = None
    """The number under which two blocks with this node's signature were found: it never signs again."""
    _claims: dict[Did, _Claim] = field(default_factory=dict)  # bounded: by the members of the federation
    _since: Instant | None = None
    """Since when this process waits to be released."""
    _is_stored: bool = False
    """The store says that the node is held."""
    _releasing: bool = False
    """The batch under way takes it back."""

    @classmethod
    def open(
        cls,
        *,
        store: KeyValueStore,
        fence: Fence,
        did: Did,
        state: State,
        peers: Peers,
        reach_within: Duration,
        marker: HeadMarker | None,
        now: Instant,
    ) -> "Authorship":
        """Judge the store by the marks, and keep a mark beside it from now on.

        Raises:
            HeadMarkFailed: the mark cannot be written.
        """
        shared = store.properties.shared
        made = cls(did, peers, reach_within, keeps_marks=marker is not None, shares_store=shared)
        made.marks = tuple(mark for mark in marker.read() if mark.author == did) if marker is not None else ()
        made.was_restored = restored.is_by_tool(store)
        made.incarnation = store.properties.incarnation
        made._judge(store, state)
        first = Batch()
        if made.why:
            made._hold(first, store.get, now)
            made._is_stored = True
            if marker is not None:
                # Outside of the store as well: an older copy may be put back again before the node is released.
                furthest = max(made._relevant(state), key=lambda mark: mark.count, default=made.mark(state))
                marker.write(replace(furthest, is_held=True))
        elif marker is not None:
            # First the mark, then the row that says there is one: a crash in between must not look like a loss.
            marker.write(made.mark(state))
            if not restored.was_marked(store):
                restored.mark_marked(first)
        if not made.why and made.incarnation is not None and restored.incarnation_of(store) is None:
            restored.note_incarnation(first, made.incarnation)
        if first.operations:
            store.commit(first, fence)
        return made

    def _judge(self, store: KeyValueStore, state: State) -> None:
        relevant = self._relevant(state)
        ahead = [mark for mark in relevant if not _is_behind(mark, self.did, store)]
        found = restored.held_floor(store.get)
        self.floor = max([found or 0, *(mark.count for mark in ahead)])
        here = state.feeds.next_sequence(self.did)
        if ahead:
            self.why = (
                f"it is older than the head mark: {here} own blocks are here, {self.floor} may have left the node"
            )
        elif found is not None or any(mark.is_held for mark in relevant):
            self.why = "it was found to be older than its node's own feed, and has not been released since"
        elif restored.is_restored(store):
            # No mark frees it: on a machine that the node left and came back to, it is as old as that.
            self.why = "it was restored from a backup"
        elif self.incarnation is not None and restored.incarnation_of(store) not in {None, self.incarnation}:
            self.why = "its database is another one than its node last wrote to: from a dump, or after a failover"
        elif self.keeps_marks and not relevant and restored.was_marked(store) and not self.shares_store:
            self.why = "the head marks that were kept beside it are gone"

    def _relevant(self, state: State) -> list[HeadMark]:
        """A feed is named by federation and author: a mark of another federation says nothing about this feed."""
        federation = state.federation.federation
        ours = None if federation is None else federation.id
        return [mark for mark in self.marks if None in {ours, mark.federation} or mark.federation == ours]

    @property
    def is_held(self) -> bool:
        """Whether nothing may be authored."""
        return bool(self.why or self._claims or self.forked_at is not None)

    @property
    def target(self) -> HeadMark | None:
        """A mark that names the federation to look for, where the store knows of none."""
        return next((mark for mark in self.marks if self.why and mark.federation is not None), None)

    def mark(self, state: State) -> HeadMark:
        """The mark of what is in the store now."""
        head, federation = state.feeds.heads.get(self.did), state.federation.federation
        ours = None if federation is None else federation.id
        if head is None:
            return HeadMark(self.did, ours, 0, None, is_held=bool(self.why))
        return HeadMark(self.did, ours, head.sequence + 1, head.cid, is_held=bool(self.why))

    # What comes in

    def begin(self) -> None:
        """A batch begins; a release that was not committed did not happen."""
        self._releasing = False

    def notice(self, work: UnitOfWork, inputs: Sequence[Input]) -> None:
        """Look for members that say they have more of our feed, before anything of the batch is decided."""
        here = work.state.feeds.next_sequence(self.did)
        for input_ in inputs:
            if isinstance(input_, Received) and isinstance(input_.message, Hello | Heads):
                said = max((entry.count for entry in input_.message.counts if entry.author == self.did), default=0)
                if said > here and self._is_heeded(work, input_.peer, input_.message):
                    count = work.state.feeds.block_count
                    self._claims.setdefault(input_.peer, _Claim(work.wall, work.wall, count))

    def hear(self, peer: Did) -> None:
        """A peer has said what it has."""
        if self.is_held:
            self.heard[peer] = None

    def part(self, peer: Did) -> None:
        """A peer is gone."""
        self.heard.pop(peer, None)

    def see_own(self, block: Block, sender: Did) -> None:
        """Somebody has shown a genuine block of ours that is not here."""
        if block.header.sequence >= self.floor:
            self.floor = block.header.sequence + 1
            self._is_stored = False
        self.disbelieved.pop(sender, None)
        if not self.why:
            self.why = "blocks of this node that are not in it were found at a peer"
            self.heard.clear()

    def take_back(self, work: UnitOfWork, block: Block, records: list[Record]) -> None:
        """What was lost with a block of ours that has come back: that its requests were answered, its receipts sent."""
        for record in records:
            principal, key = record.envelope.principal, record.envelope.cause
            if principal is not None and key and work.replies.get(work.store, str(principal), key) is None:
                lost = AnswerLost(str(block.cid))
                body = encode({"code": lost.code, "message": str(lost), "fields": lost.fields()})
                stored = StoredReply(NO_DIGEST, block.header.time, lost.kind.value, body)
                work.replies.add(work.batch, str(principal), key, stored)
            if isinstance(record.event, ReceiptIssued) and record.event.home != self.did:
                number = work.outbox.reserve()
                work.post(record.event.home, number, ReceiptSent(number, record.event.receipt, b""))

    def _is_heeded(self, work: UnitOfWork, peer: Did, message: Hello | Heads) -> bool:
        federation = work.state.federation.federation
        view = self.peers.views.get(peer)
        if federation is None or peer in self.disbelieved or view is None:
            return False
        same = message.federation == federation.id if isinstance(message, Hello) else view.greeted
        return same and work.state.federation.is_admitted(peer, work.context().ancestry)

    # What follows

    def settle(self, work: UnitOfWork) -> None:
        """At the end of a batch: claims made good or expired, and the release where all is there."""
        self._settle_claims(work)
        if not self.why:
            return
        if self._since is None:
            self._since = work.wall
        if self._has_caught_up(work):
            self._release(work)
        elif not self._is_stored:
            self._hold(work.batch, work.get, work.wall)

    def resume(self, work: UnitOfWork) -> bool:
        """The operator says that there is no newer block of ours. Whether the node was held."""
        was_held = self.is_held
        self.disbelieved |= dict.fromkeys(self._claims)
        self._claims.clear()
        if self.why:
            self._release(work)
        return was_held

    def committed(self) -> bool:
        """The batch is durable. Whether the head mark is another one now, though nothing was authored."""
        changed = self._releasing or (bool(self.why) and not self._is_stored)
        self._is_stored = bool(self.why) and not self._releasing
        if self._releasing:
            self._releasing = False
            self.why, self.floor, self.marks, self._since = "", 0, (), None
            self.was_restored = False
            self.heard.clear()
        return changed

    @property
    def is_released(self) -> bool:
        """Whether this batch takes the hold back."""
        return self._releasing

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `settle` has something to do though nothing came."""
        moments = [min(later(c.moved_at, CLAIM_PATIENCE), later(c.since, CLAIM_MS_MAX)) for c in self._claims.values()]
        if self._since is not None and (reached := later(self._since, self.reach_within)) > wall:
            moments.append(reached)
        return min(moments, default=None)

    def explain(self, state: State) -> str:
        """For the operator: why the node is held, what is awaited, what to do. Empty where it is not held."""
        if not self.is_held:
            return ""
        if self.forked_at is not None:
            return (
                f"two different blocks were signed with this node's key and the number {self.forked_at}: the key was "
                "used twice, or is in other hands. Nobody builds on what it signs any more; a node with a new identity "
                "can join"
            )
        why = self.why or "a member says that it has newer blocks of this node"
        here = state.feeds.next_sequence(self.did)
        awaited = (
            f"own block {self.floor - 1}, of which {here} are here"
            if self.floor > here
            else "word of its own newest block"
        )
        voters = [m.node for m in state.federation.members.values() if m.is_admitted and m.node != self.did]
        heard = sum(1 for node in voters if node in self.heard)
        return (
            f"the store was put back, or its node has authored elsewhere: {why}. It waits for {awaited}, and has heard "
            f"{heard} of {len(voters)} other members. If no newer block of it exists anywhere: {RESUME_COMMAND}"
        )

    def _settle_claims(self, work: UnitOfWork) -> None:
        here, count = work.state.feeds.next_sequence(self.did), work.state.feeds.block_count
        for peer, claim in list(self._claims.items()):
            view = self.peers.views.get(peer)
            if view is not None and view.counts.get(self.did, 0) <= here:
                del self._claims[peer]
                continue
            if count > claim.block_count:
                claim.block_count, claim.moved_at = count, work.wall
            if work.wall >= min(later(claim.moved_at, CLAIM_PATIENCE), later(claim.since, CLAIM_MS_MAX)):
                del self._claims[peer]
                self.disbelieved[peer] = None

    def _has_caught_up(self, work: UnitOfWork) -> bool:
        federation, here = work.state.federation, work.state.feeds.next_sequence(self.did)
        marks = self._relevant(work.state)
        if federation.federation is None or here < self.floor:
            return False
        if not all(_is_behind(mark, self.did, work) for mark in marks):
            return False
        voters = federation.voters(work.context().ancestry)
        for view in self.peers.greeted():
            counts = view.did in federation.members and view.did not in self.disbelieved
            if counts and (view.did not in self.heard or view.counts.get(self.did, 0) > here):
                return False
        heard = sum(1 for node in voters if node in self.heard)
        enough = max(1, quorum(len(voters)) - (self.did in voters))
        if heard < enough:
            return False
        # A mark that names the newest block leaves nothing to be found. Without one, a block may be with anybody.
        are_last = not (self.shares_store or self.was_restored)
        knows_end = are_last and self.floor > 0 and any(mark.count >= self.floor for mark in marks)
        others = [
            member.node
            for member in federation.members.values()
            if not member.has_ended
            and member.node != self.did
            and member.node not in self.disbelieved
            and member.node not in work.state.cuts  # nobody hears who has forked
        ]
        if knows_end or all(node in self.heard for node in others):
            return True
        # A confirmed block of ours is with a quorum, ourselves among it: so many others, and one of them has it.
        is_late = self._since is not None and work.wall >= later(self._since, self.reach_within)
        return is_late and heard > len(voters) - quorum(len(voters))

    def _hold(self, batch: Batch, get: Callable[[bytes], bytes | None], now: Instant) -> None:
        """Write down that the node is held. A store that was put back is another one from the first time on."""
        if restored.held_floor(get) is None and not self.was_restored:  # the restore has given it an id of its own
            schema.renew_store_id(get, batch, keyspace.u64(now))
            backups.forget_finished(batch)
        restored.mark_held(batch, self.floor, by_tool=self.was_restored)

    def _release(self, work: UnitOfWork) -> None:
        restored.clear_restored(work.batch)
        if self.keeps_marks:
            restored.mark_marked(work.batch)
        if self.incarnation is not None:
            restored.note_incarnation(work.batch, self.incarnation)
        self._releasing = True


def _is_behind(mark: HeadMark, did: Did, reader: Reader | UnitOfWork) -> bool:
    """Whether the store has what the mark names."""
    if mark.count == 0 or mark.cid is None:
        return True
    return reader.get(keyspace.feed_entry(did, mark.count - 1)) == mark.cid.data
