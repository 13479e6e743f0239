"""The walk over all blocks comes by each once, in order."""

from collections.abc import Iterator

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW, Cid
from icn.services.block_names import Beside, named_blocks
from icn.stores import keyspace
from icn.stores.kv import StoreCorrupt
from support.stores import fill


def store_of(blocks: list[bytes]) -> MemoryStore:
    store = MemoryStore()
    fill(store, {keyspace.block(Cid.of(data, RAW)): data for data in blocks})
    return store


def test_every_block_comes_once_in_order_of_name() -> None:
    many = [b"%d" % number for number in range(513)]
    large = [bytes([number]) * 500_000 for number in range(5)]
    found = list(named_blocks(store_of(many + large)))
    assert [block.name for block in found] == sorted(Cid.of(data, RAW).data for data in many + large)
    assert sorted(block.data or b"" for block in found) == sorted(many + large)
    assert all(block.size == len(block.data or b"") for block in found)
    assert all(block.fits and block.cid is not None and not block.wrong for block in found)


def test_a_store_without_blocks() -> None:
    assert list(named_blocks(MemoryStore())) == []


def test_what_has_another_name_and_what_has_none() -> None:
    store = store_of([b"right"])
    other = Cid.of(b"other", RAW)
    fill(store, {keyspace.block(other): b"othEr", keyspace.BLOCK + b"no name": b"bytes"})
    by_name = {block.name: block for block in named_blocks(store)}
    assert (by_name[other.data].cid, by_name[other.data].fits) == (other, False)
    nameless = by_name[b"no name"]
    assert (nameless.cid, nameless.fits, bool(nameless.wrong)) == (None, False, True)


class Failing(MemoryStore):
    """A store whose disk cannot be read to its end."""

    def scan(self, prefix: bytes, *, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        yield from super().scan(prefix, after=after)
        raise StoreCorrupt("the rest of it")


def test_what_cannot_be_read_is_told_to_who_walks() -> None:
    with pytest.raises(StoreCorrupt):
        list(named_blocks(Failing()))


def test_a_walk_may_end_early() -> None:
    walk = named_blocks(store_of([b"%d" % number for number in range(700)]))
    next(walk)
    walk.close()  # type: ignore[attr-defined]  # a generator
    assert next(walk, None) is None


def test_rows_beside_are_taken_by_name_and_those_between_are_told() -> None:
    store = MemoryStore()
    fill(store, {b"x" + name: b"row " + name for name in (b"a", b"c", b"d", b"f")})
    beside = Beside(store, b"x")
    assert list(beside.below(b"b")) == [b"a"]
    assert beside.take(b"b") is None
    assert beside.take(b"c") == b"row c"
    assert list(beside.below(b"e")) == [b"d"]
    assert list(beside.below(None)) == [b"f"]
