"""The executor of several machines, as the node sees it: places that come and go, executions that end once.

It counts, hands over to the bridge, and takes back; where an execution runs is the bridge's affair (foreman). A bridge
that ends is replaced. What it had under way is lost then, and said to be lost when no guest of it can compute any more.

Not here: which job runs where (domain.mesh), trying again (the node).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from icn import __version__
from icn.adapters.cluster import bounds
from icn.adapters.cluster.bridge_process import BridgeGone, BridgeProcess
from icn.adapters.cluster.messages import (
    Alive,
    Begin,
    Ended,
    Hello,
    Looked,
    MachineDown,
    MachineRefused,
    MachineUp,
    Reached,
    RunnerTerms,
    Stop,
    ToNode,
    Unreachable,
)
from icn.adapters.cluster.settings import ClusterSettings
from icn.adapters.wasm import outcomes
from icn.adapters.wasm.admission import admit
from icn.adapters.wasm.attendant import IsolationMissing
from icn.adapters.wasm.pool import NoWorker
from icn.adapters.wasm.ports import Done
from icn.adapters.wasm.profile import profile
from icn.adapters.wasm.refusals import AlreadyExecuting, SandboxClosed, SandboxFull
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind
from icn.kernel.errors import Fault
from icn.kernel.ids import JobId

log = structlog.get_logger("icn.cluster")


class ClusterUnreachable(Fault):
    """The cluster that `executor.ray_address` names was not reached."""

    code = "cluster.unreachable"
    retryable = True


@dataclass(slots=True)
class _Open:
    number: int
    request: ExecutionRequest
    done: Done
    is_cancelled: bool = False


class ClusterPool:
    """Satisfies `icn.adapters.wasm.ports.Executor`. The cluster is reached in the background."""

    def __init__(
        self, settings: ClusterSettings, start: Callable[[ClusterSettings], BridgeProcess] = BridgeProcess.start
    ) -> None:
        """`start` gives a bridge that has been told nothing yet."""
        self._settings = settings
        self._start = start
        self._profile = profile()
        self._lock = threading.Lock()
        self._bridge: BridgeProcess | None = None
        self._machines: dict[str, MachineUp] = {}
        self._refused: dict[str, MachineRefused] = {}
        self._open: dict[tuple[JobId, int], _Open] = {}
        self._by_number: dict[int, _Open] = {}
        self._numbers = 0
        self._denied = (0, 0)
        self._failure = "it was not asked yet"
        self._is_connected = False
        self._unheard: tuple[str, ...] = ()
        self._has_looked = threading.Event()
        """Or it is known that it cannot."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._live, name="cluster", daemon=True)
        self._thread.start()

    @property
    def profile(self) -> str:
        """See `Executor.profile`. A machine with another one takes no jobs."""
        return self._profile

    def isolation(self) -> frozenset[str]:
        """See `Executor.isolation`: what every machine that takes jobs is sealed with.

        Raises `IsolationMissing` when no machine can be sealed as asked, `NoWorker` when none takes jobs for other
        reasons, and `ClusterUnreachable`.
        """
        self._has_looked.wait()
        with self._lock:
            machines, refused = list(self._machines.values()), list(self._refused.values())
            unheard = self._unheard
            if not self._is_connected:
                raise ClusterUnreachable(f"the cluster at {self._settings.address} cannot be reached: {self._failure}")
        if machines:
            return frozenset.intersection(*(frozenset(machine.isolation) for machine in machines))
        if refused and not unheard and all(machine.lacks for machine in refused):
            raise IsolationMissing(sorted({f"{part} (on {one.name})" for one in refused for part in one.lacks}))
        reasons = [f"{machine.name}: {machine.why}" for machine in refused]
        reasons += [f"{name}: its runner has not started; are its processors in use already?" for name in unheard]
        raise NoWorker(f"no machine of the cluster takes jobs: {'; '.join(reasons) or 'none has processors to give'}")

    def capacity(self) -> int:
        """See `Executor.capacity`: as many as the machines that take jobs have workers."""
        with self._lock:
            return self._capacity()

    def free(self) -> int:
        """See `Executor.free`."""
        with self._lock:
            return 0 if self._closing.is_set() else max(0, self._capacity() - len(self._open))

    def refused(self) -> tuple[MachineRefused, ...]:
        """Machines that cannot take jobs, for operators."""
        with self._lock:
            return tuple(self._refused.values())

    def submit(self, request: ExecutionRequest, module: bytes, done: Done) -> None:
        """See `Executor.submit`."""
        request.check()
        request.check_module(module)
        key = (request.job, request.attempt)
        with self._lock:
            if self._closing.is_set():
                raise SandboxClosed
            if key in self._open:
                raise AlreadyExecuting(str(request.job), request.attempt)
            if self._bridge is None or len(self._open) >= self._capacity():
                raise SandboxFull(self._capacity())
            self._numbers += 1
            execution = _Open(self._numbers, request, done)
            self._open[key] = self._by_number[execution.number] = execution
            self._bridge.send(Begin(execution.number, request, module))

    def cancel(self, job: JobId, attempt: int) -> bool:
        """See `Executor.cancel`."""
        with self._lock:
            execution = self._open.get((job, attempt))
            if execution is None:
                return False
            if not execution.is_cancelled and self._bridge is not None:
                self._bridge.send(Stop(execution.number))
            execution.is_cancelled = True
            return True

    def check(self, module: bytes) -> None:
        """See `Executor.check`."""
        admit(module)

    def denials(self) -> tuple[int, int]:
        """See `Executor.denials`."""
        with self._lock:
            return self._denied

    def close(self) -> None:
        """See `Executor.close`. May be called again.

        A machine that cannot be reached is not waited for: its guests end with its runner's lease.
        """
        with self._lock:
            self._closing.set()
            for execution in self._open.values():
                execution.is_cancelled = True
            bridge, patience = self._bridge, bounds.CLOSE_S if self._is_connected else 0.0
        if bridge is not None:
            bridge.hang_up()
            too_late = threading.Timer(patience, bridge.kill)
            too_late.start()
            self._thread.join()
            too_late.cancel()
        self._thread.join()

    def _capacity(self) -> int:
        return sum(machine.places for machine in self._machines.values())

    def _live(self) -> None:
        """One bridge after the other. On the pool's own thread: bridges die with it (hardening.die_with_parent)."""
        pause = bounds.BRIDGE_RETRY_S
        while not self._closing.is_set():
            if self._serve_one():
                pause = bounds.BRIDGE_RETRY_S
            self._has_looked.set()
            self._closing.wait(pause)
            pause = min(2 * pause, bounds.BRIDGE_RETRY_MAX_S)
        self._has_looked.set()

    def _serve_one(self) -> bool:
        """From the start of a bridge until nothing of it can compute any more. Whether it reached the cluster."""
        try:
            bridge = self._start(self._settings)
        except OSError as error:
            self._note_failure(f"its bridge could not be started: {error.strerror}")
            return False
        with self._lock:
            if self._closing.is_set():
                bridge.end()
                return False
            self._bridge = bridge
        bridge.send(Hello(self._settings.host, self._settings.port, self._settings.tls, self._terms()))
        try:
            if self._connect(bridge):
                while True:
                    self._take(bridge.receive(bounds.SILENCE_S))
        except BridgeGone as gone:
            if not self._closing.is_set():
                self._note_failure(str(gone))
        with self._lock:
            was_connected, self._is_connected = self._is_connected, False
            self._bridge = None
            self._machines.clear()
            self._refused.clear()
        bridge.end()
        if self._by_number and not self._closing.is_set():
            # The leases of its runners end with it; until then their guests may compute.
            self._closing.wait(bounds.LEASE_S + bounds.LEASE_GRACE_S)
        for number in list(self._by_number):
            why = "the connection with the cluster was lost"
            self._finish(number, outcomes.without_guest(ExitKind.WORKER_LOST, self._profile, why))
        return was_connected

    def _connect(self, bridge: BridgeProcess) -> bool:
        """Whether the cluster was reached. Raises `BridgeGone`."""
        try:
            said = bridge.receive(bounds.CONNECT_S)
        except BridgeGone as gone:
            raise BridgeGone(f"{gone}; {self._hint()}") from gone
        if isinstance(said, Unreachable):
            self._note_failure(f"{said.why}; {self._hint()}")
            return False
        with self._lock:
            self._is_connected = isinstance(said, Reached)
        log.info("cluster reached", address=self._settings.address)
        return self._is_connected

    def _hint(self) -> str:
        """What it may be: Ray does not tell these apart."""
        secured = "a Ray of this version and Python, "
        secured += "with this token, " if self._settings.token is not None else "without token authentication, "
        secured += "with TLS under this authority" if self._settings.tls is not None else "without TLS"
        return f"is there {secured}, and is it on this machine too?"

    def _take(self, message: ToNode) -> None:
        match message:
            case Ended(number, outcome):
                self._finish(number, outcome)
            case MachineUp(machine, name, places, isolation):
                with self._lock:
                    self._machines[machine] = message
                    self._refused.pop(machine, None)
                log.info("machine up", machine=name, places=places, sealed_with=list(isolation))
            case MachineDown(machine, name, why):
                with self._lock:
                    self._machines.pop(machine, None)
                    self._refused.pop(machine, None)
                log.warning("machine down", machine=name, why=why)
            case MachineRefused(machine, name, why):
                with self._lock:
                    self._refused[machine] = message
                log.warning("machine refused", machine=name, why=why)
            case Looked(unheard):
                with self._lock:
                    self._unheard = unheard
                self._has_looked.set()
            case Alive():
                pass
            case _:
                raise BridgeGone(f"it said {type(message).__name__} out of its turn")

    def _finish(self, number: int, outcome: ExecutionOutcome) -> None:
        with self._lock:
            execution = self._by_number.pop(number, None)
            if execution is None:
                raise BridgeGone("it ended an execution that it was not given")
            del self._open[execution.request.job, execution.request.attempt]
            memory, table = self._denied
            self._denied = memory + outcome.memory_growth_denied, table + outcome.table_growth_denied
        if execution.is_cancelled:
            # `cancel` said yes, so this is the outcome, even if the guest was quicker.
            outcome = outcomes.without_guest(ExitKind.CANCELLED, self._profile, "cancelled", outcome.wall_ms)
        execution.done(execution.request, outcome)

    def _note_failure(self, why: str) -> None:
        self._failure = why
        log.warning("cluster not reached", address=self._settings.address, why=why)

    def _terms(self) -> RunnerTerms:
        chosen, sandbox = self._settings, self._settings.sandbox
        return RunnerTerms(
            owner=chosen.owner,
            profile=self._profile,
            version=__version__,
            workers_per_machine=chosen.workers_per_machine,
            cache_path=chosen.cache_path,
            token_required=chosen.token is not None,
            isolation=sandbox.isolation.value,
            compile_ms=sandbox.compile_ms,
            executions_per_worker=sandbox.executions_per_worker,
            worker_memory_bytes=sandbox.worker_memory_bytes,
        )
