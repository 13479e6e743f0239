"""The journal in pages: whole, in order, with and without the index by type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.records import EVENT_NAMES
from icn.kernel.errors import Invalid
from icn.services.commands import OpenAccountFor, Submit
from icn.services.queries import events
from icn.services.queries.events import BEGINNING, EventFilter, EventView, Position
from support.http_node import HttpNode, signer_of
from support.http_specs import echo_spec


def journal_of_everything() -> HttpNode:
    node = HttpNode()
    node.found()
    for number in range(10, 14):
        node.clock.moment += 10
        node.ask(OpenAccountFor(signer_of(number).did))
        node.ask(Submit(echo_spec(node.now()), b""))
    return node


NODE = journal_of_everything()
WHOLE = events.events(NODE.store, EventFilter(), after=BEGINNING, limit=500).items
TYPES = sorted({event.type for event in WHOLE})


def paged(wanted: EventFilter, limit: int) -> list[EventView]:
    found: list[EventView] = []
    after = BEGINNING
    while True:
        page = events.events(NODE.store, wanted, after=after, limit=limit)
        found += page.items
        if page.next_cursor is None:
            return found
        after = events.position(page.next_cursor)


@given(st.integers(1, 20), st.none() | st.lists(st.sampled_from(TYPES), min_size=1, unique=True).map(tuple))
def test_pages_of_any_size_are_the_journal_filtered(limit: int, types: tuple[str, ...] | None) -> None:
    expected = [event for event in WHOLE if types is None or event.type in types]
    assert paged(EventFilter(types=types), limit) == expected


@given(st.integers(1, 40), st.none() | st.lists(st.sampled_from(TYPES), min_size=1, unique=True).map(tuple))
def test_the_tail_is_the_end_of_the_journal(count: int, types: tuple[str, ...] | None) -> None:
    expected = [event for event in WHOLE if types is None or event.type in types][-count:]
    assert list(events.tail(NODE.store, EventFilter(types=types), count=count).items) == expected


def test_a_filter_that_few_match_goes_on_with_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BLOCKS_SCANNED_MAX", 2)
    last = WHOLE[-1]
    assert paged(EventFilter(since=last.time), 5) == [event for event in WHOLE if event.time >= last.time]


def test_what_comes_behind_the_end() -> None:
    assert events.events(NODE.store, EventFilter(), after=events.end(NODE.store), limit=5).items == ()
    assert events.end(HttpNode().store) == BEGINNING


def test_names_in_full_or_by_their_last_part() -> None:
    assert events.types_named("rollback") == ("mesh.rollback",)
    assert events.types_named("mesh.rollback") == ("mesh.rollback",)
    for name in EVENT_NAMES.values():
        assert name in events.types_named(name.partition(".")[2])
    for name in ("", "mesh", "mesh.", "Rollback"):
        with pytest.raises(Invalid):
            events.types_named(name)


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_positions_read_back(arrival: int, index: int) -> None:
    assert events.position(str(Position(arrival, index))) == Position(arrival, index)
