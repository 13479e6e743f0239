"""What members and strangers do to have a node do much for little: it costs no more than what honest ones do."""

import pytest

from icn.domain.dag.forks import Contest
from icn.domain.federation.events import (
    EquivocationProven,
    NodeJoined,
)
from icn.domain.federation.model import JoinPolicy
from icn.domain.ledger.events import AccountOpened, TransferSent
from icn.domain.ledger.model import TransferNumber
from icn.kernel.ids import Did
from icn.kernel.instant import Instant
from icn.kernel.mana import Mana
from icn.protocol.messages import Announce, Blocks, FeedCount, Hello, WantNamed
from icn.services import equivocation, rows
from icn.services.ancestry import BlockAncestry
from icn.services.commands import Admit, OpenAccountFor
from icn.services.divergence import divergence
from icn.services.effects import Send
from icn.services.inputs import PeerDown, PeerUp, Received
from icn.services.recutting import Recut, recut
from icn.services.state import State
from icn.stores import blocks
from icn.stores.kv import Batch, Reader
from support import builders
from support.agreeing import agree
from support.hostile_worlds import NAMES, ReadsNoted, invited, lenient
from support.impostor import Impostor
from support.world import federation


def test_a_stranger_does_not_have_all_blocks_read_nor_the_state_loaded() -> None:
    world = lenient(JoinPolicy.INVITE)
    stranger = Impostor(world, 66)
    block = stranger.block(NodeJoined(stranger.did, "x"), parents=stranger.parents("a"))
    hello = Hello("evil/1", stranger.federation, (), "", executes=False)
    world.handle("a", PeerUp(stranger.did), Received(stranger.did, hello))
    noting = ReadsNoted(world["a"].store.inner)
    world["a"].store.inner = noting
    world.handle("a", Received(stranger.did, Announce((block.data,))))
    assert world["a"].engine.state.feeds.next_sequence(stranger.did) == 0
    assert world["a"].disconnects[-1][0] == stranger.did
    assert not [key for key in noting.read if key.startswith(b"p")], "the state is not loaded"
    whole = [key for key in noting.read if key.startswith(b"b")]
    assert len(whole) <= 4, "blocks that admit somebody are looked at, not everything that happened"


def test_accusing_keys_that_nobody_has_heard_of_costs_no_replay_and_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    world = invited()
    evil, honest = Impostor.of(world, "d"), ("a", "b", "c")
    made: list[Contest] = []

    def counted(reader: Reader, contest: Contest) -> Recut:
        made.append(contest)
        return recut(reader, contest)

    monkeypatch.setattr(equivocation, "recut", counted)
    for number in range(70, 75):
        times = (Instant(number), Instant(number + 1))
        pair = sorted(
            (builders.block(number, (), federation=evil.federation, time=time) for time in times),
            key=lambda one: one.cid,
        )
        accuses = EquivocationProven(builders.did(number), 0, pair[0].cid, pair[1].cid)
        evil.say(evil.block(accuses, parents=evil.parents("a")), *honest)
        for block in pair:
            for name in honest:
                evil.say(block, name)
        world.pass_time(2_000)
        assert builders.did(number) in world["a"].engine.state.cuts
    assert len(made) == len(honest), "once each, for from now on what does not fit is void"
    assert {by for _, by in world["a"].engine.state.federation.proven} == {evil.did}
    agree(world, *honest)
    world.done("a", Admit(builders.did(74)))
    late = Impostor(world, 74)
    late.say(late.block(NodeJoined(late.did, "x"), parents=late.parents("a")), *honest)
    world.pass_time(3_000)
    assert late.did not in world["a"].engine.state.feeds.heads, "its feed ends where it was shown to fork"
    world.restart("a")
    world.link_all()
    world.pass_time(3_000)
    agree(world, *honest)


def test_what_is_kept_as_evidence_makes_what_comes_later_no_dearer() -> None:
    world = invited()
    evil, costs = Impostor.of(world, "d"), list[int]()
    noting = ReadsNoted(world["a"].store.inner)
    world["a"].store.inner = noting
    for number in range(70, 82):
        times = (Instant(number), Instant(number + 1))
        pair = sorted(
            (builders.block(number, (), federation=evil.federation, time=time) for time in times),
            key=lambda one: one.cid,
        )
        for block in pair:
            evil.say(block, "a")
        noting.read.clear()
        accuses = EquivocationProven(builders.did(number), 0, pair[0].cid, pair[1].cid)
        evil.say(evil.block(accuses), "a")
        for block in pair:
            evil.say(block, "a")
        costs.append(len([key for key in noting.read if key.startswith(b"b")]))
    assert costs[-1] == costs[2]


