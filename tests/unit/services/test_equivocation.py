"""Members that sign two histories: noticed, proved, cut off, and nobody else harmed by it (semantics §2)."""

import pytest

from icn.domain.dag.block import Block, Place
from icn.domain.federation.events import EquivocationProven, NodeJoined
from icn.domain.federation.model import JoinPolicy
from icn.domain.ledger.events import AccountOpened, TransferSent
from icn.domain.ledger.model import TransferNumber
from icn.domain.records import read_record
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Blocks, Hello
from icn.services import rows
from icn.services.commands import Admit, OpenAccountFor, Pay
from icn.services.equivocation import EVIDENCE_PER_AUTHOR_MAX, is_heard_of
from icn.services.inputs import PeerDown, PeerUp, Received, Tick
from icn.services.queries import events
from icn.services.recutting import Removals
from icn.services.verify import verify
from icn.sim import checkers
from icn.sim.explore.copying import copied
from icn.stores import blocks
from support import builders
from support.forker import Forker
from support.impostor import Impostor
from support.world import World, federation

NAMES = ("a", "b", "c", "d")
PAYMENTS = events.EventFilter(types=("ledger.transferred", "ledger.transfer_sent"))


def fork(names: tuple[str, ...] = NAMES) -> Forker:
    """A federation with a member about to fork. The honest nodes do not hear of each other meanwhile."""
    forker = Forker(federation(*names))
    forker.join()
    return forker


def part(world: World) -> None:
    for name in world.nodes:
        world.isolate(name)
    world.settle()


def meet(world: World) -> None:
    world.link_all()
    world.pass_time(8_000)


def agree(world: World) -> None:
    """Equal blocks, equal states, equal to what is stored and to what the journal gives; mana is where it was."""
    assert len(set(world.roots())) == 1
    first = next(iter(world.nodes.values()))
    for node in world.nodes.values():
        checkers.same_state("agreement", node.name, first.engine.state, node.engine.state)
        checkers.same_state("rows", node.name, node.engine.state, rows.load(node.store))
        checkers.supply_adds_up(node.name, node.engine.state.ledger)
        report = verify(node.store, node.did, deep=True)
        assert not report.findings


def has_account(world: World, name: str, owner: Did, home: Did) -> bool:
    return world[name].engine.state.ledger.account(owner, home) is not None


def test_every_honest_node_proves_what_it_meets_and_voids_it() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    part(world)
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.greet(*NAMES)
    forker.say(one, "a", "b")
    forker.say(other, "c", "d")
    world.pass_time(2_000)  # those who heard one of the two build on it
    meet(world)
    agree(world)
    for name in NAMES:
        proofs = [e for e in world[name].happened(EquivocationProven) if isinstance(e, EquivocationProven)]
        assert {(p.accused, p.sequence) for p in proofs} == {(forker.did, one.header.sequence)}
        assert len(proofs) == len(NAMES), "each says it in its own feed"
        assert not has_account(world, name, builders.did(8), forker.did)
        assert not has_account(world, name, builders.did(9), forker.did)
        assert one.cid in world[name].engine.state.feeds.sides
        assert other.cid in world[name].engine.state.feeds.sides


def test_the_next_blocks_of_a_forker_are_not_taken_and_its_greeting_is_refused() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    forker.say(forker.opens(8, before), "a")
    forker.say(forker.opens(9, before), "b")
    world.pass_time(4_000)
    count = world["a"].engine.state.feeds.block_count
    before_greeting = len(world["a"].disconnects)
    forker.greet("a")
    (peer, reason) = world["a"].disconnects[before_greeting]
    assert peer == forker.did
    assert "signed two blocks" in reason
    forker.say(forker.opens(10), "a")
    world.pass_time(2_000)
    assert world["a"].engine.state.feeds.block_count == count
    agree(world)


def test_what_a_quorum_acknowledged_before_it_knew_is_kept() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, *NAMES)
    world.pass_time(3_000)  # everybody builds on it
    forker.say(other, "a")
    world.pass_time(6_000)
    agree(world)
    for name in NAMES:
        assert world[name].happened(EquivocationProven)
        assert has_account(world, name, builders.did(8), forker.did)
        assert not has_account(world, name, builders.did(9), forker.did)


