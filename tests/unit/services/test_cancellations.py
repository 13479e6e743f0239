"""Cancelled attempts are remembered, durably, for as long as they could still be accepted, and no longer."""

from icn.kernel.instant import Instant
from icn.services.cancellations import ATTEMPT_MS_MAX, CANCELLED_PER_HOME_MAX, Cancellations
from icn.services.work import UnitOfWork
from icn.stores.dealings import CANCELLED
from support import builders
from support.world import federation

HOME, OTHER = builders.did(31), builders.did(32)
JOB = builders.job_id(HOME)


def begin() -> UnitOfWork:
    node = federation("a")["a"]
    engine = node.engine
    now = engine.clock.now()
    return UnitOfWork(engine.state, engine.store, engine.signer, engine.outbox, engine.replies, now, now)


def committed(work: UnitOfWork) -> Cancellations:
    """What is there after a restart."""
    store = work.store
    store.commit(work.batch, store.claim())  # type: ignore[attr-defined]  # a work only reads; this one is the whole store
    loaded = Cancellations()
    loaded.load(store)
    return loaded


def test_a_cancellation_is_there_after_a_restart() -> None:
    work, cancelled = begin(), Cancellations()
    cancelled.note(work, HOME, JOB, 1)
    for kept in (cancelled, committed(work)):
        assert kept.has(HOME, JOB, 1)
        assert not kept.has(HOME, JOB, 2)
        assert not kept.has(OTHER, JOB, 1)


def test_what_was_answered_is_forgotten_in_the_same_commit() -> None:
    work, cancelled = begin(), Cancellations()
    cancelled.note(work, HOME, JOB, 1)
    cancelled.forget(work, HOME, JOB, 1)
    cancelled.forget(work, HOME, JOB, 1)
    assert not cancelled.has(HOME, JOB, 1)
    assert not committed(work).has(HOME, JOB, 1)


def test_what_could_not_be_accepted_any_more_goes_with_the_next_one() -> None:
    work, cancelled = begin(), Cancellations()
    cancelled.note(work, HOME, JOB, 1)
    work.wall = Instant(work.wall + ATTEMPT_MS_MAX)
    cancelled.note(work, HOME, JOB, 2)
    assert not cancelled.has(HOME, JOB, 1)
    assert committed(work).has(HOME, JOB, 2)
    assert len(list(CANCELLED.rows(work.store))) == 1


def test_one_home_has_no_more_than_its_bound_and_its_oldest_go_first() -> None:
    work, cancelled = begin(), Cancellations()
    cancelled.note(work, OTHER, JOB, 1)
    for attempt in range(1, CANCELLED_PER_HOME_MAX + 3):
        cancelled.note(work, HOME, JOB, attempt)
    assert [cancelled.has(HOME, JOB, attempt) for attempt in (1, 2, 3)] == [False, False, True]
    assert cancelled.has(HOME, JOB, CANCELLED_PER_HOME_MAX + 2)
    assert cancelled.has(OTHER, JOB, 1)
