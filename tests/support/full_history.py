"""A federation in which some of everything happened, and one of its nodes: for stores kept or rebuilt.

Nothing in it depends on chance or on the time.
"""

from icn.kernel.encoding import encode
from icn.kernel.ids import DAG_CBOR, RAW, Cid
from icn.kernel.mana import mana
from icn.services.commands import OpenAccountFor, Pay, PutContent, Remove
from support import builders
from support.forker import Forker
from support.world import World, terms

KEEPER, OTHER, MEMBER = 1, 2, 9
"""Numbers of `builders.signer`: the node whose store is kept, its peer, and somebody with an account."""


def history() -> World:
    """Transfers within and between homes, jobs in every state, content kept in every way, messages not delivered.

    Of the other members one forks, and one is removed.
    """
    world = World()
    world.add("a", terms(capacity=0))  # so that its jobs are run by b
    world.add("b")
    for name in ("c", "d"):
        world.add(name, terms(capacity=0))
    world.found("a", founders=("b", "c", "d"))
    world.link_all()
    world.pass_time(2000)
    fork(world)
    remove(world, "d", ("a", "b", "c"))
    member = builders.did(MEMBER)
    world.done("a", OpenAccountFor(member))
    for amount in (1, 2, 3):
        world.pass_time(1000)
        world.done("a", Pay(member, mana(amount), "bread"))
    world.do("a", Pay(builders.did(OTHER), mana(40), "for the fair"), key="transfer-1")
    world.do("b", Pay(builders.did(KEEPER), mana(5), "thanks"), key="transfer-2")
    world.pass_time(10_000)
    for number in range(3):
        world.submit("a" if number else "b", data=b"job %d" % number)
        world.pass_time(3000)
    world.submit("a", data=b"a long input " * 3000)
    world.pass_time(3000)
    leaf = b"a leaf of a tree of content"
    world.done("a", PutContent(leaf, RAW, pinned=False, lifetime_ms=None))
    tree = encode({"leaf": Cid.of(leaf, RAW), "name": "tree"})
    world.done("a", PutContent(tree, DAG_CBOR, pinned=True, lifetime_ms=None))
    world.done("a", PutContent(b"for a day", RAW, pinned=False, lifetime_ms=86_400_000))
    for number in range(40):
        world.done("a", PutContent(b"recipe %d" % number, RAW, pinned=number % 2 == 0, lifetime_ms=None))
    world["a"].run = world["b"].run = lambda _: None
    world.submit("a", world.spec(within=5000), data=b"never done in time")
    world.pass_time(70_000)
    world.submit("a", world.spec(within=86_400_000), data=b"under way when the store was kept")
    world.pass_time(3000)
    world.drop = lambda _from, _to, message: type(message).__name__ == "AssignmentSent"
    world.submit("a", world.spec(within=86_400_000), data=b"assigned, and the executor has not heard")
    world.pass_time(3000)
    for name in ("b", "c"):
        world.isolate(name)
    world.settle()
    world.do("a", Pay(builders.did(OTHER), mana(7), "on its way"), key="transfer-3")
    world.submit("a", world.spec(within=86_400_000), data=b"open when the store was kept")
    world.settle()
    return world


def fork(world: World) -> None:
    """A member that signs two blocks with one number: one is confirmed, what stands behind it is not."""
    forker = Forker(world)
    forker.join()
    before = forker.head
    forker.say(forker.opens(8, before), *world.nodes)
    world.pass_time(3000)
    forker.say(forker.opens(7, forker.head), "a")
    world.done("a", OpenAccountFor(builders.did(6)))  # which builds on it
    forker.say(forker.opens(9, before), "b")
    world.pass_time(6000)


def remove(world: World, whom: str, voters: tuple[str, ...]) -> None:
    """Votes until the member is out."""
    for voter in voters:
        world.done(voter, Remove(world[whom].did, "it does not answer"))
        world.pass_time(3000)
