"""Keeps bootstrap addresses connected: dials, waits, dials again, for ever.

| phase | leaves for |
|---|---|
| CONNECTING | CONNECTED when somebody answered, whoever dialled; WAITING when nobody did |
| WAITING | CONNECTING when the time has come, or CONNECTED when the peer has come to us meanwhile |
| CONNECTED | WAITING when the peer is gone, briefly if the connection had held for a while |

The wait doubles up to a bound and is drawn between half and all of it, so that nodes which lost each other at the same
moment do not all come back at the same moment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from icn.adapters.network.ports import DialPhase, DialState
from icn.adapters.network.settings import DialSettings
from icn.kernel.errors import Fault
from icn.kernel.ids import PeerId
from icn.protocol.libp2p.multiaddr import Multiaddr


class DialFailed(Fault):
    """Nobody we wanted answered. The message is the operator's."""

    code = "network.dial_failed"
    retryable = True


@dataclass(slots=True)
class _Target:
    address: Multiaddr
    peer: PeerId | None
    """Whom the address names, or who answered there last."""
    phase: DialPhase = DialPhase.CONNECTING
    attempts: int = 0
    next_attempt_ms: int | None = None
    last_error: str | None = None
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Its peer came or went."""


def backoff_ms(settings: DialSettings, attempts: int, chance: bytes) -> int:
    """How long to wait after `attempts` failures in a row; `chance` is two random bytes."""
    whole = min(settings.backoff_ms_max, settings.backoff_ms_min << min(attempts - 1, 32))
    return whole // 2 + whole * int.from_bytes(chance[:2], "big") // (2 * 65_535)


class Dialling:
    """All targets. `connect` dials once and gives who answered, or raises `DialFailed`."""

    def __init__(
        self,
        settings: DialSettings,
        *,
        connect: Callable[[Multiaddr], Awaitable[PeerId]],
        connected: Callable[[PeerId], bool],
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._connected = connected
        self._clock = clock
        self._entropy = entropy
        self._targets: list[_Target] = []
        self._slots = asyncio.Semaphore(settings.dials_max)
        self._added = asyncio.Event()

    def add(self, address: Multiaddr) -> None:
        """Keep `address` connected from now on. Raises `DialFailed` beyond `addresses_max`."""
        if any(target.address == address for target in self._targets):
            return
        if len(self._targets) >= self._settings.addresses_max:
            raise DialFailed(f"more than {self._settings.addresses_max} addresses to dial")
        self._targets.append(_Target(address, address.peer))
        self._added.set()

    async def run(self) -> None:
        """Dial until cancelled."""
        begun = 0
        async with asyncio.TaskGroup() as group:
            while True:
                self._added.clear()
                for target in self._targets[begun:]:
                    group.create_task(self._keep(target), name=f"dial {target.address}")
                begun = len(self._targets)
                await self._added.wait()

    def stir(self, peer: PeerId) -> None:
        """`peer` came up or went down."""
        for target in self._targets:
            if target.peer == peer:
                target.stirred.set()

    def states(self) -> list[DialState]:
        """The targets, in the order they were added."""
        return [DialState(str(t.address), t.phase, t.attempts, t.next_attempt_ms, t.last_error) for t in self._targets]

    async def _keep(self, target: _Target) -> None:
        while True:
            if not self._is_up(target):
                await self._attempt(target)
            if self._is_up(target):
                await self._hold(target)
            await self._wait(target)

    async def _attempt(self, target: _Target) -> None:
        target.phase, target.next_attempt_ms = DialPhase.CONNECTING, None
        async with self._slots:
            target.attempts += 1
            try:
                target.peer = await self._connect(target.address)
            except DialFailed as error:
                target.last_error = str(error)

    async def _hold(self, target: _Target) -> None:
        """Stay while the peer is up."""
        target.phase, target.next_attempt_ms, target.last_error = DialPhase.CONNECTED, None, None
        since = self._clock()
        while self._is_up(target):
            target.stirred.clear()
            await target.stirred.wait()
        target.last_error = "the connection was lost"
        if self._clock() - since >= self._settings.steady_ms:
            target.attempts = 0

    async def _wait(self, target: _Target) -> None:
        """Let the backoff pass, or less when the peer comes to us."""
        wait = backoff_ms(self._settings, max(1, target.attempts), self._entropy(2))
        target.phase, target.next_attempt_ms = DialPhase.WAITING, self._clock() + wait
        target.stirred.clear()
        try:
            async with asyncio.timeout(wait / 1000):
                await target.stirred.wait()
        except TimeoutError:
            return

    def _is_up(self, target: _Target) -> bool:
        return target.peer is not None and self._connected(target.peer)
