"""The WASI test-suite's prebuilt preview 1 modules, run as jobs: docs/sandbox.md says of each how it ends.

A job has no directory, no socket and no environment, so most modules of the suite, which test files, must find out that
there are none, and end. What the page says passes must pass, and what it says cannot must not.
"""

from dataclasses import replace

import pytest

from icn.adapters.wasm.settings import SandboxSettings
from icn.domain.mesh.execution import ExecutionOutcome, ExitKind
from support.wasi_suite import PASSES, SuiteTest, said_of_each, suite_folder, suite_tests
from support.wasm_pool import LIMITS, MIB, WAIT_S, Driver, pool, request

pytestmark = pytest.mark.slow

ROOM = replace(LIMITS, fuel=10**8, memory_bytes=64 * MIB, wall_ms=30_000)
BY_ITSELF = {ExitKind.COMPLETED, ExitKind.TRAPPED, ExitKind.OUT_OF_FUEL}
"""How a test ends that finds no directory: it says so, asserts, or tries every descriptor there could be."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExecutionOutcome]:
    tests = suite_tests(suite_folder())
    ended = {}
    with pool(tmp_path_factory.mktemp("compiled"), SandboxSettings(workers=2)) as executor:
        driver, waiting = Driver(executor), {}
        for number, (name, test) in enumerate(tests.items(), 1):
            asked = replace(request(test.module, number, limits=ROOM), arguments=test.arguments)
            waiting[name] = driver.begin(asked, test.module)
            while executor.free() == 0:
                first = next(iter(waiting))
                ended[first] = waiting.pop(first).get(timeout=WAIT_S)
        ended |= {name: queue.get(timeout=WAIT_S) for name, queue in waiting.items()}
    return ended


@pytest.fixture(scope="module")
def tests() -> dict[str, SuiteTest]:
    return suite_tests(suite_folder())


def passed(test: SuiteTest, outcome: ExecutionOutcome) -> bool:
    said = test.stdout is None or outcome.output == test.stdout.encode()
    return said and (outcome.exit, outcome.exit_code) == (ExitKind.COMPLETED, test.exit_code)


def test_the_page_names_every_test_of_the_suite(tests: dict[str, SuiteTest]) -> None:
    assert list(said_of_each()) == list(tests)


@pytest.mark.parametrize("name", said_of_each())
def test_a_module_of_the_suite_ends_as_the_page_says(
    tests: dict[str, SuiteTest], outcomes: dict[str, ExecutionOutcome], name: str
) -> None:
    outcome = outcomes[name]
    assert passed(tests[name], outcome) == (said_of_each()[name] == PASSES), outcome.detail
    assert outcome.exit in BY_ITSELF
