"""Content's life over the API: pins, pruning, circumstances, lists, raw bytes, and CAR files out and in."""

import asyncio
import base64
import io
from dataclasses import replace
from typing import Any

import pytest

from icn.kernel.encoding import encode
from icn.kernel.ids import DAG_CBOR, DAG_PB, RAW, Cid
from icn.services.closure import StoredBlockDamaged
from icn.stores import blocks, keyspace
from icn.stores.car import MEDIA_TYPE, CarReader, encode_header, encode_section
from icn.stores.kv import Batch
from support.asgi_client import Answer
from support.http_node import HttpNode
from support.http_world import SETTINGS, World, run
from support.http_world import world as another

LEAF = b"bread"
LEAF_CID = Cid.of(LEAF, RAW)
FOLDER = encode({"of": [LEAF_CID]})
FOLDER_CID = Cid.of(FOLDER, DAG_CBOR)
NOWHERE = str(Cid.of(b"nowhere", RAW))
DAY_MS = 86_400_000


async def put(world: World, data: bytes, codec: str = "raw", **more: Any) -> Answer:
    return await world.client.post("/dag/put", {"data": base64.b64encode(data).decode(), "codec": codec, **more})


async def take(world: World, file: bytes, target: str = "/dag/import", step: int = 1000) -> Answer:
    pieces = [file[start : start + step] for start in range(0, len(file), step)] or [b""]
    headers = world.client.headers({"content-type": MEDIA_TYPE, "content-length": str(len(file))})
    return await world.client.send("POST", target, headers=headers, body=pieces)


def car(roots: list[Cid], *items: tuple[Cid, bytes]) -> bytes:
    return encode_header(roots) + b"".join(encode_section(cid, data) for cid, data in items)


def read(answer: Answer) -> tuple[list[Cid], list[Cid]]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    reader = CarReader(io.BytesIO(answer.body).read)
    return list(reader.roots), [cid for cid, _ in reader.blocks()]


def flip(node: HttpNode, cid: Cid) -> None:
    data, batch = blocks.get_bytes(node.store, cid) or b"", Batch()
    batch.put(keyspace.block(cid), bytes((data[0] ^ 1,)) + data[1:])
    node.store.commit(batch, node.engine.fence)


def test_a_pin_keeps_content_and_its_end_lets_it_go() -> None:
    async def test(world: World) -> None:
        first = await put(world, LEAF, ttl_seconds=60)
        assert first.json == {
            "cid": str(LEAF_CID),
            "size": 5,
            "new": True,
            "pinned": False,
            "seconds_left": 60,
        }
        assert (await put(world, LEAF, pin=True)).json["pinned"] is True
        world.node.clock.moment += DAY_MS * 9
        assert (await world.client.post("/dag/prune", {})).json["removed"] == 0
        unpinned = await world.client.post("/dag/unpin", {"cid": str(LEAF_CID)})
        assert unpinned.json == {"cid": str(LEAF_CID), "pinned": False, "seconds_left": 0}
        tried = await world.client.post("/dag/prune", {"dry_run": True})
        assert tried.json == {"dry_run": True, "examined": 1, "removed": 1, "removed_bytes": 5}
        assert (await world.client.post("/dag/meta", {"cid": str(LEAF_CID)})).status == 200
        done = await world.client.post("/dag/prune", {}, idempotency_key="p1")
        assert done.json["removed"] == 1
        assert (await world.client.post("/dag/prune", {}, idempotency_key="p1")).json == done.json
        gone = await world.client.post("/dag/meta", {"cid": str(LEAF_CID)})
        assert (gone.status, gone.json["code"]) == (404, "dag.not_stored")

    run(test)


def test_pinning_what_is_nowhere_is_not_found() -> None:
    async def test(world: World) -> None:
        for path in ("/dag/pin", "/dag/unpin"):
            answer = await world.client.post(path, {"cid": NOWHERE})
            assert (answer.status, answer.json["code"]) == (404, "dag.not_found")

    run(test)


def test_the_circumstances_of_content_and_of_a_signed_block() -> None:
    async def test(world: World) -> None:
        await put(world, LEAF, pin=True)
        await put(world, FOLDER, "dag-cbor", ttl_seconds=60)
        leaf = (await world.client.post("/dag/meta", {"cid": str(LEAF_CID)})).json
        assert (leaf["kind"], leaf["codec"], leaf["size"], leaf["pinned"]) == ("content", "raw", 5, True)
        assert (leaf["damaged"], leaf["kept_until"], leaf["links"]) == (False, None, [])
        assert leaf["referenced_by"] == [{"kind": "content", "name": str(FOLDER_CID)}]
        folder = (await world.client.post("/dag/meta", {"cid": str(FOLDER_CID)})).json
        assert (folder["links"], folder["link_count"], folder["reference_count"]) == ([str(LEAF_CID)], 1, 0)
        assert folder["kept_until"] == folder["expires_at"] is not None
        head = (await world.client.get("/dag/root")).json["heads"][0]
        signed = (await world.client.post("/dag/meta", {"cid": head["cid"]})).json
        assert (signed["kind"], signed["author"], signed["sequence"]) == ("signed", world.did, head["sequence"])
        assert (signed["pinned"], signed["stored_at"], signed["kept_until"]) == (None, None, None)

    run(test)


