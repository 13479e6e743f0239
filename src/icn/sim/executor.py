"""Scripted executors: what a sandbox would answer, as a pure function of the request, and the accidents around it."""

import hashlib
from dataclasses import replace

from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.sim.faults import Chance, Faults

TRAPS_ONE_IN = 12
PROFILE = "scripted/1"


def scripted_outcome(request: ExecutionRequest, module: bytes) -> ExecutionOutcome:
    """The same request gives the same output and fuel on any node. Some modules trap."""
    seed = hashlib.sha256(module + b"\0" + request.input + "\0".join(request.arguments).encode()).digest()
    if request.module is None:
        return outcome_of(ExitKind.COMPLETED, output=request.input)
    if seed[0] % TRAPS_ONE_IN == 0:
        return outcome_of(ExitKind.TRAPPED, detail="unreachable", fuel_used=seed[1])
    return outcome_of(ExitKind.COMPLETED, output=seed * (1 + seed[2] % 40), fuel_used=seed[1] * 1000)


def lie(outcome: ExecutionOutcome, liar: str) -> ExecutionOutcome:
    """Another result than the right one, and another one from each liar."""
    wrong = hashlib.sha256(liar.encode() + outcome.output).digest()
    return replace(outcome, exit=ExitKind.COMPLETED, output=wrong, detail="")


def accident(chance: Chance, faults: Faults) -> ExitKind | None:
    """What befalls a worker, if anything does."""
    if chance.happens(faults.worker_lost):
        return ExitKind.WORKER_LOST
    if chance.happens(faults.worker_hangs):
        return ExitKind.DEADLINE
    return None


def outcome_of(kind: ExitKind, *, output: bytes = b"", detail: str = "", fuel_used: int = 0) -> ExecutionOutcome:
    """An outcome with the rest left at nothing."""
    return ExecutionOutcome(
        exit=kind,
        exit_code=0,
        output=output,
        detail=detail,
        fuel_used=fuel_used,
        memory_peak_bytes=65_536,
        wall_ms=1,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile=PROFILE,
    )
