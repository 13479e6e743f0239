import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.adapters.wasm import binary, bounds
from icn.adapters.wasm.declarations import FUNC, Declarations, FunctionType, declarations_of
from icn.adapters.wasm.refusals import ModuleRefused
from support.wasm_guests import compiled

EVERYTHING = """(module
  (import "a" "f" (func (param i32 i64)))
  (import "a" "g" (global i32))
  (memory (export "memory") 3 9)
  (table 5 10 funcref) (table 1 funcref)
  (global i64 (i64.const 1))
  (func $one (export "one") (result i64) (i64.const 1))
  (func (export "two"))
  (start 2))"""


def test_declarations_are_those_of_the_text() -> None:
    found = declarations_of(compiled(EVERYTHING))
    assert [str(entry) for entry in found.imports] == ["a.f (function)", "a.g (global)"]
    assert found.imports[0].type == FunctionType(b"\x7f\x7e", b"")
    assert found.memories == (3,)
    assert found.tables == (5, 1)
    assert (found.globals_count, found.imported_functions, found.imported_globals) == (1, 1, 1)
    assert found.exports["one"] == (FUNC, 1)
    assert found.exported_function("one") == FunctionType(b"", b"\x7e")
    assert found.exported_function("memory") is None
    assert found.exported_function("absent") is None
    assert found.start == 2


def refusal(*sections: tuple[int, bytes]) -> str:
    module = binary.HEADER + b"".join(binary.section(number, payload) for number, payload in sections)
    with pytest.raises(ModuleRefused) as caught:
        declarations_of(module)
    return caught.value.why


def test_more_than_is_accepted_is_refused_before_it_is_read() -> None:
    for number, most in (
        (binary.TYPE, bounds.TYPES_MAX),
        (binary.IMPORT, bounds.IMPORTS_MAX),
        (binary.FUNCTION, bounds.FUNCTIONS_MAX),
        (binary.TABLE, bounds.TABLES_MAX),
        (binary.MEMORY, 1),
        (binary.EXPORT, bounds.EXPORTS_MAX),
    ):
        assert f"at most {most}" in refusal((number, binary.u32(most + 1)))


def test_what_other_proposals_declare_is_refused() -> None:
    assert "garbage collection" in refusal((binary.TYPE, b"\x01\x5f\x00"))
    assert "shared, 64-bit" in refusal((binary.MEMORY, b"\x01\x03\x01\x01"))
    assert "shared, 64-bit" in refusal((binary.MEMORY, b"\x01\x04\x01"))
    assert "something else than functions" in refusal((binary.TABLE, b"\x01\x63\x00\x00\x01"))
    assert "unknown kind 4" in refusal((binary.IMPORT, b"\x01\x01a\x01b\x04\x00\x00"))
    assert "unknown kind 13" in refusal((13, b"\x00"))


def test_a_section_may_stand_only_once() -> None:
    assert "two sections" in refusal((binary.MEMORY, b"\x00"), (binary.MEMORY, b"\x00"))


@given(st.lists(st.tuples(st.integers(0, 13), st.binary(max_size=40)), max_size=6))
def test_nonsense_is_read_or_refused_and_never_crashes(sections: list[tuple[int, bytes]]) -> None:
    module = binary.HEADER + b"".join(binary.section(number, payload) for number, payload in sections)
    try:
        found = declarations_of(module)
    except ModuleRefused:
        return
    assert isinstance(found, Declarations)
    for name in found.exports:
        found.exported_function(name)


@given(st.data())
def test_a_module_that_was_cut_or_changed_is_read_or_refused(data: st.DataObject) -> None:
    module = bytearray(compiled(EVERYTHING))
    position = data.draw(st.integers(8, len(module) - 1))
    module[position] = data.draw(st.integers(0, 255))
    try:
        declarations_of(bytes(module[: data.draw(st.integers(8, len(module)))]))
    except ModuleRefused:
        return
