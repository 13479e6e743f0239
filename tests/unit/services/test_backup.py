from pathlib import Path

import pytest

from icn.adapters.storage.memory import MemoryStore
from icn.kernel.ids import RAW, Cid
from icn.services.backup import NoBackupBefore, NothingToBackUp, draft, entries
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import PutContent
from icn.stores import archive_parts, blocks, contents, keyspace
from icn.stores.archive import ArchiveKind, Position, Reached
from icn.stores.archive_parts import read_car
from icn.stores.kv import Batch
from support.archives import back_up, commit_beside, held, history, order, restore_into


def parts(store, since=None, kind=ArchiveKind.FULL):
    manifest = draft(store, order(kind, since))
    return manifest, {entry.name: entry.data for entry in entries(store, manifest, Reached(manifest.since))}


def test_a_full_backup_holds_every_block_in_order_and_all_content() -> None:
    world = history()
    store = world["a"].store
    manifest, found = parts(store)
    journal = [cid for _, cid in blocks.journal(store)]
    assert [cid for cid, _ in read_car(found["blocks/000001.car"])] == journal
    lines = list(archive_parts.read_content_lines(found["content/000001.jsonl"]))
    assert [line.cid for line in lines] == [cid for _, cid in contents.changes(store)]
    assert [cid for cid, _ in read_car(found["content/000001.car"])] == [line.cid for line in lines]
    assert manifest.root == world["a"].engine.state.feeds.root()
    assert manifest.counts.blocks == len(journal) == manifest.to.arrival
    assert manifest.since == Position(0, 0)
    assert not manifest.clock_since


@pytest.mark.parametrize("kind", ["content", "signed"])
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_what_is_damaged_here_makes_no_backup(kind: str, damage: str) -> None:
    """It would be written with success, and refused whole on the day it is needed."""
    store = history()["a"].store
    lists = {"content": contents.changes(store), "signed": blocks.journal(store)}
    cid = next(cid for _, cid in lists[kind])
    data, batch = blocks.get_bytes(store, cid) or b"", Batch()
    if damage == "flipped":
        batch.put(keyspace.block(cid), bytes((data[0] ^ 1,)) + data[1:])
    else:
        batch.delete(keyspace.block(cid))
    commit_beside(store, batch)
    with pytest.raises(StoredBlockDamaged, match=str(cid)):
        parts(store)


def test_an_empty_store_is_not_backed_up() -> None:
    with pytest.raises(NothingToBackUp):
        draft(MemoryStore(), order())


def test_since_the_last_backup_needs_one() -> None:
    with pytest.raises(NoBackupBefore):
        draft(history()["a"].store, order(ArchiveKind.INCREMENTAL))


def test_an_incremental_backup_holds_what_came_since_and_of_what_changed_only_the_line(tmp_path: Path) -> None:
    world = history()
    store = world["a"].store
    full = back_up(store, tmp_path / "full.tar.gz")
    world.done("a", PutContent(b"new", RAW, pinned=False, lifetime_ms=None))
    world.submit("a")
    world.pass_time(2_000)
    old = Cid.of(b"content 1 " * 50, RAW)
    batch = Batch()
    contents.change_content(store.get, batch, old, pinned=True, expires_at=None)
    commit_beside(store, batch)

    manifest, found = parts(store, kind=ArchiveKind.INCREMENTAL)
    assert (manifest.since, manifest.parent) == (full.manifest.to, full.sha256)
    assert [cid for cid, _ in read_car(found["blocks/000001.car"])] == [
        cid for _, cid in blocks.journal(store, full.manifest.to.arrival - 1)
    ]
    lines = {line.cid: line for line in archive_parts.read_content_lines(found["content/000001.jsonl"])}
    assert not lines[old].has_bytes
    assert lines[old].pinned
    assert lines[Cid.of(b"new", RAW)].has_bytes
    assert old not in dict(read_car(found["content/000001.car"]))
    assert manifest.clock_since == full.manifest.clock_to


def test_since_a_date_reaches_back_to_the_mark_before_it() -> None:
    world = history()
    when = world.clock.time
    before = held(world["a"].store)
    world.pass_time(700_000, step=100_000)
    world.done("a", PutContent(b"much later", RAW, pinned=False, lifetime_ms=None))
    manifest, found = parts(world["a"].store, since=when, kind=ArchiveKind.INCREMENTAL)
    assert manifest.parent is None
    lines = [line.cid for line in archive_parts.read_content_lines(found["content/000001.jsonl"])]
    assert Cid.of(b"much later", RAW) in lines
    assert manifest.since.arrival <= len(before.journal)


def test_parts_are_bounded_and_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn.services.backup.PART_BYTES", 1_000)
    store = history(30)["a"].store
    back_up(store, tmp_path / "a.tar.gz")
    _, found = parts(store)
    assert sum(name.startswith("content/") for name in found) > 4
    assert all(len(data) < 3_000 for name, data in found.items() if name.startswith("content/"))
    target = MemoryStore()
    restore_into(target, tmp_path / "a.tar.gz")
    assert held(target) == held(store)
