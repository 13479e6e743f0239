"""What the simulator promises: fixed seeds find nothing, the same seed is the same run, planted defects are found."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from random import Random

import pytest

from icn.domain.dag import block, feeds
from icn.domain.mesh import papers
from icn.kernel import signing
from icn.kernel.signing import BID, BLOCK, SeedSigner, verify
from icn.services import arrivals, state
from icn.sim.faults import CALM, CERTAIN, Chance
from icn.sim.findings import Finding
from icn.sim.main import EXIT_FINDING, main
from icn.sim.plan import Plan, Run
from icn.sim.plants import Plant
from icn.sim.sharing import VERIFIED_ONE_IN, shared_reading
from icn.sim.tempo import Tempo
from icn.sim.world import World

DIGEST_OF_ONE = """
from icn.sim.plan import Plan
from icn.sim.tempo import Tempo
from icn.sim.world import World
print(World(Plan(3, nodes=4, seconds=6, tempo=Tempo.DENSE)).run().digest)
"""

dense = partial(Plan, tempo=Tempo.DENSE)
"""Callers ask all the time, so that few seeds see much."""


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 1, 2, 3), (5, 6, 14, 15)])
def test_fixed_seeds_find_nothing(seeds):
    runs = [World(dense(seed, nodes=5, seconds=10)).run() for seed in seeds]
    assert [(run.plan.seed, str(run.finding)) for run in runs if run.finding is not None] == []
    assert sum(run.transfers for run in runs) > 3
    assert sum(run.jobs for run in runs) > 3
    assert sum(run.crashes for run in runs) > 0


@pytest.mark.slow
def test_one_seed_is_one_trace_whatever_the_order_of_hashes():
    digests = []
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", DIGEST_OF_ONE]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        digests.append(done.stdout.strip())
    assert len(digests[0]) == 64
    assert digests == digests[:1] * 3


@pytest.mark.slow
def test_what_nodes_remember_changes_nothing_but_their_speed(monkeypatch):
    usual = World(dense(3, nodes=4, seconds=6)).run().digest
    monkeypatch.setattr(feeds, "RECENT_BLOCKS_MAX", 1)
    monkeypatch.setattr(state, "JOBS_REMEMBERED_MAX", 1)
    for memo in (papers._BID, papers._ASSIGNMENT, papers._RECEIPT):
        monkeypatch.setattr(memo.known, "_entries_max", 1)
    monkeypatch.setattr(signing._GOOD, "_entries_max", 1)
    assert World(dense(3, nodes=4, seconds=6)).run().digest == usual


@pytest.mark.slow
@pytest.mark.parametrize("plant", [None, Plant.DOUBLE_SETTLEMENT, Plant.MISSING_FSYNC])
def test_reading_each_block_once_for_all_nodes_changes_nothing(plant):
    plan = dense(2, nodes=4, seconds=8, plant=plant)
    once, each = World(plan).run(), World(plan, shares=False).run()
    assert (once.digest, once.steps, str(once.finding)) == (each.digest, each.steps, str(each.finding))
    assert arrivals.parse_block is block.parse_block


def test_what_somebody_else_signed_is_verified_though_signatures_of_simulated_nodes_are_not():
    signer, other = SeedSigner(b"1" * 32), SeedSigner(b"2" * 32)
    sign = SeedSigner.sign
    with shared_reading():
        for number in range(2 * VERIFIED_ONE_IN):
            message = number.to_bytes(4, "big")
            signature = signer.sign(BID, message)
            assert verify(signer.did, BID, message, signature)
            assert not verify(other.did, BID, message, signature)
            assert not verify(signer.did, BLOCK, message, signature)
            assert not verify(signer.did, BID, message + b"1", signature)
            assert not verify(signer.did, BID, message, signature[:-1] + bytes((signature[-1] ^ 1,)))
    assert SeedSigner.sign is sign


def test_of_what_simulated_nodes_sign_a_part_is_verified(monkeypatch):
    verified: list[bytes] = []

    def note(_key: bytes, message: bytes, _signature: bytes) -> bool:
        verified.append(message)
        return True

    monkeypatch.setattr(signing, "_verify", note)
    count = 20 * VERIFIED_ONE_IN
    signer = SeedSigner(b"3" * 32)
    with shared_reading():
        for number in range(count):
            message = number.to_bytes(4, "big")
            assert verify(signer.did, BID, message, signer.sign(BID, message))
    assert 0 < len(verified) < count // 4


def test_a_chance_is_drawn_as_often_as_it_says_and_by_what_a_seed_always_drew():
    chance, draws = Chance(Random(5)), Random(5)
    happened = [chance.happens(2_500) for _ in range(10_000)]
    assert happened == [draws.randrange(CERTAIN) < 2_500 for _ in range(10_000)]
    assert 2_300 < sum(happened) < 2_700
    before = draws.getstate()
    assert not chance.happens(0)
    assert chance.rng.getstate() == before


def forging(seed: int, plant: Plant | None = None) -> Run:
    """A run with a member that signs several histories."""
    plan = dense(seed, nodes=4, seconds=8, plant=plant)
    return World(plan, faults=replace(World(plan).faults, forge_every=300)).run()


@pytest.mark.slow
def test_a_member_that_signs_several_histories_harms_nobody() -> None:
    runs = [forging(seed) for seed in (1, 7)]
    assert [run.finding for run in runs] == [None] * len(runs)
    assert sum(run.forks for run in runs) > 1
    assert sum(run.void for run in runs) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [326, 353, 702, 815])
def test_what_a_forger_once_broke_holds(seed: int) -> None:
    """326: who acknowledged what was not followed through a node's own blocks. 353: a newcomer met a lower fork than
    all others, found itself behind their counts of the forger's feed, and never joined. 702: two empty blocks with one
    number, on which nobody had built, were never told apart. 815: a later block of a branch that had been found in the
    same batch was blamed on who brought it."""
    plan = Plan(seed, seconds=14)
    assert World(plan, faults=replace(World(plan).faults, forge_every=300)).run().finding is None


@pytest.mark.slow
def test_a_planted_ignored_fork_is_found_by_comparing_nodes() -> None:
    assert any(forging(seed, Plant.FORK_IGNORED).finding for seed in (7, 1, 4, 10))


@pytest.mark.slow
def test_two_seeds_are_two_traces():
    assert World(dense(0, nodes=3, seconds=2)).run().digest != World(dense(1, nodes=3, seconds=2)).run().digest


def found_by(plant: Plant, seeds: Iterable[int], world: type[World] = World) -> dict[int, Finding]:
    """Until the first finding, so that the test is short."""
    for seed in seeds:
        run = world(dense(seed, plant=plant)).run()
        if run.finding is not None:
            return {seed: run.finding}
    return {}


@pytest.mark.slow
def test_a_planted_early_reveal_is_found_by_who_shows_before_all_have_pledged():
    found = found_by(Plant.EARLY_REVEAL, range(8))
    assert [finding.checker for finding in found.values()] == ["nobody shows before all have pledged"]


@pytest.mark.slow
def test_a_planted_lost_outbox_is_found_by_receipts_that_nobody_answered():
    # It needs a death between a commit and the delivery; 9 met one when this was written.
    found = found_by(Plant.LOST_OUTBOX, chain((9,), range(16)))
    assert [finding.checker in {"receipts are answered", "nothing is owed"} for finding in found.values()] == [True]


@pytest.mark.slow
def test_a_planted_missing_fsync_is_found_by_two_blocks_with_one_sequence():
    # Whoever has lost what it answered may also answer otherwise, before it signs anything anew.
    found = (World(dense(seed, plant=Plant.MISSING_FSYNC)).run().finding for seed in range(4))
    assert any(finding is not None and finding.checker == "no honest equivocation" for finding in found)


@pytest.mark.slow
def test_a_planted_double_settlement_is_found_by_counting_the_supply_again():
    found = found_by(Plant.DOUBLE_SETTLEMENT, range(4))
    assert [finding.checker for finding in found.values()] == ["supply recount"]


@pytest.mark.slow
def test_a_planted_missing_head_mark_is_found_by_two_blocks_with_one_sequence():
    faults = replace(CALM, crash_every=1_000, down_for=200, put_back=CERTAIN)
    found = (World(dense(seed, 4, 10, Plant.NO_HEAD_MARK), faults=faults).run().finding for seed in range(4))
    assert any(finding is not None and finding.checker == "no honest equivocation" for finding in found)


@pytest.mark.slow
def test_a_planted_ignored_ban_is_found_by_counting_failures_again():
    faults = replace(CALM, shaky=6_000)
    found = (World(dense(seed, 4, 12, Plant.BAN_IGNORED), faults=faults).run().finding for seed in range(4))
    assert next(finding.checker for finding in found if finding is not None) in {"bans are kept", "one trial at a time"}


@pytest.mark.slow
def test_shaky_executors_are_banned_and_nothing_is_found():
    runs = [World(dense(seed, 4, 12), faults=replace(CALM, shaky=6_000)).run() for seed in (0, 5)]
    assert [(run.plan.seed, str(run.finding)) for run in runs if run.finding is not None] == []
    assert sum(run.bans for run in runs) > 3


class WithoutRecount(World):
    def _look(self):
        """Nobody counts; somebody else must see it."""


@pytest.mark.slow
def test_a_planted_double_settlement_is_found_by_the_second_end_of_a_hold():
    # Others may see it first; in 2 nobody did when this was written.
    seeds = chain((2,), range(4))
    found = (WithoutRecount(dense(seed, plant=Plant.DOUBLE_SETTLEMENT)).run().finding for seed in seeds)
    assert any(finding is not None and finding.checker == "exactly-once settlement" for finding in found)


@pytest.mark.slow
def test_the_program_says_how_to_see_a_finding_again(capsys):
    assert main(["--seed", "0", "--nodes", "5", "--plant", "double-settlement", "--tempo", "dense"]) == EXIT_FINDING
    printed = capsys.readouterr().out
    assert "FINDING  seed 0" in printed
    assert "icn-sim --seed 0 --nodes 5 --seconds 20 --plant double-settlement --tempo dense --trace" in printed
    assert "1 seeds, 1 findings" in printed


@pytest.mark.slow
def test_the_program_says_that_it_found_nothing(capsys, tmp_path):
    trace = tmp_path / "trace.txt"
    assert main(["--seed", "0", "--nodes", "3", "--tempo", "dense", "--seconds", "6", "--trace", str(trace)]) == 0
    assert "1 seeds, 0 findings" in capsys.readouterr().out
    assert trace.read_text(encoding="utf-8").count("\n") > 30


def test_a_node_that_was_let_go_on_a_moment_ago_has_not_said_yet_what_it_found() -> None:
    # Held until it had its own newest block, it got that with the two blocks that prove a fork: all roots were equal.
    world = World(Plan(seed=3, nodes=3, seconds=5))
    assert world.run().finding is None
    assert world._unrest() == ""
    engine = world.nodes[1].engine
    assert engine is not None
    engine._resumed = False
    assert world._unrest() == "n1 goes on with its own in its next batch"
