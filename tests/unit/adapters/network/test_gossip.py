"""The gossip on real links: streams that end, bytes that are no RPC, connections that change."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from icn.adapters.network import gossip
from icn.adapters.network.admission import origin_of
from icn.adapters.network.stream import StreamLost
from icn.protocol.libp2p.framing import framed
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.settings import MESHSUB, MESHSUB_1_0, MESHSUB_1_1, RPC_BYTES_MAX
from support.libp2p_network import PATIENCE_S, World, eventually

TOPIC = "/icn/test/blocks/1"


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        async with World("libp2p") as world:
            await scene(world)

    asyncio.run(within())


async def pair(world: World):
    b, b_told = await world.start("b")
    a, a_told = await world.start("a", *b.listen_addresses)
    for network, told in ((a, a_told), (b, b_told)):
        told.on_delivery = lambda delivery, network=network: network.judge(delivery.token, Verdict.ACCEPT)
        network.subscribe(TOPIC)
    await eventually(lambda: a.gossip().mesh == b.gossip().mesh == {TOPIC: 1})
    return a, a_told, b, b_told


def test_a_stream_that_the_peer_ends_is_opened_again_with_a_greeting(monkeypatch):
    monkeypatch.setattr(gossip, "GREET_AGAIN_S", 0.02)

    async def scene(world):
        a, _, b, b_told = await pair(world)
        b._board.reset_incoming(a.peer_id, MESHSUB)
        stream = b._board.peers[a.peer_id].current.incoming
        await eventually(lambda: any(one.protocol == MESHSUB_1_1 for one in stream.values()))
        assert a.publish(TOPIC, b"again") == 1
        await b_told.until(lambda: b_told.deliveries)
        assert not b_told.downs

    play(scene)


@pytest.mark.parametrize("garbage", [framed(b"\xff" * 50), framed(b"\x0a"), framed(bytes(RPC_BYTES_MAX + 1))[:16]])
@pytest.mark.parametrize("protocol", MESHSUB)
def test_bytes_that_are_no_rpc_cost_the_stream_and_nothing_else(garbage, protocol):
    async def scene(world):
        a, _, b, b_told = await pair(world)
        stream = await a.open_stream(b.peer_id, protocol)
        await stream.write(garbage)
        with pytest.raises(StreamLost):
            await stream.read()
        await eventually(lambda: a.publish(TOPIC, b"still here") == 1)
        await b_told.until(lambda: b_told.deliveries)
        assert not b_told.downs

    play(scene)


def test_a_flood_of_bytes_that_are_no_rpc_ends_the_connection():
    async def scene(world):
        a, _, b, b_told = await pair(world)
        async with asyncio.timeout(PATIENCE_S):
            while not b_told.downs:
                try:
                    stream = await a.open_stream(b.peer_id, MESHSUB_1_0)
                    await stream.write(framed(b"\xff"))
                except StreamLost:
                    await asyncio.sleep(0)
        assert b_told.downs[0] == (a.peer_id, "its score in the gossip is too low")

    play(scene)


def test_who_opens_a_stream_without_having_said_what_it_speaks_is_a_peer_of_the_gossip():
    async def scene(world):
        b, b_told = await world.start("b")
        a, _ = await world.start("a", *b.listen_addresses)
        b.subscribe(TOPIC)
        await b_told.until(lambda: b_told.ups)
        b._gossip.peer_gone(a.peer_id)
        assert b.peers()[0].score is None
        await a.open_stream(b.peer_id, MESHSUB_1_0)
        await eventually(lambda: b.peers()[0].score == 0)

    play(scene)


def test_nothing_is_told_after_the_stop():
    async def scene(world):
        a, _, b, b_told = await pair(world)
        a.publish(TOPIC, b"too late")
        await b.stop()
        world.networks.remove(b)
        assert b_told.deliveries == []
        b.judge(b"unknown", Verdict.ACCEPT)

    play(scene)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("2a00:1450:4001::1", "2a00:1450:4001::/64"),
        ("127.0.0.1", ""),
        ("10.1.2.3", ""),
        ("192.168.1.9", ""),
        ("fd00::7", ""),
        ("fe80::1%eth0", ""),
        ("", ""),
    ],
)
def test_peers_are_counted_by_public_addresses_only(host, origin):
    assert origin_of(host, public_only=True) == origin
