"""A cable between two bridges that can be cut, made slow, or made to lose frames: two TAP devices and this program.

    python wire.py LEFT RIGHT

What a kernel's `netem` would do, on any kernel that has TUN/TAP, and the same again from the same seed. Run in the
network namespace of the bridges; makes the devices LEFT and RIGHT, prints `ready`, takes one JSON object a line (any of
`cut`, `delay_ms`, `jitter_ms`, `loss`, `seed`), answers each with a line of counts, and ends with its standard input.
"""

import contextlib
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_BYTES_MAX = 65_536
FRAMES_MAX = 20_000
"""Under way at once; more are lost, as on any full queue."""


@dataclass
class Wire:
    """Both ends and what is between them."""

    ends: tuple[int, int]
    cut: bool = False
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    carried: int = 0
    lost: int = 0
    _under_way: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _number: int = 0

    def change(self, wanted: dict[str, float]) -> None:
        """Take an order."""
        self.cut = bool(wanted.get("cut", self.cut))
        self.delay_ms = wanted.get("delay_ms", self.delay_ms)
        self.jitter_ms = wanted.get("jitter_ms", self.jitter_ms)
        self.loss = wanted.get("loss", self.loss)
        if "seed" in wanted:
            self.rng = random.Random(int(wanted["seed"]))

    def take(self, end: int, now: float) -> None:
        """A frame has come in at one end."""
        frame = os.read(self.ends[end], FRAME_BYTES_MAX)
        full = len(self._under_way) >= FRAMES_MAX
        if self.cut or full or (self.loss and self.rng.random() < self.loss):
            self.lost += 1
            return
        wait = self.delay_ms + (self.rng.uniform(0, self.jitter_ms) if self.jitter_ms else 0.0)
        self._number += 1
        heapq.heappush(self._under_way, (now + wait / 1000, self._number, 1 - end, frame))

    def give(self, now: float) -> None:
        """What has arrived by now goes out; what was under way when the cable was cut does too."""
        while self._under_way and self._under_way[0][0] <= now:
            _, _, end, frame = heapq.heappop(self._under_way)
            self.carried += 1
            with contextlib.suppress(OSError):  # the device is not up yet
                os.write(self.ends[end], frame)

    def wait(self, now: float) -> float | None:
        """Seconds until the next frame arrives."""
        return max(0.0, self._under_way[0][0] - now) if self._under_way else None


def tap(name: str) -> int:
    """A TAP device of this name. https://docs.kernel.org/networking/tuntap.html."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def main(names: list[str]) -> None:
    wire = Wire((tap(names[0]), tap(names[1])))
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([0, *wire.ends], [], [], wire.wait(time.monotonic()))
        now = time.monotonic()
        for end, device in enumerate(wire.ends):
            if device in readable:
                wire.take(end, now)
        wire.give(now)
        if 0 in readable:
            line = sys.stdin.readline()
            if not line:
                return
            wire.change(json.loads(line))
            print(json.dumps({"carried": wire.carried, "lost": wire.lost}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
