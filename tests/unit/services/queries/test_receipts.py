"""Every receipt is found by its name, whether its attempt succeeded, failed or came too late."""

import pytest

from icn.domain.mesh.events import AttemptFailed, ReceiptKept
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.domain.mesh.papers import open_receipt
from icn.kernel.ids import RAW, Cid
from icn.services.commands import Cancel
from icn.services.inputs import Executed
from icn.services.queries import receipts
from icn.services.queries.jobs import NoReceipt
from icn.services.queries.receipts import ReceiptNotFound, ReceiptView
from support import builders
from support.world import World, federation, terms


def found(world: World, sealed: bytes) -> ReceiptView:
    """The receipt, by its name, at a node that has nothing to do with it."""
    name = Cid.of(sealed, RAW)
    view = receipts.receipt(world["c"].store, name)
    assert (view.cid, view.receipt_base64, view.receipt) == (name, sealed, open_receipt(sealed))
    return view


def test_a_failed_attempt_s_receipt_and_that_of_the_one_that_completed() -> None:
    def fail_first(request: ExecutionRequest) -> ExecutionOutcome:
        return builders.outcome(request, ExitKind.WORKER_LOST if request.attempt == 1 else ExitKind.COMPLETED)

    world = federation("a", "b", "c", node_terms=terms())
    for node in world.nodes.values():
        node.run = fail_first
    job = world.submit("a")
    world.pass_time(10_000)
    (failed,) = world["a"].happened(AttemptFailed)
    first = found(world, failed.receipt)  # type: ignore[union-attr]  # of that kind
    assert (first.receipt.exit, first.receipt.attempt) == (ExitKind.WORKER_LOST, 1)
    assert sorted(record.type for record in first.records) == ["mesh.attempt_failed", "mesh.receipt_issued"]
    last = receipts.receipt_of_job(world["c"].store, job)
    assert (last.job_id, last.receipt.attempt) == (job, 2)
    assert last == found(world, last.receipt_base64)
    assert {record.author for record in last.records} == {world["a"].did, last.receipt.executor}


def test_a_receipt_that_came_too_late_is_found_and_the_job_has_none() -> None:
    world = federation("a", "b", "c", node_terms=terms())
    for node in world.nodes.values():
        node.run = lambda _: None
    job = world.submit("a")
    world.pass_time(1_000)
    (node,) = (node for node in world.nodes.values() if node.runs)
    world.done("a", Cancel(job))
    node.inbox.append(Executed(node.runs[0], builders.outcome(node.runs[0])))
    world.pass_time(1_000)
    (kept,) = world["a"].happened(ReceiptKept)
    assert found(world, kept.receipt).job_id == job  # type: ignore[union-attr]  # of that kind
    with pytest.raises(NoReceipt):
        receipts.receipt_of_job(world["c"].store, job)


def test_a_name_that_is_no_receipt_s() -> None:
    world = federation("a")
    with pytest.raises(ReceiptNotFound):
        receipts.receipt(world["a"].store, Cid.of(b"none", RAW))
