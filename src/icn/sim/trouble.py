"""What befalls a world while it is not healed: when, and whom. The rates are those of `faults`.

Not here: what happens by itself to a message (network), in a commit (disk), to a worker (executor).
"""

from collections.abc import Callable, Sequence
from random import Random

from icn.services.inputs import Conditions, Strain
from icn.sim.faults import Chance, Faults
from icn.sim.network import Cut, Network
from icn.sim.node import Node
from icn.sim.timeline import MS, Timeline

COPY_EVERY_MS = 700
"""Between copies of stores that may be put back, over all nodes, on average."""


class Trouble:
    """Partitions, deaths, absences, copies of stores, strained machines, clocks that are set."""

    def __init__(
        self,
        seed: int,
        timeline: Timeline,
        network: Network,
        nodes: Sequence[Node],
        faults: Faults,
        note: Callable[[str], None],
    ) -> None:
        self.cuts = 0
        self.minority: list[int] = []
        """Who is cut off from the others at present."""
        self.chance = Chance(Random(f"{seed}/accidents"))
        # Apart, so that the older draws of a seed stay what they were.
        self._strains = Chance(Random(f"{seed}/strains"))
        self._later = Chance(Random(f"{seed}/absences"))
        self._timeline = timeline
        self._network = network
        self._nodes = nodes
        self._faults = faults
        self._note = note
        self._is_over = False

    def begin(self) -> None:
        """From now on things happen."""
        self._plan_partition()
        self._again(self.chance, self._faults.crash_every, self._crash)
        self._again(self.chance, COPY_EVERY_MS if self._faults.put_back else 0, self._copy)
        self._again(self._strains, self._faults.strain_every, self._strain)
        self._again(self._later, self._faults.leave_every, self._leave)
        self._again(self._later, self._faults.jump_every, self._set_clock)

    def end(self) -> None:
        """Nothing more happens, and what lasted is over."""
        self._is_over = True
        self._mend()

    def _again(self, chance: Chance, every: int, action: Callable[[], None]) -> None:
        if every:
            self._timeline.plan(chance.around(every) * MS, self._happen, chance, every, action)

    def _happen(self, chance: Chance, every: int, action: Callable[[], None]) -> None:
        if not self._is_over:
            action()
            self._again(chance, every, action)

    def _plan_partition(self) -> None:
        every = self._faults.partition_every
        if every:
            self._timeline.plan(self.chance.around(every) * MS, self._partition)

    def _partition(self) -> None:
        if self._is_over:
            return
        rng, nodes = self.chance.rng, len(self._nodes)
        count = self._faults.minority or rng.randint(1, max(1, nodes // 2))
        self.minority = sorted(rng.sample(range(nodes), count))
        self.cuts += 1
        half = self._later.happens(self._faults.one_way)
        cut = self._later.rng.choice((Cut.FEW_DEAF, Cut.FEW_MUTE)) if half else Cut.WHOLE
        self._note(f"partition: {self.minority}, {cut.value}")
        self._network.partition(self.minority, cut)
        self._timeline.plan(self.chance.around(self._faults.partition_for) * MS, self._partition_over)

    def _partition_over(self) -> None:
        if not self._is_over:
            self._note("the partition ends")
            self._mend()
            self._plan_partition()

    def _mend(self) -> None:
        self.minority = []
        self._network.mend()

    def _crash(self) -> None:
        node = self.chance.rng.choice(self._nodes)
        node.crash("killed", self.chance.around(self._faults.down_for) * MS)

    def _leave(self) -> None:
        node = self._later.rng.choice(self._nodes)
        node.crash("leaves for long", self._later.around(self._faults.leave_for) * MS)

    def _copy(self) -> None:
        self.chance.rng.choice(self._nodes).disk.keep_copy()

    def _strain(self) -> None:
        """A machine has less left, or enough again; a backend has lost workers, or found some."""
        rng = self._strains.rng
        short_of = rng.choice((None, None, *Strain))
        node = rng.choice(self._nodes)
        node.push(Conditions(rng.choice((0, 1, 2, 8)), short_of))

    def _set_clock(self) -> None:
        """Somebody sets the clock of a machine: forward at once; back, and it is slow until time has caught up."""
        node = self._later.rng.choice(self._nodes)
        node.set_clock(self._later.rng.randint(-self._faults.jump, self._faults.jump))
