"""Why the mesh says no."""

from typing import ClassVar

from icn.kernel.errors import Kind, Refusal
from icn.kernel.ids import Did, JobId


class JobNotFound(Refusal):
    """No such job here."""

    code: ClassVar[str] = "mesh.job_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, job: JobId) -> None:
        self.job = str(job)
        super().__init__(f"{job} is not known to this node")


class JobNotOpen(Refusal):
    """It has ended, or another node decides about it."""

    code: ClassVar[str] = "mesh.job_not_open"
    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, job: JobId) -> None:
        self.job = str(job)
        super().__init__(f"{job} is not open at this node: it has ended, or has another home")


class NotYourJob(Refusal):
    """Only who pays for a job decides about it."""

    code: ClassVar[str] = "mesh.not_your_job"
    kind: ClassVar[Kind] = Kind.FORBIDDEN

    def __init__(self, job: JobId, principal: Did) -> None:
        self.job = str(job)
        self.principal = str(principal)
        super().__init__(f"{job} is not {principal}'s")


class TooManyJobs(Refusal):
    """The home's bound on open jobs."""

    code: ClassVar[str] = "mesh.too_many_jobs"
    kind: ClassVar[Kind] = Kind.TOO_MANY

    def __init__(self, open_jobs: int) -> None:
        self.open_jobs = open_jobs
        super().__init__(f"{open_jobs} jobs are open here, which is the most: try again when some have ended")


class TooManyJobsOfYours(Refusal):
    """The home's bound on one principal's open jobs."""

    code: ClassVar[str] = "mesh.too_many_jobs_of_yours"
    kind: ClassVar[Kind] = Kind.TOO_MANY

    def __init__(self, open_jobs: int) -> None:
        self.open_jobs = open_jobs
        super().__init__(f"{open_jobs} jobs of yours are open here, which is the most: try again when some have ended")


class TooManySubmissions(Refusal):
    """The home's bound on one principal's submissions per minute."""

    code: ClassVar[str] = "mesh.too_many_submissions"
    kind: ClassVar[Kind] = Kind.TOO_MANY

    def __init__(self, per_minute: int, retry_after_seconds: int) -> None:
        self.per_minute = per_minute
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"more than {per_minute} submissions a minute are not taken from one principal: try again in "
            f"{retry_after_seconds} s"
        )


class NotBlacklisted(Refusal):
    """There is nothing to clear."""

    code: ClassVar[str] = "mesh.not_blacklisted"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, executor: Did) -> None:
        self.executor = str(executor)
        super().__init__(f"{executor} is not on this node's blacklist, and has no failures in a row")


class DeadlinePassed(Refusal):
    """A job needs time."""

    code: ClassVar[str] = "mesh.deadline_passed"
    kind: ClassVar[Kind] = Kind.INVALID

    def __init__(self) -> None:
        super().__init__("the job's deadline lies in the past")
