"""What peers say reaches the service whom it concerns, and nothing is made of what a stranger says."""

from dataclasses import replace

import pytest

from icn.domain.federation.model import JoinPolicy
from icn.kernel.ids import RAW, Cid
from icn.protocol.messages import Acknowledged, BidDeclined, Chunk, Fetch, Hello, JobAnnounced, NotHere
from icn.services.answers import Done, Refused
from icn.services.commands import Admit, FetchContent, PutContent
from icn.services.effects import Send
from icn.services.inputs import PeerUp, Received
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


@pytest.mark.parametrize("policy", JoinPolicy)
def test_who_waits_to_be_let_in_gets_all_blocks_and_no_content_and_is_asked_nothing(policy: JoinPolicy) -> None:
    world = World()
    world.add("a", terms(capacity=0))
    world.add("new", terms(capacity=1))
    world.found("a", builders.policy(join_policy=policy))
    data = b"a recipe"
    world.done("a", PutContent(data, RAW, pinned=True, lifetime_ms=None))
    cid = Cid.of(data, RAW)
    world.link("a", "new")
    world.pass_time(3_000)
    new = world["new"]
    waits = policy is not JoinPolicy.OPEN
    assert new.engine.state.federation.has_joined(new.did) != waits
    assert new.engine.state.feeds.root() == world["a"].engine.state.feeds.root()
    assert isinstance(world.do("new", FetchContent(cid)), Refused) == waits
    ours = world["a"].engine.state.federation.federation
    assert ours is not None
    world.handle("a", PeerUp(STRANGER), Received(STRANGER, Hello("test/1", ours.id, (), "", executes=False)))
    given = world.handle("a", Received(STRANGER, Fetch(cid, 0))).effects
    [answer] = [e.message for e in given if isinstance(e, Send) and e.peer == STRANGER]
    assert isinstance(answer, NotHere if waits else Chunk)
    world.submit("a")
    world.pass_time(2_000)
    asked = [e for by, e in world.trace if by == "a" and isinstance(e, Send) and isinstance(e.message, JobAnnounced)]
    assert bool(asked) != waits
    world.done("a", Admit(new.did))
    world.pass_time(3_000)
    assert new.engine.state.federation.has_joined(new.did)
    assert isinstance(world.do("new", FetchContent(cid)), Done)
