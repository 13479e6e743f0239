"""What the pool adds to the contract of an executor: it recovers, recompiles, and trusts no file."""

import contextlib
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from icn.adapters.wasm import bounds, hardening
from icn.adapters.wasm.attendant import IsolationMissing
from icn.adapters.wasm.child import Child, Usage
from icn.adapters.wasm.pool import NoWorker, WorkerPool
from icn.adapters.wasm.settings import Isolation, SandboxSettings
from icn.domain.mesh.execution import ExitKind
from support.wasm_guests import ENDLESS, HELLO, HOSTILE, compiled
from support.wasm_pool import FOR_EVER, LIMITS, MIB, WAIT_S, Driver, pool, request, wait_until_it_computes

pytestmark = pytest.mark.slow

ONE = SandboxSettings(workers=1)


def test_a_killed_worker_is_reported_lost_and_replaced(tmp_path: Path) -> None:
    with pool(tmp_path, ONE) as executor:
        driver = Driver(executor)
        driver.outcome(ENDLESS, limits=replace(LIMITS, fuel=1))
        (before,) = executor.pids()
        limits = replace(LIMITS, fuel=FOR_EVER, wall_ms=3_600_000)
        outcomes = driver.begin(request(compiled(ENDLESS), 2, limits=limits), compiled(ENDLESS))
        wait_until_it_computes(before)
        os.kill(before, signal.SIGKILL)
        assert outcomes.get(timeout=WAIT_S).exit is ExitKind.WORKER_LOST
        assert driver.outcome(HELLO).output == b"hello\n"
        assert executor.pids() != (before,)


def test_a_worker_that_died_while_idle_costs_no_execution(tmp_path: Path) -> None:
    with pool(tmp_path, ONE) as executor:
        driver = Driver(executor)
        driver.outcome(HELLO)
        (idle,) = executor.pids()
        os.kill(idle, signal.SIGKILL)
        wait_until_dead(idle)
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED


def test_a_worker_is_looked_at_once_after_each_guest_and_for_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, usage = list[int](), Child.usage

    def counted(child: Child) -> Usage | None:
        looks.append(child.pid)
        return usage(child)

    monkeypatch.setattr(Child, "usage", counted)
    with pool(tmp_path, ONE) as executor:
        driver = Driver(executor)
        for _ in range(3):
            assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
            built_in = request(None, attempt=next(driver.attempts))
            assert driver.begin(built_in, b"").get(timeout=WAIT_S).exit is ExitKind.COMPLETED
    assert len(looks) == 3


def wait_until_dead(pid: int) -> None:
    """Until nothing is left of the process but its exit status, or not even that."""
    with contextlib.suppress(ChildProcessError):  # its owner has reaped it already
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_worker_is_replaced_when_it_has_done_enough(tmp_path: Path) -> None:
    with pool(tmp_path, replace(ONE, executions_per_worker=2)) as executor:
        driver = Driver(executor)
        seen = []
        for _ in range(5):
            assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
            seen.append(executor.pids())
        assert len({pids for pids in seen if pids}) >= 2


GROWS = """(module (memory (export "memory") 1) (func (export "_start")
  (drop (memory.grow (i32.const 1500)))
  (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))))"""


def pids_over(executor: WorkerPool, text: str, times: int = 4) -> set[tuple[int, ...]]:
    """The workers that are there after each of some executions: the one that ran it, or already the next."""
    driver, limits = Driver(executor), replace(LIMITS, memory_bytes=128 * MIB)
    seen = set()
    for _ in range(times):
        assert driver.outcome(text, limits=limits).exit is ExitKind.COMPLETED
        deadline = time.monotonic() + WAIT_S
        while not (pids := executor.pids()):
            assert time.monotonic() < deadline
        seen.add(pids)
    return seen


def test_a_worker_that_has_grown_is_replaced(tmp_path: Path) -> None:
    with pool(tmp_path, replace(ONE, worker_memory_bytes=8 * MIB)) as executor:
        assert len(pids_over(executor, HELLO)) >= 2


def test_the_memory_of_a_guest_does_not_count_as_its_workers(tmp_path: Path) -> None:
    with pool(tmp_path, replace(ONE, worker_memory_bytes=80 * MIB)) as executor:
        assert len(pids_over(executor, GROWS)) == 1


