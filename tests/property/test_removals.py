"""Whoever is removed, by whom and in whatever partition: all that stay agree, in whatever order they hear of it."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icn.domain.dag.block import Block, parse_block
from icn.kernel.mana import Mana
from icn.protocol.messages import Blocks, FeedCount, Hello
from icn.services import rows
from icn.services.commands import OpenAccountFor, Pay, Remove
from icn.services.inputs import PeerUp, Received
from icn.services.verify import verify
from icn.sim import checkers
from icn.stores import blocks
from support import builders
from support.world import Node, World, federation

NODES = ("a", "b", "c", "d", "e")
OWNERS = tuple(builders.did(100 + number) for number in range(4))


def part(world: World, chance: Random) -> None:
    """Cut every link between two groups."""
    one = {name: chance.random() < 0.5 for name in NODES}
    for a, b in list(world.links):
        if one[a] != one[b]:
            world.cut(a, b)


def act(world: World, targets: list[str], chance: Random) -> None:
    """One thing that an operator does, or time passing."""
    name = chance.choice(NODES)
    match chance.choice(("vote", "vote", "vote", "open", "open", "pay", "pay", "wait", "wait", "restart")):
        case "vote":
            world.ask(name, Remove(world[chance.choice(targets)].did, "by chance"))
        case "open":
            world.ask(chance.choice((name, *targets)), OpenAccountFor(chance.choice(OWNERS)))
        case "pay":
            payee = chance.choice((*OWNERS, *(world[each].did for each in NODES)))
            world.ask(chance.choice((name, *targets)), Pay(payee, Mana(chance.randint(1, 30)), ""))
        case "restart":
            world.restart(name)
        case _:
            world.pass_time(chance.choice((200, 1_000, 3_000)), step=200)
    world.settle()


def history(chance: Random) -> World:
    """Five members vote one or two of them out while they are cut off from each other, now and then otherwise."""
    world = federation(*NODES)
    targets = chance.sample(NODES, chance.choice((1, 1, 2)))
    for _ in range(chance.randint(1, 3)):
        part(world, chance)
        for _ in range(chance.randint(3, 10)):
            act(world, targets, chance)
        if chance.random() < 0.5:
            world.link_all()
            world.pass_time(1_000, step=200)
    part(world, chance)
    for _ in range(chance.randint(2, 8)):
        for voter in NODES:
            if chance.random() < 0.25:
                world.ask(voter, Remove(world[chance.choice(targets)].did, "by chance"))
        act(world, targets, chance)
    return world


def staying(world: World) -> list[Node]:
    """Who is a member for all that are, by what each has after everybody could hear everybody."""
    members = list(world.nodes.values())
    while True:
        federations = [node.engine.state.federation for node in members]
        left = [node for node in members if not any(each.was_removed(node.did) for each in federations)]
        if left == members:
            return members
        members = left


def heal(world: World) -> None:
    for _ in range(3):
        world.link_all()
        world.pass_time(12_000, step=400)


def replica(world: World, made: list[Block], chance: Random) -> Node:
    """A fresh node that gets the blocks in another order, and each again until it has all that it waits for."""
    federation_id = next(iter(world.nodes.values())).engine.state.federation.federation
    assert federation_id is not None
    fresh = World(clock=world.clock)
    node = fresh.add("z", number=250)
    sender = builders.did(251)
    claimed = (FeedCount(builders.did(252), 1),)  # who lacks something does not join, so the replica only listens
    fresh.handle("z", PeerUp(sender), Received(sender, Hello("t", federation_id.id, claimed, "", executes=False)))
    for _ in range(len(made)):
        waiting = list(made)
        chance.shuffle(waiting)
        while waiting:
            some = [waiting.pop() for _ in range(min(len(waiting), chance.randint(1, 9)))]
            fresh.handle("z", Received(sender, Blocks(tuple(block.data for block in some), more=False)))
        if node.engine.state.feeds.block_count == len(made):
            break
    assert not node.disconnects
    return node


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_all_who_stay_agree_in_every_order_of_delivery(seed: int) -> None:
    world = history(Random(seed))
    heal(world)
    members = staying(world)
    if not members:
        return
    first = members[0]
    for node in members:
        checkers.same_state("agreement", node.name, first.engine.state, node.engine.state)
        checkers.same_state("rows", node.name, node.engine.state, rows.load(node.store))
        checkers.supply_adds_up(node.name, node.engine.state.ledger)
    assert not verify(first.store, first.did, deep=True).findings
    made = [parse_block(blocks.get_bytes(first.store, cid) or b"") for _, cid in blocks.journal(first.store)]
    again = replica(world, made, Random(seed))
    checkers.same_state("another order", "z", first.engine.state, again.engine.state)
    checkers.same_state("another order", "rows", again.engine.state, rows.load(again.store))
