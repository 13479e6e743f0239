"""Turns a stranger's module into an artifact: admit, validate as written, rewrite, compile. In a worker only."""

from wasmtime import Engine, Module, WasmtimeError

from icn.adapters.wasm import bounds
from icn.adapters.wasm.admission import admit
from icn.adapters.wasm.artifact import Artifact
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.rewrite import rewrite


def compile_module(engine: Engine, module: bytes) -> Artifact:
    """Raises `ModuleRefused` for anything that cannot be a job."""
    declared, entry = admit(module)
    try:
        # As written: what is invalid must not become valid through what rewriting appends.
        Module.validate(engine, module)
    except WasmtimeError as error:
        raise ModuleRefused(f"not valid WebAssembly: {error}") from error
    rewritten = rewrite(module, declared)
    try:
        compiled = Module(engine, rewritten.module)
    except WasmtimeError as error:
        # Limits of the engine's own, such as the size of one function.
        raise ModuleRefused(f"cannot be compiled: {error}") from error
    native = bytes(compiled.serialize())
    if len(native) > bounds.NATIVE_BYTES_MAX:
        raise ModuleRefused(f"compiles to {len(native)} bytes, at most {bounds.NATIVE_BYTES_MAX} are accepted")
    return Artifact(
        entry=entry,
        prefix=rewritten.prefix,
        memory_bytes=sum(declared.memories) * bounds.PAGE_BYTES,
        tables=declared.tables,
        native=native,
    )
