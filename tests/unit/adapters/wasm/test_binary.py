import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.wasm import binary
from icn.adapters.wasm.binary import Reader
from icn.adapters.wasm.refusals import ModuleRefused


@given(st.integers(0, 2**32 - 1))
def test_a_number_reads_back(value: int) -> None:
    reader = Reader(binary.u32(value))
    assert reader.u32() == value
    assert reader.at_end


@pytest.mark.parametrize("encoded", ["ffffffff1f", "ffffffffff01", "8080808080808000"])
def test_a_number_of_more_than_32_bits_is_refused(encoded: str) -> None:
    with pytest.raises(ModuleRefused, match="32 bits"):
        Reader(bytes.fromhex(encoded)).u32()


def test_a_padded_number_is_read_as_the_specification_allows() -> None:
    assert Reader(bytes.fromhex("8380808000")).u32() == 3


def test_nothing_is_read_past_the_end() -> None:
    for read in (Reader.byte, Reader.u32, lambda reader: reader.take(1), lambda reader: reader.name(10)):
        with pytest.raises(ModuleRefused, match="ends"):
            read(Reader(b""))


def test_a_name_must_be_utf_8_and_not_too_long() -> None:
    assert Reader(b"\x02\xc3\xa9").name(10) == "é"
    with pytest.raises(ModuleRefused, match="UTF-8"):
        Reader(b"\x01\xff").name(10)
    with pytest.raises(ModuleRefused, match="at most 10"):
        Reader(b"\x0b" + b"x" * 11).name(10)


def test_sections_are_told_apart() -> None:
    module = binary.HEADER + binary.section(1, b"one") + binary.section(3, b"")
    assert list(binary.sections(module)) == [(1, b"one"), (3, b"")]


@pytest.mark.parametrize("module", [b"", b"\0asm", b"#!/bin/sh\n", b"(module)", b"\0asm\x0d\0\x01\0"])
def test_what_is_no_core_module_is_refused(module: bytes) -> None:
    with pytest.raises(ModuleRefused, match="not a WebAssembly core module"):
        list(binary.sections(module))


def test_a_vector_is_extended_behind_what_it_holds() -> None:
    assert binary.extended(b"\x01a", [b"b", b"c"]) == b"\x03abc"
    assert binary.extended(b"", [b"b"]) == b"\x01b"
