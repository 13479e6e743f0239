"""Decides whether a module may be a job at all, from what it declares (semantics §6).

The node asks it when a job is submitted, and a worker asks it again before compiling. Whether the code is valid
WebAssembly is decided there too, by the engine, and ends as the same refusal.
"""

from enum import Enum

from icn.adapters.wasm import bounds, declarations, preview1
from icn.adapters.wasm.declarations import Declarations, FunctionType
from icn.adapters.wasm.refusals import ModuleRefused

_NOTHING = FunctionType(b"", b"")
_TO_I64 = FunctionType(b"", b"\x7e")


class Entry(Enum):
    """How a module is called. `_start` wins where both are there."""

    COMMAND = "_start"
    """A WASI command: arguments, standard input and output, exit code."""
    RUN = "run"
    """`run() -> i64`, whose result is 8 little-endian bytes."""


def admit(module: bytes) -> tuple[Declarations, Entry]:
    """What `module` declares and how to call it. Raises `ModuleRefused` with the first reason against it."""
    if len(module) > bounds.MODULE_BYTES_MAX:
        raise ModuleRefused(f"has {len(module)} bytes, at most {bounds.MODULE_BYTES_MAX} are accepted")
    declared = declarations.declarations_of(module)
    for wanted in declared.imports:
        signature = preview1.IMPORTS.get((wanted.module, wanted.name)) if wanted.kind == declarations.FUNC else None
        if signature is None:
            raise ModuleRefused(f"imports {wanted}, which is not allowed")
        if wanted.type != signature:
            raise ModuleRefused(f"imports {wanted} with another type than it has")
    if declared.exported_function(Entry.COMMAND.value) == _NOTHING:
        return declared, Entry.COMMAND
    if declared.exported_function(Entry.RUN.value) == _TO_I64:
        return declared, Entry.RUN
    raise ModuleRefused("exports neither `_start` (a WASI command) nor `run() -> i64`")
