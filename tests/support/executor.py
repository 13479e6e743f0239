"""One executor among homes whose messages a test makes itself: what it is told and what it answers, one by one."""

from typing import Any

from icn.domain.mesh.papers import open_bid, seal_assignment
from icn.kernel.instant import Duration, Instant, later
from icn.kernel.limits import MIB
from icn.kernel.mana import Mana
from icn.protocol.messages import (
    AssignmentRefused,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    ExecutionBegun,
    JobAnnounced,
    Message,
)
from icn.services.effects import BidAnswered, BidOutcome, Send
from icn.services.inputs import Input, Received, Tick
from support import builders
from support.world import World, terms

WINDOW = 1_000
EXECUTOR = "x"
LIMITS = builders.limits(memory_bytes=10 * MIB)


def executor(*homes: str, capacity: int = 1, memory: int = 100 * MIB) -> World:
    """An executor, and homes whose messages the test makes itself."""
    world = World()
    for name in homes:
        world.add(name, terms(capacity=0))
    world.add(EXECUTOR, terms(capacity=capacity, memory=memory), run=lambda _: None)
    world.found(homes[0], founders=(*homes[1:], EXECUTOR))
    world.link_all()
    world.pass_time(2_000)
    world.trace.clear()
    return world


def announce(world: World, home: str, name: str, **changes: Any) -> JobAnnounced:
    attempt = changes.pop("attempt", 1)
    spec = world.spec(**{"limits": LIMITS, **changes})
    message = JobAnnounced(builders.job_id(world[home].did, name), attempt, WINDOW, spec)
    tell(world, Received(world[home].did, message))
    return message


def tell(world: World, *inputs: Input) -> None:
    """To the executor alone: what it sends is looked at, not delivered."""
    world.handle(EXECUTOR, *inputs)
    for node in world.nodes.values():
        node.inbox.clear()


def wait(world: World, span: int) -> None:
    world.clock.time = Instant(world.clock.time + span)
    tell(world, Tick())


def assign(world: World, home: str, announced: JobAnnounced, price: int = 1) -> None:
    signer = world[home].engine.signer
    deadline = later(world.clock.time, Duration(20_000))
    paper = builders.assignment(
        1,
        2,
        job=announced.job,
        attempt=announced.attempt,
        home=world[home].did,
        executor=world[EXECUTOR].did,
        price=Mana(price),
        deadline=deadline,
        spec=announced.spec,
    )
    tell(world, Received(world[home].did, AssignmentSent(900, seal_assignment(paper, signer))))


def said(world: World) -> list[tuple[str, Message]]:
    """What the executor has sent since the last call, but blocks and acknowledgements."""
    kinds = (BidOffered, BidDeclined, AssignmentRefused, ExecutionBegun)
    found: list[tuple[str, Message]] = [
        (world.name_of(effect.peer), effect.message)
        for name, effect in world.trace
        if name == EXECUTOR and isinstance(effect, Send) and isinstance(effect.message, kinds)
    ]
    world.trace.clear()
    return found


def heard(world: World) -> list[tuple[str, str]]:
    """The same, in words."""
    return [(home, reason_of(message)) for home, message in said(world)]


def reason_of(message: Message) -> str:
    match message:
        case BidDeclined(reason=reason) | AssignmentRefused(reason=reason):
            return reason
        case BidOffered(bid):
            return f"offers for {open_bid(bid).price}"
        case _:
            return "begins"


def outcomes(world: World) -> list[BidOutcome]:
    return [effect.outcome for _, effect in world.trace if isinstance(effect, BidAnswered)]
