"""What must reach a peer waits until the peer says that it has it, also across a restart."""

from icn.adapters.storage.memory import MemoryStore
from icn.stores.kv import Batch
from icn.stores.outbox import Outbox
from support import builders

PEER, OTHER = builders.did(2), builders.did(3)


def test_messages_wait_in_order_until_they_are_acknowledged_and_numbers_are_not_used_twice() -> None:
    store = MemoryStore()
    fence = store.claim()
    outbox, batch = Outbox.load(store), Batch()
    for text in (b"one", b"two", b"three"):
        outbox.add(batch, PEER, outbox.reserve(), text)
    outbox.add(batch, OTHER, outbox.reserve(), b"other")
    outbox.remove(batch, PEER, 2)
    outbox.remove(batch, PEER, 99)
    outbox.remove(batch, builders.did(9), 1)
    store.commit(batch, fence)
    again = Outbox.load(store)
    assert again.messages_for(PEER) == [b"one", b"three"]
    assert again.messages_for(OTHER) == [b"other"]
    assert again.messages_for(builders.did(9)) == []
    assert again.reserve() == 5


def test_a_peer_with_nothing_waiting_leaves_no_trace() -> None:
    outbox, batch = Outbox(), Batch()
    outbox.add(batch, PEER, outbox.reserve(), b"one")
    outbox.remove(batch, PEER, 1)
    assert not outbox.waiting
