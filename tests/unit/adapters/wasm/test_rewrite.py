import pytest
from wasmtime import Engine, Func, Global, Instance, Memory, Module, Store, Trap, WasmtimeError

from icn.adapters.wasm.compiling import compile_module
from icn.adapters.wasm.declarations import declarations_of
from icn.adapters.wasm.engine import build_engine
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.rewrite import MEMORY_DENIED, TABLE_DENIED, THE_MEMORY, THE_START, Rewritten, rewrite
from support.wasm_guests import HOSTILE, compiled, growing


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build_engine()


def rewritten(text: str) -> Rewritten:
    module = compiled(text)
    return rewrite(module, declarations_of(module))


class Running:
    """An instance of a rewritten module within caps of four pages and ten elements."""

    def __init__(self, engine: Engine, text: str) -> None:
        made = rewritten(text)
        self.store = Store(engine)
        self.store.set_fuel(10**9)
        self.store.set_epoch_deadline(1)
        self.store.set_limits(memory_size=4 * 65536, table_elements=10)
        self.exports = Instance(self.store, Module(engine, made.module), []).exports(self.store)
        self.prefix = made.prefix

    def call(self, name: str, *arguments: object) -> object:
        function = self.exports[name]
        assert isinstance(function, Func)
        return function(self.store, *arguments)

    def denied(self) -> tuple[int, int]:
        counts = []
        for name in (MEMORY_DENIED, TABLE_DENIED):
            counter = self.exports[self.prefix + name]
            assert isinstance(counter, Global)
            counts.append(counter.value(self.store))
        return counts[0], counts[1]


def test_granted_growth_answers_as_before_and_counts_nothing(engine: Engine) -> None:
    running = Running(
        engine,
        """(module (memory 1) (table $t 2 funcref)
          (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "table") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0))))""",
    )
    assert [running.call("memory", pages) for pages in (1, 0, 2)] == [1, 2, 2]
    assert [running.call("table", elements) for elements in (3, 5, 0)] == [2, 5, 10]
    assert running.denied() == (0, 0)


def test_refused_growth_answers_minus_one_and_is_counted_where_it_happens(engine: Engine) -> None:
    running = Running(
        engine,
        """(module (memory 1) (table $a 1 funcref) (table $b 1 funcref)
          (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
          (func (export "a") (param i32) (result i32) (table.grow $a (ref.null func) (local.get 0)))
          (func (export "b") (param i32) (result i32) (table.grow $b (ref.null func) (local.get 0))))""",
    )
    assert [running.call("memory", pages) for pages in (4, -1, 3, 1)] == [-1, -1, 1, -1]
    assert running.denied() == (3, 0)
    assert [running.call(table, 10) for table in ("a", "b", "b")] == [-1, -1, -1]
    assert running.denied() == (3, 3)


def test_indices_of_the_module_keep_their_meaning(engine: Engine) -> None:
    running = Running(
        engine,
        """(module (memory 1) (global $g (mut i32) (i32.const 7)) (table funcref (elem $seven))
          (type $f (func (result i32)))
          (func $seven (type $f) (drop (memory.grow (i32.const 100))) (global.get $g))
          (func (export "call") (result i32) (call_indirect (type $f) (i32.const 0))))""",
    )
    assert running.call("call") == 7
    assert running.denied() == (1, 0)


def test_names_that_the_module_uses_itself_are_left_to_it() -> None:
    taken = f'(module (global (export "icn {MEMORY_DENIED}") i32 (i32.const 1)) (func (export "_icn x")))'
    assert rewritten(taken).prefix == "__icn "
    assert rewritten("(module)").prefix == "icn "


def test_a_start_function_is_left_to_the_caller(engine: Engine) -> None:
    running = Running(
        engine,
        """(module (memory 1) (func $begin (drop (memory.grow (i32.const 9))) unreachable) (start $begin))""",
    )
    with pytest.raises(Trap):
        running.call(running.prefix + THE_START)
    assert running.denied() == (1, 0)


def test_a_memory_that_is_not_exported_is_reachable_for_the_host(engine: Engine) -> None:
    assert isinstance(Running(engine, "(module (memory 2))").exports["icn " + THE_MEMORY], Memory)


@pytest.mark.parametrize("text", [*HOSTILE.values(), growing(1, 1), "(module)", "(module (func))"])
def test_what_was_valid_stays_valid(engine: Engine, text: str) -> None:
    Module.validate(engine, rewritten(text).module)


def test_a_module_that_only_rewriting_would_make_valid_is_refused(engine: Engine) -> None:
    # Function 1 and global 0 exist only once counters and shims have been appended.
    for instruction in (b"\x10\x01", b"\x23\x00\x1a"):
        text = '(module (memory 1) (func (export "_start") (drop (memory.grow (i32.const 1))) nop nop nop))'
        padding = b"\x01" * 3
        hostile = compiled(text).replace(padding, instruction.ljust(3, b"\x01"))
        assert hostile != compiled(text)
        with pytest.raises(WasmtimeError):
            Module.validate(engine, hostile)
        with pytest.raises(ModuleRefused, match="not valid WebAssembly"):
            compile_module(engine, hostile)
