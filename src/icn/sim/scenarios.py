"""Worlds that are calm but for one kind of trouble, each drawn from the seed: what a promise is measured by.

Not here: worlds in which everything may go wrong (faults).
"""

from dataclasses import replace
from random import Random

from icn.sim.faults import CALM, Faults
from icn.sim.plan import Scenario
from icn.sim.tempo import Rhythm, Tempo

RHYTHM_OF = {Scenario.CUTS: Rhythm(Tempo.SELDOM, pause_ms=12_000)}
"""When callers ask there: over the whole time, so that cuts have writes on both of their sides."""
_CUT_OFF = 2


def draw_scenario(scenario: Scenario, seed: int) -> Faults:
    """The faults of one seed of a scenario."""
    rng = Random(f"{seed}/{scenario.value}")
    match scenario:
        case Scenario.CUTS:
            return replace(
                CALM,
                delay_min=rng.choice((0, 1, 5, 20)),
                delay_spread=rng.choice((1, 10, 50, 150)),
                minority=_CUT_OFF,
                partition_every=rng.randint(1_000, 20_000),
                partition_for=rng.randint(1_000, 60_000),
                one_way=rng.choice((0, 3_000)),
                run_for=rng.choice((5, 200, 1_500)),
            )
