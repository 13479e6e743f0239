"""A worker process: compiles or runs strangers' modules, one at a time, with nothing else in reach.

Started by `child` with an empty environment and one descriptor, a socket on standard input. It imports no more of the
node than it needs, warms up so that nothing must be loaded later, seals itself, and serves frames until the node
closes the socket or kills it.
"""

import gc
import socket
import sys
from collections import OrderedDict

from wasmtime import Module, WasmtimeError

from icn.adapters.wasm import bounds, hardening
from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.compiling import compile_module
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.frames import Kind, WorkerGone, receive, send, unpack
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.running import Runner
from icn.adapters.wasm.text import compile_text
from icn.adapters.wasm.watchdog import Watchdog
from icn.domain.mesh.execution import Limits

_WARM_UP = """(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $random (i32.const 0) (i32.const 8))) (drop (memory.grow (i32.const 1)))
    unreachable))"""


class Worker:
    """The loop, and the few compiled modules kept ready."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._engine = build_engine()
        self._watchdog = Watchdog(self._engine)
        self._runner = Runner(self._engine, self._watchdog)
        self._loaded: OrderedDict[bytes, tuple[Artifact, Module]] = OrderedDict()

    def serve(self) -> None:
        """Warm up, seal, and answer until the node hangs up."""
        self._warm_up()
        gc.freeze()
        parts = hardening.set_apart()
        self._watchdog.start()
        send(self._channel, Kind.READY, " ".join(hardening.seal() + parts).encode())
        while True:
            frame = receive(self._channel)
            if frame.kind is Kind.COMPILE:
                self._compile(frame.payload)
            elif frame.kind is Kind.LOAD:
                key, artifact = unpack(frame.payload, 2)
                self._load(key, artifact)
            elif frame.kind is Kind.RUN:
                self._run(Run.decode(frame.payload))

    def _compile(self, module: bytes) -> None:
        try:
            artifact = compile_module(self._engine, module)
        except ModuleRefused as refused:
            send(self._channel, Kind.REFUSED, refused.why.encode(errors="replace"))
        else:
            send(self._channel, Kind.COMPILED, artifact.encode())

    def _load(self, key: bytes, encoded: bytes) -> None:
        artifact = Artifact.decode(encoded)
        try:
            self._loaded[key] = artifact, Module.deserialize(self._engine, artifact.native)
        except WasmtimeError:
            return  # made for another processor: the run that follows is answered with MISSING
        while len(self._loaded) > bounds.MODULES_LOADED_MAX:
            self._loaded.popitem(last=False)

    def _run(self, asked: Run) -> None:
        found = self._loaded.get(asked.key)
        if found is None:
            send(self._channel, Kind.MISSING)
            return
        self._loaded.move_to_end(asked.key)
        send(self._channel, Kind.STARTED)
        self._runner.run(*found, asked, self._answer)

    def _answer(self, ended: Ended) -> None:
        send(self._channel, Kind.ENDED, ended.encode())

    def _warm_up(self) -> None:
        """Run a guest that calls the host, grows and traps, so that every path has loaded what it loads lazily."""
        artifact = compile_module(self._engine, compile_text(_WARM_UP))
        limits = Limits(fuel=10**9, memory_bytes=1 << 20, table_elements=1, wall_ms=10_000, output_bytes=1)
        asked = Run(key=b"", limits=limits, seed=b"", input=b"", arguments=())
        self._runner.run(artifact, Module.deserialize(self._engine, artifact.native), asked, lambda _ended: None)


def main() -> int:
    """Serve the socket on standard input."""
    hardening.die_with_parent()
    try:
        Worker(socket.socket(fileno=0)).serve()
    except WorkerGone:  # from here, the other end is the node
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
