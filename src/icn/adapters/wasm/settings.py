"""What an operator chooses about the sandbox."""

from dataclasses import dataclass
from enum import Enum

from icn.adapters.wasm import hardening
from icn.kernel.limits import MIB


class Isolation(Enum):
    """The least that a worker must be sealed with. One that has less runs nothing: a weaker wall is never put in the
    place of the one that was asked for (semantics §10).
    """

    LIMITS = "limits"
    """Resource limits and no new privileges: what every Linux has. The engine's wall is then the only one."""
    SECCOMP = "seccomp"
    """Also a filter that leaves no system call but those that running guests takes."""
    FULL = "full"
    """Also an empty root, no network and no rights, which some kernels and most containers do not give."""

    def missing(self, parts: frozenset[str]) -> list[str]:
        """What of this level is not among `parts`."""
        return [part for part in hardening.ALL_PARTS[: _PARTS[self]] if part not in parts]


_PARTS: dict[Isolation, int | None] = {Isolation.LIMITS: 2, Isolation.SECCOMP: 3, Isolation.FULL: None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Times in milliseconds."""

    workers: int = 2
    """Processes, and so executions at once. About one per core that the node may use."""
    isolation: Isolation = Isolation.SECCOMP
    """The least."""
    executions_per_worker: int = 1000
    """After as many a worker is replaced, so that nothing can pile up in it."""
    worker_memory_bytes: int = 512 * MIB
    """A worker whose resident memory exceeds this, beside what its last guest had, is replaced. Compiled modules that
    it keeps ready count, and so does what the interpreter and the engine take, about 40 MiB."""
    start_ms: int = 15_000
    """For a worker to start, and to load a module."""
    compile_ms: int = 120_000
    """For a module to be compiled, which happens once per module and profile. A Go program takes half a minute. Nobody
    pays for it, so it bounds what a member's hostile module costs."""
    grace_ms: int = 50
    """After its wall time a guest is interrupted; if it has not ended so much later, its worker is killed."""
    cache_bytes_max: int = 256 * MIB
    """Compiled modules kept on disk."""
