"""Who is known, more of those nearby than of those far away.

One list per bucket, "ordered by time last seen, least-recently seen first" (the paper's words). All in the table have
answered us or were connected: hearsay is no contact.

| a peer is seen | its bucket | then |
|---|---|---|
| again | - | it goes to the end, with its new addresses |
| first | has room, and its group too | it is added at the end |
| first | is full | it waits in the bucket's one place for that; the least recently seen is to be checked |
| first | its group has enough | it is not taken |

A check that fails removes the contact, and who waits takes its place. One that succeeds counts as seen again and keeps
the place: peers that stay are worth more than peers that come, and a flood of new ids moves nobody out.
"""

from dataclasses import dataclass, replace

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia.groups import group_of
from icn.protocol.libp2p.kademlia.keyspace import bucket, place_of
from icn.protocol.libp2p.kademlia.messages import PeerInfo
from icn.protocol.libp2p.kademlia.settings import KademliaSettings


@dataclass(frozen=True, slots=True)
class Contact:
    """A peer that answered us."""

    info: PeerInfo
    host: str
    """The IP address at which it was met; what its group is told by."""
    seen_at: int

    @property
    def peer(self) -> PeerId:
        """Who it is."""
        return self.info.peer


class RoutingTable:
    """All buckets. Bounded: a bucket has `bucket_peers_max` peers and one that waits, and there are 256."""

    def __init__(self, ours: PeerId, settings: KademliaSettings) -> None:
        self._ours = place_of(ours)
        self._settings = settings
        self._buckets: dict[int, list[Contact]] = {}
        self._waiting: dict[int, Contact] = {}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def __contains__(self, peer: PeerId) -> bool:
        return any(contact.peer == peer for contact in self._bucket(peer))

    def see(self, contact: Contact) -> None:
        """A peer other than us answered, or connected."""
        number = bucket(self._ours, place_of(contact.peer))
        contacts = self._buckets.setdefault(number, [])
        known = [one for one in contacts if one.peer == contact.peer]
        if known:
            contacts.remove(known[0])
            contacts.append(contact)
        elif not self._admits_group(contact, contacts):
            return
        elif len(contacts) < self._settings.bucket_peers_max:
            contacts.append(contact)
        else:
            self._waiting[number] = contact

    def remove(self, peer: PeerId) -> None:
        """It does not answer, or serves no more. Who waits takes its place."""
        number = bucket(self._ours, place_of(peer))
        if number in self._waiting and self._waiting[number].peer == peer:
            del self._waiting[number]
        contacts = self._buckets.get(number, [])
        left = [contact for contact in contacts if contact.peer != peer]
        if len(left) == len(contacts):
            return
        self._buckets[number] = left
        waiting = self._waiting.pop(number, None)
        if waiting is not None and self._admits_group(waiting, left):
            left.append(waiting)
        if not left:
            del self._buckets[number]

    def closest(self, place: int, count: int, *, without: PeerId | None = None) -> list[Contact]:
        """The `count` contacts closest to a place, the closest first."""
        others = [contact for contact in self.contacts() if contact.peer != without]
        return sorted(others, key=lambda contact: place_of(contact.peer) ^ place)[:count]

    def contacts(self) -> list[Contact]:
        """Everybody, bucket by bucket, the least recently seen first."""
        return [contact for number in sorted(self._buckets) for contact in self._buckets[number]]

    def doubtful(self, now: int) -> list[Contact]:
        """Who should be asked whether it is there.

        The least recently seen of each bucket for which somebody waits, and whoever was not seen for long.
        """
        doubtful = []
        for number in sorted(self._buckets):
            contacts = self._buckets[number]
            late = [one for one in contacts if now - one.seen_at >= self._settings.checked_after_ms]
            doubtful += late or (contacts[:1] if number in self._waiting else [])
        return doubtful

    def confirm(self, peer: PeerId, now: int) -> None:
        """It answered: it keeps its place, and who waited for that goes, if it was the least recently seen."""
        number = bucket(self._ours, place_of(peer))
        contacts = self._buckets.get(number, [])
        for position, contact in enumerate(contacts):
            if contact.peer == peer:
                contacts.append(replace(contacts.pop(position), seen_at=now))
                if position == 0:
                    self._waiting.pop(number, None)
                return

    def _bucket(self, peer: PeerId) -> list[Contact]:
        place = place_of(peer)
        return [] if place == self._ours else self._buckets.get(bucket(self._ours, place), [])

    def _admits_group(self, contact: Contact, contacts: list[Contact]) -> bool:
        group = group_of(contact.host)
        if group is None:
            return True
        in_bucket = sum(group_of(one.host) == group for one in contacts)
        in_table = sum(group_of(one.host) == group for one in self.contacts())
        return in_bucket < self._settings.group_in_bucket_max and in_table < self._settings.group_in_table_max
