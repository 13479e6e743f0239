"""Where the journal tells of a job, and where a receipt stands: so that one job's life is read without all of history.

An entry per job and block, written in the commit that brings the block. A receipt may stand in more than one block: in
its executor's feed, and in that of the home that took it.
"""

from collections.abc import Callable, Iterator, Sequence

from icn.domain.mesh.events import JobSubmitted
from icn.domain.records import Event, Record
from icn.kernel.ids import RAW, Cid, JobId
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader


def job_of(event: Event) -> JobId | None:
    """The job an event tells of, if it tells of one."""
    job = getattr(event, "job", None)
    return job if isinstance(job, JobId) else None


def receipt_of(event: Event) -> Cid | None:
    """The name of the sealed receipt an event carries, if it carries one."""
    receipt = getattr(event, "receipt", b"")
    return Cid.of(receipt, RAW) if isinstance(receipt, bytes) and receipt else None


def put_records(batch: Batch, arrival: int, records: Sequence[Record]) -> None:
    """Note what the records of block number `arrival` tell of."""
    number = keyspace.u64(arrival)
    for record in records:
        job, receipt = job_of(record.event), receipt_of(record.event)
        if job is not None:
            batch.put(keyspace.job_events(job) + number, b"")
        if receipt is not None:
            batch.put(keyspace.receipts(receipt) + number, b"")
        if isinstance(record.event, JobSubmitted) and record.envelope.correlation:
            batch.put(keyspace.job_correlation(record.event.job), record.envelope.correlation.encode())


def arrivals_of_job(reader: Reader, job: JobId, *, start: int = 0) -> Iterator[int]:
    """Numbers of the blocks that tell of `job`, from number `start` on, in order."""
    yield from _numbers(reader, keyspace.job_events(job), start)


def arrivals_of_job_down(reader: Reader, job: JobId) -> Iterator[int]:
    """The same from the newest back."""
    for key, _ in reader.scan_down(keyspace.job_events(job)):
        yield _number(key)


def arrivals_of_receipt(reader: Reader, receipt: Cid) -> Iterator[int]:
    """Numbers of the blocks in which the receipt stands."""
    yield from _numbers(reader, keyspace.receipts(receipt), 0)


def correlation_of(get: Callable[[bytes], bytes | None], job: JobId) -> str:
    """The correlation id of the request that opened `job`; empty where it had none, or the job is not known here."""
    stored = get(keyspace.job_correlation(job))
    return "" if stored is None else stored.decode()


def _numbers(reader: Reader, prefix: bytes, start: int) -> Iterator[int]:
    after = None if start <= 0 else prefix + keyspace.u64(start - 1)
    for key, _ in reader.scan(prefix, after=after):
        yield _number(key)


def _number(key: bytes) -> int:
    return int.from_bytes(key[-keyspace.U64_BYTES :], "big")
