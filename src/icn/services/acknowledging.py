"""Acknowledgement blocks: empty ones, authored when news was seen and nothing else is to be said (semantics §2).

They make blocks of others confirmed. Acknowledgements are not themselves acknowledged.
"""

from dataclasses import dataclass

from icn.domain.dag.feeds import Clock
from icn.kernel.instant import Instant, later
from icn.services.settings import ReplicationTerms
from icn.services.work import UnitOfWork


@dataclass(slots=True)
class Acknowledging:
    """Owns since when there is something to acknowledge."""

    terms: ReplicationTerms
    news_since: Instant | None = None
    """When news came that we have not acknowledged."""

    def acknowledge(self, work: UnitOfWork) -> None:
        """Author an empty block when news was seen a while ago and nothing else was to be said (semantics §2)."""
        own = work.state.feeds.heads.get(work.did)
        # Who is not admitted has no say in what is confirmed, and must not be woken for it.
        if (
            own is None
            or not _has_news(work, own.clock)
            or not work.state.federation.is_admitted(work.did, work.context().ancestry)
        ):
            self.news_since = None
            return
        if self.news_since is None:
            self.news_since = work.wall
        due = later(self.news_since, self.terms.acknowledge_after)
        if work.wall >= due:
            work.seal(acknowledge=True)
            self.news_since = None

    def rest(self) -> None:
        """This node signs nothing: it need not be woken for it either."""
        self.news_since = None

    def wake_at(self) -> Instant | None:
        """When `acknowledge` has something to do."""
        return None if self.news_since is None else later(self.news_since, self.terms.acknowledge_after)


def _has_news(work: UnitOfWork, own: Clock) -> bool:
    """Whether something other than acknowledgements lies beyond our newest block."""
    return any(own.get(author, 0) < head.news_count for author, head in work.state.feeds.heads.items())
