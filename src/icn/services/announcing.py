"""Telling peers what is here: our own new blocks are published, and what came is spoken of a little later, and always.

```
 a commit ─> Publish; gossip brings it to everybody, who lacks its ancestors asks with Want
 news, ours or others' ─> Heads, a little later, to those who have not shown since that they have it
 anti-entropy ─> Heads to everybody who is not known to have all this, and now and then to those who are, which repairs
                 whatever was lost on the way
```

A peer that does not gossip, and one that a publication missed, learn of a block by the second. Most have shown by then
that they have it: they have built on it.
"""

from dataclasses import dataclass, field

from icn.domain.dag.block import Block
from icn.domain.dag.feeds import Clock
from icn.kernel import limits
from icn.kernel.instant import Instant, later
from icn.protocol.messages import Announce
from icn.services import telling
from icn.services.effects import Publish
from icn.services.gossiping import topic_of
from icn.services.peers import Peers
from icn.services.settings import ReplicationTerms
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class Announcing:
    """Owns when peers are told."""

    terms: ReplicationTerms
    peers: Peers
    relay_at: Instant | None = None
    """When peers are to be asked whether they have what is news now."""
    relayed: Clock = field(default_factory=dict)
    """What is here that they should have by then."""
    more_came: bool = False
    """News since then, which is spoken of after another while: most peers will have it by itself."""
    heads_sent_at: Instant = Instant(0)

    def announce(self, work: UnitOfWork) -> None:
        """Publish our own new blocks, and see to it that all that is new here is spoken of."""
        federation = work.state.federation.federation
        own = [block for block, source in work.accepted if source is None]
        if federation is not None and federation.id is not None:
            for part in _parts(own):
                work.effects.append(Publish(topic_of(federation.id), Announce(tuple(block.data for block in part))))
        if work.accepted and self.peers.views:
            self.more_came = self.relay_at is not None
            if not self.more_came:
                self._relay_later(work)

    def _relay(self, work: UnitOfWork) -> None:
        """Tell those who have not shown that they have what was news."""
        lacking = [
            view
            for view in self.peers.greeted()
            if any(view.counts.get(author, 0) < count for author, count in self.relayed.items())
        ]
        telling.tell(work, lacking)
        self.relay_at, self.relayed = None, {}
        if self.more_came:
            self._relay_later(work)

    def _relay_later(self, work: UnitOfWork) -> None:
        self.relay_at, self.relayed = later(work.wall, self.terms.relay_after), dict(work.state.feeds.clock())
        self.more_came = False

    def tick(self, work: UnitOfWork) -> bool:
        """Relay and anti-entropy. Whether a round of anti-entropy was due."""
        if self.relay_at is not None and work.wall >= self.relay_at:
            self._relay(work)
        if work.wall >= later(self.heads_sent_at, self.terms.anti_entropy):
            self.heads_sent_at = work.wall
            telling.tell_in_turn(work, self.peers.greeted())
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
