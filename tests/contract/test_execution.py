"""What every executor of jobs promises, whatever is behind it (icn.adapters.wasm.ports)."""

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.wasm.ports import Executor
from icn.adapters.wasm.refusals import AlreadyExecuting, ModuleRefused, SandboxClosed, SandboxFull
from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind, Limits
from icn.kernel.errors import Invalid
from support.ray_machines import ray_machines
from support.resources import command_of, descendants_of, handle, has_ended, processor_ticks
from support.wasm_guests import (
    COPY,
    ENDLESS,
    HELLO,
    HOSTILE,
    RUN,
    TRAP,
    compiled,
    exiting,
    growing,
)
from support.wasm_pool import FOR_EVER, LIMITS, WAIT_S, Driver, job, pool, request

pytestmark = pytest.mark.slow

GUEST_TICKS = 100
NEVER_MS = 3_600_000
"""Longer than any test waits: what ends before was stopped by somebody."""


Fresh = Callable[[], AbstractContextManager[Executor]]
"""A new executor, closed at the end. Two executions at once, wherever they are."""


@pytest.fixture(scope="module", params=["local", "ray"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    if request.param == "local":
        yield lambda: pool(tmp_path_factory.mktemp("compiled"), SandboxSettings(workers=2))
    else:
        with ray_machines() as machines:
            machines.start_head()
            machines.join()
            yield machines.pool


@pytest.fixture(scope="module")
def executor(fresh: Fresh) -> Iterator[Executor]:
    with fresh() as found:
        found.isolation()  # its workers are there, or its machines have been heard
        yield found


@pytest.fixture(scope="module")
def driver(executor: Executor) -> Driver:
    return Driver(executor)


def workers() -> dict[int, int]:
    """Processes that guests may compute in, wherever they are, and what each has computed."""
    found = descendants_of(os.getpid())
    commands = {pid: command_of(pid) for pid in found}
    return {pid: processor_ticks(pid) for pid, command in commands.items() if "icn.adapters.wasm.worker" in command}


def running_guest(driver: Driver, number: int) -> tuple[ExecutionRequest, "queue.SimpleQueue[ExecutionOutcome]", int]:
    """An endless guest that is computing, and the process it computes in."""
    module = compiled(ENDLESS)
    asked = request(module, number, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS))
    before = workers()
    outcomes = driver.begin(asked, module)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for pid, ticks in workers().items():
            # More than starting or compiling takes: only a guest computes for so long.
            if ticks > before.get(pid, 0) + GUEST_TICKS:
                return asked, outcomes, pid
    raise TimeoutError("no guest computes")


def test_a_command_writes_its_output_and_exits_with_its_code(driver: Driver) -> None:
    written = driver.outcome(HELLO)
    assert (written.exit, written.exit_code, written.output) == (ExitKind.COMPLETED, 0, b"hello\n")
    assert written.memory_peak_bytes == 65536
    assert 0 < written.fuel_used < LIMITS.fuel
    exited = driver.outcome(exiting(7))
    assert (exited.exit, exited.exit_code) == (ExitKind.COMPLETED, 7)


def test_input_reaches_standard_input_whole(driver: Driver) -> None:
    given = bytes(range(256)) * 5 + b"end"
    assert driver.outcome(COPY, given=given).output == given


def test_the_result_of_run_is_eight_little_endian_bytes(driver: Driver) -> None:
    outcome = driver.outcome(RUN)
    assert (outcome.exit, outcome.output) == (ExitKind.COMPLETED, (-2).to_bytes(8, "little", signed=True))


def test_the_builtin_echo_answers_with_its_input(driver: Driver) -> None:
    asked = replace(request(None), input=b"as it was")
    outcome = driver.begin(asked, b"").get(timeout=WAIT_S)
    assert (outcome.exit, outcome.output, outcome.fuel_used) == (ExitKind.COMPLETED, b"as it was", 0)
    short = replace(asked, limits=replace(LIMITS, output_bytes=3))
    assert driver.begin(short, b"").get(timeout=WAIT_S).exit is ExitKind.OUTPUT_LIMIT


@pytest.mark.parametrize(
    ("text", "limits", "expected"),
    [
        (TRAP, LIMITS, ExitKind.TRAPPED),
        (ENDLESS, LIMITS, ExitKind.OUT_OF_FUEL),
        (ENDLESS, replace(LIMITS, fuel=FOR_EVER, wall_ms=100), ExitKind.DEADLINE),
        (HOSTILE["output flood"], LIMITS, ExitKind.OUTPUT_LIMIT),
        (HOSTILE["deep recursion"], LIMITS, ExitKind.STACK_OVERFLOW),
        (HOSTILE["WASI sleep"], LIMITS, ExitKind.OUT_OF_FUEL),
        ('(module (memory 1000) (func (export "_start")))', LIMITS, ExitKind.REFUSED),
        ('(module (table 20000 funcref) (func (export "_start")))', LIMITS, ExitKind.REFUSED),
        ('(module (import "env" "system" (func)) (func (export "_start")))', LIMITS, ExitKind.REFUSED),
    ],
)
def test_every_limit_ends_a_guest_in_its_own_way(driver: Driver, text: str, limits: Limits, expected: ExitKind) -> None:
    assert driver.outcome(text, limits=limits).exit is expected


def test_output_up_to_the_limit_is_kept(driver: Driver) -> None:
    exact = driver.outcome(HELLO, limits=replace(LIMITS, output_bytes=6))
    assert (exact.exit, exact.output) == (ExitKind.COMPLETED, b"hello\n")
    over = driver.outcome(HELLO, limits=replace(LIMITS, output_bytes=5))
    assert (over.exit, over.output) == (ExitKind.OUTPUT_LIMIT, b"hello")


def test_refused_growth_is_counted_exactly(driver: Driver) -> None:
    before = driver.executor.denials()
    outcome = driver.outcome(growing(memory_times=321, table_times=123))
    assert (outcome.memory_growth_denied, outcome.table_growth_denied) == (321, 123)
    assert driver.executor.denials() == (before[0] + 321, before[1] + 123)


def test_refused_growth_is_counted_also_when_the_guest_traps_afterwards(driver: Driver) -> None:
    outcome = driver.outcome(growing(memory_times=5, table_times=7, ending="unreachable"))
    assert outcome.exit is ExitKind.TRAPPED
    assert (outcome.memory_growth_denied, outcome.table_growth_denied) == (5, 7)


def test_a_start_function_that_traps_keeps_its_counts(driver: Driver) -> None:
    text = """(module (memory 1) (func $begin (drop (memory.grow (i32.const 60000))) unreachable)
      (start $begin) (func (export "_start")))"""
    outcome = driver.outcome(text)
    assert (outcome.exit, outcome.memory_growth_denied) == (ExitKind.TRAPPED, 1)


def test_a_minimum_above_the_cap_counts_as_refused_growth(driver: Driver) -> None:
    memory = driver.outcome('(module (memory 1000) (func (export "_start")))')
    assert (memory.memory_growth_denied, memory.table_growth_denied) == (1, 0)
    table = driver.outcome('(module (table 20000 funcref) (func (export "_start")))')
    assert (table.memory_growth_denied, table.table_growth_denied) == (0, 1)


def test_growth_up_to_the_cap_is_granted(driver: Driver) -> None:
    text = """(module (memory (export "memory") 1) (func (export "_start") (local i32)
      (loop $on (br_if $on (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))))"""
    outcome = driver.outcome(text)
    assert (outcome.exit, outcome.memory_growth_denied) == (ExitKind.COMPLETED, 1)
    assert outcome.memory_peak_bytes == LIMITS.memory_bytes


def test_the_same_request_ends_the_same_again(driver: Driver) -> None:
    for text in HOSTILE.values():
        first, second = driver.outcome(text), driver.outcome(text)
        same = replace(second, wall_ms=first.wall_ms)
        if first.exit.repeatable:
            assert first == same


def test_cancelling_stops_the_guest_and_says_so(driver: Driver) -> None:
    module = compiled(ENDLESS)
    asked = request(module, number=2, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS))
    outcomes = driver.begin(asked, module)
    assert driver.executor.cancel(asked.job, asked.attempt)
    assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED
    assert not driver.executor.cancel(asked.job, asked.attempt)
    assert driver.outcome(HELLO).exit is ExitKind.COMPLETED


