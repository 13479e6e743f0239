"""What is explored: which nodes, what callers ask of them, and how much may go wrong on one path."""

from collections.abc import Callable
from dataclasses import dataclass

from icn.domain.federation.model import JoinPolicy, Policy
from icn.domain.mesh.execution import Limits
from icn.domain.mesh.model import JobSpec
from icn.domain.mesh.pricing import Rates
from icn.domain.mesh.retries import MeshTerms
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.mana import Mana
from icn.services.commands import NodeCommand, Submit
from icn.services.settings import ExecutorTerms, NodeTerms, ReplicationTerms

JOB_MS = Duration(2_000)
"""How long a job has: a bidding, two attempts, and no more than is needed for each of its timers to be reached."""
POLICY = Policy(
    join_policy=JoinPolicy.INVITE,
    initial_grant=Mana(100),
    mana_cap=Mana(1_000),
    regeneration_per_hour=0,  # mana that grows with time would make every moment another state
    grants_per_node_max=10,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often each kind of trouble may come on one path. Within them, every order is taken."""

    crashes: int = 1
    """A process ends between two batches, in a commit, or after it with some of its effects out; it comes back."""
    cuts: int = 0
    """A connection ends with what is under way on it."""
    workers_lost: int = 0
    answers_lost: int = 0
    """A caller does not hear an answer and asks again."""
    early: int = 0
    """A timer fires though something else would come first: a message under way, a guest's end, an earlier timer."""
    overtaking: int | None = 0
    """A message comes before an older one of another protocol on the same connection; None: at any time."""
    gathers: bool = False
    """Everything that waits for a node may also come as one batch."""
    states_max: int = 1_000_000
    seconds_max: int = 1_200
    """Of the wall clock, which on a busy machine says little about how much was seen."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Something a caller wants of a node. It is asked again until it is answered."""

    node: int
    command: NodeCommand | None
    """None: cancel what another one submitted."""
    cancels: int = 0
    """The number of that other one."""

    @property
    def is_required(self) -> bool:
        """Whether nothing ends before it is answered. A cancellation comes at any time, or never."""
        return self.command is not None


@dataclass(frozen=True, slots=True)
class Case:
    """One exploration."""

    name: str
    says: str
    terms: tuple[NodeTerms, ...]
    asks: Callable[[Instant], tuple[Ask, ...]]
    """What callers want, from a federation that is at rest at this time."""
    bounds: Bounds


def terms(*, capacity: int, joins: bool, attempts: int = 2) -> NodeTerms:
    """Waiting times of which no two are alike, so that each timer has its own place in the order of time."""
    return NodeTerms(
        agent="explored/1",
        mesh=MeshTerms(
            bid_window=Duration(300),
            attempts_max=attempts,
            bid_renewal=Duration(5_000),
            retry_pause=Duration(0),
            assignment_grace=Duration(700),
        ),
        executor=ExecutorTerms(capacity=capacity, rates=Rates(minimum=2, per_million_fuel=1)),
        replication=ReplicationTerms(
            anti_entropy=Duration(7_000),
            relay_after=Duration(100),
            acknowledge_after=Duration(100),
            answer_patience=Duration(600),
        ),
        joins=joins,
        executor_absence=Duration(400),
        home_absence=Duration(500),
    )


def job(now: Instant, *, of: int, word: str, redundancy: int = 1) -> Ask:
    """A caller at a node wants the built-in to say `word`."""
    spec = JobSpec(
        module=None,
        arguments=(word,),
        input=b"",
        input_cid=None,
        limits=Limits(fuel=1_000, memory_bytes=1 << 16, table_elements=1, wall_ms=200, output_bytes=100),
        max_price=Mana(5),
        capabilities=(),
        deadline=later(now, JOB_MS),
        redundancy=redundancy,
    )
    return Ask(of, Submit(spec, word.encode()))


def nodes(*capacities: int) -> tuple[NodeTerms, ...]:
    """As many nodes, each with room for so many executions. The first one founds."""
    return tuple(terms(capacity=capacity, joins=index > 0) for index, capacity in enumerate(capacities))


def _one_job(now: Instant) -> tuple[Ask, ...]:
    return (job(now, of=0, word="hello"),)


def _one_job_cancelled(now: Instant) -> tuple[Ask, ...]:
    return (job(now, of=0, word="hello"), Ask(0, None, cancels=0))


def _two_jobs(now: Instant) -> tuple[Ask, ...]:
    return (job(now, of=0, word="hello"), job(now, of=1, word="goodbye"))


def _three_times(now: Instant) -> tuple[Ask, ...]:
    return (job(now, of=0, word="hello", redundancy=3),)


CASES = {
    case.name: case
    for case in (
        Case("calm", "2 nodes, 1 job, nothing breaks", nodes(0, 1), _one_job, Bounds(crashes=0, overtaking=None)),
        Case(
            "crash",
            "2 nodes, 1 job, one crash at any step",
            nodes(0, 1),
            _one_job,
            Bounds(seconds_max=7_200),  # it comes to an end, and is to, however busy the machine is
        ),
        Case(
            "cancel",
            "2 nodes, 1 job, cancelled at any step or never",
            nodes(0, 1),
            _one_job_cancelled,
            Bounds(crashes=0, overtaking=None),
        ),
        Case("cancel-crash", "the same, and one crash at any step", nodes(0, 1), _one_job_cancelled, Bounds()),
        Case("cut", "2 nodes, 1 job, one lost connection", nodes(0, 1), _one_job, Bounds(crashes=0, cuts=1)),
        Case("two-jobs", "3 nodes, 2 jobs, one crash", nodes(1, 1, 1), _two_jobs, Bounds()),
        Case("redundant", "4 nodes, 1 job run by three, one crash", nodes(0, 1, 1, 1), _three_times, Bounds()),
    )
}
