"""Lists of jobs page without gaps; confirmation is never claimed too early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh.model import Status
from icn.kernel.errors import Invalid
from icn.services.commands import Submit
from icn.services.queries import jobs
from support.http_node import HttpNode
from support.http_specs import echo_spec


def node_with_jobs(count: int, *, apart: int) -> HttpNode:
    node = HttpNode()
    node.found()
    for _ in range(count):
        node.clock.moment += apart
        node.ask(Submit(echo_spec(node.now()), b""))
    return node


NODE = node_with_jobs(7, apart=0)


@given(st.integers(1, 9))
def test_pages_hold_every_job_once_also_within_one_millisecond(limit: int) -> None:
    whole = jobs.jobs(NODE.store, status=None, limit=100, cursor=None)
    found, cursor = [], None
    while True:
        page = jobs.jobs(NODE.store, status=None, limit=limit, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
    assert tuple(found) == whole.items
    assert len(found) == 7


def test_a_filter_that_few_match_gives_a_short_page_and_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS_SCANNED_MAX", 3)
    page = jobs.jobs(NODE.store, status=Status.FAILED, limit=5, cursor=None)
    assert page.items == ()
    assert page.next_cursor is not None


@pytest.mark.parametrize("cursor", ["", "xyz", "00", "0" * 56 + " ", "0A" * 28])
def test_cursors_of_nowhere(cursor: str) -> None:
    with pytest.raises(Invalid):
        jobs.jobs(NODE.store, status=None, limit=5, cursor=cursor)


def test_a_node_alone_confirms_what_it_wrote() -> None:
    node = node_with_jobs(2, apart=5)
    for line in jobs.jobs(node.store, status=None, limit=5, cursor=None).items:
        assert jobs.job(node.store, line.job_id).confirmed


def test_open_jobs_are_counted_by_where_they_stand() -> None:
    node = HttpNode(executes=False)
    node.found()
    node.ask(Submit(echo_spec(node.now()), b""))
    assert jobs.open_jobs(node.store) == jobs.OpenJobs(1, {"bidding": 1})
    assert jobs.open_jobs(NODE.store) == jobs.OpenJobs(0, {})
