"""Modules that attack before they run: by size, shape, declarations, or what they ask of the engine.

Each is refused with a reason, or compiled within seconds and a bounded memory by a worker that never runs a guest; the
node does not grow, and the next module is served.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from icn.adapters.wasm import binary, bounds
from icn.adapters.wasm.admission import admit
from icn.adapters.wasm.binary import HEADER, section, sized, u32
from icn.adapters.wasm.refusals import ModuleRefused
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExitKind
from icn.kernel.limits import MIB
from support import wasm_bombs as bombs
from support.resources import children_of, processor_ticks, resident_bytes
from support.wasm_bombs import body, module
from support.wasm_guests import HELLO
from support.wasm_pool import WAIT_S, Driver, pool, request

pytestmark = pytest.mark.slow

NODE_GROWTH_BYTES_MAX = 32 * MIB
"""A module of 8 MiB is held, sent and hashed by the node; what it compiles to may be larger, and passes through too."""
ADMISSION_S_MAX = 1.0
"""The node itself reads the declarations of what a stranger sends, on a busy machine too."""
COMPILING_S_MAX = 60
TOO_LARGE = bounds.FUNCTION_BYTES_MAX + 10

# What is too much, and what the refusal says.
REFUSED = {
    "an empty file": (b"", "not a WebAssembly core module"),
    "a header alone": (HEADER, "exports neither"),
    "a component": (b"\0asm\x0d\0\1\0", "not a WebAssembly core module"),
    "a later version": (b"\0asm\2\0\0\0", "not a WebAssembly core module"),
    "more than a content block": (bombs.custom_sections(1, 9 * MIB), "bytes, at most"),
    "a section longer than the file": (HEADER + b"\1\xff\xff\xff\x0f", "middle of a section"),
    "a number that never ends": (HEADER + b"\1" + b"\x80" * 40, "more than 32 bits"),
    "an unknown section": (module(body(b""), tail=section(90, b"")), "unknown kind 90"),
    "a section twice": (module(body(b""), tail=section(binary.CODE, b"\0")), "two sections"),
    "a million sections": (bombs.custom_sections(900_000, 1), "sections"),
    "a million functions": (bombs.many_functions(1_000_000), "functions"),
    "functions without code": (
        module(body(b""), more={binary.FUNCTION: u32(50_000) + bytes(50_000)}),
        "not valid",
    ),
    "a billion functions declared": (module(body(b""), more={binary.FUNCTION: u32(2**30)}), "functions"),
    "four billion locals": (bombs.many_locals(2**32 - 1, 1), "not valid"),
    "a billion locals in all": (bombs.many_locals(50_000, 20_000), "locals"),
    "a million types": (bombs.many_types(1_000_000), "types"),
    "a million parameters": (bombs.wide_type(1_000_000), "not valid"),
    "a million globals": (bombs.many_globals(1_600_000), "not valid"),
    "many data segments": (bombs.active_segments(bounds.DATA_SEGMENTS_MAX + 1), "data segments"),
    "many element segments": (bombs.many_element_segments(200_000, 1), "not valid"),
    "a jump table of a million": (bombs.branch_tables(1_000_000, 1), "cannot be compiled"),
    "a function of a megabyte": (module(body(b"\x01" * TOO_LARGE)), "bytes of a function"),
    "a name of a megabyte": (
        module(body(b""), more={binary.EXPORT: bombs.vector(sized(b"n" * MIB) + b"\0\0")}),
        "bytes of a name",
    ),
    "a name that is not text": (
        module(body(b""), more={binary.EXPORT: bombs.vector(sized(b"\xff\xfe") + b"\0\0")}),
        "not UTF-8",
    ),
    "start without a function": (module(body(b""), more={binary.START: u32(7)}), "not valid"),
    "an exported function that is not there": (module(body(b""), start_export=9), "exports neither"),
    "two memories": (module(body(b""), more={binary.MEMORY: bombs.vector(b"\0\1", b"\0\1")}), "memories"),
    "many tables": (module(body(b""), more={binary.TABLE: bombs.vector(*(b"\x70\0\1",) * 5)}), "tables"),
    "a shared memory": (module(body(b""), more={binary.MEMORY: bombs.vector(b"\3\1\1")}), "shared"),
    "a 64-bit memory": (module(body(b""), more={binary.MEMORY: bombs.vector(b"\4\1")}), "64-bit"),
    "pages of one byte": (module(body(b""), more={binary.MEMORY: bombs.vector(b"\x08\1\0")}), "custom-page"),
    "a memory of four gigabytes twice over": (
        module(body(b""), more={binary.MEMORY: bombs.vector(b"\0" + u32(65_537))}),
        "not valid",
    ),
    "a table of host references": (module(body(b""), more={binary.TABLE: bombs.vector(b"\x6f\0\1")}), "table of"),
    "an atomic operation": (
        module(body(b"\xfe\x03\x00"), more={binary.MEMORY: bombs.vector(b"\0\1")}),
        "not valid",
    ),
    "a structure": (module(body(b""), types=(bombs.NOTHING_TO_NOTHING, b"\x5f\x01\x7f\0")), "garbage collection"),
    "an exception tag": (module(body(b""), tail=section(13, b"\1\0\0")), "unknown kind 13"),
    "a thrown exception": (module(body(b"\x08\x00")), "not valid"),
    "a continuation": (module(body(b""), types=(bombs.NOTHING_TO_NOTHING, b"\x5d\0")), "garbage collection"),
    "a call by typed reference": (module(body(b"\xd2\x00\x14\x00")), "not valid"),
    "wide arithmetic": (module(body(b"\x42\x00\x42\x00\x42\x00\x42\x00\xfc\x13\x1a\x1a")), "not valid"),
}

# What is much, and allowed: it costs seconds, once, and hurts nobody.
COMPILED = {
    "data of eight megabytes": bombs.data_segments(1, 8 * MIB - 200),
    "ten thousand data segments": bombs.data_segments(bounds.DATA_SEGMENTS_MAX, 1),
    "custom sections of eight megabytes": bombs.custom_sections(1, 8 * MIB - 200),
    "fifty thousand locals in each of twenty functions": bombs.many_locals(50_000, 20),
    "blocks a hundred thousand deep": bombs.nested_blocks(100_000),
    "a jump table of 65,000": bombs.branch_tables(65_000, 1),
    "ten thousand multiplications in a chain": bombs.long_expression(10_000),
    "a hundred thousand values at once": bombs.many_values_alive(100_000),
    "ten thousand branches": bombs.many_branches(10_000),
    "twenty thousand types": bombs.many_types(bounds.TYPES_MAX),
    "a thousand parameters": bombs.wide_type(1_000),
}
COMPILED_IN_LONG = {
    "a hundred thousand functions": bombs.many_functions(bounds.FUNCTIONS_MAX),
    "a million locals": bombs.many_locals(50, 19_999),
    "ten thousand active data segments": bombs.active_segments(bounds.DATA_SEGMENTS_MAX),
    "a megabyte of blocks": bombs.nested_blocks(349_000),
    "a megabyte of branches": bombs.many_branches(41_000),
    "a megabyte of divisions": bombs.dense_floats(1, 349_000),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    settings = SandboxSettings(workers=1, compile_ms=COMPILING_S_MAX * 1000)
    with pool(tmp_path_factory.mktemp("compiled"), settings) as executor:
        yield Driver(executor)


def refusal_of(attack: bytes) -> str:
    """What the node itself says against it, from its declarations alone."""
    try:
        admit(attack)
    except ModuleRefused as refused:
        return refused.why
    return ""


def assert_next_is_served(driver: Driver, grown_from: int, most: int = NODE_GROWTH_BYTES_MAX) -> None:
    assert driver.outcome(HELLO).output == b"hello\n"
    assert resident_bytes() - grown_from < most


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_much_is_refused_with_its_reason(driver: Driver, name: str) -> None:
    attack, reason = REFUSED[name]
    before, began = resident_bytes(), time.perf_counter()
    said = refusal_of(attack)
    assert not said or reason in said
    assert time.perf_counter() - began < ADMISSION_S_MAX
    if len(attack) <= bounds.MODULE_BYTES_MAX:
        outcome = driver.outcome(attack)
        assert outcome.exit is ExitKind.REFUSED
        assert reason in outcome.detail
        assert (outcome.fuel_used, outcome.output) == (0, b"")
    assert_next_is_served(driver, before)


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_much_is_compiled_and_ends(driver: Driver, name: str) -> None:
    before, began = resident_bytes(), time.perf_counter()
    admit(COMPILED[name])
    assert time.perf_counter() - began < ADMISSION_S_MAX
    assert driver.outcome(COMPILED[name]).exit is ExitKind.COMPLETED
    assert_next_is_served(driver, before)


@pytest.mark.long
@pytest.mark.parametrize("name", COMPILED_IN_LONG)
def test_what_is_most_is_compiled_within_its_time(driver: Driver, name: str) -> None:
    before, began = resident_bytes(), time.perf_counter()
    outcome = driver.outcome(COMPILED_IN_LONG[name])
    print(f"\n{name}: {outcome.exit.value} after {time.perf_counter() - began:.1f} s", end=" ")
    assert outcome.exit is ExitKind.COMPLETED
    assert_next_is_served(driver, before, NODE_GROWTH_BYTES_MAX + 2 * bounds.NATIVE_BYTES_MAX)


def test_a_module_that_takes_too_long_to_compile_is_nobodys_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    attack = module(*(body(b"\x20\x00" + b"\x20\x01\xa3" * 340_000 + b"\x21\x00", (2, bombs.F64)),) * 7)
    with pool(tmp_path_factory.mktemp("overdue"), SandboxSettings(workers=1, compile_ms=1_000)) as executor:
        driver, began = Driver(executor), time.perf_counter()
        outcome = driver.outcome(attack)
        assert time.perf_counter() - began < 20
        assert outcome.exit is ExitKind.DEADLINE
        assert "compiling took more than 1000 ms" in outcome.detail
        assert not outcome.exit.repeatable
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED


def test_a_compiler_that_dies_of_its_module_is_nobodys_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pool(tmp_path_factory.mktemp("died"), SandboxSettings(workers=1)) as executor:
        driver = Driver(executor)
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
        before = children_of(os.getpid())
        slow = bombs.dense_floats(1, 300_000)
        ended = driver.begin(request(slow, 2), slow)
        deadline = time.monotonic() + WAIT_S
        # Long enough for it to have started, which takes a tenth of a second, and not to be done.
        while not (busy := [pid for pid in children_of(os.getpid()) - before if processor_ticks(pid) > 60]):
            assert time.monotonic() < deadline
        os.kill(busy[0], signal.SIGKILL)
        outcome = ended.get(timeout=WAIT_S)
        assert outcome.exit is ExitKind.DEADLINE
        assert "compiling took more memory" in outcome.detail
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
