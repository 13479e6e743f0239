"""Brings nodes of a devnet up: each is launched, remembered, and has said that it is ready, a few at a time.

The first node founds the federation, so it comes first, and all others are given its address; those that start later,
or again, also the addresses of the next two, so that no single node's death keeps anybody from coming back. Whom else
there is they learn from each other.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from icn.cli.devnet.announcements import NodeLog
from icn.cli.devnet.folder import Folder
from icn.cli.devnet.launching import launch, loopback_flags, node_program
from icn.cli.devnet.processes import lives
from icn.cli.devnet.state import Devnet, Node
from icn.cli.session import Session

SEEDS = 3
"""Nodes whose addresses others are given, as far as they are known."""
STARTING_PER_CORE = 2
"""So many at once: a start is mostly work, and more would only make each of them slower."""
_BETWEEN_LOOKS = 0.02
GRANT = 1_000_000
"""Mana of each node's account: enough for thousands of jobs. `--set` may say otherwise."""
_FOR_ALL = (
    *("--federation-name", "devnet"),
    *("--set", f"federation.initial_grant={GRANT}", "--set", f"federation.mana_cap={GRANT}"),
    *("--set", "performance.max_concurrent_jobs=1"),
)
"""One job at a time each, so one sandbox worker: many nodes share this machine."""


@dataclass(slots=True)
class Starting:
    """A node under way."""

    name: str
    begun: float | None
    """None: before this command."""
    log: NodeLog


@dataclass(slots=True)
class Started:
    """What became of them."""

    devnet: Devnet
    ready: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """From launch to ready, of those that were launched."""
    failures: dict[str, str] = field(default_factory=dict)
    """What the others said last."""


class Launcher:
    """Launches nodes of one devnet and keeps its file true. The folder's lock is held meanwhile."""

    def __init__(self, session: Session, folder: Folder, devnet: Devnet) -> None:
        self._environment = session.world.environ()
        self._folder = folder
        self._program = str(node_program())
        self.devnet = devnet

    def launch(self, name: str) -> Starting:
        """Start this node; waits for nothing."""
        node = self.devnet.node(name)
        log = NodeLog(self._folder.log_of(name))
        launch(
            self._command(node),
            log=self._folder.log_of(name),
            environment=self._environment,
            remember=lambda process: self.write(
                replace(self.devnet.node(name), process=process, log_begins=log.begins)
            ),
        )
        return Starting(name, time.monotonic(), log)

    def take_up(self, name: str) -> Starting:
        """A node that runs, though perhaps nobody has heard yet where it listens."""
        log = NodeLog(self._folder.log_of(name), self.devnet.node(name).log_begins)
        return Starting(name, None, log)

    def hear(self, starting: Starting) -> bool:
        """Note where it listens, once it has said so. Whether it is ready."""
        said = starting.log.look()
        known = self.devnet.node(starting.name)
        now = replace(known, http=said.http or known.http, did=said.did or known.did, p2p=said.p2p or known.p2p)
        if now != known:
            self.write(now)
        return said.is_ready

    def write(self, node: Node) -> None:
        """Remember what is known of this node now."""
        self.devnet = self.devnet.having(node)
        self._folder.write(self.devnet)

    def _command(self, node: Node) -> list[str]:
        terms, index = self.devnet.terms, self.devnet.nodes.index(node)
        seeds = [seed.p2p for seed in self.devnet.nodes[:SEEDS] if seed.name != node.name and seed.p2p]
        founds = index == 0 and not node.did
        return [
            self._program,
            *loopback_flags(
                self._folder.data_of(node.name),
                self._folder.api_key,
                backend=terms.backend,
                http=_if_free(node.http, node.http.partition(":")[2]),
                p2p=_if_free(node.p2p, node.p2p.partition("/tcp/")[2].partition("/")[0]),
            ),
            *("--join-policy", terms.policy),
            *_FOR_ALL,
            *(word for setting in terms.settings for word in ("--set", setting)),
            *(word for address in ([] if founds else seeds) for word in ("--bootstrap-peers", address)),
        ]


def start(launcher: Launcher, names: Sequence[str], *, within: float, tell: Callable[[str], None]) -> Started:
    """Launch those of them that do not run, and wait until all are ready, one has ended, or time is up."""
    running = [name for name in names if lives(launcher.devnet.node(name).process)]
    waiting = deque(name for name in names if name not in running)  # bounded: NODES_MAX, by the devnet
    under_way = [launcher.take_up(name) for name in running]
    done = Started(launcher.devnet)
    until = time.monotonic() + within
    at_once = STARTING_PER_CORE * (os.cpu_count() or 1)
    while waiting or under_way:
        while waiting and len(under_way) < at_once and _may_start(launcher.devnet, waiting[0]):
            under_way.append(launcher.launch(waiting.popleft()))
        for starting in list(under_way):
            if launcher.hear(starting):
                done.ready.append(starting.name)
                if starting.begun is not None:
                    done.seconds[starting.name] = round(time.monotonic() - starting.begun, 2)
            elif lives(launcher.devnet.node(starting.name).process):
                continue
            else:
                done.failures[starting.name] = f"it ended: {starting.log.last_words()}"
            under_way.remove(starting)
            tell(f"{len(done.ready)} of {len(names)} nodes are ready")
        if time.monotonic() > until or done.failures:
            break
        time.sleep(_BETWEEN_LOOKS)
    for starting in under_way:
        done.failures.setdefault(starting.name, f"not ready in time: {starting.log.last_words()}")
    for name in waiting:
        done.failures.setdefault(name, "not started: an earlier one is not ready")
    done.devnet = launcher.devnet
    return done


def _may_start(devnet: Devnet, name: str) -> bool:
    """Whether there is somebody to call: all but the first join what that one has founded."""
    first = devnet.nodes[0]
    return name == first.name or bool(first.p2p)


def _if_free(address: str, port: str) -> str:
    """The address, unless somebody else has its port now; a new one is chosen then."""
    if not port:
        return ""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError:
            return ""
    return address
