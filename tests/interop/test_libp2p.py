"""Other implementations of libp2p, written by others from the same specifications, talk with us in both directions.

Each capability is tried with each implementation, once over a connection that we dialled and once over one that they
dialled. What came of it is the table in docs/interoperability.md: `make interop` writes it, and a run whose outcome is
another one than the table's fails. A combination that cannot work stands in `CANNOT` with its reason, which must be on
their side; it is tried all the same, and once it works the reason has to go.
"""

import asyncio
import os
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
import uvloop

from icn.adapters.network import discovery, tcp
from icn.adapters.network.ports import Origin
from icn.adapters.network.settings import DiscoverySettings
from icn.adapters.network.stream import RawStream
from icn.adapters.network.tcp import Libp2pNetwork
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.kademlia.settings import KademliaSettings
from icn.protocol.libp2p.multiaddr import Multiaddr
from support import interop_table
from support.interop_table import DIRECTIONS, PAGE, YES
from support.libp2p_judges import Implementation, Judge, implementations
from support.libp2p_network import Recorder, World, eventually

pytestmark = pytest.mark.slow

WE_DIAL, THEY_DIAL = DIRECTIONS
WRITE = "ICN_INTEROP_WRITE"
ECHO = "/icn/test/echo/1"
PING = "/ipfs/ping/1.0.0"
IDENTIFY = "/ipfs/id/1.0.0"
OURS_LATER, THEIRS_LATER = "/icn/test/ours-later/1", "/icn/test/theirs-later/1"
"""Protocols that a node begins to speak while it is connected."""
SIZES = (100, 1 << 20, 16 << 20)
STREAMS = 60
TOPIC = "icn/test"
PUBLICATIONS = 50
ANSWER_S = 0.2
SCENE_S_MAX = 30

ASKED_ONLY = DiscoverySettings(kademlia=KademliaSettings(first_refresh_ms=3_600_000))
"""Nobody searches by itself, so that who is found was found through the other."""

CANNOT: dict[tuple[str, str, str], str] = {}
"""By implementation, capability and direction."""


@dataclass
class Meeting:
    """A node of theirs and one of ours, connected."""

    implementation: Implementation
    theirs: Judge
    ours: Libp2pNetwork
    told: Recorder
    direction: str

    @property
    def peer(self):
        """They, as we know them."""
        return self.told.ups[0][0]

    @property
    def address(self) -> str:
        return self.ours.listen_addresses[0]

    async def connect(self) -> dict[str, str]:
        """In the direction of this meeting; gives what a dialler of theirs says of the connection, if it can."""
        said = {}
        if self.direction == WE_DIAL:
            self.ours.dial(Multiaddr.parse(self.theirs.address), Origin.REQUESTED)
        else:
            said = await self.theirs("dial", address=self.address)
        await self.told.until(lambda: len(self.told.ups) > len(self.told.downs))
        return said


async def echo(stream: RawStream) -> None:
    while chunk := await stream.read():
        await stream.write(chunk)


async def echoed(ours: Libp2pNetwork, peer, data: bytes) -> bytes:
    stream = await ours.open_stream(peer, ECHO)
    writing = asyncio.ensure_future(stream.write(data))
    got = await stream.read_exactly(len(data))
    await writing
    stream.close()
    return got


async def noise_and_yamux(meeting: Meeting) -> None:
    said = await meeting.connect()
    assert str(meeting.peer) == meeting.theirs.peer
    if "muxer" in said:
        assert said["peer"] == str(meeting.ours.peer_id)
        assert (said["encryption"], said["muxer"]) == ("/noise", "/yamux/1.0.0")


async def identify(meeting: Meeting) -> None:
    seen = await meeting.theirs.event("identify", peer=str(meeting.ours.peer_id))
    assert seen["agent"] == "icn/test"
    assert {ECHO, PING, IDENTIFY} <= set(seen["protocols"])
    await identify_of_theirs(meeting)


async def identify_of_theirs(meeting: Meeting) -> None:
    await eventually(lambda: meeting.ours.peers()[0].agent)
    [peer] = meeting.ours.peers()
    assert meeting.implementation.agent in peer.agent
    assert {ECHO, PING} <= set(peer.protocols)


async def identify_push(meeting: Meeting) -> None:
    meeting.ours.handle(OURS_LATER, echo)
    await meeting.theirs.event("pushed", peer=str(meeting.ours.peer_id), lists=OURS_LATER)
    await push_of_theirs(meeting)


