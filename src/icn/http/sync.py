"""Whether peers have the same blocks, and asking them for what is missing."""

from dataclasses import dataclass

from starlette.responses import Response

from icn.http.operations import Call, Operation, shown
from icn.kernel.ids import Did
from icn.services.commands import SyncNow
from icn.services.divergence import BlockWaiting, FeedDifference
from icn.services.queries import dag


@dataclass(frozen=True, slots=True)
class SyncPeer:
    """A peer, whether it last reported our root, and what it has more or less of."""

    did: Did
    in_sync: bool | None
    """None: it has not greeted us as one of our federation."""
    root: str | None
    seconds: int | None
    """Since when its reports have been of another root; none while they are of ours."""
    feeds_ahead: int
    """Feeds of which it has more."""
    feeds_behind: int
    """Feeds of which it has less."""
    feeds: tuple[FeedDifference, ...]
    """Those, the first few."""


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Whether this node and its peers have the same blocks."""

    root: str
    blocks: int
    in_sync: bool | None
    """None when there is nobody to compare with."""
    peers: tuple[SyncPeer, ...]
    waiting: int
    """Blocks in quarantine: they came before what they build on, or before their time."""
    quarantine: tuple[BlockWaiting, ...]
    """Those, the first few, with what each waits for."""


@dataclass(frozen=True, slots=True)
class SyncAsked:
    """Every peer was told what is here, and asked for what it has besides."""

    asked: tuple[Did, ...]


async def status(call: Call) -> Response:
    """What is here, and in what each peer differs from it by its own newest report."""
    with call.committed() as reader:
        known = dag.root(reader)
    live, now = call.node.live(), call.node.now()
    told = {peer.did: peer for peer in live.divergence.peers}
    peers: list[SyncPeer] = []
    for peer in call.node.peers().items:
        found = told.get(peer.did)
        if found is None:
            peers.append(SyncPeer(peer.did, peer.in_sync, None, None, 0, 0, ()))
            continue
        seconds = None if found.since is None else max(0, now - found.since) // 1000
        peers.append(
            SyncPeer(peer.did, found.in_sync, found.root, seconds, found.feeds_ahead, found.feeds_behind, found.feeds)
        )
    waiting = live.divergence
    return shown(SyncStatus(known.root, known.blocks, live.in_sync, tuple(peers), waiting.waiting, waiting.quarantine))


async def now(call: Call) -> Response:
    """Ask everybody at once. What comes shows in the status."""
    return await call.submit(SyncNow())


OPERATIONS = (
    Operation("GET", "/sync/status", status, "Whether peers have the same blocks, and in what they differ", SyncStatus),
    Operation("POST", "/sync/now", now, "Ask every peer for what is missing", SyncAsked, writes=True),
)
