"""A home that runs a job itself before it pays for it, always or for a share of its jobs (semantics §5).

```
 a result that would be accepted ─> ask ─ module and input are here ─> RunJob ─> take_outcome ─> the home decides
```

Which jobs of a share are looked at is decided by the home's signature over the job's id: the same on every start, and
nobody else can tell beforehand. Soft state: after a crash the result is there again, and so is the question.

Our own execution is no assignment: it has no price, no place and no receipt, and a number that no attempt has.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from icn.domain.mesh.agreement import Verdict, why_no_contradiction
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.model import Job, JobSpec, Receipt
from icn.domain.mesh.papers import ATTEMPT_MAX, seal_receipt
from icn.kernel import signing
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.signing import Signer
from icn.services.content import ContentService
from icn.services.effects import Finding, Rechecked, RunJob
from icn.services.receipts import receipt_of
from icn.services.work import UnitOfWork

RUNS_MAX = 3
"""Accidents of our own workers, after which a result counts as one that cannot be confirmed."""

Answer = Callable[[UnitOfWork, ExecutionOutcome | None], None]
"""Told what our execution gave; None where module or input could not be had, or our workers failed."""


@dataclass(slots=True)
class _Question:
    job: Job
    sources: list[Did]
    answer: Answer
    runs: int = 0


@dataclass(slots=True)
class RecheckService:
    """Owns the executions under way that confirm or refute a result."""

    content: ContentService
    percent: int
    """Of this home's jobs; 0: none, 100: all."""
    _questions: dict[JobId, _Question] = field(default_factory=dict)

    def clear(self) -> None:
        """After a start."""
        self._questions.clear()

    def is_due(self, signer: Signer, job: JobId) -> bool:
        """Whether this job is among those that are looked at."""
        if self.percent in {0, 100}:
            return self.percent == 100
        lot = hashlib.sha256(signer.sign(signing.RECHECK, job.data)).digest()[:4]
        return int.from_bytes(lot, "big") * 100 < self.percent << 32

    def is_under_way(self, job: JobId) -> bool:
        """Whether an answer is waited for: no deadline of an attempt counts meanwhile, only the job's own."""
        return job in self._questions

    def ask(self, work: UnitOfWork, job: Job, sources: list[Did], answer: Answer) -> None:
        """Run the job here, and tell `answer`."""
        if job.id not in self._questions:
            self._questions[job.id] = _Question(job, sources, answer)
            self._gather(work, self._questions[job.id])

    def take_outcome(self, work: UnitOfWork, request: ExecutionRequest, outcome: ExecutionOutcome) -> None:
        """An execution of `ask` ended."""
        question = self._questions.get(request.job)
        if question is None or request.attempt != _number(question):
            return
        if outcome.exit.repeatable:
            self._end(work, question, outcome)
        elif question.runs < RUNS_MAX:
            self._run(work, question)
        else:
            self._end(work, question, None)

    def _end(self, work: UnitOfWork, question: _Question, outcome: ExecutionOutcome | None) -> None:
        if self._questions.get(question.job.id) is question:
            del self._questions[question.job.id]
            question.answer(work, outcome)

    def _gather(self, work: UnitOfWork, question: _Question) -> None:
        spec = question.job.spec
        needed = [cid for cid in (spec.module, spec.input_cid) if cid is not None]
        lacking = [cid for cid in needed if self.content.read(work, cid) is None]
        if not lacking:
            self._run(work, question)
            return

        def go_on(later_work: UnitOfWork, found: bool) -> None:  # noqa: FBT001 - a content waiter
            if found and later_work.may_author:
                self._gather(later_work, question)
            elif later_work.may_author:
                self._end(later_work, question, None)

        self.content.fetch(work, lacking[0], question.sources, go_on)

    def _run(self, work: UnitOfWork, question: _Question) -> None:
        question.runs += 1
        spec = question.job.spec
        request = ExecutionRequest(
            job=question.job.id,
            attempt=_number(question),
            module=spec.module,
            arguments=spec.arguments,
            input=spec.input if spec.input_cid is None else self.content.read(work, spec.input_cid) or b"",
            limits=spec.limits,
        )
        module = b"" if spec.module is None else self.content.read(work, spec.module) or b""
        work.effects.append(RunJob(request, module))


def is_recheck(request: ExecutionRequest) -> bool:
    """Whether an execution is one of these, and answers no assignment."""
    return request.attempt > ATTEMPT_MAX


def own_receipt(work: UnitOfWork, job: JobId, spec: JobSpec, said: Receipt, outcome: ExecutionOutcome) -> Receipt:
    """What this node signs about an execution of its own that stands beside the receipt `said`."""
    return receipt_of(work, job, said.attempt, said.home, spec, outcome, output=output_of(outcome))


def output_of(outcome: ExecutionOutcome) -> Cid | None:
    """The name of what an execution gave, where it counts."""
    return Cid.of(outcome.output, RAW) if outcome.exit is ExitKind.COMPLETED else None


def judge(work: UnitOfWork, said: Receipt, spec: JobSpec, outcome: ExecutionOutcome | None) -> tuple[Finding, bytes]:
    """What our execution says of a receipt, and our own receipt, sealed, where it refutes that one; else empty.

    `outcome`: None where the job could not be run here.
    """
    finding, counter = Finding.UNCONFIRMED, b""
    if outcome is not None:
        ours = own_receipt(work, said.job, spec, said, outcome)
        if confirms(said, ours):
            finding = Finding.CONFIRMED
        elif counter := counter_to(work, said, ours):
            finding = Finding.REFUTED
    work.effects.append(Rechecked(finding))
    return finding, counter


def why_rejected(counter: bytes) -> str:
    """Why this home pays no result that `judge` did not confirm: what the payer reads."""
    if counter:
        return "this home ran the job itself, and got another result"
    return "this home ran the job itself, and could not confirm the result"


def confirms(said: Receipt, ours: Receipt) -> bool:
    """Whether our execution gave what the receipt says. Under another profile the fuel may differ."""
    if said.profile == ours.profile:
        return Verdict.of(said) == Verdict.of(ours)
    return (said.output, said.exit, said.exit_code) == (ours.output, ours.exit, ours.exit_code)


def counter_to(work: UnitOfWork, said: Receipt, ours: Receipt) -> bytes:
    """Our receipt, sealed, where it proves that the other one is wrong; empty where it proves nothing."""
    return b"" if why_no_contradiction(said, ours) else seal_receipt(ours, work.signer)


def _number(question: _Question) -> int:
    """A number that no attempt has, and another one for every run: the sandbox tells them apart by it."""
    return (question.job.attempt * RUNS_MAX + question.runs) + ATTEMPT_MAX
