"""Blocks that travel by gossip: when ours are published, what is said of others', and what makes up for a loss."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from icn.domain.dag.block import Block
from icn.domain.federation.events import NodeAdmitted, NodeJoined
from icn.domain.ledger.events import AccountOpened
from icn.kernel.ids import Cid, Did
from icn.kernel.instant import Instant
from icn.kernel.limits import BLOCK_BYTES_MAX, CLOCK_AHEAD_MS_MAX
from icn.kernel.mana import Mana
from icn.protocol.codec import encode_message
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import PAYLOAD_BYTES_MAX
from icn.protocol.messages import Announce, Blocks, Heads, Hello, Want
from icn.services import rows
from icn.services.announcing import _parts
from icn.services.commands import OpenAccountFor
from icn.services.effects import Judge, Publish, Send, Subscribe
from icn.services.engine import Outcome
from icn.services.gossiping import topic_of
from icn.services.inputs import Gossiped, PeerUp, Received, Tick
from icn.stores import blocks
from support import builders
from support.world import World, federation, terms

BEARER = builders.did(70)
AUTHOR = 66
WRITER = builders.did(AUTHOR)


class Home:
    """A node of an open federation with one peer, BEARER, that brings what the test likes."""

    def __init__(self) -> None:
        self.world = World()
        self.node = self.world.add("a", terms(joins=False))
        self.world.found("a", builders.policy())
        self.world.handle("a", PeerUp(BEARER), Received(BEARER, self.hello()))
        self.joins = self.block(NodeJoined(builders.did(AUTHOR), "x"))

    @property
    def federation(self) -> Cid:
        ours = self.node.engine.state.federation.federation
        assert ours is not None
        assert ours.id is not None
        return ours.id

    def hello(self) -> Hello:
        return Hello("test/1", self.federation, (), "", executes=False)

    def block(self, *events: object, **changes: object) -> Block:
        facts: dict[str, object] = {"federation": self.federation, "time": self.world.clock.time}
        return builders.block(AUTHOR, events, **{**facts, **changes})

    def opens(self, number: int, previous: Block | None = None) -> Block:
        """The author's second block."""
        before = previous or self.joins
        opened = AccountOpened(builders.did(number), builders.did(AUTHOR), 0, Mana(0), 0, Mana(0))
        sequence = before.header.sequence + 1
        return self.block(opened, sequence=sequence, previous=before.cid)

    def hear(self, *said: bytes, bearer: Did = BEARER, author: Did = WRITER) -> Verdict:
        """A publication with these blocks, and the verdict."""
        return self.verdicts(self.world.handle("a", Gossiped(b"1", bearer, author, Announce(said))))[b"1"]

    @staticmethod
    def verdicts(outcome: Outcome) -> dict[bytes, Verdict]:
        return {effect.token: effect.verdict for effect in outcome.effects if isinstance(effect, Judge)}

    def is_in(self, block: Block) -> bool:
        return blocks.get_meta(self.node.store, block.cid) is not None


def published(outcome: Outcome) -> list[Publish]:
    return [effect for effect in outcome.effects if isinstance(effect, Publish)]


def test_news_is_accepted_and_so_is_what_was_known():
    home = Home()
    assert home.hear(home.joins.data) is Verdict.ACCEPT
    assert home.is_in(home.joins)
    assert home.hear(home.joins.data) is Verdict.ACCEPT
    assert home.hear(home.joins.data, home.opens(9).data) is Verdict.ACCEPT
    assert home.node.disconnects == []


def test_blocks_that_somebody_else_publishes_are_taken_and_not_passed_on():
    home = Home()
    assert home.hear(home.joins.data, author=BEARER) is Verdict.IGNORE
    assert home.is_in(home.joins)
    assert home.hear(home.joins.data, author=BEARER) is Verdict.IGNORE
    assert home.hear(home.joins.data) is Verdict.ACCEPT


def test_a_block_whose_ancestor_is_not_here_is_ignored_and_waits_and_its_bearer_is_asked():
    home = Home()
    later = home.opens(9)
    outcome = home.world.handle("a", Gossiped(b"1", BEARER, builders.did(AUTHOR), Announce((later.data,))))
    assert home.verdicts(outcome) == {b"1": Verdict.IGNORE}
    asked = [effect for effect in outcome.effects if isinstance(effect, Send)]
    assert [effect.peer for effect in asked] == [BEARER]
    home.world.handle("a", Received(BEARER, Blocks((home.joins.data,), more=False)))
    assert home.is_in(later)
    assert home.hear(later.data) is Verdict.ACCEPT


