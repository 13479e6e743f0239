import struct
from dataclasses import replace

import pytest

from icn.adapters.wasm import bounds, preview1
from icn.adapters.wasm.guest import EPOCH_NS, HOST_CALL_FUEL
from icn.adapters.wasm.wasi import BADF, FAULT, INVAL, NOSYS, NOTDIR, NOTSOCK, NOTSUP, SPIPE, SUCCESS
from icn.domain.mesh.execution import ExitKind
from support.wasm_guests import CLOCK, COPY, EXIT, FD_WRITE, HOSTILE
from support.wasm_inside import answer_of, probe, run_inside
from support.wasm_pool import FOR_EVER, LIMITS

TYPES = {0x7F: "i32", 0x7E: "i64"}


def called(name: str, *arguments: int) -> int:
    """The error number of one call with these arguments."""
    parameters = [TYPES[code] for code in preview1.IMPORTS[preview1.WASI, name].parameters]
    given = " ".join(f"({kind}.const {value})" for kind, value in zip(parameters, arguments, strict=True))
    return answer_of(name, " ".join(parameters), given)


def test_arguments_arrive_behind_the_programs_name() -> None:
    sizes = probe({"args_sizes_get": "i32 i32"}, "(drop (call $args_sizes_get (i32.const 0) (i32.const 4)))", 8)
    assert struct.unpack("<II", run_inside(sizes, arguments=("é", "", "x y")).output) == (4, 4 + 3 + 1 + 4)
    values = probe({"args_get": "i32 i32"}, "(drop (call $args_get (i32.const 0) (i32.const 16)))", 28)
    output = run_inside(values, arguments=("é", "", "x y")).output
    assert output[16:] == "job\0é\0\0x y\0".encode()
    assert struct.unpack("<IIII", output[:16]) == (16, 20, 23, 24)


def test_the_environment_is_empty() -> None:
    text = probe({"environ_sizes_get": "i32 i32"}, "(drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))", 8)
    assert run_inside(text).output == bytes(8)
    assert called("environ_get", 0, 0) == SUCCESS


@pytest.mark.parametrize(("clock", "start"), [(0, EPOCH_NS), (1, 0), (2, 0), (3, 0)])
def test_clocks_show_virtual_time_which_is_fuel(clock: int, start: int) -> None:
    read = f"(drop (call $clock_time_get (i32.const {clock}) (i64.const 0) (i32.const %d)))"
    text = probe({"clock_time_get": "i32 i64 i32"}, read % 0 + read % 8, 16)
    ended = run_inside(text)
    first, second = struct.unpack("<QQ", ended.output)
    assert start + HOST_CALL_FUEL <= first < start + HOST_CALL_FUEL + 100
    assert HOST_CALL_FUEL <= second - first < HOST_CALL_FUEL + 100
    assert run_inside(text).output == ended.output


def test_there_are_four_clocks_of_one_nanosecond() -> None:
    text = probe({"clock_res_get": "i32 i32"}, "(drop (call $clock_res_get (i32.const 1) (i32.const 0)))", 8)
    assert run_inside(text).output == b"\1".ljust(8, b"\0")
    assert called("clock_res_get", 4, 0) == INVAL
    assert called("clock_time_get", 4, 0, 0) == INVAL


def test_random_bytes_follow_from_the_seed_and_differ_from_call_to_call() -> None:
    fill = "(drop (call $random_get (i32.const %d) (i32.const 16)))"
    text = probe({"random_get": "i32 i32"}, fill % 0 + fill % 16, 32)
    output = run_inside(text, seed=b"one").output
    assert output == run_inside(text, seed=b"one").output
    assert output != run_inside(text, seed=b"two").output
    assert output[:16] != output[16:]


def test_input_is_read_to_its_end() -> None:
    for given in (b"", b"x", bytes(range(256)) * 3):
        assert run_inside(COPY, given=given).output == given


def test_output_and_input_only_through_their_own_descriptors() -> None:
    assert called("fd_write", 0, 0, 0, 8) == BADF
    assert called("fd_write", 3, 0, 0, 8) == BADF
    assert called("fd_read", 1, 0, 0, 8) == BADF
    assert called("fd_write", 1, 0, bounds.VECTORS_MAX + 1, 8) == INVAL
    assert called("fd_read", 0, 0, bounds.VECTORS_MAX + 1, 8) == INVAL


