"""The CAR tools of IPFS read what we export, and we take what they make: the same names, the same bytes."""

import asyncio
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from icn.kernel.ids import Cid, ForeignCid
from icn.stores import blocks
from icn.stores.car import MEDIA_TYPE
from support.http_world import World
from support.http_world import world as new_world
from support.libp2p_judges import HERE, node_program

pytestmark = [pytest.mark.slow, pytest.mark.node22]

NODE_SECS_MAX = 60


def tool(*words: str) -> dict[str, Any]:
    """What car.mjs says."""
    program = [str(node_program()), str(HERE / "js" / "car.mjs"), *words]
    ran = subprocess.run(program, capture_output=True, timeout=NODE_SECS_MAX, check=True)
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def run(test: Any) -> None:
    asyncio.run(test(new_world()))


async def take(world: World, file: bytes) -> dict[str, Any]:
    headers = world.client.headers({"content-type": MEDIA_TYPE, "content-length": str(len(file))})
    pieces = [file[start : start + 65_536] for start in range(0, len(file), 65_536)]
    answer = await world.client.send("POST", "/dag/import?pin=true", headers=headers, body=pieces)
    assert answer.status == 200, answer.body
    taken: dict[str, Any] = answer.json
    return taken


@pytest.mark.parametrize("version", [0, 1])
def test_files_and_folders_of_ipfs_come_in_and_go_out_again(tmp_path: Path, version: int) -> None:
    made = tool("write", str(tmp_path / "in.car"), str(version))
    written = {block["cid"]: block["digest"] for block in made["blocks"]}
    assert len(written) >= 5

    async def test(world: World) -> None:
        taken = await take(world, (tmp_path / "in.car").read_bytes())
        assert (taken["new"], taken["refused"], taken["pinned"]) == (len(written), 0, made["roots"])
        for name, digest in written.items():
            stored = blocks.get_bytes(world.node.store, Cid.parse(name))
            assert stored is not None
            assert hashlib.sha256(stored).hexdigest() == digest
        world.node.clock.moment += 100 * 86_400_000
        assert (await world.client.post("/dag/prune", {})).json["removed"] == 0  # all hangs on the pinned root
        exported = await world.client.get(f"/dag/export?roots={made['roots'][0]}")
        (tmp_path / "out.car").write_bytes(exported.body)

    run(test)
    read = tool("read", str(tmp_path / "out.car"))
    assert read["roots"] == made["roots"]
    assert {block["cid"]: block["digest"] for block in read["blocks"]} == written
    assert all(block["named"] for block in read["blocks"])


def test_a_whole_dag_of_ours_is_read_by_the_tools_of_ipfs(tmp_path: Path) -> None:
    names: list[str] = []
    roots: list[str] = []

    async def test(world: World) -> None:
        await world.job(b"bread")
        await world.client.post("/dag/put", {"data": "aGVsbG8="})
        for kind in ("signed", "content"):
            page = (await world.client.get(f"/dag/blocks?kind={kind}&limit=500")).json
            names.extend(item["cid"] for item in page["items"])
        roots.extend(head["cid"] for head in (await world.client.get("/dag/root")).json["heads"])
        (tmp_path / "out.car").write_bytes((await world.client.get("/dag/export")).body)

    run(test)
    read = tool("read", str(tmp_path / "out.car"))
    assert [block["cid"] for block in read["blocks"]] == names
    assert read["roots"] == roots
    assert all(block["named"] for block in read["blocks"])


def test_both_sides_call_a_cid_of_version_0_the_same(tmp_path: Path) -> None:
    tool("write", str(tmp_path / "in.car"), "0")
    read = tool("read", str(tmp_path / "in.car"))
    old = [block["cid"] for block in read["blocks"] if block["cid"].startswith("Qm")]
    made = {block["digest"] for block in read["blocks"] if block["cid"].startswith("Qm")}
    assert old
    ours = {str(ForeignCid(b"\x12\x20" + bytes.fromhex(digest))) for digest in made}
    assert ours == set(old)
