"""The API's document is changed on purpose: `openapi.json` at the root of the repository is what is served."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from icn import __version__
from icn.http.app import OPERATIONS
from icn.http.openapi import document
from support.http_world import World, run

COMMITTED = Path(__file__).resolve().parents[2] / "openapi.json"


MEMBERSHIP = ("invite", "invitations/revoke", "join", "leave", "remove", "init")


def written() -> str:
    """The document as it is committed."""
    return json.dumps(document(OPERATIONS, __version__), indent=1, ensure_ascii=False) + "\n"


def test_the_committed_document_is_the_one_served() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == written(), "write it anew, and look at the difference"


def test_it_is_served() -> None:
    async def test(world: World) -> None:
        served = (await world.client.get("/openapi.json")).json
        assert served["openapi"] == "3.1.0"
        assert served["paths"] == json.loads(written())["paths"]

    run(test)


def _fits(value: Any, schema: dict[str, Any], where: str) -> None:
    """Whether a value is what the schema says: the part of JSON Schema that the renderer uses."""
    if "anyOf" in schema:
        chosen = schema["anyOf"][1 if value is None else 0]
        _fits(value, chosen, where)
        return
    if "enum" in schema:
        assert value in schema["enum"], where
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}
    if "type" in schema:
        assert type(value) is kinds[schema["type"]], where
    if "const" in schema:
        assert value == schema["const"], where
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), where
        for name, inner in value.items():
            _fits(inner, schema["properties"][name], f"{where}.{name}")
    if isinstance(value, list):
        for item in value:
            _fits(item, schema["items"], f"{where}[]")


@pytest.mark.slow
def test_every_answer_is_what_the_document_says() -> None:
    paths = document(OPERATIONS, "0")["paths"]
    seen: set[tuple[str, str]] = set()

    async def test(world: World) -> None:
        async def check(method: str, path: str, target: str, body: Any = None) -> Any:
            answer = await (world.client.get(target) if method == "get" else world.client.post(target, body))
            (status,) = (s for s in paths[path][method]["responses"] if re.fullmatch("2..", s))
            assert answer.status == int(status), answer.body
            (media_type,) = paths[path][method]["responses"][status]["content"].items()
            if media_type[0] == "application/json":
                _fits(answer.json, media_type[1]["schema"], path)
            seen.add((method, path))
            return answer

        member = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
        for path in (
            *("/health", "/ready", "/info", "/status", "/metrics", "/dag/root", "/dag/verify", "/mana/supply"),
            *(
                "/mesh/executors",
                "/mesh/unsettled",
                "/mesh/metrics",
                "/federation/status",
                "/federation/members",
                "/federation/peers",
                "/federation/invitations",
                "/network/peers",
                "/network/local-peer-id",
                "/events",
            ),
        ):
            await check("get", path, path)
        await check("post", "/account/open", "/account/open", {"did": member})
        await check("get", "/account/{did}/mana", f"/account/{member}/mana")
        put = await check("post", "/dag/put", "/dag/put", {"data": "aGk="})
        await check("post", "/dag/get", "/dag/get", {"cid": put.json["cid"]})
        job = (await check("post", "/mesh/submit", "/mesh/submit", {"max_price": 100})).json["job_id"]
        for path in ("/mesh/jobs/{job_id}", "/mesh/jobs/{job_id}/output", "/mesh/jobs/{job_id}/progress"):
            await check("get", path, path.replace("{job_id}", job))
        await check("get", "/mesh/jobs/{job_id}/stream", f"/mesh/jobs/{job}/stream")
        by_job = await check("get", "/mesh/receipts/{cid}", f"/mesh/receipts/{job}")
        await check("get", "/mesh/receipts/{cid}", f"/mesh/receipts/{by_job.json['cid']}")
        await check("get", "/mesh/jobs", "/mesh/jobs")
        await check("get", "/mesh/blacklist", "/mesh/blacklist")
        await check("post", "/mesh/verify", "/mesh/verify", {"job_id": job})
        head = (await world.client.get("/dag/root")).json["heads"][0]["cid"]
        await check("get", "/dag/blocks/{cid}", f"/dag/blocks/{head}")
        for path in ("/dag/blocks", "/dag/status", "/dag/evidence", "/sync/status", "/dag/export"):
            await check("get", path, path)
        await check("post", "/sync/now", "/sync/now")
        await check("post", "/dag/meta", "/dag/meta", {"cid": put.json["cid"]})
        await check("post", "/dag/pin", "/dag/pin", {"cid": put.json["cid"]})
        await check("post", "/dag/unpin", "/dag/unpin", {"cid": put.json["cid"]})
        await check("post", "/dag/prune", "/dag/prune", {"dry_run": True})
        car = (await world.client.get("/dag/export")).body
        headers = world.client.headers({"content-type": "application/vnd.ipld.car", "content-length": str(len(car))})
        imported = await world.client.send("POST", "/dag/import", headers=headers, body=car)
        taken = paths["/dag/import"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        _fits(imported.json, taken, "/dag/import")
        seen.add(("post", "/dag/import"))
        await check("post", "/admin/resume", "/admin/resume", {"no_newer_blocks": True})
        await check("get", "/dag/backup", "/dag/backup")
        finished = {"manifest": "ab" * 32, "created": "2026-01-01", "kind": "full", "to": {"arrival": 0, "change": 0}}
        await check("post", "/admin/backups", "/admin/backups", finished)
        await check("post", "/admin/restore/lacking", "/admin/restore/lacking", {"cids": [put.json["cid"]]})
        nothing = bytes(1024)  # a tar of no files
        headers = world.client.headers({"content-type": "application/x-tar", "content-length": str(len(nothing))})
        restored = await world.client.send("POST", "/admin/restore", headers=headers, body=nothing)
        taken = paths["/admin/restore"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        _fits(restored.json, taken, "/admin/restore")
        seen.add(("post", "/admin/restore"))
        paid = await world.client.post("/mana/transfer", {"to": member, "amount": 1})
        schema = paths["/mana/transfer"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        _fits(paid.json, schema, "/mana/transfer")
        seen.add(("post", "/mana/transfer"))

    run(test)
    everything = {(method, path) for path, item in paths.items() for method in item}
    of_backups = {("get", "/admin/backups"), ("post", "/admin/backups/run"), ("post", "/admin/backups/drill")}
    assert everything - seen == {
        ("post", "/mesh/jobs/{job_id}/cancel"),
        ("post", "/federation/admit"),
        *(("post", f"/federation/{what}") for what in MEMBERSHIP),  # test_routes
        ("post", "/network/connect"),  # test_routes: it needs a network
        ("post", "/mesh/blacklist/clear"),  # tests/http/test_blacklist.py: it needs somebody who is banned
        *of_backups,  # tests/http/test_backups.py: they need a target
    }
