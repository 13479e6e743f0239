"""A job at its home: from submission to settlement or rollback (semantics §5).

The rules (`domain.mesh`) decide; this service brings the facts to them — offers, receipts, absent executors, times that
ran out — and what they decided to the ledger and the peers. Bids are soft state: after a crash bidding opens again.
Assignments and cancellations go through the outbox.
"""

import heapq
from dataclasses import dataclass, field

from icn.domain.ledger.commands import HoldMana, ReleaseHold, SettleHold, ShareHold
from icn.domain.ledger.model import HoldId
from icn.domain.ledger.rules import account_at
from icn.domain.ledger.rules import decide as decide_ledger
from icn.domain.mesh.admission import Admission
from icn.domain.mesh.agreement import COMMITMENT_BYTES, Part, agreed, agreed_output
from icn.domain.mesh.commands import (
    AbandonAttempt,
    AcceptAgreed,
    CancelJob,
    CloseRound,
    ExpireJob,
    GiveUpAttempt,
    MeshCommand,
    NoteStart,
    PardonExecutor,
    RejectResult,
    ReopenBidding,
    SubmitJob,
    TakePledge,
    TakeReceipt,
    TakeRefusal,
)
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    AttemptFailed,
    BiddingOpened,
    ExecutorBanned,
    ExecutorPardoned,
    JobAgreed,
    JobAssigned,
    JobCompleted,
    JobRolledBack,
    JobSubmitted,
    MeshEvent,
    OutputRevealed,
)
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from icn.domain.mesh.failures import Silence
from icn.domain.mesh.model import Assignment, Job, JobSpec, Receipt, Status
from icn.domain.mesh.papers import is_attempt, open_receipt, seal_assignment
from icn.domain.mesh.rules import decide
from icn.domain.records import Envelope, Event
from icn.kernel.errors import Invalid, InvariantBroken, PeerViolation, require
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import (
    Acknowledged,
    AssignmentRefused,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    ExecutionBegun,
    ExecutionCancelled,
    OutputPledged,
    ReceiptSent,
)
from icn.services import receipts, rows
from icn.services.bidding import Biddings
from icn.services.content import ContentService
from icn.services.effects import Finding
from icn.services.peers import Peers
from icn.services.rechecking import RecheckService, judge, why_rejected
from icn.services.settings import NodeTerms
from icn.services.state import shares_of
from icn.services.work import NODE_ITSELF, UnitOfWork

NONCE_BYTES = 16
RECHECK_PATIENCE = Duration(1_000)
"""How often it is seen after a job whose result is being confirmed here."""


