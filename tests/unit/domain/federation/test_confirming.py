"""What a removed member keeps is settled when nobody is left who might cut off more."""

from icn.domain.federation.confirming import settled_count
from icn.domain.federation.model import Removal
from support import builders

A, B, C = (builders.did(number) for number in (1, 2, 3))
FIRST, SECOND = Removal(A, 4, 7), Removal(B, 2, 5)


def test_it_is_open_until_every_member_has_heard_of_a_removal() -> None:
    clocks = {A: {A: 5}, B: {B: 3}, C: {A: 4, B: 2}}
    assert settled_count((FIRST, SECOND), (A, B, C), clocks.get) is None, "c may still count by itself"
    assert settled_count((FIRST, SECOND), (A, B), clocks.get) == 5, "the lowest counts"
    assert settled_count((FIRST, SECOND), (A, B, C), {**clocks, C: {A: 5}}.get) == 5
    assert settled_count((FIRST,), (A, B, C), {A: clocks[A]}.get) is None, "who has no block has heard nothing"


def test_of_a_member_that_was_not_removed_it_says_nothing() -> None:
    assert settled_count((), (), {}.get) is None