def test_standard_error_is_for_people_and_kept_in_part() -> None:
    text = f"""(module {FD_WRITE} {EXIT} (memory (export "memory") 2)
      (data (i32.const 0) "\\10\\00\\00\\00\\00\\60\\00\\00") (data (i32.const 16) "it went wrong")
      (func (export "_start") (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $proc_exit (i32.const 3))))"""
    ended = run_inside(text)
    assert (ended.exit, ended.exit_code, ended.output) == (ExitKind.COMPLETED, 3, b"")
    assert ended.detail.startswith("it went wrong")
    assert len(ended.detail) == bounds.DIAGNOSTIC_BYTES_MAX


def test_a_closed_descriptor_is_gone() -> None:
    close = "(drop (call $fd_close (i32.const 0)))(i32.store (i32.const 0) (call $fd_close (i32.const 0)))"
    assert run_inside(probe({"fd_close": "i32"}, close, 4)).output == bytes((BADF, 0, 0, 0))


def test_the_three_descriptors_are_pipes() -> None:
    assert called("fd_seek", 1, 0, 0, 0) == SPIPE
    assert called("fd_tell", 0, 0) == SPIPE
    assert called("fd_fdstat_set_flags", 1, 4) == SUCCESS
    for name in ("fd_sync", "fd_datasync"):
        assert (called(name, 1), called(name, 7)) == (SUCCESS, BADF)
    text = probe({"fd_fdstat_get": "i32 i32"}, "(drop (call $fd_fdstat_get (i32.const 1) (i32.const 0)))", 24)
    kind, _, rights, _ = struct.unpack("<BxHxxxxQQ", run_inside(text).output)
    assert kind == 0
    assert rights & 1 << 6
    assert not rights & 1 << 1


def test_there_are_no_files_and_no_network() -> None:
    assert called("fd_prestat_get", 3, 0) == BADF
    assert called("path_open", 3, 0, 0, 1, 0, 0, 0, 0, 0) == BADF
    assert called("path_open", 1, 0, 0, 1, 0, 0, 0, 0, 0) == NOTDIR
    assert called("path_symlink", 0, 0, 1, 0, 0) == NOTDIR
    assert called("path_symlink", 0, 0, 3, 0, 0) == BADF
    assert called("sock_accept", 3, 0, 0) == BADF
    assert called("sock_send", 1, 0, 0, 0, 0) == NOTSOCK
    assert called("fd_readdir", 3, 0, 0, 0, 0) == BADF
    assert called("fd_pwrite", 1, 0, 0, 0, 0) == NOTSUP
    assert called("proc_raise", 9) == NOSYS


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("args_get", (131069, 0)),
        ("args_sizes_get", (-4, 0)),
        ("clock_time_get", (0, 0, 131065)),
        ("random_get", (131072, 1)),
        ("random_get", (-1, 1)),
        ("fd_write", (1, 131065, 1, 0)),
        ("fd_write", (1, 0, 0, -1)),
        ("fd_read", (0, 131065, 1, 0)),
        ("fd_fdstat_get", (0, 131049)),
        ("poll_oneoff", (131025, 0, 1, 0)),
    ],
)
def test_an_address_outside_the_memory_is_answered_and_harms_nobody(name: str, arguments: tuple[int, ...]) -> None:
    assert called(name, *arguments) == FAULT


def test_a_guest_without_memory_can_call_and_gets_nothing() -> None:
    text = f"""(module {CLOCK} {EXIT} (func (export "_start")
      (call $proc_exit (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 0)))))"""
    assert run_inside(text).exit_code == FAULT


def subscriptions(*entries: bytes) -> str:
    escaped = "".join(f"\\{byte:02x}" for byte in b"".join(entries))
    return f'(data (i32.const 1024) "{escaped}")'


def clock_subscription(userdata: int, timeout_ns: int, *, clock: int = 1, absolute: bool = False) -> bytes:
    return struct.pack("<QBxxxxxxxIxxxxQQHxxxxxx", userdata, 0, clock, timeout_ns, 0, absolute)


