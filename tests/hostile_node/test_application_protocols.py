"""Hostile peers past the handshake, against a real node: whatever they say about blocks, jobs or content, it lives on.

After each attack the node answers over HTTP, pays a transfer, and greets an honest stranger. Over all of them its
memory grows by no more than `GROWTH_MAX`, its queue is empty again, and nothing reached its log as a failure.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from node_process import NodeProcess, base64_of, wait_until

from icn.domain.dag.block import FORMAT_VERSION, Header
from icn.domain.federation.events import FederationFounded, NodeAdmitted, NodeJoined
from icn.domain.ledger.events import (
    AccountOpened,
    HoldReleased,
    HoldSettled,
    ManaHeld,
    ManaRegenerated,
    TransferReceived,
    Transferred,
)
from icn.domain.ledger.model import HoldId, TransferNumber
from icn.domain.mesh.events import BiddingOpened, JobAssigned, JobRolledBack, JobSubmitted
from icn.domain.mesh.model import Status
from icn.domain.mesh.papers import seal_assignment, seal_bid, seal_receipt
from icn.kernel import signing
from icn.kernel.encoding import encode
from icn.kernel.fields import shape_of
from icn.kernel.ids import RAW, Cid, Did, JobId, PeerId
from icn.kernel.instant import Instant
from icn.kernel.limits import BLOCK_BYTES_MAX, CLOCK_AHEAD_MS_MAX, CLOCK_ENTRIES_MAX, KIB, MIB
from icn.kernel.mana import Mana
from icn.kernel.sealed import seal
from icn.kernel.signing import SeedSigner
from icn.protocol.codec import PROTOCOL_MESSAGE_BYTES_MAX, encode_message
from icn.protocol.messages import (
    CONTENT_PROTOCOL,
    FEED_PROTOCOL,
    MESH_PROTOCOL,
    Acknowledged,
    Announce,
    AssignmentSent,
    BidDeclined,
    BidOffered,
    Blocks,
    Chunk,
    ExecutionBegun,
    ExecutionCancelled,
    FeedCount,
    Fetch,
    Heads,
    Hello,
    JobAnnounced,
    NotHere,
    OutputPledged,
    ReceiptSent,
    Want,
)
from support import builders
from support.icn_attacker import Attacker, HostileMember, WallClock, claims
from support.libp2p_network import eventually
from support.processes import Nodes

pytestmark = pytest.mark.slow

GROWTH_MAX = 120_000_000
"""What peaks have left with the allocator: 22 to 74 MB on one and the same commit. Leaks are for the long run."""
MEMBER = str(builders.did(9))
SOMEBODY = builders.did(31)
PROTOCOLS = [FEED_PROTOCOL, MESH_PROTOCOL, CONTENT_PROTOCOL]
NO_CID = builders.cid("nobody has this")
JOB = JobId(bytes(20))
ABSURD = [2**62, 2**64 - 1]


@dataclass
class Target:
    """The node under attack."""

    node: NodeProcess
    resident: int = 0

    def rss(self) -> int:
        assert self.node.process is not None
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) * 1024

    def depth(self) -> int:
        return int(self.node.ask("GET", "/status")["queue"]["depth"])

    def root(self) -> str:
        return str(self.node.ask("GET", "/dag/root")["root"])

    def peers(self) -> int:
        return int(self.node.ask("GET", "/status")["peers"]["connected"])

    def told_of(self, peer: str) -> list[str]:
        """What the log says of letting a peer go."""
        return [line for line in list(self.node.log) if "peer dropped" in line and peer in line]

    async def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(self.node.ask, method, path, body)

    def attack(self, scenario: Callable[["Target"], Awaitable[None]]) -> None:
        """Run it, then see that the node is unharmed."""
        asyncio.run(self._attacked(scenario))

    async def _attacked(self, scenario: Callable[["Target"], Awaitable[None]]) -> None:
        await scenario(self)
        assert self.node.process is not None
        assert self.node.process.poll() is None, f"the node died:\n{self.node.last_words()}"
        assert (await asyncio.to_thread(self.node.call, "GET", "/health"))[0] == 200
        begun = time.monotonic()
        await self.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
        assert time.monotonic() - begun < 5, "others wait for what the attacker left behind"
        async with Attacker(self.node) as honest:
            await honest.hears(Hello)
            assert honest.heard(Hello), f"the node greets nobody: {honest.ended}"
        supply = (await self.ask("GET", "/status"))["mana"]["supply"]
        assert supply["balanced"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    nodes = Nodes(tmp_path_factory.mktemp("hostile"))
    # As many connections from one address as an attack here opens.
    node = nodes.start("node", "--join-policy", "open")
    target = Target(node)
    try:
        node.ask("POST", "/account/open", {"did": MEMBER})
        node.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
        target.attack(warm_up)
        target.resident = target.rss()
        yield target
        wait_until("an empty queue", lambda: target.depth() == 0)
        wait_until("an end of all connections", lambda: target.peers() == 0)
        grown = target.rss() - target.resident
        print(f"\nresident: {target.resident / 1e6:.1f} MB after warm-up, {grown / 1e6:+.1f} MB after all attacks")
        assert grown < GROWTH_MAX
        said = [json.loads(line) for line in node.log]
        bad = [line for line in said if line["level"] in {"error", "critical"}]
        assert not [line for line in bad if line["event"] != "a member signed two histories"]
    finally:
        nodes.end()


async def warm_up(target: Target) -> None:
    """Everything large once, so that growth is a leak and not the allocator."""
    await large_frames(target)
    await fetches_of_something_large(target)
    await blocks_without_parents(target, 1100)


# Bytes


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 100,
        b"",
        b"\x00",
        encode([1, {"agent": 5}]),
        encode([1, []]),
        encode({"number": 1}),
        encode([999, {}]),
        encode([-1, {}]),
        encode([2**63, {}]),
        b"\x9b" + b"\xff" * 8,
        b"\x82\x01\xbb" + b"\x7f" + b"\xff" * 7,
        b"\x81" * 5000,
    ],
    ids=lambda data: data[:6].hex() or "empty",
)
def test_what_is_no_message_ends_the_connection(target: Target, protocol: str, garbage: bytes) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            await attacker.greet()
            attacker.send_bytes(protocol, garbage)
            assert await attacker.is_thrown_out()

    target.attack(scenario)


MISPLACED = [
    (MESH_PROTOCOL, Want(())),
    (CONTENT_PROTOCOL, Acknowledged(1)),
    (FEED_PROTOCOL, Fetch(NO_CID, 0)),
    (FEED_PROTOCOL, BidDeclined(JOB, 1, "")),
]


@pytest.mark.parametrize(("protocol", "message"), MISPLACED)
def test_a_message_on_another_protocol_ends_the_connection(target: Target, protocol: str, message: Any) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            await attacker.greet()
            attacker.send_bytes(protocol, encode_message(message))
            assert await attacker.is_thrown_out()

    target.attack(scenario)


async def large_frames(target: Target) -> None:
    for protocol in PROTOCOLS:
        for size in (PROTOCOL_MESSAGE_BYTES_MAX[protocol], PROTOCOL_MESSAGE_BYTES_MAX[protocol] + 1):
            async with Attacker(target.node) as attacker:
                await attacker.greet()
                attacker.send_bytes(protocol, b"\x5a" + (size - 5).to_bytes(4, "big") + bytes(size - 5))
                # At the bound it is read and refused; beyond it, it costs the stream, and nothing behind it is heard.
                attacker.send(Fetch(NO_CID, 0))
                attacker.send(Want(()))
                await eventually(lambda one=attacker: bool(one.ended or one.heard(NotHere) or one.heard(Blocks)[1:]))


def test_frames_at_and_beyond_the_bound(target: Target) -> None:
    target.attack(large_frames)


# Greeting


def test_messages_before_hello_are_not_listened_to(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            (hello, *_) = await attacker.hears(Hello)
            attacker.send(Want(()), Heads(claims(hello, 2**62), ""), Announce((b"no block",)), Blocks((), more=True))
            await attacker.greet()
            assert len(attacker.heard(Blocks)) == 1, "the one for the Want that came with our Hello"
            assert not attacker.heard(Want)

    target.attack(scenario)


def test_a_thousand_hellos(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            hello = await attacker.greet()
            again = Hello("x" * 1000, hello.federation, (), "y" * 1000, executes=True)
            attacker.send(*[again] * 1000, Fetch(NO_CID, 0))
            await attacker.hears(NotHere)
            assert len(attacker.said) < 20

    target.attack(scenario)


def test_a_hello_with_as_many_feeds_as_there_may_be_and_one_more(target: Target) -> None:
    async def scenario(target: Target) -> None:
        names = [SeedSigner(number.to_bytes(32, "big")).did for number in range(1, CLOCK_ENTRIES_MAX + 2)]
        async with Attacker(target.node) as attacker:
            await attacker.greet(counts=tuple(FeedCount(name, 2**62) for name in names[:-1]))
            assert len(await attacker.hears(Want)) == 1
            await attacker.greet(counts=tuple(FeedCount(name, 1) for name in names))
            assert await attacker.is_thrown_out()

    target.attack(scenario)


@pytest.mark.parametrize("case", ["another federation", "a feed twice", "below zero"])
def test_a_hello_that_cannot_be(target: Target, case: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "another federation": {"federation": NO_CID},
        "a feed twice": {"counts": (FeedCount(SOMEBODY, 1), FeedCount(SOMEBODY, 2))},
        "below zero": {"counts": (FeedCount(SOMEBODY, -1),)},
    }

    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            await attacker.greet(**changes[case])
            assert await attacker.is_thrown_out()

    target.attack(scenario)


# Feeds


@pytest.mark.parametrize("count", ABSURD)
def test_claims_of_what_nobody_has_bring_few_questions(target: Target, count: int) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            hello = await attacker.greet()
            lies = Heads(claims(hello, count), "f" * 64)
            attacker.send(*[lies] * 2000, Fetch(NO_CID, 0))
            await attacker.hears(NotHere)
            assert len(attacker.heard(Want)) <= 1
            for _ in range(200):  # each empty answer ends a question; no more than one follows from a claim
                attacker.send(Blocks((), more=True), lies)
            attacker.send(Fetch(NO_CID, 0))
            await attacker.hears(NotHere, 2)
            assert len(attacker.heard(Want)) <= 202

    target.attack(scenario)


def test_a_flood_of_wants_is_answered_in_measure(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            await attacker.greet()
            attacker.send(*[Want(())] * 1000, Fetch(NO_CID, 0))
            await attacker.hears(NotHere)
            answers = attacker.heard(Blocks)
            assert answers
            assert sum(len(block) for answer in answers for block in answer.blocks) < 64 * MIB
            attacker.send(Want((FeedCount(SOMEBODY, 2**64 - 1),)), Want(((FeedCount(target_did(target), 2**64 - 1)),)))
            await attacker.hears(Blocks, len(answers) + 1)
            assert not attacker.ended

    target.attack(scenario)


def target_did(target: Target) -> Did:
    return Did.parse(target.node.did)


async def fetches_of_something_large(target: Target) -> None:
    put = await target.ask("POST", "/dag/put", {"data": base64_of(bytes(4 * MIB))})
    async with Attacker(target.node) as attacker:
        await attacker.greet()
        attacker.send(Fetch(NO_CID, 0))
        await attacker.hears(NotHere)
        attacker.stop_reading()
        attacker.send(*[Fetch(Cid.parse(put["cid"]), 0)] * 3000)
        await asyncio.to_thread(wait_until, "the end of who does not read", lambda: target.peers() == 0)
        me = str(PeerId.of(attacker.did))
        await asyncio.to_thread(wait_until, "a word about it", lambda: target.told_of(me))
        assert len(target.told_of(me)) == 1, "it is let go once, not once per message that was still to be sent"


def test_who_asks_and_does_not_read_is_dropped(target: Target) -> None:
    target.attack(fetches_of_something_large)


def test_unasked_blocks_that_are_none(target: Target) -> None:
    async def scenario(target: Target) -> None:
        for kind in (Announce, lambda blocks: Blocks(blocks, more=True)):
            for junk in (b"", b"\x82\x80\x80", b"x" * BLOCK_BYTES_MAX, b"x" * (BLOCK_BYTES_MAX + 1)):
                async with Attacker(target.node) as attacker:
                    await attacker.greet()
                    attacker.send(kind((junk,)))
                    assert await attacker.is_thrown_out()

    target.attack(scenario)


FORGERIES: dict[str, Callable[[HostileMember], bytes]] = {
    "a signature of nobody": lambda m: m.sign().data[:-64] + bytes(64),
    "no member": lambda m: builders.block(32, [], federation=m.federation, time=WallClock().now()).data,
    "another federation": lambda m: m.sign(federation=NO_CID).data,
    "a genesis of another federation": lambda m: (
        m.sign(
            FederationFounded("x", (m.did,), builders.policy()), federation=None, sequence=0, previous=None, parents=()
        ).data
    ),
    "older than its parents": lambda m: m.sign(time=1).data,
    "the previous block of somebody else": lambda m: (
        m.sign(previous=m.engine.state.feeds.heads[m.peer.did].cid, parents=()).data
    ),
    "its own block as a parent": lambda m: m.sign(parents=(m.engine.state.feeds.heads[m.did].cid,)).data,
    "a sequence left out": lambda m: m.sign(sequence=m.engine.state.feeds.next_sequence(m.did) + 1).data,
    "records of no form": lambda m: m.sign(records=({"name": "nothing"}, 5, "x")).data,
    "an unknown version": lambda m: m.sign(version=99).data,
}


def own_forged(member: HostileMember) -> bytes:
    """The node's next block, signed by somebody else."""
    feeds = member.engine.state.feeds
    head = feeds.heads[member.peer.did]
    header = Header(
        FORMAT_VERSION, member.federation, member.peer.did, head.sequence + 1, head.cid, (), WallClock().now()
    )
    body = shape_of(Header).to_map(header) | {"records": []}
    return seal(member.signer, signing.BLOCK, body)


