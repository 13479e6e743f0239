"""One running guest as its host functions see it: memory, fuel, virtual time, what it reads and writes.

Host calls cost fuel, because the engine charges nothing for them and a guest could otherwise stay in them for ever.
Time is fuel: one unit is one nanosecond of the guest's clock, so that the clock moves, is the same on every node,
and sleeping costs what it lasts.
"""

import ctypes
import hashlib

from wasmtime import Memory, Store

from icn.adapters.wasm import bounds
from icn.domain.mesh.execution import ExitKind, Limits

HOST_CALL_FUEL = 20_000
"""About what a host call takes in nanoseconds, so that fuel keeps its meaning when a guest does nothing else."""
EPOCH_NS = 1_700_000_000_000_000_000
"""What a guest's wall clock shows at its start: a fixed instant, after the birth of every certificate format."""

STDIN, STDOUT, STDERR = range(3)


class GuestStopped(Exception):
    """Ends the guest from inside a host call. Passes through the engine back to whoever called the guest."""

    def __init__(self, kind: ExitKind, exit_code: int = 0, detail: str = "") -> None:
        self.kind = kind
        self.exit_code = exit_code
        self.detail = detail
        super().__init__(detail)


class BadAddress(Exception):
    """The guest named memory it does not have; it is told EFAULT."""


class Guest:
    """State of one execution. Made anew for each, so nothing can leak from one job to the next."""

    def __init__(self, store: Store, limits: Limits, arguments: list[bytes], stdin: bytes, seed: bytes) -> None:
        self.arguments = arguments
        self.stdin = stdin
        self.stdin_position = 0
        self.output = bytearray()
        self.diagnostics = bytearray()
        self.open_descriptors = {STDIN, STDOUT, STDERR}
        self.stdout_is_output = True
        self._store = store
        self._limits = limits
        self._memory: Memory | None = None
        self._seed = seed
        self._random_calls = 0

    def attach(self, memory: Memory | None) -> None:
        """Give host functions the instance's memory; None when the module has none."""
        self._memory = memory

    @property
    def fuel_used(self) -> int:
        """Since the start."""
        return self._limits.fuel - self._store.get_fuel()

    def charge(self, fuel: int) -> None:
        """Burn `fuel`, or stop the guest when it has less."""
        left = self._store.get_fuel()
        if fuel > left:
            self._store.set_fuel(0)
            raise GuestStopped(ExitKind.OUT_OF_FUEL, detail="out of fuel in a host call")
        self._store.set_fuel(left - fuel)

    def clock_ns(self) -> int:
        """Nanoseconds of virtual time since the start."""
        return self.fuel_used

    def random(self, size: int) -> bytes:
        """Bytes that look random to the guest and are the same on every node: a function of seed and call number."""
        self._random_calls += 1
        return hashlib.shake_256(self._seed + self._random_calls.to_bytes(8, "big")).digest(size)

    def require(self, address: int, size: int) -> None:
        """Raises `BadAddress` unless all of it is inside the memory, before any of it is used."""
        if size:
            self._locate(address, size)

    def read(self, address: int, size: int) -> bytes:
        """Raises `BadAddress` outside the memory."""
        return ctypes.string_at(self._locate(address, size), size) if size else b""

    def write(self, address: int, content: bytes) -> None:
        """Raises `BadAddress` outside the memory."""
        if content:
            ctypes.memmove(self._locate(address, len(content)), content, len(content))

    def emit(self, content: bytes) -> None:
        """Add to the output; stops the guest at its limit, with what fitted kept."""
        room = self._limits.output_bytes - len(self.output)
        self.output += content[:room]
        if len(content) > room:
            raise GuestStopped(ExitKind.OUTPUT_LIMIT, detail=f"wrote more than {self._limits.output_bytes} bytes")

    def diagnose(self, content: bytes) -> None:
        """Keep the beginning of what goes to standard error."""
        self.diagnostics += content[: bounds.DIAGNOSTIC_BYTES_MAX - len(self.diagnostics)]

    def _locate(self, address: int, size: int) -> int:
        memory = self._memory
        if memory is None or address + size > memory.data_len(self._store):
            raise BadAddress
        return ctypes.addressof(memory.data_ptr(self._store).contents) + address
