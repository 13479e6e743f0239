"""Blocks that wait: for an ancestor that is not here yet, or for their own time. Bounded in every way.

Not here: who is asked for the ancestor (`services.arrivals`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from icn.domain.dag.block import Block
from icn.kernel import limits
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.services.peers import Peers, PeerView


@dataclass(slots=True)
class Waiting:
    """A block that waits."""

    block: Block
    sender: Did
    missing: Cid | None
    """None: it waits for its own time."""
    is_evidence: bool = False
    """What is missing is named to prove a fork: its bytes are enough."""


@dataclass(frozen=True, slots=True)
class QuarantineMark:
    """What a batch may have to go back to."""

    waiting: dict[Cid, Waiting]
    size: int
    views: dict[Did, tuple[int, Instant | None]]
    """By peer: how many of its blocks wait, and since when an answer of it is awaited."""


@dataclass(slots=True)
class Quarantine:
    """Blocks whose ancestors are not here yet, or whose time has not come. Bounded in number, bytes and per peer.

    Where there is no room, the peer that takes up most of it makes way for one that takes up less: whoever sends what
    never becomes a block keeps nobody else's from waiting.
    """

    waiting: dict[Cid, Waiting] = field(default_factory=dict)
    size: int = 0
    _waiting_for: dict[Cid | None, dict[Cid, Waiting]] = field(default_factory=dict)  # bounded: by `waiting`
    """The same by what is missing, each in the order of the waiting."""

    def add(self, entry: Waiting, view: PeerView, peers: Peers) -> bool:
        """Whether there was room."""
        if entry.block.cid in self.waiting or view.quarantined >= limits.QUARANTINE_PER_PEER_MAX:
            return False
        while not self._has_room_for(entry):
            if not self._make_way(entry, peers):
                return False
        self._put(entry)
        self.size += len(entry.block.data)
        view.quarantined += 1
        return True

    def release(self, arrived: Cid | None, wall: Instant, peers: Peers) -> list[Waiting]:
        """Take out what waited for the block `arrived`, or (None) for a time that has come."""
        ready = [
            entry
            for entry in self._waiting_for.get(arrived, {}).values()
            if arrived is not None or _time_has_come(entry, wall)
        ]
        for entry in ready:
            self.drop(entry, peers)
        return ready

    def is_evidence(self, cid: Cid) -> bool:
        """Whether a block waits for this one to see that it proves a fork."""
        return any(entry.is_evidence for entry in self._waiting_for.get(cid, {}).values())

    def named_by_others(self, author: Did, is_known: Callable[[Block], bool]) -> dict[Cid, None]:
        """What blocks of other authors than this one wait for as an ancestor, and what that waits for in turn.

        `is_known`: whether a block's author is one whose blocks may be taken, as far as is known. Others name nothing.
        """
        named: dict[Cid, None] = {}
        for entry in self.waiting.values():
            if entry.is_evidence or entry.block.header.author == author or not is_known(entry.block):
                continue
            missing = entry.missing
            while missing is not None and missing not in named:
                named[missing] = None
                behind = self.waiting.get(missing)
                missing = None if behind is None or behind.is_evidence else behind.missing
        return named

    def drop(self, entry: Waiting, peers: Peers) -> None:
        """Let one wait no more."""
        del self.waiting[entry.block.cid]
        beside = self._waiting_for[entry.missing]
        del beside[entry.block.cid]
        if not beside:
            del self._waiting_for[entry.missing]
        self.size -= len(entry.block.data)
        view = peers.views.get(entry.sender)
        if view is not None:
            view.quarantined -= 1

    def awaits_time(self) -> bool:
        """Whether a block waits for nothing but its own time."""
        return None in self._waiting_for

    def missing(self) -> list[Cid]:
        """What is waited for and not itself here, each once, in the order of the waiting."""
        return [cid for cid in self._waiting_for if cid is not None and cid not in self.waiting]

    def drop_sender(self, sender: Did, peers: Peers) -> None:
        """Forget what a peer that left had sent; whoever has it will send it again."""
        for entry in [entry for entry in self.waiting.values() if entry.sender == sender]:
            self.drop(entry, peers)

    def mark(self, peers: Peers) -> QuarantineMark:
        """Where a batch begins."""
        views = {did: (view.quarantined, view.wanted_at) for did, view in peers.views.items()}
        return QuarantineMark(dict(self.waiting), self.size, views)

    def rewind(self, mark: QuarantineMark, peers: Peers) -> None:
        """As if the blocks since `mark` had not been taken."""
        self.waiting, self._waiting_for, self.size = {}, {}, mark.size
        for entry in mark.waiting.values():
            self._put(entry)
        for did, (quarantined, wanted_at) in mark.views.items():
            peers.views[did].quarantined, peers.views[did].wanted_at = quarantined, wanted_at

    def _put(self, entry: Waiting) -> None:
        self.waiting[entry.block.cid] = entry
        self._waiting_for.setdefault(entry.missing, {})[entry.block.cid] = entry

    def _has_room_for(self, entry: Waiting) -> bool:
        return (
            len(self.waiting) < limits.QUARANTINE_BLOCKS_MAX
            and self.size + len(entry.block.data) <= limits.QUARANTINE_BYTES_MAX
        )

    def _make_way(self, entry: Waiting, peers: Peers) -> bool:
        """Drop the newest of whoever takes up most, unless that is the sender of `entry` by then. Whether it did."""
        bytes_of: dict[Did, int] = {entry.sender: len(entry.block.data)}
        count_of: dict[Did, int] = {entry.sender: 1}
        for each in self.waiting.values():
            bytes_of[each.sender] = bytes_of.get(each.sender, 0) + len(each.block.data)
            count_of[each.sender] = count_of.get(each.sender, 0) + 1
        taken = bytes_of if self.size + len(entry.block.data) > limits.QUARANTINE_BYTES_MAX else count_of
        most = max(taken, key=taken.__getitem__)
        if taken[most] <= taken[entry.sender]:
            return False
        newest = next(each for each in reversed(self.waiting.values()) if each.sender == most)
        self.drop(newest, peers)
        return True


def _time_has_come(entry: Waiting, wall: Instant) -> bool:
    return entry.missing is None and entry.block.header.time <= wall + limits.CLOCK_AHEAD_MS_MAX
