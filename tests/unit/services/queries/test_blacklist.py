"""The blacklist says who is banned, why, for how long, and what is left to decide (semantics §5)."""

import pytest

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant
from icn.services.queries.blacklist import Listed, banned_count, blacklist
from icn.services.queries.paging import Page
from support import builders
from support.world import World, terms


def loses(request: ExecutionRequest) -> ExecutionOutcome:
    return builders.outcome(request, ExitKind.WORKER_LOST, "killed")


def with_banned(*executors: str) -> World:
    """A home, a, at which these were banned just now."""
    world = World()
    world.add("a", terms(capacity=0))
    for name in executors:
        world.add(name, run=loses)
    world.found("a", founders=executors)
    world.link_all()
    world.pass_time(2_000)
    for _ in range(3 * len(executors)):
        world.submit("a", world.spec(within=1_500))
        world.pass_time(1_600, step=200)
    return world


def page(world: World, **changes: object) -> Page:
    asked = {"limit": 50, "cursor": None, **changes}
    node = world["a"]
    return blacklist(node.store, node.did, world.clock.time, **asked)  # type: ignore[arg-type]  # by name


def test_a_ban_is_listed_with_its_reason_and_the_time_that_is_left() -> None:
    world = with_banned("b")
    (line,) = page(world).items
    assert (line.executor, line.state, line.failures) == (world["b"].did, Listed.BANNED, 3)
    assert line.reason == "worker_lost: killed"
    assert line.until - line.banned_at == 600_000
    assert line.seconds_left == -(-(line.until - world.clock.time) // 1000) > 590
    assert banned_count(world["a"].store, world["a"].did, world.clock.time) == 1
    assert blacklist(world["a"].store, world["b"].did, world.clock.time, limit=9, cursor=None).items == ()


def test_it_survives_a_restart_and_replicates_as_records() -> None:
    world = with_banned("b")
    before = page(world).items
    world.restart("a")
    assert page(world).items == before
    assert blacklist(world["b"].store, world["a"].did, world.clock.time, limit=9, cursor=None).items == before


def test_when_the_time_is_up_a_trial_decides() -> None:
    world = with_banned("b")
    world.clock.time = Instant(world.clock.time + 600_000)
    (line,) = page(world).items
    assert (line.state, line.seconds_left, line.trial) == (Listed.ON_PROBATION, 0, None)
    assert banned_count(world["a"].store, world["a"].did, world.clock.time) == 0
    world["b"].run = lambda _: None
    job = world.submit("a")
    world.pass_time(1_500)
    (line,) = page(world).items
    assert (line.state, line.trial) == (Listed.ON_TRIAL, job)


def test_pages_hold_every_line_once() -> None:
    world = with_banned("b", "c", "d")
    whole = page(world).items
    assert len(whole) == 3
    first = page(world, limit=2)
    assert first.items == whole[:2]
    rest = page(world, limit=2, cursor=first.next_cursor)
    assert (rest.items, rest.next_cursor) == (whole[2:], None)
    with pytest.raises(Invalid):
        page(world, cursor="00")
