"""Messages that can be asked for, in windows of one heartbeat each (1.0, "Message Cache").

1.0: "adds a message to the current window and the cache"; with each heartbeat the windows shift, "discarding messages
older than the history length of the cache". Bounded in bytes as well: the oldest go first.
"""

from collections import deque
from dataclasses import dataclass, field

from icn.kernel.ids import PeerId


@dataclass(slots=True)
class _Cached:
    topic: str
    raw: bytes
    asked: dict[PeerId, int] = field(default_factory=dict)
    """How often each peer got it for the asking."""


class MessageCache:
    """The newest window is the last one."""

    def __init__(self, windows: int, advertised: int, bytes_max: int) -> None:
        self._advertised = advertised
        self._bytes_max = bytes_max
        self._messages: dict[bytes, _Cached] = {}
        self._windows: deque[list[bytes]] = deque(([] for _ in range(windows)), maxlen=windows)
        self._size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def size(self) -> int:
        """Bytes of all messages."""
        return self._size

    def put(self, message: bytes, topic: str, raw: bytes) -> None:
        """Keep a message from now on."""
        if message in self._messages or len(raw) > self._bytes_max:
            return
        while self._size + len(raw) > self._bytes_max:
            self._drop(next(iter(self._messages)))
        self._messages[message] = _Cached(topic, raw)
        self._windows[-1].append(message)
        self._size += len(raw)

    def ask(self, message: bytes, peer: PeerId, times_max: int) -> bytes | None:
        """The message, for a peer that asks; None when it is gone or the peer has had it `times_max` times."""
        cached = self._messages.get(message)
        if cached is None or cached.asked.get(peer, 0) >= times_max:
            return None
        cached.asked[peer] = cached.asked.get(peer, 0) + 1
        return cached.raw

    def advertised(self, topic: str) -> list[bytes]:
        """1.0: "the message IDs for messages in the most recent history windows, scoped to a given topic"."""
        recent = list(self._windows)[-self._advertised :]
        return [one for window in recent for one in window if (c := self._messages.get(one)) and c.topic == topic]

    def shift(self) -> None:
        """A heartbeat is over."""
        for message in self._windows[0]:
            if message in self._messages:
                self._drop(message)
        self._windows.append([])

    def _drop(self, message: bytes) -> None:
        self._size -= len(self._messages.pop(message).raw)
