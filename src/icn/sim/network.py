"""The simulated network, as the network port promises it (adapters.network.ports).

Messages of one protocol arrive in order and at most once, those of different protocols in any order; a lost message
means a broken connection, which each side learns of in its own time; a peer goes down before it comes up again. Where
a cable works one way only, one side goes on hearing the other until the connection is given up. Raw duplication and
reordering go beyond the promise on purpose: the outbox delivers at least once, so handlers must bear both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Protocol

from icn.kernel.ids import Did
from icn.kernel.making import maker
from icn.protocol.codec import decode_message, encode_message
from icn.protocol.messages import Message, protocol_of
from icn.services.equivocation import REMOVED
from icn.services.inputs import Input, PeerDown, PeerUp, Received
from icn.sim.faults import Chance, Faults
from icn.sim.findings import expect
from icn.sim.timeline import MS, Timeline

RECONNECT_MS = 200
BANISHED_MS = 5_000
"""How long somebody that was dropped for a violation is not let in again, on average: as a breaker has it."""
NOTICE_MS = 150
PARTITION_NOTICE_MS = 700
HALF_OPEN_MS = 5_000
"""How long a connection lasts at most whose messages get through one way only."""
CODEC_SAMPLE = 16
"""One message in so many is written and read again, to see that it is what the wire carries."""


class Cut(Enum):
    """How some nodes are cut off."""

    WHOLE = "nothing gets through"
    FEW_DEAF = "they are heard for a while"
    FEW_MUTE = "they hear for a while"


class Station(Protocol):
    """A node, as the network sees it."""

    did: Did
    life: int
    """Counts its processes."""

    @property
    def is_up(self) -> bool:
        """Whether its process lives."""

    def push(self, input_: Input) -> None:
        """Give the node an input."""

    def hear(self, peer: Did, data: bytes) -> None:
        """Give the node's gossip an RPC."""


@dataclass(slots=True)
class _Connection:
    is_open: bool = True
    told: dict[int, bool] = field(default_factory=dict)
    """Which sides have had their `PeerUp`, and not yet their `PeerDown`."""
    last_arrival: dict[tuple[int, str], int] = field(default_factory=dict)
    """By sending side and protocol."""
    opens_at: dict[int, int] = field(default_factory=dict)
    """When each side has its `PeerUp`: nothing arrives there before."""
    mute: int = -1
    """The side whose messages get lost until the connection breaks; -1: none."""


Pair = tuple[int, int]


