"""The surface behind the real server: what only bytes on a socket can show."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import uvicorn

from icn.http.app import create_app
from support.http_node import HttpNode, signer_of
from support.http_world import KEY, SETTINGS

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
AUTHORISED = f"host: x\r\nx-api-key: {KEY}\r\n"


class QuietServer(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # as its parent
        yield


def served(test: Callable[[HttpNode, Callable[[], Awaitable[Connection]]], Awaitable[None]]) -> None:
    async def go() -> None:
        node = HttpNode()
        node.found()
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            create_app(node, SETTINGS), log_config=None, lifespan="off", loop="none", timeout_graceful_shutdown=1
        )
        server = QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(10):
                await test(node, lambda: asyncio.open_connection(*listener.getsockname()))
        finally:
            node.end_followers()
            server.should_exit = True
            await serving

    asyncio.run(go())


async def answered(connection: Connection) -> tuple[int, bytes]:
    """Status and body of the next answer on a connection."""
    reader, _ = connection
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def test_requests_one_after_the_other_on_one_connection() -> None:
    async def test(node: HttpNode, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        for path, status in (("/health", 200), ("/nowhere", 404), ("/mana/supply", 200)):
            connection[1].write(f"GET {path} HTTP/1.1\r\n{AUTHORISED}\r\n".encode())
            assert (await answered(connection))[0] == status
        connection[1].close()

    served(test)


def test_a_body_without_end_is_refused_at_the_bound() -> None:
    async def test(node: HttpNode, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        head = f"POST /mana/transfer HTTP/1.1\r\n{AUTHORISED}content-type: application/json\r\n"
        connection[1].write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(SETTINGS.body_bytes_max // 0x10000 + 2):
            connection[1].write(chunk)
        status, body = await answered(connection)
        assert (status, b"http.body_too_large" in body) == (413, True)
        connection[1].close()

    served(test)


def test_without_a_key_a_body_is_not_waited_for() -> None:
    async def test(node: HttpNode, connect: Callable[[], Awaitable[Connection]]) -> None:
        connection = await connect()
        connection[1].write(b"POST /dag/put HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n")
        assert (await answered(connection))[0] == 401
        connection[1].close()

    served(test)


def test_a_follower_that_leaves_is_let_go() -> None:
    async def test(node: HttpNode, connect: Callable[[], Awaitable[Connection]]) -> None:
        reader, writer = await connect()
        writer.write(f"GET /events HTTP/1.1\r\n{AUTHORISED}accept: text/event-stream\r\n\r\n".encode())
        await reader.readuntil(b": following\n\n")
        assert node.follower_count == 1
        writer.close()
        while node.follower_count:
            await asyncio.to_thread(
                lambda: None
            )  # a turn of the loop and of a thread: the server notices in one of them

    served(test)


def test_a_stream_carries_what_is_committed_elsewhere() -> None:
    async def test(node: HttpNode, connect: Callable[[], Awaitable[Connection]]) -> None:
        reader, writer = await connect()
        writer.write(f"GET /api/v1/events HTTP/1.1\r\n{AUTHORISED}accept: text/event-stream\r\n\r\n".encode())
        await reader.readuntil(b": following\n\n")
        other = await connect()
        body = f'{{"did":"{signer_of(9).did}"}}'
        head = f"POST /account/open HTTP/1.1\r\n{AUTHORISED}content-type: application/json\r\n"
        other[1].write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        assert (await answered(other))[0] == 201
        assert b"id: 1-0\nevent: ledger.account_opened" in await reader.readuntil(b"account_opened")
        other[1].close()
        writer.close()

    served(test)
