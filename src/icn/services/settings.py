"""How a node runs its side of the federation. Built by `assemble` from the configuration."""

from dataclasses import dataclass

from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.instant import Duration
from icn.kernel.limits import GIB
from icn.stores.joining import Aim


@dataclass(frozen=True, slots=True)
class ExecutorTerms:
    """What this node offers as an executor."""

    capacity: int
    """Jobs under way at once; 0: this node takes none."""
    rates: Rates
    capabilities: tuple[str, ...] = ()
    memory_bytes: int = 4 * GIB
    """What the memory limits of all jobs under way may add up to."""
    unsettled_max: int = 10
    """A home with more overdue receipts of ours gets no bids; 0: it does, whatever it owes."""
    unsettled_after: Duration = Duration(3_600_000)
    """A receipt that its home has not recorded is overdue so long after its attempt's deadline."""

    def refuses(self, overdue: int) -> bool:
        """Whether a home with so many overdue receipts gets no bids."""
        return 0 < self.unsettled_max < overdue


@dataclass(frozen=True, slots=True)
class ReplicationTerms:
    """How blocks are kept moving."""

    anti_entropy: Duration = Duration(5_000)
    """Who is not known to have what we have is told of it this often, so that what was lost on the way is asked for;
    who has it is told in every twelfth round."""
    relay_after: Duration = Duration(500)
    """How long peers have to show that gossip brought them a block, before we tell them that it is there."""
    acknowledge_after: Duration = Duration(200)
    """News is acknowledged with an empty block if nothing else was to be said for this long."""
    answer_patience: Duration = Duration(5_000)
    """A request for blocks or content that brought nothing for this long is made again, or elsewhere."""
    reach_within: Duration = Duration(300_000)
    """A held node that has lost its head mark waits for every other member for this long, then for enough of them."""


@dataclass(frozen=True, slots=True)
class NodeTerms:
    """All of it."""

    agent: str
    mesh: MeshTerms
    executor: ExecutorTerms
    replication: ReplicationTerms
    joins: bool
    """Whether a node without a federation joins that of its peers; otherwise it founds its own."""
    invited: Aim | None = None
    """What such a node joins, if it was told when it was configured."""
    prune_every: Duration | None = None
    """Content that nobody needs is removed this often; None: only by order."""
    executor_absence: Duration = Duration(10_000)
    """An executor that is gone for this long has its attempt given up."""
    home_absence: Duration = Duration(300_000)
    """A home that is gone for this long has what runs for it stopped."""
    recheck_percent: int = 0
    """Share of this home's jobs that it runs itself before it pays; 100: all."""
