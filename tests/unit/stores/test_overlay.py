"""A store as it will be: what the batch says goes before what is stored, in every way of reading."""

from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.storage.memory import MemoryStore
from icn.stores.kv import Batch
from icn.stores.overlay import Overlay

KEYS = st.binary(min_size=1, max_size=3).map(lambda key: b"p" + key)
STORED = st.dictionaries(KEYS, st.binary(max_size=3), max_size=12)
CHANGES = st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=3)), max_size=12)


def store(values: dict[bytes, bytes]) -> MemoryStore:
    made = MemoryStore()
    batch = Batch()
    for key, value in values.items():
        batch.put(key, value)
    made.commit(batch, made.claim())
    return made


@given(STORED, CHANGES, st.one_of(st.none(), KEYS), st.sampled_from([b"", b"p", b"p\x01", b"q"]))
def test_it_reads_as_the_store_does_after_the_commit(
    stored: dict[bytes, bytes], changes: dict[bytes, bytes | None], at: bytes | None, prefix: bytes
) -> None:
    before = store(stored)
    overlay = Overlay(before, Batch(dict(changes)))
    after = store({k: v for k, v in (stored | changes).items() if v is not None})
    assert list(overlay.scan(prefix, after=at)) == list(after.scan(prefix, after=at))
    assert list(overlay.scan_down(prefix, before=at)) == list(after.scan_down(prefix, before=at))
    keys = [*stored, *changes, b"nowhere"]
    assert overlay.get_many(keys) == after.get_many(keys) == [overlay.get(key) for key in keys]
