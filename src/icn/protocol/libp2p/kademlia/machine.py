"""One node's Kademlia: whom it knows, what it searches, what it answers.

| input | effects |
|---|---|
| a peer that serves is met | the first one: a bootstrap soon |
| somebody is to be found | `Ask` the closest known |
| an answer, or none | `Learned` for peers not heard of in this search before; further `Ask`s; `Finished` |
| time | requests that are late count as failed; a bootstrap when it is due; doubtful contacts are asked |
| a request | its answer (`serving`), no effect |

A bootstrap is a search for our own id, which fills the near buckets and makes us known, and one for a random id, which
fills far ones. It runs once there is somebody to ask, then at intervals that no two nodes share.

The owner carries out each `Ask` (it connects first, where need be) and reports `answered` or `failed` for its number.
Nothing here trusts a peer: what an answer tells is tried, and only who answers becomes a contact.

Not here: sockets, the choice of who stays connected, values and providers.
"""

import hashlib
from dataclasses import dataclass

from icn.kernel.ids import PeerId
from icn.protocol.libp2p.kademlia import serving
from icn.protocol.libp2p.kademlia.groups import usable
from icn.protocol.libp2p.kademlia.keyspace import place
from icn.protocol.libp2p.kademlia.lookup import Lookup
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo
from icn.protocol.libp2p.kademlia.routing_table import Contact, RoutingTable
from icn.protocol.libp2p.kademlia.settings import KademliaSettings


@dataclass(frozen=True, slots=True)
class Ask:
    """Send `request` to `peer`, connecting to one of its addresses where it is not connected."""

    number: int
    peer: PeerInfo
    request: Message


@dataclass(frozen=True, slots=True)
class Learned:
    """`info` was told of by somebody; addresses that cannot be of use are left out."""

    info: PeerInfo


@dataclass(frozen=True, slots=True)
class Finished:
    """A search that `find` began is over."""

    search: int
    wanted: PeerInfo | None
    """The peer that was searched for, as it answered, else as others tell of it."""


Effect = Ask | Learned | Finished


@dataclass(frozen=True, slots=True)
class _Asked:
    info: PeerInfo
    search: int | None
    """None for a check whether the peer is there."""
    asked_at: int


