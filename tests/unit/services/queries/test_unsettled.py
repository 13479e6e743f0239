"""What homes owe, as operators see it."""

from dataclasses import replace

from icn.adapters.storage.memory import MemoryStore
from icn.domain.mesh.pricing import Rates
from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant, later
from icn.services.queries.unsettled import DebtView, debts
from icn.services.settings import ExecutorTerms
from icn.stores.dealings import UNSETTLED, UnsettledRow
from icn.stores.kv import Batch
from support import builders

ONE, TWO = sorted((builders.did(31), builders.did(32)))
DEADLINE = later(builders.START, Duration(1_000))
TERMS = ExecutorTerms(1, Rates(1, 1), unsettled_max=1, unsettled_after=Duration(60_000))


def store(*owed: tuple[Did, int]) -> MemoryStore:
    made = MemoryStore()
    batch = Batch()
    for home, count in owed:
        for attempt in range(1, count + 1):
            row = UnsettledRow(home, builders.job_id(home), attempt, Instant(builders.START + attempt), DEADLINE)
            UNSETTLED.put(batch, home.public_key + attempt.to_bytes(4, "big"), row)
    made.commit(batch, made.claim())
    return made


def test_nobody_owes_anything_at_first() -> None:
    found = debts(store(), TERMS, DEADLINE)
    assert (found.items, found.unsettled_receipts_max, found.unsettled_after_secs) == ((), 1, 60)


def test_what_is_under_way_is_owed_and_not_overdue() -> None:
    found = debts(store((TWO, 3), (ONE, 1)), TERMS, Instant(DEADLINE + 59_999))
    assert found.items == (
        DebtView(ONE, 1, 0, Instant(builders.START + 1), refused=False),
        DebtView(TWO, 3, 0, Instant(builders.START + 1), refused=False),
    )


def test_who_owes_more_than_may_be_gets_no_bids() -> None:
    owed = store((ONE, 1), (TWO, 2))
    late = Instant(DEADLINE + 60_000)
    assert [(one.overdue, one.refused) for one in debts(owed, TERMS, late).items] == [(1, False), (2, True)]
    lenient = replace(TERMS, unsettled_max=0)
    assert [one.refused for one in debts(owed, lenient, late).items] == [False, False]
