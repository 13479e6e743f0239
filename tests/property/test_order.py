"""The same blocks in any causal order give the same state, and nothing a node decides is refused by another."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from icn.domain.dag.block import Block, parse_block
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, FeedCount, Hello
from icn.services import rows
from icn.services.commands import Admit, Cancel, OpenAccountFor, Pay, Submit
from icn.services.inputs import PeerUp, Received
from icn.services.state import State
from icn.stores import blocks
from support import builders
from support.world import Run, World, terms

NODES = ("a", "b", "c")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("pay", "open", "submit", "cancel", "cut", "heal", "wait", "long wait", "restart", "admit")),
        st.sampled_from(NODES),
        st.sampled_from(NODES),
        st.integers(1, 400),
    ),
    min_size=3,
    max_size=10,
)


def _run(chance: Random) -> Run:
    def run(request: ExecutionRequest) -> ExecutionOutcome | None:
        kind = chance.choice((ExitKind.COMPLETED, ExitKind.COMPLETED, ExitKind.TRAPPED, ExitKind.WORKER_LOST, None))
        return None if kind is None else builders.outcome(request, kind)

    return run


def history(steps: list[tuple[str, str, str, int]]) -> World:
    """Three nodes through payments, jobs, partitions and restarts; supply is checked at every step."""
    world = World()
    chance = Random(len(steps))
    for name in NODES:
        world.add(name, terms(joins=name != "a", capacity=2))
        world[name].run = _run(chance)
    world.found("a", founders=("b",))
    world.link_all()
    world.pass_time(1_000, step=250)
    jobs: list[tuple[str, object]] = []
    for what, one, other, number in steps:
        node = world[one]
        match what:
            case "pay":
                world.do(one, Pay(world[other].did, Mana(number), ""))
            case "open":
                world.do(one, OpenAccountFor(builders.did(100 + number % 100)))
            case "submit":
                token = world.ask(one, Submit(world.spec(within=20_000, max_price=Mana(number)), b"x"))
                world.settle()
                jobs.append((one, world[one].answers[token]))
            case "cancel":
                for home, job in [(h, j) for h in NODES for j in list(world[h].engine.state.mesh.jobs)]:
                    world.do(home, Cancel(job))
            case "cut":
                world.cut(one, other)
            case "heal":
                world.link_all()
            case "wait":
                world.pass_time(number * 5, step=400)
            case "long wait":
                world.pass_time(number * 100, step=number * 20)
            case "restart":
                world.restart(one)
            case _:
                world.do(one, Admit(world[other].did))
        world.settle()
        assert node.engine.state.ledger.supply.is_balanced
    return world


def heal(world: World) -> None:
    """Everybody hears everybody until nothing is under way."""
    world.link_all()
    world.pass_time(40_000, step=500)


def blocks_of(world: World, name: str) -> list[Block]:
    store = world[name].store
    return [parse_block(blocks.get_bytes(store, cid) or b"") for _, cid in blocks.journal(store)]


def replay(world: World, made: list[Block], chance: Random) -> State:
    """A fresh replica that gets the blocks in another causal order, some before their ancestors."""
    federation = world["a"].engine.state.federation.federation
    assert federation is not None
    fresh = World(clock=world.clock)
    node = fresh.add("z", number=250)
    sender = builders.did(251)
    claimed = (FeedCount(builders.did(252), 1),)  # who lacks something does not join, so the replica only listens
    fresh.handle("z", PeerUp(sender), Received(sender, Hello("t", federation.id, claimed, "", executes=False)))
    waiting = list(made)
    chance.shuffle(waiting)
    while waiting:
        some = [waiting.pop() for _ in range(min(len(waiting), chance.randint(1, 9)))]
        fresh.handle("z", Received(sender, Announce(tuple(block.data for block in some))))
    assert not node.disconnects
    assert not node.engine.replication.arrivals.quarantine.waiting
    assert rows.load(node.store) == node.engine.state
    return node.engine.state


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STEPS, st.integers(0, 2**32))
def test_the_same_blocks_in_any_causal_order_give_the_same_state(
    steps: list[tuple[str, str, str, int]], seed: int
) -> None:
    world = history(steps)
    heal(world)
    assert len(dict.fromkeys(world.roots())) == 1
    made = blocks_of(world, "a")
    first = world["a"].engine.state
    for name in NODES[1:]:
        state = world[name].engine.state
        assert (state.federation, state.ledger, state.mesh) == (first.federation, first.ledger, first.mesh)
        assert state.feeds == first.feeds
        assert not world[name].disconnects
    again = replay(world, made, Random(seed))
    assert again.federation == first.federation
    assert again.ledger == first.ledger
    assert again.mesh == first.mesh
    assert again.feeds == first.feeds


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(STEPS)
def test_after_everything_nothing_is_held_and_every_hold_ended_once(steps: list[tuple[str, str, str, int]]) -> None:
    world = history(steps)
    heal(world)
    world.pass_time(30_000, step=1_000)
    for node in world.nodes.values():
        ledger = node.engine.state.ledger
        assert ledger.supply.held == 0
        assert not ledger.holds
        assert not node.engine.state.mesh.jobs
        assert sum(a.balance for a in ledger.accounts.values()) == ledger.supply.available
        assert ledger.supply.is_balanced
