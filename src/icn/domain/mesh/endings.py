"""How an attempt, and a job, ends without a result: the records, in the words that people read."""

from icn.domain.mesh.events import JobRolledBack
from icn.domain.mesh.model import Job, Status

REASON_CHARS_MAX = 1024


def rolled_back(job: Job, outcome: Status, reason: str) -> JobRolledBack:
    """The end of a job whose hold goes back whole."""
    return JobRolledBack(job.id, outcome, reason[:REASON_CHARS_MAX], job.attempt, job.spec.price_held)


def used_up(job: Job, reason: str) -> JobRolledBack:
    """The end of a job whose last attempt failed."""
    return rolled_back(job, Status.FAILED, f"{job.attempt} attempts failed, the last: {reason}")
