"""Bids for the jobs of this home: who is asked, who has answered, and when enough have (semantics §5).

```
 opened ─> announced to whom a bid is expected of ─> offers and refusals ─> all answered, or the window over ─> closing
```

Soft state: after a crash bidding opens again. Which offer wins is `domain.mesh.placement`'s; who decides to close is
`services.mesh`.
"""

from dataclasses import dataclass, field

from icn.domain.mesh import placement
from icn.domain.mesh.commands import CloseBidding, Offer
from icn.domain.mesh.model import Job, Status
from icn.domain.mesh.papers import open_bid
from icn.kernel import limits
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Did, JobId
from icn.protocol.messages import BidDeclined, BidOffered, JobAnnounced
from icn.services.peers import Peers
from icn.services.work import UnitOfWork

REASONS_TOLD_MAX = 4
REASON_TOLD_CHARS_MAX = 120
"""Of why executors decline: for a person, and part of a record."""


@dataclass(slots=True)
class _Bidding:
    """Offers for one attempt, by executor, and who said that none will come."""

    attempt: int
    offers: dict[Did, Offer] = field(default_factory=dict)
    declined: dict[Did, str] = field(default_factory=dict)
    """With the reason that each gave."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why there are no offers, each reason once."""
        return tuple(dict.fromkeys(self.declined.values()))[:REASONS_TOLD_MAX]


@dataclass(slots=True)
class Biddings:
    """Those under way at this home."""

    peers: Peers
    executes: bool
    """Whether this node takes jobs itself."""
    _open: dict[JobId, _Bidding] = field(default_factory=dict)  # bounded: by the open jobs of this home

    def clear(self) -> None:
        """After a start: all are to be made anew."""
        self._open.clear()

    def begin(self, work: UnitOfWork, job: Job) -> None:
        """Take bids for the job's attempt from now on, and ask for them."""
        self._open[job.id] = _Bidding(job.attempt)
        self._announce(work, job, self.expected(work))

    def end(self, job_id: JobId) -> None:
        """No bid for it counts any more."""
        self._open.pop(job_id, None)

    def jobs(self) -> list[JobId]:
        """Those that take bids."""
        return list(self._open)

    def take_offer(self, work: UnitOfWork, peer: Did, message: BidOffered) -> JobId | None:
        """An executor offers; gives the job that has one answer more. Raises `PeerViolation`."""
        try:
            bid = open_bid(message.bid)
        except Invalid as error:
            raise PeerViolation(f"a bid is genuine: {error}") from error
        if bid.executor != peer or bid.home != work.did:
            raise PeerViolation("an executor bids for itself, at the job's home")
        bidding = self._under_way(work, bid.job, bid.attempt)
        # At its own home: anybody may open an account for it elsewhere, and that home decides about what lies there.
        payable = work.state.ledger.account(peer, peer) is not None and work.state.federation.has_joined(peer)
        if bidding is None or not payable or work.outbox.is_full(peer):
            return None  # too late, or an executor that cannot be paid or reached yet
        if len(bidding.offers) < limits.BIDS_PER_ATTEMPT_MAX:
            bidding.declined.pop(peer, None)
            bidding.offers[peer] = Offer(bid, account_home=peer)
        return bid.job

    def take_decline(self, work: UnitOfWork, peer: Did, message: BidDeclined) -> JobId | None:
        """An executor says that no bid will come, or that its bid holds no more; gives the job that was answered.

        Who had promised and was cut off from us promises its place to others. Messages of one link are in order.
        """
        bidding = self._under_way(work, message.job, message.attempt)
        if bidding is None:
            return None
        bidding.offers.pop(peer, None)
        bidding.declined[peer] = message.reason[:REASON_TOLD_CHARS_MAX]
        return message.job

    def drop_offers_of(self, executor: Did) -> None:
        """It will take no assignment: what it has offered counts no more."""
        for bidding in self._open.values():
            bidding.offers.pop(executor, None)

    def announce_all(self, work: UnitOfWork, executor: Did) -> None:
        """Tell an executor that came, or may take jobs again, what is open."""
        for job_id in list(self._open):
            self._announce(work, work.state.mesh.jobs[job_id], [executor])

    def expected(self, work: UnitOfWork) -> list[Did]:
        """Whose bids are asked for and waited for: executors in reach that can be paid and are not barred here.

        This node is one if it takes jobs. Nobody waits for a stranger's word, nor for that of a banned executor.
        """
        peers = [peer for peer in self.peers.executors() if work.state.federation.has_joined(peer)]
        ourselves = [work.did] if self.executes else []
        return [who for who in (*ourselves, *peers) if not work.state.mesh.is_barred(work.did, who, work.now)]

    def is_answered(self, work: UnitOfWork, job_id: JobId) -> bool:
        """Whether the window may close early: every executor in reach has answered, and enough of them suit."""
        bidding = self._open.get(job_id)
        job = work.state.mesh.jobs.get(job_id)
        if bidding is None or job is None:
            return False
        if not all(who in bidding.offers or who in bidding.declined for who in self.expected(work)):
            return False
        suits = [offer for offer in bidding.offers.values() if placement.is_eligible(job, offer)]
        free = [offer for offer in suits if not work.state.mesh.is_barred(work.did, offer.bid.executor, work.now)]
        return len(free) >= job.spec.redundancy

    def closing(self, job_id: JobId) -> CloseBidding:
        """The command that ends it with what has come."""
        bidding = self._open.get(job_id)
        if bidding is None:
            return CloseBidding(job_id, ())
        return CloseBidding(job_id, tuple(bidding.offers.values()), bidding.reasons)

    def reasons(self, job_id: JobId) -> tuple[str, ...]:
        """Why executors declined, each reason once."""
        bidding = self._open.get(job_id)
        return () if bidding is None else bidding.reasons

    def reasons_now(self, job: Job) -> tuple[str, ...]:
        """The same for the attempt for which bids are taken; nothing after it."""
        bidding = self._open.get(job.id)
        return () if bidding is None or bidding.attempt != job.attempt else bidding.reasons

    def answers(self, work: UnitOfWork, job: Job) -> tuple[int, int, int] | None:
        """How many offered, declined, and are expected to say one or the other, while bids for a job are taken here."""
        bidding = self._open.get(job.id)
        if bidding is None or bidding.attempt != job.attempt or job.status is not Status.BIDDING:
            return None
        answered = dict.fromkeys((*bidding.offers, *bidding.declined, *self.expected(work)))
        return len(bidding.offers), len(bidding.declined), len(answered)

    def _announce(self, work: UnitOfWork, job: Job, to: list[Did]) -> None:
        window = max(0, job.due_at - work.wall)
        message = JobAnnounced(job.id, job.attempt, window, job.spec)
        for peer in to:
            work.send(peer, message)

    def _under_way(self, work: UnitOfWork, job_id: JobId, attempt: int) -> _Bidding | None:
        """The bidding for this attempt, which a restart may have left to be made anew."""
        job = work.state.mesh.jobs.get(job_id)
        if job is None or job.home != work.did or job.status is not Status.BIDDING or job.attempt != attempt:
            return None
        return self._open.setdefault(job_id, _Bidding(attempt))
