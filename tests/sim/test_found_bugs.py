"""Each defect that the simulator found, as the one kind of trouble that showed it: seeds change their meaning.

Where a scenario needs many chances to meet the defect, it takes several seeds.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from io import StringIO

import pytest

from icn.domain.mesh.events import ReceiptIssued, ReceiptKept
from icn.domain.mesh.execution import ExitKind
from icn.domain.mesh.papers import open_assignment, seal_receipt
from icn.domain.records import Record
from icn.kernel.errors import Invalid, Kind
from icn.kernel.ids import RAW, Did, JobId
from icn.protocol.messages import AssignmentSent
from icn.services.answers import Refused
from icn.services.authorship import AnswerLost
from icn.services.commands import PutContent
from icn.services.inputs import Executed, Input, Received
from icn.sim.bans import failure_is_fair
from icn.sim.checkers import Entry, receipts_are_answered
from icn.sim.faults import CALM, CERTAIN, Faults
from icn.sim.findings import Finding
from icn.sim.model import Ask, Model
from icn.sim.observing import Watch
from icn.sim.plan import Plan
from icn.sim.tempo import Tempo
from icn.sim.timeline import SECOND
from icn.sim.world import World
from icn.stores import dealings, keyspace, replies
from icn.stores.dealings import CANCELLED
from icn.stores.kv import Batch
from support.builders import NODE_ITSELF, START, cid, did, job_id, receipt, signer

dense = partial(Plan, tempo=Tempo.DENSE)
"""Callers ask all the time, so that few seeds see much."""


def findings(faults: Faults, *, seeds: int = 3, nodes: int = 4, seconds: int = 5) -> list[str]:
    runs = [World(dense(seed, nodes, seconds), faults=faults).run() for seed in range(seeds)]
    assert sum(run.answered for run in runs) > 20
    return [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None]


@pytest.mark.slow
def test_a_calm_world_is_quiet():
    assert findings(CALM) == []


@pytest.mark.slow
def test_a_read_that_fails_while_blocks_are_taken_leaves_nothing_half_taken():
    # They stayed applied to the live state though nothing was stored, and peers' next blocks were refused.
    assert findings(replace(CALM, read_unavailable=3_000)) == []


class RepeatingWorld(World):
    """Every assignment arrives again together with the outcome of its execution."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan, faults=CALM)
        for node in self.nodes:
            node.push = self._repeating(node.push)

    @staticmethod
    def _repeating(push: Callable[[Input], None]) -> Callable[[Input], None]:
        assignments: dict[JobId, Input] = {}

        def push_again(input_: Input) -> None:
            push(input_)
            match input_:
                case Received(_, AssignmentSent(_, assignment)):
                    assignments[open_assignment(assignment).job] = input_
                case Executed(request) if request.job in assignments:
                    push(assignments[request.job])

        return push_again


@pytest.mark.slow
def test_an_assignment_that_comes_twice_is_run_once_even_in_the_batch_that_ends_it():
    # A second receipt was signed for the attempt, and its home never answered it.
    runs = [RepeatingWorld(dense(seed, 4, 6)).run() for seed in range(3)]
    assert sum(run.jobs for run in runs) > 5
    assert [str(run.finding) for run in runs if run.finding is not None] == []


@pytest.mark.slow
def test_news_is_confirmed_also_when_its_author_acknowledged_right_after():
    # Mana stayed in transit for ever, because those who got both blocks together saw nothing to acknowledge.
    run = World(
        dense(1, nodes=5, seconds=8), faults=replace(CALM, delay_spread=300, duplication=5_000, run_for=50)
    ).run()
    assert run.finding is None


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
    trace = StringIO()
    runs = [World(dense(seed, 5, 8), faults=replace(CALM, skew=14_000), sink=trace).run() for seed in (6, 7)]
    assert [str(run.finding) for run in runs if run.finding is not None] == []
    assert trace.getvalue().count(" Blocks") < sum(run.blocks for run in runs)


@pytest.mark.slow
def test_a_federation_founded_when_everybody_is_connected_takes_everybody_in():
    # Peers that were in no federation stayed strangers to the founder, and nobody answered what they asked.
    class LateFounding(World):
        def _safety_phase(self):
            self.callers.start, begin = (lambda: None), self.callers.start
            self.timeline.plan(3 * SECOND, begin)
            super()._safety_phase()

    run = LateFounding(dense(1, 4, 6), faults=CALM).run()
    assert run.finding is None
    assert run.jobs > 0


def test_who_was_put_back_may_sign_a_second_receipt_for_an_attempt_and_nobody_else():
    # The block with the first one had reached nobody, the receipt itself its home, which takes one for each attempt.
    executor, home = did(2), did(1)
    first, second = (
        seal_receipt(receipt(2, 1, exit=kind), signer(2)) for kind in (ExitKind.COMPLETED, ExitKind.CANCELLED)
    )
    issued = ReceiptIssued(job_id(home), 1, home, second)
    entries = [entry(home, ReceiptKept(job_id(home), 1, executor, first)), entry(executor, issued)]
    receipts_are_answered(entries, {executor}, ())
    for forgotten, put_back in (((), ()), (entries[:1], {executor})):
        with pytest.raises(Finding, match="never reached"):
            receipts_are_answered([one for one in entries if one not in forgotten], put_back, ())


