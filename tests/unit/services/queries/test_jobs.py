"""Lists of jobs page without gaps; confirmation is never claimed too early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.domain.mesh.model import Status
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant
from icn.services.commands import Submit
from icn.services.queries import jobs
from icn.services.queries.jobs import JobFilter
from icn.services.queries.paging import Page
from support.http_node import HttpNode, signer_of
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
    whole = jobs.jobs(NODE.store, limit=100, cursor=None)
    found, cursor = [], None
    while True:
        page = jobs.jobs(NODE.store, limit=limit, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.items) == limit
    assert tuple(found) == whole.items
    assert len(found) == 7


def test_a_filter_that_few_match_gives_a_short_page_and_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "JOBS_SCANNED_MAX", 3)
    page = jobs.jobs(NODE.store, JobFilter(status=Status.FAILED), limit=5, cursor=None)
    assert page.items == ()
    assert page.next_cursor is not None


def test_jobs_by_payer_and_since_when() -> None:
    node = node_with_jobs(5, apart=1000)
    whole = jobs.jobs(node.store, limit=100, cursor=None).items
    since = JobFilter(since=whole[2].submitted_at)
    assert jobs.jobs(node.store, since, limit=100, cursor=None).items == whole[:3]
    first = jobs.jobs(node.store, since, limit=2, cursor=None)
    assert first.items == whole[:2]
    rest = jobs.jobs(node.store, since, limit=2, cursor=first.next_cursor)
    assert (rest.items, rest.next_cursor) == (whole[2:3], None)
    assert jobs.jobs(node.store, JobFilter(payer=node.did), limit=100, cursor=None).items == whole
    assert jobs.jobs(node.store, JobFilter(payer=signer_of(9).did), limit=100, cursor=None).items == ()
    nothing = JobFilter(status=Status.COMPLETED, payer=node.did, since=Instant(whole[0].submitted_at + 1))
    assert jobs.jobs(node.store, nothing, limit=100, cursor=None) == Page((), None)


@pytest.mark.parametrize("cursor", ["", "xyz", "00", "0" * 56 + " ", "0A" * 28])
def test_cursors_of_nowhere(cursor: str) -> None:
    with pytest.raises(Invalid):
        jobs.jobs(NODE.store, limit=5, cursor=cursor)


def test_a_node_alone_confirms_what_it_wrote() -> None:
    node = node_with_jobs(2, apart=5)
    for line in jobs.jobs(node.store, limit=5, cursor=None).items:
        assert jobs.job(node.store, line.job_id).confirmed


def test_open_jobs_are_counted_by_where_they_stand() -> None:
    node = HttpNode(executes=False)
    node.found()
    node.ask(Submit(echo_spec(node.now()), b""))
    assert jobs.open_jobs(node.store) == jobs.OpenJobs(1, {"bidding": 1})
    assert jobs.open_jobs(NODE.store) == jobs.OpenJobs(0, {})
