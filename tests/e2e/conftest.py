"""Nodes of tests with real processes: whatever a test started is ended after it, by its process id."""

from collections.abc import Iterator

import pytest

from support.processes import Nodes


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes of one test."""
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def module_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes that the tests of a module share."""
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made
    made.end()
