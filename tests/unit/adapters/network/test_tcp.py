"""What only real connections have: raw streams, duplicates, bounds. The port's promises are in tests/contract."""

import asyncio
import dataclasses
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from icn.adapters.network import tcp
from icn.adapters.network.memory import CONNECTION_BYTES
from icn.adapters.network.ports import DialPhase, Origin
from icn.adapters.network.settings import DiscoveryMode, DiscoverySettings
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
        b, b_told = await world.start("b", memory_bytes_max=1 << 20)
        a, _ = await world.start("a", *b.listen_addresses)
        await b_told.until(lambda: b_told.ups)
        stream = await a.open_stream(b.peer_id, PROTOCOL)
        half = b"\xff\xff\xff\x01" + bytes(2 << 20)
        with pytest.raises(StreamLost):
            await asyncio.gather(stream.write(half), stream.read_exactly(1))
        await b_told.until(lambda: b_told.downs)
        assert "memory" in b_told.downs[0][1]
        await eventually(lambda: b._board.memory.used <= 2 * CONNECTION_BYTES)
        assert b._board.refused["memory"] == 1

    play(scene)


def test_when_memory_is_tight_nothing_new_is_taken_and_what_is_there_goes_on():
    async def scene(world):
        release = asyncio.Event()

        async def read_later(stream: RawStream) -> None:
            await release.wait()
            await echo(stream)

        b = world.make("b", memory_bytes_max=1 << 20)
        b.handle(ECHO, read_later)
        await b.start(Recorder())
        a, a_told = await world.start("a", *b.listen_addresses)
        await a_told.until(lambda: a_told.ups)
        streams = [await a.open_stream(b.peer_id, ECHO) for _ in range(4)]
        writing = [asyncio.ensure_future(stream.write(bytes(220_000))) for stream in streams]
        await eventually(lambda: b._board.memory.is_tight)
        with pytest.raises(StreamLost):
            await a.open_stream(b.peer_id, ECHO)
        c, _ = await world.start("c", *b.listen_addresses)
        await eventually(lambda: c.dial_states()[0].attempts >= 1)
        await eventually(lambda: b._board.refused["memory"] >= 1)
        assert [peer.peer for peer in b.peers()] == [a.peer_id]
        release.set()
        for stream in streams:
            assert len(await stream.read_exactly(220_000)) == 220_000
        await asyncio.gather(*writing)
        await eventually(lambda: bool(c.peers()))

    play(scene)


def test_what_waits_for_a_peer_that_does_not_read_counts_against_it():
    async def scene(world):
        async def never_read(stream: RawStream) -> None:
            await asyncio.Event().wait()

        b, b_told = await world.start("b", protocols={PROTOCOL: 100_000})
        b_told.on_message = None
        a, a_told = await world.start("a", *b.listen_addresses, memory_bytes_max=1 << 20, protocols={PROTOCOL: 100_000})
        await a_told.until(lambda: a_told.ups)
        before = a._board.memory.used
        assert a.send(b.peer_id, PROTOCOL, bytes(100_000))
        assert a._board.memory.used >= before + 100_000
        await b_told.until(lambda: b_told.messages)
        await eventually(lambda: a._board.memory.used < before + 10_000)

    play(scene)


QUIET = {"discovery": DiscoverySettings(DiscoveryMode.OFF), "tick_ms": 10}


async def crowd(world: World, hub, told, names: str) -> dict[str, object]:
    """Peers that come one after the other, each known to be there before the next."""
    made = {}
    for name in names:
        made[name], _ = await world.start(name, *hub.listen_addresses, **QUIET)
        await told.until(lambda name=name: made[name].peer_id in [peer for peer, _ in told.ups])
    return made


def names_of(network, made) -> str:
    there = {peer.peer for peer in network.peers()}
    return "".join(name for name, one in made.items() if one.peer_id in there)


def test_one_peer_too_many_makes_the_newest_go_down_to_the_low_mark():
    async def scene(world):
        hub, told = await world.start("hub", peers_max=4, peers_low=2, grace_ms=0, **QUIET)
        made = await crowd(world, hub, told, "abcd")
        assert names_of(hub, made) == "abcd"
        assert hub._board.trimmed == 0
        made["e"], _ = await world.start("e", *hub.listen_addresses, **QUIET)
        await told.until(lambda: told.downs)
        assert [reason for _, reason in told.downs[:3]] == ["its place was needed"] * 3
        gone = [peer for peer, _ in told.downs[:3]]
        assert gone == [made[name].peer_id for name in "dcb"]
        assert len(hub.peers()) <= 4

    play(scene)


def test_when_nobody_can_go_the_newcomer_does_and_is_told_so_by_the_hang_up():
    async def scene(world):
        hub, told = await world.start("hub", peers_max=2, peers_low=1, **QUIET)
        made = await crowd(world, hub, told, "ab")
        late, _ = await world.start("c", *hub.listen_addresses, **QUIET)
        await eventually(lambda: hub._board.refused["places"] >= 1)
        assert names_of(hub, made) == "ab"
        assert not told.downs
        await eventually(lambda: late.dial_states()[0].attempts >= 1)

    play(scene)


