"""js-libp2p, written by others from the same specifications, talks with us in both directions."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from icn.adapters.network.stream import RawStream
from icn.adapters.network.tcp import Libp2pNetwork
from support.libp2p_js import JsNode, node_program
from support.libp2p_network import Recorder, World, eventually

pytestmark = [pytest.mark.node22, pytest.mark.slow]

ECHO = "/icn/test/echo/1"
SIZES = (100, 1 << 20, 16 << 20)
PING = "/ipfs/ping/1.0.0"


async def echo(stream: RawStream) -> None:
    while chunk := await stream.read():
        await stream.write(chunk)


async def echoed(network: Libp2pNetwork, peer, data: bytes) -> bytes:
    stream = await network.open_stream(peer, ECHO)
    writing = asyncio.ensure_future(stream.write(data))
    got = await stream.read_exactly(len(data))
    await writing
    stream.close()
    return got


Scene = Callable[[JsNode, Libp2pNetwork, Recorder], Awaitable[None]]


def play(scene: Scene, *, we_dial: bool) -> None:
    """Runs a scene between a js node and one of ours, connected by whom it says."""

    async def within() -> None:
        async with JsNode(node_program()) as js, World("libp2p") as world:
            ours = world.make("ours", *([js.address] if we_dial else []), agent="icn/test")
            ours.handle(ECHO, echo)
            told = Recorder()
            await ours.start(told)
            if not we_dial:
                answer = await js("dial", address=ours.listen_addresses[0])
                assert answer["peer"] == str(ours.peer_id)
                assert (answer["encryption"], answer["muxer"]) == ("/noise", "/yamux/1.0.0")
            await told.until(lambda: told.ups)
            assert [str(peer) for peer, _ in told.ups] == [js.peer]
            await scene(js, ours, told)
            assert not [event for event in js.events if event["event"] == "uncaught"]

    uvloop.run(within())


both_ways = pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "js-dials"])


@both_ways
def test_each_side_identifies_the_other(we_dial):
    async def scene(js, ours, told):
        seen = await js.event("identify", peer=str(ours.peer_id))
        assert seen["agent"] == "icn/test"
        assert {ECHO, PING, "/ipfs/id/1.0.0"} <= set(seen["protocols"])
        await eventually(lambda: ours.peers()[0].agent)
        [peer] = ours.peers()
        assert "libp2p" in peer.agent
        assert {ECHO, PING} <= set(peer.protocols)

    play(scene, we_dial=we_dial)


@both_ways
def test_each_side_pings_the_other(we_dial):
    async def scene(js, ours, told):
        answer = await js("ping", address=ours.listen_addresses[0])
        assert answer["ms"] >= 0
        await eventually(lambda: ours.peers()[0].rtt_ms is not None)

    play(scene, we_dial=we_dial)


@both_ways
def test_each_side_echoes_what_the_other_sends(we_dial):
    async def scene(js, ours, told):
        for size in SIZES:
            assert (await js("echo", address=ours.listen_addresses[0], count=size))["same"]
            data = bytes(range(251)) * (size // 251 + 1)
            assert await echoed(ours, told.ups[0][0], data) == data

    play(scene, we_dial=we_dial)


@both_ways
def test_sixty_streams_at_once_each_way(we_dial):
    async def scene(js, ours, told):
        assert (await js("echoes", address=ours.listen_addresses[0], streams=60))["same"]
        peer = told.ups[0][0]
        sent = [b"%d" % number * 100 for number in range(60)]
        assert await asyncio.gather(*(echoed(ours, peer, data) for data in sent)) == sent
        assert len(ours.peers()) == 1

    play(scene, we_dial=we_dial)


@both_ways
def test_the_death_of_either_is_noticed_by_the_other(we_dial):
    async def scene(js, ours, told):
        js.process.kill()
        await told.until(lambda: told.downs)
        assert ours.peers() == []

    play(scene, we_dial=we_dial)


def test_our_goodbye_is_understood():
    async def scene(js, ours, told):
        ours.disconnect(told.ups[0][0], "enough")
        await js.event("disconnect", peer=str(ours.peer_id))

    play(scene, we_dial=False)
