"""What a devnet is, as its file says it: its terms, its nodes, and which process each of them was started as."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from icn.cli.endings import Ended, Exit

FORMAT = 1
NODES_MAX = 64
"""More than one machine bears; the file and every list of threads are bounded by it."""


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for good: ids are used again, an id with its start time on one boot is not."""

    pid: int
    started: int
    """Clock ticks from the boot to its start."""
    boot: str
    """The kernel's name for this boot."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node, running or not."""

    name: str
    did: str = ""
    http: str = ""
    """`host:port`, once it has said so; kept over restarts, as all of the next."""
    p2p: str = ""
    """With its peer id, as others dial it."""
    process: ProcessId | None = None
    """What it was last started as; None after it was stopped."""
    log_begins: int = 0
    """Where in its log that start begins."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was asked for when the devnet was made; its nodes are started with it for as long as it is there."""

    backend: str
    policy: str
    settings: tuple[str, ...] = ()
    """`SECTION.KEY=VALUE`, for every node."""


@dataclass(frozen=True, slots=True)
class Devnet:
    """All of it."""

    terms: Terms
    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node:
        """By its name."""
        return next(node for node in self.nodes if node.name == name)

    def having(self, changed: Node) -> Self:
        """With this node in place of the one of its name."""
        return replace(self, nodes=tuple(changed if node.name == changed.name else node for node in self.nodes))

    def grown_to(self, count: int) -> Self:
        """With nodes added until there are so many."""
        added = tuple(Node(node_name(number)) for number in range(len(self.nodes) + 1, count + 1))
        return replace(self, nodes=self.nodes + added)

    def encoded(self) -> bytes:
        """As the file has it, for people too."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode() + b"\n"

    @classmethod
    def decoded(cls, data: bytes, place: str) -> Self:
        """From the file at `place`. Raises `Ended` where it is none of ours."""
        try:
            fields = json.loads(data)
            if fields["format"] != FORMAT:
                raise _damaged(place, f"its format is {fields['format']}, and this release knows {FORMAT}")
            nodes = tuple(_node(node) for node in fields["nodes"])
            terms = Terms(**{**fields["terms"], "settings": tuple(fields["terms"]["settings"])})
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(place, "it cannot be understood") from error
        if len(nodes) > NODES_MAX or [node.name for node in nodes] != [
            node_name(number) for number in range(1, len(nodes) + 1)
        ]:
            raise _damaged(place, "it names other nodes than a devnet has")
        return cls(terms, nodes)


def node_name(number: int) -> str:
    """`node-01`, the one that founds the federation."""
    return f"node-{number:02}"


def _node(fields: dict[str, Any]) -> Node:
    process = fields["process"]
    return Node(**{**fields, "process": None if process is None else ProcessId(**process)})


def _damaged(place: str, why: str) -> Ended:
    return Ended(
        Exit.FAULT, f"{place}: {why}", code="cli.devnet_damaged", next_step="Look at it, or name another --dir."
    )
