"""What only real connections have: raw streams, duplicates, bounds. The port's promises are in tests/contract."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from icn.adapters.network import tcp
from icn.adapters.network.ports import DialPhase, Origin
from icn.adapters.network.stream import RawStream, StreamLost
from icn.kernel.errors import InvariantBroken
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_network import PROTOCOL, Recorder, World, eventually

ECHO = "/icn/test/echo/1"


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        async with World("libp2p") as world:
            await scene(world)

    uvloop.run(within())


async def echo(stream: RawStream) -> None:
    while chunk := await stream.read():
        await stream.write(chunk)


async def joined(world: World, serve=echo, **changes):
    """`a` connected to `b`, where `b` serves ECHO."""
    b = world.make("b", **changes)
    b.handle(ECHO, serve)
    await b.start(Recorder())
    a, told = await world.start("a", *b.listen_addresses, **changes)
    await told.until(lambda: told.ups)
    return a, b


def test_a_raw_stream_echoes_more_than_any_window():
    async def scene(world):
        a, b = await joined(world)
        stream = await a.open_stream(b.peer_id, ECHO)
        data = bytes(range(256)) * (16 << 12)
        writing = asyncio.ensure_future(stream.write(data))
        assert await stream.read_exactly(len(data)) == data
        await writing
        stream.close()
        assert await stream.read() == b""

    play(scene)


def test_a_protocol_nobody_serves_is_a_lost_stream():
    async def scene(world):
        a, b = await joined(world)
        with pytest.raises(StreamLost, match="does not speak"):
            await a.open_stream(b.peer_id, "/icn/unheard/1")
        with pytest.raises(StreamLost, match="not connected"):
            await a.open_stream(a.peer_id, ECHO)

    play(scene)


def test_a_stream_that_fails_where_it_is_served_is_reset_and_reported():
    async def scene(world):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

        async def fail(stream: RawStream) -> None:
            await stream.read()
            raise RuntimeError("a bug")

        a, b = await joined(world, fail)
        stream = await a.open_stream(b.peer_id, ECHO)
        await stream.write(b"x")
        with pytest.raises(StreamLost, match="reset"):
            await stream.read_exactly(1)
        assert [str(error) for error in reported] == ["a bug"]
        assert len(a.peers()) == 1

    play(scene)


def test_a_cancelled_write_leaves_the_connection_whole():
    async def scene(world):
        async def never_read(stream: RawStream) -> None:
            await asyncio.Event().wait()

        a, b = await joined(world, never_read)
        stream = await a.open_stream(b.peer_id, ECHO)
        writing = asyncio.ensure_future(stream.write(bytes(8 << 20)))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        again = await a.open_stream(b.peer_id, ECHO)
        again.reset()
        assert a.send(b.peer_id, PROTOCOL, b"still")

    play(scene)


def test_streams_end_with_their_connection():
    async def scene(world):
        a, b = await joined(world)
        stream = await a.open_stream(b.peer_id, ECHO)
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        b.disconnect(a.peer_id, "enough")
        with pytest.raises(StreamLost):
            await reading

    play(scene)


def test_nothing_is_kept_of_streams_that_ended():
    async def scene(world):
        a, b = await joined(world)
        for _ in range(50):
            stream = await a.open_stream(b.peer_id, ECHO)
            await stream.write(b"x")
            assert await stream.read_exactly(1) == b"x"
            stream.close()
            assert await stream.read() == b""
        for network in (a, b):
            [record] = network._board._records.values()
            await eventually(lambda record=record: not record.raw)
        assert not a._board._openings

    play(scene)


def test_unread_bytes_stop_the_socket_and_not_the_node():
    limits = dataclasses.replace(ConnectionLimits(), unread_bytes_max=300_000)

    async def scene(world):
        release = asyncio.Event()

        async def read_later(stream: RawStream) -> None:
            await release.wait()
            await echo(stream)

        b = world.make("b", limits=limits)
        b.handle(ECHO, read_later)
        await b.start(Recorder())
        a, told = await world.start("a", *b.listen_addresses)
        await told.until(lambda: told.ups)
        streams = [await a.open_stream(b.peer_id, ECHO) for _ in range(8)]
        writing = [asyncio.ensure_future(stream.write(bytes(200_000))) for stream in streams]
        [link] = b._board.sockets
        await eventually(lambda: not link._reading)
        assert link.machine.unread < 300_000 + 1_000_000
        release.set()
        for stream in streams:
            assert len(await stream.read_exactly(200_000)) == 200_000
        await asyncio.gather(*writing)

    play(scene)


def test_halves_of_messages_are_bounded_over_all_peers():
    async def scene(world):
        b, b_told = await world.start("b", incomplete_bytes_max=1 << 20)
        a, _ = await world.start("a", *b.listen_addresses)
        await b_told.until(lambda: b_told.ups)
        stream = await a.open_stream(b.peer_id, PROTOCOL)
        half = b"\xff\xff\xff\x01" + bytes(2 << 20)
        with pytest.raises(StreamLost):
            await asyncio.gather(stream.write(half), stream.read_exactly(1))
        await b_told.until(lambda: b_told.downs)
        assert "memory" in b_told.downs[0][1]
        assert b._board._held == 0

    play(scene)


def test_two_addresses_of_one_peer_give_one_connection():
    async def scene(world):
        both = (Multiaddr.parse("/ip4/127.0.0.1/tcp/0"), Multiaddr.parse("/ip6/::1/tcp/0"))
        quick = {"retire_ms": 30, "tick_ms": 10}
        b, b_told = await world.start("b", listen=both, **quick)
        bare = [address.partition("/p2p/")[0] for address in b.listen_addresses]
        a, a_told = await world.start("a", *bare, **quick)
        await eventually(lambda: [state.state for state in a.dial_states()] == [DialPhase.CONNECTED] * 2)
        await eventually(lambda: len(a._board.sockets) == len(b._board.sockets) == 1)
        assert a.send(b.peer_id, PROTOCOL, b"hello")
        await b_told.until(lambda: b_told.messages)
        assert len(a_told.ups) == len(b_told.ups) == 1
        assert not a_told.downs
        assert not b_told.downs

    play(scene)


def test_the_connection_that_lost_against_its_duplicate_is_closed_in_time():
    async def scene(world):
        quick = {"retire_ms": 30, "tick_ms": 10}
        b, b_told = await world.start("b", **quick)
        a, a_told = await world.start("a", **quick)
        a.dial(Multiaddr.parse(b.listen_addresses[0]), Origin.REQUESTED)
        b.dial(Multiaddr.parse(a.listen_addresses[0]), Origin.REQUESTED)
        await a_told.until(lambda: a_told.ups)
        await eventually(lambda: len(a._board.sockets) == len(b._board.sockets) == 1)
        assert a.send(b.peer_id, PROTOCOL, b"x")
        await b_told.until(lambda: b_told.messages)
        assert not a_told.downs
        assert not b_told.downs

    play(scene)


def test_a_protocol_served_later_is_told_to_who_is_connected():
    async def scene(world):
        a, b = await joined(world)
        await eventually(lambda: bool(a.peers()[0].protocols))
        b.handle("/icn/test/later/1", echo)
        await eventually(lambda: "/icn/test/later/1" in a.peers()[0].protocols)
        (await a.open_stream(b.peer_id, "/icn/test/later/1")).reset()

    play(scene)


def test_addresses_that_change_are_told_signed_and_numbered_on(monkeypatch):
    async def scene(world):
        a, b = await joined(world, addresses_every_ms=20, tick_ms=5)
        await eventually(lambda: a.peers()[0].record is not None)
        first = a.peers()[0].record
        assert [str(address) for address in first.addresses] == b.listen_addresses
        moved = Multiaddr.parse("/ip4/192.0.2.9/tcp/7000")
        monkeypatch.setattr(tcp, "reachable", lambda _host, _port: [moved])
        await eventually(lambda: a.peers()[0].listen_addresses == (moved.with_peer(b.peer_id),))
        assert a.peers()[0].record.supersedes(first)

    play(scene)


def test_what_people_see_of_a_peer():
    async def scene(world):
        a, _b = await joined(world)
        await eventually(lambda: a.peers()[0].rtt_ms is not None and bool(a.peers()[0].agent))
        [peer] = a.peers()
        assert peer.agent == "test/b"
        assert {PROTOCOL, ECHO, "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0"} <= set(peer.protocols)
        assert peer.bytes_in > 0
        assert peer.bytes_out > 0
        assert peer.address.startswith("/ip4/127.0.0.1/tcp/")

    play(scene)


def test_a_network_is_used_between_start_and_stop():
    async def scene(world):
        a = world.make("a")
        with pytest.raises(InvariantBroken):
            a.peers()
        await a.start(Recorder())

    play(scene)