class Kademlia:
    """The machine. One owner calls it, from one thread."""

    def __init__(self, ours: PeerId, settings: KademliaSettings, secret: bytes) -> None:
        """`secret`: random bytes of this start; what is random here is derived from them."""
        self._ours = ours
        self._settings = settings
        self._secret = secret
        self._table = RoutingTable(ours, settings)
        self._requests = serving.Requests(settings)
        self._lookups: dict[int, Lookup] = {}
        self._wanted: set[int] = set()
        """Searches whose end is told: those of `find`."""
        self._asked: dict[int, _Asked] = {}
        self._counted = 0
        self._refresh_at: int | None = None

    @property
    def contacts(self) -> list[Contact]:
        """Who is in the routing table."""
        return self._table.contacts()

    def met(self, info: PeerInfo, host: str, now: int) -> None:
        """`info.peer` is connected, from or at the IP address `host`, and says that it serves."""
        if info.peer == self._ours:
            return
        if not len(self._table):
            self._refresh_at = now + self._settings.first_refresh_ms
        self._table.see(Contact(_usable(info, host), host, now))

    def left(self, peer: PeerId) -> None:
        """It is connected and says that it serves no more."""
        self._table.remove(peer)

    def find(self, peer: PeerId, now: int) -> tuple[int, list[Effect]] | None:
        """Begin to search for `peer`; `Finished` follows with this number. None when too many are under way."""
        number = self._begin(peer.multihash, now)
        if number is None:
            return None
        self._wanted.add(number)
        return number, self._go_on(number, now)

    def answered(self, number: int, answer: Message, host: str, now: int) -> list[Effect]:
        """The answer to an `Ask`, from a peer connected at `host`."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return []
        peer = asked.info.peer
        if peer in self._table:
            self._table.confirm(peer, now)
        else:
            self._table.see(Contact(asked.info, host, now))
        infos = [info for info in (_usable(one, host) for one in answer.closer) if info.addresses]
        infos = [info for info in infos if info.peer != self._ours][: self._settings.bucket_peers_max]
        effects: list[Effect] = [Learned(info) for info in infos]
        if asked.search in self._lookups:
            self._lookups[asked.search].answered(peer, infos)
            effects += self._go_on(asked.search, now)
        return effects

    def failed(self, number: int, now: int) -> list[Effect]:
        """The `Ask` came to nothing: no connection, no stream, no answer, or one that is against the rules."""
        asked = self._asked.pop(number, None)
        if asked is None:
            return []
        self._table.remove(asked.info.peer)
        if asked.search not in self._lookups:
            return []
        self._lookups[asked.search].failed(asked.info.peer)
        return self._go_on(asked.search, now)

    def tick(self, now: int) -> list[Effect]:
        """Let time pass."""
        effects: list[Effect] = []
        for number in [number for number, one in self._asked.items() if self._is_late(one, now)]:
            effects += self.failed(number, now)
        for search in list(self._lookups):
            effects += self._go_on(search, now)
        if self._refresh_at is not None and now >= self._refresh_at:
            effects += self._refresh(now)
        return effects + self._check(now)

    def serve(self, request: Message, asker: PeerId, host: str, us: PeerInfo, now: int) -> Message | None:
        """The answer to a request; `us` is what we say of ourselves. Raises `serving.Refused`: reset the stream."""
        if not self._requests.admit(asker, now):
            raise serving.Refused("kademlia: too many requests in a minute")
        return serving.answer(request, asker, host, table=self._table, us=us, settings=self._settings)

    # Searches.

    def _begin(self, target: bytes, now: int) -> int | None:
        if len(self._lookups) >= self._settings.lookups_max:
            return None
        seeds = [contact.info for contact in self._table.closest(place(target), self._settings.bucket_peers_max)]
        number = self._next_number()
        self._lookups[number] = Lookup(target, seeds, ours=self._ours, settings=self._settings, now=now)
        return number

    def _go_on(self, search: int, now: int) -> list[Effect]:
        """Ask whom the search wants asked; end it when that is nobody."""
        lookup = self._lookups.get(search)
        if lookup is None:
            return []
        request = Message(Kind.FIND_NODE, lookup.target)
        effects: list[Effect] = [self._ask(info, request, search, now) for info in lookup.due(now)]
        if lookup.is_done(now):
            del self._lookups[search]
            if search in self._wanted:
                self._wanted.remove(search)
                effects.append(Finished(search, lookup.wanted()))
        return effects

    def _refresh(self, now: int) -> list[Effect]:
        if not len(self._table):
            self._refresh_at = None  # `met` sets it again
            return []
        every = self._settings.refresh_every_ms
        chance = int.from_bytes(self._random()[:4], "big")
        self._refresh_at = now + every - every // 4 + chance % (every // 2)
        random_peer = PeerId.from_public_key(self._random())
        effects: list[Effect] = []
        for target in (self._ours, random_peer):
            search = self._begin(target.multihash, now)
            if search is not None:
                effects += self._go_on(search, now)
        return effects

    # Requests.

    def _check(self, now: int) -> list[Effect]:
        under_way = {asked.info.peer for asked in self._asked.values()}
        checks = sum(asked.search is None for asked in self._asked.values())
        doubtful = [contact for contact in self._table.doubtful(now) if contact.peer not in under_way]
        request = Message(Kind.FIND_NODE, self._ours.multihash)
        free = max(0, self._settings.checks_max - checks)
        return [self._ask(contact.info, request, None, now) for contact in doubtful[:free]]

    def _ask(self, info: PeerInfo, request: Message, search: int | None, now: int) -> Ask:
        number = self._next_number()
        self._asked[number] = _Asked(info, search, now)
        return Ask(number, info, request)

    def _is_late(self, asked: _Asked, now: int) -> bool:
        return now - asked.asked_at >= self._settings.ask_ms_max

    def _next_number(self) -> int:
        self._counted += 1
        return self._counted

    def _random(self) -> bytes:
        """32 bytes that nobody without the secret can foretell."""
        return hashlib.sha256(self._secret + self._next_number().to_bytes(8, "big")).digest()


def _usable(info: PeerInfo, host: str) -> PeerInfo:
    return PeerInfo(info.peer, tuple(address for address in info.addresses if usable(address, host)), info.reach)
