"""Hostile peers in the gossip: whatever they publish, advertise, ask or claim, honest peers hear each other through the
node under attack, its memory stays flat, and who attacks is scored for it or dropped.

Each test ends with two honest strangers who connect to the node and hear each other's publications through it.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import uvloop

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.libp2p.framing import framed
from icn.protocol.libp2p.gossipsub import signing
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.gossipsub.rpc import Graft, IHave, IWant, Prune, Rpc, Subscription, encode
from icn.protocol.libp2p.gossipsub.settings import (
    MESHSUB_1_1,
    PAYLOAD_BYTES_MAX,
    RPC_BYTES_MAX,
    RPC_FIELDS_MAX,
    GossipSettings,
    OverlaySettings,
    RouterSettings,
)
from icn.protocol.libp2p.multistream import HEADER as MULTISTREAM
from icn.protocol.libp2p.multistream import line
from icn.protocol.libp2p.protobuf import bytes_field, number_field
from icn.protocol.libp2p.secure_channel import public_key_message
from support.libp2p_attacker import Server, Session, attacked, honest_ping, watched
from support.libp2p_network import World, eventually
from support.libp2p_server import GOSSIP, TOPIC

pytestmark = pytest.mark.slow

GROWTH_MAX = 60_000_000
"""What the node may remember of messages (`GossipSettings.cache_bytes_max`) is most of it."""
SECP256K1 = bytes.fromhex("08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")
SECONDS_MAX = 20
REPETITIONS = 3_000
HEARD_S = 0.5
attackers = itertools.count(1)
MIB = 1 << 20


class Gossiper(Session):
    """A member of the topic that says what it likes."""

    def __init__(self, server: Server) -> None:
        self.signer = SeedSigner(next(attackers).to_bytes(32, "big"))
        super().__init__(server, self.signer)
        self.server = server
        self.stream = self.open(MESHSUB_1_1)
        agreed = line(MULTISTREAM) + line(MESHSUB_1_1.encode())
        assert self.body_of(self.stream, len(agreed)) == agreed
        self.granted = 256 * 1024 - 200

    def rpc(self, data: bytes) -> None:
        """One RPC, however long: window updates of the node are read as they are needed."""
        out = framed(data)
        while out:
            while self.granted < min(len(out), 60_000):
                kind, _, stream, length, _ = next(self.frames(), (3, 0, 0, 0, b""))
                if kind == 3:
                    raise ConnectionError("the node ended the connection")
                if kind == 1 and stream == self.stream:
                    self.granted += length
            piece, out = out[:60_000], out[60_000:]
            self.granted -= len(piece)
            self.data(self.stream, piece)

    def say(self, *controls: Graft | Prune | IHave | IWant, subscribe: tuple[str, ...] = ()) -> None:
        subscriptions = tuple(Subscription(topic, subscribe=True) for topic in subscribe)
        self.rpc(encode(Rpc(subscriptions, controls=controls)))

    def publish(self, raw: bytes) -> None:
        self.rpc(encode(Rpc(messages=(raw,))))

    def signed(self, payload: bytes, topic: str = TOPIC) -> signing.Publication:
        return signing.sign(self.signer, os.urandom(8), topic, payload)

    def score(self) -> int | None:
        """What the node thinks of us; None once it has dropped us."""
        scores: dict[str, int] = self.server.state()["scores"]
        return scores.get(str(PeerId.of(self.signer.did)))

    def is_scored(self) -> bool:
        """Whether it comes to think worse of us than of a stranger, or drops us."""
        ends = time.monotonic() + SECONDS_MAX
        while time.monotonic() < ends:  # each look is a round trip
            score = self.score()
            if score is None or score < 0:
                return True
        return False

    def is_dropped_for(self, act: Callable[[], None]) -> bool:
        """Whether the node ends the connection while `act` is repeated, or soon after."""
        for _ in range(REPETITIONS):
            try:
                act()
            except ConnectionError:
                return True
        return self.closed()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    for number in range(3):
        assert honest_ping(server)
        assert heard(server, b"%d" % number * MIB)
    with watched(server, GROWTH_MAX):
        yield server


async def _heard(address: str, payload: bytes) -> bool:
    """Published again until it is heard: the first may be at the node before it knows that the other listens."""
    async with asyncio.timeout(SECONDS_MAX), World("libp2p") as world:
        listening = [await world.start(f"honest {next(attackers)}", address) for _ in range(2)]
        for network, told in listening:
            told.on_delivery = lambda delivery, network=network: network.judge(delivery.token, Verdict.ACCEPT)
            network.subscribe(TOPIC)
        for network, _ in listening:
            await eventually(lambda network=network: network.gossip().mesh[TOPIC] > 0)
        (one, _), (_, other) = listening

        def hears() -> bool:
            return any(delivery.payload == payload for delivery in other.deliveries)

        while not hears():
            one.publish(TOPIC, payload)
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_S):
                    await other.until(hears)
    return True


def heard(server: Server, payload: bytes) -> bool:
    """Whether what one honest stranger publishes reaches another through the node."""
    return uvloop.run(_heard(str(server.address), payload))


@contextmanager
def gossiped_at(server: Server) -> Iterator[Gossiper]:
    """An attacker; afterwards the node lives, and honest peers hear each other through it."""
    with attacked(server):
        attacker = Gossiper(server)
        try:
            yield attacker
        finally:
            attacker.sock.close()
    assert heard(server, os.urandom(1000))


GARBAGE = {
    "ones": b"\xff" * 2000,
    "a field behind the end": b"\x0a\xff\x01x",
    "a number for a message": number_field(2, 7),
    "a topic that is not UTF-8": bytes_field(1, number_field(1, 1) + bytes_field(2, b"\xff\xfe")),
    "a topic of 100 KB": bytes_field(1, number_field(1, 1) + bytes_field(2, b"t" * 100_000)),
    "a topic without a name": bytes_field(3, bytes_field(3, b"")),
    "an id of nothing": bytes_field(3, bytes_field(2, bytes_field(1, b""))),
    "an id of 100 KB": bytes_field(3, bytes_field(2, bytes_field(1, b"i" * 100_000))),
    "too many fields": number_field(9, 1) * (RPC_FIELDS_MAX + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_rpc_costs_its_stream_and_repeated_its_connection(server, name):
    with gossiped_at(server) as attacker:
        attacker.rpc(GARBAGE[name])
        assert attacker.until_reset(attacker.stream)

        def again() -> None:
            stream = attacker.open(MESHSUB_1_1)
            attacker.data(stream, framed(GARBAGE[name]))
            if not attacker.until_reset(stream):
                raise ConnectionError

        assert attacker.is_dropped_for(again)


def test_an_oversized_rpc_costs_its_stream(server):
    with gossiped_at(server) as attacker:
        attacker.data(attacker.stream, framed(bytes(RPC_BYTES_MAX + 1))[:60_000])
        assert attacker.until_reset(attacker.stream)


def test_an_oversized_publication_is_taken_from_nobody(server):
    with gossiped_at(server) as attacker:
        before = server.state()["gossip"]["delivered"]
        attacker.publish(attacker.signed(bytes(PAYLOAD_BYTES_MAX + 1)).raw)
        assert attacker.is_scored()
        assert server.state()["gossip"]["delivered"] == before


def test_a_flood_of_subscriptions_ends_the_connection(server):
    with gossiped_at(server) as attacker:
        topics = (tuple(f"topic {number} {at}" for at in range(1000)) for number in itertools.count())
        assert attacker.is_dropped_for(lambda: attacker.say(subscribe=next(topics)))


def test_a_flood_of_advertisements_makes_the_advertiser_worth_less(server):
    with gossiped_at(server) as attacker:
        attacker.say(subscribe=(TOPIC,))
        with suppress(ConnectionError):  # a slow node may have had enough of it before it ends
            for _ in range(60):
                attacker.say(IHave(TOPIC, tuple(os.urandom(40) for _ in range(1000))))
        assert attacker.is_scored()


def test_a_flood_of_questions_is_answered_within_bounds(server):
    """A message of 1 MiB, asked for ten thousand times: three times it comes, at most."""
    with gossiped_at(server) as attacker:
        payload = os.urandom(MIB)
        assert heard(server, payload)
        attacker.say(subscribe=(TOPIC,))
        known = attacker.signed(b"known")
        attacker.publish(known.raw)
        for _ in range(40):
            attacker.say(IWant(tuple(known.id if at % 2 else os.urandom(40) for at in range(500))))


def test_grafts_during_the_back_off_end_the_connection(server):
    with gossiped_at(server) as attacker:
        attacker.say(Graft(TOPIC), subscribe=(TOPIC,))
        attacker.say(Prune(TOPIC, 60))
        for _ in range(10):
            attacker.say(Graft(TOPIC))
        assert attacker.is_scored()
        assert attacker.is_dropped_for(lambda: attacker.say(Graft(TOPIC)))


def test_grafts_and_prunes_of_very_many_topics_are_not_remembered(server):
    with gossiped_at(server) as attacker:
        for number in range(50):
            names = [f"unknown {number} {at}" for at in range(400)]
            attacker.say(*(Graft(name) for name in names), *(Prune(name, 10**9) for name in names))


def unsigned(author: bytes, **fields: bytes) -> bytes:
    """The fields of a message, with what a test changes."""
    parts = {"from": author, "data": b"x", "seqno": os.urandom(8), "topic": TOPIC.encode(), "signature": bytes(64)}
    numbers = {"from": 1, "data": 2, "seqno": 3, "topic": 4, "signature": 5, "key": 6}
    return b"".join(bytes_field(numbers[name], value) for name, value in (parts | fields).items() if value)


VICTIM, OTHER = SeedSigner(b"v" * 32), SeedSigner(b"w" * 32)
AUTHOR = PeerId.of(VICTIM.did).multihash
MESSAGES = {
    "a bad signature": lambda: unsigned(AUTHOR),
    "no signature": lambda: unsigned(AUTHOR, signature=b""),
    "no sequence number": lambda: unsigned(AUTHOR, seqno=b""),
    "a short sequence number": lambda: unsigned(AUTHOR, seqno=b"123"),
    "no author": lambda: unsigned(b""),
    "an author that is no key": lambda: unsigned(b"\x12\x20" + bytes(32)),
    "a junk key": lambda: unsigned(AUTHOR, key=b"\x08\x63\x12\x03abc"),
    "a key that is not Ed25519": lambda: unsigned(AUTHOR, key=SECP256K1),
    "another's key": lambda: unsigned(AUTHOR, key=public_key_message(OTHER.did)),
    "another author than signed": lambda: signing.sign(OTHER, bytes(8), TOPIC, b"x").raw.replace(
        PeerId.of(OTHER.did).multihash, AUTHOR
    ),
    "a topic that is not UTF-8": lambda: unsigned(AUTHOR, topic=b"\xff\xfe"),
    "nothing": lambda: b"",
    "garbage": lambda: b"\xff" * 100,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_nobody_signed_reaches_nobody_and_ends_the_connection(server, name):
    with gossiped_at(server) as attacker:
        before = server.state()["gossip"]
        attacker.publish(MESSAGES[name]())
        assert attacker.is_scored()
        assert attacker.is_dropped_for(lambda: attacker.publish(MESSAGES[name]()))
        after = server.state()["gossip"]
        assert after["delivered"] == before["delivered"]
        assert after["malformed"] > before["malformed"]


def test_a_replayed_message_is_delivered_once(server):
    with gossiped_at(server) as attacker:
        before = server.state()["gossip"]
        message = attacker.signed(b"again and again").raw
        for _ in range(20):
            attacker.rpc(encode(Rpc(messages=(message,) * 500)))
        attacker.publish(attacker.signed(b"the last").raw)

        async def counted() -> None:
            await eventually(lambda: server.state()["gossip"]["duplicates"] >= before["duplicates"] + 9_999)

        asyncio.run(counted())
        assert server.state()["gossip"]["delivered"] <= before["delivered"] + 2


def test_a_flood_of_genuine_messages_keeps_what_is_remembered_within_bounds(server):
    """160 MiB in messages of 1 MiB, each signed: the cache holds 32 MiB of them."""
    with gossiped_at(server) as attacker:
        for _ in range(160):
            attacker.publish(attacker.signed(os.urandom(MIB - 1000)).raw)


def test_a_crowd_of_attackers_does_not_come_between_the_honest(server):
    """Thirty at once, all in the topic and the mesh as far as it lets them in."""
    with attacked(server):
        crowd = [Gossiper(server) for _ in range(30)]
        try:
            for attacker in crowd:
                attacker.say(Graft(TOPIC), subscribe=(TOPIC,))
                attacker.publish(MESSAGES["a bad signature"]())
            assert heard(server, os.urandom(2000))
        finally:
            for attacker in crowd:
                attacker.sock.close()


def test_the_bounds_are_the_ones_in_production():
    """Only intervals are shortened here."""
    production = RouterSettings()
    assert RouterSettings(OverlaySettings(heartbeat_ms=100), GossipSettings(follow_up_ms=500)) == GOSSIP
    assert GOSSIP.scores == production.scores
    assert GOSSIP.rpc_bytes_max == production.rpc_bytes_max
