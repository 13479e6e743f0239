"""Rows about this node's own dealings with homes, which the journal does not tell: what it is owed, what is called off.

They travel with a backup, so what one must look like is said here, once: for those that write and load them
(services.unsettled, services.cancellations, services.pledging, services.mesh), and for whoever reads an archive.
"""

from dataclasses import dataclass

from icn.domain.mesh.papers import open_receipt
from icn.kernel.errors import Invalid
from icn.kernel.ids import JOB_ID_BYTES, PUBLIC_KEY_BYTES, Did, JobId
from icn.kernel.instant import Instant
from icn.stores.projections import Table

ATTEMPT_BYTES = 4
_KEY_BYTES = PUBLIC_KEY_BYTES + JOB_ID_BYTES + ATTEMPT_BYTES


@dataclass(frozen=True, slots=True)
class CancelledRow:
    """When an attempt was cancelled."""

    home: Did
    job: JobId
    attempt: int
    at: Instant


@dataclass(frozen=True, slots=True)
class UnsettledRow:
    """A receipt for a completed execution that its home has not recorded."""

    home: Did
    job: JobId
    attempt: int
    issued_at: Instant
    deadline: Instant
    """Of the attempt."""


CANCELLED = Table("cancelled", CancelledRow)
UNSETTLED = Table("unsettled", UnsettledRow)


def attempt_key(node: Did, job: JobId, attempt: int) -> bytes:
    """The key of an attempt in either table: under its home."""
    return node.public_key + job.data + attempt.to_bytes(ATTEMPT_BYTES, "big")


def check_row(table: str, key: bytes, value: bytes) -> None:
    """Raise `Invalid` unless a row of one of `keyspace.LOCAL_TABLES` is one that its own reader takes.

    `key`: what follows the table's prefix.
    """
    match table:
        case "receipt_taken":
            fits = not value
        case "pledged_receipt":
            receipt = open_receipt(value)
            fits = key == attempt_key(receipt.executor, receipt.job, receipt.attempt)
        case "cancelled":
            cancelled = CANCELLED.read(value)
            fits = _is_attempt(key, cancelled.attempt) and key == _key_of(cancelled)
        case "unsettled":
            unsettled = UNSETTLED.read(value)
            fits = _is_attempt(key, unsettled.attempt) and key == _key_of(unsettled)
        case _:
            fits = False
    if not fits or len(key) != _KEY_BYTES:
        raise Invalid("row", f"a row of {table} is not in its form")


def _is_attempt(key: bytes, attempt: int) -> bool:
    return attempt == int.from_bytes(key[-ATTEMPT_BYTES:], "big")


def _key_of(row: CancelledRow | UnsettledRow) -> bytes:
    return attempt_key(row.home, row.job, row.attempt)
