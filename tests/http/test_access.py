"""Who gets in, and what every answer bears."""

import asyncio
import hashlib

import pytest

from icn.domain.mesh.refusals import TooManyJobs
from icn.http.app import OPERATIONS, create_metrics_app
from icn.http.settings import HttpSettings
from icn.stores.kv import StoreFull, StoreUnavailable
from support.asgi_client import Client
from support.http_world import KEY, World, run, world

OPEN = {"/health", "/ready"}


def _filled(path: str) -> str:
    return path.replace("{did}", "did:key:x").replace("{cid}", "bafy").replace("{job_id}", "job-x")


def test_every_route_but_the_probes_needs_the_key() -> None:
    async def test(world: World) -> None:
        for operation in OPERATIONS:
            answer = await world.stranger.send(operation.method, _filled(operation.path), headers=[])
            expected = 200 if operation.path in OPEN else 401
            assert answer.status == expected, operation.path
        nowhere = await world.stranger.get("/nowhere")
        assert (nowhere.status, nowhere.headers["www-authenticate"]) == (401, "Bearer")
        assert (await world.stranger.get("/openapi.json")).status == 401

    run(test)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"x-api-key", KEY.encode())], 200),
        ([(b"authorization", b"Bearer " + KEY.encode())], 200),
        ([(b"authorization", b"bearer " + KEY.encode())], 200),
        ([(b"authorization", b"Basic " + KEY.encode())], 401),
        ([(b"authorization", b"Bearer")], 401),
        ([(b"x-api-key", b"")], 401),
        ([(b"x-api-key", KEY.encode() + b"x")], 401),
        ([(b"x-api-key", KEY[:-1].encode())], 401),
        ([(b"x-api-key", b"\xff\x00")], 401),
        ([(b"x-api-key", hashlib.sha256(KEY.encode()).digest())], 401),
        ([(b"x-api-key", b"wrong"), (b"authorization", b"Bearer " + KEY.encode())], 401),
        ([(b"x-api-key", KEY.encode()), (b"x-api-key", b"other")], 400),
    ],
)
def test_keys(headers: list[tuple[bytes, bytes]], status: int) -> None:
    async def test(world: World) -> None:
        answer = await world.stranger.send("GET", "/info", headers=headers)
        assert answer.status == status

    run(test)


def test_without_a_configured_key_nobody_gets_in() -> None:
    async def test(open_world: World) -> None:
        assert (await open_world.stranger.get("/info")).status == 401
        assert (await open_world.client.get("/info")).status == 401

    asyncio.run(test(world(HttpSettings(None))))


def test_authentication_is_off_only_where_it_was_switched_off() -> None:
    async def test(open_world: World) -> None:
        assert (await open_world.stranger.get("/info")).status == 200

    asyncio.run(test(world(HttpSettings(None, require_auth=False))))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7845"}, 200),
        ({"host": "[::1]:7845"}, 200),
        ({"host": "localhost:7845", "origin": "http://localhost:7845"}, 200),
        ({"host": "icn-node-1:7845"}, 200),
        ({"host": "desk.local"}, 200),
        ({"host": "LOCALHOST.", "origin": "http://localhost."}, 200),
        ({"host": "localhost:7845", "origin": "http://localhost:3000"}, 403),
        ({"host": "127.0.0.1:7845", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1:7845", "origin": "null"}, 403),
        ({"host": "evil.example:7845"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "evil.example:7845", "origin": "http://evil.example:7845"}, 403),
        ({"host": "[::1"}, 403),
    ],
)
def test_a_page_of_another_site_asks_nothing_of_a_node_without_a_key(headers: dict[str, str], status: int) -> None:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    with_key = [(b"x-api-key", KEY.encode()), *given]

    async def test(open_world: World, closed_world: World) -> None:
        answer = await open_world.stranger.send("GET", "/info", headers=given)
        assert answer.status == status, answer.body
        if status != 200:
            assert answer.json["code"] == "access.foreign_page"
        assert (await open_world.stranger.send("GET", "/health", headers=given)).status == 200
        assert (await closed_world.stranger.send("GET", "/info", headers=with_key)).status == 200

    asyncio.run(test(world(HttpSettings(None, require_auth=False)), world()))


def test_every_answer_bears_a_correlation_id() -> None:
    async def test(world: World) -> None:
        given = await world.client.get("/health", x_correlation_id="order-17")
        assert given.headers["x-correlation-id"] == "order-17"
        problem = await world.client.get("/nowhere", x_correlation_id="order-18")
        assert problem.json["correlation_id"] == problem.headers["x-correlation-id"] == "order-18"
        for unsafe in ("a" * 129, "a b", 'x"y', "\x1b[31m", ""):
            made = (await world.client.get("/health", x_correlation_id=unsafe)).headers["x-correlation-id"]
            assert made != unsafe
            assert made.isalnum()

    run(test)


def test_routes_and_methods_that_are_not_there_are_problems() -> None:
    async def test(world: World) -> None:
        absent = await world.client.get("/nowhere")
        assert (absent.status, absent.json["code"], absent.is_problem) == (404, "http.no_such_route", True)
        wrong = await world.client.get("/mana/transfer")
        assert (wrong.status, wrong.json["code"], wrong.headers["allow"]) == (405, "http.method_not_allowed", "POST")

    run(test)


def test_a_fault_is_503_and_keeps_its_secrets() -> None:
    async def test(world: World) -> None:
        world.node.fault = StoreUnavailable("postgres://user:password@db is gone")
        answer = await world.client.post("/dag/put", {"data": "aGk="})
        assert (answer.status, answer.json["code"]) == (503, "store.unavailable")
        assert answer.headers["retry-after"] == "1"
        assert b"password" not in answer.body
        world.node.fault = StoreFull("no room")
        assert "retry-after" not in (await world.client.post("/dag/put", {"data": "aGk="})).headers

    run(test)


def test_too_much_at_once_is_429_with_when_to_try_again() -> None:
    async def test(world: World) -> None:
        world.node.fault = TooManyJobs(10_000)
        answer = await world.client.post("/mesh/submit", {"max_price": 10})
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert (answer.json["code"], answer.json["open_jobs"]) == ("mesh.too_many_jobs", 10_000)

    run(test)


def test_a_bug_is_500_without_its_details() -> None:
    async def test(world: World) -> None:
        def broken() -> None:
            raise KeyError("the secret name")

        world.node.peers = broken  # type: ignore[method-assign,assignment]  # a planted bug
        answer = await world.client.get("/network/peers")
        assert (answer.status, answer.json["code"], answer.is_problem) == (500, "http.bug", True)
        assert b"secret" not in answer.body

    run(test)


def test_the_metrics_listener_needs_no_key_and_has_nothing_else() -> None:
    async def test(world: World) -> None:
        scraper = Client(create_metrics_app(world.node.metrics))
        assert b"icn_node_uptime_seconds" in (await scraper.get("/metrics")).body
        assert (await scraper.get("/info")).status == 404

    run(test)
