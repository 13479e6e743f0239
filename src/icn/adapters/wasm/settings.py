"""What an operator chooses about the sandbox."""

from dataclasses import dataclass

from icn.kernel.limits import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSettings:
    """Times in milliseconds."""

    workers: int = 2
    """Processes, and so executions at once. About one per core that the node may use."""
    executions_per_worker: int = 1000
    """After as many a worker is replaced, so that nothing can pile up in it."""
    start_ms: int = 15_000
    """For a worker to start, and to load a module."""
    compile_ms: int = 120_000
    """For a module to be compiled, which happens once per module and profile. A Go program takes half a minute."""
    grace_ms: int = 50
    """After its wall time a guest is interrupted; if it has not ended so much later, its worker is killed."""
    cache_bytes_max: int = 256 * MIB
    """Compiled modules kept on disk."""