def test_where_the_answer_was_lost_with_the_store_another_body_gets_the_same_word_and_nothing_else():
    # What was asked was lost with it; the simulator took that for a key that stands for two requests.
    ask = Ask(did(1), did(2), "key", b"one body", PutContent(b"", RAW, pinned=False, lifetime_ms=None))
    lost, other = (Refused(Kind.CONFLICT, code, "", {}) for code in (AnswerLost.code, "request.key_reused"))
    model = Model()
    model.hear(ask, lost)
    model.hear_conflict(ask, lost)
    with pytest.raises(Finding, match="one request"):
        model.hear_conflict(ask, other)


def entry(author: Did, event: ReceiptKept | ReceiptIssued) -> Entry:
    return Entry(cid("block"), author, 0, START, Record(NODE_ITSELF, event))


@pytest.mark.slow
@pytest.mark.parametrize("others", [{}, {"loss": 100, "delay_spread": 150, "partition_every": 3_000}])
def test_stores_that_are_put_back_fork_no_feed(others):
    # A copy that was put back a second time, while its node waited for its own blocks, was not noticed.
    faults = replace(CALM, crash_every=1_500, down_for=300, partition_for=1_000, put_back=CERTAIN, **others)
    runs = [World(dense(seed, 4, 8), faults=faults).run() for seed in (0, 2, 3, 5, 6, 7)]  # those that are quick
    assert [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None] == []
    assert sum(run.put_back for run in runs) > 8
    assert sum(run.held for run in runs) > 0


@pytest.mark.slow
@pytest.mark.parametrize("looked_at", ["while it is there", "in the end"])
def test_rows_that_no_archive_takes_are_found(monkeypatch, looked_at):
    # The reader of archives did not know the form of a new table, and no backup of an executor could be restored.
    if looked_at == "in the end":

        def refuse(_data: bytes) -> None:
            raise Invalid("row", "a row of reply is not in its form")

        monkeypatch.setattr(replies, "read_stored", refuse)
    else:
        monkeypatch.setattr(dealings.UNSETTLED, "read", CANCELLED.read)
    found = (World(dense(seed, nodes=5, seconds=10)).run().finding for seed in range(1, 7))
    assert next(finding.checker for finding in found if finding is not None) == "backups are restorable"


@pytest.mark.slow
def test_records_that_do_not_fit_and_accusations_of_nobody_part_no_honest_nodes():
    # Who brought evidence that came twice, or once it was no more waited for, was let go for it.
    trouble = {"delay_spread": 300, "delay_tail": 2_000, "reordering": 500, "duplication": 5_000}
    faults = replace(CALM, forge_every=300, forged_unfit=4_000, **trouble)
    runs = [World(Plan(seed, 4, 5, tempo=Tempo.SELDOM), faults=faults).run() for seed in range(8)]
    assert [f"seed {run.plan.seed}: {run.finding}" for run in runs if run.finding is not None] == []
    assert sum(run.void for run in runs) > 0


def test_what_an_executor_stopped_counts_only_where_the_record_may_say_so():
    """It may have been cut off from its home, which then does not count it; a worker that was lost counts anywhere."""
    for counts in (True, False):
        for ending in (ExitKind.CANCELLED, ExitKind.WORKER_LOST, ExitKind.OUT_OF_FUEL):
            said = seal_receipt(receipt(2, 1, exit=ending, output=None), signer(2))
            fair = {ExitKind.CANCELLED: True, ExitKind.WORKER_LOST: counts, ExitKind.OUT_OF_FUEL: not counts}[ending]
            with nullcontext() if fair else pytest.raises(Finding, match="attributed"):
                failure_is_fair("here", did(2), "", said, counts=counts, declined=False)


@pytest.mark.parametrize("is_out_of_reach", [True, False])
def test_a_number_is_signed_again_only_where_nobody_who_is_heard_has_the_first_block(is_out_of_reach):
    asked = []

    def reach(author: Did, key: bytes, known: bytes) -> bool:
        asked.append((author, key, known))
        return is_out_of_reach

    watch, key = Watch(reach), keyspace.feed_entry(did(1), 5)
    first, second = Batch(), Batch()
    first.put(key, cid("first").data)
    second.put(key, cid("second").data)
    watch.stored(first, did(1))
    watch.stored(first, did(2))
    assert not asked
    with nullcontext() if is_out_of_reach else pytest.raises(Finding, match="honest equivocation"):
        watch.stored(second, did(1))
    assert asked == [(did(1), key, cid("first").data)]
    with pytest.raises(Finding, match="honest equivocation"):
        watch.stored(first if is_out_of_reach else second, did(2))
