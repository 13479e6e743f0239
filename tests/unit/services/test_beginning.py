"""Who fills a store that began empty asks it only for what may have been put in."""

import pytest

from icn.kernel.errors import InvariantBroken
from icn.services.beginning import NO_VIEWS, Beginning, Views, with_views
from icn.stores import keyspace
from icn.stores.kv import Batch
from support import builders


class Asked:
    """A store that tells what it was asked for."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.keys: list[bytes] = []

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        self.rows.update(with_views(batch, views).operations)

    def get(self, key: bytes) -> bytes | None:
        self.keys.append(key)
        return self.rows.get(key)


def key(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(36, "big")


@pytest.mark.parametrize(
    "prefix", [keyspace.CONTENT_META, keyspace.BLOCK_META, keyspace.FEED, keyspace.EVIDENCE], ids=repr
)
def test_what_nobody_has_put_in_is_not_asked_for(prefix: bytes) -> None:
    asked = Asked()
    store = Beginning(asked)
    store.load(Batch({key(prefix, 1): b"one"}))
    assert store.get_many([key(prefix, 1), key(prefix, 2)]) == [b"one", None]
    assert asked.keys == [key(prefix, 1)]


def test_what_is_said_of_the_store_itself_is_remembered() -> None:
    asked = Asked()
    store = Beginning(asked)
    store.load(Batch({keyspace.about("format"): b"3", keyspace.about("owner"): None}))
    assert store.get_many([keyspace.about(name) for name in ("format", "owner", "other")]) == [b"3", None, None]
    assert asked.keys == []


def test_everything_else_is_asked_for() -> None:
    asked = Asked()
    store = Beginning(asked)
    entry = keyspace.feed(builders.did(1))
    assert store.get(keyspace.JOURNAL + entry) is None
    assert asked.keys == [keyspace.JOURNAL + entry]


def test_a_filter_that_is_far_too_small_only_costs_look_ups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn.services.beginning.FILTER_BITS", 64)
    asked = Asked()
    store = Beginning(asked)
    batch = Batch({key(keyspace.FEED, number): b"%d" % number for number in range(100)})
    store.load(batch)
    assert {found: store.get(found) for found in batch.operations} == batch.operations
    assert store.get(key(keyspace.FEED, 100)) is None
    assert len(asked.keys) == 101


def test_nobody_walks_through_it() -> None:
    store = Beginning(Asked())
    for walk in (store.scan, store.scan_down):
        with pytest.raises(InvariantBroken):
            walk(keyspace.BLOCK)


def test_what_is_only_looked_at_becomes_rows_like_others() -> None:
    asked = Asked()
    store = Beginning(asked)
    store.load(Batch({b"j1": b"one"}), {b"b1": memoryview(b"<two>")[1:-1]})
    assert asked.rows == {b"j1": b"one", b"b1": b"two"}
    assert type(asked.rows[b"b1"]) is bytes
