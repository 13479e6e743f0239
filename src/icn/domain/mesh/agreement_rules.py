"""Decides how an attempt with several executors goes on, and checks what homes and executors recorded of it.

The theory stands in `agreement`. After each thing that happens (`_onward`) the home does what follows from it: opens
revealing when whoever is left has pledged, accepts the majority when all that is due was shown, and abandons the
attempt as soon as no majority can come about, so that nobody waits in vain. Nothing is paid but by `JobAgreed`, which
ends the job and can stand once.
"""

from typing import assert_never

from icn.domain.context import Context, entitled
from icn.domain.mesh import failures, retries
from icn.domain.mesh.agreement import (
    COMMITMENT_BYTES,
    Ballot,
    Part,
    Poll,
    agreed,
    dissenting,
    fits,
    is_withdrawal,
    why_no_contradiction,
)
from icn.domain.mesh.commands import (
    AbandonAttempt,
    AcceptAgreed,
    CloseRound,
    PollCommand,
    RejectResult,
    TakePledge,
    TakeReceipt,
)
from icn.domain.mesh.endings import REASON_CHARS_MAX, rolled_back, used_up
from icn.domain.mesh.events import (
    AssigneeFailed,
    AttemptAbandoned,
    DisputeRaised,
    FailureDeferred,
    JobAgreed,
    MeshEvent,
    OutputCommitted,
    OutputRevealed,
    PledgeMade,
    ReceiptIssued,
    ReceiptKept,
    RevealOpened,
)
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Blame, Job, Receipt, Status
from icn.domain.mesh.papers import RECEIPT_BYTES_MAX, open_receipt
from icn.domain.mesh.refusals import JobNotOpen
from icn.domain.mesh.retries import MeshTerms
from icn.domain.mesh.standing import DISSENT
from icn.domain.mesh.state import Mesh
from icn.kernel.errors import Invalid
from icn.kernel.ids import Did
from icn.kernel.instant import Instant, later
from icn.kernel.mana import Mana

NO_PLEDGE = "no pledge by the attempt's deadline"
NOTHING_SHOWN = "did not show what it had pledged"
NO_MAJORITY = "no majority of the executors can agree any more"
OTHER_PROFILE = "ran under another profile than the majority, so it cannot be compared"

PollEvent = OutputCommitted | RevealOpened | OutputRevealed | AssigneeFailed | AttemptAbandoned | JobAgreed


def decide(mesh: Mesh, command: PollCommand, context: Context, terms: MeshTerms) -> list[MeshEvent]:
    """Say what `command` would change at this home. Raises `JobNotOpen`."""
    now = context.time
    job = mesh.jobs.get(command.job)
    if job is None or job.home != context.author:
        raise JobNotOpen(command.job)
    poll = mesh.polls.get(command.job)
    if poll is None:
        return []
    match command:
        case TakePledge(_, attempt, executor, commitment):
            if not may_pledge(poll, attempt, executor):
                return []
            pledged = poll.with_part(executor, Part.PLEDGED, commitment=commitment)
            return [
                OutputCommitted(job.id, attempt, executor, commitment),
                *_onward(job, pledged, now, terms, is_over=False),
            ]
        case CloseRound():
            return _onward(job, poll, now, terms, is_over=now >= job.due_at)
        case AcceptAgreed():
            return _accept(job, poll)
        case AbandonAttempt(_, reason):
            return _abandon(job, poll, now, terms, reason)
        case _:
            assert_never(command)


def may_pledge(poll: Poll, attempt: int, executor: Did) -> bool:
    """Whether a pledge of `executor` is awaited. One that comes late or twice changes nothing."""
    ballot = poll.ballot(executor)
    return poll.attempt == attempt and poll.reveal_by is None and ballot is not None and ballot.part is Part.ASSIGNED


def take_receipt(job: Job, poll: Poll, command: TakeReceipt, now: Instant, terms: MeshTerms) -> list[MeshEvent]:
    """What a genuine receipt of the attempt under way means."""
    receipt, data = command.receipt, command.data
    ballot = poll.ballot(receipt.executor)
    if ballot is None or ballot.part not in {Part.ASSIGNED, Part.PLEDGED}:
        return [ReceiptKept(job.id, receipt.attempt, receipt.executor, data)]
    wrong = _why_not(job, poll, ballot, receipt)
    if wrong:
        return fail(job, poll, receipt.executor, wrong, now, terms, blame=_blame(job, command), receipt=data)
    revealed = poll.with_part(receipt.executor, Part.REVEALED, receipt=data)
    return [
        OutputRevealed(job.id, job.attempt, receipt.executor, data),
        *_onward(job, revealed, now, terms, is_over=False),
    ]


