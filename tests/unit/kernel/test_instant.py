from icn.kernel.instant import Duration, Instant, later, milliseconds, seconds, soonest


def test_spans_are_whole_milliseconds() -> None:
    assert seconds(3) == Duration(3000) == milliseconds(3000)


def test_later_adds_the_span() -> None:
    assert later(Instant(1_000), seconds(2)) == Instant(3_000)
    assert type(later(Instant(1), milliseconds(1))) is int


def test_the_soonest_of_moments_is_found_among_those_that_come() -> None:
    assert soonest([None, Instant(5), Instant(3), None, Instant(4)]) == Instant(3)
    assert soonest([Instant(0), Instant(1)]) == Instant(0)
    assert soonest([None, None]) is None
    assert soonest(()) is None
