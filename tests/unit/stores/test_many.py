from icn.adapters.storage.memory import MemoryStore
from icn.stores import many
from icn.stores.kv import Batch


def test_items_come_in_their_order_with_their_values_however_many_are_read_together() -> None:
    store = MemoryStore()
    batch = Batch()
    for number in range(10):
        batch.put(b"k%d" % number, b"v%d" % number)
    store.commit(batch, store.claim())
    items = [3, 11, 1, 3, 9]
    for at_once in (1, 2, 5, 100):
        found = list(many.values(store, iter(items), lambda n: b"k%d" % n, at_once=at_once))
        assert found == [(3, b"v3"), (11, None), (1, b"v1"), (3, b"v3"), (9, b"v9")]
    assert list(many.values(store, [], lambda n: n, at_once=3)) == []


def test_groups_are_full_but_for_the_last() -> None:
    assert list(many.groups(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(many.groups((), 3)) == []
