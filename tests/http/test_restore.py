"""Parts of a backup put back into a node that runs, through the API."""

from collections.abc import Sequence

from icn.domain.dag.block import parse_block
from icn.http.app import create_app
from icn.kernel.ids import RAW, Cid
from icn.kernel.instant import Instant
from icn.stores import blocks, contents, keyspace, tar
from icn.stores.archive_parts import ContentLine, write_car, write_content_line
from icn.stores.kv import Batch
from support.asgi_client import Answer, Client
from support.http_node import START, HttpNode, signer_of
from support.http_world import KEY, SETTINGS, World, run

Items = list[tuple[Cid, bytes]]
HOUR_MS = 3_600_000
OTHER = str(signer_of(9).did)


def around(node: HttpNode, world: World) -> World:
    """The surface of a node that has founded nothing."""
    return World(node, Client(create_app(node, SETTINGS), KEY), world.stranger)


def tarred(files: Sequence[tuple[str, bytes]]) -> bytes:
    pieces = [
        part for name, data in files for part in (tar.entry_head(name, len(data), 0), data, tar.padding(len(data)))
    ]
    return b"".join(pieces) + tar.END


async def post(world: World, body: bytes, query: str = "", media_type: str = tar.MEDIA_TYPE) -> Answer:
    headers = world.client.headers({"content-type": media_type, "content-length": str(len(body))})
    return await world.client.send("POST", f"/admin/restore{query}", headers=headers, body=body)


def content(*items: tuple[bytes, bool, int | None], stored_at: int = START) -> list[tuple[str, bytes]]:
    named = [(Cid.of(data, RAW), data) for data, _, _ in items]
    lines = b"".join(
        write_content_line(
            ContentLine(
                Cid.of(data, RAW),
                len(data),
                Instant(stored_at),
                pinned,
                None if end is None else Instant(end),
                0,
                has_bytes=True,
            )
        )
        for data, pinned, end in items
    )
    return [("content/000001.jsonl", lines), ("content/000001.car", write_car(named))]


def journal(node: HttpNode) -> Items:
    return [(cid, blocks.get_bytes(node.store, cid) or b"") for _, cid in blocks.journal(node.store, -1)]


def kept(node: HttpNode, data: bytes) -> tuple[int, bool, int | None]:
    meta = contents.get_content_meta(node.store, Cid.of(data, RAW))
    assert meta is not None
    return meta.stored_at, meta.pinned, meta.expires_at


def test_content_comes_with_its_life_and_what_is_here_keeps_its_own() -> None:
    async def talk(world: World) -> None:
        await world.client.post("/dag/put", {"data": "aGVyZQ==", "pin": True})  # here
        earlier = START - HOUR_MS
        parts = content(
            (b"pinned", True, None), (b"leased", False, START + HOUR_MS), (b"here", False, None), stored_at=earlier
        )
        answer = await post(world, tarred(parts))
        assert answer.status == 200, answer.body
        assert (answer.json["content_new"], answer.json["content_known"], answer.json["refused"]) == (2, 1, 0)
        assert kept(world.node, b"pinned") == (earlier, True, None)
        assert kept(world.node, b"leased") == (earlier, False, START + HOUR_MS)
        assert kept(world.node, b"here") == (START, True, None)

    run(talk)


def test_what_is_damaged_here_is_asked_for_and_mended() -> None:
    async def talk(world: World) -> None:
        await world.job()
        node = world.node
        await post(world, tarred(content((b"bread", True, None))))
        signed, bread = journal(node)[0], Cid.of(b"bread", RAW)
        names = [str(signed[0]), str(bread), str(Cid.of(b"nowhere", RAW))]
        asked = {"cids": [*names, str(journal(node)[1][0])]}
        batch = Batch()
        batch.put(keyspace.block(signed[0]), b"stone")
        batch.delete(keyspace.block(bread))
        node.store.commit(batch, node.engine.fence)
        answer = (await world.client.post("/admin/restore/lacking", asked)).json
        assert answer == {"cids": names[2:], "damaged": names[:2]}
        told = await post(world, tarred([("blocks/000001.car", write_car([signed])), *content((b"bread", True, None))]))
        assert (told.json["blocks_known"], told.json["content_known"], told.json["refused"]) == (1, 1, 0)
        assert blocks.get_bytes(node.store, signed[0]) == signed[1]
        assert blocks.get_bytes(node.store, bread) == b"bread"
        assert (await world.client.post("/admin/restore/lacking", asked)).json["damaged"] == []

    run(talk)


def test_content_that_claims_to_be_of_the_future_is_of_now() -> None:
    async def talk(world: World) -> None:
        await post(world, tarred(content((b"later", False, None), stored_at=START + HOUR_MS)))
        assert kept(world.node, b"later") == (START, False, None)

    run(talk)


