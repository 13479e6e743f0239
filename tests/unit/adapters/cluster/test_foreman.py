"""Machines come, go, refuse and are cut off; every execution is given to one runner, once, and ends once."""

from dataclasses import replace

import pytest

from icn.adapters.cluster import bounds
from icn.adapters.cluster.messages import Ended, Looked, MachineDown, MachineRefused, MachineUp
from icn.adapters.cluster.ports import RunnerDied, RunnerLost
from icn.domain.mesh.execution import ExitKind
from icn.kernel.limits import GIB, MIB
from support.cluster_machines import GOOD, TERMS, Machines, played
from support.virtual_loop import pass_time

REFUSING = replace(GOOD, places=0, refusal="this system does not seal a worker with seccomp", lacks=("seccomp",))


def test_machines_that_are_there_take_jobs_and_the_first_look_is_over() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.join("b")
        await pass_time(2)

    machines = played(story)
    assert machines.told(MachineUp) == [
        MachineUp("a", "host of a", 2, ("seccomp",)),
        MachineUp("b", "host of b", 2, ("seccomp",)),
    ]
    assert len(machines.told(Looked)) == 1
    assert machines.when(Looked) >= machines.when(MachineUp)


@pytest.mark.parametrize(
    ("processors", "memory", "configured", "places"),
    [(4, 64 * GIB, 0, 4), (4, 2 * GIB, 0, 2), (4, 100 * MIB, 0, 1), (1, 64 * GIB, 0, 1), (2, 1 * GIB, 7, 7)],
)
def test_a_machine_has_as_many_workers_as_it_can_bear_or_was_told(
    processors: int, memory: int, configured: int, places: int
) -> None:
    async def story(machines: Machines) -> None:
        machines.join("a", processors=processors, memory=memory)
        await pass_time(2)

    machines = played(story, replace(TERMS, workers_per_machine=configured))
    assert [hired.places for hired in machines.hired] == [places]


def test_executions_go_to_where_most_is_free_and_what_finds_no_place_waits() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.join("b")
        await pass_time(2)
        machines.begin(1, 2, 3, 4, 5)
        await pass_time(0.1)
        a, b = machines.hired
        assert (a.given, b.given) == ([1, 3], [2, 4])
        b.finish(2)
        await pass_time(0.1)
        assert b.given == [2, 4, 5]

    assert played(story).outcomes() == {2: ExitKind.COMPLETED}


def test_a_runner_that_died_has_lost_its_executions_at_once_and_is_replaced() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.begin(1, 2)
        await pass_time(0.1)
        machines.hired[0].fail(RunnerDied("killed"))
        await pass_time(0.1)
        assert machines.outcomes() == {1: ExitKind.WORKER_LOST, 2: ExitKind.WORKER_LOST}
        await pass_time(5)
        assert len(machines.told(MachineUp)) == 2

    machines = played(story)
    assert [hired.given for hired in machines.hired] == [[1, 2], []], "nobody tries again behind the node's back"
    kinds = [type(message) for _, message in machines.heard]
    assert kinds.index(MachineDown) < kinds.index(Ended), "no place is promised on a machine that is gone"


@pytest.mark.parametrize("how", ["unanswered", "refused by the network", "said to be dead with its machine"])
def test_what_cannot_be_asked_is_lost_when_its_lease_is_over(how: str) -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.begin(1)
        await pass_time(1.5)
        runner = machines.hired[0]
        if how == "unanswered":
            runner.is_reachable = False
        elif how == "refused by the network":
            runner.fail(RunnerLost("unavailable"))
        else:
            machines.leave("a")
            runner.fail(RunnerDied("its node has died"))
        await pass_time(60)

    machines = played(story)
    assert machines.outcomes() == {1: ExitKind.WORKER_LOST}
    # The newest answer came at 2 or 3 seconds.
    assert machines.when(Ended) >= 2 + bounds.LEASE_S + bounds.LEASE_GRACE_S
    assert machines.when(Ended) <= 4 + bounds.LEASE_S + bounds.LEASE_GRACE_S
    assert machines.hired[0].given == [1]


