"""The bounds and intervals of Kademlia, and its protocol id."""

from dataclasses import dataclass

from icn.kernel.limits import KIB

PROTOCOL = "/icn/kad/1.0.0"
"""Its own id keeps our nodes out of public DHTs, and those out of ours."""
MESSAGE_BYTES_MAX = 64 * KIB
"""A full answer, 20 peers with eight addresses each, has about 12 KiB."""
KEY_BYTES_MAX = 1 * KIB
PEERS_PER_MESSAGE_MAX = 64
"""More than the 21 that any implementation sends."""
ADDRESSES_PER_PEER_MAX = 8


@dataclass(frozen=True, slots=True)
class KademliaSettings:
    """How much is kept and asked, and when."""

    bucket_peers_max: int = 20
    """`k` of the specification: peers of one bucket, and of one answer."""
    group_in_bucket_max: int = 10
    """Of one bucket, how many may be of one group of public addresses (`groups`), so that whoever rents one network
    does not own what we know of the keyspace."""
    group_in_table_max: int = 60
    """The same for the whole table."""
    alpha: int = 3
    """Requests of one lookup under way at a time."""
    heard_max: int = 256
    """Peers that one lookup considers, the closest that it has heard of."""
    asked_max: int = 60
    """Requests of one lookup in all: who invents peers at somebody else's address has us call there so often only."""
    lookups_max: int = 8
    """At one time."""
    ask_ms_max: int = 10_000
    """For one request with its answer, dialling included."""
    lookup_ms_max: int = 30_000
    """For a whole lookup; what is known then is its result."""
    first_refresh_ms: int = 500
    """From the first contact, so that those who come together are used together."""
    refresh_every_ms: int = 300_000
    """From one bootstrap to the next, give or take a quarter."""
    checked_after_ms: int = 600_000
    """A contact that was not heard of for so long is asked whether it is there."""
    checks_max: int = 8
    """Such questions under way at a time."""
    requests_per_minute_max: int = 240
    """Answered to one peer. A lookup of ours costs one peer two or three."""
    requesters_max: int = 1024
    """Peers whose requests of the minute are counted; the ones counted first are forgotten first."""
