"""Modules whose size, shape or declarations are the attack, built as bytes: text is too slow and too polite."""

from icn.adapters.wasm import binary
from icn.adapters.wasm.binary import section, sized, u32

I32, I64, F64, V128 = b"\x7f", b"\x7e", b"\x7c", b"\x7b"
NOTHING_TO_NOTHING = b"\x60\x00\x00"
I64_TO_I64 = b"\x60\x01" + I64 + b"\x01" + I64
END = b"\x0b"
START_EXPORT = sized(b"_start") + b"\x00"


def vector(*entries: bytes) -> bytes:
    """A vector of already encoded entries."""
    return u32(len(entries)) + b"".join(entries)


def body(code: bytes, *locals_: tuple[int, bytes]) -> bytes:
    """A function body without its end, with groups of locals."""
    return sized(vector(*(u32(count) + kind for count, kind in locals_)) + code + END)


def module(
    *bodies: bytes,
    types: tuple[bytes, ...] = (NOTHING_TO_NOTHING,),
    functions: tuple[int, ...] | None = None,
    start_export: int = 0,
    more: dict[int, bytes] | None = None,
    tail: bytes = b"",
) -> bytes:
    """A command whose function `start_export` is `_start`; `more` are further sections by number."""
    payloads = {
        binary.TYPE: vector(*types),
        binary.FUNCTION: vector(*map(u32, functions or (0,) * len(bodies))),
        binary.EXPORT: vector(START_EXPORT + u32(start_export)),
        binary.CODE: vector(*bodies),
    } | (more or {})
    ordered = (section(number, payloads[number]) for number in binary.SECTION_ORDER if number in payloads)
    return binary.HEADER + b"".join(ordered) + tail


def data_segments(count: int, size: int) -> bytes:
    """Passive segments that nothing uses."""
    return module(body(b""), more={binary.DATA: vector(*(b"\x01" + sized(bytes(size)),) * count)})


def active_segments(count: int) -> bytes:
    """Segments that each write one byte into a memory at its beginning."""
    one = b"\x00\x41\x00\x0b" + sized(b"x")
    return module(body(b""), more={binary.MEMORY: vector(b"\x00\x01"), binary.DATA: vector(*(one,) * count)})


def custom_sections(count: int, size: int) -> bytes:
    """Sections that mean nothing."""
    return module(body(b""), tail=section(binary.CUSTOM, sized(b"name") + bytes(size)) * count)


def many_functions(count: int) -> bytes:
    """Empty ones."""
    return module(*(body(b""),) * count)


def many_locals(count: int, functions: int) -> bytes:
    """Functions with as many 128-bit locals, which each call must clear."""
    return module(body(b"\x10\x01"), *(body(b"", (count, V128)),) * functions)


def nested_blocks(depth: int) -> bytes:
    """One function of blocks within blocks."""
    return module(body(b"\x02\x40" * depth + END * depth))


def branch_tables(targets: int, tables: int) -> bytes:
    """Jump tables of as many targets, one after the other, each in a block of its own."""
    one = b"\x02\x40\x41\x00\x0e" + u32(targets) + bytes(targets + 1) + END
    return module(body(one * tables))


def long_expression(operations: int) -> bytes:
    """One function of a chain of multiplications, each dependent on the one before."""
    add = b"\x20\x00\x20\x00\x7e\x20\x00\x7c\x21\x00"  # x = x * x + x
    return module(body(add * operations, (1, I64)))


def dense_floats(functions: int, operations: int) -> bytes:
    """Divisions of floats, which cost most to compile: each gets its NaN checked."""
    one = body(b"\x20\x00" + b"\x20\x01\xa3" * operations + b"\x21\x00", (2, F64))
    return module(*(one,) * functions)


def many_branches(count: int) -> bytes:
    """One function of as many small branches, all over the same locals: work for a register allocator."""
    step = b"\x20\x00\x04\x40\x20\x01\x20\x02\x7c\x21\x03\x05\x20\x03\x20\x01\x7d\x21\x02\x0b\x20\x02\xa7\x21\x00"
    return module(body(step * count, (1, I32), (3, I64)))


def many_values_alive(count: int) -> bytes:
    """As many values on the stack at once, then summed."""
    pushed = b"".join(b"\x20\x00\x42" + u32(number % 60) + b"\x85" for number in range(count))
    return module(body(pushed + b"\x7c" * (count - 1) + b"\x21\x00", (1, I64)))


def many_types(count: int) -> bytes:
    """Types that nothing uses."""
    return module(body(b""), types=(NOTHING_TO_NOTHING,) + (I64_TO_I64,) * (count - 1))


def wide_type(parameters: int) -> bytes:
    """A function of more parameters than anybody needs."""
    wide = b"\x60" + sized(I64 * parameters) + b"\x00"
    call = b"\x42\x00" * parameters + b"\x10\x01"
    return module(body(call), body(b""), types=(NOTHING_TO_NOTHING, wide), functions=(0, 1))


def many_globals(count: int) -> bytes:
    """Globals that nothing uses."""
    return module(body(b""), more={binary.GLOBAL: vector(*(I64 + b"\x01\x42\x00\x0b",) * count)})


def many_element_segments(count: int, size: int) -> bytes:
    """Element segments that fill one table over and over."""
    one = b"\x00\x41\x00\x0b" + vector(*(b"\x00",) * size)
    return module(
        body(b""), more={binary.TABLE: vector(b"\x70\x00" + u32(size)), binary.ELEMENT: vector(*(one,) * count)}
    )
