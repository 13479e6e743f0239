from collections.abc import Iterator

import pytest

from icn.adapters.wasm.child import Child
from icn.adapters.wasm.frames import WorkerGone
from icn.adapters.wasm.open_execution import OpenExecution
from support.wasm_pool import request

pytestmark = pytest.mark.slow

START_MS = 30_000


@pytest.fixture
def child() -> Iterator[Child]:
    found = Child.start(START_MS)
    yield found
    found.end()


@pytest.fixture
def execution() -> OpenExecution:
    return OpenExecution(request(None), b"", lambda _request, _outcome: None)


def test_cancelling_kills_the_worker_that_is_busy_with_it(child: Child, execution: OpenExecution) -> None:
    with execution.occupying(child):
        execution.cancel()
        with pytest.raises(WorkerGone):
            child.compile(b"", START_MS)
    assert execution.cancelled


def test_a_worker_that_gets_busy_after_cancelling_is_killed_at_once(child: Child, execution: OpenExecution) -> None:
    execution.cancel()
    with execution.occupying(child), pytest.raises(WorkerGone):
        child.compile(b"", START_MS)


def test_a_worker_that_is_done_with_it_is_left_alone(child: Child, execution: OpenExecution) -> None:
    with execution.occupying(child):
        pass
    execution.cancel()
    assert child.alive
