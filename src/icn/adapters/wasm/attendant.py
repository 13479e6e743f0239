"""Looks after one worker: starts it, gives it executions one by one, replaces it when it is lost, killed or worn.

Compiling happens in a worker of its own that never runs a guest, so that what goes into the cache was never within a
guest's reach.
"""

import hashlib
import time

from icn.adapters.wasm import bounds, outcomes
from icn.adapters.wasm.cache import ModuleCache
from icn.adapters.wasm.child import Child, GuestOverdue
from icn.adapters.wasm.frames import WorkerGarbled, WorkerGone
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.open_execution import OpenExecution
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from icn.kernel.errors import Fault
from icn.kernel.ids import Cid


class IsolationMissing(Fault):
    """A worker could not be sealed with what `executor.isolation` asks for; nothing is run in it."""

    code = "sandbox.isolation_missing"

    def __init__(self, lacks: list[str]) -> None:
        self.lacks = lacks
        super().__init__(f"this system does not seal a worker with {', '.join(lacks)}")


class CompilingOverdue(Fault):
    """Compiling took longer than the settings allow, or more memory than a worker may have."""

    code = "sandbox.compiling_overdue"


_LOSSES = (WorkerGone, WorkerGarbled, IsolationMissing, TimeoutError, OSError)
"""What starting a worker or talking to one ends with when the fault is not the guest's."""


class Attendant:
    """Used by one thread. What it returns is the outcome; what happened to the worker stays here."""

    def __init__(self, settings: SandboxSettings, cache: ModuleCache, profile: str) -> None:
        self._settings = settings
        self._cache = cache
        self._profile = profile
        self._child: Child | None = None
        self._guest_bytes = 0
        self.isolation: frozenset[str] = frozenset()
        """What the newest worker is sealed with."""
        self.failure: Exception | None = None
        """Why there is no worker, when there is none."""

    @property
    def pid(self) -> int | None:
        """Of the worker process, while there is one."""
        child = self._child
        return None if child is None else child.pid

    def prepare(self) -> None:
        """Have a worker ready that lives and is not worn, if one can be started."""
        if self._child is not None and self._is_worn(self._child):
            self.discard()
        if self._child is not None:
            return
        try:
            self._child = self._start()
        except _LOSSES as error:
            self.failure = error
        else:
            self.failure, self._guest_bytes = None, 0

    def discard(self) -> None:
        """End the worker, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def execute(self, execution: OpenExecution) -> ExecutionOutcome:
        """Run it to its end, whatever that is."""
        module = execution.request.module
        if module is None:
            return outcomes.echo(execution.request, self._profile)
        if self._child is None or not self._child.alive:
            self.prepare()  # it died while idle, or could not be started before for a reason that is gone
        if self._child is None:
            return outcomes.without_guest(
                ExitKind.WORKER_LOST, self._profile, f"no worker could be started: {self.failure}"
            )
        began = time.monotonic()
        try:
            with execution.occupying(self._child):
                ended = self._run(self._child, execution, module)
        except ModuleRefused as refused:
            return outcomes.without_guest(ExitKind.REFUSED, self._profile, refused.why)
        except CompilingOverdue as overdue:
            return outcomes.without_guest(ExitKind.DEADLINE, self._profile, str(overdue), _since(began))
        except GuestOverdue as overdue:
            self.discard()
            return outcomes.without_guest(ExitKind.DEADLINE, self._profile, str(overdue), _since(began))
        except _LOSSES as error:
            self.discard()
            return outcomes.without_guest(ExitKind.WORKER_LOST, self._profile, f"worker lost: {error}", _since(began))
        finally:
            if execution.cancelled:
                self.discard()  # killed, if only after its answer
        return outcomes.of_guest(ended, self._profile)

    def _start(self) -> Child:
        child = Child.start(self._settings.start_ms)
        self.isolation = child.isolation
        lacks = self._settings.isolation.missing(child.isolation)
        if lacks:
            child.end()
            raise IsolationMissing(lacks)
        return child

    def _is_worn(self, child: Child) -> bool:
        used = child.usage() if child.alive else None
        return (
            used is None
            or child.executions >= self._settings.executions_per_worker
            or used.processor_s >= bounds.WORKER_CPU_S_WORN
            # The memory of the last guest may not have been given back yet: the answer comes before.
            or used.resident_bytes > self._settings.worker_memory_bytes + self._guest_bytes
        )

    def _run(self, child: Child, execution: OpenExecution, module: Cid) -> Ended:
        request, settings = execution.request, self._settings
        name = self._cache.name_of(module)
        asked = Run(
            key=name.encode(),
            limits=request.limits,
            seed=hashlib.sha256(request.job.data).digest(),
            input=request.input,
            arguments=tuple(argument.encode() for argument in request.arguments),
        )
        ended = child.run(asked, start_ms=settings.start_ms, grace_ms=settings.grace_ms)
        if ended is None:
            child.load(asked.key, self._cache.get(name) or self._compile(execution, name), settings.start_ms)
            ended = child.run(asked, start_ms=settings.start_ms, grace_ms=settings.grace_ms)
        if ended is None:
            # Compiled for another processor, such as that of the machine this disk was in before.
            self._cache.drop(name)
            child.load(asked.key, self._compile(execution, name), settings.start_ms)
            ended = child.run(asked, start_ms=settings.start_ms, grace_ms=settings.grace_ms)
        if ended is None:
            raise WorkerGarbled("cannot load what was just compiled on this machine")
        self._guest_bytes = min(ended.memory_peak_bytes, request.limits.memory_bytes)
        return ended

    def _compile(self, execution: OpenExecution, name: str) -> bytes:
        compiler = self._start()
        try:
            with execution.occupying(compiler):
                compiled = compiler.compile(execution.module, self._settings.compile_ms).encode()
        except TimeoutError:
            raise CompilingOverdue(f"compiling took more than {self._settings.compile_ms} ms") from None
        except WorkerGone as error:
            # A compiler has seen nothing but this module, so it is the module that was too much for it. To call that a
            # lost worker would let anybody have executors blamed, and each of them try in vain.
            raise CompilingOverdue("compiling took more memory or stack than a worker may have") from error
        finally:
            compiler.end()
        self._cache.put(name, compiled)
        return compiled


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
