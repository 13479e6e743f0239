"""The one writer thread: a bounded queue before the engine, and what comes out of it handed to the event loop.

The thread opens the store (waiting for it, where the node stands by), becomes its author and takes whatever is queued
as one batch; while it is busy it waits a moment for more. What a batch answered reaches the loop in one call; what it
sends leaves by `departures`.

A store on a server goes away and comes back. While it is away batches fail; when the answer to a commit was lost, the
store is opened again, by this thread, and the engine begins from what is there. If another process has become the
author meanwhile the node ends: its standing-by is a start of its own. Who is idle looks regularly whether it still is
the author, so that no reader is served for long by a node that is not. A store on a disk of ours does neither: where
the disk fails to sync, a restart by the operator is better than another try.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from icn.kernel.errors import Fault
from icn.kernel.ids import Did
from icn.kernel.limits import BATCH_INPUTS_MAX
from icn.node.departures import Departures, MayLeave
from icn.node.input_queue import NOT_TAKEN, Gathering, InputQueue, Offered
from icn.services.capacity import NO_LOAD, ExecutorLoad
from icn.services.divergence import NOBODY, Divergence, divergence
from icn.services.engine import Engine, Outcome
from icn.services.inputs import Input, Request, Tick
from icn.services.ports import Clock, HeadMarker
from icn.stores.kv import Batch, CommitUncertain, KeyValueStore, StoreUnavailable

IDLE_WAIT_SECS = 5.0
"""The longest the thread sleeps when the engine wants nothing."""
AUTHORSHIP_CHECK_SECS = 1.0
"""The same, where another process may have become the author."""
REOPENING_WAIT_SECS = 1.0
"""Between attempts to open the store again."""
GATHERING = Gathering(pause_secs=0.005, pauses_max=4)
"""How long a busy writer waits for more. A batch costs a commit, a signed block, a publication and a head mark, however
little is in it, and on a busy node many more inputs are a moment away."""
GATHERING_FROM = 6
"""After a batch of fewer inputs the node is not busy, and nobody is kept waiting."""


class WriterPhase(Enum):
    """Where the writer stands."""

    STANDBY = "standby"
    """Another process is the author; this one waits."""
    AUTHOR = "author"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """A batch was not committed; nothing of it happened."""

    tokens: tuple[int, ...]
    fault: Fault


@dataclass(frozen=True, slots=True)
class LiveView:
    """What only the writer knows, as of its newest batch."""

    root: str
    in_sync: bool | None
    peers: int
    peers_in_sync: Mapping[Did, bool]
    """For each peer that says it is of our federation whether it last reported our root."""
    running: int
    waiting_to_join: bool
    members: tuple[Did, ...] = ()
    """Connected members of our federation, by what its blocks say."""
    executors: tuple[Did, ...] = ()
    """Peers of our federation that say they take jobs."""
    executor: ExecutorLoad = NO_LOAD
    joining: str = ""
    """What the node waits for before it is a full member, for the operator; empty where it is one, or founds."""
    seeks: bool = False
    """Whether it was told to join a federation, and has none yet."""
    held: str = ""
    """Why the node may not author, for the operator; empty where it may."""
    divergence: Divergence = NOBODY


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A batch is durable. Its effects come as `MayLeave`, when they may."""

    outcome: Outcome
    view: LiveView
    inputs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EngineReplaced:
    """Another engine goes on, in another federation: every conversation with peers ends."""


Report = BatchDone | BatchFailed | MayLeave | EngineReplaced


