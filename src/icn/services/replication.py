"""The conversation with peers about blocks: greet, compare, ask for what is missing, answer (semantics §2).

```
 PeerUp ──> Hello ──> (same federation?) ──> counts compared ──> Want ──> Blocks … until nothing is missing
```

Parts of it with a reason of their own to change: `arrivals` what becomes of a block that came, `quarantine` those that
wait, `announcing` who is told of what is here, `gossiping` what is said of what others published, `acknowledging` when
news is acknowledged, `comparing` what is asked where counts are equal and blocks are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from icn.domain.dag.feeds import Clock
from icn.kernel import limits
from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Duration, Instant, later, soonest
from icn.protocol.messages import Announce, Blocks, FeedMessage, Heads, Hello, Want, WantNamed
from icn.services import telling
from icn.services.acknowledging import Acknowledging
from icn.services.announcing import Announcing
from icn.services.arrivals import Arrivals, named
from icn.services.authorship import Authorship
from icn.services.comparing import compare, has_as_much
from icn.services.damage import Damage
from icn.services.equivocation import REMOVED, Equivocations, is_heard_of
from icn.services.gossiping import Gossiping
from icn.services.peers import Peers, PeerView, clock_of_counts
from icn.services.settings import NodeTerms
from icn.services.state import State
from icn.services.work import UnitOfWork
from icn.stores import blocks, keyspace

WANTS_PER_BATCH_MAX = 8
"""Answers to `Want` in one batch. An answer is large and its question small, so the others wait for the next batch."""


DISMISSAL = Duration(1_000)
"""How long a peer that was removed stays connected, so that it can take what it is told."""


@dataclass(slots=True)
class ReplicationService:
    """Owns what is under way with peers."""

    terms: NodeTerms
    peers: Peers
    authorship: Authorship
    arrivals: Arrivals
    announcing: Announcing
    acknowledging: Acknowledging
    gossiping: Gossiping
    seeks: bool
    """Whether the federation of a peer may become this node's, while it has none."""
    former: tuple[Cid, ...] = ()
    """Federations that this node has given up, and had a feed in."""
    sought: tuple[Did, ...] = ()
    """Peers into whose federation this node may change: they are not told of its own, for which they would part."""
    damage: Damage = field(default_factory=Damage)
    """The content service's, where there is one: signed blocks can be damaged as well."""
    named: dict[Did, tuple[Cid, ...]] = field(default_factory=dict)
    """Who waits for blocks that it has asked for by name. The newest question counts here as well."""
    wanted: dict[Did, Clock] = field(default_factory=dict)
    """Who waits for an answer to `Want`, and what it has. The newest question of a peer is the one that counts."""

    @classmethod
    def of(cls, terms: NodeTerms, peers: Peers, authorship: Authorship, forks: Equivocations) -> "ReplicationService":
        """One with nothing under way."""
        replication = terms.replication
        arrivals = Arrivals(peers, authorship, forks, replication.answer_patience)
        return cls(
            terms,
            peers,
            authorship,
            arrivals,
            Announcing(replication, peers),
            Acknowledging(replication),
            Gossiping(peers, arrivals),
            terms.joins,
        )

    def greet(self, work: UnitOfWork, peer: Did) -> None:
        """A peer is connected: say who we are."""
        self.part(peer)
        self.peers.views[peer] = PeerView(peer)
        asks = peer in self.sought
        work.send(peer, Hello(self.terms.agent, None, (), "", executes=False) if asks else self._hello(work, peer))

    def greet_all_again(self, work: UnitOfWork) -> None:
        """This node belongs to a federation now: peers were told otherwise."""
        for peer, view in self.peers.views.items():
            if view.introduced and view.federation is None:
                view.greeted = True  # it asks to be told of a federation, and here is one
            work.send(peer, self._hello(work, peer))

    def part(self, peer: Did) -> None:
        """A peer is gone."""
        self.peers.views.pop(peer, None)
        self.authorship.part(peer)
        self.wanted.pop(peer, None)
        self.named.pop(peer, None)
        self.arrivals.quarantine.drop_sender(peer, self.peers)

    def estrange(self, work: UnitOfWork, peer: Did) -> None:
        """A peer that has left is a stranger, though it may stay connected; the last it hears is that this is known."""
        self.wanted.pop(peer, None)
        self.named.pop(peer, None)
        view = self.peers.views.get(peer)
        if view is not None and view.greeted:
            telling.tell(work, [view])
            view.greeted, view.wanted_at = False, None

    def dismiss(self, work: UnitOfWork, view: PeerView, *, knows: bool = False) -> None:
        """A peer that was removed: what it says is not heard, and the last it hears is what it lacks.

        The record of its removal is among that: one answer's worth each time that it connects, until it knows. `knows`:
        by what it says itself it has that record, and is told nothing more of the federation.
        """
        self.wanted.pop(view.did, None)
        self.named.pop(view.did, None)
        view.greeted, view.wanted_at = False, None
        if view.dismissed_at is None:
            view.dismissed_at = work.wall
            if knows:
                return
            self._answer_want(work, view, dict(view.counts))

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
                self._note(work, view, clock_of_counts(counts), root)
                self._ask_if_behind(work, view)
                self._compare(work, view)
            case Want(counts):
                self.wanted[peer] = clock_of_counts(counts)
            case Blocks(encoded, more):
                progress = self.arrivals.take(work, view, named(encoded))
                if not progress and self.arrivals.quarantine.waiting:
                    # What came waits for its time or for others' blocks; asked at once, it would come again.
                    self.arrivals.want_named(work, view)
                    if self.arrivals.quarantine.missing():
                        self._compare(work, view, was_in_vain=True)
                    return
                view.wanted_at = None
                if more and progress:
                    self.arrivals.want(work, view)
                else:
                    self._ask_if_behind(work, view, again=progress)
                    if not progress:
                        self._compare(work, view, was_in_vain=True)
            case Announce(encoded):
                self.arrivals.take(work, view, named(encoded))
            case WantNamed(cids):
                self.named[peer] = cids

    def answer_wants(self, work: UnitOfWork) -> None:
        """Send to some who asked what they lack, the longest waiting first."""
        for peer in list(self.wanted)[:WANTS_PER_BATCH_MAX]:
            have = self.wanted.pop(peer)
            view = self.peers.views.get(peer)
            if view is not None:
                self._answer_want(work, view, have)
        for peer in list(self.named)[:WANTS_PER_BATCH_MAX]:
            self._answer_named(work, peer, self.named.pop(peer))

    def tick(self, work: UnitOfWork) -> None:
        """Impatience: who was asked and brought nothing is asked again, or another one. Who was dismissed is let go."""
        self.arrivals.tick(work)
        for view in list(self.peers.views.values()):
            if view.dismissed_at is not None and work.wall >= later(view.dismissed_at, DISMISSAL):
                work.violations.append((view.did, REMOVED))
                self.part(view.did)
        patience = self.terms.replication.answer_patience
        for view in self.peers.greeted():
            if view.wanted_at is not None and work.wall >= later(view.wanted_at, patience):
                view.wanted_at = None
                self._ask_if_behind(work, view)
        for author, (sequence, *two) in sorted(self.arrivals.forks.unsaid(work).items()):
            if is_heard_of(work.state, author):  # of others no block is taken, and who brings one is to blame
                self._show(work, author, sequence, two)

    def wake_at(self, wall: Instant) -> Instant | None:
        """When `tick`, or one of the parts, has something to do."""
        moments = [
            self.announcing.wake_at(),
            self.acknowledging.wake_at(),
            self.arrivals.wake_at(wall),
            wall if self.wanted or self.named else None,
        ]
        for view in self.peers.views.values():
            if view.wanted_at is not None:
                moments.append(later(view.wanted_at, self.terms.replication.answer_patience))
            if view.dismissed_at is not None:
                moments.append(later(view.dismissed_at, DISMISSAL))
        return soonest(moments)

    def ask_everybody(self, work: UnitOfWork) -> list[Did]:
        """Tell every peer what is here and ask for what it has besides, at once. Whom."""
        views = self.peers.greeted()
        telling.tell(work, views)
        for view in views:
            self.arrivals.want(work, view)
        return [view.did for view in views]

    def in_sync(self, state: State) -> bool | None:
        """Whether every member that is here last reported our root; None when none is there to compare with."""
        root, views = state.feeds.root(), self.peers.members(state.federation)
        return all(view.root == root for view in views) if views else None

    def _show(self, work: UnitOfWork, author: Did, sequence: int, two: Sequence[Cid]) -> None:
        """Two blocks that prove a fork go to every peer once: a member that gets them proves it."""
        for view in self.peers.greeted():
            if view.shown.get(author) != sequence:
                view.shown[author] = sequence
                held = [data for cid in two if (data := work.get(keyspace.block(cid))) is not None]
                for data in held:  # one message may not hold both
                    work.send(view.did, Announce((data,)))

    def _hello(self, work: UnitOfWork, peer: Did) -> Hello:
        federation = work.state.federation.federation
        return Hello(
            agent=self.terms.agent,
            federation=federation.id if federation is not None else None,
            counts=telling.counts(work, peer),
            root=work.state.feeds.root(),
            executes=self.terms.executor.capacity > 0,
        )

    def _take_hello(self, work: UnitOfWork, view: PeerView, hello: Hello) -> None:
        federation = work.state.federation.federation
        ours = federation.id if federation is not None else self.arrivals.target
        view.introduced = True
        view.agent, view.executes, view.federation = hello.agent[:64], hello.executes, hello.federation
        if federation is None and hello.federation in self.former:
            raise PeerViolation(f"it belongs to a federation that this node has given up ({hello.federation})")
        if federation is None and hello.federation is not None and self._may_follow():
            # The first that is offered, for as long as somebody of it is here: whoever offered a federation that turned
            # out to have no genesis must not keep this node from joining another one for ever.
            others = [other for other in self.peers.views.values() if other.greeted and other is not view]
            if ours is None or not others:
                ours = self.arrivals.target = hello.federation
        if hello.federation is not None and hello.federation != ours:
            raise PeerViolation(f"it belongs to another federation ({hello.federation})")
        banned = self.arrivals.forks.why_banned(work.state, view.did)
        if banned is not None:
            if not work.state.federation.was_removed(view.did):
                raise PeerViolation(banned)
            view.counts = clock_of_counts(hello.counts)
            removals = work.state.federation.removals_of(view.did)
            self.dismiss(work, view, knows=any(view.counts.get(one.by, 0) > one.sequence for one in removals))
            return
        # Who has left is a stranger: it has nothing more to say here, and is told nothing.
        has_left = work.state.federation.has_ended(view.did)
        view.greeted = (hello.federation is not None or federation is not None) and not has_left
        self._note(work, view, clock_of_counts(hello.counts), hello.root)
        self._ask_if_behind(work, view)
        self._compare(work, view)

    def _may_follow(self) -> bool:
        """Whether the federation of a peer may become ours. Of one that is held nobody knows whose it was."""
        return not self.arrivals.is_pinned and (self.seeks or self.authorship.is_held)

    def _note(self, work: UnitOfWork, view: PeerView, counts: dict[Did, int], root: str) -> None:
        if view.greeted:
            self.authorship.hear(view.did)
        view.counts = counts
        view.root = root[:64]
        same = view.root == work.state.feeds.root()
        view.differs_since = None if same else view.differs_since or work.wall

    def _ask_if_behind(self, work: UnitOfWork, view: PeerView, *, again: bool = True) -> None:
        if view.greeted and again and view.wanted_at is None and self._is_behind(work, view):
            self.arrivals.want(work, view)

    def _compare(self, work: UnitOfWork, view: PeerView, *, was_in_vain: bool = False) -> None:
        """`was_in_vain`: it answered `Want`, and brought nothing."""
        is_due = self._is_behind(work, view) if was_in_vain else view.wanted_at is None and has_as_much(work, view)
        if is_due:
            compare(work, view, self.terms.replication.anti_entropy)

    @staticmethod
    def _is_behind(work: UnitOfWork, view: PeerView) -> bool:
        feeds = work.state.feeds
        return any(count > feeds.next_sequence(author) for author, count in view.counts.items())

    def _answer_want(self, work: UnitOfWork, view: PeerView, have: Clock) -> None:
        """Send what is committed beyond `have`, ancestors first, one answer's worth."""
        both = {**view.counts, **have}
        view.counts = both if len(both) <= limits.CLOCK_ENTRIES_MAX else dict(have)
        found: list[bytes] = []
        size = 0
        for cid in blocks.missing_from(work.store, have, telling.asked_for(work.state.feeds, have)):
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

    def _answer_named(self, work: UnitOfWork, peer: Did, cids: tuple[Cid, ...]) -> None:
        """Send the signed blocks among `cids` that are here, in a feed or not, one answer's worth."""
        found: list[bytes] = []
        size = 0
        for cid in cids:
            is_signed = blocks.get_meta(work.store, cid) is not None or blocks.is_evidence(work.store, cid)
            data = blocks.get_bytes(work.store, cid) if is_signed else None
            if data is None:
                continue
            if found and size + len(data) > limits.CATCHUP_BYTES_MAX:
                break  # what is lacking still is asked for again
            if not cid.names(data):
                self.damage.note(work, cid)
                continue
            found.append(data)
            size += len(data)
        if found:
            work.send(peer, Blocks(tuple(found), more=False))
