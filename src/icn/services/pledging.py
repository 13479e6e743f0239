"""An executor that is one of several: it binds itself to its result first, and shows it when asked to (semantics §5).

```
 outcome ─> pledge ─────────────────────────> reveal      the home's feed says that revealing is open
              └ PledgeMade, OutputPledged        └ ReceiptIssued, ReceiptSent
              └──────────────────────────────> withdraw   cancelled, the attempt is over without us, or nobody answers
```

What is pledged is sealed at once and waits in a row of this node's own, in the commit that makes the pledge: the feed
is everybody's to read, and a nonce that a crash could lose would make the pledge worthless. Nothing tells us to reveal
but the home's own record, however it came, so no message can be missed.

Not here: running anything (executing), what the home makes of it (agreement).
"""

from dataclasses import dataclass, field, replace

from icn.domain.mesh.agreement import PLEDGE_NONCE_BYTES, Part, commitment_to
from icn.domain.mesh.events import PledgeMade, ReceiptIssued
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Execution, Job, Receipt, Status
from icn.domain.mesh.papers import open_assignment, open_receipt, seal_receipt
from icn.domain.mesh.state import ExecutionKey
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import JobId
from icn.kernel.instant import Duration, Instant, later
from icn.protocol.messages import OUTPUT_INLINE_BYTES_MAX, OutputPledged, ReceiptSent
from icn.services import rows
from icn.services.content import ContentService
from icn.services.ports import Entropy
from icn.services.receipts import not_run, receipt_of
from icn.services.unsettled import Unsettled
from icn.services.work import UnitOfWork

PLEDGE_PATIENCE = Duration(600_000)
"""How long after its attempt's deadline a pledge waits for a home that is not heard of. The deadline is the last moment
at which an honest home opens revealing; the rest is for its word to come."""


@dataclass(slots=True)
class PledgingService:
    """Owns which pledges of this node wait, and until when."""

    content: ContentService
    entropy: Entropy
    unsettled: Unsettled
    _waiting: dict[ExecutionKey, Instant] = field(default_factory=dict)

    def resume(self, work: UnitOfWork) -> None:
        """After a start: what was pledged and not shown waits again; what a restored store has no row for is over."""
        self._waiting.clear()
        mesh = work.state.mesh
        for key in list(mesh.pledges):
            if key[0] != work.did:
                continue
            execution = mesh.executions[key]
            if rows.pledged_receipt(work.get, *key) is None:
                self.withdraw(work, execution, "what was pledged is in no store of this node any more")
            else:
                self._waiting[key] = _given_up_at(execution)

    def pledge(self, work: UnitOfWork, execution: Execution, receipt: Receipt) -> None:
        """Bind this node to `receipt`, and show nobody what it says: one commit."""
        bound = replace(receipt, nonce=self.entropy.bytes(PLEDGE_NONCE_BYTES))
        key = (execution.executor, execution.job, execution.attempt)
        commitment = commitment_to(bound)
        work.batch.put(rows.pledged_receipt_key(*key), seal_receipt(bound, work.signer))
        work.record([PledgeMade(execution.job, execution.attempt, execution.home, commitment)])
        self._waiting[key] = _given_up_at(execution)
        number = work.outbox.reserve()
        work.post(execution.home, number, OutputPledged(number, execution.job, execution.attempt, commitment))

    def withdraw(self, work: UnitOfWork, execution: Execution, detail: str) -> None:
        """Show nothing, ever: who runs the job next could copy it."""
        spec = open_assignment(execution.assignment).spec
        outcome = not_run(ExitKind.CANCELLED, detail)
        receipt = receipt_of(work, execution.job, execution.attempt, execution.home, spec, outcome, output=None)
        self._show(work, execution, seal_receipt(receipt, work.signer), b"")

    def tick(self, work: UnitOfWork) -> None:
        """Show what has been asked for, and give up what nobody will ask for."""
        for key, until in list(self._waiting.items()):
            self._look_at(work, key, until)

    def _look_at(self, work: UnitOfWork, key: ExecutionKey, until: Instant) -> None:
        execution = work.state.mesh.executions[key]
        part, is_open = _part_of(work, execution)
        if is_open and part is Part.PLEDGED:
            self._reveal(work, execution)
        elif _is_over(work, execution, part):
            self.withdraw(work, execution, "the attempt was over before anything was to be shown")
        elif work.wall >= until:
            self.withdraw(work, execution, "the home did not open revealing")

    def wake_at(self) -> Instant | None:
        """When `tick` has something to do, if no block comes before."""
        return min(self._waiting.values(), default=None)

    def _reveal(self, work: UnitOfWork, execution: Execution) -> None:
        sealed = rows.pledged_receipt(work.get, execution.executor, execution.job, execution.attempt)
        if sealed is None:
            raise InvariantBroken("what waits to be shown has its row")
        receipt = open_receipt(sealed)
        self._show(work, execution, sealed, self._inline(work, receipt))
        if receipt.exit is ExitKind.COMPLETED:
            self.unsettled.note(work, execution)

    def _show(self, work: UnitOfWork, execution: Execution, sealed: bytes, inline: bytes) -> None:
        key = (execution.executor, execution.job, execution.attempt)
        work.record([ReceiptIssued(execution.job, execution.attempt, execution.home, sealed)])
        work.batch.delete(rows.pledged_receipt_key(*key))
        self._waiting.pop(key, None)
        number = work.outbox.reserve()
        work.post(execution.home, number, ReceiptSent(number, sealed, inline))

    def _inline(self, work: UnitOfWork, receipt: Receipt) -> bytes:
        data = None if receipt.output is None else self.content.read(work, receipt.output)
        return data if data is not None and len(data) <= OUTPUT_INLINE_BYTES_MAX else b""


def _given_up_at(execution: Execution) -> Instant:
    return later(execution.deadline, PLEDGE_PATIENCE)


def _known(work: UnitOfWork, job_id: JobId) -> Job | None:
    """The job as its home's blocks tell it, ended or not; None while they have not come."""
    mesh = work.state.mesh
    return mesh.jobs.get(job_id) or mesh.touched.jobs.get(job_id) or rows.JOBS.get(work.store, job_id.data)


def _part_of(work: UnitOfWork, execution: Execution) -> tuple[Part | None, bool]:
    """Our part in the attempt by the home's blocks, and whether revealing is open."""
    poll = work.state.mesh.polls.get(execution.job)
    if poll is None or poll.attempt != execution.attempt:
        return None, False
    ballot = poll.ballot(execution.executor)
    return (None if ballot is None else ballot.part), poll.reveal_by is not None


def _is_over(work: UnitOfWork, execution: Execution, part: Part | None) -> bool:
    """Whether the home's blocks say that nothing of ours is awaited. They may be behind its messages."""
    if part is not None:
        return part is Part.FAILED
    job = _known(work, execution.job)
    if job is None or job.attempt < execution.attempt:
        return False
    return job.attempt > execution.attempt or job.status is not Status.BIDDING
