"""The journal in pages: whole, in order, with and without the index by type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh.events import JobSubmitted
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


def test_a_page_has_so_many_bytes_at_most_whatever_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member may record notes as long as a block, many times."""
    monkeypatch.setattr(events, "PAGE_BYTES", 1)
    assert len(events.events(NODE.store, EventFilter(), after=BEGINNING, limit=500).items) == 1
    assert list(events.tail(NODE.store, EventFilter(), count=500).items) == [WHOLE[-1]]
    assert paged(EventFilter(), 500) == list(WHOLE)
    monkeypatch.setattr(events, "PAGE_BYTES", 1_000)
    few = events.tail(NODE.store, EventFilter(), count=500).items
    assert few == WHOLE[-len(few) :]
    assert 1 < len(few) < len(WHOLE)


@given(st.integers(1, 20), st.booleans())
def test_the_events_of_one_job_are_read_by_its_index(limit: int, from_the_end: bool) -> None:
    jobs = sorted({event.event.job for event in WHOLE if isinstance(event.event, JobSubmitted)})
    assert len(jobs) == 4
    for job in jobs:
        expected = [event for event in WHOLE if getattr(event.event, "job", None) == job]
        assert len(expected) > 3
        wanted = EventFilter(job=job)
        if from_the_end:
            assert list(events.tail(NODE.store, wanted, count=limit).items) == expected[-limit:]
        else:
            assert paged(wanted, limit) == expected


def test_one_job_s_events_are_found_however_much_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BLOCKS_SCANNED_MAX", 4)
    first = next(event.event.job for event in WHOLE if isinstance(event.event, JobSubmitted))
    page = events.events(NODE.store, EventFilter(job=first), after=BEGINNING, limit=500)
    assert page.next_cursor is None, "blocks of others are not looked at"
    assert [event.event.job for event in page.items].count(first) == len(page.items)  # type: ignore[union-attr]  # of a job


def test_what_a_request_caused_is_found_by_its_correlation_id() -> None:
    node = HttpNode()
    node.found()
    node.ask(Submit(echo_spec(node.now()), b""), correlation="harvest-7")
    node.ask(OpenAccountFor(signer_of(30).did), correlation="another")
    found = events.events(node.store, EventFilter(correlation="harvest-7"), after=BEGINNING, limit=500).items
    types = [event.type for event in found]
    assert types[0] == "mesh.job_submitted"
    assert {"ledger.mana_held", "mesh.job_assigned", "mesh.receipt_issued", "ledger.hold_settled"} <= set(types)
    assert types[-1] in {"mesh.job_completed", "ledger.hold_settled"}


def test_what_comes_behind_the_end() -> None:
    assert events.events(NODE.store, EventFilter(), after=events.end(NODE.store), limit=5).items == ()
    assert events.end(HttpNode().store) == BEGINNING


def test_names_in_full_or_by_their_first_or_last_part() -> None:
    assert events.types_named("rollback") == ("mesh.rollback",)
    assert events.types_named("mesh.rollback") == ("mesh.rollback",)
    for name in EVENT_NAMES.values():
        assert name in events.types_named(name.partition(".")[2])
        assert name in events.types_named(name.partition(".")[0])
    assert all(name.startswith("mesh.") for name in events.types_named("mesh"))
    for name in ("", "mes", "mesh.", "Rollback"):
        with pytest.raises(Invalid):
            events.types_named(name)


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
def test_positions_read_back(arrival: int, index: int) -> None:
    assert events.position(str(Position(arrival, index))) == Position(arrival, index)
