"""Blocks that travel by gossip: the topic of a federation, and the verdict on what came (semantics §2).

| the blocks of a publication | verdict | because |
|---|---|---|
| are here now, new or known before, and by who published them | accept | whoever gets it from us can use it |
| are here now, and somebody else's | ignore | the author has published it: nobody must carry it twice |
| wait for ancestors or for their time, or found no room | ignore | nobody can say yet; the ancestors are asked for |
| came before their bearer was introduced, or to a node without a federation | ignore | they may be of another one |
| are of a fork that nobody has built on here | ignore | the bearer may have met this side of it first |
| hold a record that does not fit, by another author | ignore | the bearer may know of a fork, and took it as void |
| can never be valid, one of them, or there are none | reject | an honest bearer has checked them, by the same rules |

What is ignored is not lost: peers compare what they have (`services.replication`). Not here: who is in the mesh, and
what is thought of a bearer (`protocol.libp2p.gossipsub`).
"""

from dataclasses import dataclass, field
from functools import lru_cache

from icn.kernel.errors import PeerViolation
from icn.kernel.ids import Cid, Did
from icn.kernel.making import maker
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.services.arrivals import Arrivals, RecordsRefused, named
from icn.services.effects import Judge
from icn.services.inputs import Gossiped
from icn.services.peers import Peers
from icn.services.work import UnitOfWork

TOPICS_REMEMBERED_MAX = 8
"""A node is in one federation; to spell its name costs more than to look it up."""


@lru_cache(maxsize=TOPICS_REMEMBERED_MAX)
def topic_of(federation: Cid) -> str:
    """Where the blocks of a federation are published. The number is that of the payload: an encoded `Announce`."""
    return f"/icn/{federation}/blocks/1"


@dataclass(slots=True)
class Gossiping:
    """Judges publications."""

    peers: Peers
    arrivals: Arrivals
    rejected: dict[Did, None] = field(default_factory=dict)
    """Who brought something in this batch that can never be valid: once is enough, for each may cost a turn."""

    def begin(self) -> None:
        """Another batch, or another turn of one."""
        self.rejected.clear()

    def take(self, work: UnitOfWork, gossiped: Gossiped) -> None:
        """Take the blocks of a publication, and judge it.

        Raises:
            RecordsRefused: the batch must be done again without one of them.
        """
        work.effects.append(_judge(gossiped.token, self._verdict(work, gossiped)))

    def _verdict(self, work: UnitOfWork, gossiped: Gossiped) -> Verdict:
        view, encoded = self.peers.views.get(gossiped.bearer), gossiped.message.blocks
        if not encoded:
            return Verdict.REJECT
        lonely = work.state.federation.federation is None  # it has left one, whose peers do not know yet
        if lonely or view is None or not view.greeted or gossiped.bearer in self.rejected:
            return Verdict.IGNORE
        blocks = named(encoded)
        try:
            self.arrivals.take(work, view, blocks)
        except RecordsRefused:
            raise
        except PeerViolation:
            self.rejected[gossiped.bearer] = None
            return Verdict.REJECT
        passes_on = all(work.has_block(name) and work.ancestor(name)[0].author == gossiped.author for name in blocks)
        return Verdict.ACCEPT if passes_on else Verdict.IGNORE


_judge = maker(Judge)
