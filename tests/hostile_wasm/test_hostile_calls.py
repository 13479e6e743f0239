"""Guests that attack through what they call: imports they may not have, and host calls with arguments that lie.

Each ends, or is told an error number; it gets nothing it should not have, and the same worker serves the next.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from icn.adapters.wasm import bounds
from icn.adapters.wasm.guest import HOST_CALL_FUEL
from icn.adapters.wasm.settings import SandboxSettings
from icn.adapters.wasm.wasi import BADF, FAULT, INVAL, SUCCESS
from icn.domain.mesh.execution import ExitKind
from support.wasm_guests import EXIT, FD_READ, FD_WRITE, HELLO, POLL, imported
from support.wasm_pool import FOR_EVER, LIMITS, Driver, pool

pytestmark = pytest.mark.slow

WASI = "wasi_snapshot_preview1"
TOP = 0xFFFF_FFFF
"""The last address there could be."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with pool(tmp_path_factory.mktemp("compiled"), SandboxSettings(workers=1)) as executor:
        yield Driver(executor)


@pytest.fixture(autouse=True)
def _next_is_served_by_the_same_worker(driver: Driver) -> Iterator[None]:
    driver.outcome(HELLO)
    before = driver.executor.pids()
    yield
    assert driver.outcome(HELLO).output == b"hello\n"
    assert driver.executor.pids() == before


def command(imports: str, code: str, data: str = "") -> str:
    return f"""(module {imports} (memory (export "memory") 1) {data} (func (export "_start") (local $i i32) {code}))"""


def answer(driver: Driver, name: str, parameters: str, arguments: str, data: str = "") -> int:
    """The error number of one call, which becomes the exit code."""
    code = f"(call $proc_exit (call ${name} {arguments}))"
    outcome = driver.outcome(command(imported(name, parameters) + EXIT, code, data))
    assert outcome.exit is ExitKind.COMPLETED, outcome
    assert outcome.output == b""
    return outcome.exit_code


def i32(*values: int) -> str:
    return " ".join(f"(i32.const {value})" for value in values)


@pytest.mark.parametrize(
    "wanted",
    [
        '(import "env" "system" (func (param i32) (result i32)))',
        '(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))',
        '(import "wasi:cli/environment" "get-environment" (func (param i32)))',
        f'(import "{WASI}" "fd_writ\\d0\\b5" (func (param i32 i32 i32 i32) (result i32)))',
        f'(import "{WASI}" "fd_write\\00" (func (param i32 i32 i32 i32) (result i32)))',
        f'(import "{WASI}" "" (func))',
        f'(import "{WASI}" "fd_write" (func (param i64 i32 i32 i32) (result i32)))',
        f'(import "{WASI}" "fd_write" (func (param i32 i32 i32 i32)))',
        f'(import "{WASI}" "proc_exit" (func (param i32) (result i32)))',
        f'(import "{WASI}" "proc_exit" (global i32))',
        '(import "env" "memory" (memory 1))',
        '(import "env" "__indirect_function_table" (table 1 funcref))',
        '(import "env" "abort" (func (param i32)))',
        f'(import "{WASI}" "__class__" (func (param i32) (result i32)))',
        f'(import "{WASI}" "_guest" (func (param i32) (result i32)))',
        f'(import "{WASI}" "thread-spawn" (func (param i32) (result i32)))',
        '(import "wasi" "thread-spawn" (func (param i32) (result i32)))',
    ],
)
def test_an_import_that_is_not_on_the_list_is_refused_by_name(driver: Driver, wanted: str) -> None:
    outcome = driver.outcome(f'(module {wanted} (func (export "_start")))')
    assert outcome.exit is ExitKind.REFUSED
    assert "imports " in outcome.detail
    assert wanted.split('"')[1] in outcome.detail


def test_an_import_exported_as_the_entry_is_no_entry(driver: Driver) -> None:
    text = f'(module (import "{WASI}" "sched_yield" (func $f (result i32))) (export "_start" (func $f)))'
    assert driver.outcome(text).exit is ExitKind.REFUSED


