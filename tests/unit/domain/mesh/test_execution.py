from dataclasses import replace

import pytest

from icn.domain.mesh.execution import ExecutionRequest, ExitKind, Limits
from icn.kernel import limits
from icn.kernel.errors import Invalid
from icn.kernel.ids import JobId

MOST = Limits(
    fuel=limits.FUEL_MAX,
    memory_bytes=limits.JOB_MEMORY_BYTES_MAX,
    table_elements=limits.JOB_TABLE_ELEMENTS_MAX,
    wall_ms=limits.JOB_WALL_MS_MAX,
    output_bytes=limits.JOB_OUTPUT_BYTES_MAX,
)
REQUEST = ExecutionRequest(job=JobId(bytes(20)), attempt=1, module=None, arguments=(), input=b"", limits=MOST)


def test_what_an_accident_ended_is_nobodys_fault() -> None:
    for kind in ExitKind:
        assert not (kind.guest_fault and not kind.repeatable)
    assert {kind for kind in ExitKind if kind.guest_fault} == {
        *(ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL, ExitKind.OUTPUT_LIMIT, ExitKind.REFUSED),
    }
    assert {kind for kind in ExitKind if not kind.repeatable} == {
        *(ExitKind.DEADLINE, ExitKind.STACK_OVERFLOW, ExitKind.CANCELLED, ExitKind.WORKER_LOST, ExitKind.UNAVAILABLE),
    }


@pytest.mark.parametrize("field", ["fuel", "memory_bytes", "table_elements", "wall_ms", "output_bytes"])
def test_every_limit_has_a_least_and_a_most(field: str) -> None:
    MOST.check()
    for value in (0, -1, getattr(MOST, field) + 1):
        with pytest.raises(Invalid, match=field):
            replace(MOST, **{field: value}).check()


def test_a_request_is_bounded() -> None:
    REQUEST.check()
    argument = "x" * limits.JOB_ARGUMENT_BYTES_MAX
    full = replace(REQUEST, arguments=(argument,) * limits.JOB_ARGUMENTS_MAX, input=bytes(limits.CONTENT_BYTES_MAX))
    full.check()
    for beyond in (
        replace(REQUEST, attempt=0),
        replace(REQUEST, arguments=("",) * (limits.JOB_ARGUMENTS_MAX + 1)),
        replace(REQUEST, arguments=(argument + "x",)),
        replace(REQUEST, arguments=("a\0b",)),
        replace(REQUEST, arguments=("\ud800",)),
        replace(REQUEST, input=bytes(limits.CONTENT_BYTES_MAX + 1)),
        replace(REQUEST, limits=replace(MOST, fuel=0)),
    ):
        with pytest.raises(Invalid):
            beyond.check()
