"""Between engine and world: what a failed commit means to those who wait, here and elsewhere."""

import asyncio
from collections.abc import Callable

import pytest

from icn.adapters.network.gossip import PublicationDropped
from icn.adapters.network.ports import Delivery
from icn.kernel.ids import PeerId
from icn.kernel.limits import QUEUE_INPUTS_MAX
from icn.kernel.signing import SeedSigner
from icn.node import drivers as drivers_module
from icn.node import input_queue
from icn.node.departures import MayLeave
from icn.node.drivers import AnswerOverdue, Drivers
from icn.node.executions import Executions
from icn.node.writer import BatchFailed, Writer
from icn.protocol.codec import encode_message
from icn.protocol.libp2p.gossipsub.inputs import Verdict
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.protocol.messages import MESH_PROTOCOL, Acknowledged, Announce, Heads, Message
from icn.services.commands import Admit
from icn.services.effects import Committed, Dial, Judge, Publish, Send, Subscribe
from icn.services.inputs import Tick
from icn.stores.kv import StoreUnavailable

DID = SeedSigner(b"\1" * 32).did
PEER = PeerId.of(SeedSigner(b"\2" * 32).did)


class Counting:
    """An observer."""

    other_versions = 0

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        pass

    def observe_committed(self, effect: Committed) -> None:
        pass

    def observe_refusal(self, code: str) -> None:
        pass

    def observe_dropped_peer(self) -> None:
        pass

    def observe_other_version(self) -> None:
        self.other_versions += 1


class Line:
    """As much of a network as drivers use to end a conversation."""

    def __init__(self) -> None:
        self.ended: list[PeerId] = []
        self.reasons: list[str] = []
        self.dialled: list[Multiaddr] = []
        self.topics: list[str] = []
        self.published: list[tuple[str, bytes]] = []
        self.judged: list[tuple[bytes, Verdict]] = []
        self.sent: list[tuple[PeerId, str, bytes]] = []
        self.is_full = False

    def subscribe(self, topic: str) -> None:
        self.topics.append(topic)

    def unsubscribe(self, topic: str) -> None:
        self.topics.remove(topic)

    def publish(self, topic: str, payload: bytes) -> int:
        if self.is_full:
            raise PublicationDropped(topic, 3)
        self.published.append((topic, payload))
        return 1

    def judge(self, token: bytes, verdict: Verdict) -> None:
        self.judged.append((token, verdict))

    def send(self, peer: PeerId, protocol: str, payload: bytes) -> bool:
        self.sent.append((peer, protocol, payload))
        return True

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self.ended.append(peer)
        self.reasons.append(reason)


def idle_writer() -> Writer:
    """A writer whose thread never runs: what is offered waits."""

    def never(_: object) -> object:
        raise AssertionError

    return Writer(
        open_store=never,  # type: ignore[arg-type]  # never called
        reopen_store=never,  # type: ignore[arg-type]  # never called
        open_engine=never,  # type: ignore[arg-type]  # never called
        clock=None,  # type: ignore[arg-type]  # never asked
        elapsed=lambda: 0.0,
        on_author=lambda _store, _engine: None,
        on_report=lambda _report: None,
    )


def made(line: Line) -> Drivers:
    nothing: Callable[[Drivers], Executions] = lambda _: None  # type: ignore[assignment,return-value]  # none is run
    return Drivers(
        writer=idle_writer(),
        network=line,  # type: ignore[arg-type]  # all of the port that is used here
        executions=nothing,
        observer=Counting(),
        loop=asyncio.get_running_loop(),
        dial=line.dialled.append,
    )


def test_a_failed_commit_is_told_to_its_callers_and_begins_every_conversation_anew() -> None:
    async def story() -> None:
        line = Line()
        drivers = made(line)
        drivers.peer_up(PEER, "somewhere")
        asking = asyncio.ensure_future(drivers.ask(Admit(DID), principal=DID, key="k", digest=b"d", correlation="c"))
        await asyncio.sleep(0)
        drivers.report(BatchFailed((1,), StoreUnavailable("the disk is away")))
        with pytest.raises(StoreUnavailable):
            await asking
        assert line.ended == [PEER]

    asyncio.run(story())


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers_module, "ANSWER_SECS_MAX", 0.01)

    async def story() -> None:
        with pytest.raises(AnswerOverdue):
            await made(Line()).ask(Admit(DID), principal=DID, key="k", digest=b"d", correlation="c")

    asyncio.run(story())


def test_an_address_is_dialled_once_the_network_is_up() -> None:
    async def story() -> None:
        line = Line()
        drivers = made(line)
        drivers.report(MayLeave([Dial("/ip4/10.0.0.1/tcp/7000"), Dial("/nonsense")]))
        assert not line.dialled
        drivers.network_started()
        drivers.report(MayLeave([Dial("/ip4/10.0.0.2/tcp/7000")]))
        assert [str(address) for address in line.dialled] == ["/ip4/10.0.0.1/tcp/7000", "/ip4/10.0.0.2/tcp/7000"]

    asyncio.run(story())


