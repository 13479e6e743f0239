"""A job at its executor: accept, fetch, run, sign (semantics §5).

An accepted assignment and the receipt that answers it are records in this node's feed: after a crash what was accepted
and not answered is run again, and an assignment that comes twice is run once. What its home has cancelled is stopped
and does not run again, whatever comes later and whenever this node dies; so is what nobody waits for any more.

Not here: what is offered to whom (offering), how much there is (capacity).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from icn.domain.mesh.events import AssignmentAccepted, ReceiptIssued
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Assignment, Execution
from icn.domain.mesh.papers import is_attempt, open_assignment, seal_receipt
from icn.domain.mesh.state import ExecutionKey
from icn.kernel.errors import Invalid, PeerViolation, require
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Duration, Instant, later, soonest
from icn.protocol.messages import (
    OUTPUT_INLINE_BYTES_MAX,
    Acknowledged,
    AssignmentRefused,
    AssignmentSent,
    ExecutionBegun,
    ExecutionCancelled,
    JobAnnounced,
    ReceiptSent,
)
from icn.services import rows
from icn.services.cancellations import ATTEMPT_MS_MAX, Cancellations
from icn.services.capacity import Capacity, Reservation
from icn.services.content import ContentService
from icn.services.effects import ExecutionPhase, PhaseEnded, RunJob, StopJob
from icn.services.offering import OfferingService, is_of_another, was_given_away
from icn.services.peers import Peers
from icn.services.pledging import PledgingService
from icn.services.receipts import not_run, receipt_of
from icn.services.settings import NodeTerms
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class ExecutorService:
    """Owns which executions have been started and are being stopped; `offering` what was promised to whom."""

    terms: NodeTerms
    peers: Peers
    content: ContentService
    offering: OfferingService
    pledging: PledgingService
    _started: dict[ExecutionKey, None] = field(default_factory=dict)
    _begun_again: dict[ExecutionKey, None] = field(default_factory=dict)  # bounded: by the capacity
    """Those of `_started` that were begun when the engine went on, after a fault of the store or a start."""
    _stopping: dict[ExecutionKey, str] = field(default_factory=dict)
    """Guests that were told to stop, and why."""
    _cancelled: Cancellations = field(default_factory=Cancellations)
    _since: dict[ExecutionKey, Instant] = field(default_factory=dict)
    """When the present phase of an execution began, for metrics."""
    _gone: dict[Did, Instant] = field(default_factory=dict)
    """Homes with an execution here that are not connected, and since when."""

    @property
    def capacity(self) -> Capacity:
        """What is taken, and what is free."""
        return self.offering.capacity

    def resume(self, work: UnitOfWork) -> None:
        """After a start: run again what was accepted and not answered, but for what was cancelled meanwhile."""
        self.offering.clear()
        self._started.clear()
        self._begun_again.clear()
        self._stopping.clear()
        self._gone.clear()
        self._since.clear()
        self._cancelled.load(work.store)
        self.pledging.resume(work)
        mesh = work.state.mesh
        own = [e for key, e in mesh.executions.items() if e.executor == work.did and key not in mesh.pledges]
        under_way = [(execution, open_assignment(execution.assignment)) for execution in own]
        for execution, assignment in under_way:
            self.capacity.begin(_key(execution), assignment.spec.limits.memory_bytes)
        for execution, _ in under_way:
            self._begin(work, execution)
        self._begun_again = dict(self._started)

    def take_announcement(self, work: UnitOfWork, peer: Did, message: JobAnnounced) -> None:
        """A job looks for executors."""
        self.offering.take_announcement(work, peer, message)

    def take_assignment(self, work: UnitOfWork, peer: Did, message: AssignmentSent) -> None:
        """A home chose us."""
        try:
            assignment = open_assignment(message.assignment)
            assignment.spec.check()
        except Invalid as error:
            raise PeerViolation(f"an assignment is genuine and within bounds: {error}") from error
        if assignment.home != peer or assignment.executor != work.did:
            raise PeerViolation("a home assigns its own jobs, to whom it chose")
        job, attempt = assignment.job, assignment.attempt
        if is_of_another(work, peer, job):
            raise PeerViolation("a home assigns its own jobs")
        if not work.state.federation.has_joined(peer) or work.outbox.is_full(peer):
            return  # our answer would wait for ever, or is one too many; unacknowledged, the assignment comes again
        if job not in work.state.mesh.jobs and self.offering.is_contested(peer, job):
            return  # two homes call it theirs: it comes again, and the blocks will say whose it is
        work.send(peer, Acknowledged(message.number))
        key = (work.did, job, attempt)
        mesh = work.state.mesh
        ended_in_this_batch = key in mesh.touched.executions  # its row is written with the commit
        if key in mesh.executions or ended_in_this_batch or rows.execution_ended(work.get, *key):
            return  # it came again; the answer is under way or waits in the outbox
        promised = self.capacity.take_up((peer, job, attempt), work.wall)
        if self._cancelled.has(peer, job, attempt):
            why_not = "it was cancelled before it came"
        else:
            why_not = self._why_not(work, assignment, promised)
        number = work.outbox.reserve()
        if why_not:
            work.post(peer, number, AssignmentRefused(number, job, attempt, why_not))
            return
        work.record([AssignmentAccepted(job, attempt, peer, assignment.deadline, message.assignment)])
        work.post(peer, number, ExecutionBegun(number, job, attempt))
        self.capacity.begin(key, assignment.spec.limits.memory_bytes)
        self._since[key] = work.wall
        self._begin(work, work.state.mesh.executions[key])

    def take_cancellation(self, work: UnitOfWork, peer: Did, message: ExecutionCancelled) -> None:
        """A home wants it no more: what runs is stopped, what does not yet run is answered, what is to come refused."""
        work.send(peer, Acknowledged(message.number))
        home, job, attempt = peer, message.job, message.attempt
        if not is_attempt(attempt):
            return  # nothing of ours can have that number
        self.offering.withdraw(home, job, attempt)
        key = (work.did, job, attempt)
        mesh = work.state.mesh
        execution = mesh.executions.get(key)
        if execution is None:
            if key not in mesh.touched.executions and not rows.execution_ended(work.get, *key):
                self._cancelled.note(work, home, job, attempt)
        elif execution.home == home and key in mesh.pledges:
            self.pledging.withdraw(work, execution, "cancelled before anything was to be shown")
        elif execution.home == home:
            if key in self._started:
                self._cancelled.note(work, home, job, attempt)  # a restart before the guest has ended runs it no more
            self._stop(work, execution, "cancelled by its home")

    def take_outcome(self, work: UnitOfWork, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        """An execution of ours ended."""
        key = (work.did, request.job, request.attempt)
        self._started.pop(key, None)
        self._end_phase(work, key, ExecutionPhase.RUN)
        why_stopped = self._stopping.pop(key, "")
        if why_stopped and outcome.exit is ExitKind.CANCELLED:
            outcome = replace(outcome, detail=why_stopped)
        # After a fault of the store everything is begun again, and what has just ended must not be.
        begun = work.starting.pop((request.job, request.attempt), None)
        if begun is not None:
            work.effects.remove(begun)
        was_begun_again = key in self._begun_again
        self._begun_again.pop(key, None)
        if was_begun_again and begun is None:
            # Perhaps the first guest had ended when it was begun again, and another one runs for nobody now.
            work.effects.append(StopJob(request.job, request.attempt))
        execution = work.state.mesh.executions.get(key)
        if execution is not None and key not in work.state.mesh.pledges:
            self._issue(work, execution, outcome)

    def is_gathering(self, work: UnitOfWork, job: JobId, attempt: int) -> bool:
        """Whether an execution was accepted here and lacks its module or input."""
        key = (work.did, job, attempt)
        mesh = work.state.mesh
        return key in mesh.executions and key not in mesh.pledges and key not in self._started

    def peer_gone(self, peer: Did) -> None:
        """What was offered to it will not be taken up."""
        self.offering.home_gone(peer)

    def tick(self, work: UnitOfWork) -> None:
        """Stop what nobody waits for, answer what could not be fetched in time, offer what is free."""
        if self.capacity.in_use or self._gone:
            self._stop_what_is_over(work)
            self._stop_for_who_is_gone(work)
            for execution in self._own(work):
                late = work.wall >= execution.deadline
                if late and _key(execution) not in self._started:
                    self._answer(work, execution, ExitKind.UNAVAILABLE, "module or input could not be had in time")
        self.pledging.tick(work)
        self.offering.tick(work)  # last: places that have just become free are offered

    def wake_at(self, executions: Mapping[ExecutionKey, Execution]) -> Instant | None:
        """When `tick` has something to do."""
        moments = [self.capacity.next_expiry(), self.pledging.wake_at()]
        if self.capacity.in_use:
            moments += [executions[key].deadline for key in self.capacity.in_use if key not in self._started]
        if self._gone:
            moments += [later(since, self.terms.home_absence) for since in self._gone.values()]
        return soonest(moments)

    def _own(self, work: UnitOfWork) -> list[Execution]:
        return [work.state.mesh.executions[key] for key in self.capacity.in_use]

    def _stop_what_is_over(self, work: UnitOfWork) -> None:
        """The home's own blocks say so, whoever brought them: it may be gone, and its cancellation with it."""
        touched = work.state.mesh.touched.jobs
        over = [key for key in self.capacity.in_use if key[1] in touched and was_given_away(work, key[1], key[2])]
        for key in over:
            execution = work.state.mesh.executions[key]
            if execution.home == touched[key[1]].home:
                self._stop(work, execution, "its home has given up the attempt")

    def _stop_for_who_is_gone(self, work: UnitOfWork) -> None:
        """Nobody can be asked whether the result is still wanted, and after this long it hardly is."""
        homes = dict.fromkeys(execution.home for execution in self._own(work))
        away = [home for home in homes if home != work.did and not self.peers.is_here(home)]
        self._gone = {home: self._gone.get(home, work.wall) for home in away}
        absence = self.terms.home_absence
        late = [home for home, since in self._gone.items() if work.wall >= later(since, absence)]
        for execution in self._own(work):
            if execution.home in late:
                self._stop(work, execution, f"its home was gone for {absence // 1000} s")
        for home in late:  # its guests are being stopped
            del self._gone[home]

    def _stop(self, work: UnitOfWork, execution: Execution, why: str) -> None:
        """End it: at once where it does not run yet, else when its guest has ended. Its place is kept until then."""
        key = _key(execution)
        if key not in self._started:
            self._answer(work, execution, ExitKind.CANCELLED, why)
        elif key not in self._stopping:
            self._stopping[key] = why
            work.effects.append(StopJob(execution.job, execution.attempt))

    def take_records(self, work: UnitOfWork) -> None:
        """What homes recorded about receipts of this node; also while it is held."""
        for row in self.offering.unsettled.take_records(work):
            work.effects.append(PhaseEnded(ExecutionPhase.SETTLE, Duration(max(0, work.wall - row.issued_at))))

    def _end_phase(self, work: UnitOfWork, key: ExecutionKey, phase: ExecutionPhase) -> None:
        """One phase is over, and the next begins. Of what was begun by an earlier process nothing is said."""
        since = self._since.get(key)
        if since is not None:
            self._since[key] = work.wall
            work.effects.append(PhaseEnded(phase, Duration(max(0, work.wall - since))))

    def _why_not(self, work: UnitOfWork, assignment: Assignment, promised: Reservation | None) -> str:
        spec = assignment.spec
        reserved = 0 if promised is None else promised.memory_bytes
        if work.wall >= assignment.deadline:
            return "the attempt's deadline has passed"
        if assignment.deadline > later(work.wall, ATTEMPT_MS_MAX):
            return "the attempt's deadline is too far away"
        if assignment.price < self.offering.price(spec):
            return "the price is below what is asked here"
        if promised is None:  # no better than who asks for an offer
            outcome, reason = self.offering.refusal(work, assignment.home, spec)
            if outcome is not None:
                return reason
            if self.offering.waiting.first() is not None:
                return "no place is free for who has none promised: others wait for one"
        if spec.limits.memory_bytes > reserved and not self.capacity.fits(spec.limits.memory_bytes, work.wall):
            return "no place is free"
        return ""

    def _begin(self, work: UnitOfWork, execution: Execution) -> None:
        """Have module and input here, then run; unless nobody waits for it any more, as after a long absence."""
        over = self._over(work, execution)
        if over is not None:
            # After a fault of the store its guest may live still; otherwise there is nothing to stop.
            work.effects.append(StopJob(execution.job, execution.attempt))
            self._answer(work, execution, *over)
            return
        assignment = open_assignment(execution.assignment)
        needed = [cid for cid in (assignment.spec.module, assignment.spec.input_cid) if cid is not None]
        self._gather(work, execution, assignment, needed)

    def _over(self, work: UnitOfWork, execution: Execution) -> tuple[ExitKind, str] | None:
        """Why nobody waits for it any more; None where somebody does."""
        home, job, attempt = execution.home, execution.job, execution.attempt
        if self._cancelled.has(home, job, attempt):
            return ExitKind.CANCELLED, "cancelled by its home"
        ended = None if job in work.state.mesh.jobs else rows.JOBS.get(work.store, job.data)
        if (ended is not None and ended.status.has_ended) or was_given_away(work, job, attempt):
            return ExitKind.CANCELLED, "its home has given up the attempt"
        if work.wall >= execution.deadline:
            return ExitKind.UNAVAILABLE, "the attempt's deadline passed before it ran"
        return None

    def _gather(self, work: UnitOfWork, execution: Execution, assignment: Assignment, needed: list[Cid]) -> None:
        lacking = [cid for cid in needed if self.content.read(work, cid) is None]
        if not lacking:
            self._run(work, execution, assignment)
            return
        if not self.content.has_room_for(lacking[0]):
            self._answer(work, execution, ExitKind.UNAVAILABLE, "too much else is being fetched here")
            return

        def go_on(later_work: UnitOfWork, found: bool) -> None:  # noqa: FBT001 - a content waiter
            if not later_work.may_author or not self.is_gathering(later_work, execution.job, execution.attempt):
                return  # it goes on when this node is held no more; or is over
            if found:
                self._gather(later_work, execution, assignment, needed)
            elif execution.home == later_work.did or self.peers.is_here(execution.home):
                # Nobody in reach has it, its home neither: a place that waits for it would wait in vain.
                self._answer(later_work, execution, ExitKind.UNAVAILABLE, f"nobody here has {lacking[0]}")
            # Otherwise it is tried again when the home connects, or answered at the deadline.

        others = [view.did for view in self.peers.greeted() if view.did != execution.home]  # whoever has it may give it
        self.content.fetch(work, lacking[0], [execution.home, *others], go_on)

    def peer_here(self, work: UnitOfWork, peer: Did) -> None:
        """A home is connected again: fetch from it what an execution still lacks."""
        for execution in self._own(work):
            if execution.home == peer and _key(execution) not in self._started:
                self._begin(work, execution)

    def _run(self, work: UnitOfWork, execution: Execution, assignment: Assignment) -> None:
        key = _key(execution)
        if key in self._started or key not in work.state.mesh.executions:
            return
        spec = assignment.spec
        self._started[key] = None
        self._end_phase(work, key, ExecutionPhase.FETCH)
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
        begun = RunJob(request, module)
        work.effects.append(begun)
        work.starting[request.job, request.attempt] = begun

    def _read(self, work: UnitOfWork, cid: Cid) -> bytes:
        data = self.content.read(work, cid)
        require(data is not None, "what an execution needs was gathered before it")
        return data or b""

    def _answer(self, work: UnitOfWork, execution: Execution, kind: ExitKind, detail: str) -> None:
        """A receipt for what was not run."""
        self._issue(work, execution, not_run(kind, detail))

    def _issue(self, work: UnitOfWork, execution: Execution, outcome: ExecutionOutcome) -> None:
        """Store the output, sign the receipt, record it and send it: one commit.

        Where others run the attempt as well, a result that they get too is pledged first; what befell only us is not.
        """
        assignment = open_assignment(execution.assignment)
        output = None
        inline = b""
        if outcome.exit is ExitKind.COMPLETED:
            inline = outcome.output if len(outcome.output) <= OUTPUT_INLINE_BYTES_MAX else b""
            output = self.content.store(work, outcome.output, RAW, pinned=False)
        receipt = receipt_of(
            work, execution.job, execution.attempt, execution.home, assignment.spec, outcome, output=output
        )
        self.capacity.end(_key(execution))
        self._since.pop(_key(execution), None)
        self._cancelled.forget(work, execution.home, execution.job, execution.attempt)
        if assignment.spec.redundancy > 1 and outcome.exit.repeatable:
            self.pledging.pledge(work, execution, receipt)
            return
        sealed = seal_receipt(receipt, work.signer)
        work.record([ReceiptIssued(execution.job, execution.attempt, execution.home, sealed)])
        if outcome.exit is ExitKind.COMPLETED:
            self.offering.unsettled.note(work, execution)
        number = work.outbox.reserve()
        work.post(execution.home, number, ReceiptSent(number, sealed, inline))


def _key(execution: Execution) -> ExecutionKey:
    return execution.executor, execution.job, execution.attempt
