"""The ancestry of one block as the rules see it, from its clock and the clocks of blocks behind it."""

from collections.abc import Callable, Iterable

from icn.domain.dag.feeds import Clock, Feeds, is_confirmed_at
from icn.domain.federation.confirming import settled_count
from icn.domain.federation.state import FederationState
from icn.kernel.ids import Did
from icn.stores import blocks
from icn.stores.kv import Reader


def stored_clock(reader: Reader, feeds: Feeds, author: Did, sequence: int) -> Clock:
    """The clock of the block (author, sequence) that is stored, has a removal of its author accepted it or not."""
    unaccepted = feeds.unaccepted.get((author, sequence))
    return blocks.clock_at(reader, author, sequence) if unaccepted is None else blocks.clock_of(reader, unaccepted)


class BlockAncestry:
    """Answers for the block whose clock this is. Satisfies `domain.context.Ancestry`."""

    def __init__(self, clock: Clock, federation: FederationState, clock_of: Callable[[Did, int], Clock]) -> None:
        self._clock = clock
        self._federation = federation
        self._clock_of = clock_of

    def has(self, author: Did, sequence: int) -> bool:
        """Whether (author, sequence) is behind the block, or the block itself."""
        return self._clock.get(author, 0) > sequence

    def count(self, author: Did) -> int:
        """How many blocks of `author` are behind the block, itself included."""
        return self._clock.get(author, 0)

    def has_ended(self, author: Did) -> bool:
        """Whether the block with which `author` left, or one that removes it, is behind this one."""
        return self._federation.has_gone(author, self)

    def has_ended_for_good(self, author: Did) -> bool:
        """Whether it left behind this block, or was removed and every member has built on that."""
        return (
            self._federation.has_left(author, self) or self._settled(author, self._federation.voters(self)) is not None
        )

    def confirms(self, author: Did, sequence: int) -> bool:
        """Whether a quorum of the nodes admitted in this ancestry has (author, sequence) behind a block of its own."""
        # The voters are counted anew each time: a record of this very block may have admitted one, and every node must
        # count as many at the same record.
        voters = self._federation.voters(self)
        settled = self._settled(author, voters)
        if settled is not None:
            return sequence < settled
        silent = self._federation.silent_about(author)
        return is_confirmed_at(
            author, sequence, clock=self._clock, voters=voters, clock_of=self._clock_of, silent=silent
        )

    def _settled(self, author: Did, voters: Iterable[Did]) -> int | None:
        removals = [one for one in self._federation.removals_of(author) if self.has(one.by, one.sequence)]
        return settled_count(removals, voters, self._newest_of)

    def _newest_of(self, voter: Did) -> Clock | None:
        count = self._clock.get(voter, 0)
        return self._clock_of(voter, count - 1) if count else None
