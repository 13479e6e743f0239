"""A node gives up its federation for an address only when a member of another one has answered there."""

import pytest

from icn.kernel.ids import Did, PeerId
from icn.protocol.messages import Hello
from icn.services.answers import Answer, Refused
from icn.services.commands import Init, Join, OpenAccountFor
from icn.services.effects import Dial
from icn.services.inputs import PeerUp, Received
from icn.stores import changeover, joining
from icn.stores.changeover import Founding
from icn.stores.joining import Aim
from icn.stores.kv import StoreUnavailable
from support import builders
from support.world import World


def two() -> World:
    """Two nodes, each alone in a federation of its own."""
    world = World()
    for name in ("a", "b", "c"):
        world.add(name)
        world.found(name)
    world.pass_time(1_000)
    return world


def address_of(did: Did) -> str:
    return f"/ip4/127.0.0.1/tcp/7000/p2p/{PeerId.of(did)}"


def refusal_of(answer: Answer) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


def seek(world: World) -> Aim:
    """`a` is told to join where `b` is."""
    aim = Aim((address_of(world["b"].did),), b"")
    body = world.done("a", Join(aim))
    assert "stays in 'demo' until one has answered" in str(body["state"])
    return aim


def dialled(world: World, name: str) -> list[str]:
    return [effect.address for by, effect in world.trace if by == name and isinstance(effect, Dial)]


def test_nothing_is_given_up_while_nobody_has_answered() -> None:
    world = two()
    aim = seek(world)
    a = world["a"]
    assert dialled(world, "a") == list(aim.addresses)
    world.pass_time(20_000, step=1_000)
    assert changeover.change_of(a.store) is None
    world.done("a", OpenAccountFor(builders.did(9)))
    world.restart("a")
    world.pass_time(1_000)
    assert dialled(world, "a") == list(aim.addresses) * 2, "it looks there again after a start"
    assert a.engine.seeking.aim == aim
    world.done("a", OpenAccountFor(builders.did(10)))


def test_it_changes_when_a_member_has_answered_there_and_for_nobody_else() -> None:
    world = two()
    aim = seek(world)
    a = world["a"]
    world.link("a", "c")
    world.pass_time(1_000)
    theirs = world["c"].engine.state.federation.federation
    assert theirs is not None
    hello = Hello("test/1", theirs.id, (), "", executes=False)
    world.handle("a", PeerUp(builders.did(77)), Received(builders.did(77), hello))
    world.pass_time(1_000)
    assert changeover.change_of(a.store) is None, "it was told of neither of these"
    world.link("a", "b")
    world.pass_time(1_000)
    change = changeover.change_of(a.store)
    assert change is not None
    assert change.aim == aim
    assert joining.sought_of(a.store) is None
    assert refusal_of(world.do("a", OpenAccountFor(builders.did(9)))) == "federation.changing"


def test_a_federation_that_it_has_given_up_is_not_joined_and_the_operator_is_told() -> None:
    world = two()
    theirs = world["b"].engine.state.federation.federation
    assert theirs is not None
    assert theirs.id is not None
    world["a"].engine.replication.former = (theirs.id,)
    seek(world)
    world.link("a", "b")
    world.pass_time(1_000)
    a = world["a"]
    assert "has given up" in a.engine.seeking.explain(a.engine.state)
    assert (changeover.change_of(a.store), joining.sought_of(a.store)) == (None, None)


def test_whoever_has_joined_meanwhile_is_not_left_alone() -> None:
    world = two()
    seek(world)
    world.add("new")
    world.link("a", "new")
    world.pass_time(3_000)
    a = world["a"]
    assert a.engine.state.federation.has_joined(world["new"].did)
    world.link("a", "b")
    world.pass_time(1_000)
    assert changeover.change_of(a.store) is None
    assert "leave it first" in a.engine.seeking.explain(a.engine.state)
    assert refusal_of(world.do("a", Join(Aim((address_of(world["b"].did),), b"")))) == "federation.leave_first"


def test_founding_another_federation_ends_the_search() -> None:
    world = two()
    seek(world)
    world.done("a", Init(Founding("new", (world["a"].did,), builders.policy())))
    assert joining.sought_of(world["a"].store) is None


def test_a_search_that_was_not_committed_did_not_begin() -> None:
    world = two()
    a = world["a"]
    a.store.fail_next = 1
    world.ask("a", Join(Aim((address_of(world["b"].did),), b"")))
    with pytest.raises(StoreUnavailable, match="on strike"):
        world.settle()
    world.pass_time(1_000)
    assert a.engine.seeking.aim is None
    world.link("a", "b")
    world.pass_time(1_000)
    assert changeover.change_of(a.store) is None
