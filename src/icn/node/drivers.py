"""Between the engine and the world, on the event loop's thread: callers in, network in, executions in; effects out.

Nothing is decided here. What the engine says is done, in order, after its commit. When a peer's queue is full the peer
is dropped: what mattered waits in the outbox, and comes with its next connection.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Protocol, assert_never

import structlog

from icn.adapters.network.dialing import DialFailed
from icn.adapters.network.gossip import PublicationDropped
from icn.adapters.network.ports import Delivery, Network
from icn.domain.federation.events import EquivocationProven, NodeRemoved
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.kernel.errors import Fault, Invalid, Kind, PeerViolation, Refusal
from icn.kernel.ids import Cid, Did, PeerId
from icn.node.departures import MayLeave
from icn.node.executions import Executions
from icn.node.writer import BatchDone, BatchFailed, EngineReplaced, LiveView, Report, Writer
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import FEED_PROTOCOL, Announce, Message, protocol_of
from icn.protocol.versions import mismatch
from icn.services.answers import Answer, Refused
from icn.services.commands import NodeCommand
from icn.services.effects import (
    BidAnswered,
    BlockDamaged,
    BlockMended,
    Committed,
    ContentPruned,
    Dial,
    Disconnect,
    Effect,
    ExecutorNotice,
    Finding,
    Judge,
    PhaseEnded,
    Publish,
    Rechecked,
    RunJob,
    Send,
    StopJob,
    StoreNotice,
    Subscribe,
)
from icn.services.inputs import Conditions, Executed, Gossiped, Input, PeerDown, PeerUp, Received, Request

log = structlog.get_logger("icn.node")

FOLLOWERS_MAX = 64
FOLLOWED_EVENTS_MAX = 1000
"""Events that may wait for one slow follower; then it is cut off and comes back with its cursor."""


FULL = "this node has more to do than it can take"
NOTICE_SECS = 1.0
"""How long a peer of another version is kept: so that it, too, hears from identify which one this node speaks."""
ANSWER_SECS_MAX = 60.0
"""The longest a caller waits. Only fetching takes that long; a failed commit may lose who waits for it."""


class AnswerOverdue(Fault):
    """The engine has not answered; what was asked may still be done. The same request key finds out."""

    code: ClassVar[str] = "node.answer_overdue"
    retryable: ClassVar[bool] = True


class Overloaded(Refusal):
    """The queue before the writer is full."""

    code = "node.overloaded"
    kind = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__("the node has more to do than it can take: try again shortly, with the same request key")


class TooManyFollowers(Refusal):
    """The bound on event streams."""

    code = "events.too_many_followers"
    kind = Kind.TOO_MANY

    def __init__(self) -> None:
        super().__init__(f"{FOLLOWERS_MAX} clients follow the events already")


class Observer(Protocol):
    """Counts what happens, for metrics."""

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        """A commit: how many inputs, how long it took from decision to disk, how many wait now."""

    def observe_committed(self, effect: Committed) -> None:
        """A record became durable."""

    def observe_notice(self, effect: StoreNotice) -> None:
        """Something about the store: pruned, damaged, mended."""

    def observe_recheck(self, finding: Finding) -> None:
        """A job was run again before it was paid for."""

    def observe_executor(self, effect: ExecutorNotice) -> None:
        """Something about this node as an executor."""

    def observe_refusal(self, code: str) -> None:
        """A caller's command was refused."""

    def observe_dropped_peer(self) -> None:
        """A connection was ended by us."""

    def observe_other_version(self) -> None:
        """A peer speaks another version of our protocols, or none."""


