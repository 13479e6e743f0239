"""The one writer: a batch of inputs in, one durable commit, then answers and effects out.

```
 stamp ─> decide ─> (apply) ─> seal one block ─> commit ─> answers, effects
            │                                      │
            └ a refusal: only its answer is kept   └ a fault: nothing left the node; the state is loaded from the store
                                                     before the next input, which also finds out whether an uncertain
                                                     commit happened
```

Whatever waits goes into one block and one commit (group commit). Blocks of peers come first in a batch, so that our own
block is dated, and linked, after them. No effect leaves before its cause is on disk.

Not here: threads, queues, sockets (node.writer and node.drivers); the simulator calls `handle` directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from icn.domain.federation.refusals import NodeHasLeft, NodeIsRemoved
from icn.kernel.encoding import decode
from icn.kernel.errors import Kind, PeerViolation, Refusal, require
from icn.kernel.ids import Did
from icn.kernel.instant import Instant, later, soonest
from icn.kernel.signing import Signer
from icn.protocol.messages import (
    Announce,
    Blocks,
)
from icn.services import rows
from icn.services.answers import Answer, Done, Refused, Reply, refused
from icn.services.arrivals import RecordsRefused
from icn.services.authorship import NO_DIGEST, Authorship, NodeHeld
from icn.services.changing import ChangingService, FederationChanging
from icn.services.commands import (
    BackupCommand,
    FetchContent,
    ImportBlocks,
    Init,
    Join,
    LookAtJob,
    NoteScan,
    RestoreContent,
    ResumeAuthoring,
    SyncNow,
)
from icn.services.content import ContentService
from icn.services.dispatch import Dispatch
from icn.services.effects import Disconnect, Effect, Subscribe
from icn.services.equivocation import Equivocations
from icn.services.executing import ExecutorService
from icn.services.federation import count_votes, join_when_caught_up, take_what_is_due
from icn.services.gossiping import topic_of
from icn.services.inputs import Conditions, Executed, Gossiped, Input, PeerDown, PeerUp, Received, Request, Tick
from icn.services.inviting import InvitingService
from icn.services.joining import JoiningService
from icn.services.leaving import who_left
from icn.services.mending import MendingService
from icn.services.mesh import HomeService
from icn.services.peers import Peers
from icn.services.ports import Clock, HeadMark
from icn.services.pruning import PruningService
from icn.services.reception import Reception, send_again
from icn.services.rechecking import is_recheck
from icn.services.replication import ReplicationService
from icn.services.seeking import SeekingService
from icn.services.settings import NodeTerms
from icn.services.state import State
from icn.services.work import UnitOfWork
from icn.stores import blocks, contents
from icn.stores.kv import Fence, KeyValueStore
from icn.stores.outbox import Outbox
from icn.stores.replies import Replies, StoredReply

WHILE_HELD = BackupCommand | FetchContent | LookAtJob | NoteScan | RestoreContent | ResumeAuthoring | SyncNow
"""Commands that write no record: a held node carries them out."""


class KeyReused(Refusal):
    """A request key stands for one request."""

    code = "request.key_reused"
    kind = Kind.CONFLICT

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the request key {key!r} was used for another request: choose a new one")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one batch led to. All of it is durable."""

    replies: list[Reply]
    effects: list[Effect]
    wake_at: Instant | None
    """When the engine wants a `Tick`, if nothing else happens before."""
    mark: HeadMark | None = None
    """To be kept by the head marker before any effect of this batch, or of a later one, is carried out."""
    is_released: bool = False
    """The node was held and is no more: the mark is to be kept before anybody is told."""

    def followed_by(self, later: "Outcome") -> "Outcome":
        """Both as one."""
        mark = self.mark if later.mark is None else later.mark
        replies, effects = [*self.replies, *later.replies], [*self.effects, *later.effects]
        return Outcome(replies, effects, later.wake_at, mark, is_released=self.is_released or later.is_released)