def test_the_same_import_a_thousand_times_is_still_one_function(driver: Driver) -> None:
    many = "".join(f'(import "{WASI}" "sched_yield" (func $f{number} (result i32)))' for number in range(1000))
    outcome = driver.outcome(f'(module {many} (func (export "_start") (drop (call $f999))))')
    assert outcome.exit is ExitKind.COMPLETED
    one_more = f'(import "{WASI}" "sched_yield" (func (result i32)))'
    assert driver.outcome(f'(module {many}{one_more} (func (export "_start")))').exit is ExitKind.REFUSED


@pytest.mark.parametrize(
    ("vectors_at", "count", "written_at", "expected"),
    [
        (TOP, 1, 0, FAULT),
        (TOP - 7, 1, 0, FAULT),
        (65_532, 1, 0, FAULT),  # half of it inside
        (0, TOP, 8, INVAL),
        (0, bounds.VECTORS_MAX + 1, 8, INVAL),
        (0, 0, TOP, FAULT),
        (0, 0, 65_533, FAULT),
        (16, 1, 8, FAULT),  # a buffer at the top of the address space
        (24, 1, 8, FAULT),  # a buffer of four gigabytes
        (32, 1, 8, FAULT),  # a buffer that wraps round
        (40, 1, 8, SUCCESS),  # nothing, from nowhere
    ],
)
def test_wild_vectors_are_answered_with_an_error_and_write_nothing(
    driver: Driver, vectors_at: int, count: int, written_at: int, expected: int
) -> None:
    vectors = struct.pack("<IIIIIIII", TOP, 1, 65_536, TOP, TOP, TOP, TOP, 0)
    data = f'(data (i32.const 16) "{"".join(f"{chr(92)}{byte:02x}" for byte in vectors)}")'
    for name, descriptor in (("fd_write", 1), ("fd_read", 0)):
        arguments = i32(descriptor, vectors_at, count, written_at)
        if expected == FAULT and name == "fd_read" and vectors_at in {16, 24, 32}:
            # There is no input, so a wild buffer is never touched.
            assert answer(driver, name, "i32 i32 i32 i32", arguments, data) in {SUCCESS, FAULT}
        else:
            assert answer(driver, name, "i32 i32 i32 i32", arguments, data) == expected


def test_a_write_of_the_same_megabytes_many_times_ends_at_the_output_limit(driver: Driver) -> None:
    vectors = "".join(f"(i32.store (i32.const {8 * n + 4}) (i32.const 65536))" for n in range(1000))
    text = command(FD_WRITE, vectors + f"(drop (call $fd_write {i32(1, 0, 1000, 8192)}))")
    outcome = driver.outcome(text)
    assert outcome.exit is ExitKind.OUTPUT_LIMIT
    assert len(outcome.output) == LIMITS.output_bytes


def test_standard_error_costs_fuel_though_it_is_dropped(driver: Driver) -> None:
    flood = f"(i32.store (i32.const 4) (i32.const 65536)) (loop $on (drop (call $fd_write {i32(2, 0, 1, 8)})) (br $on))"
    outcome = driver.outcome(command(FD_WRITE, flood), limits=replace(LIMITS, fuel=10**7))
    assert (outcome.exit, outcome.fuel_used) == (ExitKind.OUT_OF_FUEL, 10**7)
    assert len(outcome.detail) <= bounds.DETAIL_CHARS_MAX


def test_input_read_over_the_vectors_that_describe_it_goes_where_they_said(driver: Driver) -> None:
    # Two buffers, the first of which is the list of vectors itself.
    code = f"""(i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 16))
      (i32.store (i32.const 8) (i32.const 256)) (i32.store (i32.const 12) (i32.const 16))
      (drop (call $fd_read {i32(0, 0, 2, 512)}))
      (i32.store (i32.const 1024) (i32.const 0)) (i32.store (i32.const 1028) (i32.const 272))
      (drop (call $fd_write {i32(1, 1024, 1, 512)}))"""
    outcome = driver.outcome(command(FD_READ + FD_WRITE, code), given=b"A" * 16 + b"B" * 16)
    assert outcome.output[:16] == b"A" * 16
    assert outcome.output[256:272] == b"B" * 16


