"""Runs one guest within its limits and says how it ended. In a worker only."""

import time
from collections.abc import Callable

from wasmtime import (
    Engine,
    Func,
    FuncType,
    Global,
    Instance,
    Linker,
    Memory,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
)

from icn.adapters.wasm import bounds, preview1, wasi
from icn.adapters.wasm.admission import Entry
from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.guest import Guest, GuestStopped
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.rewrite import MEMORY_DENIED, TABLE_DENIED, THE_MEMORY, THE_START
from icn.adapters.wasm.watchdog import Watchdog
from icn.domain.mesh.execution import ExitKind, Limits

PROGRAM_NAME = b"job"
"""A guest's argument zero, the same everywhere."""

_VALUES = {0x7F: ValType.i32, 0x7E: ValType.i64}
_MASKS = {0x7F: 0xFFFF_FFFF, 0x7E: 0xFFFF_FFFF_FFFF_FFFF}


class Runner:
    """Executes guests one after the other on one engine."""

    def __init__(self, engine: Engine, watchdog: Watchdog) -> None:
        self._engine = engine
        self._watchdog = watchdog
        self._linker = Linker(engine)
        self._guest: Guest | None = None
        self._calls: dict[str, wasi.Call] = {}
        for module, name in preview1.IMPORTS:
            self._define(module, name)

    def run(self, artifact: Artifact, module: Module, asked: Run, answer: Callable[[Ended], None]) -> None:
        """Execute and hand the ending to `answer`, before the memory of a large guest is given back."""
        refused = _refused(artifact, asked.limits)
        if refused is not None:
            answer(refused)
            return
        store = Store(self._engine)
        try:
            answer(self._execute(store, artifact, module, asked))
        finally:
            self._guest, self._calls = None, {}
            store.close()

    def _execute(self, store: Store, artifact: Artifact, module: Module, asked: Run) -> Ended:
        limits = asked.limits
        store.set_limits(
            memory_size=limits.memory_bytes,
            table_elements=limits.table_elements,
            instances=1,
            tables=bounds.TABLES_MAX,
            memories=1,
        )
        store.set_fuel(limits.fuel)
        store.set_epoch_deadline(1)
        guest = Guest(store, limits, [PROGRAM_NAME, *asked.arguments], asked.input, asked.seed)
        guest.stdout_is_output = artifact.entry is Entry.COMMAND
        self._guest, self._calls = guest, wasi.calls(guest)
        instance: Instance | None = None
        kind, exit_code, detail = ExitKind.COMPLETED, 0, ""
        began = time.monotonic()
        self._watchdog.arm(limits.wall_ms)
        try:
            instance = self._linker.instantiate(store, module)
            self._call(store, instance, artifact, guest)
        except GuestStopped as stopped:
            kind, exit_code, detail = stopped.kind, stopped.exit_code, stopped.detail
        except Trap as trap:
            kind, detail = _trapped(trap)
        except WasmtimeError as error:
            # Nothing a module can bring about: its declarations were checked. The host ran out of something.
            kind, detail = ExitKind.WORKER_LOST, f"the engine failed: {error}"
        finally:
            self._watchdog.disarm()
        wall_ms = int((time.monotonic() - began) * 1000)
        said = guest.diagnostics.decode(errors="replace")
        memory, memory_denied, table_denied = _counted(store, instance, artifact)
        return Ended(
            exit=kind,
            exit_code=exit_code,
            output=bytes(guest.output),
            detail="\n".join(filter(None, (detail, said))),
            fuel_used=limits.fuel if kind is ExitKind.OUT_OF_FUEL else guest.fuel_used,
            memory_peak_bytes=memory,
            wall_ms=wall_ms,
            memory_growth_denied=memory_denied,
            table_growth_denied=table_denied,
        )

    def _call(self, store: Store, instance: Instance, artifact: Artifact, guest: Guest) -> None:
        exports = instance.exports(store)
        memory = exports.get(artifact.prefix + THE_MEMORY)
        guest.attach(memory if isinstance(memory, Memory) else None)
        start = exports.get(artifact.prefix + THE_START)
        if isinstance(start, Func):
            start(store)
        if artifact.entry is Entry.RUN:
            initialize = exports.get("_initialize")  # a WASI reactor's constructor
            if isinstance(initialize, Func):
                initialize(store)
        entry = exports[artifact.entry.value]
        result = entry(store) if isinstance(entry, Func) else None
        if artifact.entry is Entry.RUN and isinstance(result, int):
            guest.emit(result.to_bytes(8, "little", signed=True))

    def _define(self, module: str, name: str) -> None:
        found = preview1.IMPORTS[module, name]
        masks = [_MASKS[code] for code in found.parameters]

        def called(*signed: int) -> int | None:
            guest = self._guest
            if guest is None:
                raise GuestStopped(ExitKind.WORKER_LOST, detail="a host call without a guest")
            arguments = tuple(value & mask for value, mask in zip(signed, masks, strict=True))
            if module != preview1.WASI:
                wasi.abort(guest, arguments)
            call = self._calls.get(name)
            error = wasi.answer(guest, call, arguments) if call else wasi.unavailable(guest, name, arguments)
            return error if found.results else None

        parameters = [_VALUES[code]() for code in found.parameters]
        results = [_VALUES[code]() for code in found.results]
        self._linker.define_func(module, name, FuncType(parameters, results), called)


def _refused(artifact: Artifact, limits: Limits) -> Ended | None:
    """How a module ends that declares more than it may have: that counts as refused growth (semantics §6)."""
    memory_denied = int(artifact.memory_bytes > limits.memory_bytes)
    table_denied = sum(minimum > limits.table_elements for minimum in artifact.tables)
    if not memory_denied and not table_denied:
        return None
    wanted = (
        f"{artifact.memory_bytes} bytes of memory, allowed are {limits.memory_bytes}"
        if memory_denied
        else f"a table of {max(artifact.tables)} elements, allowed are {limits.table_elements}"
    )
    return Ended(
        exit=ExitKind.REFUSED,
        exit_code=0,
        output=b"",
        detail=f"declares {wanted}",
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=0,
        memory_growth_denied=memory_denied,
        table_growth_denied=table_denied,
    )


def _trapped(trap: Trap) -> tuple[ExitKind, str]:
    code = trap.trap_code
    if code is TrapCode.OUT_OF_FUEL:
        return ExitKind.OUT_OF_FUEL, "out of fuel"
    if code is TrapCode.INTERRUPT:
        return ExitKind.DEADLINE, "stopped at its deadline"
    if code is TrapCode.STACK_OVERFLOW:
        return ExitKind.STACK_OVERFLOW, "stack overflow"
    return ExitKind.TRAPPED, "trap: " + ("unknown" if code is None else code.name.lower().replace("_", " "))


def _counted(store: Store, instance: Instance | None, artifact: Artifact) -> tuple[int, int, int]:
    """Memory at the end, which never shrinks and so was the most, and the two counts of refused growth."""
    if instance is None:
        return 0, 0, 0
    exports = instance.exports(store)
    memory = exports.get(artifact.prefix + THE_MEMORY)
    size = memory.data_len(store) if isinstance(memory, Memory) else 0
    counts = []
    for name in (MEMORY_DENIED, TABLE_DENIED):
        counter = exports[artifact.prefix + name]
        counts.append(int(counter.value(store)) if isinstance(counter, Global) else 0)
    return size, counts[0], counts[1]
