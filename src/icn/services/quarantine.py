"""Blocks that wait: for an ancestor that is not here yet, or for their own time. Bounded in every way.

Not here: who is asked for the ancestor (`services.arrivals`).
"""

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
    """Blocks whose ancestors are not here yet, or whose time has not come. Bounded in number, bytes and per peer."""

    waiting: dict[Cid, Waiting] = field(default_factory=dict)
    size: int = 0

    def add(self, entry: Waiting, view: PeerView) -> bool:
        """Whether there was room."""
        if (
            entry.block.cid in self.waiting
            or len(self.waiting) >= limits.QUARANTINE_BLOCKS_MAX
            or self.size + len(entry.block.data) > limits.QUARANTINE_BYTES_MAX
            or view.quarantined >= limits.QUARANTINE_PER_PEER_MAX
        ):
            return False
        self.waiting[entry.block.cid] = entry
        self.size += len(entry.block.data)
        view.quarantined += 1
        return True

    def release(self, arrived: Cid | None, wall: Instant, peers: Peers) -> list[Waiting]:
        """Take out what waited for the block `arrived`, or (None) for a time that has come."""
        if not self.waiting:
            return []
        ready = [
            entry
            for entry in self.waiting.values()
            if (entry.missing == arrived if arrived is not None else _time_has_come(entry, wall))
        ]
        for entry in ready:
            self.drop(entry, peers)
        return ready

    def is_evidence(self, cid: Cid) -> bool:
        """Whether a block waits for this one to see that it proves a fork."""
        return any(entry.missing == cid and entry.is_evidence for entry in self.waiting.values())

    def is_named(self, block: Block) -> bool:
        """Whether a block of another author waits for this one as an ancestor, or for a later one of the same chain."""
        author = block.header.author
        pending, seen = [block.cid], {block.cid: None}
        while pending:
            cid = pending.pop()
            for entry in self.waiting.values():
                if entry.missing != cid or entry.is_evidence or entry.block.cid in seen:
                    continue
                if entry.block.header.author != author:
                    return True
                seen[entry.block.cid] = None
                pending.append(entry.block.cid)
        return False

    def drop(self, entry: Waiting, peers: Peers) -> None:
        """Let one wait no more."""
        del self.waiting[entry.block.cid]
        self.size -= len(entry.block.data)
        view = peers.views.get(entry.sender)
        if view is not None:
            view.quarantined -= 1

    def awaits_time(self) -> bool:
        """Whether a block waits for nothing but its own time."""
        return any(entry.missing is None for entry in self.waiting.values())

    def missing(self) -> list[Cid]:
        """What is waited for and not itself here, each once, in the order of the waiting."""
        named = dict.fromkeys(entry.missing for entry in self.waiting.values())
        return [cid for cid in named if cid is not None and cid not in self.waiting]

    def drop_sender(self, sender: Did) -> None:
        """Forget what a peer that left had sent; whoever has it will send it again."""
        for cid in [cid for cid, entry in self.waiting.items() if entry.sender == sender]:
            self.size -= len(self.waiting.pop(cid).block.data)

    def mark(self, peers: Peers) -> QuarantineMark:
        """Where a batch begins."""
        views = {did: (view.quarantined, view.wanted_at) for did, view in peers.views.items()}
        return QuarantineMark(dict(self.waiting), self.size, views)

    def rewind(self, mark: QuarantineMark, peers: Peers) -> None:
        """As if the blocks since `mark` had not been taken."""
        self.waiting, self.size = dict(mark.waiting), mark.size
        for did, (quarantined, wanted_at) in mark.views.items():
            peers.views[did].quarantined, peers.views[did].wanted_at = quarantined, wanted_at


def _time_has_come(entry: Waiting, wall: Instant) -> bool:
    return entry.missing is None and entry.block.header.time <= wall + limits.CLOCK_AHEAD_MS_MAX
