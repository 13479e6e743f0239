"""What a fuzz target is: a decoder, what it may refuse with, and what it is fed first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from icn.kernel.errors import Invalid, PeerViolation

REFUSALS = (Invalid, PeerViolation)
"""What decoders of strangers' bytes raise. A target that allows more says so; anything else is a crash."""


@dataclass(frozen=True)
class Target:
    """One decoder. `read` gets any bytes; what it asserts must hold for all of them."""

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    """Inputs that are well formed, from which others are made."""
    allowed: tuple[type[Exception], ...] = REFUSALS
    bytes_max: int = 4096
    """Longer inputs find nothing more."""

    def run(self, data: bytes) -> None:
        """Read `data`. Raises whatever is no refusal of the decoder's."""
        try:
            self.read(data)
        except self.allowed:
            return


def pieces(data: bytes) -> Iterator[bytes]:
    """`data` behind its first byte, which says in pieces of what size it arrives: nobody promises that messages come
    whole. 0: all at once."""
    if not data:
        return
    size, rest = data[0], data[1:]
    for at in range(0, len(rest), size or len(rest) or 1):
        yield rest[at : at + (size or len(rest))]
