"""Places and memory of this executor: what is in use, and what bids have promised.

```
 announcement ─> reserve ─────────────── take_up ─> begin ──────────── end
                    └ until it expires, or the home gives the attempt to another or is gone
```

What counts against the capacity is what is in use and what is promised and not expired, so that two bids never promise
the same place or memory, and an assignment that comes within its reservation always finds both.

Not here: who is offered a place (offering), running anything (executing).
"""

from dataclasses import dataclass, field, replace

from icn.domain.mesh.state import ExecutionKey
from icn.kernel.errors import require
from icn.kernel.ids import Did, JobId
from icn.kernel.instant import Instant
from icn.services.inputs import Strain

BidKey = tuple[Did, JobId, int]
"""(home, job, attempt). The home stands in it, so that nobody can occupy the name of somebody else's job."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a bid promised."""

    since: Instant
    until: Instant
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the capacity is taken."""

    places: int
    in_use: int
    reserved: int
    memory_bytes: int
    memory_in_use: int
    memory_reserved: int

    @property
    def is_within(self) -> bool:
        """Whether nothing is promised twice."""
        return (
            self.in_use + self.reserved <= self.places
            and self.memory_in_use + self.memory_reserved <= self.memory_bytes
        )


@dataclass(frozen=True, slots=True)
class ExecutorLoad:
    """How busy this node is as an executor."""

    usage: Usage
    waiting: int = 0
    """Announcements that wait for a place."""
    strain: Strain | None = None


NO_LOAD = ExecutorLoad(Usage(0, 0, 0, 0, 0, 0))
"""Of a node that has not begun."""


@dataclass(slots=True)
class Capacity:
    """Soft state: rebuilt from the executions under way when the node starts."""

    places: int
    """How many executions there may be at once; may change, and what is under way stays when it becomes less."""
    memory_bytes: int
    """What the memory limits of all of them may add up to."""
    in_use: dict[ExecutionKey, int] = field(default_factory=dict)
    """Executions that were accepted and not answered, with the memory each may take."""
    reserved: dict[BidKey, Reservation] = field(default_factory=dict)
    # Sums, so that a question costs the same however much is under way: each announcement asks several.
    _memory_in_use: int = field(default=0, compare=False, repr=False)
    _memory_reserved: int = field(default=0, compare=False, repr=False)
    _expires_from: Instant | None = field(default=None, compare=False, repr=False)
    """No promise has expired before this; None where there is none."""

    def usage(self, now: Instant) -> Usage:
        """How much is taken. What has expired does not count, whether or not it was cleared away."""
        count, memory = len(self.reserved), self._memory_reserved
        if self._has_expired(now):
            promised = [reservation for reservation in self.reserved.values() if reservation.until > now]
            count, memory = len(promised), sum(reservation.memory_bytes for reservation in promised)
        return Usage(self.places, len(self.in_use), count, self.memory_bytes, self._memory_in_use, memory)

    def fits(self, memory_bytes: int, now: Instant) -> bool:
        """Whether there is a place, and this much memory."""
        usage = self.usage(now)
        return (
            usage.in_use + usage.reserved < self.places
            and usage.memory_in_use + usage.memory_reserved + memory_bytes <= self.memory_bytes
        )

    def reserve(self, key: BidKey, reservation: Reservation, now: Instant) -> None:
        """Promise a place. There must be one."""
        require(self.fits(reservation.memory_bytes, now), "only what is free is promised")
        self._promise(key, reservation)

    def renew(self, key: BidKey, until: Instant, now: Instant) -> bool:
        """Let a promise hold until then, also where there is less to promise by now; False where there is none."""
        promise = self.reserved.get(key)
        if promise is None or promise.until <= now:
            return False
        self._promise(key, replace(promise, until=until))
        return True

    def take_up(self, key: BidKey, now: Instant) -> Reservation | None:
        """The promise is called in; None where there is none, or it has expired."""
        reservation = self._drop(key)
        return reservation if reservation is not None and reservation.until > now else None

    def release(self, key: BidKey) -> None:
        """Nothing will come of the bid."""
        self._drop(key)

    def release_home(self, home: Did) -> None:
        """The home is gone."""
        for key in [key for key in self.reserved if key[0] == home]:
            self._drop(key)

    def expire(self, now: Instant) -> None:
        """Clear away what has expired."""
        if not self._has_expired(now):
            return
        for key in [key for key, reservation in self.reserved.items() if reservation.until <= now]:
            self._drop(key)
        self._expires_from = self.next_expiry()

    def begin(self, key: ExecutionKey, memory_bytes: int) -> None:
        """An assignment was accepted."""
        require(key not in self.in_use, "an assignment is accepted once")
        self.in_use[key] = memory_bytes
        self._memory_in_use += memory_bytes

    def end(self, key: ExecutionKey) -> None:
        """It was answered, and its guest has ended."""
        memory_bytes = self.in_use.pop(key, None)
        require(memory_bytes is not None, "what ends was begun")
        self._memory_in_use -= memory_bytes or 0

    def clear(self) -> None:
        """As at a start."""
        self.in_use.clear()
        self.reserved.clear()
        self._memory_in_use = self._memory_reserved = 0
        self._expires_from = None

    def next_expiry(self) -> Instant | None:
        """When the next promise expires."""
        return min((reservation.until for reservation in self.reserved.values()), default=None)

    def _promise(self, key: BidKey, reservation: Reservation) -> None:
        self._drop(key)
        self.reserved[key] = reservation
        self._memory_reserved += reservation.memory_bytes
        first = self._expires_from
        self._expires_from = reservation.until if first is None else min(first, reservation.until)

    def _drop(self, key: BidKey) -> Reservation | None:
        reservation = self.reserved.pop(key, None)
        if reservation is not None:
            self._memory_reserved -= reservation.memory_bytes
        if not self.reserved:
            self._expires_from = None
        return reservation

    def _has_expired(self, now: Instant) -> bool:
        """Whether a promise may have."""
        return self._expires_from is not None and self._expires_from <= now
