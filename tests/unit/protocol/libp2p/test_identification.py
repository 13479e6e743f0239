from dataclasses import replace

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.identification import OwnDescription, PeerDescription, merged
from icn.protocol.libp2p.identify import PUSH, Identification, encode
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.routing_record import RoutingRecord, make
from support.libp2p_pair import about, keys

SIGNER = keys(1).signer
PEER = PeerId.of(SIGNER.did)
NOTHING = Identification("", (), (), None)
HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/7000")
THERE = Multiaddr.parse("/ip4/192.0.2.2/tcp/7000")


def at(sequence: int, *addresses: Multiaddr) -> RoutingRecord:
    return make(SIGNER, sequence, addresses)


def test_what_a_push_does_not_mention_stays():
    before = Identification("icn/1", ("/a", "/b"), (HERE,), THERE)
    assert merged(before, NOTHING) == before
    assert merged(before, replace(NOTHING, protocols=("/c",))) == replace(before, protocols=("/c",))
    assert merged(before, replace(NOTHING, listen_addresses=(THERE,))) == replace(before, listen_addresses=(THERE,))


def test_a_newer_record_brings_its_addresses_and_an_older_one_nothing():
    before = replace(NOTHING, record=at(5, HERE), listen_addresses=(HERE,))
    newer = replace(NOTHING, record=at(6, THERE), listen_addresses=(THERE,))
    assert merged(before, newer) == newer
    assert merged(newer, before) == newer
    gone = replace(NOTHING, record=at(7), listen_addresses=())
    assert merged(newer, gone).listen_addresses == ()


def test_unsigned_addresses_do_not_take_the_place_of_signed_ones():
    before = replace(NOTHING, record=at(5, HERE), listen_addresses=(HERE,))
    assert merged(before, replace(NOTHING, listen_addresses=(THERE,))) == before


def test_parts_of_a_description_add_up():
    peer = PeerDescription(ConnectionLimits())
    peer.take(encode(SIGNER.did, about("icn/1", "/a")), PEER)
    record = at(1, HERE)
    said = peer.take(encode(SIGNER.did, replace(NOTHING, record=record)), PEER)
    assert said == Identification("icn/1", ("/a",), (HERE,), None, record)


def test_a_change_is_owed_once_and_only_to_who_takes_pushes():
    ours = OwnDescription(NOTHING)
    takes, takes_not = replace(NOTHING, protocols=(PUSH,)), NOTHING
    assert not ours.owed_to(takes)
    ours.change(about("icn/1"))
    ours.change(about("icn/1"))
    assert not ours.owed_to(None)
    assert not ours.owed_to(takes_not)
    assert ours.owed_to(takes)
    ours.settle()
    ours.change(about("icn/1"))
    assert not ours.owed_to(takes)


def test_pushes_are_counted_by_the_minute():
    peer = PeerDescription(ConnectionLimits(pushes_per_minute_max=2))
    assert [peer.admits_push(ms) for ms in (60_000, 61_000, 62_000, 120_000)] == [True, True, False, True]
