"""Executions between engine and sandbox: each ends once, whether it ran, waited or was stopped."""

from collections.abc import Callable

from icn.adapters.wasm.ports import Done
from icn.adapters.wasm.refusals import SandboxFull
from icn.domain.mesh.execution import ExecutionOutcome, ExecutionRequest, ExitKind, Limits
from icn.kernel.ids import JobId
from icn.node.executions import Executions

LIMITS = Limits(fuel=1, memory_bytes=1, table_elements=1, wall_ms=1, output_bytes=1)


def request(number: int) -> ExecutionRequest:
    return ExecutionRequest(
        job=JobId(bytes([number]) * 20), attempt=1, module=None, arguments=(), input=b"", limits=LIMITS
    )


class OnePlace:
    """An executor with one place, that ends an execution when it is told to."""

    profile = "one place"

    def __init__(self) -> None:
        self.running: tuple[ExecutionRequest, Done] | None = None
        self.tried = 0

    def submit(self, asked: ExecutionRequest, module: bytes, done: Done) -> None:
        self.tried += 1
        if self.running is not None:
            raise SandboxFull(1)
        self.running = (asked, done)

    def finish(self, kind: ExitKind = ExitKind.COMPLETED) -> None:
        assert self.running is not None
        (asked, done), self.running = self.running, None
        done(asked, outcome(kind))

    def cancel(self, job: JobId, attempt: int) -> bool:
        if self.running is None or (self.running[0].job, self.running[0].attempt) != (job, attempt):
            return False
        self.finish(ExitKind.CANCELLED)
        return True


def outcome(kind: ExitKind) -> ExecutionOutcome:
    return ExecutionOutcome(
        exit=kind,
        exit_code=0,
        output=b"",
        detail="",
        fuel_used=0,
        memory_peak_bytes=0,
        wall_ms=0,
        memory_growth_denied=0,
        table_growth_denied=0,
        profile="one place",
    )


def executions() -> tuple[OnePlace, Executions, list[tuple[JobId, ExitKind]]]:
    place, ended = OnePlace(), []

    def at_once(call: Callable[[], None]) -> None:
        call()

    made = Executions(
        place,  # type: ignore[arg-type]  # all of the port that is used here
        ended=lambda asked, result: ended.append((asked.job, result.exit)),
        to_loop=at_once,
    )
    return place, made, ended


def test_what_finds_no_place_runs_when_one_is_free() -> None:
    place, made, ended = executions()
    made.run(request(1), b"")
    made.run(request(2), b"")
    place.finish()
    assert place.running is not None
    assert place.running[0] == request(2)
    place.finish()
    assert ended == [(request(1).job, ExitKind.COMPLETED), (request(2).job, ExitKind.COMPLETED)]


def test_what_finds_no_place_runs_when_there_is_one_more() -> None:
    place, made, ended = executions()
    made.run(request(1), b"")
    made.run(request(2), b"")
    gone, place.running = place.running, None  # as when another machine joins: nothing has ended
    made.try_waiting()
    assert place.running is not None
    assert place.running[0] == request(2)
    assert (gone and gone[0], ended) == (request(1), [])


def test_what_is_stopped_while_it_waits_ends_as_cancelled_and_never_runs() -> None:
    place, made, ended = executions()
    made.run(request(1), b"")
    made.run(request(2), b"")
    made.stop(request(2).job, 1)
    assert ended == [(request(2).job, ExitKind.CANCELLED)]
    place.finish()
    assert place.running is None
    assert ended[1:] == [(request(1).job, ExitKind.COMPLETED)]


def test_what_runs_is_stopped_by_the_sandbox() -> None:
    _, made, ended = executions()
    made.run(request(1), b"")
    made.stop(request(1).job, 1)
    assert ended == [(request(1).job, ExitKind.CANCELLED)]


def test_after_the_end_nothing_is_told() -> None:
    place, made, ended = executions()
    made.run(request(1), b"")
    made.end()
    place.finish(ExitKind.CANCELLED)
    assert ended == []


def test_those_that_wait_run_in_the_order_in_which_they_came_and_are_not_all_tried_each_time() -> None:
    place, made, ended = executions()
    for number in range(9):
        made.run(request(number), b"")
    tried = place.tried
    place.finish()
    assert place.tried == tried + 2  # the next one, and the one that finds no place again
    while place.running is not None:
        place.finish()
    assert [job for job, _ in ended] == [request(number).job for number in range(9)]