def test_what_waits_is_not_lost_with_a_machine() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.begin(1, 2, 3)
        await pass_time(0.1)
        machines.hired[0].fail(RunnerDied("killed"))
        await pass_time(5)
        machines.hired[1].finish(3)
        await pass_time(0.1)

    outcomes = played(story).outcomes()
    assert outcomes == {1: ExitKind.WORKER_LOST, 2: ExitKind.WORKER_LOST, 3: ExitKind.COMPLETED}


def test_a_machine_that_leaves_takes_no_more_jobs_and_one_that_comes_does() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.leave("a")
        await pass_time(60)
        machines.begin(1)
        machines.join("b")
        await pass_time(5)
        assert machines.hired[-1].given == [1]

    machines = played(story)
    assert [hired.member.machine for hired in machines.hired] == ["a", "b"]
    assert machines.told(MachineDown) == [MachineDown("a", "host of a", "it has left the cluster")]


def test_a_machine_that_cannot_take_jobs_is_refused_by_name_and_asked_again_later() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.states["a"] = REFUSING
        await pass_time(3)
        assert machines.told(MachineRefused) == [
            MachineRefused("a", "host of a", REFUSING.refusal, REFUSING.lacks),
        ]
        assert len(machines.told(Looked)) == 1
        await pass_time(2 * bounds.REFUSED_RETRY_S)
        assert len(machines.told(MachineRefused)) == 1, "said once while it stays the same"
        machines.states["a"] = GOOD
        await pass_time(bounds.REFUSED_RETRY_S)

    machines = played(story)
    assert len(machines.told(MachineUp)) == 1
    assert all(hired.killed for hired in machines.hired[:-1])


def test_a_refused_machine_that_leaves_is_forgotten() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.states["a"] = REFUSING
        await pass_time(3)
        machines.leave("a")
        await pass_time(3)

    machines = played(story)
    assert machines.told(MachineDown) == [MachineDown("a", "host of a", "it has left the cluster")]
    assert len(machines.hired) == 1


def test_a_runner_that_never_begins_does_not_keep_the_first_look_from_ending() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.join("b")
        machines.slow.add("b")
        await pass_time(bounds.FIRST_LOOK_S - 5)
        assert not machines.told(Looked)
        await pass_time(10)
        assert machines.told(Looked) == [Looked(("host of b",))]

    assert played(story).told(MachineUp) == [MachineUp("a", "host of a", 2, ("seccomp",))]


def test_while_the_head_is_silent_machines_go_on() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.is_silent = True
        machines.begin(1)
        await pass_time(30)
        machines.hired[0].finish(1)
        await pass_time(1)

    machines = played(story)
    assert machines.outcomes() == {1: ExitKind.COMPLETED}
    assert not machines.told(MachineDown)


def test_stopping_reaches_the_runner_or_ends_what_has_not_begun() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.begin(1, 2, 3)
        await pass_time(0.1)
        machines.foreman.stop(1)
        machines.foreman.stop(3)
        machines.foreman.stop(99)
        await pass_time(0.1)

    machines = played(story)
    assert machines.outcomes() == {1: ExitKind.CANCELLED, 3: ExitKind.CANCELLED}
    assert (machines.hired[0].given, machines.hired[0].cancelled) == ([1, 2], [1])


def test_at_the_end_every_runner_ends_its_guests_or_is_not_waited_for_long() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        machines.join("b")
        await pass_time(2)
        machines.hired[1].is_reachable = False
        await machines.foreman.end()

    machines = played(story)
    assert [(hired.ended, hired.killed) for hired in machines.hired] == [(True, True), (True, True)]


def test_an_answer_that_is_none_is_a_lost_runner() -> None:
    async def story(machines: Machines) -> None:
        machines.join("a")
        await pass_time(2)
        machines.begin(1)
        await pass_time(0.1)
        machines.hired[0].executing[1].set_result(b"nonsense")
        await pass_time(60)

    machines = played(story)
    assert machines.outcomes() == {1: ExitKind.WORKER_LOST}
    assert machines.hired[0].killed
