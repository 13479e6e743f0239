from typing import Any

from icn.adapters.network.memory import CONNECTION_BYTES, MemoryBudget

BUDGET = 80 * CONNECTION_BYTES


class Named:
    """A link, of which nothing is asked here."""


def links(count: int) -> list[Any]:
    return [Named() for _ in range(count)]


def test_what_a_connection_holds_is_counted_while_it_lives():
    memory, [one, two] = MemoryBudget(BUDGET), links(2)
    memory.note(one, 1000)
    memory.note(two, 0)
    memory.note(one, 10)
    assert memory.used == 2 * CONNECTION_BYTES + 10
    memory.forget(one)
    memory.forget(one)
    memory.note_shared("gossip", 500)
    memory.note_shared("gossip", 300)
    assert memory.used == CONNECTION_BYTES + 300


def test_nothing_new_is_taken_before_the_budget_is_spent():
    memory, [one] = MemoryBudget(BUDGET), links(1)
    memory.note(one, 69 * CONNECTION_BYTES - 1)
    assert not memory.is_tight
    memory.note(one, 69 * CONNECTION_BYTES)
    assert memory.is_tight
    assert not memory.is_spent
    memory.note(one, 79 * CONNECTION_BYTES)
    assert not memory.is_spent
    memory.note(one, 79 * CONNECTION_BYTES + 1)
    assert memory.is_spent


def test_the_worst_holds_most_and_is_the_oldest_of_equals():
    memory, (one, two, three) = MemoryBudget(BUDGET), links(3)
    memory.note(one, 5)
    memory.note(two, 9)
    memory.note(three, 9)
    assert memory.worst() is two


def test_who_holds_nothing_is_not_to_blame():
    memory, [one] = MemoryBudget(BUDGET), links(1)
    assert memory.worst() is None
    memory.note(one, 0)
    memory.note_shared("gossip", 2 * BUDGET)
    assert memory.is_spent
    assert memory.worst() is None
