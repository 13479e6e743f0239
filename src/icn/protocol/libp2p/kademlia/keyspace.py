"""Where things lie in Kademlia's space: 256 bits, and the exclusive or as distance.

"In all cases, the distance between two keys is XOR(sha256(key1), sha256(key2))". A place is a number, so distances
compare as numbers.
"""

import hashlib
from functools import lru_cache

from icn.kernel.ids import NAMES_REMEMBERED_MAX, PeerId

BITS = 256


def place(key: bytes) -> int:
    """Where a key lies."""
    return int.from_bytes(hashlib.sha256(key).digest(), "big")


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def place_of(peer: PeerId) -> int:
    """Where a peer lies: the key is its id in binary."""
    return place(peer.multihash)


def bucket(ours: int, other: int) -> int:
    """Which bucket of a table at `ours` another place belongs to: 255 for half of the space, 0 for the next number.

    Only for `other` than ours.
    """
    return (ours ^ other).bit_length() - 1