def test_a_payment_that_was_claimed_is_void_on_one_branch_and_kept_on_the_other() -> None:
    forker = fork()
    world = forker.world
    a = world["a"].did
    before = forker.head
    sent = forker.block(TransferSent(TransferNumber(0), forker.did, a, a, Mana(100), ""), after=before)
    forker.say(sent, *NAMES)
    world.pass_time(4_000)
    paid = world["a"].engine.state.ledger.account(a, a)
    assert paid is not None
    assert paid.balance == 1100
    forker.say(
        forker.block(TransferSent(TransferNumber(0), forker.did, builders.did(9), a, Mana(200), ""), after=before), "b"
    )
    world.pass_time(6_000)
    agree(world)
    kept = world["c"].engine.state.ledger.account(a, a)
    assert kept is not None
    assert kept.balance == 1100


def test_a_record_that_leans_on_a_void_one_is_void_and_the_rest_of_its_block_counts() -> None:
    forker = fork()
    world = forker.world
    a = world["a"]
    before = forker.head
    part(world)
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.greet(*NAMES)
    forker.say(one, "a")
    forker.say(other, "b", "c", "d")
    world.pass_time(1_000)
    world.done("a", OpenAccountFor(builders.did(20)))
    world.ask("a", Pay(builders.did(8), Mana(5), ""))  # to an account that only one branch opens
    world.ask("a", Pay(builders.did(20), Mana(7), ""))
    world.settle()
    assert a.engine.state.ledger.counts_of(a.did).next_transfer == 2
    meet(world)
    agree(world)
    for name in NAMES:
        state = world[name].engine.state
        account = state.ledger.account(builders.did(20), a.did)
        assert account is not None
        assert account.balance == 1007
        assert not [t for t in state.ledger.transits.values() if t.payee == builders.did(8)]
        assert state.ledger.counts_of(a.did).next_transfer == 2, "numbers are not given twice"
        paid = events.events(world[name].store, PAYMENTS, after=events.BEGINNING, limit=10).items
        assert [(event.type, event.void) for event in paid] == [
            ("ledger.transfer_sent", True),
            ("ledger.transferred", False),
        ]
    world.done("a", Pay(builders.did(20), Mana(1), ""))
    world.pass_time(2_000)
    agree(world)


def test_a_proof_builds_on_none_of_the_accused() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, "a")
    forker.say(other, "a")
    node = world["a"]
    head = blocks.get_block(node.store, node.engine.state.feeds.heads[node.did].cid)
    assert head is not None
    assert [read_record(record).name for record in head.records] == ["federation.equivocation"]
    assert one.cid not in head.header.parents
    assert not {one.cid, other.cid} & {*node.engine.state.feeds.frontier}


@pytest.mark.parametrize("name", NAMES)
def test_a_restart_keeps_what_was_found(name: str) -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    forker.say(forker.opens(8, before), "a")
    forker.say(forker.opens(9, before), "b")
    world.pass_time(4_000)
    world.restart(name)
    world.settle()
    assert forker.did in world[name].engine.state.cuts
    meet(world)
    agree(world)
    assert len(world[name].happened(EquivocationProven)) == len(NAMES), "nothing is said twice"


def test_a_late_joiner_gets_both_branches() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    part(world)
    forker.greet(*NAMES)
    forker.say(forker.opens(8, before), "a", "b")
    forker.say(forker.opens(9, before), "c", "d")
    world.pass_time(2_000)
    meet(world)
    world.add("late")
    meet(world)
    agree(world)
    assert forker.did in world["late"].engine.state.cuts


def test_who_joins_late_and_knows_of_a_fork_says_so_at_once() -> None:
    forker = fork()
    world = forker.world
    before = forker.head
    forker.say(forker.opens(8, before), "a")
    forker.say(forker.opens(9, before), "a")
    meet(world)
    world.add("late")
    world.link_all()
    world.settle()
    late = world["late"]
    assert late.engine.state.federation.has_joined(late.did)
    assert late.wake_at == world.clock.time, "it wants to go on at once"
    world.handle("late", Tick())
    assert (forker.did, late.did) in late.engine.state.federation.proven