def test_members_and_peers_that_are_asked_for_keep_their_places():
    async def scene(world):
        hub, told = await world.start("hub", peers_max=3, peers_low=0, grace_ms=0, **QUIET)
        made = await crowd(world, hub, told, "ab")
        member = made["a"].peer_id
        hub.prefer(lambda peer: peer == member)
        wanted, _ = await world.start("w", **QUIET)
        hub.dial(Multiaddr.parse(wanted.listen_addresses[0]), Origin.REQUESTED)
        await told.until(lambda: wanted.peer_id in [peer for peer, _ in told.ups])
        await world.start("c", *hub.listen_addresses, **QUIET)
        await told.until(lambda: told.downs)
        assert told.downs[0] == (made["b"].peer_id, "its place was needed")
        assert {member, wanted.peer_id} <= {peer.peer for peer in hub.peers()}
        assert {member, wanted.peer_id}.isdisjoint(peer for peer, _ in told.downs)

    play(scene)


def test_who_is_asked_for_finds_a_place_among_newcomers():
    async def scene(world):
        hub, told = await world.start("hub", peers_max=1, peers_low=0, **QUIET)
        made = await crowd(world, hub, told, "a")
        wanted, _ = await world.start("w", **QUIET)
        hub.dial(Multiaddr.parse(wanted.listen_addresses[0]), Origin.INVITED)
        await told.until(lambda: wanted.peer_id in [peer for peer, _ in told.ups])
        assert told.downs[0][0] == made["a"].peer_id
        assert [peer.peer for peer in hub.peers()] == [wanted.peer_id]

    play(scene)


def test_a_peer_with_a_stream_under_way_is_not_let_go():
    async def scene(world):
        hub = world.make("hub", peers_max=2, peers_low=0, grace_ms=0, **QUIET)
        hub.handle(ECHO, echo)
        told = Recorder()
        await hub.start(told)
        made = await crowd(world, hub, told, "ab")
        stream = await made["b"].open_stream(hub.peer_id, ECHO)
        await stream.write(b"x")
        assert await stream.read_exactly(1) == b"x"
        await world.start("c", *hub.listen_addresses, **QUIET)
        await told.until(lambda: told.downs)
        assert told.downs[0][0] == made["a"].peer_id
        assert made["b"].peer_id in {peer.peer for peer in hub.peers()}

    play(scene)


def test_a_discovered_peer_that_had_to_go_is_not_called_back():
    async def scene(world):
        hub, told = await world.start("hub", peers_max=2, peers_low=0, grace_ms=0, **QUIET)
        found, _ = await world.start("found", **QUIET)
        hub._dialling.add(Multiaddr.parse(found.listen_addresses[0]), Origin.DISCOVERED)
        await told.until(lambda: told.ups)
        made = await crowd(world, hub, told, "a")
        await world.start("b", *hub.listen_addresses, **QUIET)
        await told.until(lambda: len(told.downs) >= 2)
        assert {found.peer_id, made["a"].peer_id} == {peer for peer, _ in told.downs[:2]}
        await eventually(lambda: hub.dial_states() == [])
        assert [peer for peer, _ in told.ups].count(found.peer_id) == 1

    play(scene)


def test_what_was_read_counts_no_more_though_nothing_else_happens():
    async def scene(world):
        b = world.make("b", tick_ms=10)
        got = []

        async def read(stream: RawStream) -> None:
            got.append(await stream.read_exactly(1000))
            await asyncio.Event().wait()

        b.handle(ECHO, read)
        await b.start(Recorder())
        a, told = await world.start("a", *b.listen_addresses)
        await told.until(lambda: told.ups)
        await (await a.open_stream(b.peer_id, ECHO)).write(bytes(1000))
        await eventually(lambda: bool(got))
        await eventually(lambda: b._board.memory.used == CONNECTION_BYTES)
        [record] = b._board._records.values()
        b.disconnect(a.peer_id, "enough")
        b._board.count(record)
        assert b._board.memory.used == 0, "what is gone is not counted again"

    play(scene)


def test_connections_of_one_address_are_bounded_and_the_newcomer_is_the_one_that_goes():
    async def scene(world):
        hub, told = await world.start("hub", connections_per_address_max=2, **QUIET)
        made = await crowd(world, hub, told, "ab")
        await world.start("c", *hub.listen_addresses, **QUIET)
        await eventually(lambda: hub.figures().refused["address"] >= 1)
        assert names_of(hub, made) == "ab"
        assert not told.downs

    play(scene)


def test_sockets_that_say_nothing_make_room_for_one_that_does():
    async def scene(world):
        hub, told = await world.start("hub", handshakes_max=3, **QUIET)
        address = Multiaddr.parse(hub.listen_addresses[0])
        idle = [await asyncio.open_connection(address.host, address.port) for _ in range(6)]
        await eventually(lambda: hub.figures().refused["handshakes"] >= 3)
        await crowd(world, hub, told, "a")
        for _, writer in idle:
            writer.close()

    play(scene)