def give_up(
    job: Job, poll: Poll, executor: Did, reason: str, now: Instant, terms: MeshTerms, *, blame: Blame
) -> list[MeshEvent]:
    """Go on without an executor that was not heard of. Who has pledged may still come back and show it."""
    ballot = poll.ballot(executor)
    if ballot is None or ballot.part is not Part.ASSIGNED:
        return []
    return fail(job, poll, executor, reason, now, terms, blame=blame, receipt=b"")


def exclude(
    job: Job, poll: Poll, executor: Did, reason: str, now: Instant, terms: MeshTerms, *, blame: Blame
) -> list[MeshEvent]:
    """Go on without an executor that cannot be paid, whatever it has pledged or shown."""
    ballot = poll.ballot(executor)
    if ballot is None or ballot.part is Part.FAILED:
        return []
    return fail(job, poll, executor, reason, now, terms, blame=blame, receipt=b"")


def fail(
    job: Job, poll: Poll, executor: Did, reason: str, now: Instant, terms: MeshTerms, *, blame: Blame, receipt: bytes
) -> list[MeshEvent]:
    """Go on without an executor that takes part."""
    without = poll.with_part(executor, Part.FAILED, receipt=receipt)
    counts = blame is Blame.AT_ONCE
    failed: list[MeshEvent] = [
        AssigneeFailed(job.id, job.attempt, executor, reason[:REASON_CHARS_MAX], counts, receipt)
    ]
    if blame is Blame.IF_ANOTHER_COMPLETES:
        failed.append(FailureDeferred(job.id, job.attempt, executor))
    return [*failed, *_onward(job, without, now, terms, is_over=False)]


def _blame(job: Job, command: TakeReceipt) -> Blame:
    """Whether a receipt that does not count is held against its executor; who breaks the rules of the poll at once."""
    receipt = command.receipt
    if receipt.exit.repeatable and receipt.spec == job.spec.cid:
        return Blame.AT_ONCE
    judgement = failures.of_receipt(job, receipt, cut_off=command.cut_off)
    return Blame.AT_ONCE if judgement is None else judgement.blame


def _why_not(job: Job, poll: Poll, ballot: Ballot, receipt: Receipt) -> str:
    """Why a receipt does not count, the executor's own failures first; empty where it does."""
    if not receipt.exit.repeatable or receipt.spec != job.spec.cid:
        return f"{receipt.exit.value}: {receipt.detail}"
    if (receipt.exit is ExitKind.COMPLETED) is (receipt.output is None):
        return "its receipt contradicts itself"
    if ballot.part is Part.ASSIGNED:
        return "it sent a receipt without a pledge before it"
    if poll.reveal_by is None:
        return "it showed its result before all had pledged"
    if not fits(receipt, ballot.commitment):
        return "what it showed is not what it had pledged"
    return ""


def _onward(job: Job, poll: Poll, now: Instant, terms: MeshTerms, *, is_over: bool) -> list[MeshEvent]:
    """What follows at once from where the poll stands. `is_over`: the time of this round has run out."""
    events: list[MeshEvent] = []
    waiting, reason = (Part.ASSIGNED, NO_PLEDGE) if poll.reveal_by is None else (Part.PLEDGED, NOTHING_SHOWN)
    if is_over:
        # Not held against anybody: the job, or our own link, may be to blame (semantics §5), and from here who
        # withholds what it pledged looks like who was cut off.
        for silent in poll.of(waiting):
            events.append(AssigneeFailed(job.id, job.attempt, silent.executor, reason, False, b""))
            poll = poll.with_part(silent.executor, Part.FAILED)
    if not poll.may_agree:
        return [*events, *_abandon(job, poll, now, terms, NO_MAJORITY)]
    if poll.of(waiting):
        return events
    if poll.reveal_by is None:
        # A block may be dated later than this home's clock, and so later than a deadline that has not come yet.
        reveal_by = max(now, min(later(now, terms.reveal_window), job.spec.deadline))
        return [*events, RevealOpened(job.id, job.attempt, reveal_by)]
    return [*events, *_end_by_fault(job, poll, now)]


