"""Each decoder reads some hundred damaged inputs, and all that were ever found to break one.

Inputs that follow coverage are `make fuzz`. What that finds is kept in `found/<target>/`, a file of hexadecimal bytes
whose name says what was wrong.
"""

import zlib
from pathlib import Path
from random import Random

import pytest

from fuzz.mutation import damaged
from fuzz.table import TARGETS
from fuzz.target import REFUSALS

INPUTS = 300
FOUND = Path(__file__).parent / "found"
FILES = sorted(FOUND.glob("*/*.hex"))


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_understands_or_refuses(name: str) -> None:
    target = TARGETS[name]
    for data in damaged(target.seeds(), INPUTS, target.bytes_max, Random(zlib.crc32(name.encode()))):
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"{name} was given {data.hex()}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_understands_its_seeds(name: str) -> None:
    """Seeds that are refused at the door would damage nothing behind it."""
    target = TARGETS[name]
    understood = 0
    for seed in target.seeds():
        try:
            target.read(seed)
        except target.allowed:
            continue
        understood += 1
    assert understood > 0


def test_what_was_found_once_is_refused_now() -> None:
    for path in FILES:
        TARGETS[path.parent.name].run(bytes.fromhex(path.read_text()))


def test_what_was_found_belongs_to_a_target() -> None:
    assert {path.parent.name for path in FILES} <= set(TARGETS)


def test_a_crash_is_no_refusal() -> None:
    """The harness itself: an error that is not ours goes through."""
    from fuzz.target import Target

    def read(data: bytes) -> None:
        raise IndexError(data)

    with pytest.raises(IndexError):
        Target("x", read, list).run(b"")
    assert IndexError not in REFUSALS
