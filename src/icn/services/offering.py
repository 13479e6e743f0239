"""What this executor answers to announcements: an offer, a reason why none will come, or its turn later (semantics §5).

An offer reserves a place and memory until its bidding is over. Whoever finds none is told so at once, so that its home
need not wait, and gets an offer when its turn comes.

Not here: counting (capacity), the order of turns (waiting), what an assignment leads to (executing).
"""

from dataclasses import dataclass, field

from icn.domain.mesh.model import Bid, JobSpec, Status
from icn.domain.mesh.papers import is_attempt, seal_bid
from icn.domain.mesh.pricing import price_of
from icn.kernel.errors import Invalid, PeerViolation
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import MIB
from icn.kernel.mana import Mana
from icn.protocol.messages import BidDeclined, BidOffered, JobAnnounced
from icn.services import rows
from icn.services.capacity import Capacity, ExecutorLoad, Reservation
from icn.services.effects import BidAnswered, BidOutcome, ExecutionPhase, PhaseEnded
from icn.services.inputs import Conditions, Strain
from icn.services.settings import ExecutorTerms
from icn.services.unsettled import Unsettled
from icn.services.waiting import WaitingList
from icn.services.work import UnitOfWork

RESERVATION_GRACE = Duration(2_000)
"""What an offer stays good for beyond its bidding: the assignment is on its way."""

RESERVED_WINDOW_MAX = Duration(60_000)
"""A home may say any window; a place is not kept for longer than this. One that announces again keeps it longer only
while no other home waits for one."""


_LACKS = {Strain.QUEUE: "time to write", Strain.DISK: "disk space", Strain.MEMORY: "memory"}


LOOK_AGAIN_AFTER = Duration(1_000)
"""A home that fills its part of the list has it searched for what is over no more often: each search asks the store."""