def test_a_peer_that_is_heard_of_no_more_is_given_up_and_counted():
    async def scene(world):
        limits = ConnectionLimits(silence_ms_max=100)
        hub, told = await world.start("hub", limits=limits, **QUIET)
        made = await crowd(world, hub, told, "a")
        [link] = made["a"]._board.sockets
        link._transport.pause_reading()
        made["a"]._ticking.cancel()
        await told.until(lambda: told.downs)
        assert told.downs[0][1] == "the peer has fallen silent"
        assert hub.figures().silent == 1

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


def resolving(monkeypatch, **addresses: list[str]) -> list[tuple[str, socket.AddressFamily]]:
    """Names have these addresses, whatever the machine thinks; gives what was asked for, as it is asked."""
    asked, real = [], socket.getaddrinfo

    def look_up(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002 - the names of the real one
        if host not in addresses:
            return real(host, port, family, type, proto, flags)
        asked.append((host, socket.AddressFamily(family)))
        kinds = [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses[host]]
        found = [(kind, type, 6, "", (one, port)) for kind, one in kinds if family in {0, kind}]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def play_on_asyncio(scene: Callable[[World], Awaitable[None]]) -> None:
    """uvloop resolves names by itself."""

    async def within() -> None:
        async with World("libp2p") as world:
            await scene(world)

    asyncio.run(within())


@pytest.mark.parametrize(
    ("kind", "listen", "family"),
    [
        ("dns4", "/ip4/127.0.0.1/tcp/0", socket.AF_INET),
        ("dns6", "/ip6/::1/tcp/0", socket.AF_INET6),
        ("dns", "/ip4/127.0.0.1/tcp/0", socket.AF_UNSPEC),
        ("dns", "/ip6/::1/tcp/0", socket.AF_UNSPEC),
    ],
)
def test_a_name_is_resolved_to_addresses_of_its_kind_and_dialled(monkeypatch, kind, listen, family):
    asked = resolving(monkeypatch, **{"node.test": ["127.0.0.1", "::1"]})

    async def scene(world):
        b, _ = await world.start("b", listen=(Multiaddr.parse(listen),))
        port = Multiaddr.parse(b.listen_addresses[0]).port
        a, told = await world.start("a", f"/{kind}/node.test/tcp/{port}/p2p/{b.peer_id}")
        await told.until(lambda: told.ups)
        assert [peer.peer for peer in a.peers()] == [b.peer_id]
        assert asked[0] == ("node.test", family)

    play_on_asyncio(scene)


def test_a_name_without_an_address_of_its_kind_is_said_and_tried_again(monkeypatch):
    resolving(monkeypatch, **{"node.test": ["127.0.0.1"]})

    async def scene(world):
        a, _ = await world.start("a", "/dns6/node.test/tcp/7000")
        await eventually(lambda: a.dial_states()[0].attempts >= 2)
        assert "not known" in a.dial_states()[0].last_error

    play_on_asyncio(scene)


def test_ipv6_is_listened_on_dialled_and_told_of():
    async def scene(world):
        b, b_told = await world.start("b", listen=(Multiaddr.parse("/ip6/::1/tcp/0"),))
        assert b.listen_addresses[0].startswith("/ip6/::1/tcp/")
        a, told = await world.start("a", *b.listen_addresses)
        await told.until(lambda: told.ups)
        assert a.peers()[0].address == b.listen_addresses[0].partition("/p2p/")[0]
        await b_told.until(lambda: b_told.ups)
        assert b_told.ups[0][1].startswith("/ip6/::1/tcp/")
        await eventually(lambda: a.peers()[0].record is not None)
        assert [str(address) for address in a.peers()[0].record.addresses] == b.listen_addresses

    play(scene)


def test_a_socket_on_all_ipv6_addresses_tells_of_real_ones():
    async def scene(world):
        b, _ = await world.start("b", listen=(Multiaddr.parse("/ip6/::/tcp/0"),))
        assert all("/ip6/::/" not in address for address in b.listen_addresses)
        assert any(address.startswith("/ip6/::1/") for address in b.listen_addresses)

    play(scene)


def test_what_the_operator_announces_is_what_others_are_told():
    async def scene(world):
        said = Multiaddr.parse("/dns4/node.example.org/tcp/7000")
        b, _ = await world.start("b", announce=(said,))
        [address] = [f"/ip4/{host}/tcp/{port}" for host, port in b._bound]
        a, told = await world.start("a", f"{address}/p2p/{b.peer_id}")
        await told.until(lambda: told.ups)
        await eventually(lambda: a.peers()[0].record is not None)
        assert a.peers()[0].listen_addresses == (said.with_peer(b.peer_id),)
        assert b.listen_addresses == [str(said.with_peer(b.peer_id))]

    play(scene)