def test_a_blocks_bytes_come_as_they_are_under_their_media_type() -> None:
    async def test(world: World) -> None:
        for data, codec, number in (
            (LEAF, "raw", RAW),
            (FOLDER, "dag-cbor", DAG_CBOR),
            (b"\x0a\x00", "dag-pb", DAG_PB),
        ):
            await put(world, data, codec)
            got = await world.client.get(f"/dag/blocks/{Cid.of(data, number)}")
            assert (got.status, got.body) == (200, data)
            assert got.headers["content-type"] == f"application/vnd.ipld.{codec}"
        assert (await world.client.get(f"/dag/blocks/{NOWHERE}")).status == 404
        head = (await world.client.get("/dag/root")).json["heads"][0]
        view = (await world.client.get(f"/dag/blocks/{head['cid']}?read=true")).json
        assert view["author"] == world.did

    run(test)


def test_content_of_a_foreign_codec_must_have_its_form() -> None:
    async def test(world: World) -> None:
        answer = await put(world, b"\x08\x01", "dag-pb")
        assert (answer.status, answer.json["code"]) == (422, "invalid")

    run(test)


def test_lists_go_on_from_their_cursor() -> None:
    async def test(world: World) -> None:
        for number in range(5):
            await put(world, b"%d" % number)
        found: list[str] = []
        cursor = ""
        while True:
            page = (await world.client.get(f"/dag/blocks?limit=2{cursor}")).json
            found += [item["cid"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == [str(Cid.of(b"%d" % number, RAW)) for number in range(5)]
        signed = (await world.client.get("/dag/blocks?kind=signed")).json["items"]
        assert [item["sequence"] for item in signed] == list(range(len(signed)))
        assert (await world.client.get("/dag/blocks?cursor=zz")).status == 422

    run(test)


def test_status_adds_up() -> None:
    async def test(world: World) -> None:
        await put(world, LEAF, pin=True)
        await put(world, FOLDER, "dag-cbor")
        status = (await world.client.get("/dag/status")).json
        assert status["blocks_damaged"] == 0
        assert status["dag"]["content_blocks"] == 2
        assert status["dag"]["content_bytes"] == len(LEAF) + len(FOLDER)
        assert status["dag"]["pinned_blocks"] == 1
        assert status["dag"]["scan"]["last_finished_at"] is None
        sync = (await world.client.get("/sync/status")).json
        assert sync == {
            "root": status["dag"]["root"],
            "blocks": status["dag"]["signed_blocks"],
            "in_sync": None,
            "peers": [],
            "waiting": 0,
            "quarantine": [],
        }
        asked = await world.client.post("/sync/now", {})
        assert (asked.status, asked.json) == (200, {"asked": []}), "there is nobody to ask"
        assert (await world.client.get("/dag/evidence")).json == {"items": [], "next_cursor": None}

    run(test)


def test_a_closure_goes_out_and_into_another_node() -> None:
    async def test(world: World) -> None:
        await put(world, LEAF)
        await put(world, FOLDER, "dag-cbor")
        await put(world, b"something else")
        exported = await world.client.get(f"/dag/export?roots={FOLDER_CID}")
        assert read(exported) == ([FOLDER_CID], [FOLDER_CID, LEAF_CID])

        second = another()
        first = await take(second, exported.body, "/dag/import?pin=true", step=7)
        assert first.json == {
            "roots": [str(FOLDER_CID)],
            "new": 2,
            "known": 0,
            "refused": 0,
            "reasons": [],
            "pinned": [str(FOLDER_CID)],
            "missing": 0,
            "missing_names": [],
        }
        assert (await take(second, exported.body)).json["known"] == 2
        second.node.clock.moment += DAY_MS * 9
        assert (await second.client.post("/dag/prune", {})).json["removed"] == 0

    run(test)


def test_everything_goes_out_signed_blocks_in_the_order_they_came() -> None:
    async def test(world: World) -> None:
        await put(world, LEAF)
        roots, names = read(await world.client.get("/dag/export"))
        heads = [head["cid"] for head in (await world.client.get("/dag/root")).json["heads"]]
        assert [str(root) for root in roots] == heads
        arrived = [cid for _, cid in blocks.journal(world.node.store)]
        assert names == [*arrived, LEAF_CID]

    run(test)


def test_signed_blocks_that_are_here_are_known() -> None:
    async def test(world: World) -> None:
        await world.job()
        journal = [(cid, blocks.get_bytes(world.node.store, cid) or b"") for _, cid in blocks.journal(world.node.store)]
        answer = (await take(world, car([], *journal))).json
        assert (answer["new"], answer["known"], answer["refused"]) == (0, len(journal), 0)

    run(test)


@pytest.mark.parametrize("cut", [0, 1], ids=["the root", "what it links to"])
def test_a_file_that_was_cut_between_two_blocks_is_not_taken_for_whole(cut: int) -> None:
    """Nothing in the file tells but its roots, and what they link to."""

    async def test(world: World) -> None:
        whole = [(FOLDER_CID, FOLDER), (LEAF_CID, LEAF)]
        answer = (await take(world, car([FOLDER_CID], *whole[:cut]), "/dag/import?pin=true")).json
        assert (answer["new"], answer["refused"]) == (cut, 0)
        assert (answer["missing"], answer["missing_names"]) == (1, [str([FOLDER_CID, LEAF_CID][cut])])
        again = (await take(world, car([FOLDER_CID], *whole), "/dag/import?pin=true")).json
        assert (again["missing"], again["pinned"]) == (0, [str(FOLDER_CID)])
        flip(world.node, FOLDER_CID)
        damaged = (await take(world, car([FOLDER_CID], (LEAF_CID, LEAF)))).json
        assert damaged["missing_names"] == [str(FOLDER_CID)]

    run(test)


def test_what_a_signed_block_names_may_be_gone() -> None:
    async def test(world: World) -> None:
        await world.job()
        heads, names = read(await world.client.get("/dag/export"))
        signed = [(cid, blocks.get_bytes(world.node.store, cid) or b"") for cid in names if cid.codec == DAG_CBOR]
        assert len(signed) < len(names)
        answer = (await take(another(), car(heads, *signed))).json
        assert answer["missing"] == 0

    run(test)


def test_a_file_that_breaks_off_keeps_what_came_whole() -> None:
    async def test(world: World) -> None:
        file = car([], (LEAF_CID, LEAF)) + b"\0"
        answer = await take(world, file)
        assert (answer.status, answer.json["code"]) == (422, "invalid")
        damaged = car([], (LEAF_CID, b"dread"))
        assert (await take(world, damaged)).status == 422
        assert blocks.get_bytes(world.node.store, LEAF_CID) in {None, LEAF}

    run(test)


def test_blocks_that_are_not_ours_are_counted_and_the_rest_is_taken() -> None:
    async def test(world: World) -> None:
        foreign = b"\x01\x55\x13\x40" + bytes(64)
        file = encode_header([]) + bytes((len(foreign) + 4,)) + foreign + b"data" + encode_section(LEAF_CID, LEAF)
        file += encode_section(Cid.of(b"\x18\x01", DAG_CBOR), b"\x18\x01")
        answer = (await take(world, file)).json
        assert (answer["new"], answer["refused"]) == (1, 2)
        assert "not stored here" in answer["reasons"][0]["reason"]

    run(test)


def test_an_import_is_a_car_and_bounded() -> None:
    async def test(world: World) -> None:
        assert (await world.client.post("/dag/import", {})).status == 415
        headers = world.client.headers({"content-type": MEDIA_TYPE})
        empty = await world.client.send("POST", "/dag/import", headers=headers, body=b"")
        assert (empty.status, empty.json["code"]) == (422, "invalid")
        assert (await world.stranger.send("POST", "/dag/import", headers=world.stranger.headers())).status == 401

    run(test)


def test_the_body_of_an_import_is_bounded_as_it_comes() -> None:
    file = car([], *[(LEAF_CID, LEAF)] * 10)
    small = another(replace(SETTINGS, import_body_bytes_max=len(file) - 1))

    async def test() -> None:
        answer = await take(small, file, step=20)
        assert (answer.status, answer.json["code"]) == (413, "http.body_too_large")
        headers = small.client.headers({"content-type": MEDIA_TYPE, "transfer-encoding": "chunked"})
        answer = await small.client.send("POST", "/dag/import", headers=headers, body=[file[:30], file[30:]])
        assert answer.status == 413

    asyncio.run(test())


def test_a_damaged_block_is_served_nowhere() -> None:
    async def test(world: World) -> None:
        await put(world, LEAF, pin=True)
        flip(world.node, LEAF_CID)
        got = await world.client.post("/dag/get", {"cid": str(LEAF_CID)})
        assert (got.status, got.json["code"]) == (404, "dag.damaged")
        assert (await world.client.get(f"/dag/blocks/{LEAF_CID}")).status == 404
        assert (await world.client.post("/dag/meta", {"cid": str(LEAF_CID)})).json["damaged"] is True
        with pytest.raises(StoredBlockDamaged):
            await world.client.get("/dag/export")
        assert (await put(world, LEAF)).json["new"] is False
        assert (await world.client.post("/dag/get", {"cid": str(LEAF_CID)})).status == 200

    run(test)