def descriptor_subscription(userdata: int, tag: int, descriptor: int) -> bytes:
    return struct.pack("<QBxxxxxxxI28x", userdata, tag, descriptor)


def polled(*entries: bytes, given: bytes = b"", fuel: int = LIMITS.fuel) -> tuple[list[tuple[int, ...]], int]:
    """The events (user data, error, type, bytes) and the fuel it took."""
    code = f"""(drop (call $poll_oneoff (i32.const 1024) (i32.const 8) (i32.const {len(entries)}) (i32.const 0)))"""
    text = probe({"poll_oneoff": "i32 i32 i32 i32"}, code, 8 + 32 * len(entries), subscriptions(*entries))
    ended = run_inside(text, given=given, limits=replace(LIMITS, fuel=fuel))
    assert ended.exit is ExitKind.COMPLETED
    count = int.from_bytes(ended.output[:4], "little")
    events = struct.iter_unpack("<QHBxxxxxQHxxxxxx", ended.output[8 : 8 + 32 * count])
    return [event[:4] for event in events], ended.fuel_used


def test_sleeping_takes_no_time_but_the_fuel_of_its_duration() -> None:
    events, fuel = polled(clock_subscription(7, 60 * 10**9), fuel=FOR_EVER)
    assert events == [(7, SUCCESS, 0, 0)]
    assert 60 * 10**9 < fuel < 60 * 10**9 + 100_000


def test_a_sleep_longer_than_its_fuel_ends_the_guest() -> None:
    ended = run_inside(HOSTILE["WASI sleep"])
    assert (ended.exit, ended.fuel_used) == (ExitKind.OUT_OF_FUEL, LIMITS.fuel)


def test_of_several_clocks_the_first_due_wakes_the_guest() -> None:
    later, sooner = clock_subscription(1, 2000), clock_subscription(2, 1000)
    assert polled(later, sooner)[0] == [(2, SUCCESS, 0, 0)]
    assert polled(sooner, sooner)[0] == [(2, SUCCESS, 0, 0)] * 2


def test_a_sleep_until_an_instant_counts_from_the_clock() -> None:
    passed = clock_subscription(1, EPOCH_NS, clock=0, absolute=True)
    ahead = clock_subscription(1, EPOCH_NS + 10**7, clock=0, absolute=True)
    assert polled(passed)[1] < 10**6
    assert 10**7 < polled(ahead)[1] < 10**7 + 10**6


def test_descriptors_are_ready_at_once_and_say_how_much() -> None:
    entries = (
        clock_subscription(1, 10**18),
        descriptor_subscription(2, 1, 0),
        descriptor_subscription(3, 2, 1),
        descriptor_subscription(4, 1, 9),
    )
    events, fuel = polled(*entries, given=b"four")
    assert events == [(2, SUCCESS, 1, 4), (3, SUCCESS, 2, bounds.HOST_CHUNK_BYTES), (4, BADF, 1, 0)]
    assert fuel < 10**6


def test_a_poll_for_nothing_or_for_too_much_is_invalid() -> None:
    assert called("poll_oneoff", 0, 0, 0, 0) == INVAL
    assert called("poll_oneoff", 0, 0, bounds.SUBSCRIPTIONS_MAX + 1, 0) == INVAL
    assert polled(clock_subscription(1, 5, clock=9))[0] == [(1, INVAL, 0, 0)]


def test_what_a_host_call_moves_costs_fuel() -> None:
    def fuel(size: int) -> int:
        fill = f"(drop (call $random_get (i32.const 0) (i32.const {size})))"
        return run_inside(probe({"random_get": "i32 i32"}, fill)).fuel_used

    assert fuel(65536) - fuel(0) >= 65536


def test_assemblyscripts_abort_is_a_trap_with_its_line() -> None:
    text = """(module (import "env" "abort" (func $abort (param i32 i32 i32 i32))) (memory (export "memory") 1)
      (func (export "_start") (call $abort (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 34))))"""
    ended = run_inside(text)
    assert (ended.exit, ended.detail) == (ExitKind.TRAPPED, "abort at line 12, column 34")
