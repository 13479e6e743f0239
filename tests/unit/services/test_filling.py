import subprocess
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.archive.settings import Encryption, Keys
from icn.adapters.archive.tar_gz import TarGzArchive
from icn.adapters.storage.filling import FillingInPlace
from icn.adapters.storage.memory import MemoryStore
from icn.domain.dag.block import parse_block, sign_block
from icn.kernel.ids import RAW, Cid
from icn.services.archive_check import Items, claimed
from icn.services.beginning import NO_VIEWS, Views, with_views
from icn.services.commands import PutContent
from icn.services.filling import examined, fill
from icn.services.restore_plan import ChainBroken, ForeignArchive, Link, plan
from icn.stores import backups, blocks, contents, keyspace, moving, restored, schema
from icn.stores.archive import IDENTITY, ArchiveDamaged, ArchiveKind, Entry, Part
from icn.stores.kv import Batch, StoreUnavailable
from support import builders
from support.archives import (
    NEW_STORE,
    all_here,
    assert_whole,
    back_up,
    commit_beside,
    fill_from,
    fill_into,
    fill_planned,
    held,
    history,
    nothing,
    restore_into,
)


@pytest.fixture
def world():
    return history()


def grown(world, step: int) -> None:
    world.done("a", PutContent(b"later %d" % step, RAW, pinned=False, lifetime_ms=None))
    world.submit("a")
    world.pass_time(2_000)
    batch = Batch()
    contents.change_content(
        world["a"].store.get, batch, Cid.of(b"content 1 " * 50, RAW), pinned=step % 2 == 0, expires_at=None
    )
    commit_beside(world["a"].store, batch)


def chain(world, tmp_path: Path, links: int) -> list[Path]:
    """A full backup and so many incremental ones, with something between."""
    paths = [tmp_path / "0-full.tar.gz"]
    back_up(world["a"].store, paths[0])
    for link in range(links):
        grown(world, link)
        paths.append(tmp_path / f"{link + 1}.tar.gz")
        created = f"2026-01-{link + 2:02}T00:00:00Z"
        back_up(world["a"].store, paths[-1], kind=ArchiveKind.INCREMENTAL, created=created)
    return paths


@pytest.mark.parametrize("name", ["a.tar.gz", "folder"])
def test_an_empty_store_gets_everything_and_its_node_is_held(world, tmp_path: Path, name: str) -> None:
    store = world["a"].store
    back_up(store, tmp_path / name)
    target = MemoryStore()
    done = fill_into(target, tmp_path / name)
    assert held(target) == held(store)
    assert_whole(target, world["a"].did)
    assert done.blocks == len(held(store).journal)
    assert done.content == len(held(store).content)
    assert schema.store_id(target) == NEW_STORE
    assert restored.is_restored(target)
    assert not moving.is_filling(target)


@pytest.mark.parametrize("load_bytes", [2_000, 16_000_000])
def test_it_is_the_store_that_checking_first_would_have_written(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load_bytes: int
) -> None:
    """Row for row, in batches of any size, over a chain in which content changes and comes twice."""
    monkeypatch.setattr("icn.services.filling.LOAD_BYTES", load_bytes)
    monkeypatch.setattr("icn.services.filling_signed.LOAD_BYTES", load_bytes)
    monkeypatch.setattr("icn.services.intake.KEPT_MAX", 2)
    paths = chain(world, tmp_path, 3)
    one, other = MemoryStore(), MemoryStore()
    fill_into(one, *reversed(paths))
    restore_into(other, *paths)
    assert held(one) == held(world["a"].store)
    assert dict(one.scan(b"")) == dict(other.scan(b""))


def test_incremental_backups_may_follow_later(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 2)
    target = MemoryStore()
    fill_into(target, paths[0])
    restore_into(target, *paths[1:])
    assert held(target) == held(world["a"].store)
    assert backups.origin_of(target).manifest


