"""Builds outcomes: from what a worker reports, and where no guest ran or none lived to report."""

from icn.adapters.wasm.messages import Ended
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind


def of_guest(ended: Ended, profile: str) -> ExecutionOutcome:
    """What a worker reported."""
    return ExecutionOutcome(
        exit=ended.exit,
        exit_code=ended.exit_code,
        output=ended.output,
        detail=ended.detail,
        fuel_used=ended.fuel_used,
        memory_peak_bytes=ended.memory_peak_bytes,
        wall_ms=ended.wall_ms,
        memory_growth_denied=ended.memory_growth_denied,
        table_growth_denied=ended.table_growth_denied,
        profile=profile,
    )


def echo(request: ExecutionRequest, profile: str) -> ExecutionOutcome:
    """The built-in job: its output is its input, if that is within the limit (semantics §5)."""
    if len(request.input) > request.limits.output_bytes:
        return without_guest(ExitKind.OUTPUT_LIMIT, profile, f"wrote more than {request.limits.output_bytes} bytes")
    return without_guest(ExitKind.COMPLETED, profile, "", output=request.input)


def without_guest(
    kind: ExitKind, profile: str, detail: str, wall_ms: int = 0, *, output: bytes = b""
) -> ExecutionOutcome:
    """An outcome with nothing measured but the time."""
    return ExecutionOutcome(
        exit=kind,
        exit_code=0,
        output=output,
        detail=detail,
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=wall_ms,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile=profile,
    )
