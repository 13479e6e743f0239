"""What holds for every test: how Hypothesis behaves, how long one may take, and that skips are counted."""

import faulthandler
import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support import postgres
from support.skips import Skip, forbidden

EXAMPLES = int(os.environ.get("ICN_TEST_EXAMPLES", "40"))
"""Of each property that says no other number; more for who has the time."""

# Deterministic or not merged: the examples follow from the test's source. Time limits would make a slow machine red.
settings.register_profile(
    "icn",
    deadline=None,
    derandomize=True,
    max_examples=EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("icn")

# A shell ignores SIGINT for what it starts in the background, and programs that are started here would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests are collected without looking for garbage, and hardly make any. See pytest_collection_finish.
gc.disable()
GARBAGE_LOOKED_FOR_EVERY = 10_000
"""Allocations more than releases. Python's 700 is for programs that are smaller than this one."""

REQUIRE_ALL = "ICN_TEST_REQUIRE_ALL"


@pytest.fixture(scope="session", autouse=True)
def _database_servers_end() -> Iterator[None]:
    """The server that tests of this process share, if one was started."""
    yield
    postgres.end_cluster()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: side by side, the quick ones then fill what one process has left when it ends first.

    Each file stays together, and the order is the same in every process of a run.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """From here on there may be garbage; whoever looks for it need not walk over all tests each time.

    That was a fifth of the processor's time of tests that allocate much, such as simulations.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOKED_FOR_EVERY)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The bound on a test's duration (`faulthandler_timeout`) is for the default run."""
    if item.get_closest_marker("long") is not None:
        faulthandler.cancel_dump_traceback_later()


def _skips_of(config: pytest.Config) -> list[Skip]:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    found = []
    for report in reporter.stats.get("skipped", []) if reporter is not None else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found.append(Skip(report.nodeid, reason))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get(REQUIRE_ALL) == "1" and forbidden(_skips_of(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    skips = _skips_of(config)
    absent = [skip for skip in skips if skip.is_forgiven]
    if absent:
        terminalreporter.section("published vectors or guide absent", red=True, bold=True)
        terminalreporter.line(
            f"{len(absent)} test(s) did not run; set VECTORS_DIR, GUIDE_PATH. First: {absent[0].reason}"
        )
    refused = forbidden(skips)
    if refused and os.environ.get(REQUIRE_ALL) == "1":
        terminalreporter.section(f"skips are failures here ({REQUIRE_ALL}=1)", red=True, bold=True)
        for skip in refused:
            terminalreporter.line(f"{skip.where}: {skip.reason}")
