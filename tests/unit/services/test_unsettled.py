"""What homes owe: noted with the receipt, gone with the home's record of it, and counted when it is overdue."""

from dataclasses import replace
from typing import Any

import pytest

from icn.domain.mesh.events import AssigneeFailed, AttemptFailed, JobCompleted, OutputRevealed, ReceiptKept
from icn.domain.mesh.model import Execution
from icn.domain.records import Event, Record
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.mana import Mana
from icn.services.effects import Committed
from icn.services.unsettled import UNSETTLED_PER_HOME_MAX, Unsettled, overdue_at
from icn.services.work import UnitOfWork
from icn.stores.dealings import UnsettledRow
from support import builders
from support.world import federation

HOME, OTHER = builders.did(31), builders.did(32)
JOB = builders.job_id(HOME)
ISSUED, DEADLINE = builders.START, later(builders.START, Duration(5_000))


def row(home: Did = HOME, job: JobId = JOB, attempt: int = 1, deadline: Instant = DEADLINE) -> UnsettledRow:
    return UnsettledRow(home, job, attempt, ISSUED, deadline)


def execution(home: Did = HOME, attempt: int = 1) -> Execution:
    return Execution(builders.did(1), JOB, attempt, home, DEADLINE, b"")


def begin() -> UnitOfWork:
    engine = federation("a")["a"].engine
    return UnitOfWork(engine.state, engine.store, engine.signer, engine.outbox, engine.replies, ISSUED, ISSUED)


def recorded(work: UnitOfWork, event: Event, author: Did = HOME) -> None:
    record = Record(builders.NODE_ITSELF, event)
    work.effects.append(Committed(1, 0, builders.cid("block"), author, ISSUED, record))


def committed(work: UnitOfWork) -> Unsettled:
    work.store.commit(work.batch, work.store.claim())  # type: ignore[attr-defined]  # a work reads; this is all of it
    loaded = Unsettled()
    loaded.load(work.store)
    return loaded


def test_a_receipt_is_owed_also_after_a_restart() -> None:
    work, owed = begin(), Unsettled()
    owed.note(work, execution())
    assert committed(work) == owed
    assert list(owed.by_home) == [HOME]


@pytest.mark.parametrize(
    "event",
    [
        JobCompleted(JOB, 1, builders.did(0), builders.cid("o"), Mana(1), b"receipt"),
        AttemptFailed(JOB, 1, builders.did(0), "", False, ISSUED, b"receipt"),
        AssigneeFailed(JOB, 1, builders.did(0), "", False, b"receipt"),
        OutputRevealed(JOB, 1, builders.did(0), b"receipt"),
        ReceiptKept(JOB, 1, builders.did(0), b"receipt"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_it_is_settled_by_any_record_of_its_home_that_has_it(event: Any) -> None:
    work, owed = begin(), Unsettled()
    owed.note(work, execution())
    ours = replace(event, executor=work.did)
    recorded(work, event)  # of another executor
    recorded(work, replace(ours, attempt=2))
    recorded(work, replace(ours, receipt=b""))
    recorded(work, ours, author=OTHER)
    assert owed.take_records(work) == []
    recorded(work, ours)
    assert owed.take_records(work) == [row()]
    assert owed.by_home == {}
    assert committed(work).by_home == {}


def test_it_is_overdue_so_long_after_the_deadline_and_not_before() -> None:
    work, owed = begin(), Unsettled()
    owed.note(work, execution())
    patience = Duration(1_000)
    due = later(DEADLINE, patience)
    assert overdue_at(row(), patience) == due
    assert owed.overdue(HOME, Instant(due - 1), patience) == 0
    assert owed.overdue(HOME, due, patience) == 1
    assert owed.overdue(OTHER, due, patience) == 0


def test_a_deadline_in_the_past_makes_nothing_overdue_at_once() -> None:
    patience = Duration(1_000)
    assert overdue_at(row(deadline=Instant(0)), patience) == later(ISSUED, patience)


def test_one_home_has_no_more_rows_than_its_bound() -> None:
    work, owed = begin(), Unsettled()
    for attempt in range(1, UNSETTLED_PER_HOME_MAX + 3):
        owed.note(work, execution(attempt=attempt))
    assert len(owed.by_home[HOME]) == UNSETTLED_PER_HOME_MAX
    assert committed(work) == owed


def test_a_node_owes_itself_nothing() -> None:
    work, owed = begin(), Unsettled()
    owed.note(work, execution(home=work.did))
    assert owed.by_home == {}
