"""What chaos does: a plan drawn from a seed, and the hand that carries it out on the devnet's own processes."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from icn.cli.devnet.processes import await_end, lives, send
from icn.cli.devnet.starting import Launcher, Starting
from icn.cli.devnet.state import Devnet

MEAN_SECONDS_BETWEEN = 1.5
ABSENCE_SECONDS = (0.2, 4.0)
"""How long a node is away, from the least to the most; short ones are as likely as long ones."""
STOP_SECONDS_MAX = 15.0
"""A node that does not stop when it is asked is a finding."""
WORDS_CHARS_MAX = 1000
_BETWEEN_LOOKS = 0.05


class Kind(Enum):
    """A way of taking a node down."""

    KILL = "kill"
    PAUSE = "pause"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Blow:
    """One of them."""

    at: float
    """Seconds from the beginning."""
    kind: Kind
    name: str
    absence: float


def plan(seed: int, seconds: float, kinds: Sequence[Kind], names: Sequence[str]) -> list[Blow]:
    """What happens in so many seconds. Less than half of the nodes are away at once, and one at least may be."""
    rng = random.Random(seed)
    away_max = max(1, (len(names) - 1) // 2)
    blows: list[Blow] = []
    at = 0.0
    while (at := at + rng.expovariate(1 / MEAN_SECONDS_BETWEEN)) < seconds:
        away = [blow.name for blow in blows if blow.at + blow.absence > at]
        here = [name for name in names if name not in away]
        kind, absence = rng.choice(list(kinds)), rng.uniform(*ABSENCE_SECONDS)
        if here and len(away) < away_max:
            blows.append(Blow(round(at, 3), kind, rng.choice(here), round(absence, 3)))
    return blows


@dataclass(slots=True)
class Striking:
    """Carries a plan out. The folder's lock is held meanwhile."""

    launcher: Launcher
    pause: Callable[[float], None]
    struck: list[Blow] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Who ended without having been told to, and what it said last."""
    _back: dict[str, tuple[float, Blow]] = field(default_factory=dict)
    """Who is away, and until when."""
    _starting: dict[str, Starting] = field(default_factory=dict)
    _gone: list[str] = field(default_factory=list)

    @property
    def devnet(self) -> Devnet:
        """As it is now."""
        return self.launcher.devnet

    def run(self, blows: Sequence[Blow], until: float, tell: Callable[[str], None]) -> None:
        """Blow by blow, each taken back when its time is over. One that finds its node not back yet is left out."""
        begun = time.monotonic()
        left = list(blows)
        while time.monotonic() < until or self._back:
            now = time.monotonic()
            while left and begun + left[0].at <= now:
                blow = left.pop(0)
                if not any(blow.name in busy for busy in (self._back, self._starting, self._gone)):
                    self._strike(blow, now)
            for name, (at, blow) in list(self._back.items()):
                if at <= now:
                    self._bring_back(name, blow)
            self._look()
            tell(f"{len(self.struck)} blows; away: {', '.join(sorted(self._back)) or 'nobody'}")
            self.pause(_BETWEEN_LOOKS)

    def mend(self, within: float) -> None:
        """Whatever happened: nobody stays paused or dead. Waits until those that start have said where they listen."""
        for name, (_, blow) in list(self._back.items()):
            self._bring_back(name, blow)
        for node in self.devnet.nodes:
            if not lives(node.process):
                self._starting[node.name] = self.launcher.launch(node.name)
        until = time.monotonic() + within
        while self._starting and time.monotonic() < until:
            self._hear()
            self.pause(_BETWEEN_LOOKS)

    def _strike(self, blow: Blow, now: float) -> None:
        process = self.devnet.node(blow.name).process
        match blow.kind:
            case Kind.KILL:
                send(process, signal.SIGKILL)
            case Kind.PAUSE:
                send(process, signal.SIGSTOP)
            case Kind.RESTART:
                send(process, signal.SIGTERM)
        self.struck.append(blow)
        self._back[blow.name] = now + blow.absence, blow

    def _bring_back(self, name: str, blow: Blow) -> None:
        del self._back[name]
        process = self.devnet.node(name).process
        if blow.kind is Kind.PAUSE:
            send(process, signal.SIGCONT)
            return
        if process is not None and await_end([process], STOP_SECONDS_MAX):
            self.lost.append(f"{name} did not stop when it was asked")
            send(process, signal.SIGKILL)
            await_end([process], STOP_SECONDS_MAX)
        self._starting[name] = self.launcher.launch(name)

    def _look(self) -> None:
        """Hear those that start; notice those that ended by themselves, which are left as they are until `mend`."""
        self._hear()
        for node in self.devnet.nodes:
            if node.name not in self._back and node.name not in self._gone and not lives(node.process):
                self._gone.append(node.name)
                hint = self._starting[node.name].log.last_words() if node.name in self._starting else "see its log"
                self.lost.append(f"{node.name} ended by itself: {hint[-WORDS_CHARS_MAX:]}")

    def _hear(self) -> None:
        for name, starting in list(self._starting.items()):
            if self.launcher.hear(starting):
                del self._starting[name]
