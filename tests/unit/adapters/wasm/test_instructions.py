"""The table of immediates is held against the engine, so that neither can know an instruction the other does not."""

from collections.abc import Iterator

import pytest
from wasmtime import Engine, Module, WasmtimeError

from icn.adapters.wasm import binary, instructions
from icn.adapters.wasm.binary import HEADER, section, sized, u32
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.instructions import Growth, growths_in
from icn.adapters.wasm.refusals import ModuleRefused

IMMEDIATES = {"n": b"\0", "1": b"\0", "4": bytes(4), "8": bytes(8), "x": bytes(16), "v": b"\0\0", "t": b"\x01\x7f"}
WITH_ANOTHER_IMMEDIATE = {0x02: b"\x40\x0b", 0x03: b"\x40\x0b", 0x04: b"\x40\x0b", 0xD0: b"\x70"}
"""Blocks must be closed; a null reference names its type."""
ONLY_IN_PLACE = {0x05, 0x0B}
"""`else` and `end` stand where a block has them."""
NO_LOCALS, ONE_LOCAL = b"\0", b"\x01\x01\x7f"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build_engine()


def body_of(instruction: bytes) -> bytes:
    """Between two `unreachable`, where any operands are there and any results are forgotten (3.3)."""
    return ONE_LOCAL + b"\0" + instruction + b"\0\x0b"


def accepted(engine: Engine, body: bytes) -> bool:
    """Whether the engine accepts a module with one of everything and this function."""
    parts = (
        (binary.TYPE, b"\x01\x60\0\0"),
        (binary.FUNCTION, b"\x01\0"),
        (binary.TABLE, b"\x01\x70\0\x01"),
        (binary.MEMORY, b"\x01\0\x01"),
        (binary.GLOBAL, b"\x01\x7f\x01\x41\0\x0b"),
        (binary.ELEMENT, b"\x01\x01\x00\x01\x00"),
        (binary.DATA_COUNT, b"\x01"),
        (binary.CODE, b"\x01" + sized(body)),
        (binary.DATA, b"\x01\x01\x00"),
    )
    module = HEADER + b"".join(section(number, payload) for number, payload in parts)
    try:
        Module.validate(engine, module)
    except WasmtimeError:
        return False
    return True


def known() -> Iterator[tuple[bytes, int, str]]:
    for opcode, immediates in instructions._PLAIN.items():
        yield bytes((opcode,)), opcode, immediates
    for prefix, table in ((0xFC, instructions._BULK), (0xFD, instructions._VECTOR)):
        for operation, immediates in table.items():
            yield bytes((prefix,)) + u32(operation), -1, immediates


def test_every_instruction_is_as_long_as_the_engine_says(engine: Engine) -> None:
    refused = []
    for encoded, opcode, immediates in known():
        if opcode in ONLY_IN_PLACE:
            continue
        follows = WITH_ANOTHER_IMMEDIATE.get(opcode) or b"".join(IMMEDIATES[kind] for kind in immediates)
        body = body_of(encoded + follows)
        list(growths_in(body))
        if not accepted(engine, body):
            refused.append(encoded)
    # Gaps in the numbering of vector instructions, which take no immediates and which the engine refuses.
    assert all(encoded[0] == 0xFD for encoded in refused)
    assert len(refused) == 20


def test_the_engine_accepts_no_instruction_that_is_not_in_the_table(engine: Engine) -> None:
    tables = {b"": instructions._PLAIN, b"\xfc": instructions._BULK, b"\xfd": instructions._VECTOR}
    for prefix, last in ((b"", 255), (b"\xfb", 63), (b"\xfc", 63), (b"\xfd", 400), (b"\xfe", 127)):
        for operation in range(last + 1):
            if operation in tables.get(prefix, {}) or (not prefix and operation in {0xFC, 0xFD}):
                continue
            encoded = prefix + (u32(operation) if prefix else bytes((operation,)))
            assert not any(accepted(engine, body_of(encoded + bytes(size))) for size in range(12)), encoded


def test_growth_is_found_where_it_stands() -> None:
    body = NO_LOCALS + b"\x41\x40\x40\x00\x1a\xd0\x70\x41\x00\xfc\x0f\x02\x1a\x0b"  # 0x40 is a constant first
    assert list(growths_in(body)) == [Growth(3, 5, None), Growth(10, 13, 2)]


def test_padded_numbers_do_not_hide_growth() -> None:
    body = NO_LOCALS + b"\x41\x00\x40\x80\x00\x1a\xd0\x70\x41\x00\xfc\x8f\x80\x00\x81\x00\x1a\x0b"
    assert [growth.table for growth in growths_in(body)] == [None, 1]


def test_an_unknown_instruction_is_refused_by_its_opcode() -> None:
    with pytest.raises(ModuleRefused, match="0x06"):
        list(growths_in(NO_LOCALS + b"\x06\x40\x0b\x0b"))