FORGERIES["the node's own feed"] = own_forged


@pytest.mark.parametrize("case", list(FORGERIES))
def test_a_forged_block_is_refused_and_changes_nothing(target: Target, case: str) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            before = await asyncio.to_thread(target.root)
            member.send(Announce((FORGERIES[case](member),)))
            assert await member.is_thrown_out()
            assert await asyncio.to_thread(target.root) == before

    target.attack(scenario)


def _opened(owner: Did, home: Did, granted: int, rate: int = 0) -> AccountOpened:
    return AccountOpened(owner, home, 0, Mana(granted), rate, Mana(granted))


def _submitted(member: HostileMember, nonce: bytes, payer: Did) -> JobSubmitted:
    spec = builders.spec(deadline=Instant(WallClock().now() + 60_000))
    return JobSubmitted(JobId.of(member.did, nonce), nonce, 0, payer, spec)


NOT_ENTITLED: dict[str, Callable[[HostileMember], list[Any]]] = {
    "mint for itself": lambda m: [ManaRegenerated(m.did, Mana(10**6), Instant(WallClock().now()), 0)],
    "mint for the node": lambda m: [ManaRegenerated(m.peer.did, Mana(1), Instant(WallClock().now()), 0)],
    "a grant where it is not admitted": lambda m: [_opened(SOMEBODY, m.did, 1000)],
    "an account for the home of others": lambda m: [_opened(SOMEBODY, m.peer.did, 0)],
    "pay from the node's account": lambda m: [Transferred(TransferNumber(1), m.peer.did, m.did, Mana(5), "")],
    "pay what it does not have": lambda m: [Transferred(TransferNumber(1), m.did, m.did, Mana(10**6), "")],
    "take what nobody sent": lambda m: [TransferReceived(m.peer.did, TransferNumber(1), m.did, Mana(5))],
    "hold for no job": lambda m: [ManaHeld(HoldId(JOB.data), m.peer.did, Mana(5))],
    "settle a hold of others": lambda m: [HoldSettled(HoldId(JOB.data), TransferNumber(1), m.did, m.did, Mana(5))],
    "release a hold of others": lambda _: [HoldReleased(HoldId(JOB.data), "")],
    "a job that others pay": lambda m: [
        (job := _submitted(m, b"n" * 16, m.peer.did)),
        ManaHeld(HoldId(job.job.data), m.peer.did, Mana(10)),
    ],
    "a job without its hold": lambda m: [_submitted(m, b"n" * 16, m.did)],
    "bidding for a job of others": lambda _: [BiddingOpened(JOB, 1, Instant(WallClock().now() + 5))],
    "an assignment of others' job": lambda _: [JobAssigned(JOB, 1, Instant(WallClock().now() + 5), ())],
    "an end of others' job": lambda _: [JobRolledBack(JOB, Status.CANCELLED, "", 1, Mana(5))],
    "admit itself": lambda m: [NodeAdmitted(m.did)],
    "join again": lambda m: [NodeJoined(m.did, "x")],
    "join for somebody": lambda _: [NodeJoined(SOMEBODY, "x")],
    "found again": lambda m: [FederationFounded("x", (m.did,), builders.policy())],
}


