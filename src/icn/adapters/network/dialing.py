"""Keeps addresses connected: dials, waits, dials again, for ever; hearsay is given up when nobody answers there.

| phase | leaves for |
|---|---|
| CONNECTING | CONNECTED when somebody answered, whoever dialled; WAITING when nobody did; hearsay: given up |
| WAITING | CONNECTING when the time has come, or CONNECTED when the peer has come to us meanwhile |
| CONNECTED | WAITING when the peer is gone |

Every address has a circuit breaker (`protocol.breaker`). A call dials up to `retry.attempts_max` times, with jittered
and growing waits (`protocol.backoff`); `breaker.failure_threshold` failures in a row open the breaker, and from then on
there is one trial in `breaker.open_timeout_ms`. A connection that does not hold for `steady_ms` is a failure too: who
accepts and hangs up is not called in a circle. What calling again cannot mend (our own address, an impostor) opens the
breaker at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from icn.adapters.network.ports import DialPhase, DialState, Origin
from icn.adapters.network.settings import DialSettings
from icn.kernel.errors import Fault
from icn.kernel.ids import PeerId
from icn.protocol.backoff import CHANCE_BYTES, delay_ms
from icn.protocol.breaker import Breaker
from icn.protocol.libp2p.multiaddr import Multiaddr


class DialFailed(Fault):
    """Nobody we wanted answered. The message is the operator's."""

    code = "network.dial_failed"
    retryable = True

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        self.lasting = lasting
        """Whether the next attempt can only end the same way: somebody answered, and it was not whom we want."""
        super().__init__(message)


@dataclass(slots=True)
class _Target:
    address: Multiaddr
    origin: Origin
    peer: PeerId | None
    """Whom the address names, or who answered there last."""
    breaker: Breaker
    phase: DialPhase = DialPhase.CONNECTING
    attempts: int = 0
    retries: int = 0
    """Attempts after the first of a call, since the start."""
    next_attempt_ms: int | None = None
    last_error: str | None = None
    lost_for: str = ""
    """Why its peer's last connection ended."""
    is_dropped: bool = False
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    """Its peer came or went."""


