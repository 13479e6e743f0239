"""What a node without a federation says that it waits for. How it joins is in test_inviting and the scenarios."""

from icn.domain.federation.model import JoinPolicy
from icn.kernel.instant import Instant
from icn.kernel.limits import CLOCK_AHEAD_MS_MAX
from support import builders
from support.world import World, terms

BEHIND_MS = CLOCK_AHEAD_MS_MAX + 60_000


def explained(world: World) -> str:
    engine = world["new"].engine
    return engine.joining.explain(engine.state, engine.did)


def newcomer(late_ms: int) -> World:
    """An open federation, and a node that comes with a clock that is late."""
    world = World()
    world.add("a")
    world.found("a", builders.policy(join_policy=JoinPolicy.OPEN))
    world.pass_time(1_000)
    world.clock.time = Instant(world.clock.time - late_ms)
    world.add("new", terms(joins=True))
    assert explained(world) == "waiting to join: no member of a federation has been reached"
    world.link("a", "new")
    world.settle()
    return world


def test_a_node_whose_clock_is_late_says_so_and_joins_when_its_time_has_come() -> None:
    world = newcomer(BEHIND_MS)
    assert "ahead of this node's clock" in explained(world)
    world.pass_time(BEHIND_MS, step=5_000)
    assert "clock" not in explained(world)
    assert world["new"].engine.state.federation.has_joined(world["new"].did)


def test_a_clock_that_is_right_enough_is_no_matter() -> None:
    world = newcomer(CLOCK_AHEAD_MS_MAX - 1_000)
    assert "clock" not in explained(world)
    assert world["new"].engine.state.federation.has_joined(world["new"].did)
