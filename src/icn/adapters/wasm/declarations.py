"""What a module declares: its imports, exports, memories, tables and start function (core specification, 5.5).

Reads sections in front of the code, never the code itself, so it costs little even for a module nobody trusts.
Not here: whether what is declared is acceptable (admission).
"""

from dataclasses import dataclass

from icn.adapters.wasm import binary, bounds
from icn.adapters.wasm.binary import Reader
from icn.adapters.wasm.refusals import ModuleRefused

FUNC, TABLE, MEMORY, GLOBAL = range(4)
FUNCTION_REFERENCE = 0x70
"""The encoding of funcref (5.3.3). References to host values are garbage collected and so switched off."""
KINDS = ("function", "table", "memory", "global")


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameters and results as their one-byte encodings (5.3.1)."""

    parameters: bytes
    results: bytes


@dataclass(frozen=True, slots=True)
class Import:
    """Something the module asks of its host."""

    module: str
    name: str
    kind: int
    type: FunctionType | None
    """Of a function; None for the other kinds."""

    def __str__(self) -> str:
        return f"{self.module}.{self.name} ({KINDS[self.kind]})"


@dataclass(frozen=True, slots=True)
class Declarations:
    """Everything of a module but its code and data."""

    types: tuple[FunctionType, ...]
    imports: tuple[Import, ...]
    functions: tuple[int, ...]
    """The type index of each function it defines."""
    tables: tuple[int, ...]
    """How many elements each table begins with; all hold function references."""
    memories: tuple[int, ...]
    """The pages each memory begins with."""
    globals_count: int
    """Of globals it defines."""
    exports: dict[str, tuple[int, int]]
    """Kind and index by name, in the order of the module."""
    start: int | None

    @property
    def imported_functions(self) -> int:
        """How many functions precede the module's own in the index space."""
        return sum(entry.kind == FUNC for entry in self.imports)

    @property
    def imported_globals(self) -> int:
        """How many globals precede the module's own in the index space."""
        return sum(entry.kind == GLOBAL for entry in self.imports)

    def exported_function(self, name: str) -> FunctionType | None:
        """The type of the function exported as `name`; None when there is no such function of its own."""
        kind, index = self.exports.get(name, (None, 0))
        own = index - self.imported_functions
        if kind != FUNC or not 0 <= own < len(self.functions) or self.functions[own] >= len(self.types):
            return None
        return self.types[self.functions[own]]


def declarations_of(module: bytes) -> Declarations:
    """Raises `ModuleRefused` for what cannot be read or has more of something than bounds allow."""
    found: dict[int, bytes] = {}
    for number, payload in binary.sections(module):
        if number == binary.CUSTOM:
            continue
        if number not in binary.SECTION_ORDER:
            raise ModuleRefused(f"has a section of unknown kind {number}")
        if number in found:
            raise ModuleRefused(f"has two sections of kind {number}")
        found[number] = payload
    empty = b"\0"
    types = _types(Reader(found.get(binary.TYPE, empty)))
    functions = Reader(found.get(binary.FUNCTION, empty))
    globals_count = Reader(found.get(binary.GLOBAL, empty)).u32()
    Reader(found.get(binary.DATA, empty)).count("data segments", bounds.DATA_SEGMENTS_MAX)
    start = found.get(binary.START)
    return Declarations(
        types=types,
        imports=_imports(Reader(found.get(binary.IMPORT, empty)), types),
        functions=tuple(functions.u32() for _ in range(functions.count("functions", bounds.FUNCTIONS_MAX))),
        tables=_tables(Reader(found.get(binary.TABLE, empty))),
        memories=_memories(Reader(found.get(binary.MEMORY, empty))),
        globals_count=globals_count,
        exports=_exports(Reader(found.get(binary.EXPORT, empty))),
        start=None if start is None else Reader(start).u32(),
    )


def _types(reader: Reader) -> tuple[FunctionType, ...]:
    types = []
    for _ in range(reader.count("types", bounds.TYPES_MAX)):
        if reader.byte() != 0x60:
            raise ModuleRefused("declares a type that is not a function type; garbage collection is not supported")
        parameters = reader.take(reader.u32())
        types.append(FunctionType(parameters, reader.take(reader.u32())))
    return tuple(types)


def _imports(reader: Reader, types: tuple[FunctionType, ...]) -> tuple[Import, ...]:
    imports = []
    for _ in range(reader.count("imports", bounds.IMPORTS_MAX)):
        module, name = reader.name(bounds.NAME_BYTES_MAX), reader.name(bounds.NAME_BYTES_MAX)
        kind, function_type = reader.byte(), None
        if kind == FUNC:
            index = reader.u32()
            if index >= len(types):
                raise ModuleRefused(f"imports {module}.{name} with a type it does not declare")
            function_type = types[index]
        elif kind == TABLE:
            _table(reader)
        elif kind == MEMORY:
            _limits(reader)
        elif kind == GLOBAL:
            reader.take(2)
        else:
            raise ModuleRefused(f"imports {module}.{name} of unknown kind {kind}")
        imports.append(Import(module, name, kind, function_type))
    return tuple(imports)


def _tables(reader: Reader) -> tuple[int, ...]:
    return tuple(_table(reader) for _ in range(reader.count("tables", bounds.TABLES_MAX)))


def _memories(reader: Reader) -> tuple[int, ...]:
    return tuple(_limits(reader) for _ in range(reader.count("memories", 1)))


def _exports(reader: Reader) -> dict[str, tuple[int, int]]:
    exports: dict[str, tuple[int, int]] = {}
    for _ in range(reader.count("exports", bounds.EXPORTS_MAX)):
        name = reader.name(bounds.NAME_BYTES_MAX)
        kind = reader.byte()
        exports[name] = (kind, reader.u32())
    return exports


def _table(reader: Reader) -> int:
    if reader.byte() != FUNCTION_REFERENCE:
        raise ModuleRefused("declares a table of something else than functions, which is not supported")
    return _limits(reader)


def _limits(reader: Reader) -> int:
    """The minimum of a table or memory type (5.3.7). Flags beyond "has a maximum" belong to other proposals."""
    flags = reader.byte()
    if flags > 1:
        raise ModuleRefused("declares a shared, 64-bit or custom-page memory or table, which is not supported")
    minimum = reader.u32()
    if flags:
        reader.u32()
    return minimum