def test_whoever_joins_an_open_federation_may_have_built_on_a_branch_that_others_hold_as_evidence() -> None:
    """It heard of no fork before it joined, and nobody will take its feed without what that begins with."""
    forker = fork(("a", "b"))
    world = forker.world
    before = forker.head
    first, _, third = (forker.opens(number, before) for number in (8, 9, 10))
    forker.say(first, "a", "b")
    forker.say(third, "a")
    meet(world)
    assert blocks.get_meta(world["a"].store, third.cid) is None
    newcomer = Impostor(world, 67)
    joins = newcomer.block(NodeJoined(newcomer.did, "test/1"), parents=(third.cid,))
    hello = Hello("test/1", newcomer.federation, (), "", executes=False)
    world.handle("a", PeerUp(newcomer.did), Received(newcomer.did, hello))
    world.handle("a", Received(newcomer.did, Announce((joins.data,))))
    world.handle("a", Received(newcomer.did, Announce((third.data,))))
    meet(world)
    for name in ("a", "b"):
        assert world[name].engine.state.federation.has_joined(newcomer.did)
    agree(world)


def waiting() -> Forker:
    """A federation of two that votes, with a member about to fork, and a node that waits to be admitted."""
    world = World()
    for name in ("a", "b"):
        world.add(name)
    world.found("a", builders.policy(join_policy=JoinPolicy.VOTE), founders=("b",))
    world.link_all()
    world.pass_time(2_000)
    forker = Forker(world)
    for name in ("a", "b"):
        world.done(name, Admit(forker.did))
    world.pass_time(1_000)
    forker.greet("a", "b")
    forker.say(forker.block(NodeJoined(forker.did, "evil/1"), parents=forker.heads_at("a")), "a", "b")
    world.pass_time(1_000)
    assert world["a"].engine.state.federation.has_joined(forker.did)
    world.add("late")
    meet(world)
    assert not world["late"].engine.state.federation.has_joined(world["late"].did)
    forker.greet("late")
    return forker


def accusing_made_up(forker: Forker, before: Block | None) -> tuple[Block, list[Block]]:
    """A block that proves a fork of a key that nobody has heard of, and the two blocks that it names."""
    pair = sorted(
        (builders.block(70, (), federation=forker.federation, time=Instant(time)) for time in (1, 2)),
        key=lambda one: one.cid,
    )
    proof = EquivocationProven(builders.did(70), 0, pair[0].cid, pair[1].cid)
    return forker.block(proof, after=before), pair


def test_an_accusation_that_is_left_in_no_feed_is_said_by_who_has_heard_it() -> None:
    """Of a key that has no feed one accusation is enough, as long as it comes to everybody."""
    forker = fork(("a", "b"))
    world = forker.world
    before = forker.head
    part(world)
    accuses, pair = accusing_made_up(forker, before)
    other = forker.opens(9, before)
    forker.greet("a", "b")
    forker.say(accuses, "a")
    for block in pair:
        forker.say(block, "a")
    assert builders.did(70) in world["a"].engine.state.cuts
    forker.say(other, "a")
    assert accuses.cid in world["a"].engine.state.feeds.sides, "and nobody has built on it"
    meet(world)
    assert blocks.get_meta(world["b"].store, accuses.cid) is None
    assert builders.did(70) in world["b"].engine.state.cuts
    agree(world)


def test_who_waits_for_admission_shows_what_it_found_to_members_and_they_prove_it() -> None:
    """It may sign nothing, and nobody else has met both blocks."""
    forker = waiting()
    world, before = forker.world, forker.head
    for owner in (8, 9):
        forker.say(forker.opens(owner, before), "late")
    world.settle()
    world.pass_time(100)
    for name in ("a", "b"):
        assert (forker.did, world[name].did) in world[name].engine.state.federation.proven
    agree(world)
    assert world["late"].did not in [peer for name in ("a", "b") for peer, _ in world[name].disconnects]


