"""A runner is the sandbox of one machine, asked from afar."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from icn import __version__
from icn.adapters.cluster import messages
from icn.adapters.cluster.messages import RunnerState
from icn.adapters.cluster.runner import LEASE_THREAD, Runner
from icn.adapters.wasm import hardening
from icn.adapters.wasm.pool import NoWorker
from icn.adapters.wasm.profile import profile
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from support.cluster_machines import TERMS
from support.wasm_guests import COPY, ENDLESS, compiled
from support.wasm_pool import FOR_EVER, LIMITS, request

pytestmark = pytest.mark.slow
ENDING_SECS_MAX = 10.0
UNHEARD = """
import asyncio, sys, threading
from icn.adapters.cluster import bounds
from icn.adapters.cluster.runner import LEASE_THREAD, Runner
bounds.LEASE_S = 0.2
asyncio.run(Runner().begin(bytes.fromhex(sys.argv[1]), 1))
threading.Event().wait()
"""


def terms(folder: Path, **changed: object) -> bytes:
    real = replace(
        TERMS,
        profile=profile(),
        version=__version__,
        cache_path=str(folder / "modules"),
        compile_ms=60_000,
        executions_per_worker=100,
        worker_memory_bytes=2**30,
    )
    return messages.encode(replace(real, **changed))  # type: ignore[arg-type]  # the caller's fields


@contextmanager
def ended(runner: Runner) -> Iterator[Runner]:
    try:
        yield runner
    finally:
        asyncio.run(runner.end())
        for thread in threading.enumerate():
            if thread.name == LEASE_THREAD:  # it ends the process when the lease is over, and here that is the tests'
                thread.join(ENDING_SECS_MAX)
                assert not thread.is_alive()


def begun(runner: Runner, said: bytes) -> RunnerState:
    return messages.decode(RunnerState, asyncio.run(runner.begin(said, 1)))


def outcome(answer: bytes) -> ExecutionOutcome:
    return messages.decode(ExecutionOutcome, answer)


def test_it_begins_executes_and_ends(tmp_path: Path) -> None:
    async def story(runner: Runner) -> None:
        state = messages.decode(RunnerState, await runner.begin(terms(tmp_path), 1))
        assert (state.places, state.refusal) == (1, "")
        assert {"rlimits", "no_new_privs", "seccomp"} <= set(state.isolation)
        module = compiled(COPY)
        await runner.ping(1)
        said = outcome(await runner.execute(1, messages.encode(request(module)), module, b"given"))
        assert (said.exit, said.output) == (ExitKind.COMPLETED, b"given")

    with ended(Runner()) as runner:
        asyncio.run(story(runner))


def test_what_is_cancelled_stops_whether_or_not_it_has_come(tmp_path: Path) -> None:
    module = compiled(ENDLESS)
    asked = messages.encode(request(module, limits=replace(LIMITS, fuel=FOR_EVER, wall_ms=3_600_000)))

    async def story(runner: Runner) -> None:
        await runner.begin(terms(tmp_path), 1)
        await runner.cancel(1)
        assert outcome(await runner.execute(1, asked, module, b"")).exit is ExitKind.CANCELLED
        running = asyncio.ensure_future(runner.execute(2, asked, module, b""))
        await asyncio.sleep(0)
        await runner.cancel(2)
        assert outcome(await running).exit is ExitKind.CANCELLED

    with ended(Runner()) as runner:
        asyncio.run(story(runner))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": "0.0.1"}, "the node icn 0.0.1"),
        ({"profile": "another"}, "another"),
        ({"cache_path": "/proc/1/nowhere"}, "compiled modules cannot be kept in /proc/1/nowhere"),
    ],
)
def test_a_machine_that_does_not_fit_is_refused(tmp_path: Path, changed: dict[str, str], why: str) -> None:
    with ended(Runner()) as runner:
        state = begun(runner, terms(tmp_path, **changed))
    assert why in state.refusal
    assert state.places == 0


def test_a_machine_that_seals_too_little_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening, "ALL_PARTS", (*hardening.ALL_PARTS, "what no kernel gives"))
    with ended(Runner()) as runner:
        state = begun(runner, terms(tmp_path, isolation="full"))
    assert "what no kernel gives" in state.lacks
    assert state.places == 0


def test_before_it_has_begun_it_does_nothing() -> None:
    calls: list[Coroutine[Any, Any, Any]] = [Runner().ping(0), Runner().cancel(1)]
    for call in calls:
        with pytest.raises(NoWorker):
            asyncio.run(call)


def test_who_is_not_asked_anything_any_more_ends_with_its_process(tmp_path: Path) -> None:
    program = [sys.executable, "-c", UNHEARD, terms(tmp_path).hex()]
    ended = subprocess.run(program, check=False, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, b"")
