"""Who refers to content is known as soon as what refers is here, and forgotten with it."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.events import NodeAdmitted
from icn.domain.mesh.events import JobCompleted, JobSubmitted, ReceiptIssued
from icn.domain.mesh.papers import seal_receipt
from icn.domain.records import Event, Record
from icn.kernel.encoding import encode
from icn.kernel.errors import Invalid
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid, ForeignCid
from icn.kernel.instant import Instant
from icn.kernel.limits import CONTENT_LINKS_MAX
from icn.kernel.mana import Mana
from icn.stores import contents, references
from icn.stores.kv import Batch
from support import builders

LEAF = Cid.of(b"leaf", RAW)
FILE = Cid.of(b"", DAG_PB)


def put(store: MemoryStore, data: bytes, codec: int) -> Cid:
    cid, batch = Cid.of(data, codec), Batch()
    contents.put_content(store.get, batch, cid, data, stored_at=Instant(0), pinned=False, expires_at=None)
    store.commit(batch, store.claim())
    return cid


def referring(store: MemoryStore, target: Cid) -> list[Cid | None]:
    return [reference.content for reference in references.references_to(store, target)]


def test_links_are_found_wherever_they_stand_and_a_cid_of_version_0_is_what_it_names() -> None:
    value = {"a": [LEAF, {"b": LEAF}], "c": ForeignCid(FILE.data[2:]), "d": ForeignCid(b"\x01\x55\x00\x00")}
    assert references.links(DAG_CBOR, encode(value)) == (LEAF, FILE)
    assert references.links(RAW, encode(value)) == ()


def test_what_links_is_known_before_the_target_comes_and_until_it_goes() -> None:
    store = MemoryStore()
    folder = put(store, encode([LEAF]), DAG_CBOR)
    assert referring(store, LEAF) == [folder]
    batch = Batch()
    assert contents.remove_content(store.get, batch, folder) == (LEAF,)
    store.commit(batch, store.claim())
    assert referring(store, LEAF) == []
    assert list(store.scan(b"l")) == []


def test_content_out_of_its_form_links_to_nothing() -> None:
    store = MemoryStore()
    assert references.links_of_stored(put(store, b"\x18\x01", DAG_CBOR), b"\x18\x01") == ()
    with pytest.raises(Invalid):
        references.links(DAG_PB, b"\x08\x01")


def test_what_jobs_name_is_known_by_each_of_their_records() -> None:
    home = builders.did(1)
    job = builders.job_id(home)
    module, given, output, receipted = (builders.cid(name) for name in ("module", "input", "output", "receipted"))
    receipt = seal_receipt(builders.receipt(2, 1, output=receipted), builders.signer(2))
    spec = builders.spec(module=module, input=b"", input_cid=given)
    events: list[Event] = [
        JobSubmitted(job, b"n", 0, home, spec),
        JobCompleted(job, 1, builders.did(2), output, Mana(1), b""),
        ReceiptIssued(job, 1, home, receipt),
        NodeAdmitted(home),
    ]
    store, batch = MemoryStore(), Batch()
    references.put_records(batch, [Record(builders.NODE_ITSELF, event) for event in events])
    store.commit(batch, store.claim())
    for target in (module, given, output, receipted):
        (found,) = references.references_to(store, target)
        assert (found.job, found.content) == (job, None)
    assert len(list(store.scan(b"l"))) == 4


def test_the_number_of_links_is_bounded() -> None:
    many = [Cid.of(b"%d" % number, RAW) for number in range(CONTENT_LINKS_MAX + 1)]
    assert len(references.links(DAG_CBOR, encode(many[:-1]))) == CONTENT_LINKS_MAX
    with pytest.raises(Invalid, match="links"):
        references.links(DAG_CBOR, encode(many))
