"""What the explorer promises: small federations hold in every order of events; planted defects have short paths."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import pytest

from icn.domain.ledger.commands import ReleaseHold
from icn.domain.ledger.events import HoldReleased
from icn.domain.ledger.model import HoldId
from icn.domain.ledger.rules import decide as decide_ledger
from icn.domain.mesh.events import AttemptFailed
from icn.kernel.errors import InvariantBroken
from icn.kernel.instant import Duration, later
from icn.protocol.messages import Heads
from icn.services import rows
from icn.services import state as services_state
from icn.services.engine import Engine
from icn.services.mesh import HomeService
from icn.services.peers import PeerView, feed_counts
from icn.sim.explore.case import CASES, Case
from icn.sim.explore.copying import copied
from icn.sim.explore.dialogue import read, told, written
from icn.sim.explore.form import LEFT_OUT, Form
from icn.sim.explore.looking import look_at
from icn.sim.explore.moves import DEATHS, Federation
from icn.sim.explore.search import Exploration, Order, Search
from icn.sim.main import EXIT_FINDING, main
from icn.sim.plants import keep_what_ended
from icn.stores.outbox import Outbox


def bounded(name: str, **bounds) -> Case:
    case = CASES[name]
    return replace(case, bounds=replace(case.bounds, **bounds))


def found_in(case: Case, **options) -> Exploration:
    return Search(case, **options).run()


@pytest.mark.slow
def test_two_nodes_and_a_job_hold_in_every_order_of_messages():
    found = found_in(CASES["calm"])
    assert str(found.finding) == "None"
    assert found.is_complete
    assert found.ended >= 1
    assert ("completed", "settled", "answered") in found.coverage.situations


@pytest.mark.slow
def test_states_that_are_taken_for_one_lead_to_the_same():
    # What a form leaves out must not matter: with all of it kept there are more states, and the same situations.
    case = bounded("calm", overtaking=1)
    alike, exact = found_in(case), found_in(case, form=Form.EXACT)
    assert alike.is_complete
    assert exact.is_complete
    assert alike.states < exact.states
    assert alike.coverage.situations.keys() == exact.coverage.situations.keys()


@pytest.mark.slow
def test_both_orders_see_the_same_states():
    case = bounded("calm", overtaking=1)
    breadth, calm = found_in(case), found_in(case, order=Order.CALM)
    assert (breadth.states, breadth.transitions) == (calm.states, calm.transitions)
    assert breadth.depth <= calm.depth


@pytest.mark.slow
def test_a_step_leaves_the_state_it_is_taken_from_as_it_was():
    search = Search(bounded("crash", states_max=400))
    search.run()
    processes = search.federation.processes
    again = [processes._keep(local) for local in processes.locals]
    assert again == list(range(len(again)))


@pytest.mark.long  # `make sim-explore` has it, too
def test_a_connection_may_be_lost_at_any_step():
    found = found_in(CASES["cut"])
    assert str(found.finding) == "None"
    assert found.is_complete
    assert {"part", "down", "meet"} <= found.kinds.keys()
    assert {"completed", "failed"} <= {job for job, _, _ in found.coverage.situations}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crash", "cancel-crash"])
def test_a_crash_at_any_step_loses_no_job(name):
    found = found_in(bounded(name, states_max=3_000))
    assert str(found.finding) == "None"
    assert {how for _, _, how in found.coverage.crashes} == {"between batches", *DEATHS}
    assert {who for _, who, _ in found.coverage.crashes} == {"home", "executor"}


@pytest.mark.long
def test_a_job_may_be_cancelled_at_any_step():
    found = found_in(CASES["cancel"])
    assert str(found.finding) == "None"
    assert found.is_complete
    assert {"completed", "cancelled"} <= {job for job, _, _ in found.coverage.situations}


@pytest.mark.long
def test_a_process_may_die_at_any_step_of_every_order():
    found = found_in(CASES["crash"])
    assert str(found.finding) == "None"
    assert found.is_complete
    assert {how for _, _, how in found.coverage.crashes} == {"between batches", *DEATHS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two-jobs", "redundant"])
def test_larger_federations_hold_as_far_as_they_are_gone_through(name):
    found = found_in(bounded(name, states_max=3_000), order=Order.CALM)
    assert str(found.finding) == "None"
    assert ("completed", "settled", "answered") in found.coverage.situations


@pytest.mark.slow
def test_idle_nodes_come_to_an_end_while_another_one_is_down():
    # Their anti-entropy goes on for ever, and states that differ by what clocks show only are one.
    def asks_nothing(now):
        return ()

    found = found_in(replace(bounded("two-jobs", crashes=1, states_max=20_000), asks=asks_nothing))
    assert str(found.finding) == "None"
    assert found.is_complete


def remember_a_comparison(engine: Engine, view: PeerView) -> None:
    view.compared_at = engine.clock.now()


def compare_another_feed_next(engine: Engine, view: PeerView) -> None:
    view.compare_from += 1


def hear_another_root(engine: Engine, view: PeerView) -> None:
    view.root = "another"


def tell_it_what_it_has_said(engine: Engine, view: PeerView) -> None:
    view.told = view.root


def leave_it_alone_once_more(engine: Engine, view: PeerView) -> None:
    view.rounds_rested += 1


def remember_since_when_it_differs(engine: Engine, view: PeerView) -> None:
    view.differs_since = engine.clock.now()


def mark_time(engine: Engine, view: PeerView) -> None:
    engine.marked_at = engine.clock.now()


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (remember_a_comparison, True),
        (compare_another_feed_next, True),
        (hear_another_root, True),
        (tell_it_what_it_has_said, True),
        (leave_it_alone_once_more, False),
        (remember_since_when_it_differs, False),
        (mark_time, False),
    ],
)
def test_what_an_engine_goes_by_is_part_of_its_form_and_nothing_else_is(change, is_another):
    federation = Federation(CASES["calm"], look_at)
    local = federation.locals_of(federation.at_rest())[0]
    engine = copied(local.engine)
    engine.clock.time = later(engine.clock.time, Duration(1))
    was = federation.processes.forms.of_engine(engine, local.disk, engine.clock.time)
    change(engine, next(iter(engine.peers.views.values())))
    now = federation.processes.forms.of_engine(engine, local.disk, engine.clock.time)
    assert (now[0] != was[0]) == is_another


def test_a_root_is_told_by_the_counts_it_stands_for():
    # Two runs of the same at other times: other names for all blocks, and states that are one.
    federation = Federation(CASES["calm"], look_at)
    local = federation.locals_of(federation.at_rest())[0]
    engine, forms = copied(local.engine), federation.processes.forms
    view = next(iter(engine.peers.views.values()))
    counts = feed_counts(engine.state.feeds.clock())
    named = {}
    for root, count in (("a root", counts), ("the same blocks at another time", counts), ("fewer blocks", counts[:1])):
        forms.of_message(Heads(count, root))
        view.root = root
        named[root] = forms.of_engine(engine, local.disk, local.clock)
    assert named["a root"] == named["the same blocks at another time"] != named["fewer blocks"]


def test_only_what_an_engine_has_is_left_out_of_its_form():
    # A field that is called otherwise one day must not become part of what states differ in unnoticed.
    assert {each.name for each in fields(Engine)} >= LEFT_OUT


@dataclass
class Waiting:
    """Something that holds a function which changes it, as the content service holds its waiters."""

    heard: list[str] = field(default_factory=list)
    waiters: list[Callable[[str], None]] = field(default_factory=list)

    def wait(self) -> None:
        def hear(what: str) -> None:
            self.heard.append(what)

        self.waiters.append(hear)


def test_a_function_that_holds_what_is_copied_holds_the_copy():
    original = Waiting()
    original.wait()
    copy = copied(original)
    copy.waiters[0]("for the copy")
    assert (original.heard, copy.heard) == ([], ["for the copy"])


def test_what_nobody_knows_how_to_copy_is_not_shared_silently():
    with pytest.raises(InvariantBroken, match="how to copy"):
        copied(Waiting([iter("abc")]))


# Defects, planted. Each is found, by whom it says, on a path of at most so many moves.


def release_too_early(money, work, event):
    if isinstance(event, AttemptFailed):
        return [*decide_ledger(work.state.ledger, ReleaseHold(HoldId(event.job.data), "early"), work.context())]
    return money(work, event)


def allow_early_releases(check_pair, event, pairing):
    if not isinstance(event, HoldReleased) or event.hold in pairing.released:
        check_pair(event, pairing)


def plant_forgotten_receipts(patch):
    settle = HomeService._settle

    def settle_and_forget(self, work, peer, message, receipt):
        settle(self, work, peer, message, receipt)
        work.batch.operations.pop(rows.receipt_taken_key(receipt.job, receipt.attempt, receipt.executor), None)

    patch.setattr(HomeService, "_settle", settle_and_forget)


def plant_early_release(patch):
    patch.setattr(HomeService, "_money", staticmethod(partial(release_too_early, HomeService._money)))
    patch.setattr(services_state, "_check_pair", partial(allow_early_releases, services_state._check_pair))


def plant_lost_outbox(patch):
    def add_nothing(self, batch, peer, number, message):
        """Neither in memory nor in the batch."""

    patch.setattr(Outbox, "add", add_nothing)


def plant_a_job_that_nobody_watches(patch):
    def watch_nothing(self, job):
        """No time limit of any job is noticed."""

    patch.setattr(HomeService, "_watch", watch_nothing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "case", "checker", "moves"),
    [
        (plant_forgotten_receipts, bounded("cut"), "a receipt is taken once", 20),
        (plant_early_release, bounded("calm", workers_lost=1, overtaking=0), "a hold lives as long as its job", 14),
        pytest.param(plant_lost_outbox, bounded("cut"), "receipts are answered", 36, marks=pytest.mark.long),
        (plant_a_job_that_nobody_watches, bounded("calm", workers_lost=1, overtaking=0), "every job ends", 9),
    ],
)
def test_a_planted_defect_is_found_on_a_short_path(plant, case, checker, moves, monkeypatch):
    plant(monkeypatch)
    found = found_in(case)
    assert (found.finding and found.finding.checker) == checker
    assert 1 < len(found.path) <= moves
    story = list(told(Federation(case, look_at), [read(written(move)) for move in found.path]))
    assert story[0].strip() == "1. a is asked to Submit"
    assert any(line.startswith(f"{len(found.path):>3}. ") for line in story)


@pytest.mark.slow
def test_a_job_that_ends_twice_is_found():
    found = found_in(CASES["calm"], plant=lambda engine: keep_what_ended(engine.state))
    assert (found.finding and found.finding.checker) == "supply recount"
    assert len(found.path) < 12


@pytest.mark.slow
def test_what_is_sent_before_its_commit_is_found():
    found = found_in(CASES["crash"], sends_first=True)
    assert (found.finding and found.finding.checker) == "no honest equivocation"
    assert len(found.path) < 8


@pytest.mark.slow
def test_the_program_shows_the_way_to_a_finding_and_walks_it_again(capsys, monkeypatch):
    plant_forgotten_receipts(monkeypatch)
    assert main(["explore", "cut"]) == EXIT_FINDING
    printed = capsys.readouterr().out
    assert "FINDING  a receipt is taken once" in printed
    path = printed.split("--replay '")[1].split("'")[0]
    assert main(["explore", "cut", "--replay", path]) == 0
    assert "a receipt is taken once" in capsys.readouterr().out


def test_the_program_refuses_a_path_that_cannot_be_walked(capsys):
    assert main(["explore", "calm", "--replay", "kill:a:0:::0"]) == 2
    assert "is not possible there" in capsys.readouterr().err


def test_the_program_says_how_much_it_has_seen(capsys):
    assert main(["explore", "crash", "--states-max", "60"]) == 0
    printed = capsys.readouterr().out
    assert "cut, " in printed
    assert "crash points in them" in printed
