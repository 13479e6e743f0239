"""Between engine and world: what a failed commit means to those who wait, here and elsewhere."""

import asyncio
from collections.abc import Callable

import pytest

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.node import drivers as drivers_module
from icn.node.departures import MayLeave
from icn.node.drivers import AnswerOverdue, Drivers
from icn.node.executions import Executions
from icn.node.writer import BatchFailed, Writer
from icn.protocol.libp2p.multiaddr import Multiaddr
from icn.services.commands import Admit
from icn.services.effects import Committed, Dial
from icn.stores.kv import StoreUnavailable

DID = SeedSigner(b"\1" * 32).did
PEER = PeerId.of(SeedSigner(b"\2" * 32).did)


class Counting:
    """An observer."""

    def observe_batch(self, *, inputs: int, seconds: float, depth: int) -> None:
        pass

    def observe_committed(self, effect: Committed) -> None:
        pass

    def observe_refusal(self, code: str) -> None:
        pass

    def observe_dropped_peer(self) -> None:
        pass


class Line:
    """As much of a network as drivers use to end a conversation."""

    def __init__(self) -> None:
        self.ended: list[PeerId] = []
        self.dialled: list[Multiaddr] = []

    def disconnect(self, peer: PeerId, reason: str) -> None:
        self.ended.append(peer)


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
