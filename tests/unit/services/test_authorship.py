"""A node whose store was put back: what holds it, what it does meanwhile, what releases it, what a liar can do."""

from dataclasses import replace

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.errors import InvariantBroken
from icn.kernel.instant import Duration
from icn.kernel.mana import Mana
from icn.protocol.messages import FeedCount, Heads
from icn.services.answers import Done, Refused
from icn.services.authorship import CLAIM_PATIENCE
from icn.services.commands import (
    ImportBlocks,
    NoteBackup,
    NoteDrill,
    OpenAccountFor,
    Pay,
    RecordBackup,
    ResumeAuthoring,
)
from icn.services.inputs import Received, Request, Tick
from icn.services.work import NODE_ITSELF
from icn.stores import blocks, keyspace, restored, schema
from icn.stores.archive import ArchiveKind, Position
from icn.stores.backup_schedule import MadeBackup, ProvenBackup, schedule_in
from icn.stores.backups import FinishedBackup, finished_backups
from icn.stores.kv import Batch, KeyValueStore, Properties, StoreUnavailable
from support import builders
from support.world import FaultyStore, Marks, World, federation, terms

MEMBER = builders.signer(90).did


def marked(*names: str) -> World:
    """A federation whose first node keeps head marks."""
    world = World()
    for name in names:
        world.marks[name] = Marks()
        world.add(name)
    world.found(names[0], founders=names[1:])
    world.link_all()
    world.pass_time(2_000)
    world.done(names[0], OpenAccountFor(MEMBER))
    world.pass_time(1_000)
    return world


def copy_of(world: World, name: str) -> tuple[FaultyStore, Marks]:
    store = MemoryStore()
    store.commit(Batch(dict(world[name].store.inner.scan(b""))), store.claim())
    return FaultyStore(store), replace(world.marks[name])


def put_back(
    world: World, name: str, copy: tuple[FaultyStore, Marks], *, outer: bool = True, inner: bool = True
) -> None:
    """The copy in the place of the store, with the mark beside it; and a start."""
    store, marks = copy
    world[name].store = store
    world.marks[name].inner = marks.inner if inner else None
    world.marks[name].outer = world.marks[name].outer if outer else None
    world.restart(name)


def pay(world: World, name: str = "a", key: str = "") -> Done | Refused:
    return world.do(name, Pay(MEMBER, Mana(1), ""), key=key)


def is_held(world: World, name: str = "a") -> bool:
    return world[name].engine.authorship.is_held


def copy_height(copy: tuple[FaultyStore, Marks], world: World, of: str = "a") -> int:
    return next(number for number in range(1_000) if blocks.cid_at(copy[0], world[of].did, number) is None)


def height(world: World, of: str = "a", at: str = "a") -> int:
    return world[at].engine.state.feeds.next_sequence(world[of].did)


def peaceful(world: World) -> bool:
    """Equal roots, no accusation, no evidence."""
    return len(set(world.roots())) == 1 and not any(
        node.disconnects or node.engine.state.cuts or list(blocks.evidence(node.store)) for node in world.nodes.values()
    )


def older(world: World, payments: int = 3) -> tuple[FaultyStore, Marks]:
    """A copy of A's store, from before some payments that everybody has seen."""
    copy = copy_of(world, "a")
    for number in range(payments):
        assert isinstance(pay(world, key=f"pay-{number}"), Done)
    world.pass_time(1_000)
    return copy


def test_an_ordinary_restart_is_not_held() -> None:
    world = marked("a", "b", "c")
    older(world)
    world.restart("a")
    assert not is_held(world)
    assert isinstance(pay(world), Done)


def test_an_older_store_is_held_catches_up_and_goes_on() -> None:
    world = marked("a", "b", "c")
    copy = older(world)
    newest = height(world)
    put_back(world, "a", copy)
    assert is_held(world)
    refused = pay(world)
    assert isinstance(refused, Refused)
    assert refused.code == "node.held"
    assert "icn-cli dag resume --no-newer-blocks" in refused.message
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert height(world) >= newest
    assert isinstance(pay(world), Done)
    world.pass_time(1_000)
    assert peaceful(world)
    assert not restored.is_restored(world["a"].store)


def test_what_was_done_before_is_not_done_again_under_its_key() -> None:
    world = marked("a", "b", "c")
    copy = older(world)
    put_back(world, "a", copy)
    world.link_all()
    world.pass_time(1_000)
    again = pay(world, key="pay-1")
    assert isinstance(again, Refused)
    assert again.code == "request.answer_lost"
    assert again.fields["block"].startswith("bafy")