def test_who_waits_for_admission_shows_no_block_that_is_held_against_it() -> None:
    """Of a key that nobody has heard of no block may be taken, and whoever brings one unasked is to blame."""
    forker = waiting()
    world, before = forker.world, forker.head
    accuses, pair = accusing_made_up(forker, before)
    other = forker.opens(9, before)
    for block in (accuses, *pair, other):
        forker.say(block, "late")
    assert builders.did(70) in world["late"].engine.state.cuts
    world.pass_time(2_000)
    assert accuses.cid in world["late"].engine.state.feeds.sides
    assert world["late"].did not in [peer for name in ("a", "b") for peer, _ in world[name].disconnects]


def test_who_brings_the_next_block_of_another_branch_is_not_blamed() -> None:
    """A block that follows one which is not here, at the number that is due: somebody forked, not who passes it on."""
    forker = fork()
    world = forker.world
    before = forker.head
    part(world)
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.greet(*NAMES)
    forker.say(one, "a")
    forker.say(other, "b")
    forker.say(forker.opens(10), "b")
    world.pass_time(1_000)
    world.drop = lambda _source, target, message: target == "a" and isinstance(message, Blocks)
    world.link("a", "b")
    world.pass_time(1_000)
    world.drop = None
    meet(world)
    agree(world)
    honest = {node.did for node in world.nodes.values()}
    assert not [peer for node in world.nodes.values() for peer, _ in node.disconnects if peer in honest]


@pytest.mark.parametrize("first", ["nothing", "the other one"])
def test_one_of_two_blocks_may_be_against_the_rules_and_who_proves_the_fork_with_it_is_not_blamed(first: str) -> None:
    """Who holds both has applied one of them; whether the other could have been is known to nobody there."""
    forker = fork(("a", "b"))
    world = forker.world
    before = forker.head
    part(world)
    one = forker.opens(8, before)
    other = forker.block(
        TransferSent(TransferNumber(7), forker.did, builders.did(9), forker.did, Mana(9), ""), after=before
    )
    forker.greet("a", "b")
    forker.say(one, "a")
    forker.say(other, "a")
    if first == "the other one":
        forker.say(other, "b")
        assert forker.did in [peer for peer, _ in world["b"].disconnects]
    world.pass_time(2_000)
    meet(world)
    agree(world)
    assert world["b"].happened(EquivocationProven)
    assert world["a"].did not in [peer for peer, _ in world["b"].disconnects]


def test_acknowledgements_are_followed_through_a_nodes_own_blocks() -> None:
    """One node is held back while its proof is on the way; what it built on since leads others to the branch."""
    forker = fork()
    world = forker.world
    before = forker.head
    one, other = forker.opens(8, before), forker.opens(9, before)
    forker.say(one, "a", "b", "c")
    world.isolate("d")
    world.pass_time(2_000)
    forker.say(other, "a")
    world.pass_time(3_000)
    meet(world)
    agree(world)


@pytest.mark.parametrize("what", ["two numbers", "one block twice", "itself", "another author"])
def test_an_accusation_that_proves_nothing_is_refused_whole(what: str) -> None:
    forker = fork()
    world = forker.world
    node, victim = world["a"], world["b"].did
    first, second = (blocks.cid_at(node.store, victim, sequence) for sequence in (0, 1))
    assert first is not None
    assert second is not None
    own = forker.opens(8)
    forker.say(own, "a")
    accusations = {
        "two numbers": EquivocationProven(victim, 0, *sorted((first, second))),
        "one block twice": EquivocationProven(victim, 0, first, first),
        "itself": EquivocationProven(forker.did, own.header.sequence, *sorted((own.cid, first))),
        "another author": EquivocationProven(world["c"].did, 0, *sorted((first, second))),
    }
    accusation = forker.block(accusations[what])
    forker.say(accusation, "a")
    world.pass_time(2_000)
    assert blocks.get_meta(node.store, accusation.cid) is None
    assert forker.did in [peer for peer, _ in node.disconnects]
    for name in NAMES:
        assert not world[name].engine.state.cuts
        assert not world[name].happened(EquivocationProven)


