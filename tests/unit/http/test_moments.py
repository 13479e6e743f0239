"""Times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icn.http.moments import instant_of, iso_of
from icn.kernel.errors import Invalid
from icn.kernel.instant import Instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-01T01:00:00.5+01:00", 500),
        ("1969-12-31T23:59:59.999Z", 0),
        ("0001-01-01", 0),
        ("2026-11-23T20:45:00.123", 1_795_466_700_123),
    ],
)
def test_readings(text: str, instant: int) -> None:
    assert instant_of("since", text) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-01-01T00:00:00+99:00", "1700000000000", "\0"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Invalid):
        instant_of("since", text)


@given(st.integers(0, 253_402_300_799_999))
def test_what_is_written_reads_back(instant: int) -> None:
    assert instant_of("time", iso_of(Instant(instant))) == instant


@given(st.integers())
def test_any_stored_instant_can_be_written(instant: int) -> None:
    assert iso_of(Instant(instant)).endswith("Z")