def test_a_held_node_signs_nothing_though_everything_is_asked_of_it() -> None:
    world = marked("a", "b", "c")
    copy = older(world)
    put_back(world, "a", copy)
    before = height(world)
    world.link("a", "b")
    world.drop = lambda _source, target, message: target == "a" and type(message).__name__ in {"Blocks", "Announce"}
    world.done("b", OpenAccountFor(builders.signer(91).did))
    world.pass_time(20_000)
    assert (is_held(world), height(world)) == (True, before)
    work = world["a"].engine._take_blocks([], [Tick()])
    with pytest.raises(InvariantBroken, match="held"):
        work.record([], NODE_ITSELF)


def test_with_the_mark_a_quorum_is_enough() -> None:
    world = marked("a", "b", "c")
    copy = older(world)
    put_back(world, "a", copy)
    world.link("a", "b")
    world.pass_time(1_000)
    assert not is_held(world)


def test_without_any_mark_every_member_is_asked() -> None:
    # Of three, the one that is heard and the one that confirmed the newest block may be two different ones.
    world = marked("a", "b", "c")
    copy = copy_of(world, "a")
    world.cut("a", "b")
    world.cut("b", "c")
    assert isinstance(pay(world), Done)
    world.pass_time(1_000)
    assert height(world, at="c") > height(world, at="b")
    put_back(world, "a", copy, inner=False, outer=False)
    world.link("a", "b")
    world.pass_time(400_000, step=10_000)
    assert is_held(world), "B is not enough, however long it takes"
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert isinstance(pay(world), Done)
    world.pass_time(1_000)
    assert peaceful(world)


def test_without_any_mark_who_cannot_be_reached_is_done_without_in_the_end() -> None:
    world = marked("a", "b", "c", "d", "e")
    copy = older(world)
    put_back(world, "a", copy, inner=False, outer=False)
    for other in ("b", "c", "d"):
        world.link("a", other)
    world.pass_time(200_000, step=10_000)
    assert is_held(world)
    world.pass_time(110_000, step=10_000)
    assert not is_held(world)


def test_a_store_put_back_again_while_it_is_held_is_held_still() -> None:
    world = marked("a", "b", "c")
    first, second = copy_of(world, "a"), copy_of(world, "a")
    older(world)
    put_back(world, "a", first, inner=False, outer=False)
    assert is_held(world)
    put_back(world, "a", second)  # with the mark that was beside it then, which it is not behind
    assert is_held(world)


def test_with_the_mark_too_a_quorum_must_be_heard() -> None:
    world = marked("a", "b", "c", "d", "e")
    copy = older(world)
    put_back(world, "a", copy)
    for other in ("b", "c"):
        world.link("a", other)
    world.pass_time(400_000, step=10_000)
    assert is_held(world), "four of five are a quorum, this node among them"
    world.link("a", "d")
    world.pass_time(1_000)
    assert not is_held(world)


def test_a_store_filled_by_the_restore_on_a_new_machine_is_held() -> None:
    world = marked("a", "b", "c")
    (store, _) = older(world)
    batch = Batch()
    restored.mark_restored(batch)
    batch.delete(keyspace.about("marked"))
    store.commit(batch, store.claim())
    put_back(world, "a", (store, Marks()), inner=False, outer=False)
    assert is_held(world)
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert peaceful(world)


def test_alone_only_the_operator_releases_and_the_word_is_kept() -> None:
    world = marked("a")
    copy = copy_of(world, "a")
    assert isinstance(pay(world), Done)
    put_back(world, "a", copy)
    world.pass_time(400_000, step=10_000)
    assert is_held(world)
    stranger = world.do("a", ResumeAuthoring(), principal=MEMBER)
    assert isinstance(stranger, Refused)
    assert stranger.code == "access.operator_only"
    assert world.done("a", ResumeAuthoring()) == {"was_held": True}
    assert not is_held(world)
    assert isinstance(pay(world), Done)
    world.restart("a")
    assert not is_held(world)
    assert world.done("a", ResumeAuthoring()) == {"was_held": False}


def test_a_file_of_its_own_blocks_releases_it_where_nobody_else_can_bring_them() -> None:
    """As from a node that has left or was removed, which nobody takes anything from: its operator hands them over."""
    world = marked("a", "b")
    copy = older(world)
    newest = height(world)
    missing = range(copy_height(copy, world), newest)
    named = [blocks.cid_at(world["b"].store, world["a"].did, number) for number in missing]
    encoded = tuple(blocks.get_bytes(world["b"].store, cid) or b"" for cid in named if cid is not None)
    put_back(world, "a", copy)
    world.pass_time(2_000)
    assert is_held(world)
    assert isinstance(world.do("a", ImportBlocks(encoded)), Done)
    assert height(world) == newest
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert isinstance(pay(world), Done)
    world.pass_time(1_000)
    assert peaceful(world)


