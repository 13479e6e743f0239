"""A job at its executor: offer, accept, fetch, run, sign (semantics §5).

An offer reserves capacity until its bidding is over, so two bids never promise the same place and none is reserved for
ever. An accepted assignment and the receipt that answers it are records in this node's feed: after a crash what was
accepted and not answered is run again, and an assignment that comes twice is run once.
"""

from dataclasses import dataclass, field

from icn.domain.mesh.events import AssignmentAccepted, ReceiptIssued
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Assignment, Bid, Execution, JobSpec, Receipt, Status
from icn.domain.mesh.papers import open_assignment, seal_bid, seal_receipt
from icn.domain.mesh.rules import price_of
from icn.domain.mesh.state import ExecutionKey
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import JOB_WALL_MS_MAX
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    OUTPUT_INLINE_BYTES_MAX,
    Acknowledged,
    AssignmentRefused,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    ExecutionBegun,
    ExecutionCancelled,
    JobAnnounced,
    ReceiptSent,
)
from icn.services import rows
from icn.services.content import ContentService
from icn.services.effects import RunJob, StopJob
from icn.services.peers import Peers
from icn.services.settings import NodeTerms
from icn.services.work import UnitOfWork

WAITING_ANNOUNCEMENTS_MAX = 1024
DETAIL_CHARS_MAX = 512
RESERVATION_GRACE = Duration(2_000)
"""What an offer stays good for beyond its bidding: the assignment is on its way."""

RESERVED_WINDOW_MAX = Duration(60_000)
"""A home may say any window; a place is not kept for longer than this."""

ATTEMPT_MS_MAX = Duration(2 * JOB_WALL_MS_MAX)
"""A home may say any deadline; an assignment whose module never comes keeps its place no longer than this."""

BidKey = tuple[JobId, int]