async def push_of_theirs(meeting: Meeting) -> None:
    await meeting.theirs("serve", protocol=THEIRS_LATER)
    await eventually(lambda: THEIRS_LATER in meeting.ours.peers()[0].protocols)


async def signed_records(meeting: Meeting) -> None:
    seen = await meeting.theirs.event("identify", peer=str(meeting.ours.peer_id))
    assert seen["record"], "ours was not taken"
    await record_of_theirs(meeting)


async def record_of_theirs(meeting: Meeting) -> None:
    record = meeting.ours.peers()[0].record
    assert record is not None
    assert str(record.peer) == meeting.theirs.peer


async def ping(meeting: Meeting) -> None:
    answer = await meeting.theirs("ping", address=meeting.address)
    assert answer["ms"] >= 0
    await eventually(lambda: meeting.ours.peers()[0].rtt_ms is not None)


async def custom_protocol(meeting: Meeting) -> None:
    for size in SIZES:
        assert (await meeting.theirs("echo", address=meeting.address, count=size))["same"]
        data = bytes(range(251)) * (size // 251 + 1)
        assert await echoed(meeting.ours, meeting.peer, data) == data


async def many_streams(meeting: Meeting) -> None:
    assert (await meeting.theirs("echoes", address=meeting.address, streams=STREAMS))["same"]
    sent = [b"%d" % number * 100 for number in range(STREAMS)]
    assert await asyncio.gather(*(echoed(meeting.ours, meeting.peer, data) for data in sent)) == sent
    assert len(meeting.ours.peers()) == 1


async def gossip(meeting: Meeting) -> None:
    """Strictly signed on both sides: each refuses what the other's signature does not fit."""
    ours, theirs, told = meeting.ours, meeting.theirs, meeting.told
    told.on_delivery = lambda delivery: ours.judge(delivery.token, Verdict.ACCEPT)
    # They first: py-libp2p tells of its subscription before it has a mesh, and for a minute refuses who grafts it then.
    await theirs("subscribe", topic=TOPIC)
    ours.subscribe(TOPIC)
    while str(ours.peer_id) not in (await theirs("listening", topic=TOPIC))["peers"]:
        pass  # each question takes a round trip; the scene has its time limit
    await eventually(lambda: ours.gossip().mesh[TOPIC] > 0)
    while not told.deliveries:  # what is published before its mesh has us is for nobody
        await theirs("publish", topic=TOPIC, data="is anybody there?")
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await told.until(lambda: bool(told.deliveries))
    for number in range(PUBLICATIONS):
        await theirs("publish", topic=TOPIC, data=f"theirs {number}")
        assert ours.publish(TOPIC, b"ours %d" % number) > 0
    wanted = {b"theirs %d" % number for number in range(PUBLICATIONS)}
    await told.until(lambda: wanted <= {delivery.payload for delivery in told.deliveries})
    assert {delivery.author for delivery in told.deliveries} == {meeting.peer}
    for number in range(PUBLICATIONS):
        await theirs.event("message", topic=TOPIC, data=f"ours {number}", **{"from": str(ours.peer_id)})


async def kademlia(meeting: Meeting) -> None:
    """Each is asked by the other for a peer that only it is connected to."""
    async with World("libp2p") as world:
        near, _ = await world.start("near", meeting.address, discovery=ASKED_ONLY)
        far, told = await world.start("far", meeting.theirs.address, discovery=ASKED_ONLY)
        await eventually(
            lambda: len(meeting.ours.peers()) == 2 and all(peer.protocols for peer in meeting.ours.peers())
        )
        await told.until(lambda: bool(told.spoken))
        while not await meeting.ours.find(far.peer_id):
            pass  # they may not have heard yet what it speaks; the scene has its time limit
        assert [address.port for address in await meeting.ours.find(far.peer_id)] == [port_of(far)]
        found = await meeting.theirs("find", peer=str(near.peer_id))
        assert port_of(near) in [Multiaddr.parse(address).port for address in found["addresses"]]
    await eventually(lambda: [peer.peer for peer in meeting.ours.peers()] == [meeting.peer])


def port_of(network: Libp2pNetwork) -> int:
    return Multiaddr.parse(network.listen_addresses[0]).port


async def our_goodbye(meeting: Meeting) -> None:
    meeting.theirs.forget()
    meeting.ours.disconnect(meeting.peer, "enough")
    await meeting.theirs.event("disconnect", peer=str(meeting.ours.peer_id))
    await meeting.told.until(lambda: bool(meeting.told.downs))
    await meeting.connect()


async def our_goodbye_to_a_stream(meeting: Meeting) -> None:
    await meeting.theirs("hold", address=meeting.address)
    await our_goodbye(meeting)


async def their_death(meeting: Meeting) -> None:
    downs = len(meeting.told.downs)
    meeting.theirs.kill()
    await meeting.told.until(lambda: len(meeting.told.downs) > downs)
    assert meeting.ours.peers() == []


Scene = Callable[[Meeting], Awaitable[None]]
CAPABILITIES: dict[str, Scene] = {
    "Noise and Yamux": noise_and_yamux,
    "identify, each of the other": identify,
    "identify push, each to the other": identify_push,
    "signed peer records, each verifies the other's": signed_records,
    "ping, each the other": ping,
    "a protocol of one's own, 16 MiB each way": custom_protocol,
    "60 streams at once each way": many_streams,
    "gossip, 50 signed messages each way": gossip,
    "Kademlia, each finds a peer through the other": kademlia,
    "our end is noticed": our_goodbye,
    "their end is noticed": their_death,
}

HALVES: dict[str, tuple[str, Scene]] = {
    "identify, each of the other": ("identify, they to us", identify_of_theirs),
    "identify push, each to the other": ("identify push, they to us", push_of_theirs),
    "signed peer records, each verifies the other's": ("signed peer records, we verify theirs", record_of_theirs),
    "our end is noticed": ("our end is noticed, by a stream", our_goodbye_to_a_stream),
}
"""What can be seen of a capability where the other does not tell what it hears of us."""


def capabilities_of(implementation: Implementation) -> dict[str, Scene]:
    if implementation.tells:
        return CAPABILITIES
    return dict(HALVES.get(name, (name, scene)) for name, scene in CAPABILITIES.items())


async def tried(scene: Scene, meeting: Meeting) -> str:
    """What came of it: nothing, or how it failed."""
    try:
        async with asyncio.timeout(SCENE_S_MAX):
            await scene(meeting)
    except (AssertionError, OSError, TimeoutError, LookupError) as error:
        return "".join(traceback.format_exception(error))
    return ""


async def meet(implementation: Implementation, direction: str) -> tuple[str, dict[str, str]]:
    """The version of the other, and how each capability failed; an empty text for one that did not."""
    async with Judge(implementation.command()) as theirs, World("libp2p") as world:
        ours = world.make("ours", agent="icn/test", discovery=ASKED_ONLY)
        ours.handle(ECHO, echo)
        told = Recorder()
        await ours.start(told)
        meeting = Meeting(implementation, theirs, ours, told, direction)
        failures = {}
        for name, scene in capabilities_of(implementation).items():
            failures[name] = await tried(scene, meeting)
        assert not [event for event in theirs.events if event["event"] == "uncaught"]
        return theirs.version, failures


@pytest.mark.parametrize("implementation", implementations(), ids=lambda one: one.name.split()[0])
def test_what_runs_with_another_implementation_is_what_the_table_says(implementation, monkeypatch):
    monkeypatch.setattr(discovery, "PROTOCOL", implementation.kademlia)
    monkeypatch.setattr(tcp, "KADEMLIA", implementation.kademlia)
    name, cells, unexpected, version = implementation.name, {}, [], ""
    for direction in DIRECTIONS:
        version, failures = uvloop.run(meet(implementation, direction))
        for what, failure in failures.items():
            reason = CANNOT.get((name, what, direction), "")
            cells[what, direction] = f"no: {reason}" if reason else YES
            if failure and not reason:
                unexpected.append(f"{name}, {direction}, {what}:\n{failure}")
            elif reason and not failure:
                unexpected.append(f"{name}, {direction}, {what}: it works, so that it cannot stands there no longer")
    assert not unexpected, "\n".join(unexpected)
    text = interop_table.section(name, version, list(capabilities_of(implementation)), cells)
    page = PAGE.read_text(encoding="utf-8")
    if os.environ.get(WRITE) == "1":
        PAGE.write_text(interop_table.with_section(page, name, text), encoding="utf-8")
    else:
        assert interop_table.standing(page, name) == text, "the table is of another run: make interop writes it"
