"""Who executes: those who say so, and those the journal knows, with what this home has seen of them."""

import pytest

from icn.domain.mesh.execution import ExitKind
from icn.kernel.errors import Invalid
from icn.services.queries import executors
from icn.services.queries.executors import ExecutorView, Present
from support import builders
from support.world import World, federation, terms


def known(world: World, at: str, *, away: tuple[str, ...] = (), limit: int = 50) -> dict[str, ExecutorView]:
    """What node `at` tells, by the executors' names in the world."""
    node = world[at]
    peers = tuple(other.did for other in world.nodes.values() if other is not node and other.name not in away)
    executing = tuple(did for did in peers if world[world.name_of(did)].terms.executor.capacity)
    present = Present(node.did, node.terms.executor.capacity, executing, peers)
    found: list[ExecutorView] = []
    cursor = None
    while True:
        page = executors.executors(node.store, present, limit=limit, cursor=cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            assert found == sorted(found, key=lambda one: one.did.text)
            return {world.name_of(one.did): one for one in found}


@pytest.fixture
def world() -> World:
    """`a` executes nothing; `b` is cheap and gets the job, `c` is dear."""
    made = World()
    made.add("a", terms(capacity=0))
    made.add("b", terms(price=2))
    made.add("c", terms(price=5))
    made.found("a", founders=("b", "c"))
    made.link_all()
    made.pass_time(2_000)
    return made


def test_executors_with_their_standing_and_last_price(world: World) -> None:
    job = world.submit("a")
    submitted = world.clock.time
    world.pass_time(2_000)
    found = known(world, "a")
    assert sorted(found) == ["b", "c"], "who executes nothing is no executor"
    cheap, dear = found["b"], found["c"]
    assert (cheap.completed, cheap.failed_in_row, cheap.last_price, cheap.last_job) == (1, 0, 2, job)
    assert cheap.last_chosen_at == submitted
    assert (dear.completed, dear.last_price, dear.executes, dear.connected) == (0, None, True, True)
    assert (cheap.here, cheap.places) == (False, None), "others do not tell"
    elsewhere = known(world, "b")["b"]
    assert (elsewhere.here, elsewhere.places, elsewhere.connected, elsewhere.executes) == (True, 4, True, True)
    assert (elsewhere.completed, elsewhere.last_price) == (0, 2), "standing is each home's own"


def test_an_executor_that_is_away_is_known_by_its_past(world: World) -> None:
    world["b"].run = lambda _: None
    world.submit("a")
    world.pass_time(2_000)
    gone = known(world, "a", away=("b",))["b"]
    assert (gone.connected, gone.executes, gone.running, gone.last_price) == (False, None, 1, 2)


def test_the_newest_job_tells_the_price() -> None:
    world = World()
    world.add("a", terms(capacity=0))
    world.add("b", terms(price=2))
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    world.submit("a")
    world.pass_time(2_000)
    newest = world.submit("a")
    world.pass_time(2_000)
    found = known(world, "a")["b"]
    assert (found.last_job, found.completed) == (newest, 2)


def test_a_banned_executor_is_shown_with_its_time() -> None:
    world = World()
    world.add("a", terms(capacity=0))
    world.add("b").run = lambda request: builders.outcome(request, ExitKind.WORKER_LOST)
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    world.submit("a")
    world.pass_time(20_000)
    found = known(world, "a")["b"]
    assert found.failed_in_row == 3
    assert (found.banned_until or 0) > world.clock.time
    assert known(world, "b")["b"].banned_until is None, "a home's bans are its own"


def test_pages_of_any_size(world: World) -> None:
    for limit in (1, 2, 3):
        assert set(known(world, "c", limit=limit)) == {"b", "c"}
    present = Present(world["a"].did, 0, (), ())
    with pytest.raises(Invalid):
        executors.executors(world["a"].store, present, limit=1, cursor="somebody")


def test_a_last_price_is_looked_for_in_the_newest_jobs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "JOBS_LOOKED_AT_MAX", 1)
    world = federation("a", node_terms=terms())
    first = world.submit("a")
    world.pass_time(2_000)
    assert known(world, "a")["a"].last_job == first
    world["a"].run = lambda _: None
    world.submit("a", world.spec(capabilities=("gpu",)))
    assert known(world, "a")["a"].last_job is None
    assert builders.did(1) == world["a"].did
