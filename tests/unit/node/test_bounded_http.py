"""A listener's connections are bounded before there is a request: in bytes and in time."""

import asyncio
from typing import Any

import pytest

from icn.config.values import HostPort
from icn.node.bounded_http import BoundedHttp
from icn.node.servers import HttpListener

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedHttp, "head_seconds", 0.1)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def answer_to(*sent: bytes) -> bytes:
    """What a server says to each of `sent`, waiting for an answer after each but the last; ends when it hangs up."""

    async def talk() -> bytes:
        listener = HttpListener("test", HostPort("127.0.0.1", 0), application)
        host, _, port = listener.address.partition(":")
        async with asyncio.TaskGroup() as group:
            listener.start(group)
            reader, writer = await asyncio.open_connection(host, int(port))
            heard = b""
            async with asyncio.timeout(10):
                for part in sent:
                    writer.write(part)
                    await writer.drain()
                    if part is not sent[-1]:
                        heard += await reader.readuntil(b"\r\n\r\n")
                heard += await reader.read()
            writer.close()
            await listener.stop()
        return heard

    return asyncio.run(talk())


@pytest.mark.parametrize("head", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\nx-y"])
def test_a_head_that_does_not_come_ends_the_connection(head: bytes) -> None:
    assert answer_to(head) == b""


def test_nor_may_a_second_head_stay_away() -> None:
    assert answer_to(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET / HT").startswith(b"HTTP/1.1 204")


def test_a_body_may_take_its_time_where_the_head_was_there() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\nconnection: close\r\n\r\n"
    heard = answer_to(head + bytes(200_000))
    assert heard.startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5_000 + b"\r\n",
        b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_a_head_that_is_too_long_is_refused(sent: bytes) -> None:
    assert answer_to(sent).startswith(b"HTTP/1.1 400")
