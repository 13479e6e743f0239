"""Who may give up a federation, and what the node refuses while it does."""

import pytest

from icn.domain.federation.model import JoinPolicy
from icn.kernel.ids import PeerId
from icn.services.answers import Answer, Done, Refused
from icn.services.commands import Init, Join, Leave, OpenAccountFor
from icn.stores import changeover
from icn.stores.changeover import Founding
from icn.stores.joining import Aim
from support import builders
from support.world import World, federation, terms

ADDRESS = Aim((f"/ip4/127.0.0.1/tcp/7000/p2p/{PeerId.of(builders.did(99))}",), b"")


def founding(world: World, name: str, called: str = "new") -> Init:
    return Init(Founding(called, (world[name].did,), builders.policy()))


def refusal_of(answer: Answer) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


def test_a_node_that_is_alone_may_change_and_writes_nothing_more_before_it_has() -> None:
    world = federation("a")
    body = world.done("a", founding(world, "a"))
    assert "archive" in str(body["state"])
    a = world["a"]
    change = changeover.change_of(a.store)
    federation_id = a.engine.state.federation.federation
    assert change is not None
    assert federation_id is not None
    assert (change.former, change.is_archived, change.founding) == (
        federation_id.id,
        False,
        founding(world, "a").founding,
    )
    arrivals = a.engine.state.last_arrival
    for command in (OpenAccountFor(builders.did(9)), Join(ADDRESS), founding(world, "a"), Leave()):
        assert refusal_of(world.do("a", command)) == "federation.changing"
    world.pass_time(10_000, step=1_000)
    assert a.engine.state.last_arrival == arrivals
    world.restart("a")
    assert refusal_of(world.do("a", OpenAccountFor(builders.did(9)))) == "federation.changing"


def test_who_others_count_on_leaves_first_and_makes_sure_that_it_is_known() -> None:
    world = federation("a", "b")
    assert refusal_of(world.do("b", Join(ADDRESS))) == "federation.leave_first"
    assert refusal_of(world.do("b", founding(world, "b"))) == "federation.leave_first"
    world.isolate("b")
    world.done("b", Leave())
    assert refusal_of(world.do("b", founding(world, "b"))) == "federation.leaving_unknown"
    world.link("a", "b")
    world.pass_time(1_000)
    assert world["a"].engine.state.federation.has_ended(world["b"].did)
    world.restart("b")
    world.link("a", "b")
    world.settle()
    assert isinstance(world.do("b", founding(world, "b")), Done)


def test_what_is_pending_is_named() -> None:
    world = World()
    world.add("a", terms(capacity=1, joins=False), run=lambda _: None)
    world.found("a")
    world.pass_time(1_000)
    world.submit("a")
    world.pass_time(2_000)
    assert refusal_of(world.do("a", founding(world, "a"))) == "federation.business_pending"


def test_a_node_that_waits_without_a_feed_may_go_elsewhere() -> None:
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a", builders.policy(join_policy=JoinPolicy.INVITE))
    world.link("a", "b")
    world.pass_time(1_000)
    assert world["b"].engine.state.federation.federation is not None
    assert isinstance(world.do("b", founding(world, "b")), Done)


def test_a_node_without_a_federation_founds_at_once() -> None:
    world = World()
    world.add("a")
    assert isinstance(world.do("a", founding(world, "a")), Done)
    stored = world["a"].engine.state.federation.federation
    assert stored is not None
    assert stored.name == "new"


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_founding_that_could_not_be_is_refused_before_anything_is_given_up(name: str) -> None:
    world = federation("a")
    assert refusal_of(world.do("a", founding(world, "a", name))) == "invalid"
    assert changeover.change_of(world["a"].store) is None
    world.done("a", OpenAccountFor(builders.did(9)))


def test_a_change_that_was_not_committed_did_not_begin() -> None:
    world = federation("a")
    world["a"].store.fail_next = 1
    world.ask("a", founding(world, "a"))
    with pytest.raises(Exception, match="on strike"):
        world.settle()
    world.done("a", OpenAccountFor(builders.did(9)))