def test_input_is_not_read_twice_nor_after_it_was_closed(driver: Driver) -> None:
    close = imported("fd_close", "i32")
    read = f"(call $fd_read {i32(0, 0, 1, 8)})"
    code = f"""(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {TOP - 65535}))
      (i32.store (i32.const 4) (i32.const 8)) (drop {read}) (drop {read})
      (if (i32.load (i32.const 8)) (then (call $proc_exit (i32.const 99))))
      (drop (call $fd_close (i32.const 0))) (call $proc_exit {read})"""
    assert driver.outcome(command(FD_READ + EXIT + close, code), given=b"12345678").exit_code == BADF


@pytest.mark.parametrize(
    ("subscriptions_at", "events_at", "count", "expected"),
    [
        (0, 4096, 0, INVAL),
        (0, 4096, TOP, INVAL),
        (0, 4096, bounds.SUBSCRIPTIONS_MAX + 1, INVAL),
        (TOP, 4096, 1, FAULT),
        (65_500, 4096, 1, FAULT),
        (0, TOP, 1, FAULT),
        (48, 4096, 1, INVAL),  # a kind of event there is not
    ],
)
def test_wild_polling_is_answered_with_an_error(
    driver: Driver, subscriptions_at: int, events_at: int, count: int, expected: int
) -> None:
    data = '(data (i32.const 56) "\\07")'
    arguments = i32(subscriptions_at, events_at, count, 8192)
    assert answer(driver, "poll_oneoff", "i32 i32 i32 i32", arguments, data) == expected


@pytest.mark.parametrize("flags", [0, 1])
def test_sleeping_for_centuries_takes_all_fuel_and_no_time(driver: Driver, flags: int) -> None:
    code = f"""(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const -1))
      (i32.store16 (i32.const 40) (i32.const {flags})) (drop (call $poll_oneoff {i32(0, 64, 1, 128)}))"""
    outcome = driver.outcome(command(POLL, code), limits=replace(LIMITS, fuel=FOR_EVER))
    assert (outcome.exit, outcome.fuel_used) == (ExitKind.OUT_OF_FUEL, FOR_EVER)
    assert outcome.wall_ms < 1_000


@pytest.mark.parametrize(
    ("name", "parameters", "arguments", "expected"),
    [
        ("random_get", "i32 i32", i32(0, 65_537), FAULT),
        ("random_get", "i32 i32", i32(TOP, 1), FAULT),
        ("args_get", "i32 i32", i32(TOP, 0), FAULT),
        ("args_get", "i32 i32", i32(0, 65_535), FAULT),
        ("args_sizes_get", "i32 i32", i32(65_533, 0), FAULT),
        ("environ_sizes_get", "i32 i32", i32(0, TOP), FAULT),
        ("clock_time_get", "i32 i64 i32", "(i32.const 0) (i64.const -1) (i32.const 65529)", FAULT),
        ("fd_fdstat_get", "i32 i32", i32(1, 65_513), FAULT),
        ("fd_filestat_get", "i32 i32", i32(1, TOP), FAULT),
        ("fd_close", "i32", i32(TOP), BADF),
        ("fd_renumber", "i32 i32", i32(TOP, 0), BADF),
        ("fd_prestat_dir_name", "i32 i32 i32", i32(3, 0, TOP), BADF),
    ],
)
def test_addresses_outside_the_memory_are_answered_with_an_error(
    driver: Driver, name: str, parameters: str, arguments: str, expected: int
) -> None:
    assert answer(driver, name, parameters, arguments) == expected


def test_random_bytes_cost_what_they_take(driver: Driver) -> None:
    fill = f"(loop $on (drop (call $random_get {i32(0, 65_536)})) (br $on))"
    outcome = driver.outcome(command(imported("random_get", "i32 i32"), fill))
    assert (outcome.exit, outcome.fuel_used) == (ExitKind.OUT_OF_FUEL, LIMITS.fuel)
    assert outcome.wall_ms < 2_000