@dataclass(slots=True)
class ExecutorService:
    """Owns reservations, announcements that wait for a free place, and which executions have been started."""

    terms: NodeTerms
    peers: Peers
    content: ContentService
    _reserved: dict[BidKey, tuple[Instant, Did]] = field(default_factory=dict)
    """Until when, and for which home."""
    _waiting: dict[BidKey, tuple[Did, JobAnnounced]] = field(default_factory=dict)
    _started: dict[ExecutionKey, None] = field(default_factory=dict)

    def resume(self, work: UnitOfWork) -> None:
        """After a start: run again what was accepted and not answered."""
        self._reserved.clear()
        self._waiting.clear()
        self._started.clear()
        for execution in self._own(work):
            self._begin(work, execution)

    def take_announcement(self, work: UnitOfWork, peer: Did, message: JobAnnounced) -> None:
        """A job looks for executors."""
        key = (message.job, message.attempt)
        if key in self._reserved or not work.state.federation.has_joined(peer):
            return  # announced twice, our offer is under way; or by who has no account to pay from
        try:
            message.spec.check()
        except Invalid as error:
            raise PeerViolation(f"an announced job is within bounds: {error}") from error
        spec = message.spec
        price = self._price(spec)
        if price > spec.max_price:
            self._decline(work, peer, message, f"the price here is {price}")
        elif any(name not in self.terms.executor.capabilities for name in spec.capabilities):
            self._decline(work, peer, message, "a capability is not offered here")
        elif self._free(work) <= 0:
            self._decline(work, peer, message, "busy")
            if len(self._waiting) < WAITING_ANNOUNCEMENTS_MAX:
                self._waiting[key] = (peer, message)
        else:
            self._offer(work, peer, message)

    def take_assignment(self, work: UnitOfWork, peer: Did, message: AssignmentSent) -> None:
        """A home chose us."""
        try:
            assignment = open_assignment(message.assignment)
            assignment.spec.check()
        except Invalid as error:
            raise PeerViolation(f"an assignment is genuine and within bounds: {error}") from error
        if assignment.home != peer or assignment.executor != work.did:
            raise PeerViolation("a home assigns its own jobs, to whom it chose")
        if not work.state.federation.has_joined(peer) or work.outbox.is_full(peer):
            return  # our answer would wait for ever, or is one too many; unacknowledged, the assignment comes again
        work.send(peer, Acknowledged(message.number))
        job, attempt = assignment.job, assignment.attempt
        key = (work.did, job, attempt)
        mesh = work.state.mesh
        ended_in_this_batch = key in mesh.touched.executions  # its row is written with the commit
        if key in mesh.executions or ended_in_this_batch or rows.execution_ended(work.get, *key):
            return  # it came again; the answer is under way or waits in the outbox
        reserved = self._reserved.pop((job, attempt), None) is not None
        why_not = self._why_not(work, assignment, reserved=reserved)
        number = work.outbox.reserve()
        if why_not:
            work.post(peer, number, AssignmentRefused(number, job, attempt, why_not))
            return
        work.record([AssignmentAccepted(job, attempt, peer, assignment.deadline, message.assignment)])
        work.post(peer, number, ExecutionBegun(number, job, attempt))
        self._begin(work, work.state.mesh.executions[key])

    def take_cancellation(self, work: UnitOfWork, peer: Did, message: ExecutionCancelled) -> None:
        """A home wants it no more: what runs is stopped, what does not yet run is answered."""
        work.send(peer, Acknowledged(message.number))
        key = (work.did, message.job, message.attempt)
        execution = work.state.mesh.executions.get(key)
        if execution is None or execution.home != peer:
            return
        if key in self._started:
            work.effects.append(StopJob(message.job, message.attempt))
        else:
            self._answer(work, execution, ExitKind.CANCELLED, "cancelled before it ran")

    def take_outcome(self, work: UnitOfWork, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        """An execution of ours ended."""
        key = (work.did, request.job, request.attempt)
        self._started.pop(key, None)
        execution = work.state.mesh.executions.get(key)
        if execution is not None:
            self._issue(work, execution, outcome)
        self._offer_to_waiting(work)

    def peer_gone(self, peer: Did) -> None:
        """Its announcements will be made again when it is back; until then it can give us nothing to do."""
        for key in [key for key, (_, home) in self._reserved.items() if home == peer]:
            del self._reserved[key]
        for key in [key for key, (home, _) in self._waiting.items() if home == peer]:
            del self._waiting[key]

    def tick(self, work: UnitOfWork) -> None:
        """Offers that were not taken up free their place; what could not be fetched in time is answered."""
        for key in [k for k, (until, _) in self._reserved.items() if work.wall >= until or _was_given_away(work, *k)]:
            del self._reserved[key]
        for execution in self._own(work):
            late = work.wall >= execution.deadline
            if late and (execution.executor, execution.job, execution.attempt) not in self._started:
                self._answer(work, execution, ExitKind.UNAVAILABLE, "module or input could not be had in time")
        self._offer_to_waiting(work)

    def wake_at(self, own: list[Execution]) -> Instant | None:
        """When `tick` has something to do."""
        moments = [until for until, _ in self._reserved.values()]
        moments += [e.deadline for e in own if (e.executor, e.job, e.attempt) not in self._started]
        return min(moments, default=None)

    @staticmethod
    def _own(work: UnitOfWork) -> list[Execution]:
        return [e for e in work.state.mesh.executions.values() if e.executor == work.did]

    def _free(self, work: UnitOfWork) -> int:
        return self.terms.executor.capacity - len(self._own(work)) - len(self._reserved)

    def _price(self, spec: JobSpec) -> Mana:
        executor = self.terms.executor
        return price_of(
            spec.limits.fuel, per_million_fuel=executor.price_per_million_fuel, minimum=executor.price_minimum
        )

    def _offer(self, work: UnitOfWork, peer: Did, message: JobAnnounced) -> None:
        window = Duration(min(max(0, message.window_ms), RESERVED_WINDOW_MAX))
        key = (message.job, message.attempt)
        self._reserved[key] = later(work.wall, Duration(window + RESERVATION_GRACE)), peer
        bid = Bid(
            job=message.job,
            attempt=message.attempt,
            home=peer,
            executor=work.did,
            price=self._price(message.spec),
            capabilities=self.terms.executor.capabilities,
        )
        work.send(peer, BidOffered(seal_bid(bid, work.signer)))

    def _offer_to_waiting(self, work: UnitOfWork) -> None:
        """A place is free: offer it to who was told that we are busy."""
        while self._waiting and self._free(work) > 0:
            key = next(iter(self._waiting))
            peer, message = self._waiting.pop(key)
            if work.wall < message.spec.deadline:
                self._offer(work, peer, message)

    @staticmethod
    def _decline(work: UnitOfWork, peer: Did, message: JobAnnounced, reason: str) -> None:
        work.send(peer, BidDeclined(message.job, message.attempt, reason))

    def _why_not(self, work: UnitOfWork, assignment: Assignment, *, reserved: bool) -> str:
        if work.wall >= assignment.deadline:
            return "the attempt's deadline has passed"
        if assignment.deadline > later(work.wall, ATTEMPT_MS_MAX):
            return "the attempt's deadline is too far away"
        if assignment.price < self._price(assignment.spec):
            return "the price is below what is asked here"
        if not reserved and self._free(work) <= 0:
            return "no place is free"
        return ""

    def _begin(self, work: UnitOfWork, execution: Execution) -> None:
        """Have module and input here, then run; unless nobody waits for it any more, as after a long absence."""
        if work.wall >= execution.deadline:
            self._answer(work, execution, ExitKind.UNAVAILABLE, "the attempt's deadline passed before it ran")
            return
        assignment = open_assignment(execution.assignment)
        needed = [cid for cid in (assignment.spec.module, assignment.spec.input_cid) if cid is not None]
        self._gather(work, execution, assignment, needed)

    def _gather(self, work: UnitOfWork, execution: Execution, assignment: Assignment, needed: list[Cid]) -> None:
        lacking = [cid for cid in needed if self.content.read(work, cid) is None]
        if not lacking:
            self._run(work, execution, assignment)
            return

        def go_on(later_work: UnitOfWork, found: bool) -> None:  # noqa: FBT001 - a content waiter
            if found and later_work.may_author:
                self._gather(later_work, execution, assignment, needed)
            # Otherwise it is tried again when the home connects, or answered at the deadline; or when this node is held
            # no more.

        others = [peer for peer in self.peers.executors() if peer != execution.home]
        self.content.fetch(work, lacking[0], [execution.home, *others], go_on)

    def peer_here(self, work: UnitOfWork, peer: Did) -> None:
        """A home is connected again: fetch from it what an execution still lacks."""
        for execution in self._own(work):
            key = (execution.executor, execution.job, execution.attempt)
            if execution.home == peer and key not in self._started:
                self._begin(work, execution)

    def _run(self, work: UnitOfWork, execution: Execution, assignment: Assignment) -> None:
        key = (execution.executor, execution.job, execution.attempt)
        if key in self._started or key not in work.state.mesh.executions:
            return
        spec = assignment.spec
        self._started[key] = None
        given = spec.input if spec.input_cid is None else self._read(work, spec.input_cid)
        module = b"" if spec.module is None else self._read(work, spec.module)
        request = ExecutionRequest(
            job=execution.job,
            attempt=execution.attempt,
            module=spec.module,
            arguments=spec.arguments,
            input=given,
            limits=spec.limits,
        )
        work.effects.append(RunJob(request, module))

    def _read(self, work: UnitOfWork, cid: Cid) -> bytes:
        data = self.content.read(work, cid)
        require(data is not None, "what an execution needs was gathered before it")
        return data or b""

    def _answer(self, work: UnitOfWork, execution: Execution, kind: ExitKind, detail: str) -> None:
        """A receipt for what was not run."""
        self._issue(
            work,
            execution,
            ExecutionOutcome(
                exit=kind,
                exit_code=0,
                output=b"",
                detail=detail,
                fuel_used=0,
                memory_peak_bytes=0,
                wall_ms=0,
                memory_growth_denied=0,
                table_growth_denied=0,
                profile="",
            ),
        )

    def _issue(self, work: UnitOfWork, execution: Execution, outcome: ExecutionOutcome) -> None:
        """Store the output, sign the receipt, record it and send it: one commit."""
        assignment = open_assignment(execution.assignment)
        output = None
        inline = b""
        if outcome.exit is ExitKind.COMPLETED:
            inline = outcome.output if len(outcome.output) <= OUTPUT_INLINE_BYTES_MAX else b""
            output = self.content.store(work, outcome.output, RAW, pinned=False)
        receipt = Receipt(
            job=execution.job,
            attempt=execution.attempt,
            home=execution.home,
            executor=work.did,
            spec=assignment.spec.cid,
            module=assignment.spec.module,
            output=output,
            exit=outcome.exit,
            exit_code=outcome.exit_code,
            fuel_used=outcome.fuel_used,
            memory_peak_bytes=outcome.memory_peak_bytes,
            wall_ms=outcome.wall_ms,
            memory_growth_denied=outcome.memory_growth_denied,
            table_growth_denied=outcome.table_growth_denied,
            profile=outcome.profile,
            detail=outcome.detail[:DETAIL_CHARS_MAX],
            finished_at=work.now,
            nonce=b"",
        )
        sealed = seal_receipt(receipt, work.signer)
        work.record([ReceiptIssued(execution.job, execution.attempt, execution.home, sealed)])
        number = work.outbox.reserve()
        work.post(execution.home, number, ReceiptSent(number, sealed, inline))


def _was_given_away(work: UnitOfWork, job_id: JobId, attempt: int) -> bool:
    """Whether the home's blocks say that somebody else has the attempt, or that it is over: our place is free again."""
    job = work.state.mesh.jobs.get(job_id)
    if job is None or job.attempt != attempt:
        return job is not None and job.attempt > attempt
    return job.status is not Status.BIDDING and job.assignee(work.did) is None
