"""What the failure of an attempt means: whether another one may succeed, and whether it counts against its executor.

Only failures of an executor or of the network are tried again. What the module does everywhere ends the job at once.

| what happened | tried again | counts against the executor |
|---|---|---|
| receipt: the module trapped, used up its fuel, wrote too much, or is no module that may run | no | never |
| receipt: the worker was lost | yes | at once |
| receipt: the executor stopped it of its own accord | yes | at once |
| the same, and its link was down meanwhile, or the home itself | yes | never |
| receipt: refuted by the home's own execution | yes | at once |
| receipt: the home's own execution could not confirm it, and proves nothing | yes | never |
| receipt: for another specification than was assigned, or one that contradicts itself | yes | at once |
| receipt: the wall time was up, or the stack overflowed | yes | once another executor completes the job |
| receipt: module or input could not be had | yes | never |
| the assignment was declined, though its executor had offered | yes | at once, if it came within `REFUSAL_PROMPT` |
| the same, and the job's own deadline had left the attempt less than its time | yes | never |
| no receipt by the attempt's deadline | yes | once another executor completes the job |
| no receipt by the deadline, and its link was down meanwhile, or the home itself | yes | never |
| the link to the executor was lost | yes | never |
| a fork or removal made the account void that its executor is paid to | yes | never |
| a receipt that comes after its attempt is over | – | never |

Wall time and stack differ between machines, so a job can be made that fails everywhere by them, and an executor must
not be banned for that: nobody gets others banned with crafted jobs (semantics §5). Content comes over the home's link
as well as over the executor's, and trouble on our own links never counts. Who declines late may have got the assignment
late, and who declines what has hardly any time left may have a clock that is a little ahead of ours: whoever submits
chooses the deadline. An executor that always goes away is not banned by this: from here it looks like a link that
breaks.

Not here: what follows from failures that count (`standing`).
"""

from dataclasses import dataclass
from enum import Enum

from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.model import Blame, Job, Receipt
from icn.kernel.instant import Duration, Instant, later

REFUSAL_PROMPT = Duration(2_000)
"""An executor's offer stands at least this long beyond its bidding: one that declines later may have got the assignment
too late, over a link that is ours as well."""


class Silence(Enum):
    """Why an attempt is given up without a word of its executor; the values are what people read."""

    NO_RECEIPT = "no receipt by the attempt's deadline"
    NO_RECEIPT_CUT_OFF = "no receipt by the attempt's deadline; its link was down meanwhile, or this node"
    LINK_LOST = "the executor's connection was lost"
    NO_ACCOUNT = "the account that its executor is paid to does not count any more"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a failure means."""

    may_retry: bool
    blame: Blame


OF_SILENCE = {
    Silence.NO_RECEIPT: Judgement(may_retry=True, blame=Blame.IF_ANOTHER_COMPLETES),
    Silence.NO_RECEIPT_CUT_OFF: Judgement(may_retry=True, blame=Blame.NONE),
    Silence.LINK_LOST: Judgement(may_retry=True, blame=Blame.NONE),
    Silence.NO_ACCOUNT: Judgement(may_retry=True, blame=Blame.NONE),
}
OF_PROMPT_REFUSAL = Judgement(may_retry=True, blame=Blame.AT_ONCE)
OF_LATE_REFUSAL = Judgement(may_retry=True, blame=Blame.NONE)
OF_WRONG_RECEIPT = Judgement(may_retry=True, blame=Blame.AT_ONCE)
OF_UNCONFIRMED = Judgement(may_retry=True, blame=Blame.NONE)
OF_CUT_OFF = Judgement(may_retry=True, blame=Blame.NONE)
OF_RECEIPT = {
    ExitKind.COMPLETED: OF_WRONG_RECEIPT,  # it is asked only where the output is missing
    ExitKind.TRAPPED: Judgement(may_retry=False, blame=Blame.NONE),
    ExitKind.OUT_OF_FUEL: Judgement(may_retry=False, blame=Blame.NONE),
    ExitKind.OUTPUT_LIMIT: Judgement(may_retry=False, blame=Blame.NONE),
    ExitKind.REFUSED: Judgement(may_retry=False, blame=Blame.NONE),
    ExitKind.WORKER_LOST: Judgement(may_retry=True, blame=Blame.AT_ONCE),
    ExitKind.CANCELLED: Judgement(may_retry=True, blame=Blame.AT_ONCE),
    ExitKind.DEADLINE: Judgement(may_retry=True, blame=Blame.IF_ANOTHER_COMPLETES),
    ExitKind.STACK_OVERFLOW: Judgement(may_retry=True, blame=Blame.IF_ANOTHER_COMPLETES),
    ExitKind.UNAVAILABLE: Judgement(may_retry=True, blame=Blame.NONE),
}


def of_refusal(job: Job, now: Instant, grace: Duration) -> Judgement:
    """What it means that the executor of the attempt under way declines it.

    `grace`: what an attempt gets beyond the guest's own wall time.
    """
    assigned_at = job.assigned_at
    if assigned_at is None or now >= later(assigned_at, REFUSAL_PROMPT):
        return OF_LATE_REFUSAL
    has_its_time = job.spec.deadline >= later(assigned_at, Duration(job.spec.limits.wall_ms + grace))
    return OF_PROMPT_REFUSAL if has_its_time else OF_LATE_REFUSAL


def of_receipt(job: Job, receipt: Receipt, *, cut_off: bool) -> Judgement | None:
    """What a genuine receipt of the attempt under way means; None where it brings the result.

    `cut_off`: the link to its executor was down meanwhile, or the home itself. Who heard nothing of its home for long
    stops what runs for it, as it should.
    """
    if receipt.spec != job.spec.cid:
        return OF_WRONG_RECEIPT
    if receipt.exit is ExitKind.COMPLETED and receipt.output is not None:
        return None
    if receipt.exit is ExitKind.CANCELLED and cut_off:
        return OF_CUT_OFF
    return OF_RECEIPT[receipt.exit]
