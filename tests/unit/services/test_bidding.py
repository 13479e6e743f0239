"""Who is asked for bids, and when enough have answered."""

from dataclasses import replace

from icn.domain.mesh.commands import CloseBidding
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest
from icn.protocol.messages import BidDeclined, JobAnnounced
from icn.services.effects import Send
from icn.services.inputs import Received
from support.world import World, terms


def never(_request: ExecutionRequest) -> ExecutionOutcome | None:
    return None


def mesh(**more: object) -> World:
    """A home that runs nothing, and two executors."""
    world = World()
    world.add("a", replace(terms(capacity=0), **more))
    for name in "bc":
        world.add(name).run = never
    world.found("a", founders=("b", "c"))
    world.link_all()
    world.pass_time(2_000)
    return world


def asked(world: World) -> list[str]:
    names = {world[name].did: name for name in world.nodes}
    return [
        names[effect.peer]
        for _, effect in world.trace
        if isinstance(effect, Send) and isinstance(effect.message, JobAnnounced)
    ]


def test_every_executor_in_reach_is_asked_once() -> None:
    world = mesh()
    world.submit("a")
    assert sorted(asked(world)) == ["b", "c"]


def test_a_refusal_of_a_stranger_to_the_bidding_says_nothing_about_it() -> None:
    world = mesh()
    job = world.submit("a")
    biddings = world["a"].engine.home.biddings
    world.pass_time(5_000, step=500)
    assert job not in biddings.jobs(), "it was assigned"
    world.handle("a", Received(world["b"].did, BidDeclined(job, 1, "too late")))
    assert biddings.reasons(job) == ()
    assert biddings.closing(job) == CloseBidding(job, ())
