"""What goes wrong in a run, and how its nodes are set up: drawn from the seed, printed with a finding.

Chances are per ten thousand, delays in milliseconds.
"""

from dataclasses import dataclass, replace
from random import Random

CERTAIN = 10_000
_CERTAIN_BITS = CERTAIN.bit_length()


@dataclass(frozen=True, slots=True)
class Faults:
    """The rates of one run."""

    # The network.
    delay_min: int
    delay_spread: int
    delay_tail: int
    """What one message in fifty takes at most."""
    loss: int
    """Chance that a message is lost, which on a reliable stream means that its connection breaks."""
    duplication: int
    """Chance that a message arrives twice: libp2p does not do this, our own outbox does."""
    reordering: int
    """Chance that a message overtakes others of its protocol: not done by libp2p either, but handlers must bear it."""
    partition_every: int
    """Milliseconds between partitions on average; 0: none."""
    partition_for: int

    # Processes and disks.
    crash_every: int
    """Milliseconds between crashes on average, over all nodes; 0: none."""
    down_for: int
    crash_in_commit: int
    """Chance per commit that the process dies in it: the batch is there whole, or not at all."""
    crash_after_commit: int
    """Chance per commit that the process dies before all effects are out."""
    commit_unavailable: int
    commit_uncertain: int
    read_unavailable: int
    """Chance per million reads."""
    answer_lost: int
    """Chance that the caller does not hear the answer, and asks again."""
    put_back: int
    """Chance at a death that somebody puts an older copy of the store in its place before the next start."""

    # What the machine allows.
    strain_every: int
    """Milliseconds between changes of what a machine has left, on average, over all nodes; 0: always enough."""

    # Clocks.
    skew: int
    drift_ppm: int

    # Executors.
    worker_lost: int
    worker_hangs: int
    run_for: int
    shaky: int = 0
    """Chance that a node loses most of its workers, so that its homes ban it."""
    liar: int = -1
    """The one node whose results are wrong, each in another way; -1: none. It stays what it is when all else heals."""

    # What came later.
    minority: int = 0
    """How many nodes a partition cuts off; 0: any number up to half."""
    one_way: int = 0
    """Chance that a partition begins with connections over which one side still hears the other."""
    leave_every: int = 0
    """Milliseconds between long absences on average, over all nodes; 0: none."""
    leave_for: int = 0
    late: int = 0
    """How many nodes start for the first time only when the others have been at work for `late_for`."""
    late_for: int = 0
    slow: int = 0
    """How many nodes take up to `slow_for` until they look at what waits for them. They stay slow when all heals."""
    slow_for: int = 0
    commit_for: int = 2
    """Milliseconds at most between a batch's commit and the next one: what comes meanwhile is taken together."""
    jump_every: int = 0
    """Milliseconds between settings of a running machine's clock on average, over all nodes; 0: none."""
    jump: int = 0
    """How far off, either way, it is set at most."""
    forge_every: int = 0
    """Milliseconds between blocks of a member that signs several histories, on average; 0: there is none."""
    forged_unfit: int = 0
    """Chance that such a block holds a record that does not fit, or accuses a key that the member has made up."""

    gossip_dropped: int = 0
    """Chance that there is no room for an RPC in a peer's queue: it is lost, and the connection is not."""

    def describe(self) -> str:
        """For a report."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.__slots__)


CALM = Faults(
    delay_min=1,
    delay_spread=10,
    delay_tail=0,
    loss=0,
    duplication=0,
    reordering=0,
    partition_every=0,
    partition_for=0,
    crash_every=0,
    down_for=0,
    crash_in_commit=0,
    crash_after_commit=0,
    commit_unavailable=0,
    commit_uncertain=0,
    read_unavailable=0,
    answer_lost=0,
    put_back=0,
    strain_every=0,
    skew=0,
    drift_ppm=0,
    worker_lost=0,
    worker_hangs=0,
    run_for=20,
)
"""Nothing goes wrong. Scenarios take this and add the one trouble they are about."""


def draw_faults(seed: int, rng: Random) -> Faults:
    """Rates for one run. Each kind of trouble is absent in some runs, so that the others show undisturbed.

    What came later has sources of its own, so that the older draws of a seed stay what they were.
    """
    restorations, liars, shaky = (Random(f"{seed}/{what}") for what in ("restorations", "liars", "shaky"))
    absences, clocks, cables = (Random(f"{seed}/faults/{what}") for what in ("absences", "clocks", "cables"))
    forgers, queues = Random(f"{seed}/faults/forgers"), Random(f"{seed}/faults/queues")

    def sometimes(*values: int) -> int:
        return rng.choice(values)

    return Faults(
        delay_min=rng.choice((0, 1, 5, 20)),
        delay_spread=rng.choice((1, 10, 50, 150, 300)),
        delay_tail=sometimes(0, 500, 2_000),
        loss=sometimes(0, 0, 5, 30, 100),
        duplication=sometimes(0, 0, 0, 100, 500, 5_000),
        reordering=sometimes(0, 0, 0, 100, 500),
        partition_every=sometimes(0, 0, 4_000, 10_000),
        partition_for=rng.choice((300, 2_000, 6_000)),
        crash_every=sometimes(0, 0, 2_500, 8_000),
        down_for=rng.choice((100, 1_000, 5_000)),
        crash_in_commit=sometimes(0, 0, 10, 40),
        crash_after_commit=sometimes(0, 0, 10, 40),
        commit_unavailable=sometimes(0, 0, 20, 100),
        commit_uncertain=sometimes(0, 0, 0, 20),
        read_unavailable=sometimes(0, 0, 0, 300),
        answer_lost=sometimes(0, 100, 500),
        put_back=restorations.choice((0, 0, 2_000, 7_000)),
        strain_every=restorations.choice((0, 0, 400, 3_000)),
        skew=sometimes(0, 50, 500, 3_000, 12_000),
        drift_ppm=sometimes(0, 0, 200, 5_000),
        worker_lost=sometimes(0, 500, 2_000),
        worker_hangs=sometimes(0, 0, 500),
        run_for=rng.choice((5, 200, 1_500)),
        shaky=shaky.choice((0, 3_000, 8_000)),
        liar=liars.choice((-1, -1, 0, 1, 2)),
        one_way=cables.choice((0, 0, 5_000)),
        leave_every=absences.choice((0, 0, 0, 15_000)),
        leave_for=absences.choice((15_000, 25_000)),
        late=absences.choice((0, 0, 0, 1)),
        late_for=absences.choice((2_000, 6_000)),
        slow=cables.choice((0, 0, 0, 1)),
        slow_for=cables.choice((100, 800)),
        commit_for=cables.choice((2, 10, 10, 40)),
        jump_every=clocks.choice((0, 0, 3_000)),
        jump=clocks.choice((500, 8_000)),
        gossip_dropped=queues.choice((0, 0, 0, 200, 2_000)),
        forge_every=forgers.choice((0, 0, 0, 0, 0, 0, 1_500, 5_000)),
        forged_unfit=Random(f"{seed}/faults/unfit").choice((0, 500, 3_000)),
    )


def healed(faults: Faults) -> Faults:
    """The same world with nothing breaking any more. Clocks stay as they are, and so does the distance."""
    return replace(
        CALM,
        delay_min=faults.delay_min,
        delay_spread=faults.delay_spread,
        skew=faults.skew,
        drift_ppm=faults.drift_ppm,
        run_for=faults.run_for,
        liar=faults.liar,
        slow=faults.slow,
        slow_for=faults.slow_for,
        commit_for=faults.commit_for,
        jump=faults.jump,
    )


class Chance:
    """Draws whether something goes wrong."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._bits = rng.getrandbits

    def happens(self, per_ten_thousand: int) -> bool:
        """Whether it does."""
        if per_ten_thousand <= 0:
            return False
        # What `randrange` does, without its four calls: this is drawn several times for every message.
        drawn = self._bits(_CERTAIN_BITS)
        while drawn >= CERTAIN:
            drawn = self._bits(_CERTAIN_BITS)
        return drawn < per_ten_thousand

    def below(self, bound: int) -> int:
        """`rng.randrange(bound)`, without its calls: drawn for every message."""
        if bound < 1:
            raise ValueError(bound)
        width = bound.bit_length()
        drawn = self._bits(width)
        while drawn >= bound:
            drawn = self._bits(width)
        return drawn

    def around(self, mean: int) -> int:
        """A span between half and one and a half of `mean`, in the same unit."""
        return mean // 2 + self.rng.randrange(mean + 1)