def test_cancelling_ends_the_process_that_the_guest_computes_in(driver: Driver) -> None:
    asked, outcomes, pid = running_guest(driver, 30)
    with handle(pid) as guest:
        assert driver.executor.cancel(asked.job, asked.attempt)
        assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED
        assert has_ended(guest)


def test_a_worker_killed_from_outside_is_a_lost_execution_and_nothing_more(driver: Driver) -> None:
    _, outcomes, pid = running_guest(driver, 31)
    os.kill(pid, signal.SIGKILL)
    outcome = outcomes.get(timeout=WAIT_S)
    assert (outcome.exit, outcome.output) == (ExitKind.WORKER_LOST, b"")
    assert not outcome.exit.repeatable
    assert not outcome.exit.guest_fault
    assert outcomes.empty(), "nobody tries again behind the node's back"
    assert driver.executor.free() == driver.executor.capacity()
    for _ in range(driver.executor.capacity()):
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED


def test_a_stopped_worker_ends_at_the_deadline_all_the_same(driver: Driver) -> None:
    module = compiled(ENDLESS)
    driver.outcome(ENDLESS, limits=replace(LIMITS, fuel=1))
    asked = request(module, 32, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=3_000))
    before = workers()
    outcomes = driver.begin(asked, module)
    while outcomes.empty():
        busy = [pid for pid, ticks in workers().items() if ticks > before.get(pid, 0) + 30]
        if busy:
            os.kill(busy[0], signal.SIGSTOP)
            break
    assert outcomes.get(timeout=WAIT_S).exit is ExitKind.DEADLINE
    assert driver.outcome(HELLO).exit is ExitKind.COMPLETED


