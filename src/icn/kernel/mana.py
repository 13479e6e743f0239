"""Mana: whole units, never below zero, at most what a JSON number carries exactly."""

from typing import NewType

from icn.kernel.errors import Invalid

Mana = NewType("Mana", int)
"""An amount. Construct through `mana()` where the value comes from outside."""

MANA_MAX = 2**53 - 1
"""JSON numbers and generated OpenAPI bounds are exact up to here."""

ZERO = Mana(0)


def mana(value: int) -> Mana:
    """`value` as an amount. Raises `Invalid` outside 0 … `MANA_MAX`."""
    if type(value) is not int or not 0 <= value <= MANA_MAX:  # a bool is an int, and no amount
        raise Invalid("mana", f"{value!r} is not a whole number from 0 to {MANA_MAX}")
    return Mana(value)