class Drivers:
    """Between engine and world. Satisfies `adapters.network.ports.NetworkListener`."""

    def __init__(
        self,
        *,
        writer: Writer,
        network: Network | None,
        executions: Callable[["Drivers"], Executions],
        observer: Observer,
        loop: asyncio.AbstractEventLoop,
        dial: Callable[[Multiaddr], None],
    ) -> None:
        """`executions` gets these drivers to report to; `dial` keeps an address connected, once the network is up."""
        self._writer = writer
        self._network = network
        self._observer = observer
        self._loop = loop
        self._executions = executions(self)
        self._callers: dict[int, asyncio.Future[Answer]] = {}
        self._up: dict[PeerId, None] = {}
        """Connected peers, without those being let go."""
        self._strangers: dict[PeerId, str] = {}
        """Those of them that do not speak our protocol, and why they are let go."""
        self._dial_address = dial
        self._dials = False
        self._to_dial: dict[str, None] = {}  # bounded: by INVITATION_ADDRESSES_MAX, of one aim
        """Addresses that the engine asked for before the network had started."""
        self._encoded: tuple[Message | None, bytes] = None, b""
        """The newest message sent, with its bytes."""
        self._topic: str | None = None
        """On which the blocks of this node's federation are published."""
        self._next_token = 1
        self._followers: dict[int, asyncio.Queue[Committed | None]] = {}
        self.view = LiveView(root="", in_sync=None, peers=0, peers_in_sync={}, running=0, waiting_to_join=True)
        self.damaged: dict[Cid, None] = {}  # bounded: DAMAGED_REMEMBERED_MAX, by services.damage
        """Blocks known to be damaged."""
        self.begun = asyncio.Event()
        """The first batch is durable."""
        self.authoring = asyncio.Event()
        """The node may author."""
        self.commit_fault: str | None = None
        """Why the newest commit failed; None when it succeeded."""

    # Callers

    async def ask(self, command: NodeCommand, *, principal: Did, key: str, digest: bytes, correlation: str) -> Answer:
        """The engine's answer, once it is durable.

        Raises:
            Overloaded: the queue is full.
            Fault: the commit failed, and nothing happened; or `AnswerOverdue`.
        """
        token, self._next_token = self._next_token, self._next_token + 1
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._callers[token] = future
        try:
            if not self._offer(Request(token, command, principal, key, digest, correlation)):
                raise Overloaded
            async with asyncio.timeout(ANSWER_SECS_MAX):
                return await future
        except TimeoutError as error:
            raise AnswerOverdue(f"no answer within {ANSWER_SECS_MAX:.0f} s") from error
        finally:
            # A caller that went away does not undo what it asked for; its answer is kept under its request key.
            self._callers.pop(token, None)

    @asynccontextmanager
    async def follow(self) -> AsyncIterator[asyncio.Queue[Committed | None]]:
        """Committed records as they come; None ends the stream of a follower that is too slow."""
        if len(self._followers) >= FOLLOWERS_MAX:
            raise TooManyFollowers
        events: asyncio.Queue[Committed | None] = asyncio.Queue(maxsize=FOLLOWED_EVENTS_MAX)
        number, self._next_token = self._next_token, self._next_token + 1
        self._followers[number] = events
        try:
            yield events
        finally:
            self._followers.pop(number, None)

    # Network in

    def peer_up(self, peer: PeerId, address: str) -> None:
        """See `NetworkListener`."""
        self._up[peer] = None
        if not self._offer(PeerUp(peer.did)):
            self._drop(peer, FULL)

    def peer_down(self, peer: PeerId, reason: str) -> None:
        """See `NetworkListener`."""
        self._up.pop(peer, None)
        self._strangers.pop(peer, None)
        if not self._offer(PeerDown(peer.did)):
            # The engine must hear of it; the queue is full only for a moment.
            self._loop.call_later(0.05, self.peer_down, peer, reason)

    def speaks(self, peer: PeerId, protocols: tuple[str, ...]) -> None:
        """See `NetworkListener`. Who does not speak the protocol of blocks has nothing to say to us."""
        if FEED_PROTOCOL in protocols:
            self._strangers.pop(peer, None)
        elif peer in self._up and peer not in self._strangers:
            self._strangers[peer] = mismatch(FEED_PROTOCOL, protocols)
            self._loop.call_later(NOTICE_SECS, self._let_go, peer)

    def message(self, peer: PeerId, protocol: str, payload: bytes) -> None:
        """See `NetworkListener`."""
        if peer not in self._up:
            return  # it is being let go; what it still says is not worth reading
        try:
            received = Received(peer.did, decode_message(protocol, payload))
        except PeerViolation as violation:
            self._drop(peer, str(violation))
            return
        if not self._offer(received, len(payload)):
            self._drop(peer, FULL)

    def delivered(self, delivery: Delivery) -> None:
        """See `NetworkListener`."""
        try:
            message = decode_message(FEED_PROTOCOL, delivery.payload)
        except PeerViolation:
            message = None
        if not isinstance(message, Announce):
            self._judge(delivery.token, Verdict.REJECT)
        elif (
            delivery.topic != self._topic
            or delivery.bearer not in self._up
            or not self._offer(
                Gossiped(delivery.token, delivery.bearer.did, delivery.author.did, message), len(delivery.payload)
            )
        ):
            self._judge(delivery.token, Verdict.IGNORE)

    # Executions in

    def execution_ended(self, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        """An execution of ours ended."""
        if not self._offer(Executed(request, outcome)) and not self._loop.is_closed():
            self._loop.call_later(0.05, self.execution_ended, request, outcome)

    def conditions(self, conditions: Conditions) -> bool:
        """What the machine allows has changed. False when the queue is full: tell it again."""
        self._executions.try_waiting()
        return self._offer(conditions)

    # Effects out

    def report(self, report: Report) -> None:
        """What a batch led to."""
        match report:
            case BatchFailed(tokens, fault):
                self.commit_fault = str(fault)
                self._fail(tokens, fault)
                # What peers said in that batch is lost, greetings among it: every conversation begins anew.
                for peer in list(self._up):
                    self._drop(peer, "a commit failed here")
            case BatchDone(outcome, view, inputs, seconds):
                self._take_view(view)
                self.commit_fault = None
                self._observer.observe_batch(inputs=inputs, seconds=seconds, depth=self._writer.depth)
                for reply in outcome.replies:
                    if isinstance(reply.answer, Refused):
                        self._observer.observe_refusal(reply.answer.code)
                    future = self._callers.get(reply.token)
                    if future is not None and not future.done():
                        future.set_result(reply.answer)
            case EngineReplaced():
                for peer in list(self._up):
                    self._drop(peer, "this node changes its federation")
            case MayLeave(effects):
                for effect in effects:
                    self._do(effect)
            case _:
                assert_never(report)

    def _note(self, notice: StoreNotice) -> None:
        match notice:
            case ContentPruned(blocks, size):
                log.info("content pruned", blocks=blocks, bytes=size)
            case BlockDamaged(cid):
                self.damaged[cid] = None
                log.error("block damaged", cid=str(cid), detail="its bytes are not what it names; it is not served")
            case BlockMended(cid):
                self.damaged.pop(cid, None)
                log.warning("block mended", cid=str(cid))

    def _take_view(self, view: LiveView) -> None:
        was_held, was_joining, self.view = self.view.held, self.view.joining, view
        self.begun.set()
        if view.joining != was_joining:
            log.warning("membership", detail=view.joining or "this node is a member")
        if view.held:
            self.authoring.clear()
            if not was_held:
                log.warning("held", detail=view.held)
        else:
            self.authoring.set()
            if was_held:
                log.warning("not held any more", detail="this node writes again")

    def end_executions(self) -> None:
        """The node stops: see `Executions.end`."""
        self._executions.end()

    def end_followers(self) -> None:
        """The node stops: streams end."""
        for events in self._followers.values():
            self._tell(events, None)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Committed():  # first what most effects are
                self._tell_of(effect)
            case Send(peer, message, data):
                self._send(PeerId.of(peer), message, data)
            case BidAnswered() | PhaseEnded():
                self._observer.observe_executor(effect)
            case Dial(address):
                self._dial(address)
            case Subscribe(topic):
                self._subscribe(topic)
            case Publish(topic, message):
                self._publish(topic, message)
            case Judge(token, verdict):
                self._judge(token, verdict)
            case Disconnect(peer, reason):
                self._drop(PeerId.of(peer), reason)
            case RunJob(request, module):
                self._executions.run(request, module)
            case StopJob(job, attempt):
                self._executions.stop(job, attempt)
            case ContentPruned() | BlockDamaged() | BlockMended():
                self._note(effect)
                self._observer.observe_notice(effect)
            case Rechecked(finding):
                self._observer.observe_recheck(finding)
            case _:
                assert_never(effect)

    def _tell_of(self, committed: Committed) -> None:
        self._observer.observe_committed(committed)
        event = committed.record.event
        if isinstance(event, EquivocationProven):
            who = {"member": str(event.accused), "number": event.sequence, "proved_by": str(committed.author)}
            log.error("a member signed two histories", **who)
        if isinstance(event, NodeRemoved):
            log.warning("a member was removed", member=str(event.node), counted_by=str(committed.author))
        for events in self._followers.values():
            self._tell(events, committed)

    def _fail(self, tokens: tuple[int, ...], fault: Fault) -> None:
        for token in tokens:
            future = self._callers.get(token)
            if future is not None and not future.done():
                future.set_exception(fault)

    def fail_all(self, fault: Fault) -> None:
        """The writer is gone: nobody waits for ever."""
        self._fail(tuple(self._callers), fault)

    @staticmethod
    def _tell(events: asyncio.Queue[Committed | None], item: Committed | None) -> None:
        if events.full():
            while not events.empty():
                events.get_nowait()
            item = None  # cut off; the follower reads the rest from its cursor
        events.put_nowait(item)

    def _offer(self, input_: Input, size: int = 0) -> bool:
        """Whether it is queued. Who had most waiting may have had to make way for it, and is let go."""
        offered = self._writer.offer(input_, size)
        for dropped in offered.dropped:
            if isinstance(dropped, Gossiped):
                self._judge(dropped.token, Verdict.IGNORE)
        if offered.ousted is not None:
            self._drop(PeerId.of(offered.ousted), FULL)
        return offered.is_taken

    def _send(self, to: PeerId, message: Message, data: bytes | None) -> None:
        if self._network is None or to not in self._up or to in self._strangers:
            return
        if not self._network.send(to, protocol_of(message), data or self._bytes_of(message)):
            self._drop(to, "what waits for it exceeds its bound")

    def _bytes_of(self, message: Message) -> bytes:
        """What goes to several peers goes to them one after the other, and is encoded once."""
        if message is not self._encoded[0]:
            self._encoded = message, encode_message(message)
        return self._encoded[1]

    def network_started(self) -> None:
        """The network dials from now on."""
        self._dials = True
        for address in tuple(self._to_dial):
            self._dial(address)
        self._to_dial.clear()

    def _dial(self, address: str) -> None:
        if not self._dials:
            self._to_dial[address] = None
            return
        try:
            self._dial_address(Multiaddr.parse(address))
        except (DialFailed, Invalid) as error:
            log.warning("address not dialled", address=address, why=str(error))

    def _let_go(self, peer: PeerId) -> None:
        reason = self._strangers.get(peer)
        if reason is not None:
            self._observer.observe_other_version()
            self._drop(peer, reason)

    def _subscribe(self, topic: str) -> None:
        """A node is in one federation at a time: the topic takes the place of the one before."""
        if self._network is None or topic == self._topic:
            return
        if self._topic is not None:
            self._network.unsubscribe(self._topic)
        self._topic = topic
        self._network.subscribe(topic)

    def _publish(self, topic: str, message: Announce) -> None:
        if self._network is None:
            return
        try:
            self._network.publish(topic, encode_message(message))
        except PublicationDropped as dropped:
            log.warning("publication dropped", topic=topic, detail=f"{dropped}; peers ask for what they lack")

    def _judge(self, token: bytes, verdict: Verdict) -> None:
        if self._network is not None:
            self._network.judge(token, verdict)

    def _drop(self, peer: PeerId, reason: str) -> None:
        if self._network is not None and peer in self._up:  # once, however much was still to be said to it
            del self._up[peer]
            log.warning("peer dropped", peer=str(peer), reason=reason)
            self._observer.observe_dropped_peer()
            self._network.disconnect(peer, reason)


def run_guarded(run: Callable[[], None], ended: Callable[[Exception | None], None]) -> threading.Thread:
    """A started thread that runs `run` and tells `ended`, on that thread, how it went."""

    def target() -> None:
        try:
            run()
        except Exception as error:  # noqa: BLE001 - the outermost layer of a thread; lifecycle stops the node with it
            ended(error)
        else:
            ended(None)

    thread = threading.Thread(target=target, name="icn-writer", daemon=True)
    thread.start()
    return thread
