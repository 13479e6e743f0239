import hashlib

from icn.protocol.libp2p.kademlia.keyspace import BITS, bucket, place, place_of
from support.kademlia_swarm import kad_peer


def test_a_peer_lies_where_the_hash_of_its_binary_id_says():
    peer = kad_peer(1)
    assert place_of(peer) == place(peer.multihash) == int(hashlib.sha256(peer.multihash).hexdigest(), 16)


def test_the_farther_half_is_the_last_bucket_and_the_next_number_the_first():
    ours = place(b"x")
    assert bucket(ours, ours ^ 1) == 0
    assert bucket(ours, ours ^ (1 << (BITS - 1))) == BITS - 1
    assert bucket(ours, ours ^ 0b101) == 2