@dataclass(slots=True)
class HomeService:
    """Owns the times at which jobs fall due."""

    terms: NodeTerms
    peers: Peers
    content: ContentService
    admission: Admission
    recheck: RecheckService
    biddings: Biddings
    _due: list[tuple[Instant, JobId]] = field(default_factory=list)
    """A heap; entries that no longer hold are dropped when they come up."""
    _settling: dict[bytes, None] = field(default_factory=dict)
    """Receipts whose output is being fetched; one that comes again meanwhile waits with the first."""
    _fetching: dict[JobId, Cid] = field(default_factory=dict)
    """Jobs whose executors agree, with the output that is being fetched."""
    _absent: dict[Did, Instant] = field(default_factory=dict)
    """Executors with an attempt of ours that are not connected, and since when."""
    _cut_off: dict[JobId, None] = field(default_factory=dict)
    """Jobs under way during whose attempt the link to an executor was down, or this node."""

    def resume(self, work: UnitOfWork) -> None:
        """After a start: every open job of this home falls due again; executors count as absent until they come.

        So it is after a fork or removal made the state anew: accounts may have become void by it, and those whom jobs
        were given to who cannot be paid any more.
        """
        self.biddings.clear()
        self._due.clear()
        self._absent.clear()
        self._cut_off.clear()
        self.recheck.clear()
        for job in list(work.state.mesh.jobs.values()):
            if job.home == work.did:
                self._watch(job)
                self._count(work, job.id)
                for assignee in job.assignees:
                    self._cut_off[job.id] = None
                    if assignee.executor != work.did:
                        self._absent[assignee.executor] = work.wall
                    is_payable = work.state.ledger.account(assignee.executor, assignee.executor_home) is not None
                    if not is_payable and job.id in work.state.mesh.jobs:
                        self._decide(work, GiveUpAttempt(job.id, assignee.executor, Silence.NO_ACCOUNT))

    def submit(self, work: UnitOfWork, spec: JobSpec, input_bytes: bytes, nonce: bytes, envelope: Envelope) -> JobId:
        """Open a job, paid by the envelope's principal. `input_bytes`: of its `input_cid`. Raises a `Refusal`."""
        payer = envelope.principal
        if payer is None:
            raise InvariantBroken("a job is submitted by somebody")
        context = work.context()
        account_at(work.state.ledger, payer, work.did)
        submitted, opened = decide(work.state.mesh, SubmitJob(nonce, payer, spec), context, self.terms.mesh)
        job_id = JobId.of(work.did, nonce)
        hold = decide_ledger(work.state.ledger, HoldMana(HoldId(job_id.data), payer, spec.price_held), context)
        self.admission.admit(payer, context.time)  # last: what is refused for another reason is not counted
        if spec.input_cid is not None and input_bytes:
            self.content.store(work, input_bytes, RAW, pinned=False)  # only now: a refused job leaves nothing behind
        work.record([submitted, *hold, opened], envelope)
        self._follow(work, [submitted, opened])
        return job_id

    def cancel(self, work: UnitOfWork, job_id: JobId, envelope: Envelope) -> None:
        """Give up a job of the envelope's principal. Raises a `Refusal`."""
        if envelope.principal is not None:
            self._decide(work, CancelJob(job_id, envelope.principal), envelope)

    def pardon(self, work: UnitOfWork, executor: Did, envelope: Envelope) -> None:
        """Let an executor have jobs of this home again. Raises a `Refusal`."""
        self._decide(work, PardonExecutor(executor), envelope)

    def take_bid(self, work: UnitOfWork, peer: Did, message: BidOffered) -> None:
        """An executor offers."""
        self._close_if_all_answered(work, self.biddings.take_offer(work, peer, message))

    def take_decline(self, work: UnitOfWork, peer: Did, message: BidDeclined) -> None:
        """An executor says that no bid will come."""
        self._close_if_all_answered(work, self.biddings.take_decline(work, peer, message))

    def take_start(self, work: UnitOfWork, peer: Did, message: ExecutionBegun) -> None:
        """An executor has accepted its assignment durably."""
        job = work.state.mesh.jobs.get(message.job)
        if job is not None and job.home == work.did:
            self._decide(work, NoteStart(message.job, message.attempt, peer))
        work.send(peer, Acknowledged(message.number))

    def take_refusal(self, work: UnitOfWork, peer: Did, message: AssignmentRefused) -> None:
        """An executor cannot do what it offered."""
        answer = (work.did, message.job, message.attempt, peer)
        if is_attempt(message.attempt) and receipts.was_assigned(work, message.job, message.attempt, peer):
            told = answer in work.state.mesh.touched.answered or rows.was_answered(work.get, *answer)
            if not told:
                self._decide(work, TakeRefusal(message.job, message.attempt, peer, message.reason))
        work.send(peer, Acknowledged(message.number))

    def take_pledge(self, work: UnitOfWork, peer: Did, message: OutputPledged) -> None:
        """One of several executors binds itself to a result."""
        job_id, attempt = message.job, message.attempt
        if len(message.commitment) != COMMITMENT_BYTES or not is_attempt(attempt):
            raise PeerViolation("a pledge is a SHA-256 for an attempt")
        job, poll = work.state.mesh.jobs.get(job_id), work.state.mesh.polls.get(job_id)
        ballot = None if poll is None or poll.attempt != attempt else poll.ballot(peer)
        if job is None or job.home != work.did or ballot is None or ballot.part is Part.FAILED:
            # It comes too late, or we know nothing of it: nothing is to be shown, and nothing would ever tell so.
            if not work.outbox.is_full(peer):
                number = work.outbox.reserve()
                work.post(peer, number, ExecutionCancelled(number, job_id, attempt))
        else:
            self._decide(work, TakePledge(job_id, attempt, peer, message.commitment))
        work.send(peer, Acknowledged(message.number))

    def take_receipt(self, work: UnitOfWork, peer: Did, message: ReceiptSent) -> None:
        """An executor is done. The output is fetched and checked before it is paid."""
        try:
            receipt = open_receipt(message.receipt)
        except Invalid as error:
            raise PeerViolation(f"a receipt is genuine: {error}") from error
        if receipt.executor != peer or receipt.home != work.did:
            raise PeerViolation("an executor sends its own receipts, to the job's home")
        if receipt.exit is ExitKind.COMPLETED and receipt.output is not None and receipts.is_current(work, receipt):
            if receipt.output.names(message.output):
                self.content.store(work, message.output, RAW, pinned=False)
            if receipt.job in work.state.mesh.polls:
                self._settle(work, peer, message, receipt)  # the output is fetched when a majority has named it
                return

            key = receipts.key_of(receipt)
            if key in self._settling:
                return
            self._settling[key] = None

            def settle(later_work: UnitOfWork, found: bool) -> None:  # noqa: FBT001 - a content waiter
                self._settling.pop(key, None)
                if found and later_work.may_author:
                    self._settle_confirmed(later_work, peer, message, receipt)
                # Otherwise the receipt stays in the executor's outbox and comes again with it.

            self.content.fetch(work, receipt.output, [peer], settle)
        else:
            self._settle_confirmed(work, peer, message, receipt)

    def peer_here(self, work: UnitOfWork, peer: Did, *, executes: bool) -> None:
        """A peer of the federation is connected: it may bid for what is open, and have an output we lack."""
        self._absent.pop(peer, None)
        for poll in list(work.state.mesh.polls.values()):
            if poll.ballot(peer) is not None:
                self._count(work, poll.job)
        if executes and not work.state.mesh.is_barred(work.did, peer, work.now):
            self.biddings.announce_all(work, peer)

    def peer_gone(self, work: UnitOfWork, peer: Did) -> None:
        """An executor may have gone with an attempt of ours; and nobody waits for its bid any more."""
        for job in work.state.mesh.jobs.values():
            if job.home == work.did and job.assignee(peer) is not None:
                self._absent[peer] = work.wall
                self._cut_off[job.id] = None
        for job_id in self.biddings.jobs():
            self._close_if_all_answered(work, job_id)

    def executor_left(self, work: UnitOfWork, executor: Did) -> None:
        """It will take no assignment: what it has offered counts no more."""
        self.biddings.drop_offers_of(executor)
        self.peer_gone(work, executor)

    def tick(self, work: UnitOfWork) -> None:
        """Whatever fell due."""
        while self._due and self._due[0][0] <= work.wall:
            _, job_id = heapq.heappop(self._due)
            job = work.state.mesh.jobs.get(job_id)
            if job is not None and job.home == work.did:
                self._fall_due(work, job)
        for executor, since in list(self._absent.items()):
            if work.wall >= later(since, self.terms.executor_absence):
                del self._absent[executor]
                self._give_up_on(work, executor)

    def is_settling(self, job: Job) -> bool:
        """Whether a receipt is here whose output is still being fetched."""
        return any(
            rows.receipt_taken_key(job.id, job.attempt, assignee.executor) in self._settling
            for assignee in job.assignees
        )

    def wake_at(self) -> Instant | None:
        """When `tick` has something to do."""
        moments = [later(since, self.terms.executor_absence) for since in self._absent.values()]
        if self._due:
            moments.append(self._due[0][0])
        return min(moments, default=None)

    # What follows from decisions

    def _decide(self, work: UnitOfWork, command: MeshCommand, envelope: Envelope = NODE_ITSELF) -> list[MeshEvent]:
        context = work.context()
        events = decide(work.state.mesh, command, context, self.terms.mesh)
        together: list[Event] = []
        for event in events:
            together.append(event)
            together += self._money(work, event)
        if together:
            before = {
                event.job: work.state.mesh.jobs[event.job]
                for event in events
                if isinstance(event, JobRolledBack | AttemptAbandoned)
            }
            work.record(together, envelope)
            self._follow(work, events, before)
        return events

    @staticmethod
    def _money(work: UnitOfWork, event: MeshEvent) -> list[Event]:
        """The ledger's part of the same decision."""
        ledger, context = work.state.ledger, work.context()
        if isinstance(event, JobCompleted):
            assignee = work.state.mesh.jobs[event.job].assignee(event.executor)
            require(assignee is not None, "who completes a job was assigned it")
            if assignee is None:
                return []
            hold = HoldId(event.job.data)
            return [
                *decide_ledger(ledger, SettleHold(hold, event.executor, assignee.executor_home, event.paid), context)
            ]
        if isinstance(event, JobAgreed):
            shares = shares_of(work.state.mesh.jobs[event.job].assignees, event.winners)
            return [*decide_ledger(ledger, ShareHold(HoldId(event.job.data), shares), context)]
        if isinstance(event, JobRolledBack):
            return [*decide_ledger(ledger, ReleaseHold(HoldId(event.job.data), event.reason[:200]), context)]
        return []

    def _follow(self, work: UnitOfWork, events: list[MeshEvent], before: dict[JobId, Job] | None = None) -> None:
        """Effects of what was just recorded."""
        for event in events:
            match event:
                case JobSubmitted():
                    pass
                case BiddingOpened(job_id):
                    job = work.state.mesh.jobs[job_id]
                    self._watch(job)
                    self.biddings.begin(work, job)
                    self._cut_off.pop(job_id, None)
                case ExecutorBanned():
                    pass  # whoever closes a bidding asks the standing
                case ExecutorPardoned(executor):
                    if executor in self.biddings.expected(work):
                        self.biddings.announce_all(work, executor)
                case JobAssigned(job_id):
                    self.biddings.end(job_id)
                    job = work.state.mesh.jobs[job_id]
                    self._watch(job)
                    self._assign(work, job)
                case AttemptFailed(job_id, attempt, executor, receipt=b"") if job_id in work.state.mesh.jobs:
                    # Nobody will pay for it any more: the executor need not go on.
                    number = work.outbox.reserve()
                    work.post(executor, number, ExecutionCancelled(number, job_id, attempt))
                    self._watch(work.state.mesh.jobs[job_id])
                case AssigneeFailed(job_id, attempt, executor, receipt=b"") if job_id in work.state.mesh.polls:
                    number = work.outbox.reserve()
                    work.post(executor, number, ExecutionCancelled(number, job_id, attempt))
                    self._watch(work.state.mesh.jobs[job_id])
                    self._count(work, job_id)
                case OutputRevealed(job_id) | AssigneeFailed(job_id) if job_id in work.state.mesh.polls:
                    self._watch(work.state.mesh.jobs[job_id])
                    self._count(work, job_id)
                case AttemptAbandoned(job_id, attempt) if job_id in work.state.mesh.jobs:
                    for assignee in (before or {})[job_id].assignees:
                        number = work.outbox.reserve()
                        work.post(assignee.executor, number, ExecutionCancelled(number, job_id, attempt))
                    self._watch(work.state.mesh.jobs[job_id])
                case JobRolledBack(job_id):
                    self.biddings.end(job_id)
                    self._cut_off.pop(job_id, None)
                    for assignee in (before or {})[job_id].assignees:
                        number = work.outbox.reserve()
                        attempt = (before or {})[job_id].attempt
                        work.post(assignee.executor, number, ExecutionCancelled(number, job_id, attempt))
                case _:
                    job_now = work.state.mesh.jobs.get(event.job)
                    if job_now is not None and job_now.home == work.did:
                        self._watch(job_now)
                    elif job_now is None:
                        self._cut_off.pop(event.job, None)

    def _watch(self, job: Job) -> None:
        heapq.heappush(self._due, (min(job.due_at, job.spec.deadline), job.id))

    def _fall_due(self, work: UnitOfWork, job: Job) -> None:
        if work.wall < min(job.due_at, job.spec.deadline):
            return  # an older entry; a newer one stands in the heap
        if work.wall >= job.spec.deadline:
            self._decide(work, ExpireJob(job.id, self.biddings.reasons(job.id)))
        elif self.recheck.is_under_way(job.id):  # the result is here, and its executor has done its part
            heapq.heappush(self._due, (min(later(work.wall, RECHECK_PATIENCE), job.spec.deadline), job.id))
        elif job.status is Status.SUBMITTED:
            self._decide(work, ReopenBidding(job.id))
        elif job.status is Status.BIDDING:
            self._decide(work, self.biddings.closing(job.id))
        elif job.id in work.state.mesh.polls:
            self._close_round(work, job)
        else:
            silence = Silence.NO_RECEIPT_CUT_OFF if job.id in self._cut_off else Silence.NO_RECEIPT
            for assignee in job.assignees:
                self._decide(work, GiveUpAttempt(job.id, assignee.executor, silence))

    def _close_round(self, work: UnitOfWork, job: Job) -> None:
        """The time to pledge, to reveal, or to have what the majority revealed, is over."""
        if self._decide(work, CloseRound(job.id)) or job.id not in work.state.mesh.polls:
            return
        # All was shown, and a majority agrees: only its output is not here.
        last = later(job.due_at, self.terms.mesh.assignment_grace)
        if work.wall >= last:
            self._decide(work, AbandonAttempt(job.id, "the output that the majority named could not be had"))
        else:
            heapq.heappush(self._due, (min(last, job.spec.deadline), job.id))
            self._count(work, job.id)

    def _count(self, work: UnitOfWork, job_id: JobId) -> None:
        """When all that is due was shown and a majority agrees on an output: have it here, then accept it."""
        poll, job = work.state.mesh.polls.get(job_id), work.state.mesh.jobs.get(job_id)
        if job is None or job.home != work.did or poll is None or poll.of(Part.ASSIGNED, Part.PLEDGED):
            return
        found = agreed(poll)
        output = None if found is None else found[0].output
        if found is None or output is None or self._fetching.get(job_id) == output:
            return
        self._fetching[job_id] = output

        def accept(later_work: UnitOfWork, is_here: bool) -> None:  # noqa: FBT001 - a content waiter
            if self._fetching.get(job_id) == output:
                del self._fetching[job_id]
            now = later_work.state.mesh.polls.get(job_id)
            if is_here and later_work.may_author and now is not None and agreed_output(now) == output:
                self._accept_confirmed(later_work, job_id)
            # Otherwise it is fetched again when one of the majority is here again, or its time is over.

        self.content.fetch(work, output, [ballot.executor for ballot in found[1]], accept)

    def _accept_confirmed(self, work: UnitOfWork, job_id: JobId) -> None:
        """Accept what the majority agreed on, after running the job here where that is due."""
        job, poll = work.state.mesh.jobs[job_id], work.state.mesh.polls[job_id]
        found = agreed(poll)
        executors = [] if found is None else [ballot.executor for ballot in found[1]]
        if found is None or work.did in executors or not self.recheck.is_due(work.signer, job_id):
            self._decide(work, AcceptAgreed(job_id))
            return
        said, attempt = open_receipt(found[1][0].receipt), job.attempt

        def answer(later_work: UnitOfWork, outcome: ExecutionOutcome | None) -> None:
            now = later_work.state.mesh.polls.get(job_id)
            if now is None or now.attempt != attempt:
                return
            finding, counter = judge(later_work, said, job.spec, outcome)
            if finding is Finding.CONFIRMED:
                self._decide(later_work, AcceptAgreed(job_id))
                return
            self._decide(later_work, RejectResult(job_id, why_rejected(counter), b"", counter))

        self.recheck.ask(work, job, executors, answer)

    def _give_up_on(self, work: UnitOfWork, executor: Did) -> None:
        for job in list(work.state.mesh.jobs.values()):
            is_here = job.assignee(executor) is not None and not self.recheck.is_under_way(job.id)
            if job.home == work.did and is_here:
                self._decide(work, GiveUpAttempt(job.id, executor, Silence.LINK_LOST))

    def _assign(self, work: UnitOfWork, job: Job) -> None:
        for assignee in job.assignees:
            assignment = Assignment(
                job.id, job.attempt, work.did, assignee.executor, assignee.price, job.due_at, job.spec
            )
            number = work.outbox.reserve()
            sealed = seal_assignment(assignment, work.signer)
            work.post(assignee.executor, number, AssignmentSent(number, sealed))
            if assignee.executor != work.did and not self.peers.is_here(assignee.executor):
                self._absent.setdefault(assignee.executor, work.wall)
                self._cut_off[job.id] = None

    def _close_if_all_answered(self, work: UnitOfWork, job_id: JobId | None) -> None:
        """The window closes early when every executor in reach has answered and one of them suits."""
        if job_id is not None and self.biddings.is_answered(work, job_id):
            self._decide(work, self.biddings.closing(job_id))

    def _settle_confirmed(self, work: UnitOfWork, peer: Did, message: ReceiptSent, receipt: Receipt) -> None:
        """Settle, after running the job here where that is due: whoever ends a job by its result is asked for proof."""
        job = work.state.mesh.jobs.get(receipt.job)
        ends_it = receipt.exit is ExitKind.COMPLETED or receipt.exit.guest_fault
        is_right = job is not None and receipts.is_current(work, receipt) and receipt.spec == job.spec.cid
        if job is None or not (is_right and ends_it) or job.id in work.state.mesh.polls:
            self._settle(work, peer, message, receipt)
            return
        if peer == work.did or not self.recheck.is_due(work.signer, job.id):
            self._settle(work, peer, message, receipt)
            return
        spec = job.spec

        def answer(later_work: UnitOfWork, outcome: ExecutionOutcome | None) -> None:
            finding, counter = judge(later_work, receipt, spec, outcome)
            if finding is Finding.CONFIRMED or not receipts.is_current(later_work, receipt):
                self._settle(later_work, peer, message, receipt)
                return
            later_work.batch.put(receipts.key_of(receipt), b"")
            rejection = RejectResult(receipt.job, why_rejected(counter), message.receipt, counter)
            self._decide(later_work, rejection)
            later_work.send(peer, Acknowledged(message.number))

        self.recheck.ask(work, job, [peer], answer)

    def _settle(self, work: UnitOfWork, peer: Did, message: ReceiptSent, receipt: Receipt) -> None:
        """Decide what the receipt means, once per receipt; then the executor may forget it."""
        key = receipts.key_of(receipt)
        was_assigned = receipts.was_assigned(work, receipt.job, receipt.attempt, receipt.executor)
        if work.get(key) is None and was_assigned:
            work.batch.put(key, b"")
            self._decide(work, TakeReceipt(receipt, message.receipt, cut_off=receipt.job in self._cut_off))
        work.send(peer, Acknowledged(message.number))
