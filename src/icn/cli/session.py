"""One run of one command: the world, what was given, and the client, made when the first request needs it.

Commands that work on files never look at the node's address or key.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from icn.cli.world import World

if TYPE_CHECKING:
    from icn.cli.answer import Answer, Document
    from icn.cli.blocks import Block
    from icn.cli.client import Client

CORRELATION_BYTES = 8
KEY_BYTES = 16


class Session:
    """What a command's `run` gets."""

    def __init__(self, world: World, given: argparse.Namespace, *, patience: float) -> None:
        self.world = world
        self.given = given
        self._patience = patience

    @property
    def as_json(self) -> bool:
        """Whether JSON was asked for."""
        return bool(getattr(self.given, "output", "table") == "json")

    @cached_property
    def client(self) -> "Client":
        """The connection to the node. Raises `Ended` when the command line or the environment names none."""
        from icn.cli.client import Client
        from icn.cli.settings import connection_of
        from icn.cli.trust import CACERT_VARIABLE

        environ = self.world.environ()
        connection = connection_of(self.given, environ, patience=self._patience)
        if environ.get(CACERT_VARIABLE) and connection.address.scheme != "https":
            self.world.say(f"warning: {CACERT_VARIABLE} is not looked at: {connection.address} is not https://")
        return Client(connection, self.world, "cli-" + self.world.random(CORRELATION_BYTES).hex())

    @cached_property
    def idempotency_key(self) -> str:
        """The key of this run's write: given, or new."""
        given: str | None = getattr(self.given, "idempotency_key", None)
        return given or "cli-" + self.world.random(KEY_BYTES).hex()

    def key_for(self, part: str) -> str:
        """The key of a write that goes before: follows from the run's key, so that a repetition uses it again."""
        import hashlib

        return "cli-" + hashlib.sha256(f"{self.idempotency_key} {part}".encode()).hexdigest()[:32]

    def write(self, path: str, body: Mapping[str, Any] | None) -> "Answer":
        """Change something under the run's key."""
        return self.client.write(path, body, key=self.idempotency_key)

    def show(self, answer: "Answer", view: "Callable[[Document], Sequence[Block]]") -> None:
        """Print an answer: the API's own JSON, or the blocks that `view` makes of it."""
        if self.as_json:
            self.world.print_json(answer.json_text())
        else:
            from icn.cli.render import render

            render(view(answer.document()), self.world)

    def show_own(self, facts: Mapping[str, Any]) -> None:
        """Print a result that no API answer is behind, in both forms."""
        if self.as_json:
            import json

            self.world.print_json(json.dumps(facts, ensure_ascii=False))
        else:
            from icn.cli.blocks import Facts
            from icn.cli.render import render

            render([Facts([(name.replace("_", " "), value) for name, value in facts.items()])], self.world)