def test_a_member_whose_blocks_are_refused_has_the_state_loaded_once_and_not_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = federation(*NAMES)
    evil, loads = Impostor.of(world, "d"), list[Reader]()
    load = rows.load

    def counted(reader: Reader) -> State:
        loads.append(reader)
        return load(reader)

    monkeypatch.setattr(rows, "load", counted)
    before = evil.head
    for owner in range(80, 90):
        opened = AccountOpened(builders.did(owner), evil.did, 0, Mana(0), 0, Mana(0))
        evil.head = before
        evil.say(evil.block(opened, NodeJoined(builders.did(owner), "x"), parents=evil.parents("a")), "a")
        assert world["a"].engine.state.ledger.account(builders.did(owner), evil.did) is None
        world.handle("a", PeerDown(evil.did))
    assert len(loads) == 1
    evil.head = before
    evil.say(evil.block(opened, parents=evil.parents("a")), "a")
    assert world["a"].engine.state.ledger.account(builders.did(89), evil.did) is not None
    world.pass_time(3_000)
    agree(world, "a", "b", "c")


def test_what_strangers_say_that_they_have_is_no_part_of_what_is_looked_at_with_every_batch() -> None:
    world = federation(*NAMES)
    stranger = Impostor(world, 66)
    counts = tuple(FeedCount(builders.did(number), 5) for number in range(100, 110))
    hello = Hello("evil/1", stranger.federation, counts, "a root of its own", executes=False)
    world.handle("a", PeerUp(stranger.did), Received(stranger.did, hello))
    engine = world["a"].engine
    found = divergence(engine.state, engine.peers, engine.replication.arrivals, engine.state.feeds.root())
    assert {peer.did for peer in found.peers} == {world[name].did for name in NAMES[1:]}


def test_blocks_asked_for_by_name_are_read_as_far_as_they_are_sent() -> None:
    world = federation(*NAMES)
    stranger, batch, store = Impostor(world, 66), Batch(), world["a"].store
    large = [builders.block(67, records=({"fill": bytes(900_000), "n": index},)) for index in range(12)]
    for block in large:
        blocks.put_evidence(batch, block)
    store.commit(batch, world["a"].engine.fence)
    noting = ReadsNoted(store.inner)
    store.inner = noting
    hello = Hello("evil/1", stranger.federation, (), "", executes=False)
    world.handle("a", PeerUp(stranger.did), Received(stranger.did, hello))
    world.handle("a", Received(stranger.did, WantNamed(tuple(block.cid for block in large))))
    sent = [effect.message for _, effect in world.trace if isinstance(effect, Send) and effect.peer == stranger.did]
    assert [len(message.blocks) for message in sent if isinstance(message, Blocks)] == [2]
    assert len([key for key in noting.read if key.startswith(b"b")]) <= 3


def test_many_transfers_that_nobody_confirms_cost_their_payee_one_look_with_each_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = federation(*NAMES)
    evil, a = Impostor.of(world, "d"), world["a"]
    for name in ("b", "c"):
        world.isolate(name)
    world.settle()
    sent = [TransferSent(TransferNumber(n), evil.did, a.did, a.did, Mana(1), "") for n in range(200)]
    evil.say(evil.block(*sent, parents=evil.parents("a")), "a")
    looks: list[int] = []
    confirms = BlockAncestry.confirms

    def counted(self: BlockAncestry, author: Did, sequence: int) -> bool:
        looks.append(sequence)
        return confirms(self, author, sequence)

    monkeypatch.setattr(BlockAncestry, "confirms", counted)
    world.done("a", OpenAccountFor(builders.did(90)))
    evil.say(evil.block(parents=evil.parents("a")), "a")
    assert len(looks) <= 2
    monkeypatch.undo()
    assert len(a.engine.state.ledger.transits) == 200
    world.link_all()
    world.pass_time(8_000)
    assert not a.engine.state.ledger.transits, "they are claimed once they are confirmed"
    agree(world, "a", "b", "c")
