"""Runs a guest in the test's own process: for what host functions answer, without a worker in between."""

from functools import cache

from wasmtime import Engine, Module

from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.compiling import compile_module
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.messages import Ended, Run
from icn.adapters.wasm.running import Runner
from icn.adapters.wasm.watchdog import Watchdog
from icn.domain.mesh.execution import Limits
from support.wasm_guests import FD_WRITE, compiled, imported
from support.wasm_pool import LIMITS


@cache
def _engine() -> Engine:
    return build_engine()


@cache
def _runner() -> Runner:
    watchdog = Watchdog(_engine())
    watchdog.start()
    return Runner(_engine(), watchdog)


@cache
def _loaded(source: str | bytes) -> tuple[Artifact, Module]:
    artifact = compile_module(_engine(), compiled(source) if isinstance(source, str) else source)
    return artifact, Module.deserialize(_engine(), artifact.native)


def run_inside(
    source: str | bytes,
    *,
    arguments: tuple[str, ...] = (),
    given: bytes = b"",
    seed: bytes = b"seed",
    limits: Limits = LIMITS,
) -> Ended:
    """How the guest ended. `source`: text, or a binary module."""
    artifact, module = _loaded(source)
    encoded = tuple(argument.encode() for argument in arguments)
    asked = Run(key=b"", limits=limits, seed=seed, input=given, arguments=encoded)
    answers: list[Ended] = []
    _runner().run(artifact, module, asked, answers.append)
    (ended,) = answers
    return ended


def probe(imports: dict[str, str], code: str, size: int = 0, data: str = "") -> str:
    """A guest that runs `code` and writes the `size` bytes from address 0 to its output.

    `imports` gives the parameters of WASI functions; each is `$name` to the code. `$e` is a spare local.
    """
    declared = " ".join(imported(name, parameters) for name, parameters in imports.items() if name != "fd_write")
    return f"""(module {FD_WRITE} {declared} (memory (export "memory") 2) {data}
      (func (export "_start") (local $e i32) {code}
        (i32.store (i32.const 65532) (i32.const {size}))
        (i32.store (i32.const 65528) (i32.const 0))
        (drop (call $fd_write (i32.const 1) (i32.const 65528) (i32.const 1) (i32.const 65524)))))"""


def answer_of(name: str, parameters: str, arguments: str) -> int:
    """The error number a WASI function answers with."""
    code = f"(i32.store (i32.const 0) (call ${name} {arguments}))"
    ended = run_inside(probe({name: parameters}, code, 4))
    return int.from_bytes(ended.output, "little")
