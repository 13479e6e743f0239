"""Where nobody has a process to spare, a stage works on each item when it is given it."""

from icn.services.stage import here


class Noting:
    def __init__(self) -> None:
        self.taken: list[int] = []

    def take(self, item: int) -> None:
        self.taken.append(item)

    def end(self) -> int:
        return sum(self.taken)

    def abandon(self) -> None:
        """Nothing waits."""


def test_each_item_is_worked_on_when_it_is_given() -> None:
    noting = Noting()
    with here(noting) as stage:
        stage.take(1)
        assert noting.taken == [1]
        stage.take(2)
        assert stage.end() == 3
