import gc
import weakref
from collections.abc import Iterator

import pytest

from icn.adapters.collecting import ALLOCATIONS, YOUNG_ROUNDS, collect_no_more, collect_seldom


@pytest.fixture(autouse=True)
def _the_run_goes_on_as_it_was() -> Iterator[None]:
    """What was collected is looked at no more (tests/conftest.py)."""
    yield
    gc.freeze()


class Knot:
    """Refers to itself, so that counting references never frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_freed_in_the_end_although_seldom() -> None:
    usual = gc.get_threshold()
    freed: list[int] = []
    try:
        gc.collect()
        gc.disable()  # as a program does while it is loaded
        collect_seldom()
        knot = Knot()
        weakref.finalize(knot, freed.append, 1)
        del knot
        kept: list[list[int]] = []
        for rounds in range(YOUNG_ROUNDS):
            kept += [[] for _ in range(ALLOCATIONS + 1)]
            if freed:
                break
            assert rounds < 2
    finally:
        gc.set_threshold(*usual)
        gc.enable()
        gc.unfreeze()
    assert freed


def test_a_program_that_ends_does_not_look_at_all_it_has_once_more() -> None:
    freed: list[int] = []
    knot = Knot()
    weakref.finalize(knot, freed.append, 1)
    del knot
    try:
        collect_no_more()
        gc.collect()
        assert not freed
    finally:
        gc.unfreeze()
    gc.collect()
    assert freed
