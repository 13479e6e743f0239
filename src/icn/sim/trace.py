"""The trace of a run: one line per input, effect and commit, hashed as it grows; only the tail is kept."""

import hashlib
from collections import deque
from typing import TextIO

TAIL_LINES_MAX = 60


class Trace:
    """Two runs did the same when their digests are equal."""

    def __init__(self, sink: TextIO | None = None) -> None:
        self._hash = hashlib.sha256()
        self._sink = sink
        self.tail: deque[str] = deque(maxlen=TAIL_LINES_MAX)
        self.lines = 0

    def line(self, now_us: int, who: str, what: str) -> None:
        """Add one line."""
        text = f"{now_us // 1000:>6}.{now_us % 1000:03d} {who} {what}"
        self._hash.update(f"{text}\n".encode())
        self.tail.append(text)
        self.lines += 1
        if self._sink is not None:
            self._sink.write(text + "\n")

    @property
    def digest(self) -> str:
        """Of all lines so far, in hexadecimal."""
        return self._hash.hexdigest()
