"""The executors that a home has banned, and for how long (semantics §5)."""

from dataclasses import dataclass
from enum import Enum

from icn.domain.mesh import standing
from icn.domain.mesh.model import Ban, Standing
from icn.kernel.ids import PUBLIC_KEY_BYTES, Did, JobId
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries.paging import Page, cursor_bytes
from icn.stores.kv import Reader


class Listed(Enum):
    """Why an executor is on the list."""

    BANNED = "banned"
    """It gets no job."""
    ON_PROBATION = "on_probation"
    """Its time is up: it may get one job for a trial."""
    ON_TRIAL = "on_trial"
    """It has that job, and gets no other one."""


@dataclass(frozen=True, slots=True)
class BlacklistLine:
    """One executor on the blacklist."""

    executor: Did
    state: Listed
    reason: str
    """The failure that led to the ban."""
    failures: int
    """In a row, when it was banned."""
    banned_at: Instant
    until: Instant
    seconds_left: int
    """0: the time is up."""
    trial: JobId | None
    """The job that decides."""


def blacklist(reader: Reader, home: Did, now: Instant, *, limit: int, cursor: str | None) -> Page[BlacklistLine]:
    """The blacklist of `home`, in order of key. Raises `Invalid` for a cursor of another list."""
    prefix = home.public_key
    after = None if cursor is None else prefix + cursor_bytes(cursor, PUBLIC_KEY_BYTES)
    found: list[BlacklistLine] = []
    trials: dict[Did, JobId] | None = None
    for _, row in rows.STANDINGS.rows(reader, prefix=prefix, after=after):
        ban = row.standing.ban
        if ban is None:
            continue
        if len(found) == limit:
            return Page(tuple(found), found[-1].executor.public_key.hex())
        if trials is None and standing.is_on_probation(row.standing, now):
            trials = _under_way(reader, home)
        found.append(_line(row.executor, row.standing, ban, now, (trials or {}).get(row.executor)))
    return Page(tuple(found), None)


def banned_count(reader: Reader, home: Did, now: Instant) -> int:
    """How many executors get no job of `home` now."""
    return sum(standing.is_banned(row.standing, now) for _, row in rows.STANDINGS.rows(reader, prefix=home.public_key))


def _line(executor: Did, seen: Standing, ban: Ban, now: Instant, job: JobId | None) -> BlacklistLine:
    is_over = standing.is_on_probation(seen, now)
    trial = job if is_over else None
    state = Listed.BANNED if not is_over else Listed.ON_PROBATION if trial is None else Listed.ON_TRIAL
    left = max(0, -(-(ban.until - now) // 1000))
    return BlacklistLine(executor, state, ban.reason, ban.failures, ban.since, ban.until, left, trial)


def _under_way(reader: Reader, home: Did) -> dict[Did, JobId]:
    """An open job of `home` for each executor that has one."""
    found: dict[Did, JobId] = {}
    for key, _ in rows.OPEN_JOBS.rows(reader):
        job = rows.JOBS.get(reader, key)
        if job is not None and job.home == home:
            for assignee in job.assignees:
                found.setdefault(assignee.executor, job.id)
    return found