def test_a_release_whose_commit_failed_did_not_happen() -> None:
    world = marked("a")
    copy = copy_of(world, "a")
    assert isinstance(pay(world), Done)
    put_back(world, "a", copy)
    world.settle()
    node = world["a"]
    node.store.fail_next = 1
    with pytest.raises(StoreUnavailable):
        node.engine.handle([Request(1, ResumeAuthoring(), node.did, "", b"", "test")])
    assert is_held(world)
    assert isinstance(pay(world), Refused)
    assert is_held(world)


@pytest.mark.parametrize("with_marks", [True, False])
def test_a_restored_store_is_held_whatever_its_marks_say(with_marks: bool) -> None:
    """A machine that the node once lived on has a mark of that time, which the backup is not behind."""
    world = marked("a", "b", "c")
    of_then = replace(world.marks["a"])
    assert isinstance(pay(world, key="in the backup"), Done)
    (store, _) = older(world)
    batch = Batch()
    restored.mark_restored(batch)
    store.commit(batch, store.claim())
    world.isolate("a")
    put_back(world, "a", (store, of_then), inner=with_marks, outer=False)
    assert is_held(world)
    assert isinstance(pay(world), Refused)
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert not restored.is_restored(world["a"].store)
    assert peaceful(world)


def test_a_mark_of_another_federation_says_nothing_about_this_feed() -> None:
    world, other = marked("a"), marked("a", "b")
    other["a"].store = world["a"].store
    theirs = other.marks["a"].outer
    assert theirs is not None
    other.marks["a"].inner = world.marks["a"].inner
    other.marks["a"].outer = replace(theirs, federation=theirs.cid, count=99)
    other.restart("a")
    assert not is_held(other)


def test_a_node_that_lost_everything_but_its_key_is_held_when_a_peer_shows_its_feed() -> None:
    world = federation("a", "b", "c")
    world.pass_time(1_000)
    newest = height(world, "b", at="a")
    world["b"].store = FaultyStore(MemoryStore())
    world["b"].terms = replace(world["b"].terms, joins=True)
    world.restart("b")
    world.link("b", "a")
    world.settle()
    assert height(world, "b", at="b") == newest
    assert is_held(world, "b"), "C has not been heard"
    world.link_all()
    world.pass_time(10_000)
    assert not is_held(world, "b")
    assert peaceful(world)


def test_a_longer_feed_at_a_peer_holds_at_once_even_in_the_batch_that_brings_the_news() -> None:
    world = federation("a", "b", "c")
    node, liar = world["a"], world["b"].did
    said = Heads((FeedCount(node.did, 1_000),), "")
    before = height(world)
    world.handle("a", Request(7, Pay(MEMBER, Mana(1), ""), node.did, "", b"", "test"), Received(liar, said))
    answer = node.answers[7]
    assert isinstance(answer, Refused)
    assert answer.code == "node.held"
    assert height(world) == before


def test_a_member_that_lies_about_our_feed_holds_us_once_and_not_for_ever() -> None:
    world = federation("a", "b", "c")
    node, liar = world["a"], world["b"].did
    said = Heads((FeedCount(node.did, 1_000),), "")
    world.drop = lambda source, target, _message: (source, target) == ("b", "a")
    world.handle("a", Received(liar, said))
    assert is_held(world)
    world.pass_time(CLAIM_PATIENCE + 1_000, step=1_000)
    assert not is_held(world)
    world.handle("a", Received(liar, said))
    assert not is_held(world)
    assert not restored.is_restored(node.store)


def test_a_stranger_that_lies_about_our_feed_is_not_heeded() -> None:
    world = federation("a", "b")
    world.add("x", replace(terms(), joins=True))
    world.link("a", "x")
    world.settle()
    said = Heads((FeedCount(world["a"].did, 1_000),), "")
    world.handle("a", Received(world["x"].did, said))
    assert not is_held(world)


class SharedStore(FaultyStore):
    """A store that several machines share, each with marks of its own."""

    @property
    def properties(self) -> Properties:
        return replace(self.inner.properties, shared=True)


