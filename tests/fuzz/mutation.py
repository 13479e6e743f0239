"""Damaged inputs from well-formed ones, the same in every run: the small part of a fuzzer that needs no compiler."""

from collections.abc import Iterator, Sequence
from random import Random

TELLING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80" * 9 + b"\1", b"\xff" * 9 + b"\1")
"""Ends of ranges, and numbers that do not end."""
CHANGES_MAX = 4


def damaged(seeds: Sequence[bytes], count: int, bytes_max: int, random: Random) -> Iterator[bytes]:
    """The seeds, each cut short at some places, and inputs with a few changes each, `count` in all."""
    given = [*seeds, b"", *(seed[: random.randrange(len(seed) + 1)] for seed in seeds)]
    yield from given[:count]
    for _ in range(count - len(given)):
        data = bytearray(random.choice(seeds))
        for _ in range(random.randint(1, CHANGES_MAX)):
            _change(data, seeds, random)
        yield bytes(data[:bytes_max])


def _change(data: bytearray, seeds: Sequence[bytes], random: Random) -> None:
    at = random.randrange(len(data) + 1)
    length = random.randint(1, 8)
    match random.randrange(6):
        case 0 if data:
            data[at % len(data)] ^= 1 << random.randrange(8)
        case 1:
            data[at : at + length] = random.randbytes(length)
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = random.choice(TELLING)
        case 4:
            telling = random.choice(TELLING)
            data[at : at + len(telling)] = telling
        case _:
            other = random.choice(seeds)
            data[at:] = other[random.randrange(len(other) + 1) :]
