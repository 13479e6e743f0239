from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from icn.cli.devnet.folder import Folder
from icn.cli.devnet.state import Devnet, Node, Terms
from support.cli_server import NodeDouble, serving


@pytest.fixture
def doubles() -> Iterator[list[NodeDouble]]:
    """Three nodes that answer as told."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving()) for _ in range(3)]


@pytest.fixture
def folder(tmp_path: Path, doubles: list[NodeDouble]) -> Folder:
    """A devnet of these, whose processes are nobody's."""
    folder = Folder(tmp_path / "devnet")
    folder.make("a-key")
    nodes = tuple(
        Node(f"node-{number:02}", f"did:key:z{number}", double.url.removeprefix("http://"))
        for number, double in enumerate(doubles, start=1)
    )
    folder.write(Devnet(Terms("sqlite", "open"), nodes))
    return folder
