"""What is written about a node's dealings is taken back from a backup; what its readers would stumble over is not."""

import pytest

from icn.domain.mesh.papers import seal_receipt
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant
from icn.stores import dealings, keyspace
from icn.stores.dealings import CANCELLED, UNSETTLED, CancelledRow, UnsettledRow, attempt_key
from icn.stores.kv import Batch
from support import builders

HOME = builders.did(1)
JOB = builders.job_id(HOME)
KEY = attempt_key(HOME, JOB, 2)


def written() -> dict[str, tuple[bytes, bytes]]:
    """A row of each table, as key behind the prefix and value."""
    batch = Batch()
    CANCELLED.put(batch, KEY, CancelledRow(HOME, JOB, 2, Instant(5)))
    UNSETTLED.put(batch, KEY, UnsettledRow(HOME, JOB, 2, Instant(5), Instant(9)))
    receipt = builders.receipt(2, 1, job=JOB)
    pledged = keyspace.projection("pledged_receipt") + attempt_key(builders.did(2), JOB, receipt.attempt)
    batch.put(pledged, seal_receipt(receipt, builders.signer(2)))
    batch.put(keyspace.projection("receipt_taken") + KEY, b"")
    rows = {}
    for key, value in batch.operations.items():
        table, _, rest = key[1:].partition(b"\0")
        rows[table.decode()] = (rest, value or b"")
    return rows


def test_there_is_one_of_each_table() -> None:
    assert sorted(written()) == sorted(keyspace.LOCAL_TABLES)


@pytest.mark.parametrize("table", keyspace.LOCAL_TABLES)
def test_a_row_is_taken_as_it_is_written(table: str) -> None:
    dealings.check_row(table, *written()[table])


@pytest.mark.parametrize("table", keyspace.LOCAL_TABLES)
def test_what_its_reader_would_not_take_is_refused(table: str) -> None:
    key, value = written()[table]
    for bad_key, bad_value in (
        (key, value + b"\0"),
        (key, value[:-1] if value else b"\xa0"),
        (key[:-1], value),
        (key + b"\0", value),
        (b"", value),
    ):
        with pytest.raises(Invalid):
            dealings.check_row(table, bad_key, bad_value)


@pytest.mark.parametrize("table", ["cancelled", "unsettled", "pledged_receipt"])
def test_a_row_stands_under_the_name_of_what_it_tells(table: str) -> None:
    key, value = written()[table]
    for bad in (key[:-1] + b"\x07", b"\xff" + key[1:]):
        with pytest.raises(Invalid):
            dealings.check_row(table, bad, value)


def test_rows_of_other_tables_are_none_of_these() -> None:
    with pytest.raises(Invalid):
        dealings.check_row("account", KEY, b"")