def test_a_peer_of_another_version_is_let_go_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers_module, "NOTICE_SECS", 0.0)

    async def story() -> None:
        line = Line()
        drivers = made(line)
        drivers.peer_up(PEER, "somewhere")
        drivers.speaks(PEER, ("/ipfs/ping/1.0.0", "/icn/feed/9"))
        drivers.speaks(PEER, ("/ipfs/ping/1.0.0", "/icn/feed/9", "/icn/more/1"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert line.reasons == ["speaks /icn/feed/9, this node /icn/feed/1: upgrade this node"]

    asyncio.run(story())


def test_a_peer_that_learns_our_version_in_time_or_leaves_by_itself_is_not_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drivers_module, "NOTICE_SECS", 0.0)

    async def story() -> None:
        line = Line()
        drivers = made(line)
        for change in (lambda: drivers.speaks(PEER, ("/icn/feed/1",)), lambda: drivers.peer_down(PEER, "it left")):
            drivers.peer_up(PEER, "somewhere")
            drivers.speaks(PEER, ())
            change()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert line.ended == []

    asyncio.run(story())


SAID = Announce((b"a block",))


def delivery(payload: bytes = encode_message(SAID), topic: str = "t", bearer: PeerId = PEER) -> Delivery:
    return Delivery(b"token", topic, payload, PEER, bearer)


def gossiping() -> tuple[Line, Drivers]:
    line = Line()
    drivers = made(line)
    drivers.report(MayLeave([Subscribe("t")]))
    drivers.peer_up(PEER, "somewhere")
    return line, drivers


def test_a_publication_goes_to_the_writer_and_its_verdict_to_the_network() -> None:
    async def story() -> None:
        line, drivers = gossiping()
        before = drivers._writer.depth
        drivers.delivered(delivery())
        assert drivers._writer.depth == before + 1
        assert line.judged == []
        drivers.report(MayLeave([Judge(b"token", Verdict.ACCEPT), Publish("t", SAID)]))
        assert line.judged == [(b"token", Verdict.ACCEPT)]
        assert line.published == [("t", encode_message(SAID))]

    asyncio.run(story())


@pytest.mark.parametrize("payload", [b"", b"garbage", encode_message(Heads((), ""))])
def test_a_publication_that_holds_no_blocks_is_rejected_and_its_bearer_stays(payload: bytes) -> None:
    async def story() -> None:
        line, drivers = gossiping()
        drivers.delivered(delivery(payload))
        assert line.judged == [(b"token", Verdict.REJECT)]
        assert line.ended == []

    asyncio.run(story())


def test_a_publication_of_another_topic_or_by_somebody_who_is_gone_is_ignored() -> None:
    async def story() -> None:
        line, drivers = gossiping()
        drivers.delivered(delivery(topic="of the federation before"))
        drivers.peer_down(PEER, "gone")
        drivers.delivered(delivery())
        assert line.judged == [(b"token", Verdict.IGNORE)] * 2

    asyncio.run(story())


def test_a_node_has_one_topic() -> None:
    async def story() -> None:
        line, drivers = gossiping()
        drivers.report(MayLeave([Subscribe("t"), Subscribe("u"), Subscribe("u")]))
        assert line.topics == ["u"]

    asyncio.run(story())


def test_a_publication_that_no_queue_has_room_for_ends_nothing() -> None:
    async def story() -> None:
        line, drivers = gossiping()
        line.is_full = True
        drivers.report(MayLeave([Publish("t", SAID), Judge(b"token", Verdict.ACCEPT)]))
        assert line.published == []
        assert line.judged == [(b"token", Verdict.ACCEPT)]

    asyncio.run(story())


def test_the_queue_takes_so_many_inputs_and_none_once_the_writer_is_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_queue, "QUEUE_INPUTS_MAX", 2)
    writer = idle_writer()
    assert [writer.offer(Tick()).is_taken for _ in range(3)] == [True, True, False]
    assert writer.depth == 2
    other = idle_writer()
    other.stop()
    assert not other.offer(Tick()).is_taken


def test_what_waits_in_the_outbox_is_sent_as_the_bytes_that_wait_there() -> None:
    async def story() -> None:
        line = Line()
        drivers = made(line)
        drivers.peer_up(PEER, "somewhere")
        message = Acknowledged(7)
        drivers.report(MayLeave([Send(PEER.did, message, b"as kept"), Send(PEER.did, message)]))
        assert line.sent == [(PEER, MESH_PROTOCOL, b"as kept"), (PEER, MESH_PROTOCOL, encode_message(message))]

    asyncio.run(story())


def test_what_goes_to_several_peers_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Message] = []

    def counted(message: Message) -> bytes:
        encoded.append(message)
        return encode_message(message)

    monkeypatch.setattr(drivers_module, "encode_message", counted)

    async def story() -> None:
        line = Line()
        drivers = made(line)
        peers = [PeerId.of(SeedSigner(bytes([number]) * 32).did) for number in (2, 3)]
        for peer in peers:
            drivers.peer_up(peer, "somewhere")
        heads, other = Heads((), "root"), Acknowledged(7)
        drivers.report(MayLeave([Send(peer.did, message) for message in (heads, other) for peer in peers]))
        assert encoded == [heads, other]
        assert [payload for _, _, payload in line.sent] == [encode_message(m) for m in (heads, heads, other, other)]

    asyncio.run(story())


def test_who_floods_is_let_go_and_neither_members_nor_callers() -> None:
    async def story() -> None:
        line = Line()
        drivers = made(line)
        flooder = PeerId.of(SeedSigner(b"\3" * 32).did)
        for peer in (PEER, flooder):
            drivers.peer_up(peer, "somewhere")
        small = encode_message(Acknowledged(1))
        for _ in range(QUEUE_INPUTS_MAX):
            drivers.message(flooder, MESH_PROTOCOL, small)
        drivers.message(PEER, MESH_PROTOCOL, small)
        asking = asyncio.ensure_future(drivers.ask(Admit(DID), principal=DID, key="k", digest=b"d", correlation="c"))
        await asyncio.sleep(0)
        assert line.ended == [flooder]
        assert not asking.done()
        asking.cancel()

    asyncio.run(story())
