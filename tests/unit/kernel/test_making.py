from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from icn.kernel.errors import Invalid
from icn.kernel.making import changed, maker


@dataclass(frozen=True, slots=True)
class Place:
    row: int
    seat: int = 1
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Careful:
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise Invalid("range", "ends before it begins")


@dataclass(frozen=True)
class Roomy:
    a: int
    b: int


def test_what_is_made_equals_what_the_class_makes_and_is_as_frozen() -> None:
    make = maker(Place)
    for made, plain in ((make(1), Place(1)), (make(1, seat=2), Place(1, 2)), (make(3, 4, ["x"]), Place(3, 4, ["x"]))):
        assert (type(made), made) == (Place, plain)
        assert not hasattr(made, "__dict__")
        with pytest.raises(FrozenInstanceError):
            made.row = 7  # type: ignore[misc]  # that is the point


def test_defaults_are_not_shared() -> None:
    make = maker(Place)
    assert make(1).tags is not make(1).tags


def test_a_missing_or_unknown_field_is_no_value() -> None:
    make = maker(Place)
    with pytest.raises(TypeError):
        make()  # type: ignore[call-arg]  # that is the point
    with pytest.raises(TypeError):
        make(1, row=2)  # type: ignore[misc]  # as above
    with pytest.raises(KeyError):
        changed(Place(1), column=2)


def test_a_class_that_looks_at_its_values_still_does() -> None:
    with pytest.raises(Invalid):
        maker(Careful)(2, 1)
    with pytest.raises(Invalid):
        changed(Careful(1, 2), high=0)


def test_classes_of_other_kinds_make_their_values_themselves() -> None:
    assert maker(Named)(a=1, b=2) == Named(a=1, b=2)
    assert maker(Roomy)(1, b=2) == Roomy(1, 2)
    assert changed(Roomy(1, 2), b=3) == Roomy(1, 3)


def test_a_change_leaves_the_rest_and_the_original() -> None:
    place = Place(1, 2, ["x"])
    assert changed(place, seat=5) == replace(place, seat=5)
    assert changed(place) == place == Place(1, 2, ["x"])
