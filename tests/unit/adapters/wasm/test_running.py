from dataclasses import replace

from icn.domain.mesh.execution import ExitKind
from support.wasm_guests import ENDLESS, FD_WRITE, TRAP
from support.wasm_inside import run_inside
from support.wasm_pool import FOR_EVER, LIMITS


def test_a_trap_says_which() -> None:
    assert run_inside(TRAP).detail == "trap: unreachable"
    division = '(module (func (export "run") (result i64) (i64.div_s (i64.const 1) (i64.const 0))))'
    assert run_inside(division).detail == "trap: integer division by zero"


def test_fuel_up_to_a_trap_is_counted() -> None:
    ended = run_inside(TRAP)
    assert 0 < ended.fuel_used < 100


def test_a_deadline_does_not_reach_the_next_guest() -> None:
    assert run_inside(ENDLESS, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=1)).exit is ExitKind.DEADLINE
    for _ in range(20):
        assert run_inside(ENDLESS, limits=replace(LIMITS, fuel=10**5)).exit is ExitKind.OUT_OF_FUEL


def test_start_and_initialize_run_before_run() -> None:
    text = """(module (global $g (mut i64) (i64.const 0))
      (func $add (param i64)
        (global.set $g (i64.add (i64.mul (global.get $g) (i64.const 10)) (local.get 0))))
      (func $begin (call $add (i64.const 1))) (start $begin)
      (func (export "_initialize") (call $add (i64.const 2)))
      (func (export "run") (result i64) (call $add (i64.const 3)) (global.get $g)))"""
    assert int.from_bytes(run_inside(text).output, "little") == 123


def test_what_a_run_module_prints_is_not_its_output() -> None:
    text = f"""(module {FD_WRITE} (memory (export "memory") 1)
      (data (i32.const 0) "\\10\\00\\00\\00\\02\\00\\00\\00") (data (i32.const 16) "hi")
      (func (export "run") (result i64)
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) (i64.const 5)))"""
    ended = run_inside(text)
    assert (ended.output, ended.detail) == (b"\5".ljust(8, b"\0"), "hi")


def test_a_result_that_does_not_fit_the_output_is_an_output_limit() -> None:
    text = '(module (func (export "run") (result i64) (i64.const 5)))'
    assert run_inside(text, limits=replace(LIMITS, output_bytes=7)).exit is ExitKind.OUTPUT_LIMIT


def test_not_a_number_has_one_form() -> None:
    # 0/0 has the sign that the processor likes; through canonicalisation it is the same everywhere.
    text = """(module (func (export "run") (result i64)
      (i64.reinterpret_f64 (f64.div (f64.neg (f64.const 0)) (f64.const 0)))))"""
    assert int.from_bytes(run_inside(text).output, "little") == 0x7FF8000000000000


def test_data_that_does_not_fit_the_memory_is_a_trap() -> None:
    text = '(module (memory 1) (data (i32.const 70000) "x") (func (export "_start")))'
    assert run_inside(text).exit is ExitKind.TRAPPED


def test_nothing_is_left_for_the_next_guest() -> None:
    text = """(module (memory (export "memory") 1) (func (export "run") (result i64)
      (i64.load (i32.const 64)) (i64.store (i32.const 64) (i64.const 99))))"""
    assert run_inside(text).output == run_inside(text).output == bytes(8)
