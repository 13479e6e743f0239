"""Two connection machines joined by nothing but their bytes, with a clock that stands still until told."""

from dataclasses import dataclass, field
from typing import Any

from icn.kernel.ids import PeerId
from icn.kernel.signing import SeedSigner, Signer
from icn.protocol.libp2p.connection import Connection
from icn.protocol.libp2p.events import ConnectionEvent
from icn.protocol.libp2p.identify import PUSH, Identification
from icn.protocol.libp2p.limits import ConnectionLimits
from icn.protocol.libp2p.noise import Role
from icn.protocol.libp2p.secure_channel import Keys

ECHO = "/icn/test/echo/1"
TURNS_MAX = 10_000


def keys(number: int) -> Keys:
    """Repeatable keys: the number in every byte, of three kinds."""
    return Keys(SeedSigner(bytes([number]) * 32), bytes([number + 100]) * 32, bytes([number + 200]) * 32)


def about(name: str, *protocols: str) -> Identification:
    return Identification(agent=name, protocols=protocols, listen_addresses=(), observed=None)


@dataclass
class Side:
    """One machine and everything it told."""

    machine: Connection
    events: list[ConnectionEvent] = field(default_factory=list)

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Pair:
    """`one` dialled `two`."""

    def __init__(
        self,
        limits: ConnectionLimits | None = None,
        *,
        early_one: bool = True,
        early_two: bool = True,
        expected: PeerId | None = None,
        pushes: bool = True,
    ) -> None:
        """`pushes`: whether both say that they take identify's pushes."""
        limits = limits or ConnectionLimits()
        self._said = (ECHO, PUSH) if pushes else (ECHO,)
        self.now = 1000
        self.one = Side(self._machine(Role.INITIATOR, 1, limits, early_one, expected or self.peer_of(2)))
        self.two = Side(self._machine(Role.RESPONDER, 2, limits, early_two, None))

    @staticmethod
    def signer_of(number: int) -> Signer:
        return keys(number).signer

    @staticmethod
    def peer_of(number: int) -> PeerId:
        return PeerId.of(keys(number).signer.did)

    def _machine(
        self, role: Role, number: int, limits: ConnectionLimits, early: bool, expected: PeerId | None
    ) -> Connection:
        return Connection(
            role,
            keys(number),
            limits,
            now=self.now,
            owners={ECHO},
            about=about(f"side-{number}", *self._said),
            ping_secret=bytes([number]),
            expected=expected,
            early_muxer=early,
        )

    def settle(self, step: int = 1 << 20) -> None:
        """Carry bytes until nobody has any, `step` at a time."""
        for _ in range(TURNS_MAX):
            moved = self._carry(self.one, self.two, step) + self._carry(self.two, self.one, step)
            if not moved:
                return
        raise AssertionError("the machines never come to rest")

    def tick(self, milliseconds: int) -> None:
        self.now += milliseconds
        for side in (self.one, self.two):
            side.events += side.machine.tick(self.now)

    def _carry(self, source: Side, target: Side, step: int) -> int:
        data = source.machine.output(1 << 20)
        for start in range(0, len(data), step):
            target.events += target.machine.receive(data[start : start + step], self.now)
        return len(data)