@dataclass(slots=True)
class Engine:
    """One node's state and the services that change it. Not for two threads."""

    store: KeyValueStore
    clock: Clock
    signer: Signer
    terms: NodeTerms
    fence: Fence
    state: State
    outbox: Outbox
    replies: Replies
    peers: Peers
    authorship: Authorship
    replication: ReplicationService
    inviting: InvitingService
    joining: JoiningService
    seeking: SeekingService
    forks: Equivocations
    changing: ChangingService
    content: ContentService
    pruning: PruningService
    mending: MendingService
    home: HomeService
    executor: ExecutorService
    reception: Reception
    dispatch: Dispatch
    _stale: bool = False
    """The live state is ahead of the store: a commit failed, or a block was refused half applied."""
    _resumed: bool = field(default=False)
    marked_at: Instant | None = None
    """When the newest time mark was made."""

    @property
    def did(self) -> Did:
        """This node."""
        return self.signer.did

    @property
    def has_resumed(self) -> bool:
        """Whether what is under way of our own goes on: not before the first batch, nor while the node is held."""
        return self._resumed

    def handle(self, inputs: Sequence[Input]) -> Outcome:
        """Take a batch. All of it is durable when this returns; nothing of it is when this raises a `Fault`.

        After a fault the callers of the batch must be told that they do not know; with their request keys they may ask
        again.
        """
        arriving = [i for i in inputs if _brings_blocks(i)]
        lonely = self.state.federation.federation is None
        resumed, self._resumed = self._resumed, False  # until the commit has succeeded
        self.authorship.begin()
        work = self._take_blocks(arriving, inputs)
        if self.forks.is_due(work):
            return self._recut(work).followed_by(self.handle([i for i in inputs if not _brings_blocks(i)]))
        if not resumed and work.may_author:
            self._take_up(work)
        for input_ in inputs:
            if not _brings_blocks(input_):
                violator = self._take(work, input_)
                if violator is not None:
                    self.reception.lose(work, violator)
        self._round_off(work)
        if lonely and self.state.federation.federation is not None:
            self.replication.greet_all_again(work)
        federation = self.state.federation.federation
        if federation is not None and federation.id is not None and (lonely or not resumed):
            work.effects.append(Subscribe(topic_of(federation.id)))
        replies = work.finish()
        self.forks.look_ahead(work)
        for block, source in work.accepted:
            if source is None:
                self.forks.take(work, block)
        if len(work.batch):
            marked_at = self._mark_time(work)
            self.store.commit(work.batch, self.fence)
            self.marked_at = marked_at
        is_released = self.authorship.is_released
        remarked = self.authorship.committed()
        if is_released:
            self.replication.arrivals.is_pinned = False
        self.pruning.committed()
        self._stale, self._resumed = False, work.may_author
        mark = self.authorship.mark(self.state) if remarked or any(s is None for _, s in work.accepted) else None
        effects = [*work.effects, *(Disconnect(peer, reason) for peer, reason in work.violations)]
        keeps = self.authorship.keeps_marks
        return Outcome(replies, effects, self._wake_at(), mark if keeps else None, is_released=is_released)

    def _recut(self, work: UnitOfWork) -> Outcome:
        """Somebody forked or is removed: say so, and make the state anew, in the commit of the blocks that showed it.

        Nothing else is decided on the state as it was.
        """
        self.forks.prove(work)
        self.executor.take_records(work)
        self.authorship.settle(work)
        self.replication.announcing.announce(work)
        replies = work.finish()
        made = self.forks.recut(work)
        for key, value in made.changed.operations.items():
            work.batch.operations[key] = value
        self.store.commit(work.batch, self.fence)
        made.state.correlations = self.state.correlations
        self.state = made.state
        self.replication.arrivals.refused.clear()  # a record that no longer fits is void now, and its block is taken
        self.replication.arrivals.forget_unnamed(self.state)
        is_released = self.authorship.is_released
        self.authorship.committed()
        if is_released:
            self.replication.arrivals.is_pinned = False
        self._stale, self._resumed = False, False
        for peer, view in self.peers.views.items():
            reason = self.forks.why_banned(self.state, peer)
            if reason is not None and self.state.federation.was_removed(peer):
                self.replication.dismiss(work, view)
            elif reason is not None:
                view.greeted = False  # what it has said since is not heard
                work.violations.append((peer, reason))
        mark = self.authorship.mark(self.state) if self.authorship.keeps_marks else None
        effects = [*work.effects, *(Disconnect(peer, reason) for peer, reason in work.violations)]
        return Outcome(replies, effects, None, mark, is_released=is_released)

    def _take_up(self, work: UnitOfWork) -> None:
        """After a start, a failed commit, or when the node is held no more: everything of our own goes on."""
        self.joining.resume(work)
        self.changing.found_as_told(work)
        count_votes(work)
        for node in dict.fromkeys((*self.outbox.waiting, *self.peers.views)):
            if self.state.federation.has_ended(node):
                self.reception.part_for_good(work, node)
        self.home.resume(work)
        self.executor.resume(work)
        take_what_is_due(work)
        for view in self.peers.greeted():
            view.welcomed = 0
            self.reception.welcome(work, view.did, executes=view.executes)

    def _mark_time(self, work: UnitOfWork) -> Instant | None:
        """Note now and then which numbers are the next ones, so that "since that day" has an answer."""
        if self.marked_at is not None and work.wall < later(self.marked_at, contents.TIME_MARK_EVERY):
            return self.marked_at
        # As they are before this batch: all of it came at this time.
        mark = contents.TimeMark(blocks.last_arrival(self.store) + 1, contents.next_change(self.store.get))
        contents.put_time_mark(work.batch, work.wall, mark)
        return work.wall

    def _take_blocks(self, arriving: list[Input], inputs: Sequence[Input]) -> UnitOfWork:
        """Begin a unit of work with the blocks that came, and find out whether anything may be authored in it.

        Nothing else has been touched when a block must be taken back.
        """
        arrivals = self.replication.arrivals
        # Where nothing comes and nothing waited no block is refused, and there is nothing to go back to.
        mark = arrivals.quarantine.mark(self.peers) if arriving or arrivals.quarantine.waiting else None
        while True:
            if self._stale:
                self.state = rows.load(self.store)
                self.outbox = Outbox.load(self.store)
                self.replies = Replies.load(self.store)
                self.executor.offering.unsettled.load(self.store)
                self.forks.load(self.store, self.state)
                self.joining.load(self.store, self.state)
                self.seeking.load(self.store)
                self.changing.load(self.store)
            self._stale = True  # until the commit has succeeded: a read may fail as well, with blocks half taken
            wall = self.clock.now()
            now = max(wall, self.state.feeds.latest_time())
            work = UnitOfWork(self.state, self.store, self.signer, self.outbox, self.replies, now, wall)
            self.replication.gossiping.begin()
            try:
                arrivals.release(work)
                for input_ in arriving:
                    # Once is enough: each block against the rules costs a turn, and a peer may have sent a thousand.
                    sender = input_.peer if isinstance(input_, Received) else None
                    if all(sender != peer for peer, _ in work.violations):
                        self._take(work, input_)
            except RecordsRefused:
                # It was partly applied. The state is loaded again and the blocks are taken without that one, which is
                # remembered as refused; each turn refuses one more, so this ends. What waited for an ancestor waits
                # again, and nobody is blamed, or let go, before the turn that counts.
                if mark is None:
                    raise
                arrivals.quarantine.rewind(mark, self.peers)
                continue
            self.authorship.forked_at = self.forks.own_fork
            self.authorship.notice(work, inputs)
            work.may_author = self._may_author()
            for peer, _ in work.violations:
                self.reception.lose(work, peer)
            return work

    def _round_off(self, work: UnitOfWork) -> None:
        """What follows from the inputs, in a fixed order, until nothing more follows."""
        self.executor.take_records(work)
        for node in who_left(work):
            self.reception.part_for_good(work, node)
        if not self.authorship.is_held:
            self.seeking.tick(work)
        if work.may_author:
            if work.accepted:
                take_what_is_due(work)
                count_votes(work)
            if join_when_caught_up(work, self.peers, self.terms):
                take_what_is_due(work)
            self.home.tick(work)
            self.executor.tick(work)
        self.joining.tick(work)
        self.mending.tick(work)
        self.content.tick(work)
        self.reception.drain_local(work)
        self.replication.tick(work)
        if self.replication.announcing.tick(work) and work.may_author:
            for view in self.peers.greeted():
                send_again(work, self.outbox.overdue(view.did), view.did)
        work.seal()
        if work.may_author:
            self.replication.acknowledging.acknowledge(work)
        else:
            self.replication.acknowledging.rest()
        self.authorship.settle(work)
        self.replication.answer_wants(work)
        self.replication.announcing.announce(work)
        self.pruning.tick(work)  # last: it asks what this batch refers to

    def _take(self, work: UnitOfWork, input_: Input) -> Did | None:
        """Take one input. Gives the peer that broke the protocol with it, if so."""
        try:
            self._take_one(work, input_)
            self.reception.drain_local(work)
        except RecordsRefused:
            raise
        except PeerViolation as violation:
            require(isinstance(input_, Received), "only a peer breaks the protocol")
            if isinstance(input_, Received):
                work.violations.append((input_.peer, str(violation)))
                return input_.peer
        return None

    def _take_one(self, work: UnitOfWork, input_: Input) -> None:
        match input_:
            case Request():
                self._answer(work, input_)
            case PeerUp(peer):
                self.replication.greet(work, peer)
            case PeerDown(peer):
                self.reception.lose(work, peer)
            case Received(peer, message):
                self.reception.receive(work, peer, message, self._why_not)
            case Gossiped():
                self.replication.gossiping.take(work, input_)
            case Executed(request, outcome):
                if work.may_author and is_recheck(request):
                    self.home.recheck.take_outcome(work, request, outcome)
                elif work.may_author:  # otherwise it runs again when the node is held no more
                    self.executor.take_outcome(work, request, outcome)
            case Conditions():
                self.executor.offering.note(input_)
            case Tick():
                pass
            case _:
                assert_never(input_)

    def _may_author(self) -> bool:
        ended = self.state.federation.has_ended(self.did) or self.changing.is_under_way
        return not self.authorship.is_held and not ended

    def _why_not(self) -> Refusal:
        """Why nothing is recorded."""
        if self.changing.is_under_way:
            return FederationChanging()
        if self.state.federation.was_removed(self.did):
            return NodeIsRemoved(self.did)
        if self.state.federation.has_ended(self.did):
            return NodeHasLeft(self.did)
        return NodeHeld(self.authorship.explain(self.state))

    def _answer(self, work: UnitOfWork, request: Request) -> None:
        if request.key:
            given = work.answer_given(request)
            if given is None:
                stored = self.replies.get(self.store, str(request.principal), request.key)
                given = None if stored is None else (stored.request, _from_stored(stored))
            if given is not None:
                digest, answer = given
                same = digest in {request.digest, NO_DIGEST}
                work.answer_again(request, answer if same else refused(KeyReused(request.key)))
                return
        may_change = isinstance(request.command, Join | Init) and not self.authorship.is_held
        allowed = isinstance(request.command, WHILE_HELD) or (may_change and not self.changing.is_under_way)
        if not work.may_author and not allowed:
            work.answer(request, refused(self._why_not()), recorded=False)
            return
        self.dispatch.take(work, request)

    def _wake_at(self) -> Instant | None:
        wall = self.clock.now()
        held = not self._may_author()
        moments = (
            None if held else self.home.wake_at(),
            None if held else self.executor.wake_at(self.state.mesh.executions),
            self.content.wake_at(),
            self.pruning.wake_at(wall),
            self.mending.wake_at(wall),
            self.replication.wake_at(wall),
            self.joining.wake_at(),
            self.authorship.wake_at(wall),
            None if held or (self._resumed and not self.forks.has_to_say) else wall,
        )
        return soonest(moments)


def _brings_blocks(input_: Input) -> bool:
    """Whether blocks of others come with it, which must be taken before anything else."""
    if isinstance(input_, Request):
        return isinstance(input_.command, ImportBlocks)
    return isinstance(input_, Gossiped) or (
        isinstance(input_, Received) and isinstance(input_.message, Blocks | Announce)
    )


def _from_stored(stored: StoredReply) -> Answer:
    body = decode(stored.body)
    if not stored.kind:
        return Done(body)
    return Refused(Kind(stored.kind), body["code"], body["message"], body["fields"])