def test_a_buffer_that_leaves_the_memory_is_not_written_in_part(driver: Driver) -> None:
    code = f"""(i32.store (i32.const 4) (i32.const 6)) (i32.store (i32.const 12) (i32.const {TOP}))
      (call $proc_exit (call $fd_write {i32(1, 0, 2, 64)}))"""
    outcome = driver.outcome(command(FD_WRITE + EXIT, code))
    assert (outcome.exit_code, outcome.output) == (FAULT, b"")


def test_host_calls_end_by_fuel_as_instructions_do(driver: Driver) -> None:
    text = command(imported("sched_yield", ""), "(loop $on (drop (call $sched_yield)) (br $on))")
    outcome = driver.outcome(text, limits=replace(LIMITS, fuel=1_000 * HOST_CALL_FUEL))
    assert (outcome.exit, outcome.fuel_used) == (ExitKind.OUT_OF_FUEL, 1_000 * HOST_CALL_FUEL)
    assert outcome.wall_ms < 2_000


def test_a_host_call_needs_a_memory_only_where_it_uses_one(driver: Driver) -> None:
    text = f"""(module {FD_WRITE} {EXIT} (func (export "_start")
      (call $proc_exit (call $fd_write {i32(1, 0, 0, 0)}))))"""
    assert driver.outcome(text).exit_code == FAULT


@pytest.mark.parametrize(
    ("code", "exit_kind", "exit_code"),
    [
        ("unreachable", ExitKind.TRAPPED, 0),
        ("(call $proc_exit (i32.const 5))", ExitKind.COMPLETED, 5),
        ("(call $proc_exit (i32.const -1))", ExitKind.COMPLETED, TOP),
        ("(loop $on (br $on))", ExitKind.OUT_OF_FUEL, 0),
        ("(call $begin)", ExitKind.STACK_OVERFLOW, 0),
        ("(drop (i32.load (i32.const -4)))", ExitKind.TRAPPED, 0),
        ("(call_indirect (i32.const 0))", ExitKind.TRAPPED, 0),
        ("(call_indirect (i32.const 7))", ExitKind.TRAPPED, 0),
        ("(memory.copy (i32.const 0) (i32.const 65535) (i32.const -1))", ExitKind.TRAPPED, 0),
        ("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))", ExitKind.TRAPPED, 0),
    ],
)
def test_a_start_function_ends_its_guest_as_the_entry_would(
    driver: Driver, code: str, exit_kind: ExitKind, exit_code: int
) -> None:
    text = f"""(module {EXIT} (memory (export "memory") 1) (table 1 funcref)
      (func $begin {code}) (start $begin) (func (export "_start") (call $proc_exit (i32.const 42))))"""
    outcome = driver.outcome(text)
    assert (outcome.exit, outcome.exit_code) == (exit_kind, exit_code), outcome.detail


def test_a_memory_of_all_it_may_have_is_given_back(driver: Driver) -> None:
    text = """(module (memory (export "memory") 1) (func (export "_start")
      (drop (memory.grow (i32.const 4095)))
      (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))))"""
    for _ in range(10):
        outcome = driver.outcome(text, limits=replace(LIMITS, fuel=10**9, memory_bytes=256 << 20))
        assert (outcome.exit, outcome.memory_peak_bytes) == (ExitKind.COMPLETED, 256 << 20)


def test_the_stack_of_one_guest_leaves_the_next_its_own(driver: Driver) -> None:
    deep = """(module (func $down (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.add (i32.const 1)
          (call $down (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))
      (func (export "run") (result i64) (i64.extend_i32_u (call $down (i32.const 1000)))))"""
    overflow = deep.replace("(i32.const 1000)", "(i32.const -1)")
    for _ in range(3):
        assert driver.outcome(overflow).exit is ExitKind.STACK_OVERFLOW
        assert int.from_bytes(driver.outcome(deep).output, "little") == 1000
