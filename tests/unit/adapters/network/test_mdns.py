"""Nodes that find each other on one network, here that of this machine alone."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from icn.adapters.network.ports import ListenFailed, Origin
from icn.protocol.libp2p.mdns import GROUP, answer
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_network import QUICK_DISCOVERY, Recorder, World, eventually, peer_of


def free_port() -> int:
    """A UDP port that nobody has at the moment, so that other tests and the machine's own mDNS are not met."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def play(scene: Callable[[World, dict], Awaitable[None]]) -> None:
    async def within() -> None:
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with World("libp2p") as world:
            await scene(world, {"discovery": QUICK_DISCOVERY, "tick_ms": 10, "mdns": True, "mdns_port": free_port()})
        assert reported == []

    uvloop.run(within())


def speak(data: bytes, port: int) -> None:
    """Say something to the group, on the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.sendto(data, (GROUP, port))


def test_two_nodes_that_were_told_of_nobody_find_each_other():
    async def scene(world, settings):
        a, a_told = await world.start("a", **settings)
        b, b_told = await world.start("b", **settings)
        await a_told.until(lambda: a_told.ups)
        await b_told.until(lambda: b_told.ups)
        origins = {peer.origin for network in (a, b) for peer in network.peers()}
        assert Origin.MDNS in origins

    play(scene)


def test_a_node_that_was_not_asked_to_neither_speaks_nor_listens():
    async def scene(world, settings):
        a, _ = await world.start("a", **settings)
        b, _ = await world.start("b", **settings | {"mdns": False})
        heard, _ = await world.start("c", **settings)
        await eventually(lambda: bool(a.peers()))
        assert {peer.peer for peer in a.peers()} == {heard.peer_id}
        assert b.peers() == []
        assert b._mdns == []

    play(scene)


def test_noise_on_the_group_harms_nobody_and_addresses_of_others_are_only_tried():
    async def scene(world, settings):
        a, a_told = await world.start("a", **settings)
        stranger = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/9/p2p/{peer_of('nobody')}")
        for data in (b"", b"\xff" * 500, answer(b"x", (stranger,))):
            speak(data, settings["mdns_port"])
        await eventually(lambda: a.figures().known == 1)
        b, _ = await world.start("b", **settings)
        await a_told.until(lambda: a_told.ups)
        assert [peer.peer for peer in a.peers()] == [b.peer_id]

    play(scene)


def test_an_interface_that_is_not_this_machines_is_one_clear_line():
    async def scene(world, settings):
        network = world.make("a", **settings)
        network._bound.append(("192.0.2.1", 7000))
        with pytest.raises(ListenFailed, match="mDNS"):
            await network.start(Recorder())

    play(scene)


def test_after_the_stop_nothing_is_heard():
    async def scene(world, settings):
        a, _ = await world.start("a", **settings)
        await a.stop()
        world.networks.remove(a)
        await asyncio.sleep(0)
        assert all(sock._transport.is_closing() for sock in a._mdns)

    play(scene)