def _end_by_fault(job: Job, poll: Poll, now: Instant) -> list[MeshEvent]:
    """The end of a job whose module fails everywhere. Nothing yet, where the majority has an output to be fetched."""
    found = agreed(poll)
    if found is None or found[0].exit is ExitKind.COMPLETED:
        return []
    verdict, majority = found
    detail = open_receipt(majority[0].receipt).detail
    reason = f"{verdict.exit.value}: {detail}"[:REASON_CHARS_MAX]
    wrong = [AssigneeFailed(job.id, job.attempt, b.executor, DISSENT, True, b"") for b in dissenting(poll, verdict)]
    return [
        *disputes(poll),
        *wrong,
        AttemptAbandoned(job.id, job.attempt, reason, now),
        rolled_back(job, Status.FAILED, reason),
    ]


def _accept(job: Job, poll: Poll) -> list[MeshEvent]:
    found = agreed(poll)
    if found is None or poll.of(Part.ASSIGNED, Part.PLEDGED):
        return []
    verdict, majority = found
    if verdict.output is None:
        return []
    wrong = dissenting(poll, verdict)
    others = [b for b in poll.of(Part.REVEALED) if b not in majority and b not in wrong]
    return [
        *disputes(poll),
        *(AssigneeFailed(job.id, job.attempt, b.executor, OTHER_PROFILE, False, b"") for b in others),
        JobAgreed(
            job.id,
            job.attempt,
            verdict.output,
            tuple(b.executor for b in majority),
            tuple(b.executor for b in wrong),
            _pay_of(job, majority),
        ),
    ]


def _abandon(job: Job, poll: Poll, now: Instant, terms: MeshTerms, reason: str) -> list[MeshEvent]:
    abandoned = AttemptAbandoned(job.id, job.attempt, reason[:REASON_CHARS_MAX], retries.retry_at(job, now, terms))
    if retries.may_retry(job, terms):
        return [*disputes(poll), abandoned]
    return [*disputes(poll), abandoned, used_up(job, reason)]


def reject(job: Job, poll: Poll, command: RejectResult, now: Instant, terms: MeshTerms) -> list[MeshEvent]:
    """Give up an attempt whose majority agrees on what the home's own execution does not confirm."""
    found = agreed(poll)
    if found is None:
        return []
    events: list[MeshEvent] = []
    if command.counter:
        for ballot in found[1]:
            events.append(dispute_about(ballot.receipt, command.counter))
            events.append(
                AssigneeFailed(job.id, job.attempt, ballot.executor, command.reason[:REASON_CHARS_MAX], True, b"")
            )
            poll = poll.with_part(ballot.executor, Part.FAILED)
    return [*events, *_abandon(job, poll, now, terms, command.reason)]


def dispute_about(data: bytes, counter: bytes) -> DisputeRaised:
    """The dispute of two sealed receipts that contradict each other."""
    receipt = open_receipt(data)
    return DisputeRaised(receipt.job, receipt.attempt, receipt.home, receipt.executor, data, counter)


def disputes(poll: Poll) -> list[MeshEvent]:
    """A dispute for everybody who contradicts the majority; where there is none, the one who showed first."""
    shown = [(open_receipt(b.receipt), b.receipt) for b in poll.of(Part.REVEALED)]
    if not shown:
        return []
    found = agreed(poll)
    reference, sealed = shown[0] if found is None else (open_receipt(found[1][0].receipt), found[1][0].receipt)
    return [dispute_about(data, sealed) for receipt, data in shown if not why_no_contradiction(receipt, reference)]


def _pay_of(job: Job, majority: tuple[Ballot, ...]) -> Mana:
    winners = [ballot.executor for ballot in majority]
    return Mana(sum(assignee.price for assignee in job.assignees if assignee.executor in winners))


