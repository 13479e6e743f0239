"""Telling peers what is here: our own new blocks at once, others' a little later, and everything now and then.

```
 a commit ─> Announce to every peer; who lacks its ancestors asks with Want
 blocks of others ─> Heads, a little later, to those who may lack them
 anti-entropy ─> Heads to everybody, which repairs whatever was lost on the way
```
"""

from dataclasses import dataclass

from icn.domain.dag.block import Block
from icn.kernel import limits
from icn.kernel.instant import Instant, later
from icn.protocol.messages import Announce, Heads
from icn.services.peers import Peers, feed_counts
from icn.services.settings import ReplicationTerms
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class Announcing:
    """Owns when peers are told."""

    terms: ReplicationTerms
    peers: Peers
    relay_at: Instant | None = None
    """When peers are to be told of blocks that came from others."""
    heads_sent_at: Instant = Instant(0)

    def announce(self, work: UnitOfWork) -> None:
        """Our own new blocks go to every peer at once.

        Of others' blocks we only tell, a little later, who may lack them: most peers have them from their author by
        then, and say so by building on them.
        """
        own = [block for block, source in work.accepted if source is None]
        if len(own) < len(work.accepted) and self.relay_at is None:
            self.relay_at = later(work.wall, self.terms.relay_after)
        for view in self.peers.greeted() if own else ():
            for part in _parts(own):
                work.send(view.did, Announce(tuple(block.data for block in part)))
            view.counts[work.did] = work.state.feeds.next_sequence(work.did)

    def _relay(self, work: UnitOfWork) -> None:
        """Tell those who, for all we know, lack something."""
        feeds = work.state.feeds
        heads = Heads(feed_counts(feeds.clock()), feeds.root())
        for view in self.peers.greeted():
            if any(view.counts.get(author, 0) <= head.sequence for author, head in feeds.heads.items()):
                work.send(view.did, heads)
        self.relay_at = None

    def tick(self, work: UnitOfWork) -> bool:
        """Relay and anti-entropy. Whether a round of anti-entropy was due."""
        if self.relay_at is not None and work.wall >= self.relay_at:
            self._relay(work)
        if work.wall >= later(self.heads_sent_at, self.terms.anti_entropy):
            self.heads_sent_at = work.wall
            feeds = work.state.feeds
            heads = Heads(feed_counts(feeds.clock()), feeds.root())
            for view in self.peers.greeted():
                work.send(view.did, heads)
            return True
        return False

    def wake_at(self) -> Instant | None:
        """When `tick` has something to do."""
        moments = [] if self.relay_at is None else [self.relay_at]
        if self.peers.views:
            moments.append(later(self.heads_sent_at, self.terms.anti_entropy))
        return min(moments, default=None)


def _parts(fresh: list[Block]) -> list[list[Block]]:
    """`fresh` in messages of bounded size."""
    parts: list[list[Block]] = []
    size = 0
    for block in fresh:
        if not parts or size + len(block.data) > limits.ANNOUNCE_BYTES_MAX or len(parts[-1]) >= 256:
            parts.append([])
            size = 0
        parts[-1].append(block)
        size += len(block.data)
    return parts
