"""Who refers to content: content that links to it, and jobs that name it. What pruning asks before it removes anything.

An entry per link, written in the commit that brings what links, whether or not the target is here. Content cannot link
in a circle, so what nobody refers to is free, and removing it may free what it linked to.

Not here: whether a job still counts (services.pruning).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from icn.domain.mesh.events import JobAgreed, JobCompleted, JobSubmitted, ReceiptIssued
from icn.domain.mesh.papers import reopen_receipt
from icn.domain.records import Record
from icn.kernel import dag_pb
from icn.kernel.encoding import decode
from icn.kernel.errors import Invalid
from icn.kernel.ids import CID_BYTES, DAG_CBOR, DAG_PB, Cid, ForeignCid, JobId
from icn.kernel.limits import CONTENT_LINKS_MAX
from icn.stores import keyspace
from icn.stores.kv import Batch, Reader

_FROM_CONTENT = b"c"
_FROM_JOB = b"j"
_KIND_AT = len(keyspace.REFERENCE) + CID_BYTES


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry: who refers. Exactly one of the two is set."""

    key: bytes
    content: Cid | None
    job: JobId | None


def is_from_content(key: bytes) -> bool:
    """Whether an entry says that content links to the target; otherwise a job names it."""
    return key[_KIND_AT : _KIND_AT + 1] == _FROM_CONTENT


def links(codec: int, data: bytes) -> tuple[Cid, ...]:
    """What content links to, as names that blocks here can have, each once.

    Raises:
        Invalid: the bytes have not the form of their codec, or more than `CONTENT_LINKS_MAX` links.
    """
    found: dict[Cid, None] = {}
    if codec == DAG_CBOR:
        _collect(decode(data), found)
    elif codec == DAG_PB:
        for link in dag_pb.links(data):
            _note(link, found)
    if len(found) > CONTENT_LINKS_MAX:
        raise Invalid("content", f"{len(found)} links; at most {CONTENT_LINKS_MAX} are kept track of in one block")
    return tuple(found)


def links_of_stored(cid: Cid, data: bytes) -> tuple[Cid, ...]:
    """`links` of content that was stored, also by others: none where it does not keep to its form."""
    try:
        return links(cid.codec, data)
    except Invalid:
        return ()


def put_links(batch: Batch, cid: Cid, data: bytes) -> None:
    """Note what new content links to."""
    for target in links_of_stored(cid, data):
        batch.put(keyspace.references(target) + _FROM_CONTENT + cid.data, b"")


def remove_links(batch: Batch, cid: Cid, data: bytes) -> tuple[Cid, ...]:
    """Forget what content that goes links to; gives it."""
    targets = links_of_stored(cid, data)
    for target in targets:
        batch.delete(keyspace.references(target) + _FROM_CONTENT + cid.data)
    return targets


def put_records(batch: Batch, records: Sequence[Record]) -> None:
    """Note what the records of a signed block name: modules, inputs and outputs of jobs."""
    for record in records:
        match record.event:
            case JobSubmitted(job, spec=spec):
                named: tuple[Any, ...] = (spec.module, spec.input_cid)
            case JobCompleted(job, output=output) | JobAgreed(job, output=output):
                named = (output,)
            case ReceiptIssued(job, receipt=receipt):
                named = (_output_of(receipt),)
            case _:
                continue
        for target in named:
            if isinstance(target, Cid):
                batch.put(keyspace.references(target) + _FROM_JOB + job.data, b"")


def _output_of(receipt: bytes) -> Cid | None:
    """What a receipt names. In a record that is void anything may stand for one, and names nothing (`dag.forks`)."""
    try:
        return reopen_receipt(receipt).output
    except Invalid:
        return None


def references_to(reader: Reader, target: Cid) -> Iterator[Reference]:
    """Everything that refers to `target`: content first."""
    for key, _ in reader.scan(keyspace.references(target)):
        yield read_reference(key)


def read_reference(key: bytes) -> Reference:
    """What a key of `keyspace.references` says."""
    kind, source = key[_KIND_AT : _KIND_AT + 1], key[_KIND_AT + 1 :]
    if kind == _FROM_JOB:
        return Reference(key, None, JobId(source))
    return Reference(key, Cid(source), None)


def target_of(key: bytes) -> Cid:
    """To what the entry with this key refers."""
    return Cid(key[len(keyspace.REFERENCE) : _KIND_AT])


def _collect(value: object, found: dict[Cid, None]) -> None:
    """Depth is bounded by `kernel.encoding.DEPTH_MAX`."""
    if isinstance(value, dict):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, Cid | ForeignCid):
        _note(value, found)


def _note(link: Cid | ForeignCid, found: dict[Cid, None]) -> None:
    named = Cid.named_by(link)
    if named is not None:
        found[named] = None
