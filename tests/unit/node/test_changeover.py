"""A node that changes its federation: broken off anywhere it is the old one or goes on, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from icn.adapters.archive.tar_gz import TarGzArchive
from icn.adapters.storage.memory import MemoryStore
from icn.domain.federation.invitation import open_invitation, read_line
from icn.domain.federation.model import JoinPolicy
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import seconds
from icn.node.changeover import Changeover
from icn.protocol.messages import Hello
from icn.services.archive_check import examine
from icn.services.commands import Init, Invite, Join, OpenAccountFor, PutContent
from icn.services.inputs import Received
from icn.services.restore import check
from icn.services.restore_plan import plan
from icn.services.verify import verify
from icn.stores import changeover, keyspace
from icn.stores.changeover import Founding
from icn.stores.joining import Aim
from icn.stores.kv import Batch, Fence, StoreUnavailable
from support import builders
from support.world import FaultyStore, Marks, World, terms

CONTENT = Cid.of(b"a recipe", RAW)
ADDRESS = "/ip4/127.0.0.1/tcp/7000"


def alone() -> World:
    """`solo`, in a federation of its own with something in it, and `home`, which lets nobody in by himself."""
    world = World()
    world.marks["solo"] = Marks()
    world.add("solo", terms(joins=False))
    world.add("home", terms(joins=False))
    world.found("solo")
    world.found("home", builders.policy(join_policy=JoinPolicy.INVITE))
    for number in range(20, 30):
        world.done("solo", OpenAccountFor(builders.did(number)))
    world.done("solo", PutContent(b"a recipe", RAW, pinned=True, lifetime_ms=None))
    return world


def changer(world: World, folder: Path) -> Changeover:
    return Changeover(world["solo"].did, folder, "test/1", "memory", world.marks["solo"])


def aim_at_home(world: World) -> Aim:
    data = read_line(str(world.done("home", Invite(seconds(3600), None, "", (ADDRESS,)))["line"]))
    return Aim(open_invitation(data).addresses, data)


def former(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def everything(store: FaultyStore) -> dict[bytes, bytes]:
    return dict(store.scan(b""))


def begin(world: World) -> None:
    world.done("solo", Join(aim_at_home(world)))


def test_a_node_that_was_alone_joins_and_its_history_stays_readable(tmp_path: Path) -> None:
    world = alone()
    solo = world["solo"]
    journal = solo.engine.state.last_arrival
    begin(world)
    changer(world, tmp_path).complete(solo.store)
    world.restart("solo")
    assert solo.engine.state.federation.federation is None
    world.link("solo", "home")
    world.pass_time(2_000)
    state = solo.engine.state
    assert state.federation.has_joined(solo.did)
    assert state.feeds.next_sequence(solo.did) >= 1
    assert world.roots()[0] == world.roots()[1]
    assert verify(solo.store, deep=True).ok
    assert solo.store.get(keyspace.block(CONTENT)) == b"a recipe", "content belongs to no federation"
    examined = examine(TarGzArchive(former(tmp_path), None), lambda _: None)
    assert not examined.findings
    nowhere = MemoryStore()
    planned = plan([examined], nowhere, configured=solo.did, as_new=False)
    check(planned, nowhere, lambda _: None)
    assert planned.newest.to.arrival == journal + 1, "all of it could be restored"


def test_a_federation_is_founded_instead(tmp_path: Path) -> None:
    world = alone()
    solo = world["solo"]
    world.done("solo", Init(Founding("bakers", (solo.did,), builders.policy())))
    changer(world, tmp_path).complete(solo.store)
    world.restart("solo")
    world.settle()
    federation = solo.engine.state.federation.federation
    assert federation is not None
    assert federation.name == "bakers"
    account = solo.engine.state.ledger.account(solo.did, solo.did)
    assert account is not None
    assert account.balance == 1000
    world.restart("solo")
    world.settle()
    assert solo.engine.state.feeds.next_sequence(solo.did) == 1, "it is founded once"
    world.done("solo", OpenAccountFor(builders.did(20)))
    assert verify(solo.store, deep=True).ok


class DyingStore(FaultyStore):
    """The process ends before, or after, one of its commits."""

    def __init__(self, inner: MemoryStore, last: int, *, after: bool) -> None:
        super().__init__(inner)
        self.left = last
        self.after = after

    def commit(self, batch: Batch, fence: Fence) -> None:
        if self.left == 0 and not self.after:
            raise StoreUnavailable("the process ended")
        super().commit(batch, fence)
        if self.left == 0:
            raise StoreUnavailable("the process ended")
        self.left -= 1


@pytest.mark.parametrize("after", [False, True])
def test_ended_at_any_commit_it_goes_on_and_ends_the_same(
    tmp_path: Path, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changeover, "KEYS_PER_BATCH", 7)
    ends: list[dict[bytes, bytes]] = []
    step = 0
    while True:
        world = alone()
        begin(world)
        node = world["solo"]
        dying = DyingStore(node.store.inner, step, after=after)
        died = False
        try:
            changer(world, tmp_path / str(step)).complete(dying)
        except StoreUnavailable:
            died = True
        if died:
            for _ in range(2):  # nothing is done twice
                changer(world, tmp_path / str(step)).complete(node.store)
        ends.append(everything(node.store))
        assert not examine(TarGzArchive(former(tmp_path / str(step)), None), lambda _: None).findings
        world.restart("solo")
        world.link("solo", "home")
        world.pass_time(2_000)
        assert node.engine.state.federation.has_joined(node.did)
        assert not node.engine.authorship.is_held
        if not died:
            break
        step += 1
    assert step > 8, "the store is emptied in several commits"
    assert all(end == ends[0] for end in ends)


def test_an_archive_that_cannot_be_written_leaves_the_node_as_it_was(tmp_path: Path) -> None:
    world = alone()
    begin(world)
    node = world["solo"]
    in_the_way = tmp_path / "former"
    in_the_way.write_text("no folder")
    changer(world, in_the_way).complete(node.store)
    assert changeover.change_of(node.store) is None
    world.restart("solo")
    world.done("solo", OpenAccountFor(builders.did(40)))
    assert node.engine.state.federation.has_joined(node.did)
    assert verify(node.store, deep=True).ok


def test_an_archive_that_reads_badly_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = alone()
    begin(world)
    node = world["solo"]
    genuine: Callable[..., object] = changeover.note_archived

    def unsound(*_: object) -> object:
        raise AssertionError("it must not be noted")

    monkeypatch.setattr(changeover, "note_archived", unsound)
    monkeypatch.setattr("icn.node.changeover.examine", lambda *_: examine(TarGzArchive(tmp_path / "none", None), id))
    changer(world, tmp_path / "former").complete(node.store)
    monkeypatch.setattr(changeover, "note_archived", genuine)
    assert changeover.change_of(node.store) is None
    world.restart("solo")
    world.done("solo", OpenAccountFor(builders.did(40)))


def test_the_head_mark_of_the_old_feed_does_not_hold_the_node_and_an_old_copy_of_the_store_is_noticed(
    tmp_path: Path,
) -> None:
    world = alone()
    node = world["solo"]
    begin(world)
    changer(world, tmp_path).complete(node.store)
    world.restart("solo")
    assert not node.engine.authorship.is_held
    copy = MemoryStore()
    batch = Batch()
    for key, value in node.store.scan(b""):
        batch.put(key, value)
    copy.commit(batch, copy.claim())
    world.link("solo", "home")
    world.pass_time(2_000)
    assert node.engine.state.federation.has_joined(node.did)
    node.store = FaultyStore(copy)
    world.restart("solo")
    assert node.engine.authorship.is_held, "its feed in the new federation has begun: it must not begin again"
    world.link("solo", "home")
    world.pass_time(5_000)
    assert not node.engine.authorship.is_held
    assert world.roots()[0] == world.roots()[1]


def test_a_federation_that_was_given_up_is_not_begun_again(tmp_path: Path) -> None:
    world = alone()
    solo, home = world["solo"], world["home"]
    given_up = solo.engine.state.federation.federation
    begin(world)
    changer(world, tmp_path).complete(solo.store)
    world.restart("solo")
    assert given_up is not None
    assert solo.engine.replication.former == (given_up.id,)
    hello = Hello("icn", given_up.id, (), "", executes=False)
    world.drop = lambda *_: True
    world.link("solo", "home")
    world.settle()
    world.handle("solo", Received(home.did, hello))
    assert "given up" in solo.disconnects[-1][1]