@pytest.mark.parametrize("why", ["other machines share it", "it was restored"])
def test_a_mark_of_a_machine_that_did_not_author_last_does_not_tell_where_the_feed_ends(why: str) -> None:
    world = marked("a", "b", "c")
    store = copy_of(world, "a")[0]
    assert isinstance(pay(world, key="1"), Done)
    world.pass_time(1_000)
    other_machine = replace(world.marks["a"])
    world.isolate("b")  # it does not learn what this node writes last
    assert isinstance(pay(world, key="2"), Done)
    world.pass_time(1_000)
    world.isolate("a")
    world.isolate("c")
    if why == "it was restored":
        batch = Batch()
        restored.mark_restored(batch)
        store.commit(batch, store.claim())
    else:
        store = SharedStore(store.inner)
    put_back(world, "a", (store, other_machine), outer=False)
    world.restart("a")
    world.link("a", "b")
    world.pass_time(1_000)
    assert height(world) == height(world, at="b")
    assert is_held(world), "the third member may have more than that mark names"
    world.link("a", "c")
    world.link("b", "c")
    world.pass_time(1_000)
    assert not is_held(world)
    assert peaceful(world)


def test_a_held_node_takes_note_of_backups() -> None:
    world = marked("a")
    copy = copy_of(world, "a")
    assert isinstance(pay(world), Done)
    put_back(world, "a", copy)
    assert is_held(world)
    finished = FinishedBackup("ab" * 32, "2026-11-24T00:00:00Z", ArchiveKind.FULL, Position(1, 0))
    made = MadeBackup("an archive", builders.START, 1, Duration(1))
    assert isinstance(world.do("a", RecordBackup(finished), key="by hand"), Done)
    store = (schema.store_id(world["a"].store) or b"").hex()
    world.done("a", NoteBackup(finished, made, store, "a place"))
    world.done("a", NoteDrill(ProvenBackup("an archive", builders.START, Duration(1))))
    assert finished_backups(world["a"].store) == (finished,)
    assert schedule_in(world["a"].store.get).made == made
    assert is_held(world)


def test_a_backup_that_claims_more_than_the_store_has_is_not_noted() -> None:
    world = marked("a")
    for to in (Position(10_000, 0), Position(0, 10_000)):
        finished = FinishedBackup("ab" * 32, "2026-11-24T00:00:00Z", ArchiveKind.FULL, to)
        assert isinstance(world.do("a", RecordBackup(finished), key=f"{to}"), Refused)
    assert finished_backups(world["a"].store) == ()


def test_a_store_that_was_put_back_is_another_one_and_its_next_backup_is_full() -> None:
    """It gives numbers that were given before: an incremental backup from before would not fit one from after."""
    world = marked("a", "b", "c")
    finished = FinishedBackup("ab" * 32, "2026-11-24T00:00:00Z", ArchiveKind.FULL, Position(1, 0))
    assert isinstance(world.do("a", RecordBackup(finished), key="by hand"), Done)
    was = schema.store_id(world["a"].store)
    copy = older(world)
    put_back(world, "a", copy)
    put_back_as = schema.store_id(world["a"].store)
    assert put_back_as not in {None, was}
    assert finished_backups(world["a"].store) == ()
    world.restart("a")
    assert schema.store_id(world["a"].store) == put_back_as
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert schema.store_id(world["a"].store) == put_back_as


class Placed(FaultyStore):
    """A store whose engine tells which incarnation of its data this is, and that machines share."""

    def __init__(self, inner: KeyValueStore, incarnation: str) -> None:
        super().__init__(inner)
        self.incarnation = incarnation

    @property
    def properties(self) -> Properties:
        return replace(self.inner.properties, shared=True, incarnation=self.incarnation)


@pytest.mark.parametrize("mark", ["none", "as old as the dump"])
def test_a_dump_put_back_is_noticed_where_no_mark_tells(mark: str) -> None:
    """By a process on another machine, that starts first and hears nobody."""
    world = marked("a", "b", "c")
    world["a"].store = Placed(world["a"].store.inner, "one")
    world.restart("a")
    assert isinstance(pay(world, key="1"), Done)
    world.restart("a")
    assert not is_held(world), "it goes on in its own place"
    store, marks = copy_of(world, "a")
    assert isinstance(pay(world, key="2"), Done)
    world.pass_time(1_000)
    world.isolate("a")
    put_back(world, "a", (Placed(store.inner, "two"), marks), inner=mark != "none", outer=False)
    assert is_held(world)
    assert "dump" in world["a"].engine.authorship.why
    assert isinstance(pay(world, key="3"), Refused)
    world.restart("a")
    assert is_held(world), "another start is no reason"
    world.link_all()
    world.pass_time(1_000)
    assert not is_held(world)
    assert restored.incarnation_of(world["a"].store) == "two"
    assert isinstance(pay(world, key="4"), Done)
    world.restart("a")
    assert not is_held(world)
    assert peaceful(world)


def test_a_store_that_never_knew_its_place_is_believed_and_knows_it_from_then_on() -> None:
    world = marked("a", "b")
    world["a"].store = Placed(world["a"].store.inner, "one")
    world.restart("a")
    assert not is_held(world)
    assert restored.incarnation_of(world["a"].store) == "one"
