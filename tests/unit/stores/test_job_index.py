"""One job's records, and one receipt, are found without reading the rest of the journal."""

from dataclasses import replace

from icn.adapters.storage.memory import MemoryStore
from icn.domain.ledger.events import Transferred
from icn.domain.mesh.events import AttemptFailed, JobSubmitted, ReceiptIssued, ReceiptKept
from icn.domain.mesh.papers import seal_receipt
from icn.domain.records import Event, Record
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.stores import job_index, keyspace
from icn.stores.kv import Batch
from support import builders

HOME, EXECUTOR = builders.did(1), builders.did(2)
JOB, OTHER = builders.job_id(HOME), builders.job_id(HOME, "other")
RECEIPT = seal_receipt(builders.receipt(2, 1), builders.signer(2))
NAME = Cid.of(RECEIPT, RAW)


def noted(*blocks: list[Event], correlation: str = "") -> MemoryStore:
    store, batch = MemoryStore(), Batch()
    envelope = replace(builders.NODE_ITSELF, correlation=correlation)
    for arrival, events in enumerate(blocks):
        job_index.put_records(batch, arrival, [Record(envelope, event) for event in events])
    store.commit(batch, store.claim())
    return store


def test_blocks_of_a_job_in_order_from_both_ends() -> None:
    submitted = JobSubmitted(JOB, b"n" * 16, 0, HOME, builders.spec())
    late = ReceiptKept(JOB, 1, EXECUTOR, RECEIPT)
    paid = Transferred(HOME, EXECUTOR, Mana(1), "", 0)
    store = noted([submitted, late], [paid], [JobSubmitted(OTHER, b"m" * 16, 0, HOME, builders.spec())], [late])
    assert list(job_index.arrivals_of_job(store, JOB)) == [0, 3]
    assert list(job_index.arrivals_of_job(store, JOB, start=1)) == [3]
    assert list(job_index.arrivals_of_job(store, JOB, start=3)) == [3]
    assert list(job_index.arrivals_of_job(store, JOB, start=4)) == []
    assert list(job_index.arrivals_of_job_down(store, JOB)) == [3, 0]
    assert list(job_index.arrivals_of_job(store, OTHER)) == [2]


def test_a_receipt_is_found_in_every_block_that_holds_it() -> None:
    issued = ReceiptIssued(JOB, 1, HOME, RECEIPT)
    failed = AttemptFailed(JOB, 1, EXECUTOR, "lost", True, Instant(5), b"")
    store = noted([issued], [failed], [ReceiptKept(JOB, 1, EXECUTOR, RECEIPT)])
    assert list(job_index.arrivals_of_receipt(store, NAME)) == [0, 2]
    assert list(store.scan(keyspace.RECEIPT + Cid.of(b"", RAW).data)) == [], "no receipt is no receipt"


def test_a_job_bears_the_correlation_id_of_the_request_that_opened_it() -> None:
    submitted = JobSubmitted(JOB, b"n" * 16, 0, HOME, builders.spec())
    assert job_index.correlation_of(noted([submitted], correlation="harvest").get, JOB) == "harvest"
    assert job_index.correlation_of(noted([submitted]).get, JOB) == ""
    assert job_index.correlation_of(noted([ReceiptKept(JOB, 1, EXECUTOR, RECEIPT)], correlation="x").get, JOB) == ""
