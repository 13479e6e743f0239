"""The step from format 1 to 2, whole and interrupted. Whole stores of that format: tests/upgrade."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.encoding import encode_ordered
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.services.replay import rebuild
from icn.stores import contents, format_1, keyspace
from icn.stores.format_1 import ContentMetaOfFormat1
from icn.stores.kv import Batch
from icn.stores.schema import FORMAT_VERSION, STORE_ID_BYTES, check_or_claim, format_of, store_id, upgrades
from support import builders

ID = bytes(range(STORE_ID_BYTES))
DATA = [bytes([number]) * (number + 1) for number in range(7)]


def _of_format_1() -> MemoryStore:
    store, batch = MemoryStore(), Batch()
    batch.put(keyspace.about("format"), b"1")
    batch.put(keyspace.about("owner"), builders.did(1).text.encode())
    shape = shape_of(ContentMetaOfFormat1)
    for data in DATA:
        cid = Cid.of(data, RAW)
        old = ContentMetaOfFormat1(len(data), Instant(len(data)), pinned=len(data) % 2 == 0, expires_at=None)
        batch.put(keyspace.block(cid), data)
        batch.put(keyspace.content_meta(cid), encode_ordered(shape.to_map(old)))
    store.commit(batch, store.claim())
    return store


@pytest.mark.parametrize("dies_after", range(6))
def test_every_content_block_gets_one_number_also_when_interrupted(dies_after, monkeypatch) -> None:
    monkeypatch.setattr(format_1, "UPGRADED_PER_BATCH", 2)
    store = _of_format_1()
    for count, step in enumerate(upgrades(store, bytes(STORE_ID_BYTES), rebuild)):
        if count == dies_after:
            break
        store.commit(step, store.claim())
    for step in upgrades(store, ID, rebuild):
        store.commit(step, store.claim())
    assert format_of(store) == FORMAT_VERSION
    assert store_id(store) in {ID, bytes(STORE_ID_BYTES)}
    assert [number for number, _ in contents.changes(store)] == list(range(len(DATA)))
    assert contents.next_change(store.get) == len(DATA)
    for number, cid in contents.changes(store):
        meta = contents.get_content_meta(store, cid)
        assert meta is not None
        assert (meta.arrival, meta.changed, meta.stored_at) == (number, number, meta.size)
        assert meta.pinned == (meta.size % 2 == 0)
    assert not check_or_claim(store, builders.did(1), ID).operations
