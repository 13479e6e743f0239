"""What peers say, and this node to itself, finds the service whom it concerns.

Every message between nodes comes through here, and each kind goes one way. What is said by a stranger, or while the
node is held, is left alone where it does not count: what matters comes again from its sender's outbox.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from icn.kernel.errors import Refusal, require
from icn.kernel.ids import Did
from icn.protocol.codec import decode_message
from icn.protocol.messages import (
    MESH_PROTOCOL,
    Acknowledged,
    Announce,
    AssignmentRefused,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    Blocks,
    Chunk,
    ExecutionBegun,
    ExecutionCancelled,
    Fetch,
    Heads,
    Hello,
    InvitationAnswered,
    InvitationPresented,
    JobAnnounced,
    MeshMessage,
    Message,
    NotHere,
    OutputPledged,
    ReceiptSent,
    Want,
    WantNamed,
)
from icn.services.content import ContentService
from icn.services.effects import Send
from icn.services.executing import ExecutorService
from icn.services.inviting import InvitingService
from icn.services.joining import JoiningService
from icn.services.mesh import HomeService
from icn.services.peers import Peers
from icn.services.replication import ReplicationService
from icn.services.seeking import SeekingService
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class Reception:
    """Knows who takes what; keeps nothing."""

    peers: Peers
    replication: ReplicationService
    inviting: InvitingService
    joining: JoiningService
    seeking: SeekingService
    content: ContentService
    home: HomeService
    executor: ExecutorService
    executes: bool
    """Whether this node takes jobs."""

    def part_for_good(self, work: UnitOfWork, node: Did) -> None:
        """It has left, and is a stranger from now on: nothing waits for it, and nothing is expected of it."""
        work.outbox.remove_all(work.batch, node)
        self.replication.estrange(work, node)
        self.executor.peer_gone(node)
        self.content.peer_gone(work, node)
        if work.may_author:
            self.home.executor_left(work, node)

    def lose(self, work: UnitOfWork, peer: Did) -> None:
        """It is connected no more."""
        self.replication.part(peer)
        self.executor.peer_gone(peer)
        self.content.peer_gone(work, peer)
        self.joining.part(peer)
        if work.may_author:
            self.home.peer_gone(work, peer)

    def receive(self, work: UnitOfWork, peer: Did, message: Message, why_held: Callable[[], Refusal]) -> None:
        """What a connected peer says. `why_held`: why nothing is recorded here, where that is so.

        Raises:
            PeerViolation: it may not say so.
        """
        match message:
            case Fetch(cid) if not work.state.federation.gives_content_to(peer):
                if self.peers.is_here(peer):
                    work.send(peer, NotHere(cid))
            case Fetch() | Chunk() | NotHere():
                if self.peers.is_here(peer):
                    self.content.receive(work, peer, message)
            case Hello():
                self.seeking.meet(work, peer, message)
                self.replication.receive(work, peer, message)
                self.joining.peer_here(work, peer)
                if work.may_author:
                    self.welcome(work, peer, executes=message.executes)
            case Heads() | Want() | Blocks() | Announce() | WantNamed():
                self.replication.receive(work, peer, message)
            case InvitationPresented():
                held = None if work.may_author else why_held()
                self.inviting.take_presented(work, peer, message, held)
            case InvitationAnswered():
                self.joining.take_answer(work, peer, message)
            case Acknowledged(number):
                if self.peers.is_here(peer):
                    work.outbox.remove(work.batch, peer, number)
            case _:
                # A held node leaves it unanswered: what matters comes again from its sender's outbox.
                if self.peers.is_here(peer) and work.may_author:
                    self._receive_mesh(work, peer, message)

    def welcome(self, work: UnitOfWork, peer: Did, *, executes: bool) -> None:
        """A peer of our federation is here: what waits for it goes out again, once per connection and standing."""
        view = self.peers.views.get(peer)
        standing = 0 if view is None or not view.greeted else 1 if view.federation is None else 2
        if view is None or standing <= view.welcomed:
            return
        view.welcomed = standing
        send_again(work, work.outbox.messages_for(peer), peer)
        self.home.peer_here(work, peer, executes=executes)
        self.executor.peer_here(work, peer)

    def _receive_mesh(self, work: UnitOfWork, peer: Did, message: MeshMessage) -> None:
        match message:
            case JobAnnounced():
                if self.executes:
                    self.executor.take_announcement(work, peer, message)
            case AssignmentSent():
                self.executor.take_assignment(work, peer, message)
            case ExecutionCancelled():
                self.executor.take_cancellation(work, peer, message)
            case BidOffered():
                self.home.take_bid(work, peer, message)
            case BidDeclined():
                self.home.take_decline(work, peer, message)
            case ExecutionBegun():
                self.home.take_start(work, peer, message)
            case AssignmentRefused():
                self.home.take_refusal(work, peer, message)
            case ReceiptSent():
                self.home.take_receipt(work, peer, message)
            case Acknowledged(number):
                work.outbox.remove(work.batch, peer, number)
            case OutputPledged():
                self.home.take_pledge(work, peer, message)
            case _:
                assert_never(message)

    def drain_local(self, work: UnitOfWork) -> None:
        """Messages of this node to itself: home and executor in one."""
        while work.local:
            message = work.local.popleft()
            match message:
                case Fetch() | Chunk() | NotHere():
                    self.content.receive(work, work.did, message)
                case (
                    Hello()
                    | Heads()
                    | Want()
                    | Blocks()
                    | Announce()
                    | WantNamed()
                    | InvitationPresented()
                    | InvitationAnswered()
                ):
                    require(condition=False, what_must_hold="a node does not replicate with itself")
                case _:
                    self._receive_mesh(work, work.did, message)


def send_again(work: UnitOfWork, messages: list[bytes], peer: Did) -> None:
    """Messages of the outbox, after the commit."""
    for encoded in messages:
        work.effects.append(Send(peer, decode_message(MESH_PROTOCOL, encoded)))
