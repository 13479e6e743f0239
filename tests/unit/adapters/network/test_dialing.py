"""When an address is dialled, told on a loop whose time jumps."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from icn.adapters.network.dialing import DialFailed, Dialling
from icn.adapters.network.ports import DialPhase, Origin
from icn.adapters.network.settings import DialSettings
from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner
from icn.protocol.backoff import RetrySettings
from icn.protocol.breaker import BreakerSettings, BreakerState
from icn.protocol.libp2p.multiaddr import Multiaddr
from support.virtual_loop import VirtualLoop, pass_time, run_virtually

PEER = PeerId.of(SeedSigner(hashlib.sha256(b"b").digest()).did)
ADDRESS = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}")
SETTINGS = DialSettings(RetrySettings(3, 100, 1_000), BreakerSettings(3, 5_000), steady_ms=30_000)
MIDDLE = b"\x80\x00"


def now_ms() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.now_ms()


@dataclass
class Town:
    """One address; whether somebody answers there, and when it was dialled."""

    up: bool = False
    answers: bool = False
    lasting: bool = False
    given_up: list[Multiaddr] = field(default_factory=list)
    dialled: list[int] = field(default_factory=list)

    async def connect(self, _address: Multiaddr, _origin: Origin) -> PeerId:
        self.dialled.append(now_ms())
        await pass_time(0)
        if not self.answers:
            raise DialFailed("nobody", lasting=self.lasting)
        self.up = True
        return PEER


Scene = Callable[[Town, Dialling], Awaitable[None]]


def play(scene: Scene, settings: DialSettings = SETTINGS, *, origin: Origin = Origin.BOOTSTRAP, **town: bool) -> None:
    async def main() -> None:
        there = Town(**town)
        dialling = Dialling(
            settings,
            connect=there.connect,
            connected=lambda _: there.up,
            clock=now_ms,
            entropy=lambda _: MIDDLE,
            given_up=there.given_up.append,
        )
        dialling.add(ADDRESS, origin)
        task = asyncio.create_task(dialling.run())
        await scene(there, dialling)
        task.cancel()
        await asyncio.wait([task])

    run_virtually(main())


def test_a_call_is_tried_three_times_and_then_one_trial_is_made_in_five_seconds():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(20)
        assert town.dialled == [0, 100, 300, 5_300, 10_300, 15_300]
        [state] = dialling.states()
        assert (state.state, state.breaker, state.attempts) == (DialPhase.WAITING, BreakerState.OPEN, 6)
        assert (state.retries, state.openings, state.last_error) == (2, 4, "nobody")
        assert state.next_attempt_ms == 20_300

    play(scene)


def test_a_patient_breaker_lets_the_next_call_begin_when_the_tries_are_used_up():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(1.5)
        assert town.dialled == [0, 100, 300, 400, 1_000, 1_100]
        assert dialling.states()[0].breaker is BreakerState.CLOSED

    play(scene, DialSettings(RetrySettings(2, 100, 600), BreakerSettings(100, 5_000)))


def test_a_trial_that_is_answered_closes_the_breaker_and_the_connection_is_kept():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(1)
        town.answers = True
        await pass_time(60)
        assert town.dialled == [0, 100, 300, 5_300]
        [state] = dialling.states()
        assert (state.state, state.breaker, state.attempts) == (DialPhase.CONNECTED, BreakerState.CLOSED, 0)

    play(scene)


def test_what_cannot_be_mended_by_calling_again_is_not_called_again_at_once():
    async def scene(town: Town, _dialling: Dialling) -> None:
        await pass_time(11)
        assert town.dialled == [0, 5_000, 10_000]

    play(scene, lasting=True)


def test_who_accepts_and_hangs_up_is_not_called_in_a_circle():
    async def scene(town: Town, dialling: Dialling) -> None:
        for _ in range(1000):
            await pass_time(0.02)
            town.up = False
            dialling.stir(PEER)
        assert len(town.dialled) <= 3 + 20 // 5
        assert dialling.states()[0].breaker is BreakerState.OPEN

    play(scene, answers=True)


def test_a_connection_that_had_held_is_called_again_at_once_when_it_is_lost():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(40)
        town.up = False
        dialling.stir(PEER, "it was pulled out")
        await asyncio.sleep(0)
        assert dialling.states()[0].last_error == "the connection was lost: it was pulled out"
        await pass_time(1)
        assert town.dialled == [0, 40_100]
        assert dialling.states()[0].breaker is BreakerState.CLOSED

    play(scene, answers=True)


def test_nobody_is_called_while_the_peer_is_here_by_its_own_call():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(1)
        town.up = True
        dialling.stir(PEER)
        await pass_time(60)
        assert town.dialled == [0, 100, 300]
        assert dialling.states()[0].state is DialPhase.CONNECTED

    play(scene)


def test_hearsay_is_given_up_when_nobody_answers_there():
    async def scene(town: Town, dialling: Dialling) -> None:
        assert dialling.unanswered_hearsay() == 1
        assert dialling.calls(PEER)
        await pass_time(20)
        assert town.dialled == [0, 100, 300]
        assert town.given_up == [ADDRESS]
        assert dialling.states() == []
        assert not dialling.calls(PEER)
        dialling.add(ADDRESS, Origin.DISCOVERED)
        await pass_time(20)
        assert len(town.dialled) == 6, "it may be told of again"

    play(scene, origin=Origin.DISCOVERED)


def test_hearsay_that_proved_true_is_kept_connected_until_nobody_answers_any_more():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(40)
        assert dialling.unanswered_hearsay() == 0
        town.up = False
        dialling.stir(PEER)
        await pass_time(40)
        assert town.dialled == [0, 40_100]
        town.up = town.answers = False
        dialling.stir(PEER)
        await pass_time(20)
        assert dialling.states() == []

    play(scene, origin=Origin.MDNS, answers=True)


def test_who_hearsay_led_to_can_be_let_go_while_it_is_connected():
    async def scene(town: Town, dialling: Dialling) -> None:
        await pass_time(1)
        dialling.drop_hearsay(PEER)
        await pass_time(1)
        assert town.up
        assert dialling.states() == []
        assert town.given_up == []

    play(scene, origin=Origin.DISCOVERED, answers=True)


def test_who_is_dialled_for_another_reason_is_not_let_go():
    async def scene(town: Town, dialling: Dialling) -> None:
        dialling.add(ADDRESS, Origin.REQUESTED)
        dialling.drop_hearsay(PEER)
        await pass_time(20)
        [state] = dialling.states()
        assert (state.origin, len(town.dialled)) == (Origin.REQUESTED, 6)

    play(scene, origin=Origin.DISCOVERED)


def test_what_the_operator_said_stays_when_others_say_it_too():
    async def scene(town: Town, dialling: Dialling) -> None:
        dialling.add(ADDRESS, Origin.DISCOVERED)
        await pass_time(20)
        assert [state.origin for state in dialling.states()] == [Origin.BOOTSTRAP]

    play(scene)