class Dialling:
    """All targets."""

    def __init__(
        self,
        settings: DialSettings,
        *,
        connect: Callable[[Multiaddr, Origin], Awaitable[PeerId]],
        connected: Callable[[PeerId], bool],
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        given_up: Callable[[Multiaddr], object] = lambda _: None,
    ) -> None:
        """`connect` dials once and gives who answered, or raises `DialFailed`; `given_up` is told of hearsay."""
        self._settings = settings
        self._connect = connect
        self._connected = connected
        self._clock = clock
        self._entropy = entropy
        self._given_up = given_up
        self._targets: list[_Target] = []
        self._unbegun: list[_Target] = []
        self._slots = asyncio.Semaphore(settings.dials_max)
        self._added = asyncio.Event()

    async def once(self, address: Multiaddr, origin: Origin) -> PeerId:
        """Dial now, unless its peer is connected; if that succeeds, keep `address` connected. Raises `DialFailed`."""
        peer = address.peer
        if peer is None or not self._connected(peer):
            async with self._slots:
                peer = await self._connect(address, origin)
        self.add(address, origin)
        return peer

    def add(self, address: Multiaddr, origin: Origin) -> None:
        """Keep `address` connected from now on. Raises `DialFailed` beyond `addresses_max`."""
        for target in self._targets:
            if target.address == address:
                if target.origin.is_hearsay:
                    target.origin = origin
                return
        if len(self._targets) >= self._settings.addresses_max:
            raise DialFailed(f"more than {self._settings.addresses_max} addresses to dial")
        target = _Target(address, origin, address.peer, Breaker(self._settings.breaker))
        self._targets.append(target)
        self._unbegun.append(target)
        self._added.set()

    def drop_hearsay(self, peer: PeerId) -> None:
        """Let go of what hearsay led us to: `peer` may stay connected, and is not called again for it."""
        for target in self._targets:
            if target.peer == peer and target.origin.is_hearsay:
                target.is_dropped = True
                target.stirred.set()

    def calls(self, peer: PeerId) -> bool:
        """Whether an address of `peer` is being kept connected."""
        return any(target.peer == peer for target in self._targets)

    def answers_for(self, peer: PeerId) -> bool:
        """Whether `peer` is kept connected because somebody answers for its address."""
        return any(target.peer == peer and not target.origin.is_hearsay for target in self._targets)

    def unanswered_hearsay(self) -> int:
        """Addresses of hearsay that are being called, and where nobody has answered."""
        return sum(target.origin.is_hearsay and not self._is_up(target) for target in self._targets)

    async def run(self) -> None:
        """Dial until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._added.clear()
                unbegun, self._unbegun = self._unbegun, []
                for target in unbegun:
                    group.create_task(self._keep(target), name=f"dial {target.address}")
                await self._added.wait()

    def stir(self, peer: PeerId, lost_for: str = "") -> None:
        """`peer` came up, or went down for that reason."""
        for target in self._targets:
            if target.peer == peer:
                target.lost_for = lost_for
                target.stirred.set()

    def states(self) -> list[DialState]:
        """The targets, in the order they were added."""
        now = self._clock()
        return [
            DialState(
                address=str(target.address),
                origin=target.origin,
                state=target.phase,
                breaker=target.breaker.state(now),
                attempts=target.attempts,
                next_attempt_ms=target.next_attempt_ms,
                last_error=target.last_error,
                retries=target.retries,
                openings=target.breaker.opened_count,
            )
            for target in self._targets
        ]

    async def _keep(self, target: _Target) -> None:
        while True:
            dialled = not self._is_up(target) and await self._call(target)
            if self._is_up(target):
                await self._hold(target, dialled=dialled)
            if target.origin.is_hearsay and (target.is_dropped or target.breaker.trial_at() is not None):
                self._targets.remove(target)
                if not target.is_dropped:
                    self._given_up(target.address)
                return
            await self._wait(target, self._pause_ms(target))

    async def _call(self, target: _Target) -> bool:
        """Dial until somebody answers, the tries are used up, or the breaker opens; whether somebody answered."""
        tries = 0
        while not self._is_up(target) and target.breaker.admit(self._clock()):
            tries += 1
            target.retries += tries > 1
            if await self._attempt(target):
                return True
            if tries == self._settings.retry.attempts_max or target.breaker.trial_at() is not None:
                break
            await self._wait(target, delay_ms(self._settings.retry, tries, self._entropy(CHANCE_BYTES)))
        return False

    async def _attempt(self, target: _Target) -> bool:
        target.phase, target.next_attempt_ms = DialPhase.CONNECTING, None
        async with self._slots:
            target.attempts += 1
            try:
                target.peer = await self._connect(target.address, target.origin)
            except DialFailed as error:
                target.last_error = str(error)
                (target.breaker.trip if error.lasting else target.breaker.failed)(self._clock())
                return False
        target.breaker.answered()
        return True

    async def _hold(self, target: _Target, *, dialled: bool) -> None:
        """Stay while the peer is up. `dialled`: at this address, not the other way round."""
        target.phase, target.next_attempt_ms, target.last_error = DialPhase.CONNECTED, None, None
        steady_at = self._clock() + self._settings.steady_ms
        while self._is_up(target) and not target.is_dropped:
            target.stirred.clear()
            left = steady_at - self._clock()
            if left <= 0:
                target.attempts = 0
                if dialled:
                    target.breaker.succeeded()
            try:
                async with asyncio.timeout(left / 1000 if left > 0 else None):
                    await target.stirred.wait()
            except TimeoutError:
                continue
        if target.is_dropped:
            return
        target.last_error = f"the connection was lost: {target.lost_for}"
        if dialled and self._clock() < steady_at:
            target.breaker.failed(self._clock())

    def _pause_ms(self, target: _Target) -> int:
        """Between two calls: until the breaker lets a trial through, or as between two tries."""
        trial_at = target.breaker.trial_at()
        if trial_at is not None:
            return max(0, trial_at - self._clock())
        return delay_ms(self._settings.retry, max(1, target.attempts), self._entropy(CHANCE_BYTES))

    async def _wait(self, target: _Target, wait: int) -> None:
        """Let the time pass, or less when the peer comes to us."""
        target.phase, target.next_attempt_ms = DialPhase.WAITING, self._clock() + wait
        target.stirred.clear()
        try:
            async with asyncio.timeout(wait / 1000):
                await target.stirred.wait()
        except TimeoutError:
            return

    def _is_up(self, target: _Target) -> bool:
        return target.peer is not None and self._connected(target.peer)
