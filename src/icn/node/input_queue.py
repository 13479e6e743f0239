"""What waits for the writer: bounded in number and bytes, and nobody's share at the cost of others.

A stranger may say as much as the line carries, while a batch takes as long as it takes. When there is no more room the
peer that takes up most of it is ousted: what it said is thrown away, and it is for the caller to end its connection. So
whoever floods loses its own place, and neither that of a member nor that of somebody who asks this node for something.
"""

import threading
from collections import deque
from dataclasses import dataclass

from icn.kernel.ids import Did
from icn.kernel.limits import QUEUE_BYTES_MAX, QUEUE_INPUTS_MAX
from icn.services.inputs import Gossiped, Input, Received

SHARE_MIN = 64
"""Inputs that a peer may have waiting whatever happens: it is not ousted for fewer, unless they are long."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of an input that was offered."""

    is_taken: bool
    ousted: Did | None = None
    """Who had to make way."""
    dropped: tuple[Input, ...] = ()
    """What it had said, and nobody will read."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """How long more inputs are waited for where there are some."""

    pause_secs: float
    """When nothing has come for so long, no more is waited for."""
    pauses_max: int
    """How many of them in all, however much comes."""


@dataclass(slots=True)
class _Share:
    inputs: int = 0
    size: int = 0


_TAKEN = Offered(is_taken=True)
NOT_TAKEN = Offered(is_taken=False)
"""Nobody made way for it."""


class InputQueue:
    """Filled by one thread, emptied by another."""

    def __init__(self) -> None:
        self._items: deque[tuple[Input, int]] = deque()  # bounded: QUEUE_INPUTS_MAX and QUEUE_BYTES_MAX, in offer()
        self._size = 0
        self._shares: dict[Did, _Share] = {}
        self._changed = threading.Condition()
        self._is_woken = False
        self._enough = 1
        """Inputs of which whoever takes them is told."""

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, input_: Input, size: int = 0) -> Offered:
        """Put an input at the end. `size`: of the bytes that it came as."""
        with self._changed:
            ousted = self._greediest(input_, size) if self._is_full(size) else None
            dropped = () if ousted is None else self._drop(ousted)
            if ousted == _sender(input_) is not None or self._is_full(size):
                return Offered(is_taken=False, ousted=ousted, dropped=dropped)
            self._items.append((input_, size))
            self._note(input_, size, 1)
            if len(self._items) >= self._enough:
                self._changed.notify()
        return _TAKEN if ousted is None else Offered(is_taken=True, ousted=ousted, dropped=dropped)

    def take(self, most: int, timeout: float, gathering: Gathering | None = None) -> list[Input]:
        """Up to so many, as soon as there are any; none when that takes longer than `timeout`, or after `wake`.

        With `gathering`, more are waited for once there are any.
        """
        with self._changed:
            if not self._items and not self._is_woken:
                self._changed.wait(timeout)
            if gathering is not None and self._items:
                self._gather(most, gathering)
            self._is_woken = False
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            for input_, size in taken:
                self._note(input_, size, -1)
        return [input_ for input_, _ in taken]

    def _gather(self, most: int, gathering: Gathering) -> None:
        """Wait while more comes. Who offers wakes nobody before there is enough: that costs more than to look again."""
        self._enough = most
        for _ in range(gathering.pauses_max):
            seen = len(self._items)
            if seen >= most or self._is_woken:
                break
            self._changed.wait(gathering.pause_secs)
            if len(self._items) == seen:
                break
        self._enough = 1

    def wake(self) -> None:
        """Let whoever takes look up, though nothing has come."""
        with self._changed:
            self._is_woken = True
            self._changed.notify()

    def _is_full(self, size: int) -> bool:
        return len(self._items) >= QUEUE_INPUTS_MAX or self._size + size > QUEUE_BYTES_MAX

    def _greediest(self, newest: Input, size: int) -> Did | None:
        """Who takes up most of what there is too little of, the newest input included."""
        by_size, sender = self._size + size > QUEUE_BYTES_MAX, _sender(newest)
        taken = {peer: share.size if by_size else share.inputs for peer, share in self._shares.items()}
        if sender is not None:
            taken[sender] = taken.get(sender, 0) + (size if by_size else 1)
        most = max(taken, key=taken.__getitem__, default=None)
        return None if most is None or (not by_size and taken[most] <= SHARE_MIN) else most

    def _drop(self, peer: Did) -> tuple[Input, ...]:
        """Throw away what a peer has said. That it came, and that it goes, stays."""
        kept, dropped = deque[tuple[Input, int]](), list[Input]()
        for input_, size in self._items:
            if _sender(input_) == peer:
                dropped.append(input_)
                self._note(input_, size, -1)
            else:
                kept.append((input_, size))
        self._items = kept
        return tuple(dropped)

    def _note(self, input_: Input, size: int, change: int) -> None:
        self._size += change * size
        sender = _sender(input_)
        if sender is None:
            return
        share = self._shares.setdefault(sender, _Share())
        share.inputs += change
        share.size += change * size
        if not share.inputs:
            del self._shares[sender]


def _sender(input_: Input) -> Did | None:
    """Who said it; None of what no peer says."""
    if isinstance(input_, Received):
        return input_.peer
    return input_.bearer if isinstance(input_, Gossiped) else None
