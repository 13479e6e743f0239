"""Hostile peers in discovery: garbage and floods on Kademlia's streams, answers full of inventions, descriptions pushed
without end, and records that are somebody else's. The node lives, serves others, remembers within bounds, and believes
nobody about another."""

import os
from collections.abc import Iterator

import pytest
import uvloop

from icn.adapters.network.address_book import PEERS_MAX
from icn.adapters.network.settings import DiscoveryMode, DiscoverySettings
from icn.adapters.network.stream import RawStream
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p import identify, routing_record
from icn.protocol.libp2p.framing import MessageReader, framed
from icn.protocol.libp2p.identify import PUSH, Identification
from icn.protocol.libp2p.kademlia.messages import Kind, Message, PeerInfo, encode
from icn.protocol.libp2p.kademlia.settings import MESSAGE_BYTES_MAX, PEERS_PER_MESSAGE_MAX, PROTOCOL, KademliaSettings
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import line
from icn.protocol.libp2p.ping import PING
from icn.protocol.libp2p.protobuf import bytes_field, number_field
from support.libp2p_attacker import Server, Session, attacked, honest_ping, watched
from support.libp2p_network import Recorder, World, eventually

pytestmark = pytest.mark.slow

GROWTH_MAX = 30_000_000
FIN = 4
AGREED = line(MULTISTREAM) + line(PROTOCOL.encode())
ADDRESS = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")
"""Where nobody listens."""
NOT_ITSELF = DiscoverySettings(DiscoveryMode.OFF)
"""The test answers in its place."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    for _ in range(5):
        assert honest_ping(server)
    with watched(server, GROWTH_MAX):
        yield server


def somebody(number: int) -> PeerId:
    return PeerId.from_public_key(number.to_bytes(32, "big"))


def find(peer: PeerId) -> bytes:
    return framed(encode(Message(Kind.FIND_NODE, peer.multihash)))


GARBAGE = {
    "ones": framed(b"\xff" * 2000),
    "an unknown kind": framed(number_field(1, 99)),
    "a key of 2 KB": framed(number_field(1, 4) + bytes_field(2, bytes(2048))),
    "a thousand peers": framed(number_field(1, 4) + bytes_field(8, bytes_field(1, b"x")) * 1000),
    "a peer id of 1 KB": framed(number_field(1, 4) + bytes_field(8, bytes_field(1, bytes(1024)))),
    "an oversized message": framed(bytes(MESSAGE_BYTES_MAX + 1))[:60_000],
    "a value to be kept": framed(encode(Message(Kind.PUT_VALUE, b"key"))),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_request_against_the_rules_costs_its_stream(server, name):
    with attacked(server), Session(server) as session:
        stream = session.open(PROTOCOL)
        session.data(stream, GARBAGE[name])
        assert session.until_reset(stream)
        # The connection lives: the next request is answered.
        other = session.open(PROTOCOL)
        session.data(other, find(server.peer))
        assert session.body_of(other, len(AGREED) + 1)[: len(AGREED)] == AGREED


def test_a_flood_of_requests_is_answered_so_often_and_no_more(server):
    with attacked(server), Session(server) as session:
        stream = session.open(PROTOCOL)
        for _ in range(KademliaSettings().requests_per_minute_max + 10):
            session.data(stream, find(somebody(1)))
        assert session.until_reset(stream)


def test_streams_of_requests_without_a_request_are_few(server):
    """Each would cost a task."""
    with attacked(server), Session(server) as session:
        streams = [session.open(PROTOCOL) for _ in range(100)]
        assert session.until_reset(streams[-1])


def invented(first: int, ours: PeerId) -> tuple[PeerInfo, ...]:
    """As many peers as an answer may hold: with addresses of nowhere, of everywhere, of the node itself."""
    addresses = [
        ADDRESS,
        *(Multiaddr.parse(f"/ip4/{host}/tcp/1") for host in ("0.0.0.0", "255.255.255.255", "224.0.0.1")),
    ]
    infos = [PeerInfo(somebody(first + number), tuple(addresses)) for number in range(PEERS_PER_MESSAGE_MAX - 1)]
    return (PeerInfo(ours, (ADDRESS,)), *infos)


ASKED_MIN = 6
"""Liars that the node asks before a search has made all its requests, of which most go to peers that do not exist."""


def test_answers_full_of_inventions_fill_no_memory_and_lead_nowhere(server):
    """Thirty liars, each with other inventions whenever it is asked. A search ends, however many peers it heard of."""
    asked: list[int] = []

    async def lie(stream: RawStream) -> None:
        reader = MessageReader(MESSAGE_BYTES_MAX)
        while chunk := await stream.read():
            for _ in reader.receive(chunk):
                asked.append(1)
                closer = invented(1000 * len(asked), server.peer)
                await stream.write(framed(encode(Message(Kind.FIND_NODE, closer=closer))))

    async def within() -> None:
        async with World("libp2p") as world:
            for number in range(30):
                network = world.make(f"liar {number} {os.getpid()}", str(server.address), discovery=NOT_ITSELF)
                network.handle(PROTOCOL, lie)
                await network.start(Recorder())
            await eventually(lambda: len(asked) >= ASKED_MIN)

    with attacked(server):
        uvloop.run(within())
        state = server.state()
        assert state["known"] <= PEERS_MAX
        assert state["dialled"] <= 64


# What a peer says of itself.


def described(signer: SeedSigner, record: routing_record.RoutingRecord | None = None) -> bytes:
    addresses = record.addresses if record else (ADDRESS,)
    return identify.encode(signer.did, Identification("hostile", (PUSH,), addresses, None, record))


def pushed(session: Session, message: bytes) -> int:
    stream = session.open(PUSH)
    session.data(stream, framed(message), FIN)
    return stream


def test_a_flood_of_descriptions_is_read_so_often_and_no_more(server):
    signer = SeedSigner(os.urandom(32))
    with attacked(server), Session(server, signer) as session:
        for number in range(ConnectionLimits().pushes_per_minute_max + 20):
            last = pushed(session, described(signer, routing_record.make(signer, number, (ADDRESS,))))
        assert session.until_reset(last)


def believed(server: Server, signer: SeedSigner, message: bytes) -> bool:
    """Whether the node has a signed record of the peer that pushes `message`."""
    with attacked(server), Session(server, signer) as session:
        pushed(session, message)
        # What comes behind it on the connection is dealt with behind it.
        agreed = line(MULTISTREAM) + line(PING.encode())
        stream = session.open(PING)
        session.data(stream, bytes(32))
        assert session.body_of(stream, len(agreed) + 32) == agreed + bytes(32)
        records: dict[str, bool] = server.state()["records"]
        return records[str(PeerId.of(signer.did))]


def test_a_record_of_another_is_not_believed(server):
    victim = SeedSigner(b"v" * 32)
    signer = SeedSigner(os.urandom(32))
    assert not believed(server, signer, described(signer, routing_record.make(victim, 1, (ADDRESS,))))


def test_a_record_that_was_changed_is_not_believed(server):
    signer = SeedSigner(os.urandom(32))
    record = routing_record.make(signer, 1, (ADDRESS,))
    changed = record.envelope[:-1] + bytes([record.envelope[-1] ^ 1])
    assert not believed(server, signer, described(signer, record).replace(record.envelope, changed))


def test_a_true_record_is_believed(server):
    signer = SeedSigner(os.urandom(32))
    assert believed(server, signer, described(signer, routing_record.make(signer, 1, (ADDRESS,))))
