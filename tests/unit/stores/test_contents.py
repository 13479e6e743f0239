"""Content with its pins, numbered in the order of its changes."""

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import InvariantBroken
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.stores import blocks, contents
from icn.stores.contents import ContentMeta, TimeMark
from icn.stores.kv import Batch

DATA = [b"x", b"yy", b"zzz"]
X, Y, Z = (Cid.of(data, RAW) for data in DATA)


def _committed(store: MemoryStore, batch: Batch) -> None:
    store.commit(batch, store.claim())


def _with_three() -> MemoryStore:
    store, batch = MemoryStore(), Batch()
    for data in DATA:
        contents.put_content(
            store.get, batch, Cid.of(data, RAW), data, stored_at=Instant(5), pinned=False, expires_at=None
        )
    _committed(store, batch)
    return store


def _pin(store: MemoryStore, cid: Cid) -> ContentMeta:
    batch = Batch()
    meta = contents.change_content(store.get, batch, cid, pinned=True, expires_at=Instant(9))
    _committed(store, batch)
    return meta


def test_content_keeps_its_pin_and_lifetime() -> None:
    store = _with_three()
    _pin(store, X)
    assert blocks.get_bytes(store, X) == b"x"
    meta = contents.get_content_meta(store, X)
    assert meta == ContentMeta(1, Instant(5), pinned=True, expires_at=Instant(9), arrival=0, changed=3)
    assert blocks.get_meta(store, X) is None
    assert contents.get_content_meta(store, Cid.of(b"never put", RAW)) is None


def test_several_of_one_batch_are_numbered_in_order() -> None:
    assert list(contents.changes(_with_three())) == [(0, X), (1, Y), (2, Z)]


def test_a_change_moves_content_to_the_end_once() -> None:
    store = _with_three()
    _pin(store, X)
    assert list(contents.changes(store)) == [(1, Y), (2, Z), (3, X)]
    assert list(contents.changes(store, after=1)) == [(2, Z), (3, X)]


def test_a_number_is_never_used_again() -> None:
    store, batch = _with_three(), Batch()
    contents.remove_content(store.get, batch, Z)
    _committed(store, batch)
    assert blocks.get_bytes(store, Z) is None
    assert contents.get_content_meta(store, Z) is None
    assert [number for number, _ in contents.changes(store)] == [0, 1]
    assert _pin(store, Y).changed == 3


def test_what_is_not_here_cannot_be_changed() -> None:
    with pytest.raises(InvariantBroken):
        contents.change_content(MemoryStore().get, Batch(), X, pinned=True, expires_at=None)
    with pytest.raises(InvariantBroken):
        contents.remove_content(MemoryStore().get, Batch(), X)


def test_a_mark_gives_the_numbers_from_which_on_everything_later_lies() -> None:
    store, batch = MemoryStore(), Batch()
    assert contents.last_time_mark(store) is None
    contents.put_time_mark(batch, Instant(1000), TimeMark(4, 7))
    contents.put_time_mark(batch, Instant(2000), TimeMark(9, 8))
    _committed(store, batch)
    assert contents.last_time_mark(store) == 2000
    assert contents.time_mark_before(store, Instant(999)) == TimeMark(0, 0)
    assert contents.time_mark_before(store, Instant(1000)) == TimeMark(4, 7)
    assert contents.time_mark_before(store, Instant(1999)) == TimeMark(4, 7)
    assert contents.time_mark_before(store, Instant(5000)) == TimeMark(9, 8)