def test_a_forker_does_not_fill_disks_with_evidence() -> None:
    forker = fork()
    world = forker.world
    node, before = world["a"], forker.head
    for owner in range(8, 8 + 2 * EVIDENCE_PER_AUTHOR_MAX):
        forker.head = before
        block = forker.opens(owner, before)
        world.handle("a", Received(world["b"].did, Announce((block.data,))))
    world.pass_time(3_000)
    assert len(list(blocks.evidence(node.store))) <= EVIDENCE_PER_AUTHOR_MAX
    agree(world)


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 2), (3, 1), pytest.param(12, 12, marks=pytest.mark.slow)])
def test_two_branches_that_nobody_has_built_on_are_found(one: int, other: int) -> None:
    """Of as many blocks, or not. Nobody acknowledges empty blocks, and counts do not tell one from another."""
    forker = fork()
    world = forker.world
    before = forker.head
    assert before is not None
    part(world)
    forker.greet(*NAMES)
    for number, (length, names) in enumerate(((one, ("a", "b")), (other, ("c", "d")))):
        forker.head = before
        for _ in range(length):
            forker.say(forker.block(time=world.clock.time + number), *names)
    assert len(set(world.roots())) == 2
    meet(world)
    world.pass_time(20_000)
    agree(world)
    for name in NAMES:
        cut = world[name].engine.state.cuts[forker.did]
        assert (cut.sequence, cut.kept) == (before.header.sequence + 1, 0)
        assert {peer for peer, _ in world[name].disconnects} <= {forker.did}, "nobody else is blamed"


def test_who_hears_of_a_fork_before_it_has_the_feed_keeps_what_the_others_keep() -> None:
    """G has the proof first, and only then the last block before the fork, which tells it who may acknowledge."""
    names = ("a", "b", "c", "d", "e", "f", "g")
    forker = Forker(federation(*names))
    forker.join(admitted=False)
    world, a, g = forker.world, forker.world["a"], forker.world["g"]
    world.pass_time(3_000)
    part(world)
    forker.greet(*names)
    opened = AccountOpened(builders.did(70), forker.did, 0, Mana(0), 0, Mana(0))
    last = forker.block(opened, parents=forker.heads_at("a"))
    one, other = forker.opens(8, last), forker.opens(9, last)
    for block in (last, one):
        forker.say(block, *names[:6])
    forker.say(other, "a")  # it has not built on what is before the fork
    proof = blocks.get_bytes(a.store, a.engine.state.feeds.heads[a.did].cid)
    assert proof is not None
    hello = Hello("test/1", forker.federation, (), "", executes=False)
    world.handle("g", PeerUp(a.did), Received(a.did, hello))
    world.handle("g", Received(a.did, Announce((proof,))))
    world.handle("g", Received(a.did, Blocks((one.data, other.data), more=False)))
    assert forker.did in g.engine.state.cuts
    assert last.cid not in g.engine.state.feeds.recent
    world.handle("g", PeerDown(a.did))
    world.pass_time(3_000)  # five of seven build on the one
    meet(world)
    for name in names:
        assert has_account(world, name, builders.did(8), forker.did), name
    agree(world)


def test_whether_somebody_has_blocks_here_costs_the_same_however_many_side_blocks_there_are() -> None:
    class Unread(dict[Cid, Place]):
        def values(self):
            raise AssertionError("all side blocks are gone through")

        __iter__ = items = values

    state = federation("a", "b")["a"].engine.state
    side = builders.block(77, federation=builders.cid("federation"))
    state.feeds.put_aside(side, is_branch=True)
    state.feeds.sides = Unread(state.feeds.sides)
    asked = [builders.did(number) for number in (77, 78)]
    assert [is_heard_of(state, who) for who in asked] == [True, False]


def test_what_is_noted_of_a_removal_is_not_noted_in_a_copy_of_it() -> None:
    one = Removals(unspread={builders.cid("removal"): None})
    other = copied(one)
    other.unspread[builders.cid("upon it")] = None
    assert list(one.unspread) == [builders.cid("removal")]
