"""Finds the instructions that grow memories and tables in a function body (core specification, 5.4).

A table of immediates is enough: to find two instructions one must only know how long every other one is. It covers
what the engine's configuration admits; anything else is refused rather than guessed at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from icn.adapters.wasm.binary import Reader
from icn.adapters.wasm.refusals import ModuleRefused

MEMORY_GROW = 0x40
_PREFIX_BULK, _PREFIX_VECTOR = 0xFC, 0xFD
_TABLE_GROW = 15


@dataclass(frozen=True, slots=True)
class Growth:
    """One growing instruction: the bytes it occupies in its body, and the table it grows (None: the memory)."""

    start: int
    end: int
    table: int | None


# What follows an opcode: "" nothing, one letter per LEB128 ("n"), fixed bytes ("1", "4", "8", "x" for sixteen),
# "v" a vector of labels and a default, "t" a vector of value types. A memory argument is two numbers (5.4.6).
_PLAIN: dict[int, str] = {
    **dict.fromkeys((0x00, 0x01, 0x05, 0x0B, 0x0F, 0x1A, 0x1B, 0xD1, *range(0x45, 0xC5)), ""),
    **dict.fromkeys((0x02, 0x03, 0x04), "n"),  # block type: s33, or one byte that reads as one
    **dict.fromkeys((0x0C, 0x0D, 0x10, 0x12, *range(0x20, 0x27), 0x3F, 0x40, 0x41, 0x42, 0xD0, 0xD2), "n"),
    **dict.fromkeys((0x11, 0x13, *range(0x28, 0x3F)), "nn"),
    0x0E: "v",
    0x1C: "t",
    0x43: "4",
    0x44: "8",
}
_BULK: dict[int, str] = {
    **dict.fromkeys(range(8), ""),
    **dict.fromkeys((8, 10, 12, 14), "nn"),
    **dict.fromkeys((9, 11, 13, 15, 16, 17), "n"),
}
_VECTOR: dict[int, str] = {
    **dict.fromkeys(range(276), ""),  # relaxed operations end at 275
    **dict.fromkeys((*range(12), 92, 93), "nn"),
    **dict.fromkeys((12, 13), "x"),
    **dict.fromkeys(range(21, 35), "1"),
    **dict.fromkeys(range(84, 92), "nn1"),
}
_FIXED = {"1": 1, "4": 4, "8": 8, "x": 16}


def locals_in(body: bytes) -> int:
    """How many locals a function body declares, in groups of a number and a type (5.5.13)."""
    reader, total = Reader(body), 0
    for _ in range(reader.u32()):
        total += reader.u32()
        reader.byte()
    return total


def growths_in(body: bytes) -> Iterator[Growth]:
    """Every growing instruction of a function body, in order. The body must have been validated."""
    reader = Reader(body)
    for _ in range(reader.u32()):  # groups of locals (5.5.13): how many, and their type
        reader.u32()
        reader.byte()
    while not reader.at_end:
        start = reader.position
        opcode = reader.byte()
        if opcode == MEMORY_GROW:
            reader.u32()
            yield Growth(start, reader.position, None)
        elif opcode == _PREFIX_BULK:
            operation = reader.u32()
            if operation == _TABLE_GROW:
                table = reader.u32()
                yield Growth(start, reader.position, table)
            else:
                _skip(reader, _BULK.get(operation), opcode)
        elif opcode == _PREFIX_VECTOR:
            _skip(reader, _VECTOR.get(reader.u32()), opcode)
        else:
            _skip(reader, _PLAIN.get(opcode), opcode)


def _skip(reader: Reader, immediates: str | None, opcode: int) -> None:
    if immediates is None:
        raise ModuleRefused(f"uses an instruction that is not supported (opcode 0x{opcode:02x})")
    for immediate in immediates:
        if immediate == "n":
            while reader.byte() >= 0x80:
                pass
        elif immediate == "v":
            for _ in range(reader.u32() + 1):
                reader.u32()
        elif immediate == "t":
            reader.take(reader.u32())
        else:
            reader.take(_FIXED[immediate])