@pytest.mark.parametrize("case", list(NOT_ENTITLED))
def test_a_record_its_author_may_not_write_is_refused_with_its_block(target: Target, case: str) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            before = await asyncio.to_thread(target.root)
            supply = (await target.ask("GET", "/status"))["mana"]
            member.send(Announce((member.sign(*NOT_ENTITLED[case](member)).data,)))
            assert await member.is_thrown_out()
            assert await asyncio.to_thread(target.root) == before
            assert (await target.ask("GET", "/status"))["mana"]["supply"] == supply["supply"]

    target.attack(scenario)


def test_two_blocks_of_one_sequence(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            before = await asyncio.to_thread(target.root)
            one, other = member.sign(), member.sign(time=WallClock().now() + 5)
            assert one.cid != other.cid
            member.send(Announce((one.data,)))
            await asyncio.to_thread(wait_until, "the first block", lambda: target.root() != before)
            member.send(Announce((other.data,)))
            assert await member.is_thrown_out()
            proofs = (await target.ask("GET", "/events?type=equivocation"))["items"]
            assert [proof["author"] for proof in proofs] == [target.node.did]
            assert str(member.did) in str(proofs)

    target.attack(scenario)


async def blocks_without_parents(target: Target, count: int) -> None:
    async with HostileMember(target.node) as member:
        await member.join()
        before = await asyncio.to_thread(target.root)
        first = member.engine.state.feeds.next_sequence(member.did) + 1
        padding = {"name": "x" * 4000}
        lonely = [
            member.sign(sequence=first + n, previous=Cid.of(n.to_bytes(4, "big"), 0x71), parents=(), records=(padding,))
            for n in range(count)
        ]
        for start in range(0, count, 250):
            member.send(Announce(tuple(block.data for block in lonely[start : start + 250])))
        member.send(Fetch(NO_CID, 0))
        await member.hears(NotHere)
        assert not member.ended
        assert len(member.heard(Want)) < 50
        assert await asyncio.to_thread(target.root) == before


def test_five_thousand_blocks_without_parents(target: Target) -> None:
    async def scenario(target: Target) -> None:
        await blocks_without_parents(target, 5000)

    target.attack(scenario)


def test_blocks_of_the_future_wait_and_do_not_keep_the_node_busy(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            before = await asyncio.to_thread(target.root)
            for time_ in (WallClock().now() + CLOCK_AHEAD_MS_MAX + 60_000, 2**62, 2**64 - 1):
                member.send(Announce((member.sign(time=time_).data,)))
            member.send(Fetch(NO_CID, 0))
            await member.hears(NotHere)
            assert not member.ended
            assert await asyncio.to_thread(target.root) == before

    target.attack(scenario)


def test_a_block_as_large_as_it_may_be(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            full = member.sign(records=tuple({"name": "x" * 250_000} for _ in range(4)))
            assert len(full.data) < BLOCK_BYTES_MAX
            member.send(Announce((full.data,)))
            assert await member.is_thrown_out()

    target.attack(scenario)


# Jobs


def _papers(member: HostileMember) -> dict[str, list[Any]]:
    node, me, other = member.peer.did, member.did, builders.signer(33)
    soon = Instant(WallClock().now() + 5_000)
    spec = builders.spec(deadline=soon)
    order = builders.assignment(1, 2, home=me, executor=node, deadline=soon, spec=spec)
    return {
        "a bid of another": [BidOffered(seal_bid(builders.bid(1, 2, executor=other.did, home=node), other))],
        "a bid for another home": [BidOffered(seal_bid(builders.bid(1, 2, executor=me, home=me), member.signer))],
        "a bid forged": [BidOffered(seal_bid(builders.bid(1, 2, executor=other.did, home=node), member.signer))],
        "a bid that is none": [BidOffered(b"")],
        "a bid too large": [
            BidOffered(
                seal_bid(builders.bid(1, 2, executor=me, home=node, capabilities=("x" * 20_000,)), member.signer)
            )
        ],
        "an assignment of another home": [
            AssignmentSent(
                1, seal_assignment(builders.assignment(1, 2, home=other.did, executor=node, deadline=soon), other)
            )
        ],
        "an assignment to another": [
            AssignmentSent(1, seal_assignment(builders.assignment(1, 2, home=me, deadline=soon), member.signer))
        ],
        "an assignment out of bounds": [
            AssignmentSent(
                1,
                seal_assignment(
                    builders.assignment(
                        1, 2, home=me, executor=node, spec=builders.spec(limits=builders.limits(fuel=2**60))
                    ),
                    member.signer,
                ),
            )
        ],
        "an assignment forged": [AssignmentSent(1, seal_assignment(order, other))],
        "a receipt of another": [
            ReceiptSent(1, seal_receipt(builders.receipt(1, 2, executor=other.did, home=node), other), b"")
        ],
        "a receipt forged": [
            ReceiptSent(1, seal_receipt(builders.receipt(1, 2, executor=other.did, home=node), member.signer), b"")
        ],
        "an output pledged": [OutputPledged(1, JOB, 1, b"")],
        "an announcement out of bounds": [
            JobAnnounced(JOB, 1, 2**62, builders.spec(capabilities=tuple(f"{n:05}" for n in range(1000))))
        ],
    }


PAPERS = [
    "a bid of another",
    "a bid for another home",
    "a bid forged",
    "a bid that is none",
    "a bid too large",
    "an assignment of another home",
    "an assignment to another",
    "an assignment out of bounds",
    "an assignment forged",
    "a receipt of another",
    "a receipt forged",
    "an output pledged",
    "an announcement out of bounds",
]


@pytest.mark.parametrize("case", PAPERS)
def test_a_paper_that_cannot_be_ends_the_connection(target: Target, case: str) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            before = await asyncio.to_thread(target.root)
            member.send(*_papers(member)[case])
            assert await member.is_thrown_out()
            assert await asyncio.to_thread(target.root) == before

    target.attack(scenario)


def test_what_is_said_of_unknown_jobs_leaves_nothing_behind(target: Target) -> None:
    """Bids, declines, receipts, starts, cancellations and acknowledgements, a thousand each."""

    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            node = member.peer.did
            before = await asyncio.to_thread(target.root)
            for n in range(1000):
                job = JobId.of(node, n.to_bytes(16, "big"))
                receipt = builders.receipt(1, 2, executor=member.did, home=node, job=job)
                bid = builders.bid(1, 2, executor=member.did, home=node, job=job)
                member.send(
                    ReceiptSent(n, seal_receipt(receipt, member.signer), b"x" * KIB),
                    BidOffered(seal_bid(bid, member.signer)),
                    BidDeclined(job, 2**63, "x" * KIB),
                    ExecutionBegun(-n, job, -(2**64)),
                    ExecutionCancelled(n, job, 2**64 - 1),
                    Acknowledged(-n - 1),
                    Acknowledged(2**64 - 1),
                )
                await asyncio.sleep(0)
            member.send(Fetch(NO_CID, 0))
            await member.hears(Acknowledged, 3000)
            assert not member.ended
            assert await asyncio.to_thread(target.root) == before, "no evidence of what never was is kept"

    target.attack(scenario)


def test_ten_thousand_announcements_reserve_no_more_than_there_is(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            spec = builders.spec(deadline=Instant(WallClock().now() + 600_000), max_price=Mana(10_000))
            for n in range(10_000):
                window = (2**62, 600_000)[n % 2]
                member.send(JobAnnounced(JobId.of(member.did, n.to_bytes(16, "big")), 1, window, spec))
                if n % 500 == 0:
                    await asyncio.sleep(0)
            await eventually(lambda: len(member.heard(BidOffered)) + len(member.heard(BidDeclined)) >= 10_000)
            capacity = (await target.ask("GET", "/status"))["executor"]["capacity"]
            assert len(member.heard(BidOffered)) <= capacity
        async with Attacker(target.node) as stranger:
            await stranger.greet()
            stranger.send(*[JobAnnounced(JOB, n, 1000, spec) for n in range(100)], Fetch(NO_CID, 0))
            await stranger.hears(NotHere)
            assert not stranger.heard(BidOffered)

    target.attack(scenario)


def test_assignments_that_nobody_bid_for(target: Target) -> None:
    """More than there are places, with a module that never comes: places are bounded, and so is what is answered."""

    async def scenario(target: Target) -> None:
        async with HostileMember(target.node) as member:
            await member.join()
            soon = Instant(WallClock().now() + 1500)
            for n in range(300):
                order = builders.assignment(
                    1, 2, job=JobId.of(member.did, n.to_bytes(16, "big")), home=member.did, executor=member.peer.did,
                    price=Mana(10), deadline=soon, spec=builders.spec(module=NO_CID, deadline=soon),
                )  # fmt: skip
                member.send(AssignmentSent(n, seal_assignment(order, member.signer)))
            await member.hears(Acknowledged, 300)
            status = await target.ask("GET", "/status")
            assert status["executor"]["running"] <= status["executor"]["capacity"]

            def answered() -> bool:
                return len(member.heard(ReceiptSent)) >= len(member.heard(ExecutionBegun)) > 0

            await eventually(answered)
            numbers = [message.number for message in member.said if hasattr(message, "number")]
            member.send(*[Acknowledged(number) for number in numbers])

    target.attack(scenario)


# Content


def test_fetches_of_what_is_not_here(target: Target) -> None:
    async def scenario(target: Target) -> None:
        put = await target.ask("POST", "/dag/put", {"data": base64_of(b"small")})
        known = Cid.parse(put["cid"])
        async with Attacker(target.node) as attacker:
            await attacker.greet()
            for n in range(10_000):
                attacker.send(Fetch(Cid.of(n.to_bytes(4, "big"), RAW), n))
                if n % 500 == 0:
                    await asyncio.sleep(0)
            attacker.send(*[Fetch(known, offset) for offset in (2**64 - 1, 2**62, 6, -1, -(2**64))])
            await attacker.hears(NotHere, 10_005)
            assert not attacker.ended
            assert not attacker.heard(Chunk)

    target.attack(scenario)


def test_chunks_that_nobody_asked_for(target: Target) -> None:
    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker:
            await attacker.greet()
            for n in range(50):
                attacker.send(Chunk(Cid.of(bytes([n]), RAW), 0, MIB, bytes(MIB)))
                attacker.send(NotHere(NO_CID))
            attacker.send(Fetch(NO_CID, 0))
            await attacker.hears(NotHere)
            assert not attacker.ended

    target.attack(scenario)


CHUNKS: dict[str, Callable[[Cid, int], Chunk]] = {
    "other bytes": lambda cid, _: Chunk(cid, 0, 5, b"wrong"),
    "nothing": lambda cid, offset: Chunk(cid, offset, 100, b""),
    "byte by byte": lambda cid, offset: Chunk(cid, offset, 8 * MIB, b"x"),
    "more than it said": lambda cid, offset: Chunk(cid, offset, 2, b"abc"),
    "more than there may be": lambda cid, offset: Chunk(cid, offset, 8 * MIB + 1, bytes(MIB)),
    "less than nothing": lambda cid, offset: Chunk(cid, offset, -1, b"x"),
    "for ever": lambda cid, offset: Chunk(cid, offset, offset + 2 * MIB, bytes(MIB)),
}


@pytest.mark.parametrize("case", list(CHUNKS))
def test_a_source_that_answers_wrongly_is_thrown_out(target: Target, case: str) -> None:
    async def scenario(target: Target) -> None:
        wanted = Cid.of(case.encode(), RAW)
        async with Attacker(target.node) as attacker:
            await attacker.greet()

            def answer(message: Any) -> None:
                if isinstance(message, Fetch) and attacker.is_up:
                    attacker.send(CHUNKS[case](message.cid, message.offset))

            attacker.on_message = answer
            asked = asyncio.create_task(asyncio.to_thread(target.node.call, "POST", "/dag/get", {"cid": str(wanted)}))
            assert await attacker.is_thrown_out()
            status, _ = await asked
            assert status == 404

    target.attack(scenario)


# Connections


def test_a_hundred_connections_one_after_another(target: Target) -> None:
    async def scenario(target: Target) -> None:
        for n in range(100):
            async with Attacker(target.node, seed=n.to_bytes(32, "big")) as attacker:
                await attacker.greet()

    target.attack(scenario)


def test_fifty_peers_at_once_from_one_address(target: Target) -> None:
    async def scenario(target: Target) -> None:
        crowd = [Attacker(target.node) for _ in range(50)]
        try:
            for start in range(0, len(crowd), 10):  # more handshakes at once are bounded below this layer
                await asyncio.gather(*(one.__aenter__() for one in crowd[start : start + 10]))
            await asyncio.gather(*(one.greet() for one in crowd))
            for one in crowd:
                one.send(*[Want(())] * 20, *[Fetch(NO_CID, 0)] * 20)
            await asyncio.gather(*(one.hears(NotHere, 20) for one in crowd))
            assert not [one.ended for one in crowd if one.ended]
        finally:
            await asyncio.gather(*(one.network.stop() for one in crowd))

    target.attack(scenario)


def test_who_does_not_read_what_the_node_says_of_its_own_accord(target: Target) -> None:
    """What waits for it is bounded; nobody else notices."""

    async def scenario(target: Target) -> None:
        async with Attacker(target.node) as attacker, Attacker(target.node) as honest:
            await attacker.greet()
            await honest.greet()
            attacker.stop_reading()
            attacker.send(*[Want(())] * 100)
            await target.ask("POST", "/mana/transfer", {"to": MEMBER, "amount": 1})
            await honest.hears(Heads)
            assert not honest.ended

    target.attack(scenario)
