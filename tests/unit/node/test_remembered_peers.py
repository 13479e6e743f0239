"""Whom a node dials again after a start."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from icn.adapters.network.peer_book import PEERS_MAX, KnownPeer, read_book, write_book
from icn.adapters.network.ports import ConnectedPeer, Direction, Origin
from icn.kernel.ids import Did, PeerId
from icn.kernel.instant import Instant
from icn.node.remembered_peers import FORGOTTEN_AFTER, RememberedPeers, addresses_of
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.routing_record import make
from support.libp2p_network import AnyNetwork, World, eventually, peer_of, signer

NOW = Instant(1_000_000_000_000)


class StandingClock:
    def now(self) -> Instant:
        return NOW


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        async with World("loopback") as world:
            await scene(world)

    asyncio.run(within())


def remembered(path: Path, network: object, *members: str) -> RememberedPeers:
    ours: list[Did] = [signer(name).did for name in members]
    return RememberedPeers(path, network, lambda: ours, StandingClock())


def test_members_are_remembered_by_where_they_can_be_dialled_and_strangers_are_not(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        a, told = await world.start("a")
        b, _ = await world.start("b", *a.listen_addresses)
        c, _ = await world.start("c", *a.listen_addresses)
        await told.until(lambda: len(told.ups) == 2)
        memory = remembered(tmp_path / "peers.json", a, "b")
        assert memory.look()
        assert b.peer_id in memory
        assert c.peer_id not in memory
        assert not memory.look(), "no news the second time"
        await memory.write()
        [known] = read_book(tmp_path / "peers.json")
        assert (known.peer, [str(one) for one in known.addresses], known.seen_at) == (
            b.peer_id,
            b.listen_addresses,
            NOW,
        )
        dialled = remembered(tmp_path / "of-c.json", c, "a")
        dialled.look()
        await dialled.write()
        assert [str(one) for one in read_book(tmp_path / "of-c.json")[0].addresses] == a.listen_addresses

    play(scene)


def test_the_newest_record_of_a_peer_is_kept_whatever_it_says_later(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        a, told = await world.start("a")
        b, _ = await world.start("b", *a.listen_addresses)
        await told.until(lambda: told.ups)
        shown = a.peers()[0]
        memory = remembered(tmp_path / "peers.json", _Shows(a, shown), "b")
        old, new = (make(signer("b"), number, shown.listen_addresses) for number in (1, 2))
        memory._network = _Shows(a, replace(shown, record=new))
        assert memory.look()
        for record in (old, None):
            memory._network = _Shows(a, replace(shown, record=record))
            assert not memory.look()
        await memory.write()
        [known] = read_book(tmp_path / "peers.json")
        assert (known.peer, known.record) == (b.peer_id, new)

    play(scene)


@dataclass
class _Shows:
    """A network on which one peer is connected, as it is given."""

    network: AnyNetwork
    peer: ConnectedPeer

    @property
    def peer_id(self) -> PeerId:
        return self.network.peer_id

    def peers(self) -> list[ConnectedPeer]:
        return [self.peer]

    def dial(self, address: Multiaddr, origin: Origin) -> None:
        self.network.dial(address, origin)


def test_who_was_remembered_is_dialled_and_who_was_not_seen_for_long_is_not(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        b, _ = await world.start("b")
        c, c_told = await world.start("c")
        just = Instant(NOW - FORGOTTEN_AFTER + 1)
        long_ago = Instant(just - 1)
        book = [
            KnownPeer(b.peer_id, (Multiaddr.parse(b.listen_addresses[0]),), just),
            KnownPeer(c.peer_id, (Multiaddr.parse(c.listen_addresses[0]),), long_ago),
        ]
        write_book(tmp_path / "peers.json", book)
        a, told = await world.start("a")
        remembered(tmp_path / "peers.json", a).dial()
        await told.until(lambda: told.ups)
        assert [state.address for state in a.dial_states()] == b.listen_addresses
        assert not c_told.ups

    play(scene)


def test_whom_we_could_call_is_called_first_also_where_it_signed_that_it_is(tmp_path: Path) -> None:
    def at(name: str, port: int) -> Multiaddr:
        return Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}").with_peer(peer_of(name))

    async def scene(world: World) -> None:
        record = make(signer("c"), 1, (at("c", 3), at("c", 4).without_peer()))
        book = [
            KnownPeer(peer_of("b"), (at("b", 1), at("b", 2)), NOW),
            KnownPeer(peer_of("c"), (at("c", 3),), Instant(NOW - 5), record, Instant(NOW - 9)),
        ]
        write_book(tmp_path / "peers.json", book)
        a, _ = await world.start("a")
        remembered(tmp_path / "peers.json", a).dial()
        called = [state.address for state in a.dial_states()]
        assert called == [str(one) for one in (at("c", 3), at("c", 4), at("b", 1), at("b", 2))]

    play(scene)


def test_when_a_call_of_ours_last_reached_a_peer_is_kept(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        b, _ = await world.start("b")
        a, told = await world.start("a", *b.listen_addresses)
        await told.until(lambda: told.ups)
        memory = remembered(tmp_path / "peers.json", a, "b")
        memory.look()
        came = replace(a.peers()[0], direction=Direction.ACCEPTED)
        memory._network = _Shows(a, came)
        memory.look()
        await memory.write()
        assert read_book(tmp_path / "peers.json")[0].reached_at == NOW
        other = remembered(tmp_path / "peers.json", _Shows(a, came), "b")
        other.look()
        await other.write()
        assert read_book(tmp_path / "peers.json")[0].reached_at is None

    play(scene)


def test_who_is_away_stays_remembered(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        b, _ = await world.start("b")
        write_book(tmp_path / "peers.json", [KnownPeer(b.peer_id, (Multiaddr.parse(b.listen_addresses[0]),), NOW)])
        await b.stop()
        world.networks.remove(b)
        a, _ = await world.start("a")
        memory = remembered(tmp_path / "peers.json", a)
        memory.dial()
        await eventually(lambda: a.dial_states()[0].attempts >= 1)
        memory.look()
        await memory.write()
        assert [known.peer for known in read_book(tmp_path / "peers.json")] == [b.peer_id]

    play(scene)


def test_no_more_are_remembered_than_there_is_room_for(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        a, told = await world.start("a")
        names = [f"n{number}" for number in range(PEERS_MAX + 3)]
        for name in names:
            await world.start(name, *a.listen_addresses)
        await told.until(lambda: len(told.ups) == len(names))
        memory = remembered(tmp_path / "peers.json", a, *names)
        memory.look()
        await memory.write()
        assert len(read_book(tmp_path / "peers.json")) == PEERS_MAX

    play(scene)


def test_a_book_that_cannot_be_written_is_said_and_nothing_else(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        a, _ = await world.start("a")
        (tmp_path / "file").write_bytes(b"")
        await remembered(tmp_path / "file" / "peers.json", a).write()

    play(scene)


def test_of_an_accepted_peer_the_address_it_came_from_goes_first(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        a, told = await world.start("a")
        await world.start("b", *a.listen_addresses)
        await told.until(lambda: told.ups)
        [shown] = a.peers()
        peer: PeerId = peer_of("b")
        inside, outside = Multiaddr.parse("/ip4/10.0.0.1/tcp/7000"), Multiaddr.parse("/ip4/127.0.0.1/tcp/7000")
        said = replace(shown, direction=Direction.ACCEPTED, listen_addresses=(inside, outside))
        assert addresses_of(said) == (outside.with_peer(peer), inside.with_peer(peer))
        assert addresses_of(replace(said, listen_addresses=())) == ()

    play(scene)