def test_a_block_from_the_future_is_ignored_and_waits():
    home = Home()
    early = home.block(
        NodeJoined(builders.did(AUTHOR), "x"), time=Instant(home.world.clock.time + CLOCK_AHEAD_MS_MAX + 1_000)
    )
    assert home.hear(early.data) is Verdict.IGNORE
    home.world.clock.time = Instant(home.world.clock.time + 2_000)
    home.world.handle("a", Tick())
    assert home.is_in(early)


def test_a_bearer_that_has_not_introduced_itself_is_not_heard_and_not_blamed():
    home = Home()
    assert home.hear(home.joins.data, bearer=builders.did(71)) is Verdict.IGNORE
    home.world.handle("a", PeerUp(builders.did(71)))
    assert home.hear(home.joins.data, bearer=builders.did(71)) is Verdict.IGNORE
    assert not home.is_in(home.joins)


def _forged(home: Home) -> bytes:
    data = bytearray(home.joins.data)
    data[-1] ^= 1
    return bytes(data)


WRONG: dict[str, Callable[[Home], bytes]] = {
    "no block": lambda _: b"no block",
    "signature": _forged,
    "federation": lambda home: home.block(NodeJoined(builders.did(AUTHOR), "x"), federation=builders.cid("x")).data,
    "not a member": lambda home: home.block(AccountOpened(BEARER, builders.did(AUTHOR), 0, Mana(0), 0, Mana(0))).data,
}


@pytest.mark.parametrize("case", WRONG)
def test_what_can_never_be_valid_is_rejected_and_its_bearer_stays_connected(case):
    home = Home()
    before = rows.load(home.node.store)
    assert home.hear(WRONG[case](home)) is Verdict.REJECT
    assert rows.load(home.node.store) == before == home.node.engine.state
    assert home.node.disconnects == []


def test_a_record_that_does_not_fit_counts_against_its_author_and_nobody_else_who_brings_it():
    home, author = Home(), builders.did(AUTHOR)
    before = rows.load(home.node.store)
    data = home.block(NodeJoined(author, "x"), NodeAdmitted(BEARER)).data
    assert home.hear(data) is Verdict.IGNORE, "where somebody forked it is void, and its block is taken"
    home.world.handle("a", PeerUp(author), Received(author, home.hello()))
    assert home.hear(data, bearer=author) is Verdict.REJECT
    assert rows.load(home.node.store) == before == home.node.engine.state


def test_a_publication_without_blocks_is_rejected():
    assert Home().hear() is Verdict.REJECT


def test_one_side_of_a_fork_is_ignored_when_somebody_else_brings_the_other():
    home = Home()
    home.hear(home.joins.data)
    one, other = home.opens(8), home.opens(9)
    assert home.hear(one.data) is Verdict.ACCEPT
    assert home.hear(other.data) is Verdict.IGNORE
    assert home.node.disconnects == []


def test_after_one_that_can_never_be_valid_nothing_more_of_its_bearer_is_taken_in_the_batch_and_others_are_heard():
    home = Home()
    other = builders.did(71)
    home.world.handle("a", PeerUp(other), Received(other, home.hello()))
    joins = NodeJoined(builders.did(AUTHOR), "x")
    bad = [home.block(joins, federation=builders.cid(f"another {n}")) for n in range(29)]
    outcome = home.world.handle(
        "a",
        *(
            Gossiped(b"%d" % number, BEARER, builders.did(AUTHOR), Announce((one.data,)))
            for number, one in enumerate(bad)
        ),
        Gossiped(b"good", other, builders.did(AUTHOR), Announce((home.joins.data,))),
    )
    verdicts = home.verdicts(outcome)
    assert verdicts.pop(b"0") is Verdict.REJECT
    assert verdicts.pop(b"good") is Verdict.ACCEPT
    assert set(verdicts.values()) == {Verdict.IGNORE}
    assert home.hear(bad[0].data) is Verdict.REJECT
    assert home.is_in(home.joins)


def test_our_own_blocks_are_published_once_they_are_on_disk_and_not_before():
    world = World()
    node = world.add("a", terms(joins=False))
    world.found("a", builders.policy())
    node.store.fail_next = 1
    world.ask("a", OpenAccountFor(builders.did(9)))
    trace = len(world.trace)
    with pytest.raises(Exception, match="on strike"):
        world.settle()
    assert not [effect for _, effect in world.trace[trace:] if isinstance(effect, Publish)]
    world.ask("a", OpenAccountFor(builders.did(9)))
    [said] = published(world.handle("a", *world["a"].inbox))
    [data] = said.message.blocks
    assert blocks.get_bytes(node.store, Cid.of(data, 0x71)) == data
    ours = node.engine.state.federation.federation
    assert ours is not None
    assert said.topic == topic_of(ours.id) == f"/icn/{ours.id}/blocks/1"