def test_a_worker_that_has_computed_long_enough_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "WORKER_CPU_S_WORN", 1)
    with pool(tmp_path, ONE) as executor:
        (before,) = pids_over(executor, HELLO)
        busy = replace(LIMITS, fuel=FOR_EVER, wall_ms=1_000)
        for _ in range(10):  # its processor may be shared with others meanwhile
            assert Driver(executor).outcome(ENDLESS, limits=busy).exit is ExitKind.DEADLINE
            if before not in pids_over(executor, HELLO):
                return
    pytest.fail("still the same worker")


def test_a_pool_says_what_seals_its_guests_before_the_first_job(tmp_path: Path) -> None:
    with pool(tmp_path, ONE) as executor:
        assert {"rlimits", "no_new_privs"} <= executor.isolation()


def test_where_less_is_to_be_had_than_was_asked_for_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "ALL_PARTS", (*hardening.ALL_PARTS, "what no kernel gives"))
    with pool(tmp_path, replace(ONE, isolation=Isolation.FULL)) as executor:
        with pytest.raises(IsolationMissing, match="what no kernel gives"):
            executor.isolation()
        outcome = Driver(executor).outcome(HELLO)
        assert (outcome.exit, outcome.output) == (ExitKind.WORKER_LOST, b"")
        assert "what no kernel gives" in outcome.detail
        assert executor.pids() == ()
    with pool(tmp_path, ONE) as executor:
        assert Driver(executor).outcome(HELLO).exit is ExitKind.COMPLETED


def test_compiled_modules_are_kept_across_restarts_and_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    with pool(tmp_path, ONE) as executor:
        assert Driver(executor).outcome(HELLO).exit is ExitKind.COMPLETED
    (kept,) = tmp_path.iterdir()
    original = kept.read_bytes()
    with pool(tmp_path, ONE) as executor:
        assert Driver(executor).outcome(HELLO).exit is ExitKind.COMPLETED
    assert kept.read_bytes() == original
    damaged = bytearray(original)
    damaged[len(damaged) // 2] ^= 0xFF
    kept.write_bytes(damaged)
    with pool(tmp_path, ONE) as executor:
        assert Driver(executor).outcome(HELLO).output == b"hello\n"
    assert kept.read_bytes() != bytes(damaged)


def test_two_pools_agree_on_everything_repeatable(tmp_path: Path) -> None:
    with pool(tmp_path / "a", ONE) as first, pool(tmp_path / "b", ONE) as second:
        assert first.profile == second.profile
        for text in (HELLO, *HOSTILE.values()):
            one, other = Driver(first).outcome(text), Driver(second).outcome(text)
            assert one.exit is other.exit
            if one.exit.repeatable:
                assert one == replace(other, wall_ms=one.wall_ms)


def test_a_module_that_cannot_be_compiled_in_time_does_not_cost_the_worker(tmp_path: Path) -> None:
    long = "(func (param f64) (result f64) " + "(f64.mul (local.get 0) " * 50 + "(local.get 0)" + ")" * 51
    with pool(tmp_path, replace(ONE, compile_ms=20)) as executor:
        driver = Driver(executor)
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
        before = executor.pids()
        outcome = driver.outcome(f'(module {long * 3000} (func (export "_start")))')
        assert outcome.exit is ExitKind.DEADLINE
        assert "compiling took more than" in outcome.detail
        assert driver.outcome(HELLO).exit is ExitKind.COMPLETED
        assert executor.pids() == before


def test_without_workers_an_execution_is_answered_and_not_left_waiting(tmp_path: Path) -> None:
    with pool(tmp_path, replace(ONE, start_ms=0)) as executor:
        outcome = Driver(executor).outcome(HELLO)
        assert outcome.exit is ExitKind.WORKER_LOST
        assert "no worker could be started" in outcome.detail
        with pytest.raises(NoWorker):
            executor.isolation()


def test_closing_leaves_no_process(tmp_path: Path) -> None:
    with pool(tmp_path, ONE) as executor:
        Driver(executor).outcome(HELLO)
        (pid,) = executor.pids()
        executor.close()
        executor.close()
    assert not Path(f"/proc/{pid}").exists()
