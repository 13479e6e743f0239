"""Each defect that the simulator found, as the one kind of trouble that showed it: seeds change their meaning.

Where a scenario needs many chances to meet the defect, it takes several seeds.
"""

from dataclasses import replace

import pytest

from icn.sim.faults import CALM, Faults
from icn.sim.timeline import SECOND
from icn.sim.world import Plan, World


def findings(faults: Faults, *, seeds: int = 3, nodes: int = 4, seconds: int = 5) -> list[str]:
    runs = [World(Plan(seed, nodes, seconds), faults=faults).run() for seed in range(seeds)]
    assert sum(run.answered for run in runs) > 20
    return [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None]


@pytest.mark.slow
def test_a_calm_world_is_quiet():
    assert findings(CALM) == []


@pytest.mark.slow
def test_a_read_that_fails_while_blocks_are_taken_leaves_nothing_half_taken():
    # They stayed applied to the live state though nothing was stored, and peers' next blocks were refused.
    assert findings(replace(CALM, read_unavailable=3_000)) == []


@pytest.mark.slow
def test_an_assignment_that_comes_twice_is_run_once_even_in_the_batch_that_ends_it():
    # A second receipt was signed for the attempt, and its home never answered it.
    assert findings(replace(CALM, duplication=3_000, reordering=2_000, run_for=0)) == []


@pytest.mark.slow
def test_peers_do_not_accuse_each_other_when_connections_are_renewed_quickly():
    # What was sent before the sender noticed the new connection came ahead of its Hello, and cost the connection.
    assert findings(replace(CALM, loss=300, delay_spread=60)) == []


@pytest.mark.slow
def test_a_request_repeated_in_one_batch_gets_the_very_same_answer():
    # The second answer of the batch lacked the block.
    assert findings(replace(CALM, answer_lost=3_000, commit_unavailable=300)) == []


@pytest.mark.slow
def test_blocks_that_wait_for_their_time_are_not_asked_for_over_and_over():
    # With clocks further apart than blocks may run ahead, catch-up sent everything again at every announcement.
    world = World(Plan(4, nodes=4, seconds=5), faults=replace(CALM, skew=12_000))
    run = world.run()
    assert run.finding is None
    assert run.steps < 60 * run.blocks


@pytest.mark.slow
def test_a_federation_founded_when_everybody_is_connected_takes_everybody_in():
    # Peers that were in no federation stayed strangers to the founder, and nobody answered what they asked.
    class LateFounding(World):
        def _safety_phase(self):
            self.callers.start, begin = (lambda: None), self.callers.start
            self.timeline.plan(3 * SECOND, begin)
            super()._safety_phase()

    run = LateFounding(Plan(1, 4, 6), faults=CALM).run()
    assert run.finding is None
    assert run.jobs > 0
