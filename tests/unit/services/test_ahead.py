"""Without threads nothing is made before it is asked for."""

from collections.abc import Iterator

from icn.services.ahead import in_turn


def test_each_item_is_made_when_it_is_asked_for() -> None:
    made: list[int] = []

    def making() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    items = in_turn(making())
    assert made == []
    assert next(items) == 0
    assert made == [0]
    assert list(items) == [1, 2]
