"""A running node's backup, read through the API."""

import asyncio
import io
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from icn.adapters.archive.tar_gz import TarGzFile
from icn.adapters.archive.writing import write_archive
from icn.adapters.storage.memory import MemoryStore
from icn.http import backup
from icn.http.operations import Streams
from icn.http.problems import Disconnected, answering
from icn.kernel.ids import RAW, Cid
from icn.services.closure import StoredBlockDamaged
from icn.services.commands import PutContent
from icn.stores import backups, keyspace, tar
from icn.stores.archive import MANIFEST, Entry, read_manifest, size_max
from icn.stores.kv import Batch
from support.archives import held, nothing, restore_into
from support.http_world import World, run


def files_of(body: bytes) -> list[tuple[str, bytes]]:
    return list(tar.read_entries(io.BytesIO(body).read, size_max))


def test_the_stream_is_an_archive_that_restores_to_the_same(tmp_path: Path) -> None:
    async def talk(world: World) -> None:
        await world.job()
        answer = await world.client.get("/dag/backup")
        assert answer.status == 200
        (name, draft), *parts = files_of(answer.body)
        assert name == MANIFEST
        files = TarGzFile(tmp_path / "a.tar.gz", seconds=0, encryption=None, replace=False)
        write_archive(files, None, read_manifest(draft), (), [Entry(*part) for part in parts], nothing)
        files.close()
        target = MemoryStore()
        restore_into(target, tmp_path / "a.tar.gz")
        assert held(target) == held(world.node.store)

    run(talk)


def test_a_finished_backup_is_what_the_next_incremental_one_goes_on_from() -> None:
    async def talk(world: World) -> None:
        refused = await world.client.get("/dag/backup?kind=incremental")
        assert (refused.status, refused.json["code"]) == (409, "backup.none_before")
        first = read_manifest(files_of((await world.client.get("/dag/backup")).body)[0][1])
        to = {"arrival": first.to.arrival, "change": first.to.change}
        body = {"manifest": "ab" * 32, "created": first.created, "kind": "full", "to": to}
        assert (await world.client.post("/admin/backups", body)).status == 200
        assert [item.manifest for item in backups.finished_backups(world.node.store)] == ["ab" * 32]
        await world.job()
        second = read_manifest(files_of((await world.client.get("/dag/backup?kind=incremental")).body)[0][1])
        assert (second.since, second.parent) == (first.to, "ab" * 32)

    run(talk)


def test_since_before_there_was_anything_is_everything() -> None:
    async def talk(world: World) -> None:
        await world.job()
        answer = await world.client.get("/dag/backup?kind=incremental&since=1960-01-01")
        assert answer.status == 200
        draft = read_manifest(files_of(answer.body)[0][1])
        assert (draft.since.arrival, draft.since.change) == (0, 0)

    run(talk)


def test_a_damaged_block_breaks_it_off_and_is_looked_for() -> None:
    async def talk(world: World) -> None:
        node, cid = world.node, Cid.of(b"bread", RAW)
        node.ask(PutContent(b"bread", RAW, pinned=True, lifetime_ms=None))
        batch = Batch()
        batch.put(keyspace.block(cid), b"stone")
        node.store.commit(batch, node.engine.fence)
        with pytest.raises(StoredBlockDamaged):
            await world.client.get("/dag/backup")
        assert list(node.engine.content.damage.found) == [cid]

    run(talk)


def test_it_goes_on_from_where_an_earlier_attempt_ended() -> None:
    async def talk(world: World) -> None:
        await world.job()
        manifest = read_manifest(files_of((await world.client.get("/dag/backup")).body)[0][1])
        query = f"next_arrival={manifest.to.arrival}&next_change=0&block_parts=3&content_parts=4"
        names = [name for name, _ in files_of((await world.client.get(f"/dag/backup?{query}")).body)]
        assert not [name for name in names if name.startswith("blocks/")]

    run(talk)


def test_only_the_operator_has_it_and_wrong_queries_are_refused() -> None:
    async def talk(world: World) -> None:
        assert (await world.stranger.get("/dag/backup")).status == 401
        assert (await world.stranger.post("/admin/backups", {})).status == 401
        for query in ("kind=half", "next_arrival=-1", "since=yesterday&kind=incremental", "whatever=1"):
            assert (await world.client.get(f"/dag/backup?{query}")).status in {400, 422}, query
        wrong = {"manifest": "../..", "created": "now", "kind": "full", "to": {"arrival": 0, "change": 0}}
        assert (await world.client.post("/admin/backups", wrong)).status == 422

    run(talk)


def test_as_many_as_may_are_read_at_a_time() -> None:
    async def talk(world: World) -> None:
        together = [world.client.get("/dag/backup") for _ in range(backup.STREAMS_MAX + 1)]
        statuses = sorted(answer.status for answer in await asyncio.gather(*together))
        assert statuses == [200] * backup.STREAMS_MAX + [429]
        assert (await world.client.get("/dag/backup")).status == 200, "each gives its place back"

    run(talk)


def test_a_reader_that_takes_nothing_is_let_go_and_that_is_no_error_of_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backup, "STALL_SECONDS", 0.01)

    async def never(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def gone() -> dict[str, object]:
        await asyncio.Event().wait()
        raise AssertionError("it stays connected")

    class Closing:
        closed = False

        def close(self) -> None:
            self.closed = True

    async def nobody_asks(_cid: object) -> None:
        raise AssertionError("nothing is damaged")

    snapshot, streams = Closing(), Streams(1)
    response = backup._BackupResponse(streams, snapshot, (piece for piece in (b"one", b"two")), nobody_asks)

    async def talk() -> None:
        with capture_logs() as logs, pytest.raises(Disconnected):
            await answering(response, {"type": "http"}, gone, never, correlation="c")
        assert [(line["event"], line["log_level"]) for line in logs] == [("backup reader let go", "warning")]

    asyncio.run(talk())
    assert snapshot.closed
    assert streams.count == 0
