"""A receipt by its name, wherever it stands: in its executor's feed, and in that of the home that took it.

The name is that of the sealed bytes, so whoever has it can check what this node says of it.
"""

from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from icn.domain.mesh.model import JobSpec, Receipt
from icn.domain.mesh.papers import open_receipt
from icn.kernel.encoding import encode
from icn.kernel.errors import Kind, Refusal
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid, Did, JobId
from icn.kernel.instant import Instant
from icn.services import rows
from icn.services.queries import events, jobs
from icn.stores.kv import Reader

RECORDS_SHOWN_MAX = 16
"""Blocks that are named: an honest federation has two."""


class ReceiptNotFound(Refusal):
    """No record here carries this receipt."""

    code: ClassVar[str] = "mesh.receipt_not_found"
    kind: ClassVar[Kind] = Kind.NOT_FOUND

    def __init__(self, cid: Cid) -> None:
        self.cid = str(cid)
        super().__init__(f"no record here carries the receipt {cid}")


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """A record that carries the receipt."""

    event_id: str
    type: str
    author: Did
    time: Instant
    block: Cid


@dataclass(frozen=True, slots=True)
class ReceiptView:
    """A receipt, as signed and as read, and who recorded it."""

    cid: Cid
    job_id: JobId
    receipt_base64: bytes
    """The bytes that were signed with their signature; a surface writes them as base64."""
    receipt: Receipt
    spec_base64: bytes | None
    """The specification whose CID the receipt names, canonically encoded; None where the job is not known here."""
    records: tuple[ReceiptRecord, ...]


def receipt(reader: Reader, cid: Cid) -> ReceiptView:
    """The receipt of this name. Raises `ReceiptNotFound`; `Invalid` for one whose signature does not hold."""
    sealed = b""
    records: list[ReceiptRecord] = []
    for event in islice(events.with_receipt(reader, cid), RECORDS_SHOWN_MAX):
        sealed = getattr(event.event, "receipt", b"")
        records.append(ReceiptRecord(event.id, event.type, event.author, event.time, event.block))
    if not records:
        raise ReceiptNotFound(cid)
    opened = open_receipt(sealed)
    return ReceiptView(cid, opened.job, sealed, opened, _spec_of(reader, opened), tuple(records))


def _spec_of(reader: Reader, receipt: Receipt) -> bytes | None:
    job = rows.JOBS.get(reader, receipt.job.data)
    encoded = None if job is None else encode(shape_of(JobSpec).to_map(job.spec))
    return encoded if encoded is not None and receipt.spec.names(encoded) else None


def receipt_of_job(reader: Reader, job_id: JobId) -> ReceiptView:
    """The receipt that completed a job. Raises `JobNotFound`, `NoReceipt`."""
    return receipt(reader, Cid.of(jobs.receipt(reader, job_id).receipt_base64, RAW))
