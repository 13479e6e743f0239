"""Which homes have not recorded receipts of this node, and which get no bids for it."""

from dataclasses import dataclass

from icn.kernel.ids import Did
from icn.kernel.instant import Duration, Instant
from icn.services.settings import ExecutorTerms
from icn.services.unsettled import overdue_at
from icn.stores.dealings import UNSETTLED, UnsettledRow
from icn.stores.kv import Reader


@dataclass(frozen=True, slots=True)
class DebtView:
    """What one home owes."""

    home: Did
    receipts: int
    """Of completed executions, that it has not recorded; those under way to it among them."""
    overdue: int
    """For longer than `unsettled_after_secs` after the deadline of their attempt."""
    oldest_issued_at: Instant
    refused: bool
    """More are overdue than `unsettled_receipts_max`: it gets no bids until it records some."""


@dataclass(frozen=True, slots=True)
class Debts:
    """All of them, by home, and what counts as one."""

    items: tuple[DebtView, ...]
    unsettled_receipts_max: int
    """0: no home is refused."""
    unsettled_after_secs: int


def debts(reader: Reader, terms: ExecutorTerms, now: Instant) -> Debts:
    """What homes owe this node."""
    owed: dict[Did, list[UnsettledRow]] = {}
    for _, row in UNSETTLED.rows(reader):
        owed.setdefault(row.home, []).append(row)
    items = tuple(_debt(home, found, terms, now) for home, found in owed.items())  # in the order of keys: by home
    return Debts(items, terms.unsettled_max, terms.unsettled_after // 1000)


def _debt(home: Did, rows: list[UnsettledRow], terms: ExecutorTerms, now: Instant) -> DebtView:
    patience: Duration = terms.unsettled_after
    overdue = sum(now >= overdue_at(row, patience) for row in rows)
    oldest = min(row.issued_at for row in rows)
    return DebtView(home, len(rows), overdue, oldest, refused=terms.refuses(overdue))
