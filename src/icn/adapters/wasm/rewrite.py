"""Rewrites a module so that every refused growth is counted, exactly, where it happens.

The engine's binding enforces caps but tells nobody what it refused. So each `memory.grow` and `table.grow` becomes a
call of an appended function that does the growth and, when the answer is −1, adds one to an appended counter that is
exported under a name the module does not use. Appending shifts no index. A start function becomes an export that the
worker calls itself: if it trapped during instantiation, instance and counters would be lost.

The module must have been validated *before*: indices out of range in a hostile module could point at what is
appended here. Names and other custom sections are dropped, since code offsets change.
"""

import re
from dataclasses import dataclass

from icn.adapters.wasm import binary, bounds
from icn.adapters.wasm.binary import Reader, sized, u32
from icn.adapters.wasm.declarations import FUNC, FUNCTION_REFERENCE, GLOBAL, MEMORY, Declarations
from icn.adapters.wasm.instructions import Growth, growths_in, locals_in
from icn.adapters.wasm.refusals import ModuleRefused

VERSION = 1
"""Part of the execution profile: what is appended costs fuel."""

MEMORY_DENIED, TABLE_DENIED, THE_MEMORY, THE_START = "memory denied", "table denied", "memory", "start"

_I32, _I64, _FUNCREF = b"\x7f", b"\x7e", bytes((FUNCTION_REFERENCE,))
_MAY_GROW = re.compile(rb"\x40[\x00\x80]|\xfc[\x0f\x8f]", re.DOTALL)
"""A body without these bytes grows nothing; most are skipped this way."""
_COUNTER = _I64 + b"\x01\x42\x00\x0b"
"""A mutable i64 global that begins at 0 (5.5.8)."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The module to compile, and the prefix of the names that were added to its exports."""

    module: bytes
    prefix: str


def rewrite(module: bytes, declared: Declarations) -> Rewritten:
    """The module with counting growth. `declared` are the declarations of this very module."""
    payloads = {number: payload for number, payload in binary.sections(module) if number != binary.CUSTOM}
    bodies = _bodies(payloads.get(binary.CODE, b"\0"))
    growths = [list(growths_in(body)) if _MAY_GROW.search(body) else [] for body in bodies]
    first_shim = declared.imported_functions + len(declared.functions)
    shims: dict[int | None, int] = {}
    for growth in (growth for found in growths for growth in found):
        shims.setdefault(growth.table, first_shim + len(shims))
    bodies = [_redirected(body, found, shims) for body, found in zip(bodies, growths, strict=True)]
    counters = declared.imported_globals + declared.globals_count
    types, functions = [], []
    for number, table in enumerate(shims):
        parameters = _I32 if table is None else _FUNCREF + _I32
        types.append(b"\x60" + sized(parameters) + sized(_I32))
        functions.append(u32(len(declared.types) + number))
        bodies.append(_shim(table, counters + (table is not None)))
    prefix = _unused_prefix(declared)
    exports = [
        _export(prefix + MEMORY_DENIED, GLOBAL, counters),
        _export(prefix + TABLE_DENIED, GLOBAL, counters + 1),
    ]
    if declared.memories:
        exports.append(_export(prefix + THE_MEMORY, MEMORY, 0))
    if declared.start is not None:
        exports.append(_export(prefix + THE_START, FUNC, declared.start))
        del payloads[binary.START]
    appended = {
        binary.TYPE: types,
        binary.FUNCTION: functions,
        binary.GLOBAL: [_COUNTER, _COUNTER],
        binary.EXPORT: exports,
    }
    for number, entries in appended.items():
        if entries:
            payloads[number] = binary.extended(payloads.get(number, b""), entries)
    if bodies:
        payloads[binary.CODE] = u32(len(bodies)) + b"".join(sized(body) for body in bodies)
    ordered = (binary.section(number, payloads[number]) for number in binary.SECTION_ORDER if number in payloads)
    return Rewritten(binary.HEADER + b"".join(ordered), prefix)


def _bodies(code: bytes) -> list[bytes]:
    reader = Reader(code)
    bodies = [
        reader.take(reader.count("bytes of a function", bounds.FUNCTION_BYTES_MAX))
        for _ in range(reader.count("functions", bounds.FUNCTIONS_MAX))
    ]
    declared = sum(map(locals_in, bodies))
    if declared > bounds.LOCALS_MAX:
        raise ModuleRefused(f"declares {declared} locals, at most {bounds.LOCALS_MAX} are accepted")
    return bodies


def _redirected(body: bytes, growths: list[Growth], shims: dict[int | None, int]) -> bytes:
    parts, position = [], 0
    for growth in growths:
        parts += [body[position : growth.start], b"\x10", u32(shims[growth.table])]  # call
        position = growth.end
    return b"".join([*parts, body[position:]])


def _shim(table: int | None, counter: int) -> bytes:
    """`result = grow(…); if result == -1: counter += 1; return result`, as a function body."""
    grow = b"\x20\x00\x40\x00" if table is None else b"\x20\x00\x20\x01\xfc\x0f" + u32(table)
    result = u32(1 if table is None else 2)  # the local behind the parameters
    count = u32(counter)
    return (
        b"\x01\x01" + _I32  # one local
        + grow + b"\x22" + result + b"\x41\x7f\x46"  # local.tee, i32.const -1, i32.eq
        + b"\x04\x40\x23" + count + b"\x42\x01\x7c\x24" + count + b"\x0b"  # if: counter = counter + 1
        + b"\x20" + result + b"\x0b"
    )  # fmt: skip


def _unused_prefix(declared: Declarations) -> str:
    prefix = "icn "
    while any(name.startswith(prefix) for name in declared.exports):
        prefix = "_" + prefix
    return prefix


def _export(name: str, kind: int, index: int) -> bytes:
    return sized(name.encode()) + bytes((kind,)) + u32(index)
