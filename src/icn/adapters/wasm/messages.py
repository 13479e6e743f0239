"""What the node asks of a worker and what a worker answers, as fields of frames."""

from dataclasses import dataclass
from typing import Self

from icn.adapters.wasm import bounds
from icn.adapters.wasm.frames import WorkerGarbled, number, numbers, pack, unpack, unpack_all
from icn.domain.mesh.execution import ExitKind, Limits

_KINDS = {kind.value.encode(): kind for kind in ExitKind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a loaded module."""

    key: bytes
    """Names the artifact."""
    limits: Limits
    seed: bytes
    """From the job's id: all the entropy a guest gets."""
    input: bytes
    arguments: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The fields of a RUN frame."""
        asked = self.limits
        figures = (asked.fuel, asked.memory_bytes, asked.table_elements, asked.wall_ms, asked.output_bytes)
        return pack(self.key, b"".join(map(number, figures)), self.seed, self.input, *self.arguments)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The reverse; the node is trusted to have sent all fields."""
        key, figures, seed, given, *arguments = unpack_all(payload)
        fuel, memory_bytes, table_elements, wall_ms, output_bytes = numbers(figures, 5)
        limits = Limits(
            fuel=fuel,
            memory_bytes=memory_bytes,
            table_elements=table_elements,
            wall_ms=wall_ms,
            output_bytes=output_bytes,
        )
        return cls(key=key, limits=limits, seed=seed, input=given, arguments=tuple(arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a guest ended, as its worker saw it."""

    exit: ExitKind
    exit_code: int
    output: bytes
    detail: str
    fuel_used: int
    memory_peak_bytes: int
    wall_ms: int
    memory_growth_denied: int
    table_growth_denied: int

    def encode(self) -> bytes:
        """The fields of an ENDED frame."""
        figures = (
            self.exit_code,
            self.fuel_used,
            self.memory_peak_bytes,
            self.wall_ms,
            self.memory_growth_denied,
            self.table_growth_denied,
        )
        detail = self.detail[: bounds.DETAIL_CHARS_MAX].encode(errors="replace")
        return pack(self.exit.value.encode(), b"".join(map(number, figures)), self.output, detail)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """The reverse, or `WorkerGarbled`."""
        kind, figures, output, detail = unpack(payload, 4)
        if kind not in _KINDS:
            raise WorkerGarbled("an unknown exit kind")
        exit_code, fuel_used, memory_peak_bytes, wall_ms, memory_denied, table_denied = numbers(figures, 6)
        return cls(
            exit=_KINDS[kind],
            exit_code=exit_code,
            output=output,
            detail=detail.decode(errors="replace")[: bounds.DETAIL_CHARS_MAX],
            fuel_used=fuel_used,
            memory_peak_bytes=memory_peak_bytes,
            wall_ms=wall_ms,
            memory_growth_denied=memory_denied,
            table_growth_denied=table_denied,
        )
