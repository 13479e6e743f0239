"""Between engine and world: what a failed commit means to those who wait, here and elsewhere."""

import asyncio
from collections.abc import Callable

import pytest

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.node import drivers as drivers_module
from icn.node.drivers import AnswerOverdue, Drivers
from icn.node.executions import Executions
from icn.node.writer import BatchFailed, Writer
from icn.services.commands import Admit
from icn.services.effects import Committed
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