class Network:
    """All links. Full mesh but for partitions."""

    def __init__(self, timeline: Timeline, rng: Random, faults: Faults, note: Callable[[str], None]) -> None:
        self.faults = faults
        self._timeline = timeline
        self._chance = Chance(rng)
        self._rng = rng
        self._note = note
        self._stations: Sequence[Station] = ()
        self._index: dict[Did, int] = {}
        self._connections: dict[Pair, _Connection] = {}
        self._partition: dict[Pair, None] = {}
        self.messages = 0
        """Sent over connections that were open."""
        self.breaks = 0
        self.violations: list[str] = []
        self.tolerates_violations = False
        self.outcasts: dict[Did, None] = {}
        """Dishonest stations, who may be let go."""
        self.dismissed: dict[Did, None] = {}
        """Who may be let go because it was removed, and for nothing else."""

    def attach(self, stations: Sequence[Station]) -> None:
        """Begin to connect everybody."""
        self._stations = stations
        self._index = {station.did: index for index, station in enumerate(stations)}
        for a in range(len(stations)):
            for b in range(a + 1, len(stations)):
                self._timeline.plan(self._rng.randrange(500 * MS), self._connect, (a, b))

    def send(self, source: Did, target: Did, message: Message) -> None:
        """What the `Send` effect asks. Lost where there is no connection."""
        if self._chance.below(CODEC_SAMPLE) == 0:
            again = decode_message(protocol_of(message), encode_message(message))
            expect(again == message, "codec", f"{type(message).__name__} is another one after the wire")
        self._carry(source, target, protocol_of(message), message)

    def send_rpc(self, source: Did, target: Did, protocol: str, data: bytes) -> None:
        """What a router asks. Lost where there is no connection, or no room in the queue of one."""
        if self._chance.happens(self.faults.gossip_dropped):
            return
        self._carry(source, target, protocol, data)

    def _carry(self, source: Did, target: Did, protocol: str, message: Message | bytes) -> None:
        a, b = self._index[source], self._index[target]
        connection = self._connections.get(_pair(a, b))
        if connection is None or not connection.is_open or not connection.told.get(a):
            return
        self.messages += 1
        if connection.mute == a:
            return
        if self._chance.happens(self.faults.loss):
            self._break(_pair(a, b), "a message was lost")
            return
        lane = (a, protocol)
        arrival = max(self._timeline.now_us + self._delay(), connection.opens_at[b])
        if not self._chance.happens(self.faults.reordering):
            arrival = max(arrival, connection.last_arrival.get(lane, 0))
            connection.last_arrival[lane] = arrival
        self._deliver_at(arrival, connection, a, b, message)
        if self._chance.happens(self.faults.duplication):
            self._deliver_at(arrival + self._delay(), connection, a, b, message)

    def disconnect(self, source: Did, target: Did, reason: str) -> None:
        """What the `Disconnect` effect asks. Between honest nodes it should not occur."""
        pair = _pair(self._index[source], self._index[target])
        self._note(f"n{self._index[source]} drops n{self._index[target]}: {reason}")
        self.violations.append(reason)
        is_fair = target in self.outcasts or (reason == REMOVED and target in self.dismissed)
        expect(self.tolerates_violations or is_fair, "honest peers are not accused", reason)
        self._break(pair, "a violation", away_ms=BANISHED_MS)

    def drop_all(self, did: Did) -> None:
        """A node closes its connections and dials anew."""
        index = self._index[did]
        for pair in list(self._connections):
            if index in pair:
                self._break(pair, "closed")

    def station_died(self, did: Did) -> None:
        """Its side of every connection is gone without a word."""
        index = self._index[did]
        for pair in list(self._connections):
            if index in pair:
                connection = self._connections[pair]
                connection.told.pop(index, None)
                self._break(pair, "its process died")

    def partition(self, minority: list[int], cut: Cut = Cut.WHOLE) -> None:
        """Cut off some nodes from the others until `mend`."""
        for a in range(len(self._stations)):
            for b in range(a + 1, len(self._stations)):
                if (a in minority) != (b in minority):
                    self._partition[a, b] = None
                    self._cut((a, b), cut, few=a if a in minority else b)

    def _cut(self, pair: Pair, cut: Cut, *, few: int) -> None:
        connection = self._connections.get(pair)
        if cut is Cut.WHOLE or connection is None:
            self._break(pair, "a partition", PARTITION_NOTICE_MS)
            return
        # What got lost comes no more, even if the cable is whole again before anybody notices: it breaks for certain.
        connection.mute = few if cut is Cut.FEW_MUTE else sum(pair) - few
        self._timeline.plan(self._rng.randrange(HALF_OPEN_MS * MS), self._give_up, pair, connection)

    def _give_up(self, pair: Pair, connection: _Connection) -> None:
        if connection.is_open:
            self._break(pair, "half open")

    def mend(self) -> None:
        """The partition is over."""
        self._partition.clear()

    def _connect(self, pair: Pair) -> None:
        a, b = pair
        if pair in self._partition or not (self._stations[a].is_up and self._stations[b].is_up):
            self._timeline.plan(self._chance.around(RECONNECT_MS) * MS, self._connect, pair)
            return
        connection = _Connection()
        self._connections[pair] = connection
        for side, other in ((a, b), (b, a)):
            delay = self._delay()
            connection.opens_at[side] = self._timeline.now_us + delay
            self._timeline.plan(delay, self._tell_up, connection, side, other)

    def _tell_up(self, connection: _Connection, side: int, other: int) -> None:
        if connection.is_open:
            connection.told[side] = True
            self._stations[side].push(PeerUp(self._stations[other].did))

    def _break(self, pair: Pair, why: str, notice_ms: int = NOTICE_MS, *, away_ms: int = RECONNECT_MS) -> None:
        connection = self._connections.pop(pair, None)
        if connection is None:
            return
        connection.is_open = False
        self.breaks += 1
        self._note(f"n{pair[0]}-n{pair[1]} break: {why}")
        latest = 0
        for side, other in (pair, pair[::-1]):
            if connection.told.pop(side, False):
                delay = self._rng.randrange(notice_ms * MS)
                latest = max(latest, delay)
                self._timeline.plan(delay, self._tell_down, side, other, self._stations[side].life)
        self._timeline.plan(latest + self._chance.around(away_ms) * MS, self._connect, pair)

    def _tell_down(self, side: int, other: int, life: int) -> None:
        if self._stations[side].life == life:
            self._stations[side].push(PeerDown(self._stations[other].did))

    def _deliver_at(self, arrival: int, connection: _Connection, a: int, b: int, message: Message | bytes) -> None:
        self._timeline.plan(arrival - self._timeline.now_us, self._deliver, connection, a, b, message)

    def _deliver(self, connection: _Connection, a: int, b: int, message: Message | bytes) -> None:
        if not connection.is_open:
            return
        if isinstance(message, bytes):
            self._stations[b].hear(self._stations[a].did, message)
        else:
            self._stations[b].push(_received(self._stations[a].did, message))

    def _delay(self) -> int:
        faults = self.faults
        below = self._chance.below
        if faults.delay_tail and below(50) == 0:
            return below(faults.delay_tail * MS)
        return faults.delay_min * MS + below(faults.delay_spread * MS)


_received = maker(Received)


def _pair(a: int, b: int) -> Pair:
    return (a, b) if a < b else (b, a)