def ours() -> set[int]:
    """Processes that an executor of ours has started, wherever they are."""
    names = ("icn.adapters", "ray::RayRunner")
    return {pid for pid in descendants_of(os.getpid()) if any(name in command_of(pid) for name in names)}


def test_closing_leaves_no_process(fresh: Fresh) -> None:
    before = ours()
    with fresh() as executor:
        executor.isolation()
        running_guest(Driver(executor), 33)
        executor.close()
        assert ours() <= before


def test_guests_are_sealed_with_what_the_executor_says(driver: Driver) -> None:
    said = driver.executor.isolation()
    assert {"rlimits", "no_new_privs"} <= said
    _, outcomes, pid = running_guest(driver, 34)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert (status["Seccomp"].strip() == "2") == ("seccomp" in said)
    assert "unprivileged" not in said or int(status["CapEff"], 16) == 0
    assert driver.executor.cancel(job(34), 1)
    assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED


def test_cancelling_what_is_not_open_does_nothing(driver: Driver) -> None:
    assert not driver.executor.cancel(job(99), 1)


def test_more_than_its_capacity_is_refused_and_calls_nothing(driver: Driver) -> None:
    executor, module = driver.executor, compiled(ENDLESS)
    limits = replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS)
    asked = [request(module, number=10 + place, limits=limits) for place in range(executor.capacity())]
    waiting = [driver.begin(one, module) for one in asked]
    assert executor.free() == 0
    with pytest.raises(SandboxFull):
        driver.begin(request(module, number=100), module)
    for one, outcomes in zip(asked, waiting, strict=True):
        assert executor.cancel(one.job, one.attempt)
        assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED
    assert executor.free() == executor.capacity()


def test_one_attempt_is_not_executed_twice_at_once(driver: Driver) -> None:
    module = compiled(ENDLESS)
    asked = request(module, number=3, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS))
    outcomes = driver.begin(asked, module)
    with pytest.raises(AlreadyExecuting):
        driver.begin(asked, module)
    assert driver.executor.cancel(asked.job, asked.attempt)
    assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED


def test_a_request_out_of_bounds_is_refused_before_anything_runs(driver: Driver) -> None:
    module = compiled(HELLO)
    with pytest.raises(Invalid, match="wall_ms"):
        driver.begin(request(module, limits=replace(LIMITS, wall_ms=0)), module)
    with pytest.raises(Invalid, match="module"):
        driver.begin(request(module), module + b"\0")
    assert driver.executor.free() == driver.executor.capacity()


def test_check_names_what_is_wrong_with_a_module(driver: Driver) -> None:
    driver.executor.check(compiled(HELLO))
    with pytest.raises(ModuleRefused, match="not a WebAssembly core module"):
        driver.executor.check(b"#!/bin/sh")
    with pytest.raises(ModuleRefused, match=r"env\.system"):
        driver.executor.check(compiled('(module (import "env" "system" (func)) (func (export "_start")))'))


def test_done_may_submit_the_next_execution(driver: Driver) -> None:
    module, finished = compiled(HELLO), queue.SimpleQueue[ExecutionOutcome]()

    def again(asked: ExecutionRequest, _outcome: ExecutionOutcome) -> None:
        following = replace(asked, attempt=asked.attempt + 1)
        driver.executor.submit(following, module, lambda _request, outcome: finished.put(outcome))

    driver.executor.submit(request(module, number=4), module, again)
    assert finished.get(timeout=WAIT_S).exit is ExitKind.COMPLETED


def test_closing_ends_what_is_open_and_takes_no_more(fresh: Fresh) -> None:
    with fresh() as executor:
        executor.isolation()
        module = compiled(ENDLESS)
        asked = request(module, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=NEVER_MS))
        outcomes = Driver(executor).begin(asked, module)
        executor.close()
        assert outcomes.get(timeout=WAIT_S).exit is ExitKind.CANCELLED
        assert executor.free() == 0
        with pytest.raises(SandboxClosed):
            Driver(executor).begin(asked, module)
