"""Who executes jobs, as far as this node knows: peers that say so, and executors that the journal tells of."""

from dataclasses import dataclass, field

from icn.domain.mesh.model import Standing
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries.paging import Page
from icn.stores import keyspace
from icn.stores.kv import Reader

JOBS_LOOKED_AT_MAX = 2_000
"""Newest jobs in which an executor's last price is looked for."""


@dataclass(frozen=True, slots=True)
class Present:
    """What only this moment tells."""

    here: Did
    """This node."""
    places: int
    """Executions that this node runs at once; 0: it executes nothing."""
    executing_peers: tuple[Did, ...]
    """Connected peers of the federation that say they take jobs."""
    connected: tuple[Did, ...]


@dataclass(frozen=True, slots=True)
class ExecutorView:
    """One executor."""

    did: Did
    here: bool
    """It is this node."""
    connected: bool
    executes: bool | None
    """Whether it takes jobs, by its own word; None of one that is not connected."""
    places: int | None
    """Executions it runs at once; only this node's own number is known."""
    running: int
    """Executions under way there, for whatever home, by the records that came."""
    completed: int
    """Jobs of this node that it completed."""
    failed_in_row: int
    """Its failures in jobs of this node since the last that it completed."""
    banned_until: Instant | None
    """Until when it gets no job of this node, and on probation since then; None where nothing stands against it."""
    last_price: int | None
    """For which it was last chosen, by any home; None where the newest jobs do not tell."""
    last_job: JobId | None
    last_chosen_at: Instant | None
    """When that job was submitted."""


@dataclass(slots=True)
class _Found:
    running: int = 0
    standing: Standing = field(default_factory=Standing)
    price: int | None = None
    job: JobId | None = None
    at: Instant | None = None


def executors(reader: Reader, present: Present, *, limit: int, cursor: str | None) -> Page[ExecutorView]:
    """A page in the order of names. Raises `Invalid` for a cursor that is no name."""
    after = "" if cursor is None else Did.parse(cursor).text
    found = _known(reader, present)
    names = sorted(did for did in found if did.text > after)
    items = tuple(_view(did, found[did], present) for did in names[:limit])
    return Page(items, items[-1].did.text if len(names) > limit else None)


def _known(reader: Reader, present: Present) -> dict[Did, _Found]:
    found = {did: _Found() for did in present.executing_peers}
    if present.places:
        found[present.here] = _Found()
    for _, execution in rows.EXECUTIONS.rows(reader):
        found.setdefault(execution.executor, _Found()).running += 1
    for _, row in rows.STANDINGS.rows(reader):
        if row.home == present.here:
            found.setdefault(row.executor, _Found()).standing = row.standing
    for looked_at, (key, _) in enumerate(rows.JOBS_BY_TIME.rows_down(reader, before=None)):
        if looked_at == JOBS_LOOKED_AT_MAX:
            break
        job = rows.JOBS.get(reader, key[keyspace.U64_BYTES :])
        for assignee in () if job is None else job.assignees:
            one = found.setdefault(assignee.executor, _Found())
            if one.job is None and job is not None:
                one.price, one.job, one.at = assignee.price, job.id, job.submitted_at
    return found


def _view(did: Did, found: _Found, present: Present) -> ExecutorView:
    here = did == present.here
    connected = here or did in present.connected
    return ExecutorView(
        did=did,
        here=here,
        connected=connected,
        executes=(present.places > 0 if here else did in present.executing_peers) if connected else None,
        places=present.places if here else None,
        running=found.running,
        completed=found.standing.completed,
        failed_in_row=found.standing.failed_in_row,
        banned_until=None if found.standing.ban is None else found.standing.ban.until,
        last_price=found.price,
        last_job=found.job,
        last_chosen_at=found.at,
    )