class Writer:
    """Owns the thread, the queue and the engine."""

    def __init__(
        self,
        *,
        open_store: Callable[[threading.Event], KeyValueStore | None],
        reopen_store: Callable[[], KeyValueStore],
        open_engine: Callable[[KeyValueStore], Engine],
        clock: Clock,
        elapsed: Callable[[], float],
        on_author: Callable[[KeyValueStore, Engine], None],
        on_report: Callable[[Report], object],
        marker: HeadMarker | None = None,
    ) -> None:
        """`on_author` and `on_report` are called on the writer's thread; `elapsed` is a monotonic clock in seconds.

        With a `marker`, that of the engine, `on_report` brings `MayLeave` from the thread of `departures`.

        `reopen_store` does not wait for another process; `on_author` is called again after it.
        """
        self._open_store = open_store
        self._reopen_store = reopen_store
        self._open_engine = open_engine
        self._clock = clock
        self._elapsed = elapsed
        self._on_author = on_author
        self._on_report = on_report
        self._departures = None if marker is None else Departures(marker, on_report)
        self._queue = InputQueue()
        self._stopping = threading.Event()
        self.phase = WriterPhase.STANDBY

    @property
    def depth(self) -> int:
        """Inputs that wait."""
        return len(self._queue)

    def offer(self, input_: Input, size: int = 0) -> Offered:
        """Queue an input, of so many bytes. Not taken when the queue is full or the writer has stopped."""
        return NOT_TAKEN if self._stopping.is_set() else self._queue.offer(input_, size)

    def stop(self) -> None:
        """Take what is queued, then end. From any thread."""
        self._stopping.set()
        self._queue.wake()

    def run(self) -> None:
        """The thread's whole life. Raises what the node cannot go on after."""
        store = self._open_store(self._stopping)
        if store is None:
            self.phase = WriterPhase.STOPPED
            return
        try:
            engine = self._open_engine(store)
            self.phase = WriterPhase.AUTHOR
            self._on_author(store, engine)
            idle_wait = AUTHORSHIP_CHECK_SECS if store.properties.shared else IDLE_WAIT_SECS
            batch: list[Input] | None = [Tick()]
            while batch is not None:
                try:
                    wake_at = self._take(engine, batch)
                except CommitUncertain:
                    if not store.properties.shared:
                        raise
                    store.close()
                    store = None
                    if self._departures is not None:
                        self._departures.drain()  # the marker is the engine's while it opens
                    again = self._begin_again()
                    if again is None:
                        return
                    store, engine = again
                    wake_at = self._clock.now()
                if engine.changing.is_under_way:
                    if self._departures is not None:
                        self._departures.drain()  # as above
                    self._on_report(EngineReplaced())
                    engine = self._open_engine(store)  # which carries the change out first
                    self._on_author(store, engine)
                    wake_at = self._clock.now()
                batch = self._next_batch(wake_at, idle_wait, gathering_after(len(batch)))
        finally:
            self.phase = WriterPhase.STOPPED
            if self._departures is not None:
                self._departures.close()
            if store is not None:
                store.close()

    def _begin_again(self) -> tuple[KeyValueStore, Engine] | None:
        """The store, opened again, and an engine with the state that is there; None when told to stop before."""
        while not self._stopping.is_set():
            store = None
            try:
                store = self._reopen_store()
                engine = self._open_engine(store)
            except (StoreUnavailable, CommitUncertain) as fault:
                if store is not None:
                    store.close()
                self._on_report(BatchFailed(_tokens(self._waiting()), fault))
                self._stopping.wait(REOPENING_WAIT_SECS)
            except BaseException:
                if store is not None:
                    store.close()
                raise
            else:
                self._on_author(store, engine)
                return store, engine
        return None

    def _waiting(self) -> list[Input]:
        """What waits in the queue, taken out of it."""
        return self._queue.take(BATCH_INPUTS_MAX, 0)

    def _next_batch(self, wake_at: int | None, wait: float, gathering: Gathering | None) -> list[Input] | None:
        if wake_at is not None:
            wait = min(wait, max(0.0, (wake_at - self._clock.now()) / 1000))
        wait = 0.001 if self._stopping.is_set() else max(0.001, wait)
        batch = self._queue.take(BATCH_INPUTS_MAX, wait, gathering)
        if not batch and self._stopping.is_set():
            return None
        return batch or [Tick()]

    def _take(self, engine: Engine, batch: list[Input]) -> int | None:
        begun = self._elapsed()
        try:
            if engine.store.properties.shared and all(isinstance(input_, Tick) for input_ in batch):
                engine.store.commit(Batch(), engine.fence)  # checks the fence, no more
            outcome = engine.handle(batch)
        except Fault as fault:
            self._on_report(BatchFailed(_tokens(batch), fault))
            if not fault.retryable:
                raise
            return self._clock.now() + 1000
        view = LiveView(
            root=(root := engine.state.feeds.root()),
            in_sync=engine.replication.in_sync(engine.state),
            divergence=divergence(engine.state, engine.peers, engine.replication.arrivals, root),
            peers=len(engine.peers.greeted()),
            members=tuple(view.did for view in engine.peers.members(engine.state.federation)),
            peers_in_sync={view.did: view.root == root for view in engine.peers.greeted()},
            running=sum(1 for key in engine.state.mesh.executions if key[0] == engine.did),
            waiting_to_join=engine.state.feeds.heads.get(engine.did) is None,
            executors=tuple(engine.peers.executors()),
            executor=engine.executor.offering.load(self._clock.now()),
            joining=engine.seeking.explain(engine.state) or engine.joining.explain(engine.state, engine.did),
            seeks=engine.joining.aim is not None,
            held=engine.authorship.explain(engine.state),
        )
        done = BatchDone(outcome, view, len(batch), self._elapsed() - begun)
        if outcome.is_released:  # who is told so may rely on it: the mark first
            self._let_leave(outcome)
            if self._departures is not None:
                self._departures.drain()
            self._on_report(done)
        else:
            self._on_report(done)
            self._let_leave(outcome)
        return outcome.wake_at

    def _let_leave(self, outcome: Outcome) -> None:
        leaving = MayLeave(outcome.effects)
        if self._departures is not None:
            self._departures.put(outcome.mark, leaving)
        else:
            self._on_report(leaving)


def gathering_after(inputs: int) -> Gathering | None:
    """Whether, and how, more is waited for after a batch of so many inputs."""
    return GATHERING if inputs >= GATHERING_FROM else None


def _tokens(inputs: list[Input]) -> tuple[int, ...]:
    """Those of the callers who wait for an answer."""
    return tuple(input_.token for input_ in inputs if isinstance(input_, Request))
