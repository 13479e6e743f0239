"""When to try again, and when to give up.

Only failures of an executor or the network are retried; a module that fails everywhere fails at once. The pause doubles
with each attempt and is jittered by the job's own id, so that a replay, and a simulation, waits just as long.
"""

import hashlib
from dataclasses import dataclass

from icn.domain.mesh.model import Job
from icn.kernel.instant import Duration, Instant, later


@dataclass(frozen=True, slots=True)
class MeshTerms:
    """How this home runs its jobs."""

    bid_window: Duration
    """How long bids are taken; the same number stands in the announcement."""
    attempts_max: int
    """The configuration's `job_retry_count`: the most attempts a job gets."""
    bid_renewal: Duration = Duration(15_000)
    """When the window brought no offer the job is announced again this often; a late offer is taken at once."""
    ban_after: int = 3
    """The configuration's `blacklist_after_failures`: so many failures in a row ban an executor."""
    ban_for: Duration = Duration(600_000)
    """The configuration's `blacklist_cooldown_secs`: after this a trial decides."""
    submissions_per_minute: int = 36_000
    """Of one principal (`admission`): what a home is built to keep up with, for the danger is a script in a loop."""
    open_per_payer: int = 5_000
    """Jobs of one principal that may be open here; all of them together: `JOBS_OPEN_MAX`."""
    retry_pause: Duration = Duration(200)
    """Before the second attempt; doubles from there."""
    retry_pause_max: Duration = Duration(30_000)
    assignment_grace: Duration = Duration(5_000)
    """What an attempt gets beyond the guest's own wall time: fetching, sending, signing."""
    reveal_window: Duration = Duration(10_000)
    """With redundancy: what executors get to show what they pledged. The result is at hand, so this is for the way."""


def may_retry(job: Job, terms: MeshTerms) -> bool:
    """Whether another attempt is left after the current one."""
    return job.attempt < terms.attempts_max


def retry_at(job: Job, now: Instant, terms: MeshTerms) -> Instant:
    """When the next attempt begins: half the pause, and up to half of it again by lot."""
    pause = min(terms.retry_pause * 2 ** min(job.attempt - 1, 20), terms.retry_pause_max)
    lot = int.from_bytes(hashlib.sha256(job.id.data + job.attempt.to_bytes(4, "big")).digest()[:4], "big")
    return later(now, Duration(pause // 2 + (pause - pause // 2) * lot // 2**32))