def test_a_missing_link_is_named_and_nothing_is_left(world, tmp_path: Path) -> None:
    paths = chain(world, tmp_path, 3)
    target = MemoryStore()
    with pytest.raises(ChainBroken, match=r"2026-01-02.*2026-01-04.*blocks \d+ to \d+"):
        fill_into(target, paths[0], paths[1], paths[3])
    with pytest.raises(ChainBroken, match="needs the full one"):
        fill_into(target, paths[2])
    assert dict(target.scan(b"")) == {}


def test_a_foreign_node_is_refused_but_as_new(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    stranger = builders.did(9)
    with pytest.raises(ForeignArchive, match="--as-new"):
        fill_into(MemoryStore(), tmp_path / "a.tar.gz", configured=stranger)
    target = MemoryStore()
    fill_into(target, tmp_path / "a.tar.gz", configured=stranger, as_new=True)
    assert schema.owner_of(target) == stranger.text
    assert not restored.is_restored(target)
    assert not held(target).local


def test_a_node_that_has_its_own_blocks_from_another_one_s_backup_is_held(world, tmp_path: Path) -> None:
    """That one may not have had the newest of them: going on from there would fork."""
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    other = world["b"].did
    target, told = MemoryStore(), MemoryStore()
    fill_into(target, tmp_path / "a.tar.gz", configured=other, as_new=True)
    assert blocks.cid_at(target, other, 0) is not None
    assert restored.is_by_tool(target)
    fill_into(told, tmp_path / "a.tar.gz", configured=other, as_new=True, no_newer_blocks=True)
    assert not restored.is_restored(told)


def test_the_operator_s_word_lets_the_node_write_at_once(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    target = MemoryStore()
    fill_into(target, tmp_path / "a.tar.gz", no_newer_blocks=True)
    assert not restored.is_restored(target)


@pytest.mark.usefixtures("cheap_passphrase")
def test_an_encrypted_archive_does_not_say_what_it_is_before_it_is_read(world, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz.age"
    back_up(world["a"].store, path, encryption=Encryption(passphrase="only an example"))
    keys = Keys(passphrase="only an example")
    assert claimed(TarGzArchive(path, keys)) is None
    target = MemoryStore()
    fill_into(target, path, keys=keys)
    assert held(target) == held(world["a"].store)


def test_the_key_file_in_an_archive_is_handed_out(world, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    back_up(world["a"].store, path, extra=[Entry(IDENTITY, b"sealed")])
    planned = plan([claimed(TarGzArchive(path, None))], MemoryStore(), configured=None, as_new=False)
    filling = FillingInPlace(MemoryStore())
    filled = fill_planned(planned, filling)
    assert filled.identity == b"sealed"
    filling.close()


def test_evidence_of_a_fork_is_kept_and_must_be_one(world, tmp_path: Path) -> None:
    store = world["a"].store
    cid = blocks.cid_at(store, world["b"].did, 0)
    block = parse_block(blocks.get_bytes(store, cid))
    twin = sign_block(replace(block.header, time=block.header.time + 1), block.records, builders.signer(2))
    batch = Batch()
    blocks.put_evidence(batch, twin)
    commit_beside(store, batch)
    back_up(store, tmp_path / "a.tar.gz")
    target = MemoryStore()
    fill_into(target, tmp_path / "a.tar.gz")
    assert target.get(keyspace.evidence(twin.cid)) is not None
    batch = Batch()
    stray = sign_block(replace(block.header, author=builders.did(9)), block.records, builders.signer(9))
    blocks.put_evidence(batch, stray)
    commit_beside(store, batch)
    back_up(store, tmp_path / "b.tar.gz", created="2026-01-05T00:00:00Z")
    with pytest.raises(ArchiveDamaged, match="proves no fork"):
        fill_into(MemoryStore(), tmp_path / "b.tar.gz")


def test_an_archive_whose_end_claims_something_else_than_its_manifest_is_refused(world, tmp_path: Path) -> None:
    """The plan is made from what stands last. It is no more than a claim."""
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    grown(world, 0)
    back_up(world["a"].store, tmp_path / "b.tar.gz", created="2026-01-05T00:00:00Z")
    path = tmp_path / "a.tar.gz"
    other = TarGzArchive(tmp_path / "b.tar.gz", None).manifest()
    source = _Claiming(path, other)
    with pytest.raises(ArchiveDamaged, match=r"seemed to be|do not reach"):
        _fill(source)


class _Claiming(TarGzArchive):
    def __init__(self, path: Path, claim: bytes) -> None:
        super().__init__(path, None)
        self._claim = claim

    def manifest(self) -> bytes | None:
        return self._claim


def _fill(source: TarGzArchive) -> None:
    planned = plan([claimed(source)], MemoryStore(), configured=None, as_new=False)
    fill_planned(planned, FillingInPlace(MemoryStore()))


def test_a_disk_that_fails_ends_the_restore_and_nothing_counts(world, tmp_path: Path) -> None:
    back_up(world["a"].store, tmp_path / "a.tar.gz")
    store = MemoryStore()
    filling = _Failing(store)
    with pytest.raises(StoreUnavailable):
        fill_from(filling, tmp_path / "a.tar.gz")
    assert moving.is_filling(store)
    again = fill_into(store, tmp_path / "a.tar.gz")
    assert again.blocks
    assert held(store) == held(world["a"].store)


class _Failing(FillingInPlace):
    """Takes nothing, not even a deletion, once it was begun."""

    def _commit(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        if len(batch) and hasattr(self, "_behind"):
            raise StoreUnavailable("the disk is on strike")
        super()._commit(batch, views)

    def discard(self) -> None:
        self._behind.end()

    def close(self) -> None:
        self._behind.end()


def test_the_filter_lets_nothing_be_overlooked(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that is far too small only costs look-ups."""
    monkeypatch.setattr("icn.services.beginning.FILTER_BITS", 64)
    paths = chain(world, tmp_path, 2)
    target = MemoryStore()
    fill_into(target, *paths)
    assert held(target) == held(world["a"].store)


def test_who_needs_no_rule_of_the_federation_imports_none() -> None:
    """They take as long as the configuration, which is read meanwhile."""
    loaded = "import sys, icn.cli.restore; print(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert {"icn.services.filling", "icn.services.restore_plan"} <= set(names)
    assert not {"icn.services.state", "icn.services.rows", "icn.domain.mesh.rules", "icn.config.schema"} & set(names)


class Room(bytearray):
    """Memory that says when nobody looks at it any more."""


class Written:
    """A store that is written to at once."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}

    def load(self, batch: Batch, views: Views = NO_VIEWS) -> None:
        self.rows.update(with_views(batch, views).operations)

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)


def test_nothing_is_looked_at_any_more_while_the_next_entry_is_waited_for(world, tmp_path: Path) -> None:
    """Or who has a few rooms waits for ever for one of them, where a write that went wrong holds on to the others."""
    (path,) = chain(world, tmp_path, 0)
    planned = plan([claimed(TarGzArchive(path, None))], MemoryStore(), configured=None, as_new=False)
    rooms: list[weakref.ref[Room]] = []

    def in_room(data: bytes | memoryview | None) -> memoryview | None:
        room = Room(data or b"")
        rooms.append(weakref.ref(room))
        return None if data is None else memoryview(room)

    def reading(link: Link) -> Iterator[tuple[Part, Items]]:
        for part, items in examined(link):
            yield part, replace(items, content=tuple((line, in_room(data)) for line, data in items.content))
            assert [room for room in rooms if room() is not None] == []

    with all_here(planned) as (_, signed):
        fill(planned, Written(), NEW_STORE, no_newer_blocks=False, on_bytes=nothing, reading=reading, signed=signed)
    assert rooms