def test_what_a_backup_says_wrongly_is_refused_and_the_rest_is_taken() -> None:
    async def talk(world: World) -> None:
        (lines_name, lines), _ = content((b"good", False, None), (b"bad", False, None))
        good, bad = Cid.of(b"good", RAW), Cid.of(b"bad", RAW)
        answer = await post(
            world, tarred([(lines_name, lines), ("content/000001.car", write_car([(bad, b"evil"), (good, b"good")]))])
        )
        assert (answer.json["content_new"], answer.json["refused"]) == (1, 1)
        assert answer.json["reasons"] == [{"cid": str(bad), "reason": "its bytes have another name"}]
        no_line = await post(world, tarred([("content/000001.car", write_car([(good, b"good")]))]))
        assert (no_line.status, "no line says" in no_line.json["detail"]) == (422, True)

    run(talk)


def test_a_node_in_no_federation_takes_the_one_it_is_told_and_is_held_once_it_sees_its_own_blocks() -> None:
    async def talk(world: World) -> None:
        for _ in range(3):
            await world.job()
        written = journal(world.node)
        fresh = around(HttpNode(), world)
        genesis = written[0][0]
        shown = await post(fresh, tarred([("blocks/000001.car", write_car(written[-1:]))]), f"?federation={genesis}")
        assert (shown.json["refused"], "ancestor" in shown.json["reasons"][0]["reason"]) == (1, True)
        assert fresh.node.live().held
        taken = await post(fresh, tarred([("blocks/000001.car", write_car(written))]), f"?federation={genesis}")
        assert (taken.json["blocks_new"], taken.json["refused"]) == (len(written), 0)
        assert journal(fresh.node) == written
        held = await post(fresh, tarred(content((b"while held", True, None))))
        assert held.json["content_new"] == 1
        again = await post(fresh, tarred([("blocks/000001.car", write_car(written))]))
        assert (again.json["blocks_new"], again.json["blocks_known"]) == (0, len(written))

    run(talk)


def test_a_block_beside_ones_own_shows_a_fork_and_the_node_signs_no_more() -> None:
    async def talk(world: World) -> None:
        await world.job()
        other = HttpNode()
        shared = journal(world.node)[:1]
        genesis = shared[0][0]
        branch = around(other, world)
        await post(branch, tarred([("blocks/000001.car", write_car(shared))]), f"?federation={genesis}")
        await branch.client.post("/admin/resume", {"no_newer_blocks": True})
        other.clock.moment += 1
        assert (await branch.client.post("/account/open", {"did": OTHER})).status == 201
        forked = [(cid, data) for cid, data in journal(other) if parse_block(data).header.sequence == 1]
        taken = await post(world, tarred([("evidence/000001.car", write_car(forked))]))
        assert (taken.json["blocks_new"], taken.json["refused"]) == (1, 0), taken.body
        again = await post(world, tarred([("blocks/000001.car", write_car(forked))]))
        assert (again.json["blocks_new"], again.json["blocks_known"], again.json["refused"]) == (0, 1, 0), again.body
        (fork,) = (await world.client.get("/dag/evidence")).json["items"]
        assert str(forked[0][0]) in {fork["first"], fork["second"]}
        held = (await world.client.get("/status")).json["writer"]["held"]
        assert held.startswith("two different blocks were signed with this node's key")

    run(talk)


def test_it_is_told_what_is_lacking() -> None:
    async def talk(world: World) -> None:
        await world.client.post("/dag/put", {"data": "aGVyZQ=="})
        head, here, away = journal(world.node)[0][0], Cid.of(b"here", RAW), Cid.of(b"away", RAW)
        answer = await world.client.post("/admin/restore/lacking", {"cids": [str(cid) for cid in (head, away, here)]})
        assert answer.json == {"cids": [str(away)], "damaged": []}
        many = await world.client.post("/admin/restore/lacking", {"cids": [str(away)] * 4097})
        assert many.status == 422

    run(talk)


def test_only_the_operator_restores_and_only_parts_of_a_backup_are_taken() -> None:
    async def talk(world: World) -> None:
        assert (await world.stranger.post("/admin/restore/lacking", {"cids": []})).status == 401
        assert (await world.stranger.post("/admin/restore", {})).status == 401
        assert (await post(world, tar.END, media_type="application/json")).status == 415
        part = write_car([(Cid.of(b"x", RAW), b"x")])
        whole = tarred([("blocks/000001.car", part)])
        for body in (
            b"",
            b"no tar",
            whole[:700],
            tarred([("local/000001.jsonl", b"{}\n")]),
            tarred([("identity/node.key", b"key")]),
            tarred([("../evil", b"")]),
            tarred([("blocks/000001.car", b"no car")]),
            tarred([("content/000001.jsonl", b"no lines")]),
        ):
            answer = await post(world, body)
            assert answer.status == 422, (body[:40], answer.body)
        assert (await post(world, whole, "?federation=nonsense")).status == 422

    run(talk)
