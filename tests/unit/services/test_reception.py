"""What peers say reaches the service whom it concerns, and nothing is made of what a stranger says."""

from dataclasses import replace

from icn.kernel.ids import RAW, Cid
from icn.protocol.messages import Acknowledged, BidDeclined, Fetch
from icn.services.effects import Send
from icn.services.inputs import Received
from support import builders
from support.world import World, terms

STRANGER = builders.did(77)


def mesh() -> World:
    world = World()
    world.add("a", replace(terms(capacity=0)))
    world.add("b").run = lambda _request: None
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    return world


def test_a_stranger_is_answered_nothing() -> None:
    world = mesh()
    before = len(world.trace)
    for message in (Fetch(Cid.of(b"x", RAW), 0), BidDeclined(builders.job_id(STRANGER), 1, "no"), Acknowledged(1)):
        world.handle("a", Received(STRANGER, message))
    assert not [e for _, e in world.trace[before:] if isinstance(e, Send) and e.peer == STRANGER]
