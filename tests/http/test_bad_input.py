"""Bad input is the caller's affair: always a 4xx problem document, never a 5xx, and nothing changes."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icn.http.app import OPERATIONS, create_app
from icn.http.operations import Operation
from icn.http.settings import HttpSettings
from support.asgi_client import Answer, Client
from support.http_node import HttpNode, signer_of
from support.http_world import KEY, SETTINGS, World, run
from support.vectors import vector_path

MEMBER = str(signer_of(9).did)
ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
BODIES = [operation for operation in OPERATIONS if operation.body is not None]
GOOD: dict[str, dict[str, Any]] = {
    "/dag/put": {"data": "aGk="},
    "/dag/get": {"cid": ABSENT},
    "/dag/meta": {"cid": ABSENT},
    "/dag/pin": {"cid": ABSENT},
    "/dag/unpin": {"cid": ABSENT},
    "/dag/prune": {"dry_run": True},
    "/account/open": {"did": MEMBER},
    "/mana/transfer": {"to": MEMBER, "amount": 1},
    "/mesh/submit": {"max_price": 10},
    "/mesh/verify": {"job_id": "job-" + "a" * 32},
    "/mesh/blacklist/clear": {"did": MEMBER},
    "/federation/admit": {"did": MEMBER},
    "/federation/invite": {"expires_seconds": 60, "addresses": ["/ip4/127.0.0.1/tcp/7000"]},
    "/federation/invitations/revoke": {"id": "0" * 32},
    "/federation/leave": {"for_good": True},
    "/federation/remove": {"did": MEMBER, "reason": "its key is lost", "for_good": True},
    "/federation/init": {"name": "bakers"},
    "/federation/join": {"address": "/ip4/127.0.0.1/tcp/7000"},
    "/network/connect": {"address": "/ip4/127.0.0.1/tcp/7000"},
    "/admin/resume": {"no_newer_blocks": True},
    "/admin/restore/lacking": {"cids": ["bafkreibnoelefnzgwbcacyt4vh52ymxvzbjq7mmqhtcnwarfq4lzegsiqe"]},
    "/admin/backups": {
        "manifest": "ab" * 32,
        "created": "2026-01-01T00:00:00Z",
        "kind": "full",
        "to": {"arrival": 0, "change": 0},
    },
}

FINE: dict[str, list[Any]] = {
    "/mesh/submit": [{}, {"max_price": None}],
    "/dag/prune": [{}, {"dry_run": True}],
    "/admin/resume": [{"no_newer_blocks": True}],
    "/federation/leave": [{"for_good": True}],
    "/federation/remove": [GOOD["/federation/remove"]],
    "/federation/init": [{}, {"name": None}],
}
"""What would be wrong elsewhere."""


async def sent(client: Client, path: str, data: bytes, content_type: str = "application/json") -> Answer:
    headers = client.headers({"content-type": content_type, "content-length": str(len(data))})
    return await client.send("POST", path, headers=headers, body=data)


def refused(answer: Answer) -> bool:
    """A problem document with a 4xx status."""
    return 400 <= answer.status < 500 and answer.is_problem and answer.json["status"] == answer.status


@pytest.mark.parametrize("operation", BODIES, ids=lambda operation: operation.path)
def test_bodies_that_are_not_what_the_route_takes(operation: Operation) -> None:
    good = GOOD[operation.path]

    async def test(world: World) -> None:
        before = (await world.client.get("/dag/root")).json
        not_json = [b"", b"{", b"\xff\xfe{}", b'{"a":1}}', b"\x00", json.dumps(good).encode() + b"x", b"\xef\xbb\xbf{}"]
        for data in not_json:
            answer = await sent(world.client, operation.path, data)
            assert (answer.status, refused(answer)) == (400, True), data
        wrong: list[Any] = [None, [], "x", 1, {}, good | {"unknown": 1}, [good]]
        for name, value in good.items():
            others = (None, [], {}, True, 1.5, "\0", "x" * 301, -1, 10**400, 2**64, [value], {"a": value})
            wrong += [good | {name: other} for other in others]
        for body in (each for each in wrong if each not in FINE.get(operation.path, [])):
            answer = await sent(world.client, operation.path, json.dumps(body).encode())
            assert (answer.status, refused(answer)) == (422, True), body
        assert (await world.client.get("/dag/root")).json == before

    run(test)


@pytest.mark.parametrize(
    "twice",
    [b'{"to":"%s","amount":1,"amount":9}', b'{"to":"%s","amount":1,"am\\u006funt":1}'],
    ids=["plain", "escaped"],
)
def test_a_name_that_is_given_twice(twice: bytes) -> None:
    """Of which a gateway in front of the node may have looked at another one than the node would go by."""

    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        answer = await sent(world.client, "/mana/transfer", twice % MEMBER.encode())
        assert (answer.status, answer.json["code"]) == (400, "http.unparsable")
        assert "'amount' more than once" in answer.json["detail"]
        assert (await world.client.get("/events?type=transferred")).json["items"] == []

    run(test)


def test_every_fault_of_a_body_is_told_with_its_place() -> None:
    async def test(world: World) -> None:
        answer = await world.client.post("/mana/transfer", {"to": "did:web:x", "amount": "1", "memo": 1})
        assert {error["at"] for error in answer.json["errors"]} == {"to", "amount", "memo"}
        assert answer.json["code"] == "http.invalid_request"

    run(test)


@pytest.mark.parametrize("path", sorted(GOOD))
@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_content_types_that_are_not_json(path: str, content_type: str) -> None:
    async def test(world: World) -> None:
        answer = await sent(world.client, path, json.dumps(GOOD[path]).encode(), content_type)
        assert (answer.status, answer.json["code"]) == (415, "http.not_json")

    run(test)


def test_nesting_without_end() -> None:
    async def test(world: World) -> None:
        for data in (b"[" * 400_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
            assert refused(await sent(world.client, "/mana/transfer", data))

    run(test)


def test_more_than_a_route_takes_is_refused_before_it_is_held() -> None:
    async def test(world: World) -> None:
        most = SETTINGS.body_bytes_max
        told = world.client.headers({"content-type": "application/json", "content-length": str(most + 1)})
        answer = await world.client.send("POST", "/mana/transfer", headers=told, body=[])
        assert (answer.status, answer.json["code"]) == (413, "http.body_too_large")
        chunked = world.client.headers({"content-type": "application/json", "transfer-encoding": "chunked"})
        parts = [b" " * 65_536] * (most // 65_536 + 2)
        answer = await world.client.send("POST", "/mana/transfer", headers=chunked, body=parts)
        assert (answer.status, answer.json["bytes_max"]) == (413, most)
        huge = world.client.headers({"content-type": "application/json", "content-length": "9" * 400})
        assert (await world.client.send("POST", "/mana/transfer", headers=huge, body=[])).status == 413

    run(test)


@pytest.mark.slow
def test_content_may_be_as_large_as_a_content_block() -> None:
    async def test(world: World) -> None:
        fits = base64.b64encode(bytes(8 * 1024 * 1024)).decode()
        assert (await world.client.post("/dag/put", {"data": fits})).status == 201
        over = base64.b64encode(bytes(8 * 1024 * 1024 + 1)).decode()
        answer = await world.client.post("/dag/put", {"data": over})
        assert (answer.status, answer.json["code"]) == (422, "invalid")

    run(test)


def test_a_request_that_does_not_arrive_is_given_up() -> None:
    async def test() -> None:
        node = HttpNode()
        client = Client(create_app(node, HttpSettings(None, require_auth=False, body_seconds_max=0)))
        headers = client.headers({"content-type": "application/json", "content-length": "10"})
        answer = await client.send("POST", "/mana/transfer", headers=headers, body=[])
        assert (answer.status, answer.json["code"]) == (408, "http.body_overdue")

    asyncio.run(test())


@pytest.mark.parametrize(
    "target",
    [
        "/mesh/jobs?limit=0",
        "/mesh/jobs?limit=501",
        "/mesh/jobs?limit=x",
        "/mesh/jobs?limit=1&limit=2",
        "/mesh/jobs?cursor=zz",
        "/mesh/jobs?cursor=00",
        "/mesh/jobs?status=lost",
        "/mesh/jobs?color=red",
        "/mesh/jobs/job-x",
        "/mesh/jobs/%00",
        "/mesh/jobs/job-" + "!" * 32,
        "/mesh/receipts/job-" + "a" * 40,
        "/events?cursor=1",
        "/events?cursor=-1-0",
        "/events?cursor=99999999999999999999-0",
        "/events?cursor=٣-٣",
        "/events?type=nothing",
        "/events?since=yesterday",
        "/events?since=0001-01-01T00:00:00%2B23:59x",
        "/events?tail=0",
        "/events?tail=1&cursor=0-0",
        "/events?tail=1&limit=5",
        "/events?actor=did:web:x",
        "/account/did:key:z/mana",
        "/account/%FF/mana",
        "/dag/blocks/bafy",
        "/dag/blocks/" + "b" * 5000,
        "/dag/verify?deep=perhaps",
    ],
)
def test_queries_and_names_out_of_form(target: str) -> None:
    async def test(world: World) -> None:
        answer = await world.client.get(target)
        assert refused(answer), answer.body
        assert answer.status in {400, 422}

    run(test)


def test_names_that_are_in_form_and_unknown() -> None:
    async def test(world: World) -> None:
        job = "job-" + "a" * 32
        for target in (
            f"/mesh/jobs/{job}",
            f"/mesh/jobs/{job}/output",
            f"/mesh/receipts/{job}",
            f"/dag/blocks/{ABSENT}",
        ):
            assert (await world.client.get(target)).status == 404
        assert (await world.client.post(f"/mesh/jobs/{job}/cancel")).status == 409
        assert (await world.client.post("/mesh/verify", {"job_id": job})).status == 404

    run(test)


@pytest.mark.parametrize("key", ["a b", "", "x" * 129, "é", "\x7f"])
def test_request_keys_out_of_form(key: str) -> None:
    async def test(world: World) -> None:
        body = json.dumps(GOOD["/mana/transfer"]).encode()
        headers = world.client.headers({"content-type": "application/json", "content-length": str(len(body))})
        headers.append((b"idempotency-key", key.encode("latin-1")))
        answer = await world.client.send("POST", "/dag/put", headers=headers, body=b'{"data":"aGk="}')
        assert answer.status == (201 if key == "" else 400)

    run(test)


@pytest.mark.parametrize(
    "change",
    [
        {"max_price": 0},
        {"redundancy": 11},
        {"redundancy": 2},
        {"fuel": 0},
        {"memory_bytes": 2**40},
        {"args": ["x"] * 65},
        {"args": ["a\0b"]},
        {"args": ["x" * 5000]},
        {"args": ["\ud800"]},
        {"capabilities": [""]},
        {"module": "not-a-cid"},
        {"module": ""},
        {"input_base64": "!"},
        {"input_base64": "aGk=", "input_cid": ABSENT},
        {"deadline_seconds": 10**9},
    ],
)
def test_jobs_that_cannot_be(change: dict[str, Any]) -> None:
    async def test(world: World) -> None:
        answer = await sent(world.client, "/mesh/submit", json.dumps({"max_price": 100} | change).encode())
        assert refused(answer), answer.body
        assert answer.status in {400, 422}
        assert (await world.client.get("/mana/supply")).json["held"] == 0

    run(test)


def test_notes_may_have_any_text_but_half_a_character() -> None:
    async def test(world: World) -> None:
        await world.open_account(MEMBER)
        body = {"to": MEMBER, "amount": 1}
        for note in ("\0", "\u202e", "😀", "x" * 512):
            assert (await world.client.post("/mana/transfer", body | {"note": note})).status == 200
        assert refused(await world.client.post("/mana/transfer", body | {"note": "\ud83d"}))
        assert (await world.client.get("/events?tail=4")).status == 200

    run(test)


def test_published_json_that_must_not_parse() -> None:
    folder = vector_path("codec/JSONTestSuite/test_parsing")
    files = sorted(folder.glob("*.json"))
    assert len([file for file in files if file.name.startswith("n_")]) > 150

    async def test(world: World) -> None:
        for file in files:
            data = file.read_bytes()
            answer = await sent(world.client, "/mana/transfer", data)
            assert refused(answer), file.name
            # Inside a field of a body that is otherwise right, so that the refusal is the parser's.
            within = b'{"to":"' + MEMBER.encode() + b'","amount":1,"note":' + data + b"}"
            assert refused(await sent(world.client, "/mana/transfer", within)) or file.name[0] in "yi", file.name

    run(test)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([MEMBER, ABSENT, "aGk="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADER = st.tuples(
    st.sampled_from(
        [b"content-type", b"idempotency-key", b"accept", b"x-correlation-id", b"last-event-id", b"range", b"cookie"]
    ),
    st.binary(max_size=30) | st.sampled_from([b"application/json", b"text/event-stream"]),
)
PATHS = st.sampled_from([operation.path for operation in OPERATIONS]) | st.text(max_size=20).map(
    lambda text: "/" + text
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, list[tuple[bytes, bytes]], bytes]:
    operation = draw(st.sampled_from(OPERATIONS))
    method = draw(st.sampled_from([operation.method, "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW"]))
    path = draw(st.just(operation.path) | PATHS)
    for name in ("did", "cid", "job_id"):
        value = draw(
            st.sampled_from([MEMBER, ABSENT, "job-" + "a" * 32]) | st.text(max_size=12).filter(lambda t: "/" not in t)
        )
        path = path.replace(f"{{{name}}}", value)
    names = list(operation.query.model_fields) if operation.query else ["q"]
    query = draw(st.lists(st.tuples(st.sampled_from(names), st.text(max_size=10)), max_size=3))
    target = path.replace("?", "").replace("#", "") + "?" + "&".join(f"{name}={value}" for name, value in query)
    fields = list(operation.body.model_fields) if operation.body else ["x"]
    shaped = st.dictionaries(st.sampled_from(fields), JSON, max_size=4).map(lambda body: GOOD.get(path, {}) | body)
    body = draw(shaped.map(json.dumps).map(str.encode) | JSON.map(json.dumps).map(str.encode) | st.binary(max_size=40))
    headers = draw(st.lists(HEADER, max_size=3))
    if draw(st.booleans()):
        headers.append((b"content-type", b"application/json"))
    headers = [(b"x-api-key", KEY.encode()), (b"content-length", str(len(body)).encode()), *headers]
    return method, target, headers, body


@pytest.mark.slow
def test_no_request_makes_a_server_error() -> None:
    node = HttpNode()
    node.found()
    client = Client(create_app(node, SETTINGS), KEY)

    @settings(max_examples=6 * settings().max_examples)
    @given(requests())
    def fuzz(request: tuple[str, str, list[tuple[bytes, bytes]], bytes]) -> None:
        method, target, headers, body = request
        if target.startswith(("/events", "/api/v1/events")):
            headers = [header for header in headers if header[0] != b"accept"]  # a stream has no end
        answer = asyncio.run(client.send(method, target, headers=headers, body=body))
        assert answer.status < 500
        assert answer.status < 400 or refused(answer)
        assert answer.headers["x-correlation-id"]

    fuzz()
    report = asyncio.run(client.get("/dag/verify?deep=true")).json
    assert report["ok"], report["findings"]