def test_others_blocks_are_not_published_again():
    home = Home()
    outcome = home.world.handle("a", Gossiped(b"1", BEARER, builders.did(AUTHOR), Announce((home.joins.data,))))
    own = [data for said in published(outcome) for data in said.message.blocks]
    assert home.joins.data not in own


def test_a_topic_is_subscribed_to_with_every_start_and_when_a_federation_is_found():
    world = World()
    world.add("a", terms(joins=False))
    world.add("b")
    world.found("a", builders.policy())
    assert Subscribe in [type(effect) for _, effect in world.trace]
    world.link_all()
    world.pass_time(1_000)
    assert [name for name, effect in world.trace if isinstance(effect, Subscribe)] == ["a", "b"]
    world.restart("b")
    world.settle()
    assert [name for name, effect in world.trace if isinstance(effect, Subscribe)] == ["a", "b", "b"]


def test_after_a_failed_commit_the_topic_is_subscribed_to_again():
    world = World()
    node = world.add("a", terms(joins=False))
    node.store.fail_next = 1
    with pytest.raises(Exception, match="on strike"):
        world.found("a", builders.policy())
    world.settle()
    world.found("a", builders.policy())
    assert [type(effect) for _, effect in world.trace].count(Subscribe) == 1


def lost(message: object) -> bool:
    return isinstance(message, Announce)


def test_a_node_that_died_before_it_could_publish_is_made_up_for_when_it_is_back():
    world = federation("a", "b", "c")
    node = world["a"]
    token = world.ask("a", OpenAccountFor(builders.did(50)))
    outcome = node.engine.handle(list(node.inbox))  # on disk, and then nothing of it leaves: the process is gone
    assert published(outcome)
    assert token in [reply.token for reply in outcome.replies]
    world.restart("a")
    world.link_all()
    world.pass_time(1_000)
    assert len(dict.fromkeys(world.roots())) == 1
    assert world["c"].engine.state.ledger.account(builders.did(50), node.did) is not None


def test_a_peer_that_a_publication_missed_is_told_soon_and_asks():
    world = federation("a", "b", "c")
    world.pass_time(2_000)
    for node in world.nodes.values():
        node.engine.replication.announcing.heads_sent_at = world.clock.time  # anti-entropy is five seconds away
    world.drop = lambda _from, to, message: to == "b" and lost(message)
    world.done("a", OpenAccountFor(builders.did(50)))
    assert world["b"].engine.state.ledger.account(builders.did(50), world["a"].did) is None
    world.pass_time(1_000)
    assert world["b"].engine.state.ledger.account(builders.did(50), world["a"].did) is not None


def test_what_a_publication_missed_while_other_news_were_spoken_of_is_told_soon_too():
    world = federation("a", "b")
    world.pass_time(2_000)
    for node in world.nodes.values():
        node.engine.replication.announcing.heads_sent_at = world.clock.time
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(300)  # everybody has it, and has shown so, before it is spoken of
    world.drop = lambda _from, to, message: to == "b" and lost(message)
    world.done("a", OpenAccountFor(builders.did(51)))
    world.pass_time(1_500)
    assert world["b"].engine.state.ledger.account(builders.did(51), world["a"].did) is not None


def test_who_has_shown_that_it_has_the_news_is_not_asked():
    world = federation("a", "b", "c")
    world.pass_time(6_000)
    trace = len(world.trace)
    world.done("a", OpenAccountFor(builders.did(50)))
    world.pass_time(600)  # the others acknowledge within 200 ms
    told = [effect for name, effect in world.trace[trace:] if name == "a" and isinstance(effect, Send)]
    assert [effect for effect in told if isinstance(effect.message, Heads | Want)] == []


def test_a_batch_of_any_size_is_published_in_payloads_that_the_network_takes():
    block = builders.block(1)
    many = [replace(block, data=bytes(size)) for size in (BLOCK_BYTES_MAX, 1, BLOCK_BYTES_MAX - 1, 1, *[10] * 1_000)]
    parts = _parts(many)
    payloads = [encode_message(Announce(tuple(one.data for one in part))) for part in parts]
    assert max(map(len, payloads)) <= PAYLOAD_BYTES_MAX
    assert sum(map(len, parts)) == len(many)
