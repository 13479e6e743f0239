"""Answers by request key: kept, bounded per principal, oldest first out."""

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.instant import Instant
from icn.stores.kv import Batch
from icn.stores.replies import Replies, StoredReply

ALICE, BOB = "did:a", "did:b"


def reply(at: int) -> StoredReply:
    return StoredReply(b"digest", Instant(at), "", b"\xa0")


def test_the_oldest_answers_of_a_principal_go_first_and_others_keep_theirs() -> None:
    store = MemoryStore()
    fence = store.claim()
    replies, batch = Replies(per_principal_max=3), Batch()
    replies.add(batch, BOB, "k1", reply(0))
    for at in range(5):
        replies.add(batch, ALICE, f"k{at}", reply(at))
    store.commit(batch, fence)
    assert [replies.get(store, ALICE, f"k{at}") for at in range(5)] == [None, None, reply(2), reply(3), reply(4)]
    assert replies.get(store, BOB, "k1") == reply(0)
    again = Replies.load(store)
    assert again.keys == replies.keys
    assert list(again.keys[ALICE]) == ["k2", "k3", "k4"]
    assert again.get(store, ALICE, "k3") == reply(3)
    assert again.get(store, "did:c", "k3") is None


def test_a_principal_whose_name_begins_like_anothers_has_its_own_keys() -> None:
    store = MemoryStore()
    replies, batch = Replies(), Batch()
    replies.add(batch, "did:a", "x", reply(1))
    replies.add(batch, "did:ab", "x", reply(2))
    store.commit(batch, store.claim())
    again = Replies.load(store)
    assert again.get(store, "did:a", "x") == reply(1)
    assert again.get(store, "did:ab", "x") == reply(2)
