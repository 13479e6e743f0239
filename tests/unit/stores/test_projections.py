"""Rows of one table are read as they were written, in order of key, and do not mix with another's."""

from icn.adapters.storage.memory import MemoryStore
from icn.domain.ledger.model import Supply
from icn.stores.kv import Batch
from icn.stores.projections import Table

TABLE, LIKE = Table("supply", Supply), Table("suppl", Supply)


def test_rows_come_in_order_page_and_go() -> None:
    store, batch = MemoryStore(), Batch()
    for key in (b"b", b"a", b"ab", b"c"):
        TABLE.put(batch, key, Supply(minted=key[0]))
    LIKE.put(batch, b"y\0a", Supply(burned=1))
    TABLE.put(batch, b"c", None)
    store.commit(batch, store.claim())
    assert [key for key, _ in TABLE.rows(store)] == [b"a", b"ab", b"b"]
    assert [key for key, _ in TABLE.rows(store, prefix=b"a")] == [b"a", b"ab"]
    assert [key for key, _ in TABLE.rows(store, after=b"a")] == [b"ab", b"b"]
    assert [key for key, _ in TABLE.rows_down(store, before=b"b")] == [b"ab", b"a"]
    assert TABLE.get(store, b"b") == Supply(minted=ord("b"))
    assert TABLE.get(store, b"c") is None
    assert [row for _, row in LIKE.rows(store)] == [Supply(burned=1)]
