import pytest

from support.cli_server import CommandLine, serving


@pytest.fixture
def node():
    with serving() as double:
        yield double


@pytest.fixture
def cli(node):
    """A command line whose node is the double."""
    return CommandLine(node.url)


@pytest.fixture
def alone():
    """A command line without a node: nobody listens at port 1."""
    return CommandLine()
