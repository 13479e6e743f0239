from icn.protocol.libp2p.gossipsub.message_cache import MessageCache
from support.gossip_talk import peer

ANN, BOB = peer("ann"), peer("bob")


def test_a_message_is_advertised_for_some_windows_and_can_be_asked_for_longer():
    cache = MessageCache(windows=5, advertised=3, bytes_max=1_000)
    cache.put(b"1", "t", b"one")
    for _ in range(3):
        assert cache.advertised("t") == [b"1"]
        cache.shift()
    assert cache.advertised("t") == []
    assert cache.ask(b"1", ANN, 3) == b"one"
    cache.shift()
    cache.shift()
    assert cache.ask(b"1", ANN, 3) is None
    assert len(cache) == 0


def test_only_messages_of_the_topic_are_advertised():
    cache = MessageCache(5, 3, 1_000)
    cache.put(b"1", "t", b"one")
    cache.put(b"2", "u", b"two")
    assert cache.advertised("u") == [b"2"]


def test_one_peer_gets_a_message_so_many_times_and_others_do_not_notice():
    cache = MessageCache(5, 3, 1_000)
    cache.put(b"1", "t", b"one")
    assert [cache.ask(b"1", ANN, 3) for _ in range(5)] == [b"one", b"one", b"one", None, None]
    assert cache.ask(b"1", BOB, 3) == b"one"


def test_the_oldest_messages_go_first_when_they_take_too_much():
    cache = MessageCache(5, 3, 10)
    for name in (b"1", b"2", b"3"):
        cache.put(name, "t", b"12345")
    assert cache.advertised("t") == [b"2", b"3"]
    cache.put(b"4", "t", bytes(11))
    assert cache.advertised("t") == [b"2", b"3"]
    for _ in range(5):
        cache.shift()
    assert len(cache) == 0
    cache.put(b"5", "t", bytes(10))
    assert cache.ask(b"5", ANN, 1) == bytes(10)