@dataclass(slots=True)
class OfferingService:
    """Owns what was promised and who waits. Soft state: after a start homes announce again."""

    terms: ExecutorTerms
    capacity: Capacity
    waiting: WaitingList = field(default_factory=WaitingList)
    _looked_at: dict[Did, Instant] = field(default_factory=dict)
    """When each connected home's part of a full list was searched last."""
    unsettled: Unsettled = field(default_factory=Unsettled)
    strain: Strain | None = None

    def note(self, conditions: Conditions) -> None:
        """What may be offered from now on. Promises are kept, and what runs goes on."""
        self.capacity.places = min(self.terms.capacity, conditions.places)
        self.strain = conditions.strain

    def load(self, now: Instant) -> ExecutorLoad:
        """How busy this node is."""
        return ExecutorLoad(self.capacity.usage(now), len(self.waiting), self.strain)

    def take_announcement(self, work: UnitOfWork, home: Did, message: JobAnnounced) -> None:
        """A job looks for executors."""
        if not work.state.federation.has_joined(home):
            return  # it has no account to pay from
        if not is_attempt(message.attempt) or is_of_another(work, home, message.job):
            raise PeerViolation("a home announces attempts at its own jobs")
        execution = work.state.mesh.executions.get((work.did, message.job, message.attempt))
        if execution is not None and execution.home == home:
            return  # it was assigned before its announcement came
        if execution is not None or rows.execution_ended(work.get, work.did, message.job, message.attempt):
            # Somebody else used the name before the home's blocks came. An assignment under it would look like one that
            # comes twice, so none is asked for.
            work.effects.append(BidAnswered(BidOutcome.BUSY))
            work.send(home, BidDeclined(message.job, message.attempt, "an attempt of this name was assigned before"))
            return
        try:
            message.spec.check()
        except Invalid as error:
            raise PeerViolation(f"an announced job is within bounds: {error}") from error
        key = (home, message.job, message.attempt)
        if message.attempt > 1:
            for earlier in [k for k in self.capacity.reserved if k[:2] == key[:2] and k[2] < message.attempt]:
                self.capacity.release(earlier)
        promise = self.capacity.reserved.get(key)
        if (
            promise is not None
            and work.wall >= later(promise.since, RESERVED_WINDOW_MAX)
            and self.waiting.has_others(home)
        ):
            self.capacity.release(key)  # it has had its turn, and may wait for the next one
        if self.capacity.renew(key, _good_until(work, message), work.wall):
            self._bid(work, home, message)  # announced again, as to who may not have heard: the same offer
            return
        outcome, reason = self.refusal(work, home, message.spec)
        if outcome is None:
            if self._wait(work, home, message):
                self.offer_to_waiting(work)
                if key not in self.waiting:
                    return
                outcome, reason = BidOutcome.BUSY, "busy"
            else:
                outcome, reason = BidOutcome.CROWDED, "busy, and as many wait already as may"
        work.effects.append(BidAnswered(outcome))
        work.send(home, BidDeclined(message.job, message.attempt, reason))

    def offer_to_waiting(self, work: UnitOfWork) -> None:
        """Offer what is free to those who wait, in their order."""
        while self.strain is None and (waits := self.waiting.first()) is not None:
            if _is_over(work, waits.message):
                self.waiting.serve()
            elif self.capacity.fits(waits.message.spec.limits.memory_bytes, work.wall):
                self.waiting.serve()
                work.effects.append(PhaseEnded(ExecutionPhase.WAIT, Duration(max(0, work.wall - waits.since))))
                self._offer(work, waits.home, waits.message)
            else:
                return

    def tick(self, work: UnitOfWork) -> None:
        """Offers that were not taken up free their place."""
        self.capacity.expire(work.wall)
        if work.state.mesh.touched.jobs:
            for key in [key for key in self.capacity.reserved if was_given_away(work, key[1], key[2])]:
                self.capacity.release(key)
            for home in dict.fromkeys(job.home for job in work.state.mesh.touched.jobs.values()):
                self.waiting.remove(home, lambda waits: was_given_away(work, waits.job, waits.attempt))
        self.offer_to_waiting(work)

    def is_contested(self, home: Did, job: JobId) -> bool:
        """Whether something is promised to another home under the name of this job: one of the two lies."""
        return any(key[1] == job and key[0] != home for key in self.capacity.reserved)

    def withdraw(self, home: Did, job: JobId, attempt: int) -> None:
        """The home wants no bid for this attempt any more, and will take up none."""
        self.capacity.release((home, job, attempt))
        self.waiting.remove(home, lambda waits: (waits.job, waits.attempt) == (job, attempt))

    def home_gone(self, home: Did) -> None:
        """Its announcements will be made again when it is back; until then it can give us nothing to do."""
        self.capacity.release_home(home)
        self.waiting.remove_home(home)
        self._looked_at.pop(home, None)

    def clear(self) -> None:
        """As at a start: every conversation begins anew."""
        self.capacity.clear()
        self.waiting.clear()
        self._looked_at.clear()

    def price(self, spec: JobSpec) -> Mana:
        """What this node asks for the job."""
        return price_of(spec, self.terms.rates)

    def refusal(self, work: UnitOfWork, home: Did, spec: JobSpec) -> tuple[BidOutcome | None, str]:
        """Why this job gets no offer here, and need not wait for one."""
        if self.strain is not None:
            return BidOutcome.STRAINED, f"this node takes no jobs at present: it is short of {_LACKS[self.strain]}"
        owed = self.unsettled.overdue(home, work.wall, self.terms.unsettled_after)
        if self.terms.refuses(owed):
            return BidOutcome.UNPAID, f"{owed} receipts of this node are overdue at that home"
        price, memory = self.price(spec), spec.limits.memory_bytes
        if price > spec.max_price:
            return BidOutcome.PRICE, f"the price here is {price}"
        if any(name not in self.terms.capabilities for name in spec.capabilities):
            return BidOutcome.CAPABILITY, "a capability is not offered here"
        if memory > self.capacity.memory_bytes:
            most = self.capacity.memory_bytes // MIB
            return BidOutcome.MEMORY, f"its limit of memory is {-(-memory // MIB)} MiB, and all jobs here share {most}"
        return None, ""

    def _wait(self, work: UnitOfWork, home: Did, message: JobAnnounced) -> bool:
        if self.waiting.add(home, message, work.wall):
            return True
        looked_at = self._looked_at.get(home)
        if looked_at is not None and work.wall < later(looked_at, LOOK_AGAIN_AFTER):
            return False
        self._looked_at[home] = work.wall
        self.waiting.remove(home, lambda waits: _is_over(work, waits))
        return self.waiting.add(home, message, work.wall)

    def _offer(self, work: UnitOfWork, home: Did, message: JobAnnounced) -> None:
        promise = Reservation(work.wall, _good_until(work, message), message.spec.limits.memory_bytes)
        self.capacity.reserve((home, message.job, message.attempt), promise, work.wall)
        self._bid(work, home, message)

    def _bid(self, work: UnitOfWork, home: Did, message: JobAnnounced) -> None:
        bid = Bid(
            job=message.job,
            attempt=message.attempt,
            home=home,
            executor=work.did,
            price=self.price(message.spec),
            capabilities=self.terms.capabilities,
        )
        work.effects.append(BidAnswered(BidOutcome.OFFERED))
        work.send(home, BidOffered(seal_bid(bid, work.signer)))


def _good_until(work: UnitOfWork, message: JobAnnounced) -> Instant:
    window = min(max(0, message.window_ms), RESERVED_WINDOW_MAX)
    return later(work.wall, Duration(window + RESERVATION_GRACE))


def is_of_another(work: UnitOfWork, home: Did, job_id: JobId) -> bool:
    """Whether the blocks that are here say that the job is another home's: its id is made of that one's name.

    Blocks may come later than messages: of a job that is not known, or has ended, nothing is said.
    """
    mesh = work.state.mesh
    job = mesh.jobs.get(job_id) or mesh.touched.jobs.get(job_id)
    return job is not None and job.home != home


def was_given_away(work: UnitOfWork, job_id: JobId, attempt: int) -> bool:
    """Whether the home's blocks say that the attempt is over, or that somebody else has it.

    Blocks may come later than messages: a job that is not known, or not yet at this attempt, says nothing.
    """
    mesh = work.state.mesh
    job = mesh.jobs.get(job_id) or mesh.touched.jobs.get(job_id)  # what ended is in the latter, until the commit
    if job is None or job.attempt < attempt:
        return False
    if job.status.has_ended or job.attempt > attempt:
        return True
    return job.status is not Status.BIDDING and job.assignee(work.did) is None


def _is_over(work: UnitOfWork, message: JobAnnounced) -> bool:
    """Whether an offer would be in vain, as far as can be known here."""
    if work.wall >= message.spec.deadline or was_given_away(work, message.job, message.attempt):
        return True
    ended = None if message.job in work.state.mesh.jobs else rows.JOBS.get(work.store, message.job.data)
    return ended is not None and ended.status.has_ended