def check(mesh: Mesh, event: PollEvent, job: Job, context: Context) -> None:
    """Raise `EventRefused` unless `event` may follow; `job` is open, and the author's own."""
    poll = mesh.polls.get(job.id)
    entitled(poll is not None and event.attempt == job.attempt, "several executors run the attempt under way")
    if poll is None:
        return
    match event:
        case OutputCommitted(_, attempt, executor, commitment):
            entitled(may_pledge(poll, attempt, executor), "an assigned executor commits itself once, before revealing")
            entitled(len(commitment) == COMMITMENT_BYTES, "a commitment is a SHA-256")
        case RevealOpened(_, _, reveal_by):
            entitled(poll.reveal_by is None, "revealing is opened once")
            entitled(not poll.of(Part.ASSIGNED), "whoever takes part has pledged before anybody reveals")
            entitled(len(poll.of(Part.PLEDGED)) >= poll.majority, "a majority has pledged")
            entitled(reveal_by >= context.time, "there is time to reveal")
        case OutputRevealed(_, _, executor, data):
            ballot = poll.ballot(executor)
            entitled(poll.reveal_by is not None, "nothing is revealed before all have pledged")
            entitled(ballot is not None and ballot.part is Part.PLEDGED, "who has pledged reveals, once")
            receipt = genuine(data)
            entitled(
                (receipt.job, receipt.attempt, receipt.executor, receipt.home)
                == (job.id, job.attempt, executor, context.author),
                "the receipt is for this attempt",
            )
            if ballot is not None:
                entitled(not _why_not(job, poll, ballot, receipt), "what is revealed is what was pledged, and counts")
        case AssigneeFailed(_, _, executor, reason, receipt=data):
            ballot = poll.ballot(executor)
            entitled(ballot is not None and ballot.part is not Part.FAILED, "an executor that takes part fails")
            entitled(len(reason) <= REASON_CHARS_MAX, "a reason is short")
            entitled(len(data) <= RECEIPT_BYTES_MAX, "a receipt is short")  # all of an attempt's stand in one row
        case AttemptAbandoned(_, _, reason):
            entitled(len(reason) <= REASON_CHARS_MAX, "a reason is short")
        case JobAgreed(_, _, output, winners, dissenters, paid):
            entitled(poll.reveal_by is not None, "executors agree by what they revealed")
            entitled(not poll.of(Part.ASSIGNED, Part.PLEDGED), "nobody is passed over who may still reveal")
            found = agreed(poll)
            entitled(found is not None, "more than half of the executors agree")
            if found is not None:
                verdict, majority = found
                wrong = dissenting(poll, verdict)
                entitled(verdict.exit is ExitKind.COMPLETED and verdict.output == output, "the majority has an output")
                entitled(winners == tuple(b.executor for b in majority), "the winners are the majority")
                entitled(dissenters == tuple(b.executor for b in wrong), "the dissenters are who contradicts it")
                entitled(len(poll.of(Part.REVEALED)) == len(winners) + len(dissenters), "everybody is told of")
                entitled(paid == _pay_of(job, majority), "each of the majority is paid its price")
        case _:
            assert_never(event)


def check_pledge(mesh: Mesh, event: PledgeMade, context: Context) -> None:
    """Raise `EventRefused` unless the author may bind itself: it runs this attempt, and has not done so yet."""
    key = (context.author, event.job, event.attempt)
    execution = mesh.executions.get(key)
    entitled(execution is not None and execution.home == event.home, "a pledge follows an accepted assignment")
    entitled(key not in mesh.pledges, "a pledge is made once")
    entitled(len(event.commitment) == COMMITMENT_BYTES, "a commitment is a SHA-256")


def check_kept_pledge(mesh: Mesh, event: ReceiptIssued, receipt: Receipt, context: Context) -> None:
    """Raise `EventRefused` where the author pledged something else: a feed does not belie itself."""
    pledge = mesh.pledges.get((context.author, event.job, event.attempt))
    entitled(
        pledge is None or is_withdrawal(receipt) or fits(receipt, pledge),
        "what is shown is what was pledged, or nothing",
    )


def check_dispute(event: DisputeRaised) -> None:
    """Raise `EventRefused` unless the two papers prove that one of their executors is wrong. Asks nothing else."""
    receipt, counter = genuine(event.receipt), genuine(event.counter)
    entitled(
        (receipt.job, receipt.attempt, receipt.home, receipt.executor)
        == (event.job, event.attempt, event.home, event.accused),
        "the dispute is about this receipt",
    )
    why = why_no_contradiction(receipt, counter)
    entitled(not why, f"the receipts contradict each other: {why}")


def genuine(data: bytes) -> Receipt:
    """The receipt. Raises `EventRefused` unless its executor signed it."""
    try:
        return open_receipt(data)
    except Invalid as error:
        entitled(condition=False, rule=f"a receipt is genuine: {error}")
        raise
