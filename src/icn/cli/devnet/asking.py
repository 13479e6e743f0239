"""Asks the nodes of a devnet over their HTTP API: one of them, or all at once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from icn.cli.answer import Answer, Document
from icn.cli.client import Client, Query
from icn.cli.devnet.folder import Folder
from icn.cli.devnet.state import Node
from icn.cli.endings import Ended, Exit
from icn.cli.session import Session
from icn.cli.settings import Connection, parse_address

T = TypeVar("T")

ASKED_AT_ONCE = 8
PATIENCE_SECONDS = 5.0
"""For an answer. A node that is paused gives none, and whoever asks looks again."""
KEY_BYTES = 16


class Asker:
    """One node."""

    def __init__(self, session: Session, node: Node, key: str, *, patience: float = PATIENCE_SECONDS) -> None:
        self.node = node
        self.name = node.name
        self._random = session.world.random
        self._client = Client(
            Connection(parse_address(f"http://{node.http}"), key, patience), session.world, f"devnet-{node.name}"
        )

    @property
    def client(self) -> Client:
        """The connection."""
        return self._client

    def get(self, path: str, query: Query = ()) -> Document:
        """Read something."""
        return self._client.get(path, query).document()

    def post(self, path: str, body: Mapping[str, Any], *, key: str = "") -> Document:
        """Change something; `key`: of an earlier try, so that it is done once."""
        return self._client.write(path, body, key=key or f"devnet-{self._random(KEY_BYTES).hex()}").document()

    def raw(self, path: str) -> Answer:
        """Read what is no JSON."""
        return self._client.get(path)

    def is_ready(self) -> bool:
        """Whether it says that it can serve."""
        try:
            return self.get("/ready").value_or_none("ready") is True
        except Ended:
            return False

    def root(self) -> str:
        """Its DAG root."""
        return self.get("/dag/root").text("root")


def askers(
    session: Session, folder: Folder, nodes: Sequence[Node], *, patience: float = PATIENCE_SECONDS
) -> list[Asker]:
    """One for each. Raises `Ended` for a node of which nobody has heard where it listens."""
    unheard = [node.name for node in nodes if not node.http]
    if unheard:
        raise Ended(
            Exit.UNREACHABLE,
            f"nobody has heard yet where {', '.join(unheard)} can be reached",
            code="cli.devnet_incomplete",
            next_step="icn-cli devnet up brings all nodes up.",
        )
    key = folder.api_key.read_text().strip()
    return [Asker(session, node, key, patience=patience) for node in nodes]


def of_all(asked: Sequence[Asker], question: Callable[[Asker], T]) -> dict[str, T | Ended]:
    """Every node's answer by its name, or why there is none. They are asked beside each other."""

    def answer(one: Asker) -> T | Ended:
        try:
            return question(one)
        except Ended as ended:
            return ended

    with ThreadPoolExecutor(min(ASKED_AT_ONCE, max(1, len(asked)))) as pool:
        return dict(zip((one.name for one in asked), pool.map(answer, asked), strict=True))
