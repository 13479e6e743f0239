from icn.protocol.libp2p.gossipsub.seen import BEARERS_MAX, SeenCache, Standing
from support.gossip_talk import peer


def test_what_was_seen_is_known_until_its_time_is_over():
    seen = SeenCache(ttl_ms=100, entries_max=10)
    seen.add(b"a", Standing.VALIDATING, 0)
    seen.add(b"b", Standing.VALIDATING, 60)
    assert seen.get(b"a", 99) is not None
    assert seen.get(b"a", 100) is None
    assert seen.get(b"b", 100) is not None
    assert seen.get(b"c", 100) is None
    assert len(seen) == 1


def test_the_oldest_goes_first_when_there_are_too_many():
    seen = SeenCache(ttl_ms=100, entries_max=2)
    for name in (b"a", b"b", b"c"):
        seen.add(name, Standing.ACCEPTED, 0)
    assert seen.get(b"a", 0) is None
    assert seen.get(b"b", 0) is not None
    assert len(seen) == 2


def test_who_brought_a_message_is_noted_once_each_and_within_a_bound():
    sighting = SeenCache(100, 2).add(b"a", Standing.VALIDATING, 0)
    assert sighting.bear(peer("ann"))
    assert not sighting.bear(peer("ann"))
    assert all(sighting.bear(peer(f"p{number}")) for number in range(BEARERS_MAX - 1))
    assert not sighting.bear(peer("one more"))
