"""Taking back what half a block did: maps and values are as they were, and what was not to be noted is not."""

from dataclasses import dataclass, field

from icn.services.undoing import Undo


@dataclass
class Owner:
    numbers: dict[str, int] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)
    total: int = 0


def test_what_was_changed_since_the_beginning_is_taken_back() -> None:
    owner = Owner({"a": 1, "b": 2}, {}, 3)
    undo = Undo(owner)
    undo.begin()
    owner.numbers["a"] = 10
    owner.numbers["c"] = 3
    owner.numbers["c"] += 1
    del owner.numbers["b"]
    owner.numbers.pop("a")
    owner.names["x"] = None
    owner.total = 9
    undo.back()
    assert owner == Owner({"a": 1, "b": 2}, {}, 3)


def test_only_what_came_after_the_newest_beginning() -> None:
    owner = Owner()
    undo = Undo(owner)
    undo.begin()
    owner.numbers["kept"] = 1
    owner.total = 1
    undo.begin()
    owner.numbers["kept"] = 2
    owner.total = 2
    undo.back()
    assert owner == Owner({"kept": 1}, {}, 1)


def test_what_is_changed_after_the_end_stays() -> None:
    owner = Owner()
    undo = Undo(owner)
    undo.begin()
    undo.end()
    owner.numbers["a"] = 1
    assert owner.numbers.pop("missing", 7) == 7
    undo.back()
    assert owner.numbers == {"a": 1}
