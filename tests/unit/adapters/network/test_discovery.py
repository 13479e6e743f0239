"""Nodes that find each other over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import uvloop

from icn.adapters.network.address_book import FIRST_PAUSE_MS
from icn.adapters.network.ports import Origin
from icn.adapters.network.settings import DiscoveryMode
from icn.adapters.network.stream import StreamLost
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, decode, encode
from icn.protocol.libp2p.kademlia.settings import PROTOCOL as KADEMLIA
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.libp2p_network import EAGER, QUICK_DISCOVERY, Recorder, World, clock, eventually, peer_of

QUICK = {"discovery": QUICK_DISCOVERY, "tick_ms": 10}
CLIENT = {"discovery": replace(QUICK_DISCOVERY, mode=DiscoveryMode.CLIENT), "tick_ms": 10}
OFF = {"discovery": replace(QUICK_DISCOVERY, mode=DiscoveryMode.OFF), "tick_ms": 10}


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with World("libp2p") as world:
            await scene(world)
        assert reported == []

    uvloop.run(within())


def connected(network) -> set:
    return {peer.peer for peer in network.peers()}


async def asked(network, peer, *requests: bytes) -> list[Message]:
    """What `peer` answers to whatever bytes."""
    stream = await network.open_stream(peer, KADEMLIA)
    for request in requests:
        await stream.write(framed(request))
    stream.close()
    reader, answers = MessageReader(1 << 20), []
    while chunk := await stream.read():
        answers += [decode(message) for message in reader.receive(chunk)]
    return answers


def test_nodes_that_know_one_and_the_same_find_each_other_and_keep_each_other_without_it():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        others = [(await world.start(f"n{number}", *hub.listen_addresses, **QUICK))[0] for number in range(4)]
        for network in others:
            await eventually(lambda network=network: len(connected(network)) == 4)
        [discovered] = [peer for peer in others[0].peers() if peer.peer == others[1].peer_id]
        assert discovered.origin in {Origin.DISCOVERED, None}
        await hub.stop()
        world.networks.remove(hub)
        for network in others:
            await eventually(lambda network=network: len(connected(network)) == 3)

    play(scene)


def test_no_more_are_called_than_are_wanted():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        for number in range(3):
            await world.start(f"n{number}", *hub.listen_addresses, peers_low=1, **QUICK)
        await eventually(lambda: hub.figures().contacts == 3)
        last, _ = await world.start("last", *hub.listen_addresses, peers_low=1, **QUICK)
        await eventually(lambda: last.figures().known == 3)
        last._discovery._tick(clock())
        assert [state.origin for state in last.dial_states()] == [Origin.BOOTSTRAP]

    play(scene)


def test_a_client_finds_and_is_no_contact_of_others():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        server, _ = await world.start("server", *hub.listen_addresses, **QUICK)
        client, _ = await world.start("client", *hub.listen_addresses, **CLIENT)
        await eventually(lambda: {hub.peer_id, server.peer_id} <= connected(client))
        await eventually(lambda: client.figures().contacts == 2)
        assert KADEMLIA not in [name for peer in hub.peers() if peer.peer == client.peer_id for name in peer.protocols]
        assert hub.figures().contacts == 1

    play(scene)


def test_nothing_is_asked_or_answered_where_it_is_off():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        silent, told = await world.start("silent", *hub.listen_addresses, **OFF)
        await world.start("other", *hub.listen_addresses, peers_low=0, **QUICK)
        await told.until(lambda: told.ups)
        await eventually(lambda: hub.figures().contacts == 1)
        assert silent.figures().contacts == 0
        assert await silent.find(peer_of("other")) == ()
        assert await silent.find(hub.peer_id) != ()

    play(scene)


def test_who_does_not_speak_our_protocols_is_not_kept_called():
    async def scene(world):
        stranger, _ = await world.start("stranger", protocols={"/other/1": 10}, **QUICK)
        node, told = await world.start("node", **QUICK)
        address = Multiaddr.parse(stranger.listen_addresses[0]).without_peer()
        node._discovery.tell(stranger.peer_id, (address,), Origin.DISCOVERED)
        await told.until(lambda: told.ups)
        await eventually(lambda: node.dial_states() == [])
        assert connected(node) == {stranger.peer_id}
        assert node._discovery._book.callable_now(clock()) == []

    play(scene)


def test_a_peer_that_answers_and_hangs_up_is_called_less_and_less():
    async def scene(world):
        other, _ = await world.start("other", **QUICK)
        dial = replace(EAGER, breaker=replace(EAGER.breaker, failure_threshold=2))
        node, told = await world.start("node", dial=dial, **QUICK)
        address = Multiaddr.parse(other.listen_addresses[0]).without_peer()
        node._discovery.tell(other.peer_id, (address,), Origin.DISCOVERED)
        for count in (1, 2):
            await told.until(lambda count=count: len(told.ups) == count)
            node.disconnect(other.peer_id, "of another federation")
        await eventually(lambda: node.dial_states() == [])
        assert node._discovery._book.callable_now(clock()) == []
        assert len(node._discovery._book.callable_now(clock() + FIRST_PAUSE_MS)) == 1

    play(scene)


def test_a_connection_that_held_makes_good_for_failures():
    async def scene(world):
        quick = QUICK | {"discovery": replace(QUICK_DISCOVERY, look_again_ms=20)}
        other, _ = await world.start("other", **QUICK)
        node, told = await world.start("node", dial=replace(EAGER, steady_ms=30), **quick)
        address = Multiaddr.parse(other.listen_addresses[0]).without_peer()
        node._discovery.tell(other.peer_id, (address,), Origin.DISCOVERED)
        node._discovery._book.failed(other.peer_id, address, clock())
        await node.connect(address.with_peer(other.peer_id))
        await told.until(lambda: told.ups)
        await eventually(lambda: node._discovery._book.callable_now(clock()) != [])

    play(scene)


def test_addresses_where_nobody_answers_age_out():
    async def scene(world):
        gone, _ = await world.start("gone", **QUICK)
        address = Multiaddr.parse(gone.listen_addresses[0])
        await gone.stop()
        world.networks.remove(gone)
        dial = replace(EAGER, breaker=replace(EAGER.breaker, failure_threshold=2))
        node, _ = await world.start("node", dial=dial, **QUICK)
        node._discovery.tell(gone.peer_id, (address.without_peer(),), Origin.DISCOVERED)
        await eventually(lambda: [state.attempts for state in node.dial_states()] == [1])
        await eventually(lambda: node.dial_states() == [])
        assert node.figures().known == 1
        assert node._discovery._book.callable_now(clock()) == [], "not at once again"

    play(scene)


def test_requests_are_answered_one_after_the_other_on_one_stream():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        node, told = await world.start("node", *hub.listen_addresses, **OFF)
        await told.until(lambda: told.ups)
        find = Message(Kind.FIND_NODE, hub.peer_id.multihash)
        provide = Message(Kind.ADD_PROVIDER, b"key", providers=(PeerInfo(node.peer_id, ()),))
        requests = (find, provide, Message(Kind.PING), Message(Kind.GET_VALUE, b"key"))
        found, pong, value = await asked(node, hub.peer_id, *map(encode, requests))
        [us] = found.closer
        assert us.addresses == (Multiaddr.parse(hub.listen_addresses[0]).without_peer(),)
        assert (pong.kind, value.kind, value.has_record) == (Kind.PING, Kind.GET_VALUE, False)

    play(scene)


def test_bad_or_refused_requests_cost_their_stream_and_nothing_else():
    async def scene(world):
        hub, _ = await world.start("hub", **QUICK)
        node, told = await world.start("node", *hub.listen_addresses, **OFF)
        await told.until(lambda: told.ups)
        for request in (b"\xff" * 9, encode(Message(Kind.PUT_VALUE, b"k")), bytes(100_000)):
            with pytest.raises(StreamLost):
                await asked(node, hub.peer_id, request)
        assert await asked(node, hub.peer_id, encode(Message(Kind.PING))) == [Message(Kind.PING)]
        assert not told.downs

    play(scene)


def test_streams_of_requests_of_one_peer_are_bounded():
    async def scene(world):
        settings = replace(QUICK_DISCOVERY, streams_per_peer_max=2)
        hub, _ = await world.start("hub", discovery=settings, tick_ms=10)
        node, told = await world.start("node", *hub.listen_addresses, **OFF)
        await told.until(lambda: told.ups)
        ping = framed(encode(Message(Kind.PING)))
        streams = [await node.open_stream(hub.peer_id, KADEMLIA) for _ in range(2)]
        for stream in streams:
            await stream.write(ping)
            assert await stream.read()
        with pytest.raises(StreamLost):
            await (await node.open_stream(hub.peer_id, KADEMLIA)).read_exactly(1)
        streams[0].close()
        await eventually(lambda: hub._discovery._serving == {node.peer_id: 1})
        streams[1].reset()
        await eventually(lambda: hub._discovery._serving == {})

    play(scene)


def test_a_stream_on_which_nothing_is_asked_is_given_up():
    async def scene(world):
        settings = replace(QUICK_DISCOVERY, stream_idle_ms_max=50)
        hub, _ = await world.start("hub", discovery=settings, tick_ms=10)
        node, told = await world.start("node", *hub.listen_addresses, **OFF)
        await told.until(lambda: told.ups)
        stream = await node.open_stream(hub.peer_id, KADEMLIA)
        with pytest.raises(StreamLost):
            await stream.read()

    play(scene)


def test_a_peer_that_answers_nonsense_is_as_good_as_none():
    async def scene(world):
        liar = world.make("liar", **OFF)

        async def lie(stream) -> None:
            await stream.read()
            await stream.write(framed(encode(Message(Kind.PING))))

        liar.handle(KADEMLIA, lie)
        await liar.start(Recorder())
        node, told = await world.start("node", *liar.listen_addresses, **QUICK)
        await told.until(lambda: told.ups)
        await eventually(lambda: node.figures().contacts == 1)
        assert await node.find(peer_of("somebody")) == ()
        assert node.figures().contacts == 0
        assert not told.downs

    play(scene)


def test_a_search_ends_with_the_network():
    async def scene(world):
        mute = world.make("mute", **OFF)

        async def nothing(stream) -> None:
            await asyncio.Event().wait()

        mute.handle(KADEMLIA, nothing)
        await mute.start(Recorder())
        node, told = await world.start("node", *mute.listen_addresses, **QUICK)
        await told.until(lambda: told.ups)
        await eventually(lambda: node.figures().contacts == 1)
        search = asyncio.ensure_future(node.find(peer_of("somebody")))
        await asyncio.sleep(0)
        await node.stop()
        world.networks.remove(node)
        await asyncio.wait([search])
        assert search.cancelled()
        assert not node._discovery._tasks

    play(scene)
