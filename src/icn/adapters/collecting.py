"""How often Python looks for garbage that refers to itself: seldom, for our programs make hardly any.

Nearly everything a batch of inputs, or a command, makes is freed as soon as the last reference goes. The collector
looks for the rest after so many more allocations than releases. At its default of 700 it does so several times per job,
each time longer the more the node remembers: 8 % of the processor time, and pauses. Of a deep verification of an
archive it is 5 %.
"""

import gc

ALLOCATIONS = 50_000
"""More than releases, until the youngest objects are looked at."""
YOUNG_ROUNDS = 20
"""Of the youngest, until those that survived one are."""
MIDDLE_ROUNDS = 50
"""Of those, until all are."""


def collect_seldom() -> None:
    """For the whole process, from now on. What is there already, the program itself, is looked at no more."""
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, YOUNG_ROUNDS, MIDDLE_ROUNDS)
    gc.enable()  # a program that starts may have done without


def collect_no_more() -> None:
    """For a program that ends: Python would look at all it has, once more, before it lets go of it."""
    gc.freeze()
